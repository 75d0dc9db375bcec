use std::path::Path;
use std::sync::Arc;

use insta::assert_debug_snapshot;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::bmc::redfish::url::check_address;
use crate::plan::HttpsPlan;
use crate::run::authority::certificates::{Existing, make};
use crate::run::bmc::peer::{Names, Peer, image, part, status};

const FILE: &[u8] = &[7; 3000];

/// Returns what a client finds out about an image.
async fn check(client: &BmcClient, url: &str) -> Outcome {
    client.check(&image(url)).await
}

#[tokio::test]
async fn what_a_server_says_of_an_image_is_told() {
    let peer = Peer::start(|asked| match asked.line.as_str() {
        "GET /a.iso" => part(FILE, "1", asked),
        "GET /a/b.iso?c=d" => part(&FILE[..10], "1", asked),
        "GET /secret.iso" if !asked.headers.contains_key("authorization") => status("401 Unauthorized"),
        "GET /secret.iso" => part(FILE, "1", asked),
        "GET /forbidden.iso" => status("403 Forbidden"),
        "GET /whole.iso" => status("200 OK"),
        "GET /empty.iso" => part(b"", "1", asked),
        "GET /odd.iso" => status("206 Partial Content\r\nContent-Range: bytes 5-9/100"),
        "GET /unsized.iso" => status("206 Partial Content\r\nContent-Range: bytes 0-511/*"),
        "GET /packed.iso" => {
            status("206 Partial Content\r\nContent-Range: bytes 0-0/1\r\nContent-Encoding: gzip")
        }
        "GET /failed.iso" => status("500 Internal Server Error"),
        _ => status("404 Not Found"),
    })
    .await;
    let names = Names::start().await;
    let client = names.client(Path::new("/nonexistent"));
    let mut found = Vec::new();
    for file in [
        "a.iso",
        "a/b.iso?c=d",
        "secret.iso",
        "forbidden.iso",
        "whole.iso",
        "empty.iso",
        "odd.iso",
        "unsized.iso",
        "packed.iso",
        "failed.iso",
        "none.iso",
    ] {
        found.push(format!("{file}: {:?}", check(&client, &peer.url(file)).await));
    }
    let password = Some(Credentials { user: "me".to_owned(), password: Secret::new("p:w") });
    let with_password = Image { credentials: password, ..image(&peer.url("secret.iso")) };
    found.push(format!("with password: {:?}", client.check(&with_password).await));
    assert_debug_snapshot!(found, @r#"
    [
        "a.iso: Found",
        "a/b.iso?c=d: Found",
        "secret.iso: Unauthorized",
        "forbidden.iso: Unauthorized",
        "whole.iso: NoRanges",
        "empty.iso: Status(416)",
        "odd.iso: NoRanges",
        "unsized.iso: NoRanges",
        "packed.iso: NoRanges",
        "failed.iso: Status(500)",
        "none.iso: Status(404)",
        "with password: Found",
    ]
    "#);
    let asked = peer.asked.lock().unwrap();
    let last = asked.last().unwrap();
    assert_eq!(last.headers["authorization"], "Basic bWU6cDp3");
    assert_eq!(last.headers["host"], format!("images.lab.test:{}", peer.port));
    assert_eq!(last.headers["range"], "bytes=0-511");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let names = Names::start().await;
    let client = names.client(Path::new("/nonexistent"));
    let silent =
        Peer::start(|_| crate::run::bmc::peer::Said { cut: Some(0), ..status("206 Partial Content") }).await;
    for url in ["http://other.lab.test/a", "http://images.lab.test:1/a", &silent.url("a")] {
        let expected = if url == silent.url("a") { Outcome::NoRanges } else { Outcome::Unreachable };
        assert_eq!(check(&client, url).await, expected, "{url}");
    }
    let without = BmcClient { dns: None, ..client };
    assert_eq!(check(&without, "http://images.lab.test/a").await, Outcome::Unreachable);
}

#[tokio::test]
async fn redirects_are_followed_where_they_may_lead() {
    let other = Peer::start(|asked| part(FILE, "1", asked)).await;
    let elsewhere = other.url("moved.iso");
    let peer = Peer::start(move |asked| match asked.line.as_str() {
        "GET /same.iso" => status("302 Found\r\nLocation: /a/relative.iso"),
        "GET /a/relative.iso" => status("307 Temporary Redirect\r\nLocation: a.iso?x=y"),
        "GET /a/a.iso?x=y" => part(FILE, "1", asked),
        "GET /other.iso" => status(&format!("301 Moved Permanently\r\nLocation: {elsewhere}")),
        "GET /loopback.iso" => status("302 Found\r\nLocation: http://127.0.0.1/a.iso"),
        "GET /file.iso" => status("302 Found\r\nLocation: file:///etc/passwd"),
        "GET /nowhere.iso" => status("302 Found"),
        _ => status("302 Found\r\nLocation: /endless.iso"),
    })
    .await;
    let names = Names::start().await;
    let client = names.client(Path::new("/nonexistent"));
    let password = Some(Credentials { user: "me".to_owned(), password: Secret::new("hidden") });
    let mut found = Vec::new();
    for file in ["same.iso", "other.iso", "loopback.iso", "file.iso", "nowhere.iso", "endless.iso"] {
        let image = Image { credentials: password.clone(), ..image(&peer.url(file)) };
        found.push(format!("{file}: {:?}", client.check(&image).await));
    }
    assert_debug_snapshot!(found, @r#"
    [
        "same.iso: Found",
        "other.iso: Found",
        "loopback.iso: Forbidden",
        "file.iso: Forbidden",
        "nowhere.iso: Status(302)",
        "endless.iso: Status(302)",
    ]
    "#);
    // The password is for the first server only.
    assert_eq!(other.told(), ["GET /moved.iso 0-511"]);
    let told = peer.told();
    assert_eq!(told.len(), 3 + 1 + 1 + 1 + 1 + 6);
    assert!(told.iter().all(|told| told.ends_with(" with password")), "{told:?}");
}

#[tokio::test]
async fn names_that_lead_to_this_host_are_refused() {
    let peer = Peer::start(|asked| part(FILE, "1", asked)).await;
    let names = Names::start().await;
    let client = BmcClient { allows: check_address, ..names.client(Path::new("/nonexistent")) };
    assert_eq!(check(&client, &peer.url("a.iso")).await, Outcome::Forbidden);
    let sent = client.post(&peer.url("events"), &[], Vec::new(), true).await;
    assert!(matches!(sent, Err(FetchError::Forbidden(Refused::Loopback))), "{sent:?}");
    assert!(peer.told().is_empty());
}

/// Makes a CA and a certificate for a name, and returns what accepts connections with it.
fn acceptor(folder: &Path, name: &str) -> TlsAcceptor {
    let plan = HttpsPlan { names: vec![name.to_owned()], addresses: Vec::new() };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    make(folder, &plan, today, 7, Existing::Stay).unwrap();
    let certificates = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(certificates.map(Result::unwrap).collect(), key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn certificates_are_checked_unless_somebody_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let [right, other, misnamed] = ["right", "other", "misnamed"].map(|name| folder.path().join(name));
    let names = Names::start().await;
    let client = names.client(&right.join("ca.crt"));
    let mut found = Vec::new();
    for (folder, name) in [(&right, "images.lab.test"), (&other, "images.lab.test"), (&misnamed, "a.test")] {
        let acceptor = acceptor(folder, name);
        let peer = Peer::start_tls(acceptor, |asked| part(FILE, "1", asked)).await;
        let url = format!("https://images.lab.test:{}/a.iso", peer.port);
        let client = if name == "a.test" { names.client(&misnamed.join("ca.crt")) } else { client.clone() };
        let checked = check(&client, &url).await;
        let unchecked = Image { verifies_certificate: false, ..image(&url) };
        found.push((checked, client.check(&unchecked).await));
    }
    let (refused, found_then) = (Outcome::Certificate, Outcome::Found);
    assert_eq!(found, [(Outcome::Found, found_then), (refused, found_then), (refused, found_then)]);
    let plain = Peer::start(|asked| part(FILE, "1", asked)).await;
    let url = format!("https://images.lab.test:{}/a.iso", plain.port);
    assert_eq!(check(&client, &url).await, Outcome::Unreachable);
    let without = names.client(&folder.path().join("none.pem"));
    let peer =
        Peer::start_tls(acceptor(&folder.path().join("last"), "images.lab.test"), |_| status("200 OK")).await;
    let url = format!("https://images.lab.test:{}/a.iso", peer.port);
    assert_eq!(check(&without, &url).await, Outcome::Certificate);
}

#[tokio::test]
async fn events_are_sent_with_their_headers() {
    let peer = Peer::start(|asked| match asked.line.as_str() {
        "POST /events?a=b" => status("204 No Content"),
        "POST /moved" => status("302 Found\r\nLocation: /events?a=b"),
        _ => status("404 Not Found"),
    })
    .await;
    let names = Names::start().await;
    let client = names.client(Path::new("/nonexistent"));
    let headers = [("X-Token".to_owned(), Secret::new("hidden"))];
    let post = async |path| client.post(&peer.url(path), &headers, b"{}".to_vec(), true).await;
    assert_eq!(post("events?a=b").await.unwrap(), 204);
    assert_eq!(post("moved").await.unwrap(), 302);
    assert_eq!(post("other").await.unwrap(), 404);
    {
        let asked = peer.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert_eq!(
            (asked[0].headers["x-token"].as_str(), asked[0].body.as_slice()),
            ("hidden", b"{}".as_slice())
        );
        assert_eq!(asked[0].headers["content-type"], "application/json");
    }
    let odd = [("X Token".to_owned(), Secret::new("hidden"))];
    let sent = client.post(&peer.url("events"), &odd, Vec::new(), true).await;
    assert!(matches!(sent, Err(FetchError::Header(_))), "{sent:?}");
}

#[test]
fn ranges_are_read_strictly() {
    assert_eq!(content_range("bytes 0-511/3000"), Some((0, 511, 3000)));
    for wrong in [
        "bytes 0-511/*",
        "bytes */3000",
        "bytes 511-0/3000",
        "bytes 0-3000/3000",
        "items 0-1/2",
        "bytes 0-1",
        "bytes +0-1/2",
        "bytes 0-1/9223372036854775808",
        "",
    ] {
        assert_eq!(content_range(wrong), None, "{wrong}");
    }
}
