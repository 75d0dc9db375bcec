//! Every recorded request to the real server gets the recorded answer.

use std::fs;
use std::process::Command;

use super::server::{Reply, Server, copy, fixtures};

/// A recorded request: curl's options, the path, and the answer.
struct Capture {
    request: String,
    options: Vec<String>,
    path: String,
    reply: Vec<u8>,
}

/// Parses a recording: `=== OPTIONS PATH`, the head with `<CR>` at the ends of its lines, and the body up to `<EOF>`.
fn captures(file: &str) -> Vec<Capture> {
    let text = fs::read_to_string(fixtures().join("golden").join(file)).expect("a capture");
    let text = format!("\n{text}");
    let of = |part: &str| {
        let (request, reply) = part.split_once('\n').expect("a request");
        let (options, path) = match request.rfind(" /") {
            Some(at) => (&request[..at], &request[at + 1..]),
            None => ("", request),
        };
        let options = match options.split_once(' ') {
            Some(("-H", header)) => vec!["-H".to_owned(), header.to_owned()],
            _ => options.split_whitespace().map(str::to_owned).collect(),
        };
        let reply = reply.rsplit_once("<EOF>").map_or(reply, |(reply, _)| reply);
        let reply = reply.replace("<CR>\n", "\r\n").into_bytes();
        Capture { request: request.to_owned(), options, path: path.to_owned(), reply }
    };
    text.split("\n=== ").skip(1).map(of).collect()
}

/// Removes what differs each time: dates, and random orders of lines.
fn settled(mut reply: Reply, path: &str) -> Reply {
    for (name, value) in &mut reply.headers {
        if matches!(name.as_str(), "date" | "last-modified") {
            assert!(value.ends_with(" GMT"), "{name}: {value}");
            value.clear();
        }
    }
    if path.starts_with("/metadata") && reply.status == 200 {
        let mut lines: Vec<&[u8]> = reply.body.split_inclusive(|byte| *byte == b'\n').collect();
        lines.sort();
        reply.body = lines.concat();
    }
    reply
}

fn words(reply: &Reply) -> String {
    format!("{} {:?}\n{}", reply.status, reply.headers, String::from_utf8_lossy(&reply.body))
}

#[test]
fn every_captured_request_is_answered_as_by_the_real_server() {
    let data = fixtures().join("data");
    let assets = data.join("assets");
    let server = Server::start(&data, &["-assets-path".as_ref(), assets.as_os_str()]);
    let captures = captures("http-head.txt");
    assert!(captures.len() > 50, "{} captures", captures.len());
    let mut wrong = Vec::new();
    for capture in &captures {
        let options: Vec<&str> = capture.options.iter().map(String::as_str).collect();
        let ours = settled(server.ask(&options, &capture.path), &capture.path);
        let theirs = settled(Reply::read(&capture.reply), &capture.path);
        if ours != theirs {
            wrong.push(format!("{}\nreal: {}\nours: {}", capture.request, words(&theirs), words(&ours)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), captures.len(), wrong.join("\n"));
}

#[test]
fn the_user_learns_why_a_client_gets_nothing() {
    let data = fixtures().join("data");
    let mut server = Server::start(&data, &["-assets-path="]);
    for path in [
        "/ipxe",
        "/ipxe?zone=z1",
        "/ipxe?sel=nop",
        "/ipxe?sel=noid",
        "/ipxe?sel=badjson",
        "/generic?zone=z1",
        "/generic?rack=r1",
        "/ignition?zone=z1",
        "/ignition?rack=r1",
        "/cloud?rack=r1",
    ] {
        server.ask(&[], path);
    }
    let (_, log) = server.end(nix::sys::signal::Signal::SIGTERM);
    let said: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("level=warning msg=\"")?.1.strip_suffix('"')).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    cannot use groups/badmac.json: address nonsense: invalid MAC address
    cannot answer /ipxe: groups: no group takes a machine without labels
    cannot answer /ipxe?zone=z1: profiles/noboot.json: it has no `boot`
    cannot answer /ipxe?sel=nop: profiles/doesnotexist.json: not found
    cannot answer /ipxe?sel=noid: profiles/noid.json: Id is required
    cannot answer /ipxe?sel=badjson: profiles/badjson.json:2: unexpected end of JSON input
    cannot answer /generic?zone=z1: generic/bad.tmpl:1: map has no entry for key \"nope\"
    cannot answer /generic?rack=r1: generic/missing: not found
    cannot answer /ignition?zone=z1: ignition/bad.ign:1: invalid character 'o' in literal null (expecting 'u')
    cannot answer /ignition?rack=r1: ignition/p2.yaml:5: map has no entry for key \"user\"
    cannot answer /cloud?rack=r1: profiles/p2.json: it has no `cloud_id`
    "#);
}

#[test]
fn assets_are_as_go_serves_them() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&fixtures().join("data"), folder.path());
    let assets = folder.path().join("assets");
    fs::create_dir(assets.join("with")).expect("a folder");
    fs::write(assets.join("with/index.html"), "<p>hi").expect("a file");
    fs::write(assets.join("a b<c>.txt"), "x").expect("a file");
    fs::write(assets.join("empty"), "").expect("a file");
    std::os::unix::fs::symlink("sub", assets.join("link")).expect("a link");
    let server = Server::start(folder.path(), &["-assets-path".as_ref(), assets.as_os_str()]);
    // The folder was last changed after the file.
    let modified = server.ask(&[], "/assets/").header("last-modified").expect("a date").to_owned();
    let since = format!("If-Modified-Since: {modified}");
    let unmodified = "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT";
    let table: &[(&[&str], &str)] = &[
        (&[], "/assets/with"),
        (&[], "/assets/with/"),
        (&[], "/assets/with/index.html?a=b"),
        (&[], "/assets/"),
        (&[], "/assets/a%20b%3Cc%3E.txt"),
        (&[], "/assets/link/f.txt"),
        (&[], "/assets/k/"),
        (&[], "/assets/%2e%2e/groups/node1.json"),
        (&["-I"], "/assets/k"),
        (&["-I"], "/assets/nope"),
        (&["-H", &since], "/assets/k"),
        (&["-H", &since], "/assets/"),
        (&["-H", unmodified], "/assets/k"),
        (&["-H", "Range: bytes=99-"], "/assets/k"),
        (&["-H", "Range: bytes=99-"], "/assets/empty"),
        (&["-H", "Range: bytes=x-"], "/assets/k"),
        (&["-H", "Range: bytes=-3"], "/assets/k"),
        (&["-H", "Range: bytes=99-"], "/generic?mac=525400aabbcc"),
        (&["-X", "POST", "-d", "x"], "/assets/k"),
        (&["-X", "PUT", "-d", "x"], "/assets"),
        (&["--path-as-is"], "/assets//k?a=b"),
        (&["--path-as-is"], "/ipxe/../assets/k%20"),
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|(options, path)| {
            let reply = settled(server.ask(options, path), path);
            let options = options.join(" ").replace(&modified, "[MODIFIED]");
            let headers = reply.headers.iter().filter(|(name, _)| name != "date");
            let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            format!("{options} {path}\n  {} | {} | {body:?}", reply.status, headers.join(" | "))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
     /assets/with
      301 | content-length: 0 | location: with/ | ""
     /assets/with/
      200 | accept-ranges: bytes | content-length: 5 | content-type: text/html; charset=utf-8 | last-modified:  | "<p>hi"
     /assets/with/index.html?a=b
      301 | content-length: 0 | location: ./?a=b | ""
     /assets/
      200 | content-length: 285 | content-type: text/html; charset=utf-8 | last-modified:  | "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n<a href=\"a%20b%3Cc%3E.txt\">a b&lt;c&gt;.txt</a>\n<a href=\"empty\">empty</a>\n<a href=\"index2.html\">index2.html</a>\n<a href=\"k\">k</a>\n<a href=\"link\">link</a>\n<a href=\"sub/\">sub/</a>\n<a href=\"with/\">with/</a>\n</pre>\n"
     /assets/a%20b%3Cc%3E.txt
      200 | accept-ranges: bytes | content-length: 1 | content-type: text/plain; charset=utf-8 | last-modified:  | "x"
     /assets/link/f.txt
      200 | accept-ranges: bytes | content-length: 3 | content-type: text/plain; charset=utf-8 | last-modified:  | "hi\n"
     /assets/k/
      301 | content-length: 0 | location: ../k | ""
     /assets/%2e%2e/groups/node1.json
      404 | content-length: 19 | content-type: text/plain; charset=utf-8 | x-content-type-options: nosniff | "404 page not found\n"
    -I /assets/k
      200 | accept-ranges: bytes | content-length: 7 | content-type: text/plain; charset=utf-8 | last-modified:  | ""
    -I /assets/nope
      404 | content-length: 19 | content-type: text/plain; charset=utf-8 | x-content-type-options: nosniff | ""
    -H If-Modified-Since: [MODIFIED] /assets/k
      304 | last-modified:  | ""
    -H If-Modified-Since: [MODIFIED] /assets/
      304 | last-modified:  | ""
    -H If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT /assets/k
      412 | content-length: 0 | ""
    -H Range: bytes=99- /assets/k
      416 | content-length: 33 | content-range: bytes */7 | content-type: text/plain; charset=utf-8 | x-content-type-options: nosniff | "invalid range: failed to overlap\n"
    -H Range: bytes=99- /assets/empty
      200 | accept-ranges: bytes | content-length: 0 | content-type: text/plain; charset=utf-8 | last-modified:  | ""
    -H Range: bytes=x- /assets/k
      416 | content-length: 14 | content-type: text/plain; charset=utf-8 | x-content-type-options: nosniff | "invalid range\n"
    -H Range: bytes=-3 /assets/k
      206 | accept-ranges: bytes | content-length: 3 | content-range: bytes 4-6/7 | content-type: text/plain; charset=utf-8 | last-modified:  | "EL\n"
    -H Range: bytes=99- /generic?mac=525400aabbcc
      206 | accept-ranges: bytes | content-length: 85 | content-range: bytes 99-183/184 | content-type: text/plain; charset=utf-8 | "p[x:1] some-key:v] html=<a&b> q=map[mac:52:54:00:aa:bb:cc] foo= raw=mac=525400aabbcc\n"
    -X POST -d x /assets/k
      200 | accept-ranges: bytes | content-length: 7 | content-type: text/plain; charset=utf-8 | last-modified:  | "KERNEL\n"
    -X PUT -d x /assets
      307 | content-length: 0 | location: /assets/ | ""
    --path-as-is /assets//k?a=b
      307 | content-length: 49 | content-type: text/html; charset=utf-8 | location: /assets/k?a=b | "<a href=\"/assets/k?a=b\">Temporary Redirect</a>.\n\n"
    --path-as-is /ipxe/../assets/k%20
      307 | content-length: 50 | content-type: text/html; charset=utf-8 | location: /assets/k%2520 | "<a href=\"/assets/k%2520\">Temporary Redirect</a>.\n\n"
    "#);
}

#[test]
fn a_large_asset_arrives_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let content: Vec<u8> = (0..9_000_001_u32).map(|at| (at % 251) as u8).collect();
    fs::write(folder.path().join("large"), &content).expect("a file");
    let server = Server::start(folder.path(), &["-assets-path".as_ref(), folder.path().as_os_str()]);
    let url = format!("http://{}/assets/large", server.at);
    let output = Command::new("curl").args(["--silent", "--fail", &url]).output().expect("curl");
    assert!(output.status.success() && output.stdout == content);
}
