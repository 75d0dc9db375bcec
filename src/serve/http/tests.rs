use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::super::example::{Log, content_of, plan};
use super::*;
use crate::event::{FileRole, Service};
use crate::plan::RootPlan;
use crate::serve::clients::Clients;
use crate::serve::context::Context;

const KERNEL: &[u8] = b"0123456789";

struct Bench {
    handler: HttpHandler,
    log: Log,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_with(false)
}

fn bench_with(listing: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), KERNEL).unwrap();
    let root = folder.path().join("www");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("sub/a <b>.txt"), "text").unwrap();
    std::fs::write(root.join("ANY.EFI"), "MZ").unwrap();
    let mut plan = plan();
    plan.root = Some(RootPlan { folder: root, listing });
    let log = Log::default();
    let handler = HttpHandler {
        matchbox: None,
        ending: CancellationToken::new(),
        content: content_of(&plan, folder.path()),
        context: Context::new(Clients::new(&plan), log.emitter()),
        patience: PATIENCE,
    };
    Bench { handler, log, folder }
}

fn request(line: &str) -> Request<()> {
    let mut parts = line.split(' ');
    let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
    let mut request = Request::new(());
    *request.method_mut() = method.parse::<Method>().unwrap();
    *request.uri_mut() = path.parse::<Uri>().unwrap();
    for header in parts {
        let (name, value) = header.split_once(':').unwrap();
        let value: HeaderValue = value.replace('_', " ").parse().unwrap();
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value);
    }
    request
}

impl Bench {
    fn ask(&self, line: &str) -> Response<Outgoing> {
        let peer = Peer { from: "10.0.0.11:1234".parse().unwrap(), agreed: None, socket: None };
        self.handler.answer(&peer, &request(line), Way::Memory).expect("no fault keeps it silent")
    }

    async fn bytes(response: Response<Outgoing>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// The response, how much of it was read, and the event, as one line.
    async fn line(&self, line: &str) -> String {
        let response = self.ask(line);
        let header = |name: HeaderName| {
            let value = response.headers().get(&name).map(|value| value.to_str().unwrap());
            value.map(|value| format!(" {value}")).unwrap_or_default()
        };
        let (status, kind) = (response.status().as_u16(), header(header::CONTENT_TYPE));
        let length = header(header::CONTENT_LENGTH);
        let (range, allow) = (header(header::CONTENT_RANGE), header(header::ALLOW));
        let body = Self::bytes(response).await;
        assert!(body.is_empty() || length == format!(" {}", body.len()), "{length} for {body:?}");
        let body = String::from_utf8_lossy(&body).into_owned();
        let reported = match &self.log.take()[..] {
            [(node, Known::HttpServed { bytes, complete, role, rule, range, status: reported, .. })] => {
                assert_eq!(*reported, status);
                assert_eq!(node.as_deref(), Some("fast"));
                let range = range.as_ref().map(|range| format!("/{range}")).unwrap_or_default();
                let role = role.as_ref().map_or("", FileRole::as_str);
                format!("{role}/{bytes}/{}{range} [{rule}]", if *complete { "whole" } else { "broken" })
            }
            other => panic!("{other:?}"),
        };
        format!("{status}{length}{kind}{range}{allow} {body:?} {reported}")
    }

    async fn lines(&self, table: &[&str]) -> String {
        let mut lines = Vec::new();
        for line in table {
            lines.push(format!("{line}\n  {}", self.line(line).await));
        }
        lines.join("\n")
    }
}

#[tokio::test]
async fn requests_and_answers() {
    let lines = bench()
        .lines(&[
            "GET /profile/tiny/kernel",
            "HEAD /profile/tiny/kernel",
            "GET //profile//tiny/kernel",
            "GET /profile/tiny/kernel?x=1",
            "GET /profile/tiny/k%65rnel",
            "GET /boot/fast.ipxe",
            "HEAD /boot/fast.ipxe",
            "GET /nocloud/fast/user-data",
            "GET /any.efi",
            "GET /ANY.EFI",
            "GET /sub/a%20%3Cb%3e.txt",
            "GET /sub",
            "GET /sub/",
            "GET /profile/tiny/nothing",
            "HEAD /profile/tiny/nothing",
            "GET /../../etc/passwd",
            "GET /%2e%2e/%2e%2e/etc/passwd",
            "POST /profile/tiny/kernel",
            "OPTIONS *",
        ])
        .await;
    insta::assert_snapshot!(lines, @r##"
    GET /profile/tiny/kernel
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    HEAD /profile/tiny/kernel
      200 10 application/octet-stream "" kernel/0/whole [plan]
    GET //profile//tiny/kernel
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    GET /profile/tiny/kernel?x=1
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    GET /profile/tiny/k%65rnel
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    GET /boot/fast.ipxe
      200 12 text/plain; charset=utf-8 "#!ipxe\nboot\n" script/12/whole [text]
    HEAD /boot/fast.ipxe
      200 12 text/plain; charset=utf-8 "" script/0/whole [text]
    GET /nocloud/fast/user-data
      200 21 text/plain; charset=utf-8 "key: ssh-ed25519 KEY\n" seed/21/whole [text]
    GET /any.efi
      404 10 text/plain; charset=utf-8 "not found\n" /10/whole [not found]
    GET /ANY.EFI
      200 2 application/efi "MZ" file/2/whole [root]
    GET /sub/a%20%3Cb%3e.txt
      200 4 text/plain; charset=utf-8 "text" file/4/whole [root]
    GET /sub
      404 10 text/plain; charset=utf-8 "not found\n" /10/whole [not found]
    GET /sub/
      404 10 text/plain; charset=utf-8 "not found\n" /10/whole [not found]
    GET /profile/tiny/nothing
      404 10 text/plain; charset=utf-8 "not found\n" /10/whole [not found]
    HEAD /profile/tiny/nothing
      404 10 text/plain; charset=utf-8 "" /0/whole [not found]
    GET /../../etc/passwd
      403 8 text/plain; charset=utf-8 "refused\n" /8/whole [refused: the path leaves the served folder]
    GET /%2e%2e/%2e%2e/etc/passwd
      403 8 text/plain; charset=utf-8 "refused\n" /8/whole [refused: the path leaves the served folder]
    POST /profile/tiny/kernel
      405 18 text/plain; charset=utf-8 GET, HEAD "only GET and HEAD\n" /18/whole [read-only]
    OPTIONS *
      405 18 text/plain; charset=utf-8 GET, HEAD "only GET and HEAD\n" /18/whole [read-only]
    "##);
}

#[tokio::test]
async fn pieces() {
    let lines = bench()
        .lines(&[
            "GET /profile/tiny/kernel range:bytes=2-4",
            "GET /profile/tiny/kernel range:bytes=7-",
            "GET /profile/tiny/kernel range:bytes=-3",
            "GET /profile/tiny/kernel range:bytes=8-99",
            "GET /boot/fast.ipxe range:bytes=2-5",
            "GET /profile/tiny/kernel range:bytes=99-",
            "GET /profile/tiny/kernel range:nonsense",
            "GET /profile/tiny/kernel range:bytes=0-,0-,0-",
            "GET /profile/tiny/kernel range:bytes=0-1,99-",
            "HEAD /profile/tiny/kernel range:bytes=2-4",
            "GET /profile/tiny/kernel range:bytes=2-4 if-range:\"other\"",
        ])
        .await;
    insta::assert_snapshot!(lines, @r#"
    GET /profile/tiny/kernel range:bytes=2-4
      206 3 application/octet-stream bytes 2-4/10 "234" kernel/3/whole/bytes 2-4/10 [plan]
    GET /profile/tiny/kernel range:bytes=7-
      206 3 application/octet-stream bytes 7-9/10 "789" kernel/3/whole/bytes 7-9/10 [plan]
    GET /profile/tiny/kernel range:bytes=-3
      206 3 application/octet-stream bytes 7-9/10 "789" kernel/3/whole/bytes 7-9/10 [plan]
    GET /profile/tiny/kernel range:bytes=8-99
      206 2 application/octet-stream bytes 8-9/10 "89" kernel/2/whole/bytes 8-9/10 [plan]
    GET /boot/fast.ipxe range:bytes=2-5
      206 4 text/plain; charset=utf-8 bytes 2-5/12 "ipxe" script/4/whole/bytes 2-5/12 [text]
    GET /profile/tiny/kernel range:bytes=99-
      416 20 text/plain; charset=utf-8 bytes */10 "the file is shorter\n" kernel/20/whole [plan]
    GET /profile/tiny/kernel range:nonsense
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    GET /profile/tiny/kernel range:bytes=0-,0-,0-
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    GET /profile/tiny/kernel range:bytes=0-1,99-
      206 2 application/octet-stream bytes 0-1/10 "01" kernel/2/whole/bytes 0-1/10 [plan]
    HEAD /profile/tiny/kernel range:bytes=2-4
      200 10 application/octet-stream "" kernel/0/whole [plan]
    GET /profile/tiny/kernel range:bytes=2-4 if-range:"other"
      200 10 application/octet-stream "0123456789" kernel/10/whole [plan]
    "#);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = bench();
    for path in ["/boot/fast.ipxe", "/profile/tiny/kernel"] {
        let first = bench.ask(&format!("GET {path}"));
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = bench.ask(&format!("GET {path} if-none-match:{tag}"));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[header::ETAG], *tag);
        assert!(Bench::bytes(again).await.is_empty());
        assert_eq!(bench.ask(&format!("GET {path} if-none-match:\"0\"")).status(), StatusCode::OK);
        assert_eq!(
            bench.ask(&format!("GET {path} if-match:\"0\"")).status(),
            StatusCode::PRECONDITION_FAILED
        );
        let piece = bench.ask(&format!("GET {path} range:bytes=1-2 if-range:{tag}"));
        assert_eq!(piece.status(), StatusCode::PARTIAL_CONTENT);
    }
    let first = bench.ask("GET /profile/tiny/kernel");
    let modified = first.headers()[header::LAST_MODIFIED].to_str().unwrap().replace(' ', "_");
    let again = bench.ask(&format!("GET /profile/tiny/kernel if-modified-since:{modified}"));
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let piece = bench.ask(&format!("GET /profile/tiny/kernel range:bytes=1-2 if-range:{modified}"));
    assert_eq!(piece.status(), StatusCode::PARTIAL_CONTENT);

    std::fs::write(bench.folder.path().join("kernel"), "another one").unwrap();
    let tag = first.headers()[header::ETAG].to_str().unwrap();
    assert_eq!(bench.ask(&format!("GET /profile/tiny/kernel if-none-match:{tag}")).status(), StatusCode::OK);
    let piece = bench.ask(&format!("GET /profile/tiny/kernel range:bytes=1-2 if-range:{tag}"));
    assert_eq!(piece.status(), StatusCode::OK, "the rest of another file is of no use");
}

#[tokio::test]
async fn several_pieces_say_what_they_are() {
    let bench = bench();
    let response = bench.ask("GET /profile/tiny/kernel range:bytes=0-1,-2");
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let body = String::from_utf8(Bench::bytes(response).await.to_vec()).unwrap();
    insta::assert_snapshot!(body.replace(&boundary, "BOUNDARY").replace('\r', ""), @"
    --BOUNDARY
    Content-Type: application/octet-stream
    Content-Range: bytes 0-1/10

    01
    --BOUNDARY
    Content-Type: application/octet-stream
    Content-Range: bytes 8-9/10

    89
    --BOUNDARY--
    ");
}

#[tokio::test]
async fn folders_are_listed_where_the_lab_says_so() {
    let bench = bench_with(true);
    let mut pages = Vec::new();
    for path in ["/", "/sub", "/sub/"] {
        let response = bench.ask(&format!("GET {path}"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        pages.push(String::from_utf8(Bench::bytes(response).await.to_vec()).unwrap());
    }
    assert_eq!(pages[1], pages[2]);
    insta::assert_snapshot!(pages[..2].join("\n"), @r#"
    <!DOCTYPE html>
    <title>/</title>
    <h1>/</h1>
    <ul>
    <li><a href="/ANY.EFI">ANY.EFI</a></li>
    <li><a href="/sub/">sub/</a></li>
    </ul>

    <!DOCTYPE html>
    <title>/sub/</title>
    <h1>/sub/</h1>
    <ul>
    <li><a href="/">..</a></li>
    <li><a href="/sub/a%20%3Cb%3E.txt">a &lt;b&gt;.txt</a></li>
    </ul>
    "#);
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_of_ours() {
    let bench = bench();
    let response = bench.ask("GET /profile/tiny/initrd0");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    Bench::bytes(response).await;
    let events = bench.log.take();
    let [(None, Known::ServiceFailed { service, error }), (Some(_), Known::HttpServed { status: 404, .. })] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*service, Service::Http);
    assert_eq!(error, "/profile/tiny/initrd0: `image:tiny/initrd` does not exist");
}

#[tokio::test]
async fn a_client_that_leaves_breaks_the_body() {
    let bench = bench();
    let response = bench.ask("GET /profile/tiny/kernel");
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
    let of = |path| reply::media_type(path, &FileRole::File);
    assert_eq!(of("/a/BOOTX64.EFI"), "application/efi");
    assert_eq!(of("/a/x.iso"), "application/vnd.efi-iso");
    assert_eq!(of("/a.efi/kernel"), "application/octet-stream");
    assert_eq!(reply::media_type("/shim/shimx64", &FileRole::Loader), "application/efi");
    assert_eq!(reply::media_type("/ipxe/undionly.kpxe", &FileRole::Loader), "application/octet-stream");
}

/// A server on the loopback interface with a short timeout.
struct Served {
    at: SocketAddr,
    bench: Bench,
    _connections: JoinSet<()>,
}

const SHORT: Duration = Duration::from_millis(300);

fn serve() -> Served {
    let mut bench = bench();
    bench.handler.patience = SHORT;
    bench.handler.context.events = bench.log.ticking();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    let mut connections = JoinSet::new();
    connections.spawn(run(listener, bench.handler.clone(), None));
    Served { at, bench, _connections: connections }
}

impl Served {
    /// Writes to a new connection; returns what is received until the server closes it, and after how long.
    async fn talk(&self, said: &[u8]) -> (Vec<u8>, Duration) {
        let begin = std::time::Instant::now();
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        (heard, begin.elapsed())
    }

    fn big(&self, length: usize) -> Vec<u8> {
        let content: Vec<u8> = (0_u32..)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .take(length)
            .collect();
        std::fs::write(self.bench.folder.path().join("kernel"), &content).unwrap();
        content
    }

    async fn reported(&self) -> Vec<Known> {
        for _ in 0..1000 {
            let reported = self.bench.log.take();
            if !reported.is_empty() {
                return reported.into_iter().map(|(_, known)| known).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing was told")
    }
}

/// Returns the body of a response.
fn after_head(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    &answer[end + 4..]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_through_the_hole_as_it_is() {
    let served = serve();
    // More than one placeholder, and not a multiple of any buffer size.
    let content = served.big(11_234_567);
    let get = |more: &str| {
        format!("GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n")
    };
    let (answer, _) = served.talk(get("").as_bytes()).await;
    assert!(after_head(&answer) == content);
    let reported = served.reported().await;
    assert!(
        matches!(reported[..], [Known::HttpServed { bytes: 11_234_567, complete: true, .. }]),
        "{reported:?}"
    );

    let (answer, _) = served.talk(get("Range: bytes=5000000-9999999\r\n").as_bytes()).await;
    assert!(after_head(&answer) == &content[5_000_000..10_000_000]);
    let (answer, _) = served.talk(get("Range: bytes=1-2000000,5000000-9999999\r\n").as_bytes()).await;
    let body = after_head(&answer);
    let at = |needle: &[u8]| body.windows(needle.len()).position(|window| window == needle);
    assert!(at(&content[1..2_000_001]) < at(&content[5_000_000..10_000_000]));
    assert!(at(&content[5_000_000..10_000_000]).is_some());

    // Several responses on one connection, files and texts in turn, all pipelined.
    let mut requested = String::new();
    for _ in 0..3 {
        requested += "GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\n\r\n";
        requested += "GET /boot/fast.ipxe HTTP/1.1\r\nHost: x\r\n\r\n";
    }
    requested += "GET /boot/fast.ipxe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (answer, _) = served.talk(requested.as_bytes()).await;
    let mut rest = &answer[..];
    for _ in 0..3 {
        rest = after_head(rest).strip_prefix(&content[..]).expect("the whole file");
        rest = after_head(rest).strip_prefix(b"#!ipxe\nboot\n").expect("the whole script");
    }
    assert_eq!(after_head(rest), b"#!ipxe\nboot\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_shrinks_breaks_the_connection() {
    let served = serve();
    served.big(64 << 20);
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 1000]).await.unwrap();
    served.big(1000);
    let mut rest = Vec::new();
    // The connection is reset or closed before the announced length.
    drop(stream.read_to_end(&mut rest).await);
    assert!(rest.len() < 64 << 20);
    let reported = served.reported().await;
    assert!(matches!(reported[..], [Known::HttpServed { complete: false, .. }]), "{reported:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_given_up() {
    let served = serve();
    served.big(64 << 20);
    let begin = std::time::Instant::now();
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let reported = served.reported().await;
    assert!(matches!(reported[..], [Known::HttpServed { complete: false, status: 200, .. }]), "{reported:?}");
    assert!((SHORT..20 * SHORT).contains(&begin.elapsed()), "{:?}", begin.elapsed());

    // A client that reads a few bytes now and then is dropped too.
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut crumbs = 0;
    while stream.read_exact(&mut [0; 4096]).await.is_ok() {
        crumbs += 1;
        assert!(crumbs < 2000, "it is still served");
        if served.bench.log.has_any() {
            break;
        }
        tokio::time::sleep(SHORT / 6).await;
    }
    let reported = served.reported().await;
    assert!(matches!(reported[..], [Known::HttpServed { complete: false, status: 200, .. }]), "{reported:?}");

    // A slow client that makes progress is served to the end.
    let content = served.big(16 << 20);
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream
        .write_all(b"GET /profile/tiny/kernel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut heard = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        if length == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..length]);
        if heard.len() % (4 << 20) < length {
            tokio::time::sleep(SHORT / 2).await;
        }
    }
    assert!(after_head(&heard) == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_given_up() {
    let served = serve();
    for said in [&b""[..], b"GET /boot/fast", b"GET /boot/fast.ipxe HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let (_, after) = served.talk(said).await;
        assert!((SHORT / 2..20 * SHORT).contains(&after), "{after:?} after {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_read_is_told() {
    let served = serve();
    let (answer, _) = served.talk(b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    let reported = served.reported().await;
    assert!(
        matches!(&reported[..], [Known::HttpServed { status: 400, rule, .. }] if rule.starts_with("refused")),
        "{reported:?}"
    );
}
