//! Attempts against recorded answers, over the TLS of another implementation, with certificates of OpenSSL.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::super::tests::prober;
use super::*;
use crate::hint::Hint as _;
use crate::lab::{KubeconfigSource, Pattern};

/// The answers that are judged in `kubernetes::readiness`.
const V1_31: &str = include_str!("../../../kubernetes/recorded/v1.31.json");

/// An API server: whoever has a certificate of its authority, or the token, gets the recorded answers.
const SERVER: &str = r#"
import http.server, json, ssl, sys

answers, folder = json.load(open(sys.argv[1])), sys.argv[2]

class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def date_time_string(self, timestamp=None):
        return "Sun, 29 Nov 2026 10:00:10 GMT"
    def log_message(self, *what):
        pass
    def do_GET(self):
        path = self.path.split("?")[0]
        known = self.connection.getpeercert() or self.headers["Authorization"] == "Bearer hunter2"
        status, body = answers.get("$" + self.path) or answers.get("$" + path) or (200, answers.get(path))
        if body is None:
            status, body = 404, {"kind": "Status", "message": "the server could not find it"}
        elif not known and path not in answers["$open"]:
            status, body = 401, {"kind": "Status", "message": "Unauthorized"}
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
context.load_verify_locations(folder + "/ca.pem")
context.verify_mode = ssl.CERT_OPTIONAL
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// An API server on the loopback, with its folder of certificates.
struct ApiServer {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
    /// How many kubeconfigs were written.
    written: Cell<usize>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl ApiServer {
    /// Starts one with the recorded answers after a change. Keys with `$` are statuses and bodies.
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made =
            Command::new("sh").args(["-ec", CERTIFICATES]).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut answers: Value = serde_json::from_str(V1_31).unwrap();
        answers["/readyz"] = json!("ok");
        answers["$open"] = json!(["/readyz", "/version"]);
        change(&mut answers);
        let file = folder.path().join("answers.json");
        std::fs::write(&file, answers.to_string()).unwrap();
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args([&file, folder.path()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self {
            port: line.trim().parse().expect("the server tells its port"),
            folder,
            child,
            written: Cell::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a kubeconfig, with lines of the cluster and of the user.
    fn kubeconfig(&self, cluster: &str, user: &str) -> KubeconfigSource {
        let text = format!(
            "clusters: [{{ name: c, cluster: {{ server: 'https://127.0.0.1:{}', {cluster} }} }}]\n\
             users: [{{ name: u, user: {{ {user} }} }}]\n\
             contexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\n",
            self.port
        );
        let number = self.written.replace(self.written.get() + 1);
        let path = self.path(&format!("config-{number}"));
        std::fs::write(&path, text).unwrap();
        KubeconfigSource::File(path)
    }

    /// The usual one: files beside it.
    fn admin(&self) -> KubeconfigSource {
        self.kubeconfig(
            "certificate-authority: ca.pem",
            "client-certificate: admin.pem, client-key: admin.key",
        )
    }

    /// Makes one attempt; returns the verdict with its evidence.
    async fn seen(&self, change: impl FnOnce(&mut KubernetesCheck)) -> String {
        let seen = attempt(&self.check(change), self.folder.path()).await;
        seen.replace(&self.port.to_string(), "PORT").replace(self.folder.path().to_str().unwrap(), "FOLDER")
    }

    fn check(&self, change: impl FnOnce(&mut KubernetesCheck)) -> KubernetesCheck {
        let mut check = KubernetesCheck {
            on: NodeName::new("a").unwrap(),
            port: self.port,
            nodes: None,
            version: None,
            namespaces: vec!["kube-system".to_owned()],
            kubeconfig: Some(self.admin()),
            exec_plugins: false,
        };
        change(&mut check);
        check
    }
}

/// An authority, a server at the loopback, a client, and another authority.
const CERTIFICATES: &str = r#"
new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
$new -subj /CN=ca -keyout ca.key -out ca.pem
$new -subj /CN=other -keyout other.key -out other.pem
$new -subj /CN=server -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem \
    -addext basicConstraints=CA:FALSE -addext subjectAltName=IP:127.0.0.1,DNS:kubernetes
$new -subj /O=system:masters/CN=admin -CA ca.pem -CAkey ca.key -keyout admin.key -out admin.pem \
    -addext basicConstraints=CA:FALSE
"#;

async fn attempt(check: &KubernetesCheck, run_dir: &Path) -> String {
    let probed = ProbedCheck::Kubernetes(Box::new(check.clone()));
    let (prober, _said) = prober(probed, true, None, run_dir);
    let of = prober.shared.context.expectations.values().next().unwrap();
    let Answer { ok, seen, evidence, .. } = probe(&prober.shared, of, check, &mut Memory::default()).await;
    let evidence: String = evidence.iter().map(|line| format!("\n  {line}")).collect();
    format!("{ok}: {seen}{evidence}")
}

#[tokio::test]
async fn a_cluster_is_asked_with_and_without_credentials() {
    let api = ApiServer::new(|_| ());
    assert_eq!(
        api.seen(|check| check.kubeconfig = None).await,
        "true: Kubernetes v1.31.2, the API server is ready"
    );
    let ready = "true: Kubernetes v1.31.2, 2 nodes ready, 3 pods in kube-system";
    assert_eq!(api.seen(|_| ()).await, ready);
    let by_token = api.kubeconfig("certificate-authority: ca.pem", "token: hunter2");
    assert_eq!(api.seen(|check| check.kubeconfig = Some(by_token)).await, ready);
    std::fs::write(api.path("token"), "hunter2\n").unwrap();
    let by_file = api.kubeconfig("insecure-skip-tls-verify: true", "tokenFile: token");
    assert_eq!(api.seen(|check| check.kubeconfig = Some(by_file)).await, ready);
    let text = api.kubeconfig("certificate-authority: ca.pem", "token: hunter2");
    let KubeconfigSource::File(path) = text else { panic!() };
    let printed =
        std::fs::read_to_string(&path).unwrap().replace("ca.pem", api.path("ca.pem").to_str().unwrap());
    std::fs::write(&path, printed).unwrap();
    let command = KubeconfigSource::Command(format!("cat {}", path.display()));
    assert_eq!(api.seen(|check| check.kubeconfig = Some(command)).await, ready);
}

#[tokio::test]
async fn a_plugin_gives_credentials_if_it_is_allowed() {
    let api = ApiServer::new(|_| ());
    let print = r#"echo '{\"status\":{\"token\":\"hunter2\"}}'"#;
    let of = |run: &str| {
        api.kubeconfig(
            "certificate-authority: ca.pem",
            &format!(
                "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, \"{run}\"] }}"
            ),
        )
    };
    let plugin = of(print);
    let refused = api.seen(|check| check.kubeconfig = Some(plugin.clone())).await;
    assert_eq!(
        refused,
        "false: kubeconfig: it gets credentials from a program: add `exec-plugins = true` to allow that"
    );
    let allowed = api
        .seen(|check| {
            check.kubeconfig = Some(plugin);
            check.exec_plugins = true;
        })
        .await;
    assert!(allowed.starts_with("true: "), "{allowed}");
    let failing = of("echo no login >&2; exit 1");
    let failed = api
        .seen(|check| {
            check.kubeconfig = Some(failing);
            check.exec_plugins = true;
        })
        .await;
    assert_eq!(failed, "false: kubeconfig: `sh` gives no credentials: no login");
}

#[tokio::test]
async fn the_first_link_that_is_missing_is_named() {
    let mut said = Vec::new();
    let api = ApiServer::new(|_| ());
    let other = api.kubeconfig("certificate-authority: other.pem", "token: hunter2");
    said.push(api.seen(|check| check.kubeconfig = Some(other)).await);
    let named = api.kubeconfig("certificate-authority: ca.pem, tls-server-name: api.lab", "token: hunter2");
    said.push(api.seen(|check| check.kubeconfig = Some(named)).await);
    let stranger = api.kubeconfig("certificate-authority: ca.pem", "token: wrong");
    said.push(api.seen(|check| check.kubeconfig = Some(stranger)).await);
    let broken = api.kubeconfig("certificate-authority-data: '?'", "token: hunter2");
    said.push(api.seen(|check| check.kubeconfig = Some(broken)).await);
    said.push(
        api.seen(|check| check.kubeconfig = Some(KubeconfigSource::File("/nowhere/config".into()))).await,
    );
    said.push(api.seen(|check| check.version = Some("1.30".to_owned())).await);
    let closed = KubernetesCheck { port: 1, ..api.check(|_| ()) };
    said.push(attempt(&closed, api.folder.path()).await);

    let forbidden =
        json!({ "kind": "Status", "message": "nodes is forbidden: User \"u\" cannot list resource" });
    let api = ApiServer::new(|answers| answers["$/api/v1/nodes"] = json!([403, forbidden]));
    said.push(api.seen(|_| ()).await);
    let api = ApiServer::new(|answers| {
        answers["$/readyz"] = json!([500, "internal"]);
        answers["$/readyz?verbose"] = json!([
            500,
            "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed\nreadyz check failed"
        ]);
    });
    said.push(api.seen(|_| ()).await);
    let api = ApiServer::new(|answers| answers["$open"] = json!([]));
    said.push(api.seen(|check| check.kubeconfig = None).await);
    said.push(api.seen(|_| ()).await);
    let warning = json!({ "items": [
        { "involvedObject": { "kind": "Pod", "name": "coredns-7c65d6cfc9-2x4qz" }, "reason": "BackOff",
          "message": "Back-off pulling image", "count": 4, "lastTimestamp": "2026-11-29T10:00:00Z" },
    ] });
    let api = ApiServer::new(|answers| {
        let pod = &mut answers["/api/v1/namespaces/kube-system/pods"]["items"][0]["status"];
        pod["conditions"][2]["status"] = json!("False");
        pod["containerStatuses"][0]["ready"] = json!(false);
        pod["containerStatuses"][0]["state"] = json!({ "waiting": { "reason": "ImagePullBackOff" } });
        answers["/api/v1/events"] = warning;
    });
    said.push(api.seen(|_| ()).await);
    assert_snapshot!(said.join("\n"));
}

#[tokio::test]
async fn what_is_no_api_server_is_told_apart() {
    let plain = super::super::tests::http_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let api = ApiServer::new(|_| ());
    let check = KubernetesCheck { port: plain, ..api.check(|_| ()) };
    let seen = attempt(&check, api.folder.path()).await.replace(&plain.to_string(), "PORT");
    assert!(Pattern::new("^false: TLS: a: port PORT: TLS failed: ").unwrap().is_match(&seen), "{seen}");
}

#[tokio::test]
async fn a_kubeconfig_for_this_machine_names_the_published_port() {
    let api = ApiServer::new(|_| ());
    let check = api.check(|_| ());
    let probed = ProbedCheck::Kubernetes(Box::new(check));
    let (prober, _said) = prober(probed, true, None, api.folder.path());
    let inside: SocketAddr = ([127, 0, 0, 1], api.port).into();
    let mut place = Place { lab: LabName::new("lab").unwrap(), published: Vec::new(), is_reachable: false };
    let refused = handed_out(&prober.shared, None, &place).await.unwrap_err();
    assert!(matches!(&refused, NoKubeconfig::NotPublished { to, .. } if *to == inside), "{refused}");
    assert!(refused.hint().unwrap().contains("[publish]"));
    place.published.push((inside, "0.0.0.0:16443".parse().unwrap()));
    let text = handed_out(&prober.shared, None, &place).await.unwrap();
    let read = Kubeconfig::read(text.as_bytes()).unwrap();
    assert_eq!((read.server.host.as_str(), read.server.port), ("127.0.0.1", 16443));
    assert!(read.files().is_empty(), "it needs no other file");
    let other = ExpectName::new("other").unwrap();
    let refused = handed_out(&prober.shared, Some(other), &place).await.unwrap_err();
    assert_eq!(refused.to_string(), "expectation `other` names no kubeconfig");
}
