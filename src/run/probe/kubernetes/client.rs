//! One connection to an API server.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, DATE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::{Shared, connect, network_of, program};
use super::LIMIT;
use crate::kubernetes::kubeconfig::{Credentials, ExecPlugin, Kubeconfig, Material, Trust};
use crate::kubernetes::readiness::{Link, Missing};
use crate::name::NodeName;
use crate::rpc::{Identity, TlsError, Trusted, connect_to_server};
use crate::system::process::SpawnSpec;

/// Maximum size of an answer: some thousand pods.
const MOST: usize = 64 << 20;
/// The authorities that Debian, Fedora (by a link) and Alpine trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Who asks, and whom it trusts.
pub(super) struct User {
    name: String,
    prefix: String,
    trust: Trust,
    /// A certificate and its key, in PEM.
    identity: Option<(Vec<u8>, Vec<u8>)>,
    token: Option<HeaderValue>,
}

impl User {
    /// Nobody in particular, who trusts any server.
    pub(super) fn anonymous(node: &NodeName) -> Self {
        let (name, prefix) = (node.to_string(), String::new());
        Self { name, prefix, trust: Trust::Anybody, identity: None, token: None }
    }

    /// The user of a kubeconfig without files.
    pub(super) async fn of(shared: &Shared, kubeconfig: &Kubeconfig, may_run: bool) -> Result<Self, Missing> {
        let Credentials { certificate, token, exec } = &kubeconfig.credentials;
        let mut user = Self {
            name: kubeconfig.certified_name().to_owned(),
            prefix: kubeconfig.server.prefix.clone(),
            trust: kubeconfig.trust.clone(),
            identity: None,
            token: None,
        };
        if let Some((Material::Inline(certificate), Material::Inline(key))) = certificate {
            user.identity = Some((certificate.clone(), key.clone()));
        }
        if let Some(Material::Inline(token)) = token {
            user.token = Some(bearer(token)?);
        }
        match exec {
            Some(_) if !may_run => {
                let what = "it gets credentials from a program: add `exec-plugins = true` to allow that";
                return Err(Missing::new(Link::Kubeconfig, what));
            }
            Some(plugin) => user.ask(shared, plugin).await?,
            None => {}
        }
        Ok(user)
    }

    /// Gets credentials from a program.
    async fn ask(&mut self, shared: &Shared, plugin: &ExecPlugin) -> Result<(), Missing> {
        /// `ExecCredential` of `client.authentication.k8s.io`.
        #[derive(Deserialize)]
        struct Printed {
            status: Option<PrintedStatus>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PrintedStatus {
            token: Option<String>,
            client_certificate_data: Option<String>,
            client_key_data: Option<String>,
        }
        let ExecPlugin { command, args, env, api_version } = plugin;
        let no =
            |why: &str| Missing::new(Link::Kubeconfig, format!("`{command}` gives no credentials: {why}"));
        let info = serde_json::json!({
            "apiVersion": api_version, "kind": "ExecCredential", "spec": { "interactive": false },
        });
        let mut environment = shared.environment(None);
        environment.push(("KUBERNETES_EXEC_INFO".to_owned(), info.to_string()));
        environment.extend(env.iter().cloned());
        // Found along the search path.
        let spec = SpawnSpec::new("/usr/bin/env").args([command]).args(args);
        let ran = timeout(LIMIT, program::run_program(&shared.context.spawner, spec, environment)).await;
        let finished = ran.map_err(|_| no("it does not end"))?.map_err(|why| no(&why))?;
        if !finished.status.success() {
            return Err(no(finished.complaint().unwrap_or("it fails without a message")));
        }
        // What it prints is secret, and so is what an error would quote.
        let printed: Printed = serde_json::from_str(&finished.output).map_err(|_| no("it prints no JSON"))?;
        let status = printed.status.ok_or_else(|| no("it prints no `status`"))?;
        if let (Some(certificate), Some(key)) = (status.client_certificate_data, status.client_key_data) {
            self.identity = Some((certificate.into_bytes(), key.into_bytes()));
        }
        if let Some(token) = status.token {
            self.token = Some(bearer(token.as_bytes())?);
        }
        Ok(())
    }
}

fn bearer(token: &[u8]) -> Result<HeaderValue, Missing> {
    let value = [b"Bearer ", token.trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| Missing::new(Link::Kubeconfig, "its token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// The time of the server.
    pub(super) date: Option<Timestamp>,
}

/// A connection to an API server.
pub(super) struct Api {
    sender: SendRequest<Empty<Bytes>>,
    // Transfers the bytes as long as it lives.
    _driver: JoinSet<()>,
    to: SocketAddr,
    prefix: String,
    token: Option<HeaderValue>,
}

impl Api {
    /// Connects, or returns which link is missing.
    pub(super) async fn connect(shared: &Shared, to: SocketAddr, user: User) -> Result<Self, Missing> {
        let User { name, prefix, trust, identity, token } = user;
        let from = shared.context.reaching.from(to.ip());
        let from = from.map_err(|off| Missing::new(Link::Tcp, off.to_string()))?;
        let stream = connect(to, network_of(from.as_ref())).await;
        let stream = stream.map_err(|why| Missing::new(Link::Tcp, format!("port {} {why}", to.port())))?;
        let trusted = match &trust {
            Trust::Anybody => Trusted::Anybody,
            Trust::System => Trusted::File(SYSTEM_AUTHORITIES.as_ref()),
            Trust::Authorities(Material::Inline(pem)) => Trusted::Pem(pem, "the kubeconfig's authority"),
            // Files were read before.
            Trust::Authorities(Material::File(path)) => Trusted::File(path),
        };
        let own = identity.as_ref().map(|(certificate, key)| Identity { certificate, key });
        let tls = timeout(LIMIT, connect_to_server(stream, None, &name, trusted, own)).await;
        let tls =
            tls.map_err(|_| Missing::new(Link::Tls, format!("port {} does not answer TLS", to.port())))?;
        let stream = tls.map_err(|error| tls_missing(to, &name, &error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Missing::new(Link::ApiServer, format!("port {} does not speak HTTP", to.port())))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver, to, prefix, token })
    }

    /// Requests a path.
    pub(super) async fn get(&mut self, path: &str) -> Result<Reply, Missing> {
        let broken = |why: String| Missing::new(Link::ApiServer, why);
        let request = Request::get(format!("{}{path}", self.prefix))
            .header(HOST, self.to.to_string())
            .header(USER_AGENT, "dryrack")
            .header(ACCEPT, "application/json, text/plain");
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let request = request.body(Empty::new());
        let request = request.map_err(|error| broken(format!("{path} cannot be requested: {error}")))?;
        let answered = async {
            let response = self.sender.send_request(request).await.map_err(|error| {
                broken(match error {
                    error if error.is_parse() => format!("port {} does not speak HTTP", self.to.port()),
                    _ => format!("{path} is not answered: the connection breaks"),
                })
            })?;
            let (head, mut body) = response.into_parts();
            let mut collected = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| broken(format!("the answer to {path} breaks off")))?;
                if let Some(data) = frame.data_ref() {
                    collected.extend_from_slice(data);
                }
                if collected.len() > MOST {
                    return Err(broken(format!("the answer to {path} is too large")));
                }
            }
            let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
            // The form of HTTP (RFC 9110, 5.6.7) is one of those of RFC 2822.
            let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
            let date = date.map(|date| date.timestamp());
            Ok(Reply { status: head.status, body: collected.freeze(), date })
        };
        timeout(LIMIT, answered).await.map_err(|_| broken(format!("{path} is not answered")))?
    }
}

/// Returns the link that is missing after TLS failed.
fn tls_missing(to: SocketAddr, name: &str, error: &TlsError) -> Missing {
    match error {
        TlsError::Certificates(error) => Missing::new(Link::Kubeconfig, crate::hint::chain(error)),
        TlsError::Settings(_) | TlsError::Handshake(_) => {
            let what = match error.certificate() {
                Some(why) => format!("port {}: {why}", to.port()),
                None => format!("port {}: {error}", to.port()),
            };
            let mut missing = Missing::new(Link::Tls, what);
            missing.evidence = vec![format!("{error} (for the name {name})")];
            missing
        }
    }
}
