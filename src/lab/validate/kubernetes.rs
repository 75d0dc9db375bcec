//! The check of a Kubernetes cluster.

use std::path::PathBuf;

use super::{Check, Span};
use crate::config::{
    Field, Located, RawKubeconfig, RawKubeconfigOfProcess, RawKubeconfigOverSsh, RawKubernetes, Short,
};
use crate::diag::{Code, Diagnostic};
use crate::lab::{Check as Checked, KubeconfigSource, KubernetesCheck, ProbedCheck};
use crate::name::NodeName;

/// The port of the API server that kubeadm, k3s, rke2, k0s and Talos use.
const API_PORT: u16 = 6443;
/// What stands for the nodes of the expectation.
const OF_LAB: &str = "lab";
/// The user whose files a kubeconfig is among, unless another one is named.
const ADMINISTRATOR: &str = "root";

impl Check<'_> {
    pub(super) fn kubernetes(
        &mut self,
        raw: &RawKubernetes,
        span: &Span,
        of: &[NodeName],
    ) -> Option<Checked> {
        let on = self.needed(&raw.on, "on = \"control\"", span);
        let on = on.and_then(|on| self.subject_named(&on.value, &on.span));
        let port = self.port_or(&raw.port, API_PORT);
        let nodes = self.cluster_nodes(raw, of);
        let version = raw.version.given().map(|version| self.version(version));
        let mut namespaces = Vec::new();
        for (name, _) in &raw.pods.entries {
            if is_label(&name.value) {
                namespaces.push(name.value.clone());
            } else {
                let what = format!("`{}` is not the name of a namespace", name.value);
                self.bad_check(&name.span, what, "use lower-case letters, digits and dashes");
            }
        }
        let kubeconfig = match raw.kubeconfig.given() {
            Some(given) => Some(self.kubeconfig(&given.value, &given.span)?),
            None if nodes.is_some() || !namespaces.is_empty() => Some(KubeconfigSource::Ssh {
                user: ADMINISTRATOR.to_owned(),
                port: 22,
                key: None,
                path: None,
            }),
            None => None,
        };
        if let (Some(given), None) = (raw.exec_plugins.given(), &kubeconfig) {
            self.idle(
                &given.span,
                "no kubeconfig is needed here",
                "remove `exec-plugins`, or add `nodes = \"lab\"`",
            );
        }
        let version = match version {
            Some(version) => Some(version?),
            None => None,
        };
        let exec_plugins = raw.exec_plugins.value().copied().unwrap_or(false);
        let check =
            KubernetesCheck { on: on?, port: port?, nodes, version, namespaces, kubeconfig, exec_plugins };
        Some(ProbedCheck::Kubernetes(Box::new(check)).into())
    }

    fn cluster_nodes(&mut self, raw: &RawKubernetes, of: &[NodeName]) -> Option<Vec<NodeName>> {
        let list = &raw.nodes.0;
        list.span.as_ref()?;
        if let [Located { value, .. }] = &list.items[..]
            && value == OF_LAB
        {
            return Some(of.to_vec());
        }
        if let (true, false, Some(span)) = (list.items.is_empty(), list.bad, &list.span) {
            self.bad_check(span, "a cluster has at least one node", "list its nodes, or use \"lab\"");
        }
        let mut nodes = Vec::new();
        for word in &list.items {
            if let Some(name) = self.subject_named(&word.value, &word.span)
                && !nodes.contains(&name)
            {
                nodes.push(name);
            }
        }
        Some(nodes)
    }

    fn version(&mut self, word: &Located<String>) -> Option<String> {
        let digits = word.value.strip_prefix('v').unwrap_or(&word.value);
        let is_version = digits.starts_with(|first: char| first.is_ascii_digit())
            && digits.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-+".contains(letter));
        if !is_version {
            let what = format!("`{}` is not a version of Kubernetes", word.value);
            self.bad_check(&word.span, what, "use its start, such as \"1.31\" or \"1.31.2\"");
        }
        is_version.then(|| digits.to_owned())
    }

    fn kubeconfig(&mut self, raw: &RawKubeconfig, span: &Span) -> Option<KubeconfigSource> {
        match raw {
            RawKubeconfig::File(path) => {
                self.is_file_name(path).then(|| KubeconfigSource::File(self.around.folder.join(&path.value)))
            }
            RawKubeconfig::Process(raw) => self.kubeconfig_of_process(raw, span),
            RawKubeconfig::Command(run) => Some(KubeconfigSource::Command(run.value.clone())),
            RawKubeconfig::Ssh(Short(raw)) => self.kubeconfig_over_ssh(raw, span),
        }
    }

    fn kubeconfig_of_process(
        &mut self,
        raw: &RawKubeconfigOfProcess,
        span: &Span,
    ) -> Option<KubeconfigSource> {
        let name = self.needed(&raw.name, "name = \"terraform\"", span)?;
        let path = self.needed(&raw.path, "path = \"/root/.kube/config\"", span);
        let path = path.and_then(|path| self.absolute(path));
        self.process_named(&name.value, &name.span)?;
        let lab = self.raw;
        let process = lab.process.get(&name.value).and_then(|(_, process)| process.as_ref())?;
        if let Some(image) = process.image.given() {
            let what = format!("the files of `{}` are those of its image, and end with it", name.value);
            let image = image.span.clone();
            self.report(
                Diagnostic::new(Code::BadCheck, name.span.clone(), what)
                    .related(image, "the image")
                    .help("let a command print the kubeconfig: { command = \"…\" }"),
            );
            return None;
        }
        let path = path?;
        Some(match process.host.given() {
            Some(host) => KubeconfigSource::OnHost { host: self.host_named(&host.value, &host.span)?, path },
            None => KubeconfigSource::File(path),
        })
    }

    fn kubeconfig_over_ssh(&mut self, raw: &RawKubeconfigOverSsh, span: &Span) -> Option<KubeconfigSource> {
        let user = self.needed(&raw.user, "user = \"root\"", span);
        let user = user.filter(|user| self.user(user)).map(|user| user.value.clone());
        let port = self.port_or(&raw.port, 22);
        let key = raw.key.value().and_then(|key| self.secret(key));
        let path = match &raw.path {
            Field::Given(path) => Some(self.absolute(path)?),
            Field::Missing => None,
            Field::Bad => return None,
        };
        Some(KubeconfigSource::Ssh { user: user?, port: port?, key, path })
    }

    fn absolute(&mut self, path: &Located<String>) -> Option<PathBuf> {
        if !self.is_file_name(path) {
            return None;
        }
        let path_of = PathBuf::from(&path.value);
        if !path_of.is_absolute() {
            let what = format!("`{}` is not an absolute path", path.value);
            self.bad_check(&path.span, what, "begin it with `/`");
            return None;
        }
        Some(path_of)
    }

    fn is_file_name(&mut self, path: &Located<String>) -> bool {
        let good = !path.value.is_empty() && !path.value.contains(['\0', '\n']);
        if !good {
            self.bad_check(
                &path.span,
                "this is not the path of a file",
                "set the file that holds the kubeconfig",
            );
        }
        good
    }
}

/// Whether a text is a label of RFC 1123, as names of namespaces are.
fn is_label(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|one| letter(one) || one == '-')
        && name.starts_with(letter)
        && name.ends_with(letter)
}
