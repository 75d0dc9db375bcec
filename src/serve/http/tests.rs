use axum::http::Uri;
use http_body_util::BodyExt;

use super::super::example::{Log, plan, shelf};
use super::*;

const KERNEL: &[u8] = b"0123456789";

struct Bench {
    desk: Desk,
    log: Log,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), KERNEL).unwrap();
    let log = Log::default();
    let desk = Desk {
        shelf: shelf(folder.path()),
        clients: Clients::new(&plan()),
        events: log.emitter(),
        from: "10.0.0.11:1234".parse().unwrap(),
    };
    Bench { desk, log, _folder: folder }
}

fn request(line: &str) -> Request {
    let mut parts = line.split(' ');
    let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse::<Uri>().unwrap();
    for header in parts {
        let (name, value) = header.split_once(':').unwrap();
        let name: header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

impl Bench {
    async fn ask(&self, line: &str) -> Response {
        handle(State(self.desk.clone()), request(line)).await
    }

    /// The answer, what of it was read, and the event, as one line.
    async fn line(&self, line: &str) -> String {
        let response = self.ask(line).await;
        let header = |name: header::HeaderName| {
            let value = response.headers().get(&name).map(|value| value.to_str().unwrap());
            value.map(|value| format!(" {value}")).unwrap_or_default()
        };
        let (status, kind) = (response.status().as_u16(), header(header::CONTENT_TYPE));
        let (range, allow) = (header(header::CONTENT_RANGE), header(header::ALLOW));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        let told = match &self.log.take()[..] {
            [(node, Known::HttpServed { bytes, complete, role, status: told, .. })] => {
                assert_eq!(*told, status);
                assert_eq!(node.as_deref(), Some("fast"));
                format!("{role}/{bytes}/{}", if *complete { "whole" } else { "broken" })
            }
            other => panic!("{other:?}"),
        };
        format!("{status}{kind}{range}{allow} {body:?} {told}")
    }
}

#[tokio::test]
async fn requests_and_answers() {
    let bench = bench();
    let table = [
        "GET /profile/tiny/kernel",
        "HEAD /profile/tiny/kernel",
        "GET /profile/tiny/kernel range:bytes=2-4",
        "GET /profile/tiny/kernel range:bytes=7-",
        "GET /profile/tiny/kernel range:bytes=-3",
        "GET /profile/tiny/kernel range:bytes=8-99",
        "GET /profile/tiny/kernel range:bytes=99-",
        "GET /profile/tiny/kernel range:nonsense",
        "GET /profile/tiny/kernel?x=1",
        "GET /boot/fast.ipxe",
        "GET /nocloud/fast/user-data",
        "GET /profile/tiny/nothing",
        "GET /../../etc/passwd",
        "GET /%2e%2e/%2e%2e/etc/passwd",
        "POST /profile/tiny/kernel",
    ];
    let mut lines = Vec::new();
    for line in table {
        lines.push(format!("{line:42} {}", bench.line(line).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @r##"
    GET /profile/tiny/kernel                   200 application/octet-stream "0123456789" kernel/10/whole
    HEAD /profile/tiny/kernel                  200 application/octet-stream "" kernel/0/whole
    GET /profile/tiny/kernel range:bytes=2-4   206 application/octet-stream bytes 2-4/10 "234" kernel/3/whole
    GET /profile/tiny/kernel range:bytes=7-    206 application/octet-stream bytes 7-9/10 "789" kernel/3/whole
    GET /profile/tiny/kernel range:bytes=-3    206 application/octet-stream bytes 7-9/10 "789" kernel/3/whole
    GET /profile/tiny/kernel range:bytes=8-99  206 application/octet-stream bytes 8-9/10 "89" kernel/2/whole
    GET /profile/tiny/kernel range:bytes=99-   416 bytes */10 "" kernel/0/whole
    GET /profile/tiny/kernel range:nonsense    416 bytes */10 "" kernel/0/whole
    GET /profile/tiny/kernel?x=1               200 application/octet-stream "0123456789" kernel/10/whole
    GET /boot/fast.ipxe                        200 text/plain; charset=utf-8 "#!ipxe\nboot\n" script/12/whole
    GET /nocloud/fast/user-data                200 text/plain; charset=utf-8 "key: ssh-ed25519 KEY\n" seed/21/whole
    GET /profile/tiny/nothing                  404 text/plain; charset=utf-8 "not found\n" /10/whole
    GET /../../etc/passwd                      404 text/plain; charset=utf-8 "not found\n" /10/whole
    GET /%2e%2e/%2e%2e/etc/passwd              404 text/plain; charset=utf-8 "not found\n" /10/whole
    POST /profile/tiny/kernel                  405 text/plain; charset=utf-8 GET, HEAD "only GET and HEAD\n" kernel/18/whole
    "##);
}

#[tokio::test]
async fn a_head_says_how_long_the_body_is() {
    let bench = bench();
    let response = bench.ask("HEAD /profile/tiny/kernel").await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "10");
    assert_eq!(response.headers()[header::ACCEPT_RANGES], "bytes");
    let response = bench.ask("HEAD /boot/fast.ipxe").await;
    assert_eq!(HttpBody::size_hint(response.body()).exact(), Some(12), "from which the length is written");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = bench();
    let first = bench.ask("GET /boot/fast.ipxe").await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    let again = bench.ask(&format!("GET /boot/fast.ipxe if-none-match:{tag}")).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), "");
    let other = bench.ask("GET /boot/fast.ipxe if-none-match:\"0\"").await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_of_ours() {
    let bench = bench();
    assert_eq!(bench.ask("GET /profile/tiny/initrd0").await.status(), StatusCode::NOT_FOUND);
    let events = bench.log.take();
    let [(None, Known::ServiceFailed { service, error }), (Some(_), Known::HttpServed { status: 404, .. })] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(service, "http");
    assert_eq!(error, "/profile/tiny/initrd0: `image:tiny/initrd` does not exist");
}

#[tokio::test]
async fn a_body_of_the_announced_length_is_whole() {
    let bench = bench();
    let mut body = bench.ask("GET /profile/tiny/kernel range:bytes=2-4").await.into_body();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "234");
    // Hyper stops here: it has what it announced.
    drop(body);
    let events = bench.log.take();
    assert!(
        matches!(events[..], [(Some(_), Known::HttpServed { complete: true, bytes: 3, .. })]),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_breaks_the_body() {
    let bench = bench();
    let response = bench.ask("GET /profile/tiny/kernel").await;
    assert_eq!(bench.log.take(), [], "nothing is told before it is known");
    drop(response);
    let events = bench.log.take();
    assert!(
        matches!(events[..], [(Some(_), Known::HttpServed { complete: false, bytes: 0, .. })]),
        "{events:?}"
    );
}

#[test]
fn uefi_can_tell_a_program_from_a_disk() {
    assert_eq!(media_type("/a/BOOTX64.EFI"), "application/efi");
    assert_eq!(media_type("/a/x.iso"), "application/vnd.efi-iso");
    assert_eq!(media_type("/a.efi/kernel"), "application/octet-stream");
}
