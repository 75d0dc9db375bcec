//! matchbox's gRPC API with generated clients, which know only `src/rpc/proto`, and with other TLS clients.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use common::{DRYRACK, run, stderr, stdout, wait_for};
use dryrack::event::{self, Emitter, Event, Kind};
use dryrack::rpc::{self, Certificates, Store, Tls};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Debian's Python, which finds Debian's grpcio.
const PYTHON: &str = "/usr/bin/python3";
/// How often a server is killed while it writes.
const KILLS: usize = 60;
/// Set in the process of the server that will be killed: its folder and port.
const SERVING: &str = "DRYRACK_TEST_SERVING";
const PORT: &str = "DRYRACK_TEST_PORT";

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// What a client needs: generated code, certificates, and the server's address.
struct Setting {
    folder: tempfile::TempDir,
    port: u16,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let setting = Self { folder, port: 0 };
        setting.init("tls");
        let stubs = setting.path("stubs");
        fs::create_dir(&stubs).expect("a folder");
        let plugin = run(Command::new("sh").args(["-c", "command -v grpc_python_plugin"]));
        let made = run(Command::new("protoc")
            .current_dir(in_project("src/rpc/proto"))
            .arg(format!("--plugin=protoc-gen-grpc={}", succeeds(&plugin).trim()))
            .arg(format!("--python_out={}", stubs.display()))
            .arg(format!("--grpc_out={}", stubs.display()))
            .args(["storagepb.proto", "serverpb.proto", "rpcpb.proto"]));
        succeeds(&made);
        setting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a CA with certificates.
    fn init(&self, name: &str) {
        let into = self.path(name);
        succeeds(&run(Command::new(DRYRACK)
            .current_dir(self.folder.path())
            .args(["tls", "init", "--into"])
            .arg(into)));
    }

    /// Creates a command for the Python client.
    fn python(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PYTHON);
        command.arg(in_project("tests/rpc/client.py"));
        command.arg(self.path("stubs")).arg(self.path("tls")).arg(self.port.to_string()).args(arguments);
        // gRPC logs expected errors at length.
        command.env("GRPC_VERBOSITY", "NONE");
        command
    }

    /// Creates a command for our own client.
    fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(DRYRACK);
        command.args(arguments).arg("--tls").arg(self.path("tls"));
        command.arg("--endpoint").arg(format!("127.0.0.1:{}", self.port));
        command
    }

    /// Performs a TLS handshake with OpenSSL, and sends nothing more.
    fn openssl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        command.current_dir(self.path("tls")).args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{}", self.port),
        ]);
        command.args(["-CAfile", "ca.crt", "-verify_return_error"]).args(arguments);
        run(command.stdin(Stdio::null()))
    }
}

/// Returns the server's certificate files.
fn certificates(folder: &Path) -> Certificates {
    let file = |name: &str| folder.join("tls").join(name);
    Certificates { certificate: file("server.crt"), key: file("server.key"), authority: file("ca.crt") }
}

/// A server in this process.
struct Server {
    setting: Setting,
    events: Arc<Mutex<Vec<Event>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Self {
        Self::start_in(Setting::new())
    }

    fn start_in(mut setting: Setting) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let began = Instant::now();
        let clock = move || {
            let at = began.elapsed().into();
            event::Instant { at, wall: jiff::Timestamp::now() }
        };
        let seen = Arc::clone(&events);
        let sink = move |event| seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        setting.port = listener.local_addr().expect("a port").port();
        let tls = Tls::read(&certificates(setting.folder.path())).expect("certificates");
        fs::create_dir_all(setting.path("data/groups")).expect("a folder");
        let store = Store::open(&setting.path("data"), BTreeMap::new()).expect("a data directory");
        let store = Arc::new(store);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.spawn(rpc::serve(listener, tls, store, Emitter::new(clock, sink)));
        Self { setting, events, _runtime: runtime }
    }

    fn python(&self, arguments: &[&str]) -> String {
        succeeds(&run(&mut self.setting.python(arguments)))
    }

    /// Returns the events as text.
    /// Returns its events when there are so many: a client knows its answer before the server tells of it.
    fn says(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} events"), Duration::from_secs(60), || {
            Some(self.said()).filter(|said| said.len() >= count)
        })
    }

    fn said(&self) -> Vec<String> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |event: &Event| match &event.kind {
            Kind::Known(known) => known.to_string(),
            Kind::Unknown { kind, .. } => kind.clone(),
        };
        events.iter().map(known).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy")),
        }
    }
}

/// The recorded answers of the real server, except two that are replaced.
fn golden() -> String {
    let golden = fs::read_to_string(in_project("tests/matchbox/golden/grpc-head.txt")).expect("a fixture");
    let rows = golden.lines().map(|row| {
        // Path traversal: it reads any file of the data directory with such an ID.
        if row.starts_with("/rpcpb.Groups/GroupGet OK") && row.contains("id: \"p1\"") {
            return "/rpcpb.Groups/GroupGet StatusCode.INVALID_ARGUMENT '`../profiles/p1` leads out of groups/'";
        }
        // It crashes.
        if row.starts_with("empty GroupPut") {
            return "empty GroupPut StatusCode.INVALID_ARGUMENT 'the request has no group'";
        }
        row.trim_end()
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_answer_is_the_real_servers() {
    let server = Server::start();
    let data = server.setting.path("data");
    copy(&in_project("tests/matchbox/data"), &data);
    let seen = server.python(&["golden"]).replace(&data.display().to_string(), "DATA");
    let seen: Vec<&str> = seen.lines().map(str::trim_end).collect();
    assert_eq!(seen.join("\n"), golden());

    let said = server.says(seen.len());
    assert_eq!(said.len(), seen.len(), "{said:?}");
    let of = "CN=client at 127.0.0.1";
    assert!(said.contains(&format!("answered rpcpb.Profiles/ProfilePut of {of} (OK)")), "{said:?}");
    assert!(
        said.contains(&format!("refused rpcpb.Groups/GroupPut of {of} (UNKNOWN): Group requires a Profile")),
        "{said:?}"
    );
    assert!(
        said.contains(&format!("refused rpcpb.Nope/X of {of} (UNIMPLEMENTED): unknown service rpcpb.Nope")),
        "{said:?}"
    );
}

#[test]
fn terraform_creates_reads_and_deletes_ten_nodes_at_once() {
    let server = Server::start();
    let steps = server.python(&["provider"]);
    insta::assert_snapshot!(steps, @"
    create: 10 groups
    read: 10 groups
    read: 10 groups
    create: 10 groups
    read: 10 groups
    delete: 0 groups
    is_gone: 0 groups
    ");
    let data = server.setting.path("data");
    let left = ["groups", "profiles", "ignition", "generic"]
        .map(|folder| fs::read_dir(data.join(folder)).expect("a folder").count());
    assert_eq!(left, [0; 4], "a draft is left, or a file that was deleted");
}

#[test]
fn a_thousand_requests_come_at_once_and_some_are_given_up() {
    let server = Server::start();
    assert_eq!(server.python(&["crowd"]), "answered 2000\n");
}

#[test]
fn what_is_too_large_or_leads_elsewhere_is_refused() {
    let server = Server::start();
    let data = server.setting.path("data").display().to_string();
    let seen = server.python(&["limits"]).replace(&data, "DATA");
    insta::assert_snapshot!(seen, @r"
    StatusCode.RESOURCE_EXHAUSTED grpc: received message larger than max (4194317 vs. 4194304)
    '../x' StatusCode.INVALID_ARGUMENT `../x` leads out of ignition/
    'a/../../x' StatusCode.INVALID_ARGUMENT `a/../../x` leads out of ignition/
    'a\x00b' StatusCode.UNKNOWN invalid character in file path
    '.dryrack-x' StatusCode.INVALID_ARGUMENT `.dryrack-x`: names that begin so are kept for drafts
    'a/.dryrack-x' StatusCode.INVALID_ARGUMENT `a/.dryrack-x`: names that begin so are kept for drafts
    '' StatusCode.UNKNOWN open DATA/ignition: is a directory
    b'{}'
    b'{}'
    b'{}'
    ");
    assert!(!server.setting.path("x").exists());
    assert!(!server.setting.path("data/x").exists());
}

#[test]
fn only_who_shows_a_certificate_of_the_authority_is_let_in() {
    let setting = Setting::new();
    setting.init("other");
    for (from, to) in [("client.crt", "stranger.crt"), ("client.key", "stranger.key")] {
        fs::copy(setting.path("other").join(from), setting.path("tls").join(to)).expect("a copy");
    }
    let server = Server::start_in(setting);
    let seen = [["certificate", "client"], ["certificate", ""], ["certificate", "stranger"]];
    let seen = seen.map(|arguments| server.python(&arguments));
    assert_eq!(seen, ["answered\n", "UNAVAILABLE\n", "UNAVAILABLE\n"]);
    let said = server.says(seen.len());
    for expected in [
        "peer sent no certificates: give it a client certificate and its key (`client_cert`, `client_key`)",
        "invalid peer certificate: UnknownIssuer: it must be signed by the CA certificate of this server",
    ] {
        let expected = format!("TLS handshake with 127.0.0.1 failed: {expected}");
        assert!(said.contains(&expected), "{expected} is not in {said:?}");
    }
}

#[test]
fn tls_is_what_matchbox_has() {
    let server = Server::start();
    let client = ["-cert", "client.crt", "-key", "client.key"];
    let shake = |arguments: &[&str]| {
        let output = server.setting.openssl(&[&client[..], arguments].concat());
        let said = stdout(&output);
        let line = |begin: &str| said.lines().find(|line| line.starts_with(begin)).unwrap_or("-").to_owned();
        format!(
            "{} -> {} | {} | {}",
            arguments.join(" "),
            line("New, "),
            said.lines().find(|line| line.contains("ALPN")).unwrap_or("-"),
            if output.status.success() { "agreed" } else { "refused" }
        )
    };
    let seen = [
        shake(&["-tls1_3", "-alpn", "h2"]),
        shake(&["-tls1_3"]),
        shake(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-alpn", "h2"]),
        shake(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384", "-alpn", "h2"]),
        shake(&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305", "-alpn", "h2"]),
        shake(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA", "-alpn", "h2"]),
        shake(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-alpn", "h2"]),
    ];
    insta::assert_snapshot!(seen.join("\n"), @"
    -tls1_3 -alpn h2 -> New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384 | ALPN protocol: h2 | agreed
    -tls1_3 -> New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384 | No ALPN negotiated | agreed
    -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256 -alpn h2 -> New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256 | ALPN protocol: h2 | agreed
    -tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384 -alpn h2 -> New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384 | ALPN protocol: h2 | agreed
    -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305 -alpn h2 -> New, (NONE), Cipher is (NONE) | No ALPN negotiated | refused
    -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA -alpn h2 -> New, (NONE), Cipher is (NONE) | No ALPN negotiated | refused
    -tls1_1 -cipher DEFAULT@SECLEVEL=0 -alpn h2 -> New, (NONE), Cipher is (NONE) | No ALPN negotiated | refused
    ");
    // The server tells clients its CA, so that they can choose a certificate.
    let told = stdout(&server.setting.openssl(&[&client[..], &["-tls1_2"]].concat()));
    assert!(told.contains("Acceptable client certificate CA names\nCN = Dryrack authority "), "{told}");
    let nobody = server.setting.openssl(&["-tls1_2"]);
    assert!(!nobody.status.success(), "{}", stdout(&nobody));
    // It speaks HTTP, but does not serve browsers.
    let mut curl = Command::new("curl");
    curl.current_dir(server.setting.path("tls")).args(["-sS", "--http2", "--cacert", "ca.crt"]);
    curl.args([
        "--cert",
        "client.crt",
        "--key",
        "client.key",
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}",
    ]);
    let curled = run(curl.arg(format!("https://localhost:{}/", server.setting.port)));
    assert_eq!(succeeds(&curled), "2 405");
}

#[test]
fn an_authority_of_somebody_elses_will_do() {
    let setting = Setting::new();
    // As created by Terraform's resources and matchbox's own script: RSA, and keys in PKCS#1.
    let script = r#"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=fake-ca' -keyout ca.pem -out ca.crt
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -subj "/O=Example/CN=$name" -keyout $name.pem -out $name.csr
            openssl rsa -traditional -in $name.pem -out $name.key
            printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%sAuth\n' $name >$name.ext
            openssl x509 -req -days 2 -in $name.csr -CA ca.crt -CAkey ca.pem -CAcreateserial -extfile $name.ext -out $name.crt
        done
        head -n 1 server.key
    "#;
    let made = run(Command::new("sh").current_dir(setting.path("tls")).args(["-c", script]));
    assert_eq!(succeeds(&made), "-----BEGIN RSA PRIVATE KEY-----\n");
    let server = Server::start_in(setting);
    assert_eq!(server.python(&["certificate", "client"]), "answered\n");
    let said = server.says(1);
    assert_eq!(said, ["answered rpcpb.Groups/GroupList of CN=client,O=Example at 127.0.0.1 (OK)"]);
}

/// Makes the certificates of `certificates.sh` in the folder of a setting, in the place of those that are there.
fn make_certificates(setting: &Setting) {
    let mut command = Command::new("sh");
    command.current_dir(setting.path("tls")).arg(in_project("tests/rpc/certificates.sh"));
    succeeds(&run(&mut command));
}

impl Setting {
    /// Performs a request with curl as a client; returns HTTP version and status, or `refused`.
    fn curl(&self, client: &str, version: &str) -> String {
        let mut curl = Command::new("curl");
        curl.current_dir(self.path("tls")).args(["-sS", "--http2", "--cacert", "ca.crt"]);
        // OpenSSL would not use the short keys otherwise.
        let lenient =
            "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nCipherString=DEFAULT@SECLEVEL=0\n";
        fs::write(self.path("openssl.cnf"), lenient).expect("a file");
        curl.env("OPENSSL_CONF", self.path("openssl.cnf")).args(["--tlsv1.2", "--tls-max", version]);
        curl.args(["--cert", &format!("{client}.crt"), "--key", &format!("{client}.key")]);
        curl.args(["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]);
        let output = run(curl.arg(format!("https://localhost:{}/", self.port)));
        if output.status.success() { stdout(&output) } else { "refused".to_owned() }
    }
}

#[test]
fn certificates_are_accepted_and_refused_as_by_go() {
    let setting = Setting::new();
    make_certificates(&setting);
    let server = Server::start_in(setting);
    for client in [
        "v1",
        "usual",
        "any",
        "is-ca",
        "p521",
        "p384",
        "sha512",
        "rsa1024",
        "rsa2048",
        "ed25519",
        "by-middle",
        "named",
        "own",
    ] {
        for version in ["1.2", "1.3"] {
            assert_eq!(
                server.setting.curl(client, version),
                "2 405",
                "{client} {version} {:?}",
                server.said()
            );
        }
    }
    let clients = ["v1", "any", "is-ca", "p521", "sha512"];
    for client in clients {
        assert_eq!(server.python(&["certificate", client]), "answered\n", "{client}");
    }
    let before = server.says(clients.len()).len();
    let mut lines = Vec::new();
    for client in [
        "stranger",
        "forged",
        "expired",
        "rsa768",
        "sha1",
        "of-server",
        "by-mute",
        "by-servers",
        "by-leaf",
        "too-deep",
        "misnamed",
        "critical",
    ] {
        for version in ["1.2", "1.3"] {
            assert_eq!(server.setting.curl(client, version), "refused", "{client} {version}");
        }
        wait_for("both refusals", Duration::from_secs(60), || {
            (server.said().len() == before + 2 * (lines.len() + 1)).then_some(())
        });
        let said = server.said();
        let [.., one, other] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(one, other, "the version of TLS makes no difference");
        lines.push(format!(
            "{client:10} {}",
            one.replace("TLS handshake with 127.0.0.1 failed: invalid peer certificate: ", "")
        ));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    stranger   UnknownIssuer: it must be signed by the CA certificate of this server
    forged     BadSignature: it must be signed by the CA certificate of this server
    expired    Expired: renew it or its CA certificate, and check the clocks of both sides
    rsa768     its key type is not supported: use P-256, P-384, P-521, Ed25519, or RSA with 1024 to 8192 bits
    sha1       signed with an algorithm that is not supported: 1.2.840.10045.4.1: sign it with SHA-256, SHA-384 or SHA-512
    of-server  InvalidPurpose: its extended key usage, and that of its CA certificates, must contain clientAuth if there is one
    by-mute    signed by `CN=ca-mute`, whose key usage does not permit it to sign certificates: add keyCertSign to the key usage of that certificate, or remove the key usage
    by-servers InvalidPurpose: its extended key usage, and that of its CA certificates, must contain clientAuth if there is one
    by-leaf    signed by `CN=usual`, which is not a CA certificate: sign it with a CA certificate (basicConstraints CA:TRUE)
    too-deep   signed by `CN=ca-short`, whose path length permits no further CA certificate: sign it with that certificate itself, or remove its path length
    misnamed   NameConstraintViolation
    critical   UnhandledCriticalExtension
    ");
}

#[test]
fn one_certificate_of_any_key_is_authority_server_and_client() {
    for (key, client) in [
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-256", true),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-521", true),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha512", true),
        ("-newkey rsa:1024", false),
        ("-newkey rsa:2048", true),
        ("-newkey ed25519", true),
    ] {
        let setting = Setting::new();
        let script = format!(
            "openssl req -x509 {key} -nodes -days 2 -subj /CN=all -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
             -keyout all.key -out all.crt\n\
             for name in ca server client; do cp all.crt $name.crt; cp all.key $name.key; done"
        );
        succeeds(&run(Command::new("sh").current_dir(setting.path("tls")).args(["-ec", &script])));
        let server = Server::start_in(setting);
        for version in ["1.2", "1.3"] {
            assert_eq!(
                server.setting.curl("client", version),
                "2 405",
                "{key} {version} {:?}",
                server.said()
            );
        }
        let listed = succeeds(&run(&mut server.setting.verb(&["group", "list"])));
        assert!(listed.starts_with("ID "), "{key}: {listed}");
        // Debian's gRPC refuses short keys itself.
        if client {
            assert_eq!(server.python(&["certificate", "client"]), "answered\n", "{key}");
        }
    }
}

#[test]
fn our_own_client_refuses_servers_as_go_does() {
    let setting = Setting::new();
    make_certificates(&setting);
    let serve = |name: &str| {
        let certificates = Certificates {
            certificate: setting.path(&format!("tls/{name}.crt")),
            key: setting.path(&format!("tls/{name}.key")),
            authority: setting.path("tls/ca.crt"),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        fs::create_dir_all(setting.path("data/groups")).expect("a folder");
        let store = Store::open(&setting.path("data"), BTreeMap::new()).expect("a data directory");
        let tls = Tls::read(&certificates).expect("certificates");
        let clock = || event::Instant { at: Duration::ZERO.into(), wall: jiff::Timestamp::now() };
        runtime.spawn(rpc::serve(listener, tls, Arc::new(store), Emitter::new(clock, |_| {})));
        let tls = setting.path("tls");
        let mut verb = Command::new(DRYRACK);
        verb.args(["group", "list", "--endpoint", &format!("localhost:{port}")]);
        for (flag, file) in [("--ca-file", "ca.crt"), ("--cert-file", "v1.crt"), ("--key-file", "v1.key")] {
            verb.arg(flag).arg(tls.join(file));
        }
        let output = run(&mut verb);
        let shown = stderr(&output);
        format!("{name:9} {}", shown.lines().next().unwrap_or("accepted").replace(&port.to_string(), "PORT"))
    };
    let seen = ["server", "own", "v1", "usual", "stranger"].map(serve);
    insta::assert_snapshot!(seen.join("\n"), @"
    server    accepted
    own       accepted
    v1        error: untrusted certificate in the connection to localhost:PORT: invalid peer certificate: NotValidForName
    usual     error: untrusted certificate in the connection to localhost:PORT: invalid peer certificate: InvalidPurpose
    stranger  error: untrusted certificate in the connection to localhost:PORT: invalid peer certificate: UnknownIssuer
    ");
}

/// A server in its own process, which can be killed: this test again, in server mode.
fn start_apart(setting: &Setting) -> Child {
    let mut command = Command::new(env::current_exe().expect("a test is a program"));
    command.args(["--exact", "a_server_that_is_killed_leaves_no_half_of_a_file"]);
    command.env(SERVING, setting.folder.path()).env(PORT, setting.port.to_string());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("a test is a program");
    wait_for("the server to listen", Duration::from_secs(20), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, setting.port)).ok()
    });
    child
}

/// Serves until it is killed.
fn serve_for_good(folder: &Path, port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port");
    let tls = Tls::read(&certificates(folder)).expect("certificates");
    let store = Store::open(&folder.join("data"), BTreeMap::new()).expect("a data directory");
    let began = Instant::now();
    let clock = move || event::Instant { at: began.elapsed().into(), wall: jiff::Timestamp::now() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(rpc::serve(listener, tls, Arc::new(store), Emitter::new(clock, drop)));
}

/// Counts the drafts that a killed server has left.
fn drafts(data: &Path) -> usize {
    let folders = ["groups", "profiles", "ignition", "generic"].map(|folder| fs::read_dir(data.join(folder)));
    let names = folders.into_iter().flatten().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".dryrack-")).count()
}

/// Parses an Ignition config of the client's `writer`; returns the turn in which it was written, if it is complete.
fn turn_of_config(bytes: &[u8]) -> Option<u64> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
    let sum: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let head = std::str::from_utf8(body.split(|byte| *byte == b'\n').next()?).ok()?;
    (sum.as_bytes() == digest).then(|| head.split(' ').nth(1)?.parse().ok())?
}

/// Parses a group or profile of the client's `writer`; returns the turn in which it was written, if it is complete.
fn turn_of_json(who: usize, bytes: &[u8]) -> Option<u64> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let turn: u64 = match value.get("metadata") {
        Some(metadata) => {
            let turn = metadata["turn"].as_str()?;
            let words = metadata.as_object()?.iter().filter(|(key, _)| key.starts_with("word"));
            let right = words.filter(|(_, word)| word.as_str() == Some(&format!("{}{turn}", "x".repeat(50))));
            (right.count() == who * 20 + 1).then(|| turn.parse().ok())?
        }
        None => {
            let args = value["boot"].get("args").and_then(Value::as_array).map_or(0, Vec::len);
            (args == who * 20).then(|| value["boot"]["kernel"].as_str()?.parse().ok())?
        }
    }?;
    (value["id"] == format!("w{who}")).then_some(turn)
}

#[test]
fn a_server_that_is_killed_leaves_no_half_of_a_file() {
    const WRITERS: usize = 8;
    if let (Some(folder), Some(port)) = (env::var_os(SERVING), env::var(PORT).ok()) {
        return serve_for_good(Path::new(&folder), port.parse().expect("a port"));
    }
    let mut setting = Setting::new();
    setting.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let data = setting.path("data");
    fs::create_dir(&data).expect("a folder");
    let mut server = start_apart(&setting);
    let mut writer = setting.python(&["writer", &WRITERS.to_string()]);
    let mut writer = writer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
    // The last acknowledged turn of each writer.
    let answered = Arc::new(Mutex::new(HashMap::<usize, u64>::new()));
    let lines = BufReader::new(writer.stdout.take().expect("a pipe")).lines();
    let heard = Arc::clone(&answered);
    let listener = thread::spawn(move || {
        for line in lines {
            let line = line.expect("text");
            let (who, turn) = line.split_once(' ').expect("two numbers");
            let (who, turn) = (who.parse().expect("a number"), turn.parse().expect("a number"));
            heard.lock().unwrap_or_else(PoisonError::into_inner).insert(who, turn);
        }
    });
    let answered = || answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    wait_for("every writer to be answered", Duration::from_secs(60), || {
        (answered().len() == WRITERS).then_some(())
    });

    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos();
    let mut random = u64::from(seed);
    let (mut read, mut left) = (0, 0);
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = answered();
        wait_for("writing to go on", Duration::from_secs(30), || (answered() != before).then_some(()));
        thread::sleep(Duration::from_micros((random >> 33) % 100_000));
        server.kill().expect("it runs");
        server.wait().expect("it was killed");
        let promised = answered();
        left += drafts(&data);
        for who in 0..WRITERS {
            let places = ["ignition/wN.ign", "profiles/wN.json", "groups/wN.json"];
            for place in places.map(|place| place.replace('N', &who.to_string())) {
                let bytes = fs::read(data.join(&place)).expect("it was written before the first kill");
                let turn = match place.ends_with(".ign") {
                    true => turn_of_config(&bytes),
                    false => turn_of_json(who, &bytes),
                };
                let why = || format!("kill {kill} (seed {seed}): {place} with {} bytes", bytes.len());
                let turn = turn.unwrap_or_else(|| panic!("{} is not whole", why()));
                assert!(turn >= promised[&who], "{}: {turn} is older than {}", why(), promised[&who]);
                read += 1;
            }
        }
        server = start_apart(&setting);
        if kill % 10 == 0 {
            let listed = succeeds(&run(&mut setting.verb(&["group", "list", "--json"])));
            let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
            assert_eq!(listed.len(), WRITERS);
        }
    }
    writer.stdin.take().expect("a pipe").write_all(b"end\n").expect("it listens");
    succeeds(&writer.wait_with_output().expect("Python"));
    listener.join().expect("nothing but numbers");
    server.kill().expect("it runs");
    server.wait().expect("it was killed");
    assert!(left > 0, "no kill came while something was written, so this has shown nothing");
    assert_eq!(read, KILLS * WRITERS * 3);
    Store::open(&data, BTreeMap::new()).expect("a data directory");
    assert_eq!(drafts(&data), 0);
}

#[test]
fn our_own_verbs_are_another_client() {
    let server = Server::start();
    let folder = server.setting.path("files");
    fs::create_dir(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a file");
        folder.join(name).display().to_string()
    };
    let verb = |arguments: &[&str]| {
        let output = run(&mut server.setting.verb(arguments));
        let status = output.status.code().expect("it ends");
        let shown = format!("{}{}", stdout(&output), stderr(&output));
        let shown = shown.replace(&server.setting.path("").display().to_string(), "/HERE/");
        format!("$ dryrack {}\n{shown}[{status}]\n", arguments[..2].join(" "))
    };
    let profile = file(
        "p.json",
        r#"{"id":"p","name":"P","ignition_id":"a.ign","boot":{"kernel":"/k","initrd":["/i"],"args":["a","b"]}}"#,
    );
    let plain = file("q.json", r#"{"id":"q"}"#);
    let group = file(
        "g.json",
        r#"{"id":"g","profile":"p","selector":{"mac":"52-54-00-AA-BB-CC","os":"installed"},"metadata":{"b":1,"a":"<"}}"#,
    );
    let broken = file("broken.json", "{\n\"id\":");
    let config = file("a.ign", "{\"ignition\":{}}");
    let seen = [
        verb(&["profile", "create", "--file", &profile]),
        verb(&["profile", "create", "-f", &plain, "--json"]),
        verb(&["profile", "list"]),
        verb(&["profile", "describe", "p"]),
        verb(&["profile", "describe", "p", "--json"]),
        verb(&["group", "create", "-f", &group]),
        verb(&["group", "list"]),
        verb(&["group", "describe", "g"]),
        verb(&["group", "describe", "g", "--json"]),
        verb(&["group", "create", "-f", &broken]),
        verb(&["group", "describe", "none"]),
        verb(&["group", "delete", "g"]),
        verb(&["group", "list", "--json"]),
        verb(&["ignition", "create", "-f", &config]),
        verb(&["ignition", "describe", "a.ign"]),
        verb(&["ignition", "describe", "a.ign", "--json"]),
        verb(&["ignition", "delete", "a.ign"]),
        verb(&["generic", "describe", "../x"]),
    ];
    insta::assert_snapshot!(seen.concat(), @r#"
    $ dryrack profile create
    created profile p
    [0]
    $ dryrack profile create
    {
      "created": {
        "profile": "q"
      }
    }
    [0]
    $ dryrack profile list
    ID  PROFILE NAME  IGNITION  CLOUD
    p   P             a.ign
    q
    [0]
    $ dryrack profile describe
    ID  NAME  IGNITION  CLOUD  KERNEL  INITRD  ARGS
    p   P     a.ign            /k      /i      a b
    [0]
    $ dryrack profile describe
    {
      "id": "p",
      "name": "P",
      "ignition_id": "a.ign",
      "cloud_id": "",
      "boot": {
        "kernel": "/k",
        "initrd": [
          "/i"
        ],
        "args": [
          "a",
          "b"
        ]
      },
      "generic_id": ""
    }
    [0]
    $ dryrack group create
    created group g
    [0]
    $ dryrack group list
    ID  GROUP NAME  SELECTORS                           PROFILE
    g               mac=52:54:00:aa:bb:cc os=installed  p
    [0]
    $ dryrack group describe
    ID  NAME  SELECTORS                           PROFILE  METADATA
    g         mac=52:54:00:aa:bb:cc os=installed  p        {"a":"\u003c","b":1}
    [0]
    $ dryrack group describe
    {
      "id": "g",
      "name": "",
      "profile": "p",
      "selector": {
        "mac": "52:54:00:aa:bb:cc",
        "os": "installed"
      },
      "metadata": {
        "a": "<",
        "b": 1
      }
    }
    [0]
    $ dryrack group create
    error: /HERE/files/broken.json:2: unexpected end of JSON input
    [2]
    $ dryrack group describe
    error: refused by the server (UNKNOWN): open /HERE/data/groups/none.json: no such file or directory
    [2]
    $ dryrack group delete
    deleted group g
    [0]
    $ dryrack group list
    []
    [0]
    $ dryrack ignition create
    created ignition a.ign
    [0]
    $ dryrack ignition describe
    {"ignition":{}}[0]
    $ dryrack ignition describe
    {
      "name": "a.ign",
      "config": "{\"ignition\":{}}"
    }
    [0]
    $ dryrack ignition delete
    deleted ignition a.ign
    [0]
    $ dryrack generic describe
    error: refused by the server (INVALID_ARGUMENT): `../x` leads out of generic/
    [2]
    "#);
    assert_eq!(
        fs::read_to_string(server.setting.path("data/profiles/q.json")).expect("a file"),
        "{\n\t\"id\": \"q\"\n}"
    );
}

#[test]
fn what_keeps_a_client_from_a_server_is_said() {
    let server = Server::start();
    server.setting.init("other");
    let verb = |arguments: &[&str]| {
        let mut command = Command::new(DRYRACK);
        let output =
            run(command.current_dir(server.setting.path("")).args(["group", "list"]).args(arguments));
        let shown = stderr(&output).replace(&server.setting.port.to_string(), "PORT");
        format!(
            "$ {}\n{shown}[{}]\n",
            arguments.join(" ").replace(&server.setting.port.to_string(), "PORT"),
            output.status.code().expect("it ends")
        )
    };
    let here = format!("127.0.0.1:{}", server.setting.port);
    let seen = [
        verb(&["--tls", "tls", "--endpoint", "127.0.0.1"]),
        verb(&["--tls", "tls", "--endpoints", "127.0.0.1:1"]),
        verb(&["--tls", "none", "--endpoint", &here]),
        verb(&["--tls", "other", "--endpoint", &here]),
        verb(&["--tls", "tls", "--cert-file", "other/client.crt", "--endpoint", &here]),
        verb(&["--tls", "tls", "--key-file", "tls/client.crt", "--endpoint", &here]),
    ];
    insta::assert_snapshot!(seen.concat(), @"
    $ --tls tls --endpoint 127.0.0.1
    error: invalid endpoint `127.0.0.1`

    hint: write it as HOST:PORT, as in 127.0.0.1:8081
    [2]
    $ --tls tls --endpoints 127.0.0.1:1
    error: cannot connect to 127.0.0.1:1: Connection refused (os error 111)

    hint: check that the server runs with `-rpc-address` or, in a lab, with `rpc`
    [3]
    $ --tls none --endpoint 127.0.0.1:PORT
    error: cannot read none/client.crt: No such file or directory (os error 2)

    hint: `dryrack tls init` creates a CA and certificates for both sides
    [3]
    $ --tls other --endpoint 127.0.0.1:PORT
    error: untrusted certificate in the connection to 127.0.0.1:PORT: invalid peer certificate: UnknownIssuer

    hint: both certificates must be signed by the CA in `--ca-file`, and the server certificate must contain the name or address in `--endpoint`
    [3]
    $ --tls tls --cert-file other/client.crt --endpoint 127.0.0.1:PORT
    error: cannot use other/client.crt with tls/client.key: keys may not be consistent: KeyMismatch

    hint: the key must match the certificate
    [3]
    $ --tls tls --key-file tls/client.crt --endpoint 127.0.0.1:PORT
    error: tls/client.crt contains no private key in PEM format: no items found
    [3]
    ");
    // In TLS 1.3, the server checks our certificate after the handshake.
    let unknown = verb(&["--tls", "other", "--ca-file", "tls/ca.crt", "--endpoint", &here]);
    assert!(unknown.contains("error: connection closed by the server: "), "{unknown}");
    assert!(
        unknown.contains("hint: the client certificate must be signed by") && unknown.ends_with("[3]\n"),
        "{unknown}"
    );
}

#[test]
fn certificates_are_made_for_a_lab() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = r#"
        dryrack = 1
        [network.one]
        address = "10.0.2.1/24"
        matchbox = { data = "matchbox", rpc = { tls = "tls" } }
        [network.one.dns.records]
        "matchbox.local." = "10.0.2.1"
        [network.two]
        address = "10.0.3.1/24"
    "#;
    fs::write(folder.path().join("lab.toml"), lab).expect("a file");
    let init = |arguments: &[&str]| {
        let mut command = Command::new(DRYRACK);
        let output = run(command.current_dir(folder.path()).args(["tls", "init"]).args(arguments));
        let shown = format!("{}{}", stdout(&output), stderr(&output));
        let shown = shown.replace(&folder.path().display().to_string(), "/HERE");
        format!(
            "$ dryrack tls init {}\n{shown}[{}]\n",
            arguments.join(" "),
            output.status.code().expect("it ends")
        )
    };
    let seen = [
        init(&["."]),
        init(&[]),
        init(&["lab.toml", "--force", "--json", "--name", "more.example", "--address", "192.0.2.1"]),
        init(&["--into", "odd", "--name", "no name"]),
        init(&["--into", "odd", "--days", "0"]),
    ];
    insta::assert_snapshot!(seen.concat(), @r#"
    $ dryrack tls init .
    wrote /HERE/tls/ca.crt
    wrote /HERE/tls/ca.key
    wrote /HERE/tls/server.crt
    wrote /HERE/tls/server.key
    wrote /HERE/tls/client.crt
    wrote /HERE/tls/client.key

    the server is lab, localhost, matchbox.local, ns.lab, 10.0.2.1, 127.0.0.1, ::1
    [0]
    $ dryrack tls init 
    error: tls/ca.crt is there already

    hint: `--force` overwrites them; clients with the old certificates are rejected from then on
    [2]
    $ dryrack tls init lab.toml --force --json --name more.example --address 192.0.2.1
    [
      "/HERE/tls/ca.crt",
      "/HERE/tls/ca.key",
      "/HERE/tls/server.crt",
      "/HERE/tls/server.key",
      "/HERE/tls/client.crt",
      "/HERE/tls/client.key"
    ]
    [0]
    $ dryrack tls init --into odd --name no name
    error: invalid value 'no name' for '--name <NAME>': not a DNS name

    For more information, try '--help'.
    [2]
    $ dryrack tls init --into odd --days 0
    error: no certificate is valid for 0 days

    hint: `--days 3650` is ten years
    [2]
    "#);
    let shown = run(Command::new("openssl").current_dir(folder.path().join("tls")).args([
        "x509",
        "-noout",
        "-in",
        "server.crt",
        "-issuer",
        "-subject",
        "-ext",
        "subjectAltName,extendedKeyUsage",
    ]));
    let shown = succeeds(&shown);
    // Each CA has a unique name.
    let (name, rest) =
        shown.split_once("authority ").and_then(|(_, name)| name.split_at_checked(8)).expect("a name");
    assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.starts_with('\n'), "{shown}");
    insta::assert_snapshot!(shown.replace(name, "KEY"), @"
    issuer=CN = Dryrack authority KEY
    subject=CN = server
    X509v3 Subject Alternative Name: 
        IP Address:10.0.2.1, IP Address:127.0.0.1, IP Address:192.0.2.1, IP Address:0:0:0:0:0:0:0:1, DNS:lab, DNS:localhost, DNS:matchbox.local, DNS:more.example, DNS:ns.lab
    X509v3 Extended Key Usage: 
        TLS Web Server Authentication
    ");
    let checked = run(Command::new("openssl").current_dir(folder.path().join("tls")).args([
        "verify",
        "-x509_strict",
        "-CAfile",
        "ca.crt",
        "server.crt",
        "client.crt",
    ]));
    assert_eq!(succeeds(&checked), "server.crt: OK\nclient.crt: OK\n");
}
