//! Probes against small servers on the loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::event::examples::{event, lease};
use crate::event::{Event, Instant, Kind, LearnedBy, LearnedFrom};
use crate::lab::{
    CertificateCheck, Firmware, HttpCheck, JsonLocation, JsonValues, Login, Pattern, Polarity, TlsCheck,
};
use crate::name::NetworkName;
use crate::observe::Snapshot;

/// A lab of node `a` on the loopback, with one expectation, and the results of its probes.
pub(super) fn prober(
    check: ProbedCheck,
    node: bool,
    dns: Option<Dns>,
    run_dir: &Path,
) -> (Prober, Receiver<Event>) {
    let name = NodeName::new("a").unwrap();
    let expectation = Expectation {
        name: ExpectName::new("it").unwrap(),
        nodes: if node { vec![name.clone()] } else { Vec::new() },
        after: None,
        within: None,
        holds: Duration::ZERO,
        progress: None,
        quorum: None,
        sense: Polarity::Must,
        check: check.into(),
    };
    let (events, said) = channel();
    let start = tokio::time::Instant::now();
    let clock = move || Instant { at: start.elapsed().into(), wall: Timestamp::UNIX_EPOCH };
    let address = Some(IpAddr::from([127, 0, 0, 1]));
    let context = ProbeContext {
        lab: LabName::new("lab").unwrap(),
        expectations: [(expectation.name.clone(), expectation)].into(),
        nodes: [(
            name,
            Target {
                address,
                network: None,
                firmware: Firmware::Bios,
                macs: BTreeMap::new(),
                dns: dns.clone(),
            },
        )]
        .into(),
        dns,
        machines: Machines::new(|_| None),
        reaching: Reaching::default(),
        run_dir: run_dir.to_owned(),
        runtime: run_dir.to_owned(),
        spawner: Spawner::start().unwrap(),
        emitter: Emitter::new(clock, move |event| drop(events.send(event))),
    };
    (Prober::new(context), said)
}

/// Makes one attempt of a check of node `a`, or of the lab.
async fn once(check: ProbedCheck, node: bool, dns: Option<Dns>) -> String {
    let Answer { ok, seen, .. } = attempt(check, node, dns).await;
    format!("{ok}: {seen}")
}

async fn attempt(check: ProbedCheck, node: bool, dns: Option<Dns>) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    let (prober, _said) = prober(check.clone(), node, dns, dir.path());
    let of = prober.shared.context.expectations.values().next().unwrap();
    prober.shared.attempt(&of.nodes, &check, of.nodes.first(), &mut kubernetes::Memory::default()).await
}

/// An HTTP check without demands but status 200.
fn http(port: u16) -> HttpCheck {
    HttpCheck {
        port,
        path: "/facts?x=1".to_owned(),
        tls: None,
        method: "GET".to_owned(),
        request_headers: BTreeMap::new(),
        request_body: None,
        timeout: Duration::from_secs(10),
        status: 200,
        body: None,
        headers: BTreeMap::new(),
        json: JsonValues::default(),
    }
}

fn json(location: &str, value: serde_json::Value) -> JsonValues {
    JsonValues([(JsonLocation::new(location).unwrap(), value)].into())
}

fn boxed(check: HttpCheck) -> ProbedCheck {
    ProbedCheck::Http(Box::new(check))
}

/// Serves one answer to every HTTP request, on its own port.
pub(super) fn http_server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            // A client that has read enough may be gone.
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    port
}

/// A port of the loopback without a listener.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn without_port(text: &str, port: u16) -> String {
    text.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn tcp_says_whether_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_snapshot!(without_port(&once(ProbedCheck::Tcp { port }, true, None).await, port), @"true: port PORT open");
    drop(listener);
    let port = free_port();
    assert_snapshot!(without_port(&once(ProbedCheck::Tcp { port }, true, None).await, port), @"false: port PORT refuses connections");
}

#[tokio::test]
async fn http_compares_status_headers_and_body() {
    let port = http_server("HTTP/1.1 200 OK\r\nServer: tiny 1.0\r\nContent-Length: 12\r\n\r\nnode-1 ready");
    let check = |status, body: Option<&str>, header: Option<(&str, &str)>| {
        let body = body.map(|body| Pattern::new(body).unwrap());
        let headers = header.map(|(name, value)| (name.to_owned(), Pattern::new(value).unwrap()));
        boxed(HttpCheck { status, body, headers: headers.into_iter().collect(), ..http(port) })
    };
    assert_snapshot!(once(check(200, Some("ready$"), Some(("server", "^tiny"))), true, None).await, @"true: status 200");
    assert_snapshot!(once(check(204, None, None), true, None).await, @"false: status 200");
    assert_snapshot!(once(check(200, Some("joined"), None), true, None).await, @"false: status 200, but 12 B of body do not match /joined/");
    assert_snapshot!(once(check(200, None, Some(("server", "nginx"))), true, None).await, @"false: status 200, but header server does not match /nginx/");
    assert_snapshot!(once(check(200, None, Some(("etag", "."))), true, None).await, @"false: status 200 without a header etag");
}

#[tokio::test]
async fn http_compares_values_of_a_json_body() {
    let port = http_server(
        "HTTP/1.1 200 OK\r\nContent-Length: 62\r\n\r\n{\"status\":\"ok\",\"members\":[{\"name\":\"a\",\"up\":true}],\"count\":1.0} ",
    );
    let check = |pointer: &str, value: serde_json::Value| {
        boxed(HttpCheck { json: json(pointer, value), ..http(port) })
    };
    assert_snapshot!(once(check("/status", "ok".into()), true, None).await, @"true: status 200");
    assert_snapshot!(once(check("/members/0/up", true.into()), true, None).await, @"true: status 200");
    assert_snapshot!(once(check("/count", 1.into()), true, None).await, @"true: status 200");
    assert_snapshot!(once(check("/status", "degraded".into()), true, None).await, @r#"false: status 200, but the body has "ok" at /status, not "degraded""#);
    assert_snapshot!(once(check("/members/1", 1.into()), true, None).await, @"false: status 200, but the body has no /members/1");
    let port = http_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let check = boxed(HttpCheck { json: json("/status", "ok".into()), ..http(port) });
    assert_snapshot!(once(check, true, None).await, @"false: status 200, but the body is not JSON: expected value at line 1 column 1");
}

#[tokio::test]
async fn large_integers_in_json_are_compared_exactly() {
    let port = http_server("HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"id\":9007199254740993}\n");
    let check = |value: serde_json::Value| boxed(HttpCheck { json: json("/id", value), ..http(port) });
    assert_snapshot!(once(check(9_007_199_254_740_993_i64.into()), true, None).await, @"true: status 200");
    assert_snapshot!(once(check(9_007_199_254_740_992_i64.into()), true, None).await, @"false: status 200, but the body has 9007199254740993 at /id, not 9007199254740992");
    assert_snapshot!(once(check(9_007_199_254_740_992.0.into()), true, None).await, @"true: status 200");
}

/// Serves the last request back to the client.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            drop(write!(stream, "HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n"));
            drop(stream.write_all(&request[..length]));
        }
    });
    port
}

#[tokio::test]
async fn http_sends_the_method_headers_and_body_of_the_check() {
    let port = echo_server();
    let body = Pattern::new(r"(?s)^PATCH /facts.x=1 .*accept: a/b\r\nhost: web.lab\r\n.*\r\n\{\}$");
    let headers = [("accept", "a/b"), ("host", "web.lab")].map(|(name, value)| (name.into(), value.into()));
    let check = HttpCheck {
        method: "PATCH".to_owned(),
        request_headers: headers.into(),
        request_body: Some("{}".to_owned()),
        status: 201,
        body: Some(body.unwrap()),
        ..http(port)
    };
    let answer = attempt(boxed(check), true, None).await;
    assert!(answer.ok, "{answer:?}");
}

/// Makes a key and a certificate for names, which is valid for two days: `NAME.key` and `NAME.pem`.
fn certificate(folder: &Path, name: &str, names: &str) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=x", "-addext", &format!("subjectAltName={names}")])
        .args(["-keyout", &at(&format!("{name}.key")), "-out", &at(&format!("{name}.pem"))])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Runs a TLS server with a certificate until a client has an answer other than that nobody listens.
async fn of_tls_server<F: Future<Output = String>>(
    folder: &Path,
    name: &str,
    ask: impl Fn(u16) -> F,
) -> String {
    let port = free_port();
    let mut child = std::process::Command::new("openssl")
        .args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
        .current_dir(folder)
        .spawn()
        .unwrap();
    let answered = async {
        loop {
            let answer = ask(port).await;
            if !answer.contains("refuses connections") {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = timeout(Duration::from_secs(30), answered).await;
    child.kill().unwrap();
    child.wait().unwrap();
    without_port(&answer.expect("the server listens"), port).replace(&format!("{}/", folder.display()), "")
}

#[tokio::test]
async fn https_checks_the_certificate_against_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    for (name, names) in [("node", "DNS:a"), ("address", "IP:127.0.0.1"), ("other", "DNS:b")] {
        certificate(folder.path(), name, names);
    }
    let mut said = Vec::new();
    for (server, ca) in [
        ("node", None),
        ("node", Some("node.pem")),
        ("address", Some("address.pem")),
        ("other", Some("other.pem")),
        ("node", Some("other.pem")),
        ("node", Some("node.key")),
    ] {
        let tls = Some(TlsCheck { ca: ca.map(|name| folder.path().join(name)) });
        let check = |port| boxed(HttpCheck { tls: tls.clone(), path: "/".to_owned(), ..http(port) });
        let answer = of_tls_server(folder.path(), server, |port| once(check(port), true, None)).await;
        said.push(format!("{server} by {ca:?}: {answer}"));
    }
    assert_snapshot!(said.join("\n"), @r#"
    node by None: true: status 200
    node by Some("node.pem"): true: status 200
    address by Some("address.pem"): true: status 200
    other by Some("other.pem"): false: port PORT: TLS failed: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("b")
    node by Some("other.pem"): false: port PORT: TLS failed: invalid peer certificate: BadSignature
    node by Some("node.key"): false: port PORT: node.key contains no certificate in PEM format: no items found
    "#);
    let plain = http_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let check = boxed(HttpCheck { tls: Some(TlsCheck { ca: None }), ..http(plain) });
    assert_snapshot!(without_port(&once(check, true, None).await, plain), @"false: port PORT: TLS failed: received corrupt message of type InvalidContentType");
}

#[tokio::test]
async fn the_certificate_of_a_port_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "node", "DNS:api.lab,DNS:*.pods.lab,IP:127.0.0.1");
    certificate(folder.path(), "other", "DNS:a");
    let of = |names: &[&str], ca: Option<&str>, valid_for: u64, issuer: &str| CertificateCheck {
        port: 0,
        ca: ca.map(|name| folder.path().join(name)),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        valid_for: Duration::from_secs(valid_for),
        issuer: Some(Pattern::new(issuer).unwrap()),
    };
    #[expect(clippy::disallowed_methods, reason = "openssl makes certificates from today on")]
    let today = Timestamp::now();
    let day = regex::Regex::new("[0-9]{4}-[0-9]{2}-[0-9]{2}").unwrap();
    let mut said = Vec::new();
    for (what, server, check, later) in [
        ("any", "node", of(&[], None, 0, ""), 0),
        ("names", "node", of(&["api.lab", "x.pods.lab", "127.0.0.1"], Some("node.pem"), 0, "^CN=x$"), 0),
        ("its own name", "other", of(&[], Some("other.pem"), 0, ""), 0),
        ("neither name nor address", "node", of(&[], Some("other.pem"), 0, ""), 0),
        ("no such name", "node", of(&["api.lab", "node.lab"], None, 0, ""), 0),
        ("other issuer", "node", of(&[], None, 0, "kubernetes"), 0),
        ("not so long", "node", of(&[], None, 30 * 86400, ""), 0),
        ("later", "node", of(&[], None, 0, ""), 3),
        ("earlier", "node", of(&[], None, 0, ""), -3),
    ] {
        let now = today + SignedDuration::from_hours(24 * later);
        let ask = |port| {
            let check = CertificateCheck { port, ..check.clone() };
            async move {
                let to = (Ipv4Addr::LOCALHOST, port).into();
                let Answer { ok, seen, .. } = super::certificate::probe(to, None, "a", &check, now).await;
                format!("{ok}: {seen}")
            }
        };
        let answer = of_tls_server(folder.path(), server, ask).await;
        said.push(format!("{what}: {}", day.replace_all(&answer, "DAY")));
    }
    assert_snapshot!(said.join("\n"), @"
    any: true: port PORT: certificate of CN=x by CN=x, valid until DAY
    names: true: port PORT: certificate of CN=x by CN=x, valid until DAY
    its own name: true: port PORT: certificate of CN=x by CN=x, valid until DAY
    neither name nor address: false: port PORT: its certificate is signed by another authority
    no such name: false: port PORT: its certificate is not for node.lab, but for api.lab, *.pods.lab, 127.0.0.1
    other issuer: false: port PORT: the issuer of its certificate is `CN=x`, which does not match /kubernetes/
    not so long: false: port PORT: its certificate is valid until DAY, which is less than 30d
    later: false: port PORT: its certificate has expired on DAY
    earlier: false: port PORT: its certificate is not valid before DAY
    ");
    let plain = http_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let check = ProbedCheck::Certificate(Box::new(CertificateCheck { port: plain, ..of(&[], None, 0, "") }));
    assert_snapshot!(without_port(&once(check, true, None).await, plain), @"false: port PORT: TLS failed: received corrupt message of type InvalidContentType");
}

#[tokio::test]
async fn http_names_a_server_that_speaks_something_else() {
    let port = http_server("SSH-2.0-OpenSSH_9.2\r\n");
    let check = |port| boxed(http(port));
    assert_snapshot!(without_port(&once(check(port), true, None).await, port), @"false: port PORT does not speak HTTP");
    let port = http_server("");
    assert_snapshot!(without_port(&once(check(port), true, None).await, port), @"false: port PORT closes the connection");
}

/// Answers queries for `a.lab.test` with 10.0.0.10, and no others.
fn dns_server() -> Dns {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let query = message.queries[0].clone();
            if query.name.to_string() != "a.lab.test." {
                message.metadata.response_code = ResponseCode::NXDomain;
            } else if query.query_type == RecordType::A {
                let record = Record::from_rdata(query.name, 60, RData::A(A::new(10, 0, 0, 10)));
                message.answers.push(record);
            }
            socket.send_to(&message.to_vec().unwrap(), peer).unwrap();
        }
    });
    Dns { server, domain: "lab.test".to_owned() }
}

#[tokio::test]
async fn dns_compares_addresses_as_a_set() {
    let dns = dns_server();
    let check = |name: Option<&str>, answer: Option<[u8; 4]>| ProbedCheck::Dns {
        name: name.map(ToOwned::to_owned),
        answer: answer.map(|address| vec![IpAddr::from(address)]),
        server: None,
    };
    assert_snapshot!(once(check(None, None), true, Some(dns.clone())).await, @"true: a.lab.test is 10.0.0.10");
    assert_snapshot!(once(check(Some("a.lab.test"), Some([10, 0, 0, 10])), false, Some(dns.clone())).await, @"true: a.lab.test is 10.0.0.10");
    assert_snapshot!(once(check(Some("a.lab.test"), Some([10, 0, 0, 11])), true, Some(dns.clone())).await, @"false: a.lab.test is 10.0.0.10");
    assert_snapshot!(once(check(Some("b"), None), true, Some(dns.clone())).await, @"false: b.lab.test: Non-Existent Domain");
    // Another server is asked where the lab's own is off, and in its place.
    let other = |name: &str| {
        let (name, server) = (Some(name.to_owned()), Some(dns.server));
        ProbedCheck::Dns { name, answer: None, server }
    };
    assert_snapshot!(once(other("a.lab.test"), true, None).await, @"true: a.lab.test is 10.0.0.10");
    let nowhere = Dns { server: "127.0.0.1:1".parse().unwrap(), ..dns.clone() };
    assert_snapshot!(once(other("a"), true, Some(nowhere)).await, @"true: a.lab.test is 10.0.0.10");
}

#[tokio::test]
async fn a_command_is_judged_by_exit_code_and_output() {
    let check = |run: &str, exit, output: Option<&str>| ProbedCheck::Command {
        run: run.to_owned(),
        host: None,
        exit,
        output: output.map(|output| Pattern::new(output).unwrap()),
        json: JsonValues::default(),
    };
    assert_snapshot!(once(check("echo $DRYRACK_LAB $DRYRACK_ADDRESS_A", 0, Some("^lab 127.0.0.1$")), false, None).await, @"true: exit code 0");
    assert_snapshot!(once(check("echo no quorum >&2; exit 3", 0, None), false, None).await, @"false: exit code 3, `no quorum`");
    assert_snapshot!(once(check("exit 3", 3, None), false, None).await, @"true: exit code 3");
    assert_snapshot!(once(check("echo inactive", 0, Some("^active")), false, None).await, @"false: exit code 0, but the output does not match /^active/, `inactive`");
    assert_snapshot!(once(check("kill -9 $$", 0, None), false, None).await, @"false: signal: 9 (SIGKILL)");
    // Standard input is closed, and a program that prints forever does not block the probe.
    assert_snapshot!(once(check("cat; yes", 0, None), false, None).await, @"false: exit code 141, `y` … `y`");
}

#[tokio::test]
async fn a_standard_error_of_any_length_is_read_and_leaves_no_file() {
    let run = "head -c 3000000 /dev/zero >&2; exit 3".to_owned();
    let check = ProbedCheck::Command { run, host: None, exit: 0, output: None, json: JsonValues::default() };
    let dir = tempfile::tempdir().unwrap();
    let (prober, _said) = prober(check.clone(), false, None, dir.path());
    let of = prober.shared.context.expectations.values().next().unwrap();
    let answer = prober.shared.attempt(&of.nodes, &check, None, &mut kubernetes::Memory::default()).await;
    assert_eq!(answer.output.map(|output| output.len()), Some(1 << 20));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_whole_output_of_a_failed_probe_is_kept() {
    let run = "for line in one two three; do echo $line; done; echo first >&2; echo last >&2; exit 1";
    let check = ProbedCheck::Command {
        run: run.to_owned(),
        host: None,
        exit: 0,
        output: None,
        json: JsonValues::default(),
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut prober, said) = prober(check, false, None, dir.path());
    let expect = ExpectName::new("it").unwrap();
    prober.set_wanted(vec![WantedProbe { expect, node: None, confirm_at: None }]);
    let event = tokio::task::spawn_blocking(move || said.recv_timeout(Duration::from_secs(20)).unwrap());
    let Kind::Known(Known::Probed { ok: false, seen, output: Some(output), .. }) = event.await.unwrap().kind
    else {
        panic!("it fails");
    };
    assert_eq!(seen, "exit code 1, `first` … `last`");
    let whole = std::fs::read_to_string(dir.path().join(output)).unwrap();
    assert_eq!(whole, "one\ntwo\nthree\nfirst\nlast\n");
}

#[tokio::test]
async fn ssh_says_why_it_was_not_let_in() {
    let port = free_port();
    let check = ProbedCheck::Ssh {
        login: Login { user: "core".into(), port, key: None },
        run: None,
        exit: 0,
        output: None,
        json: JsonValues::default(),
    };
    assert_snapshot!(without_port(&once(check, true, None).await, port), @"false: port PORT refuses connections");
}

#[tokio::test]
async fn a_node_without_an_address_waits_for_its_lease() {
    let check = ProbedCheck::Tcp { port: 22 };
    let dir = tempfile::tempdir().unwrap();
    let (mut prober, _said) = prober(check.clone(), true, None, dir.path());
    let shared = Arc::get_mut(&mut prober.shared).unwrap();
    shared.context.nodes.values_mut().for_each(|target| target.address = None);
    let node = NodeName::new("a").unwrap();
    assert_eq!(prober.shared.address(&node), None);
    let of = prober.shared.context.expectations.values().next().unwrap().clone();
    assert_eq!(
        prober.shared.attempt(&of.nodes, &check, Some(&node), &mut kubernetes::Memory::default()).await,
        Answer::no("no address yet")
    );
    let mut snapshot = Snapshot::new([]);
    snapshot.apply(&event(0, Some("a"), lease("os", "offer")));
    prober.learn(&snapshot.addresses, &node);
    assert_eq!(prober.shared.address(&node), None);
    // Another server assigned it, unnoticed by our services.
    let (network, address) = (NetworkName::new("lan").unwrap(), [10, 0, 0, 10].into());
    let (by, from) = (LearnedBy::Neighbour, LearnedFrom::Node);
    snapshot.apply(&event(1, Some("a"), Known::AddressLearned { network, address, by, from }));
    prober.learn(&snapshot.addresses, &node);
    assert_eq!(prober.shared.address(&node), Some([10, 0, 0, 10].into()));
}

#[test]
fn only_news_are_reported() {
    let (yes, no) = (Answer::yes("open"), Answer::no("closed"));
    let second = Duration::from_secs(1);
    let check = |last: &Answer, answer: &Answer, age: Duration, confirm: Duration| {
        is_news(Some(&(RunTime::START, last.clone())), answer, age.into(), confirm.into())
    };
    assert!(is_news(None, &no, RunTime::START, RunTime::NEVER));
    assert!(check(&no, &yes, second / 9, Duration::MAX), "the outcome changed");
    assert!(!check(&yes, &yes, second, Duration::MAX), "nothing changed");
    assert!(check(&yes, &yes, 10 * second, Duration::MAX), "a sign of life");
    assert!(!check(&yes, &Answer::yes("still open"), second, Duration::MAX), "other words wait");
    assert!(check(&yes, &Answer::yes("still open"), 2 * second, Duration::MAX), "other words come");
    assert!(!check(&yes, &yes, 4 * second, 5 * second), "the hold is not over");
    assert!(check(&yes, &yes, 5 * second, 5 * second), "this completes the hold");
    assert!(!check(&no, &no, 5 * second, 5 * second), "a failure completes nothing");
}

#[tokio::test]
async fn probes_start_and_stop_as_they_are_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let (mut prober, said) = prober(ProbedCheck::Tcp { port }, true, None, dir.path());
    let wanted = |confirm_at| WantedProbe {
        expect: ExpectName::new("it").unwrap(),
        node: Some(NodeName::new("a").unwrap()),
        confirm_at,
    };
    prober.set_wanted(vec![wanted(None)]);
    let next = |said: Receiver<Event>| async {
        tokio::task::spawn_blocking(move || (said.recv_timeout(Duration::from_secs(20)).unwrap(), said))
            .await
            .unwrap()
    };
    let (first, said) = next(said).await;
    prober.set_wanted(vec![wanted(Some(first.at + Duration::from_nanos(1)))]);
    let (second, said) = next(said).await;
    assert_eq!(first.kind, second.kind, "the success that completes a hold is told");
    prober.set_wanted(Vec::new());
    assert!(prober.running.is_empty());
    let ended = prober.tasks.join_next().await.unwrap();
    assert!(ended.unwrap_err().is_cancelled());
    assert!(said.try_recv().is_err());
}
