//! Start and termination.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use nix::sys::signal::Signal;

use super::server::{DRYRACK, Server, ask, copy, fixtures};

#[test]
fn variables_alone_start_it_as_a_systemd_unit_does() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&fixtures().join("data"), folder.path());
    let mut command = Command::new(DRYRACK);
    command.arg("matchbox").env_clear().env("MATCHBOX_ADDRESS", "127.0.0.1:0");
    command
        .env("MATCHBOX_DATA_PATH", folder.path())
        .env("MATCHBOX_ASSETS_PATH", folder.path().join("assets"));
    command.env("MATCHBOX_LOG_LEVEL", "").current_dir("/");
    let mut server = Server::of(&mut command);
    assert_eq!(server.get("/"), "200 matchbox\n");
    assert_eq!(server.get("/assets/k"), "200 KERNEL\n");
    let (status, log) = server.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let lines: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(" level=")?.1)).collect();
    let unusable = "warning msg=\"cannot use groups/badmac.json: address nonsense: invalid MAC address\"";
    let starting = format!("info msg=\"Starting matchbox HTTP server on {}\"", server.at);
    assert_eq!(lines, [&starting, unusable, "info msg=\"HTTP GET /\"", "info msg=\"HTTP GET /assets/k\""]);
}

#[test]
fn who_is_being_served_is_served_to_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("large"), vec![7; 32 << 20]).expect("a file");
    let mut server = Server::start(folder.path(), &["-assets-path".as_ref(), folder.path().as_os_str()]);
    let mut stream = TcpStream::connect(&server.at).expect("a connection");
    let mut idle = TcpStream::connect(&server.at).expect("a connection");
    stream.write_all(b"GET /assets/large HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    stream.read_exact(&mut [0; 1000]).expect("a beginning");
    let at = server.at.clone();
    let rest = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map(|_| rest.len())
    });
    let (status, _) = server.end(Signal::SIGINT);
    assert_eq!(status.code(), Some(0));
    let rest = rest.join().expect("a reader").expect("the rest");
    assert!(rest + 1000 > 32 << 20, "{rest} bytes more");
    assert_eq!(idle.read(&mut [0; 1]).expect("an end"), 0);
    assert!(TcpStream::connect(at).is_err(), "nobody listens any more");
}

#[test]
fn the_first_process_of_a_container_ends_when_it_is_told() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", DRYRACK, "matchbox"]);
    command.args(["-address", "127.0.0.1:0", "-assets-path=", "-data-path"]).arg(fixtures().join("data"));
    let server = Server::of(&mut command);
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let child: i32 = fs::read_to_string(children).expect("its children").trim().parse().expect("one");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGTERM).expect("it runs");
    // `unshare` exits like its child.
    let status = nix::sys::wait::waitpid(server.pid(), None).expect("it ends");
    assert_eq!(status, nix::sys::wait::WaitStatus::Exited(server.pid(), 0));
}

/// Runs it where it cannot start; returns exit code and output.
fn refused(args: &[&str]) -> String {
    let mut command = Command::new(DRYRACK);
    let output = command.arg("matchbox").args(args).env_clear().current_dir("/").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = said.split_once(" level=").map_or(said.clone(), |(_, said)| said.to_owned());
    format!("{} {}", output.status.code().expect("a code"), said.lines().next().unwrap_or_default())
}

#[test]
fn what_is_missing_is_told_before_it_starts() {
    let data = fixtures().join("data").display().to_string();
    let with = |more: &[&str]| refused(&[&["-data-path", &data, "-assets-path="], more].concat());
    let said = [
        refused(&[]),
        refused(&["-data-path", "/etc/hostname"]),
        refused(&["-data-path", &data, "-assets-path", "/nowhere"]),
        refused(&["-nope"]),
        refused(&["-web-ssl=maybe"]),
        with(&["-address", ""]),
        with(&["-address", "127.0.0.1:http-alt"]),
        with(&["-log-level", "loud"]),
        with(&["-rpc-address", "127.0.0.1:0"]),
        with(&["-web-ssl"]),
        with(&["-key-ring-path", "/nowhere"]),
    ];
    insta::assert_snapshot!(said.join("\n").replace(&data, "[DATA]"), @r#"
    1 fatal msg="A valid -data-path is required"
    1 fatal msg="A valid -data-path is required"
    1 fatal msg="Provide a valid -assets-path or '' to disable asset serving: /nowhere"
    2 flag provided but not defined: -nope
    2 invalid boolean value "maybe" for -web-ssl: parse error
    1 fatal msg="A valid HTTP listen address is required"
    1 fatal msg="failed to start listening on 127.0.0.1:http-alt: invalid port value"
    1 fatal msg="invalid log-level: not a valid logrus Level: \"loud\""
    1 fatal msg="Provide a valid TLS server certificate with -cert-file: stat /etc/matchbox/server.crt: No such file or directory (os error 2)"
    1 fatal msg="Provide a valid SSL server certificate with -web-cert-file: stat /etc/matchbox/ssl/server.crt: No such file or directory (os error 2)"
    1 fatal msg="cannot read the key ring /nowhere: No such file or directory (os error 2)"
    "#);
}

#[test]
fn terraform_writes_where_machines_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["data", "tls"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    let mut init = Command::new(DRYRACK);
    init.args(["tls", "init", "--into"]).arg(at("tls")).current_dir(folder.path());
    let made = init.env("DRYRACK_STATE", folder.path()).output().expect("it starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = Command::new(DRYRACK);
    command.args(["matchbox", "-address", "127.0.0.1:0", "-rpc-address", "127.0.0.1:0", "-assets-path="]);
    command.arg("-data-path").arg(at("data")).arg("-cert-file").arg(at("tls/server.crt"));
    command.arg("-key-file").arg(at("tls/server.key")).arg("-ca-file").arg(at("tls/ca.crt"));
    let server = Server::of(&mut command);
    let rpc = server.rpc.clone().expect("it says where gRPC is");
    let put = |verb: &str, file: &str, text: &str| {
        fs::write(at(file), text).expect("a file");
        let mut create = Command::new(DRYRACK);
        create.args([verb, "create", "--endpoint", &rpc, "--tls"]).arg(at("tls")).arg("--file").arg(at(file));
        let done = create.env("DRYRACK_STATE", folder.path()).output().expect("it starts");
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
    };
    assert_eq!(server.get("/ipxe?os=x"), "404 404 page not found\n");
    put("profile", "p.json", r#"{"id":"p","boot":{"kernel":"k"}}"#);
    put("group", "g.json", r#"{"id":"g","profile":"p","selector":{"os":"x"}}"#);
    assert_eq!(server.get("/ipxe?os=x"), "200 #!ipxe\nkernel k\nboot\n");
}

#[test]
fn https_is_spoken_instead_of_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=matchbox"]);
    openssl
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    let made = openssl.output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let flags = ["-web-ssl", "-assets-path=", "-web-cert-file"].map(Into::into);
    let files = [certificate.clone().into_os_string(), "-web-key-file".into(), key.into_os_string()];
    let server = Server::start(&fixtures().join("data"), &[&flags[..], &files[..]].concat());
    let url = format!("https://{}/ipxe?sel=idm", server.at);
    let reply = ask(&url, &["--http1.1", "--cacert", certificate.to_str().expect("a path")]);
    assert_eq!((reply.status, &*reply.body), (200, &b"#!ipxe\nkernel K\nboot\n"[..]));
}
