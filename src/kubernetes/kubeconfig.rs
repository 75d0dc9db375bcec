//! A kubeconfig: the server of a cluster, who may have signed its certificate, and the credentials of a user.
//!
//! As kubectl reads it (client-go's `clientcmd/api/v1`), with one context: the current one, or the only one. Errors name
//! keys, never values, because values may be secret.

use std::fmt;
use std::path::PathBuf;

use crate::hint::Hint;
use crate::matchbox::go::standard_base64;
use crate::matchbox::tree::{Node, Tree, What};
use crate::matchbox::yaml::{self, YamlError};

/// The port of a server without one: that of HTTPS.
const DEFAULT_PORT: u16 = 443;

/// A cluster and a user of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The server.
    pub server: Server,
    /// The name that the server's certificate must have; that of the server if left out.
    pub server_name: Option<String>,
    /// Who may have signed the server's certificate.
    pub trust: Trust,
    /// The credentials.
    pub credentials: Credentials,
}

/// The API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What stands before each path, such as `/k8s/clusters/local`; empty for most.
    pub prefix: String,
}

/// Who may have signed a server's certificate.
#[derive(Clone, PartialEq, Eq)]
pub enum Trust {
    /// These authorities, in PEM.
    Authorities(Material),
    /// Anybody.
    Anybody,
    /// The authorities that the system trusts.
    System,
}

/// What stands in a kubeconfig, or in a file that it names.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// The bytes.
    Inline(Vec<u8>),
    /// A file, relative to the kubeconfig.
    File(PathBuf),
}

/// Who we are.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// A client certificate and its key, in PEM.
    pub certificate: Option<(Material, Material)>,
    /// A bearer token.
    pub token: Option<Material>,
    /// A program that prints credentials.
    pub exec: Option<ExecPlugin>,
}

/// A program that prints credentials (`client.authentication.k8s.io`).
#[derive(Clone, PartialEq, Eq)]
pub struct ExecPlugin {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
    /// The version of the protocol that it speaks.
    pub api_version: String,
}

// Secrets are in all of these.
impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why a text is no kubeconfig that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// It is not YAML.
    #[error("it is not YAML (line {0})")]
    NotYaml(usize),
    /// A key is missing.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A name refers to nothing.
    #[error("there is no {0}")]
    Unknown(String),
    /// There are several contexts, and none is chosen.
    #[error("it has several contexts and no `current-context`")]
    NoContext,
    /// The server is not an HTTPS URL.
    #[error("`server` is not a URL of HTTPS")]
    Server,
    /// What must be base64 is not.
    #[error("`{0}` is not base64")]
    NotBase64(&'static str),
    /// Something is not supported.
    #[error("`{0}` is not supported")]
    Unsupported(&'static str),
}

impl Hint for KubeconfigError {}

impl Kubeconfig {
    /// Reads a kubeconfig.
    pub fn read(text: &[u8]) -> Result<Self, KubeconfigError> {
        let tree = yaml::read(text).map_err(|YamlError { line, .. }| KubeconfigError::NotYaml(line))?;
        let root = View { tree: &tree, node: tree.resolved(tree.root()) };
        let context = context(root)?;
        let cluster = named(root, "clusters", "cluster", context.needed("cluster")?)?;
        if cluster.text("proxy-url").is_some() {
            return Err(KubeconfigError::Unsupported("proxy-url"));
        }
        let trust = match material(cluster, "certificate-authority")? {
            _ if cluster.text("insecure-skip-tls-verify").is_some_and(|flag| flag == "true") => {
                Trust::Anybody
            }
            Some(authorities) => Trust::Authorities(authorities),
            None => Trust::System,
        };
        let credentials = match context.text("user") {
            Some(user) => credentials(named(root, "users", "user", user)?)?,
            None => Credentials::default(),
        };
        Ok(Self {
            server: Server::parse(cluster.needed("server")?).ok_or(KubeconfigError::Server)?,
            server_name: cluster.text("tls-server-name").map(str::to_owned),
            trust,
            credentials,
        })
    }

    /// Returns the files that it names.
    pub fn files(&self) -> Vec<&PathBuf> {
        let authorities = match &self.trust {
            Trust::Authorities(material) => Some(material),
            Trust::Anybody | Trust::System => None,
        };
        let of_user = self.credentials.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let all = authorities.into_iter().chain(of_user).chain(&self.credentials.token);
        all.filter_map(|material| match material {
            Material::File(path) => Some(path),
            Material::Inline(_) => None,
        })
        .collect()
    }

    /// Replaces the files that it names by their contents.
    pub fn inline<E>(&mut self, mut read: impl FnMut(&PathBuf) -> Result<Vec<u8>, E>) -> Result<(), E> {
        let authorities = match &mut self.trust {
            Trust::Authorities(material) => Some(material),
            Trust::Anybody | Trust::System => None,
        };
        let of_user =
            self.credentials.certificate.iter_mut().flat_map(|(certificate, key)| [certificate, key]);
        for material in authorities.into_iter().chain(of_user).chain(&mut self.credentials.token) {
            if let Material::File(path) = material {
                *material = Material::Inline(read(path)?);
            }
        }
        Ok(())
    }

    /// Returns the name that the server's certificate must have.
    pub fn certified_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.server.host)
    }

    /// Writes it for a server that is reached at another place, with a name for cluster, user and context.
    ///
    /// The certificate is still checked for the name that it was made for. Files that it names must have been
    /// [inlined](Self::inline) before.
    pub fn write(&self, name: &str, host: &str, port: u16) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut cluster = vec![("server", format!("https://{host}:{port}{}", self.server.prefix))];
        match &self.trust {
            Trust::Authorities(material) => cluster.push(("certificate-authority-data", encoded(material))),
            Trust::Anybody => {}
            Trust::System => cluster.push(("tls-server-name", self.certified_name().to_owned())),
        }
        if matches!(self.trust, Trust::Authorities(_)) {
            cluster.push(("tls-server-name", self.certified_name().to_owned()));
        }
        let mut user = Vec::new();
        if let Some((certificate, key)) = &self.credentials.certificate {
            user.push(("client-certificate-data", encoded(certificate)));
            user.push(("client-key-data", encoded(key)));
        }
        if let Some(Material::Inline(token)) = &self.credentials.token {
            user.push(("token", String::from_utf8_lossy(token).trim().to_owned()));
        }
        let name = quoted(name);
        let mut lines: Vec<String> =
            ["apiVersion: v1", "kind: Config", "clusters:"].map(str::to_owned).into();
        lines.extend([format!("- name: {name}"), "  cluster:".to_owned()]);
        let pair = |(key, value): (&str, String)| format!("    {key}: {}", quoted(&value));
        lines.extend(cluster.into_iter().map(pair));
        if matches!(self.trust, Trust::Anybody) {
            lines.push("    insecure-skip-tls-verify: true".to_owned());
        }
        lines.extend(["users:".to_owned(), format!("- name: {name}")]);
        lines.push(if self.is_anonymous() { "  user: {}" } else { "  user:" }.to_owned());
        lines.extend(user.into_iter().map(pair));
        if let Some(ExecPlugin { command, args, env, api_version }) = &self.credentials.exec {
            let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
            let env = env
                .iter()
                .map(|(name, value)| format!("{{ name: {}, value: {} }}", quoted(name), quoted(value)));
            let env: Vec<String> = env.collect();
            lines.extend([
                "    exec:".to_owned(),
                format!("      apiVersion: {}", quoted(api_version)),
                format!("      command: {}", quoted(command)),
                format!("      args: [{}]", args.join(", ")),
                format!("      env: [{}]", env.join(", ")),
                "      interactiveMode: IfAvailable".to_owned(),
            ]);
        }
        lines.extend(["contexts:".to_owned(), format!("- name: {name}"), "  context:".to_owned()]);
        lines.extend([format!("    cluster: {name}"), format!("    user: {name}")]);
        lines.push(format!("current-context: {name}\n"));
        lines.join("\n")
    }

    fn is_anonymous(&self) -> bool {
        self.credentials == Credentials::default()
    }
}

impl Server {
    fn parse(url: &str) -> Option<Self> {
        let rest = url.trim().strip_prefix("https://")?;
        let (authority, prefix) = rest.split_once('/').map_or((rest, ""), |(first, rest)| (first, rest));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => DEFAULT_PORT,
        };
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, prefix })
    }

    /// Whether it is the machine itself on which the kubeconfig is.
    pub fn is_loopback(&self) -> bool {
        use std::net::IpAddr;
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address.is_unspecified(),
            Err(_) => self.host == "localhost",
        }
    }
}

/// Returns a text in double quotes; YAML 1.2 contains JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn encoded(material: &Material) -> String {
    match material {
        Material::Inline(bytes) => standard_base64::encode(bytes),
        Material::File(_) => String::new(),
    }
}

/// A node of the tree, with the tree.
#[derive(Clone, Copy)]
struct View<'t> {
    tree: &'t Tree,
    node: &'t Node,
}

impl<'t> View<'t> {
    fn get(self, key: &str) -> Option<Self> {
        let What::Map(pairs) = &self.node.what else { return None };
        pairs.iter().find_map(|(name, value)| {
            let name = Self { node: self.tree.resolved(*name), ..self };
            (name.own_text()? == key).then(|| Self { node: self.tree.resolved(*value), ..self })
        })
    }

    fn own_text(self) -> Option<&'t str> {
        match &self.node.what {
            What::Scalar(scalar) if !scalar.quoted && matches!(scalar.text.as_str(), "" | "~" | "null") => {
                None
            }
            What::Scalar(scalar) => Some(&scalar.text),
            What::Text(text) | What::Number(text) => Some(text),
            What::Null | What::Flag(_) | What::List(_) | What::Map(_) | What::Alias { .. } => None,
        }
    }

    /// Returns the text of a key. An empty one counts as missing, as in Go.
    fn text(self, key: &str) -> Option<&'t str> {
        self.get(key)?.own_text().filter(|text| !text.is_empty())
    }

    fn needed(self, key: &'static str) -> Result<&'t str, KubeconfigError> {
        self.text(key).ok_or_else(|| KubeconfigError::Missing(key.to_owned()))
    }

    fn list(self, key: &str) -> Vec<Self> {
        match self.get(key).map(|list| &list.node.what) {
            Some(What::List(items)) => {
                items.iter().map(|item| Self { node: self.tree.resolved(*item), ..self }).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Returns the current context, or the only one.
fn context(root: View<'_>) -> Result<View<'_>, KubeconfigError> {
    if let Some(current) = root.text("current-context") {
        return named(root, "contexts", "context", current);
    }
    match root.list("contexts")[..] {
        [] => Err(KubeconfigError::Missing("contexts".to_owned())),
        [only] => only.get("context").ok_or_else(|| KubeconfigError::Missing("context".to_owned())),
        _ => Err(KubeconfigError::NoContext),
    }
}

fn named<'t>(root: View<'t>, list: &str, key: &str, name: &str) -> Result<View<'t>, KubeconfigError> {
    let found = root.list(list).into_iter().find(|item| item.text("name") == Some(name));
    found.and_then(|item| item.get(key)).ok_or_else(|| KubeconfigError::Unknown(format!("{key} `{name}`")))
}

/// Returns what stands under `KEY-data`, else the file under `KEY`.
fn material(of: View<'_>, key: &'static str) -> Result<Option<Material>, KubeconfigError> {
    if let Some(data) = of.text(&format!("{key}-data")) {
        let compact: String = data.chars().filter(|letter| !letter.is_whitespace()).collect();
        let bytes = standard_base64::decode(&compact).ok_or(KubeconfigError::NotBase64(key))?;
        return Ok(Some(Material::Inline(bytes)));
    }
    Ok(of.text(key).map(|path| Material::File(path.into())))
}

fn credentials(user: View<'_>) -> Result<Credentials, KubeconfigError> {
    for unsupported in ["auth-provider", "username"] {
        if user.get(unsupported).is_some() {
            return Err(KubeconfigError::Unsupported(unsupported));
        }
    }
    let certificate = match (material(user, "client-certificate")?, material(user, "client-key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => return Err(KubeconfigError::Missing("client-key".to_owned())),
        (None, _) => None,
    };
    // A token in the kubeconfig is used only without a file, as by client-go.
    let token = match (user.text("tokenFile"), user.text("token")) {
        (Some(file), _) => Some(Material::File(file.into())),
        (None, Some(token)) => Some(Material::Inline(token.as_bytes().to_vec())),
        (None, None) => None,
    };
    let exec = match user.get("exec") {
        Some(exec) => Some(ExecPlugin {
            command: exec.needed("command")?.to_owned(),
            args: exec.list("args").iter().filter_map(|arg| arg.own_text()).map(str::to_owned).collect(),
            env: exec
                .list("env")
                .iter()
                .filter_map(|pair| Some((pair.text("name")?.to_owned(), pair.text("value")?.to_owned())))
                .collect(),
            api_version: exec.needed("apiVersion")?.to_owned(),
        }),
        None => None,
    };
    Ok(Credentials { certificate, token, exec })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubeadm writes it, shortened.
    const ADMIN: &str = "
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://10.0.2.2:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
preferences: {}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
";

    fn inline(text: &str) -> Material {
        Material::Inline(text.as_bytes().to_vec())
    }

    #[test]
    fn the_current_context_is_read() {
        let read = Kubeconfig::read(ADMIN.as_bytes()).unwrap();
        assert_eq!(read.server, Server { host: "10.0.2.2".into(), port: 6443, prefix: String::new() });
        assert!(read.trust == Trust::Authorities(inline("CA")));
        assert!(read.credentials.certificate == Some((inline("CERT"), inline("KEY"))));
        assert_eq!((read.certified_name(), read.files().len()), ("10.0.2.2", 0));
        assert_eq!(format!("{read:?}").matches("KEY").count(), 0, "nothing secret is printed");
    }

    #[test]
    fn files_are_replaced_by_their_contents() {
        let text = ADMIN
            .replace("client-certificate-data: Q0VSVA==", "client-certificate: admin.crt")
            .replace("client-key-data: S0VZ", "client-key: /etc/kubernetes/admin.key");
        let mut read = Kubeconfig::read(text.as_bytes()).unwrap();
        assert_eq!(read.files(), [&PathBuf::from("admin.crt"), &PathBuf::from("/etc/kubernetes/admin.key")]);
        read.inline(|path| path.to_str().map(|path| path.as_bytes().to_vec()).ok_or(())).unwrap();
        assert!(
            read.credentials.certificate == Some((inline("admin.crt"), inline("/etc/kubernetes/admin.key")))
        );
    }

    #[test]
    fn servers_are_urls_of_https() {
        let of = |url: &str| Server::parse(url).map(|server| (server.host, server.port, server.prefix));
        assert_eq!(of("https://api.lab"), Some(("api.lab".into(), 443, String::new())));
        assert_eq!(of("https://[fd00::2]:6443/"), Some(("fd00::2".into(), 6443, String::new())));
        assert_eq!(of("https://r.lab/k8s/c-1/"), Some(("r.lab".into(), 443, "/k8s/c-1".into())));
        assert_eq!((of("http://10.0.2.2"), of("https://:1"), of("https://a:x")), (None, None, None));
        let loopback = |url: &str| Server::parse(url).unwrap().is_loopback();
        assert!(
            loopback("https://127.0.0.1:6443")
                && loopback("https://[::1]:1")
                && loopback("https://localhost")
        );
        assert!(!loopback("https://10.0.0.1"));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        let of = |text: String| Kubeconfig::read(text.as_bytes()).map(drop).unwrap_err().to_string();
        assert_eq!(
            of(ADMIN.replace("current-context: k", "current-context: n")),
            "there is no context `nubernetes-admin@kubernetes`"
        );
        assert_eq!(of(ADMIN.replace("https://10", "http://10")), "`server` is not a URL of HTTPS");
        assert_eq!(of(ADMIN.replace("S0VZ", "secret!")), "`client-key` is not base64");
        assert_eq!(of(ADMIN.replace("client-key-data", "other")), "`client-key` is missing");
        assert!(of("a: [".to_owned()).starts_with("it is not YAML"));
        assert_eq!(of(String::new()), "`contexts` is missing");
        assert_eq!(
            of(ADMIN.replace("client-key-data: S0VZ", "auth-provider: { name: gcp }")),
            "`auth-provider` is not supported"
        );
    }

    #[test]
    fn it_is_written_for_another_place_and_read_again() {
        let read = Kubeconfig::read(ADMIN.as_bytes()).unwrap();
        let text = read.write("lab", "127.0.0.1", 16443);
        insta::assert_snapshot!(text);
        let again = Kubeconfig::read(text.as_bytes()).unwrap();
        assert_eq!(again.server, Server { host: "127.0.0.1".into(), port: 16443, prefix: String::new() });
        assert_eq!(again.certified_name(), "10.0.2.2");
        assert!(again.credentials == read.credentials && again.trust == read.trust);
    }

    #[test]
    fn a_plugin_is_read_and_written() {
        let plugin = "exec: { apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks, get-token], \
                      env: [{ name: AWS_PROFILE, value: \"a\\\"b\" }] }";
        let text = ADMIN
            .replace("client-certificate-data: Q0VSVA==", plugin)
            .replace("    client-key-data: S0VZ\n", "");
        let read = Kubeconfig::read(text.as_bytes()).unwrap();
        let exec = read.credentials.exec.clone().unwrap();
        assert_eq!((exec.command.as_str(), exec.args.len()), ("aws", 2));
        assert_eq!(exec.env, [("AWS_PROFILE".to_owned(), "a\"b".to_owned())]);
        let again = Kubeconfig::read(read.write("lab", "::1", 6443).as_bytes()).unwrap();
        assert!(again.credentials == read.credentials);
        assert_eq!(again.server.host, "::1");
    }
}
