//! Checks that log in to a node: what they look at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Check, Span};
use crate::config::{
    Field, List, Located, RawCheck, RawCloudInit, RawCmdline, RawIgnitionResult, RawLogin, RawNicNames,
    RawNodeClock, RawNodeFile, RawUnits, RawUnreachable, Short,
};
use crate::diag::{Code, Diagnostic};
use crate::lab::{
    Check as Checked, DiskFile, Expectation, Host, Login, Node, NodeFile, OnNode, ProbedCheck, SystemCheck,
    Target, Unreachable,
};
use crate::name::{DiskName, ExpectName, NicName, NodeName};

impl Check<'_> {
    fn login(&mut self, raw: &Field<Short<RawLogin>>) -> Option<Login> {
        let default = RawLogin::default();
        let Short(raw) = match raw {
            Field::Given(raw) => &raw.value,
            Field::Missing => &Short(default),
            Field::Bad => return None,
        };
        let user = match &raw.user {
            Field::Given(user) => self.user(user).then(|| user.value.clone())?,
            Field::Missing => "root".to_owned(),
            Field::Bad => return None,
        };
        let port = match &raw.port {
            Field::Given(port) => self.port(port)?,
            Field::Missing => 22,
            Field::Bad => return None,
        };
        let key = match &raw.key {
            Field::Given(key) => Some(self.secret(&key.value)?),
            Field::Missing => None,
            Field::Bad => return None,
        };
        Some(Login { user, port, key })
    }

    fn on_node(&mut self, login: &Field<Short<RawLogin>>, system: Option<SystemCheck>) -> Option<Checked> {
        let login = self.login(login);
        Some(ProbedCheck::OnNode(Box::new(OnNode { login: login?, system: system? })).into())
    }

    pub(super) fn cloud_init(&mut self, raw: &RawCloudInit) -> Option<Checked> {
        let status = raw.status.value().copied().unwrap_or_default();
        let degraded = raw.degraded.value().copied().unwrap_or(false);
        self.on_node(&raw.login, Some(SystemCheck::CloudInit { status, degraded }))
    }

    pub(super) fn units(&mut self, raw: &RawUnits) -> Option<Checked> {
        let named = |unit: &String| match unit.contains('.') {
            true => unit.clone(),
            false => format!("{unit}.service"),
        };
        let allow_failed = raw.allow_failed.values().map(named).collect();
        self.on_node(&raw.login, Some(SystemCheck::Units { allow_failed }))
    }

    pub(super) fn ignition_result(&mut self, raw: &RawIgnitionResult) -> Option<Checked> {
        let user_config = raw.user_config.value().copied().unwrap_or(true);
        self.on_node(&raw.login, Some(SystemCheck::Ignition { user_config }))
    }

    pub(super) fn cmdline(&mut self, raw: &RawCmdline, span: &Span) -> Option<Checked> {
        if [&raw.has, &raw.without].iter().all(|list| list.items.is_empty() && !list.bad) {
            let help = "list arguments that it has, or in `without` such that it has not";
            self.condition(span, "this check has no condition", help);
        }
        let clean = |list: &List<String>| list.values().cloned().collect();
        let system = SystemCheck::Cmdline { has: clean(&raw.has), without: clean(&raw.without) };
        self.on_node(&raw.login, Some(system))
    }

    pub(super) fn nic_names(&mut self, raw: &RawNicNames, span: &Span) -> Option<Checked> {
        if raw.names.entries.is_empty() && !raw.names.bad {
            self.condition(
                span,
                "this check has no condition",
                "name a NIC, as in names = { lan = \"eno1\" }",
            );
        }
        let mut names = BTreeMap::new();
        for (nic, name) in &raw.names.entries {
            let nic = self.name::<NicName>(nic);
            let (Some(nic), Some(name)) = (nic, name) else { continue };
            names.insert(nic, name.value.clone());
        }
        self.on_node(&raw.login, Some(SystemCheck::NicNames(names)))
    }

    /// Reports names of NICs that a node of the expectation does not have.
    pub(super) fn nics_are_there(
        &mut self,
        nodes: &BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) {
        for expectation in expectations.values() {
            let Checked::Probed(ProbedCheck::OnNode(check)) = &expectation.check else { continue };
            let SystemCheck::NicNames(names) = &check.system else { continue };
            for (name, nic) in
                expectation.nodes.iter().flat_map(|node| names.keys().map(move |nic| (node, nic)))
            {
                let is_there = nodes.get(name).is_some_and(|node| node.nics.iter().any(|is| is.name == *nic))
                    || hosts.get(name).is_some_and(|host| host.nics.iter().any(|is| is.name == *nic));
                if is_there || !(nodes.contains_key(name) || hosts.contains_key(name)) {
                    continue;
                }
                let raw = self.raw.expect.get(expectation.name.as_str()).and_then(|(_, raw)| raw.as_ref());
                let checks = raw.into_iter().flat_map(|raw| [raw.that.value(), raw.never.value()]);
                let span = checks.flatten().find_map(|check| match check {
                    RawCheck::Nics(raw) => raw.names.get(nic.as_str()).map(|(key, _)| key.span.clone()),
                    _ => None,
                });
                let what = format!("`{name}` has no NIC `{nic}`");
                let help = "use the name that the NIC has in the lab file, or list only `nodes` that have it";
                self.report(Diagnostic::new(Code::BadCheck, span, what).help(help));
            }
        }
    }

    pub(super) fn clock_offset(&mut self, raw: &RawNodeClock, span: &Span) -> Option<Checked> {
        let offset = self.needed(&raw.offset, "offset = \"1s\"", span)?;
        let limit = offset.value.0.0;
        if limit.is_zero() {
            self.condition(&offset.span, "no measurement is exact", "allow a difference such as \"1s\"");
        }
        self.on_node(&raw.login, Some(SystemCheck::Clock(limit)))
    }

    pub(super) fn node_file(
        &mut self,
        raw: &RawNodeFile,
        span: &Span,
        nodes: &[NodeName],
    ) -> Option<Checked> {
        let path = self.needed(&raw.path, "path = \"/etc/hostname\"", span)?;
        let absolute = self.absolute(path);
        let exists = raw.exists.value().copied().unwrap_or(true);
        let content = self.maybe_regex(&raw.content);
        let mode = match raw.mode.given() {
            None => None,
            Some(mode) => match u32::from_str_radix(&mode.value, 8) {
                Ok(bits) if bits <= 0o7777 => Some(bits),
                Ok(_) | Err(_) => {
                    let what = format!("`{}` is not the mode of a file", mode.value);
                    self.condition(&mode.span, &what, "use an octal number such as \"0600\"");
                    return None;
                }
            },
        };
        let conditions = [raw.content.span(), raw.mode.span(), raw.owner.span()];
        if let (false, Some(span)) = (exists, conditions.into_iter().flatten().next()) {
            let help = "remove it, or `exists = false`";
            self.condition(span, "a file that does not exist has neither content nor owner nor mode", help);
        }
        let file =
            NodeFile { path: absolute?, exists, content: content?, mode, owner: raw.owner.value().cloned() };
        if let Some(disk) = raw.disk.given() {
            return self.disk_file(raw, disk, file, nodes);
        }
        self.on_node(&raw.login, Some(SystemCheck::File(file)))
    }

    /// Checks a file that is looked for on a disk.
    fn disk_file(
        &mut self,
        raw: &RawNodeFile,
        disk: &Located<String>,
        file: NodeFile,
        nodes: &[NodeName],
    ) -> Option<Checked> {
        let name = self.name::<DiskName>(disk)?;
        if let Some(login) = raw.login.span() {
            self.condition(login, "nobody logs in to look at a disk from outside", "remove `login`");
        }
        let is_number = |part: &str| part.parse::<u32>().is_ok();
        if let Some(owner) = raw.owner.given().filter(|owner| !owner.value.split(':').all(is_number)) {
            let what = "a disk has the numbers of users and groups, not their names";
            self.condition(&owner.span, what, "write them as numbers: owner = \"0:0\"");
        }
        for node in nodes {
            let Some((_, Some(of))) = self.raw.node.get(node.as_str()) else { continue };
            if !of.disk.bad && of.disk.get(name.as_str()).is_none() {
                let what = format!("`{node}` has no disk `{name}`");
                let help = "use the name of a disk in the lab file, or list only `nodes` that have it";
                self.condition(&disk.span, &what, help);
            }
        }
        Some(ProbedCheck::DiskFile(Box::new(DiskFile { disk: name, file })).into())
    }

    /// Checks a path on a node.
    pub(super) fn absolute(&mut self, path: &Located<String>) -> Option<PathBuf> {
        let good = path.value.starts_with('/') && !path.value.contains(|c: char| c.is_control());
        if !good {
            let what = format!("`{}` is not an absolute path", path.value.escape_debug());
            self.condition(&path.span, &what, "it begins with a slash: \"/etc/hostname\"");
        }
        good.then(|| PathBuf::from(&path.value))
    }

    pub(super) fn unreachable_target(&mut self, raw: &RawUnreachable, span: &Span) -> Option<Checked> {
        let target = match (&raw.tcp, &raw.url) {
            (Field::Bad, _) | (_, Field::Bad) => None,
            (Field::Given(tcp), Field::Missing) => Some(Target::Tcp(tcp.value.0.0)),
            (Field::Missing, Field::Given(url)) => self.url_target(url),
            (Field::Given(_), Field::Given(url)) => {
                self.condition(
                    &url.span,
                    "this check has both `tcp` and `url`",
                    "make two expectations of it",
                );
                None
            }
            (Field::Missing, Field::Missing) => {
                let help = "set a port, as in tcp = \"10.0.9.5:623\", or a URL";
                self.condition(span, "this check has neither `tcp` nor `url`", help);
                None
            }
        };
        let control = raw.control.value().copied().unwrap_or_default();
        let system = target.map(|target| SystemCheck::Unreachable(Unreachable { target, control }));
        self.on_node(&raw.login, system)
    }

    fn url_target(&mut self, url: &Located<String>) -> Option<Target> {
        let parts = url_parts(&url.value);
        if parts.is_none() {
            let what = format!("`{}` is not a URL of HTTP", url.value.escape_debug());
            self.condition(
                &url.span,
                &what,
                "it begins with http:// or https://, as in \"http://10.0.2.1/secret\"",
            );
        }
        let (host, port) = parts?;
        Some(Target::Url { url: url.value.clone(), host, port })
    }

    fn condition(&mut self, span: &Span, what: &str, help: &str) {
        self.report(Diagnostic::new(Code::BadCheck, span.clone(), what).help(help));
    }
}

/// Returns host and port of a URL of HTTP.
fn url_parts(url: &str) -> Option<(String, u16)> {
    // It becomes an argument of a program on the node.
    if !url.chars().all(|c| c.is_ascii_graphic()) {
        return None;
    }
    let (rest, default) = match url.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..end];
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        },
    };
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    (!host.is_empty() && !host.contains('@') && port != 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::url_parts;

    #[test]
    fn the_host_and_port_of_a_url() {
        let of = |url| url_parts(url).map(|(host, port)| format!("{host} {port}")).unwrap_or_default();
        assert_eq!(of("http://10.0.2.1/ignition?mac=52-54"), "10.0.2.1 80");
        assert_eq!(of("https://api.lab:6443"), "api.lab 6443");
        assert_eq!(of("https://[fd00::1]/x"), "fd00::1 443");
        assert_eq!(of("http://[fd00::1]:8080"), "fd00::1 8080");
        for wrong in
            ["ftp://a/", "http:///x", "http://a:b/", "a/b", "http://me@a/", "http://a/ b", "http://a:0/"]
        {
            assert_eq!(of(wrong), "", "{wrong}");
        }
    }
}
