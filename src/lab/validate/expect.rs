//! Expectations: checks, nodes, order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Check, Span};
use crate::config::{
    Field, Keyed, Lasting, Located, RawBoots, RawCertificate, RawCheck, RawCloudInit, RawCommand,
    RawDnsCheck, RawEtcd, RawExpect, RawFetched, RawHttp, RawIgnitionResult, RawInstalled, RawJson,
    RawSecret, RawSsh, RawUnits, Short, Text,
};
use crate::diag::{Code, Diagnostic, nearest};
use crate::diagnose;
use crate::event::Stage;
use crate::lab::{
    Boots, Check as Checked, Count, Expectation, Fetched, HttpCheck, Installed, JsonLocation,
    JsonLocationError, JsonValues, Leased, Login, ObservedCheck, Pattern, Polarity, ProbedCheck, Secret,
    TableKind, TlsCheck, WantedServer,
};
use crate::name::{DiskName, ExpectName, NodeName};

const WITHIN: Duration = Duration::from_mins(5);

/// More than a hand-written file needs.
const MOST_EXPECTATIONS: usize = 1000;

/// Timeout of one attempt of an HTTP check.
const ATTEMPT: Duration = Duration::from_secs(10);

const BOOTS_HELP: &str =
    "set what it booted from, as in [\"network\", \"disk\"], or how often, as in { network = 1 }";

impl Check<'_> {
    pub(super) fn expectations(&mut self) -> BTreeMap<ExpectName, Expectation> {
        let raw = self.raw;
        let mut expectations = BTreeMap::new();
        if self.too_many("the lab", &raw.expect, MOST_EXPECTATIONS, "expectations") {
            return expectations;
        }
        for (key, expect) in &raw.expect.entries {
            let name = self.name::<ExpectName>(key);
            let Some(expect) = expect else { continue };
            if let Some(expectation) = self.expectation(name, expect, &key.span) {
                expectations.insert(expectation.name.clone(), expectation);
            }
        }
        expectations
    }

    fn expectation(&mut self, name: Option<ExpectName>, raw: &RawExpect, home: &Span) -> Option<Expectation> {
        let (sense, check) = match (&raw.that, &raw.never) {
            (Field::Given(check), Field::Missing) => (Polarity::Must, Some(check)),
            (Field::Missing, Field::Given(check)) => (Polarity::Never, Some(check)),
            (Field::Bad, _) | (_, Field::Bad) => (Polarity::Must, None),
            (Field::Given(_), Field::Given(never)) => {
                self.that_or_never(&never.span, "this expectation has both `that` and `never`");
                (Polarity::Must, None)
            }
            (Field::Missing, Field::Missing) => {
                self.that_or_never(home, "this expectation has neither `that` nor `never`");
                (Polarity::Must, None)
            }
        };
        let nodes = self.nodes_of(raw, check.map(|check| &check.value), home);
        let after = raw.after.given().and_then(|after| self.after(after));
        let holds = self.holds(raw, sense);
        let within = self.within(raw, sense);
        let checked = check.and_then(|check| self.checked(&check.value, &check.span, &nodes));
        self.host_meets(raw, check, &nodes);
        if let (Polarity::Never, Some(Located { value: RawCheck::Stage(Stage::Off), span })) = (sense, check)
        {
            let what = "every node has reached at least stage `off`, so this fails immediately";
            self.bad_check(span, what, "set the stage that a node must not reach, such as \"os\"");
        }
        let nodes = match &checked {
            // The other nodes of the lab may be off, or die.
            Some(Checked::Probed(ProbedCheck::Kubernetes(check))) if raw.nodes.is_missing() => check.needs(),
            _ => nodes,
        };
        let quorum = self.quorum(raw, check, nodes.len());
        let progress = self.progress(raw, sense, check, within, &nodes);
        let check = checked?;
        Some(Expectation { name: name?, nodes, after, within, holds, progress, quorum, sense, check })
    }

    fn that_or_never(&mut self, span: &Span, what: &str) {
        self.report(
            Diagnostic::new(Code::ThatOrNever, span.clone(), what)
                .help("set one of them, such as that = { stage = \"os\" }"),
        );
    }

    fn nodes_of(&mut self, raw: &RawExpect, check: Option<&RawCheck>, home: &Span) -> Vec<NodeName> {
        let of_lab = matches!(check, Some(RawCheck::Command(_) | RawCheck::Process(_)));
        // `on` of the check names whom it needs.
        let may_be_nobody = matches!(check, Some(RawCheck::Kubernetes(_)));
        let all = &self.raw.node;
        let list = &raw.nodes;
        if let (true, Some(span)) = (of_lab, &list.span) {
            self.idle(span, "this is checked once for the whole lab, not for nodes", "remove `nodes`");
            return Vec::new();
        }
        if of_lab || list.bad {
            return Vec::new();
        }
        let (nodes, span): (Vec<NodeName>, _) = match &list.span {
            Some(span) => {
                let mut nodes = Vec::new();
                for word in &list.items {
                    if let Some(name) = self.subject_named(&word.value, &word.span)
                        && !nodes.contains(&name)
                    {
                        nodes.push(name);
                    }
                }
                (nodes, span)
            }
            None => {
                let mut nodes: Vec<_> = all.names().filter_map(|name| NodeName::new(name).ok()).collect();
                nodes.sort();
                (nodes, home)
            }
        };
        if list.items.is_empty()
            && nodes.is_empty()
            && all.entries.is_empty() == list.is_missing()
            && !all.bad
            && !(may_be_nobody && list.is_missing())
        {
            self.report(
                Diagnostic::new(Code::NoNodes, span.clone(), "this expectation applies to no node").help(
                    "list nodes in `nodes`, or remove it to apply to all nodes (the lab needs at least one)",
                ),
            );
        }
        nodes
    }

    /// Resolves a node or host of an expectation.
    pub(super) fn subject_named(&mut self, name: &str, span: &Span) -> Option<NodeName> {
        match self.raw.host.get(name).is_some() && self.raw.node.get(name).is_none() {
            true => self.host_named(name, span),
            false => self.node_named(name, span),
        }
    }

    /// Reports a check that is only possible on a node, if a host is named.
    fn host_meets(&mut self, raw: &RawExpect, check: Option<&Located<RawCheck>>, nodes: &[NodeName]) {
        let what = match check.map(|check| &check.value) {
            Some(RawCheck::Console(_)) => "console",
            Some(RawCheck::Stage(_)) => "stage",
            Some(RawCheck::Boots(_)) => "boots",
            Some(RawCheck::Fetched(_)) => "fetched",
            Some(RawCheck::Leased(_)) => "leased",
            Some(RawCheck::Finding(_)) => "finding",
            Some(RawCheck::Installed(_)) => "installed",
            Some(RawCheck::File(Short(file))) if !file.disk.is_missing() => "file` with `disk",
            Some(
                RawCheck::Tcp(_)
                | RawCheck::Http(_)
                | RawCheck::Certificate(_)
                | RawCheck::Dns(_)
                | RawCheck::Ssh(_)
                | RawCheck::Etcd(_)
                | RawCheck::Kubernetes(_)
                | RawCheck::Command(_)
                | RawCheck::Process(_)
                | RawCheck::CloudInit(_)
                | RawCheck::Units(_)
                | RawCheck::Ignition(_)
                | RawCheck::Cmdline(_)
                | RawCheck::Nics(_)
                | RawCheck::Clock(_)
                | RawCheck::File(_)
                | RawCheck::Unreachable(_),
            )
            | None => return,
        };
        for word in &raw.nodes.items {
            let is_host = nodes.iter().any(|node| node.as_str() == word.value)
                && self.raw.host.get(&word.value).is_some()
                && self.raw.node.get(&word.value).is_none();
            if is_host {
                let text =
                    format!("`{}` is a host: it does not boot, so it cannot meet `{what}`", word.value);
                let diagnostic = Diagnostic::new(Code::NotOnHost, word.span.clone(), text);
                self.report(diagnostic.help(
                    "use `tcp`, `http`, `dns` or `ssh` for a host, `process` or `command` for what runs on it",
                ));
            }
        }
    }

    fn holds(&mut self, raw: &RawExpect, sense: Polarity) -> Duration {
        let Some(Located { value: Text(Lasting(holds)), span }) = raw.holds.given() else {
            return Duration::ZERO;
        };
        if sense == Polarity::Never {
            self.idle(span, "`holds` has no effect with `never`", "remove `holds`");
        }
        *holds
    }

    fn progress(
        &mut self,
        raw: &RawExpect,
        sense: Polarity,
        check: Option<&Located<RawCheck>>,
        within: Option<Duration>,
        nodes: &[NodeName],
    ) -> Option<Duration> {
        let Located { value: Text(Lasting(progress)), span } = raw.progress.given()?;
        let of_one_node = !matches!(
            check.map(|check| &check.value),
            Some(RawCheck::Etcd(_) | RawCheck::Kubernetes(_) | RawCheck::Command(_) | RawCheck::Process(_))
        );
        let idle = if sense == Polarity::Never {
            "`progress` has no effect with `never`"
        } else if !of_one_node || !raw.quorum.is_missing() {
            "`progress` is about one node, and this is judged for several together"
        } else if !nodes.is_empty() && nodes.iter().all(|node| self.raw.host.get(node.as_str()).is_some()) {
            "the progress of a host is not known"
        } else if within.is_some_and(|within| *progress >= within) {
            "`within` is over before that"
        } else {
            if progress.is_zero() {
                self.bad_check(span, "no node makes progress all the time", "set a duration such as \"2m\"");
            }
            return Some(*progress);
        };
        self.idle(span, idle, "remove `progress`");
        None
    }

    fn quorum(&mut self, raw: &RawExpect, check: Option<&Located<RawCheck>>, nodes: usize) -> Option<usize> {
        let Located { value, span } = raw.quorum.given()?;
        let needed = usize::from(*value);
        let together = match check.map(|check| &check.value) {
            Some(RawCheck::Etcd(_)) => Some("`etcd` judges all its nodes together"),
            Some(RawCheck::Kubernetes(_)) => Some("`kubernetes` judges the whole cluster"),
            Some(RawCheck::Command(_) | RawCheck::Process(_)) => {
                Some("this is checked once for the whole lab")
            }
            _ => None,
        };
        if let Some(what) = together {
            self.idle(span, what, "remove `quorum`");
            return None;
        }
        if needed == 0 || needed > nodes {
            let what = match nodes {
                1 => format!("{needed} of one node is not possible"),
                _ => format!("{needed} of {nodes} nodes is not possible"),
            };
            self.bad_check(span, what, "set a number from 1 to the number of nodes");
        }
        Some(needed)
    }

    fn within(&mut self, raw: &RawExpect, sense: Polarity) -> Option<Duration> {
        let default = (sense == Polarity::Must).then_some(WITHIN);
        let Some(Located { value: Text(Lasting(within)), span }) = raw.within.given() else { return default };
        if within.is_zero() {
            self.bad_check(span, "this timeout is zero", "set a timeout such as \"90s\"");
        }
        Some(*within)
    }

    pub(super) fn idle(&mut self, span: &Span, what: &str, help: &str) {
        self.report(Diagnostic::new(Code::IdleSetting, span.clone(), what).help(help));
    }

    pub(super) fn bad_check(&mut self, span: &Span, what: impl Into<String>, help: &str) {
        self.report(Diagnostic::new(Code::BadCheck, span.clone(), what).help(help));
    }

    fn checked(&mut self, raw: &RawCheck, span: &Span, nodes: &[NodeName]) -> Option<Checked> {
        match raw {
            RawCheck::Console(pattern) => {
                self.regex(pattern).map(|regex| ObservedCheck::Console(regex).into())
            }
            RawCheck::Stage(stage) => Some(ObservedCheck::Stage(*stage).into()),
            RawCheck::Tcp(Short(tcp)) => {
                let port = self.needed(&tcp.port, "port = 22", span)?;
                self.port(port).map(|port| ProbedCheck::Tcp { port }.into())
            }
            RawCheck::Http(http) => match http {
                Field::Given(http) => self.http(&http.value),
                Field::Missing => self.http(&RawHttp::default()),
                Field::Bad => None,
            },
            RawCheck::Certificate(raw) => match raw {
                Field::Given(raw) => self.certificate(&raw.value.0),
                Field::Missing => self.certificate(&RawCertificate::default()),
                Field::Bad => None,
            },
            RawCheck::Dns(dns) => match dns {
                Field::Given(dns) => self.dns_check(&dns.value),
                Field::Missing => self.dns_check(&RawDnsCheck::default()),
                Field::Bad => None,
            },
            RawCheck::Ssh(ssh) => self.ssh(ssh, span),
            RawCheck::Etcd(etcd) => match etcd {
                Field::Given(etcd) => self.etcd(&etcd.value, nodes.len()),
                Field::Missing => self.etcd(&RawEtcd::default(), nodes.len()),
                Field::Bad => None,
            },
            RawCheck::Kubernetes(Short(kubernetes)) => self.kubernetes(kubernetes, span, nodes),
            RawCheck::Boots(Short(boots)) => self.boots(boots, span),
            RawCheck::Fetched(Short(fetched)) => self.fetched(fetched, span),
            RawCheck::Leased(Short(leased)) => {
                let server = self.needed(&leased.server, "server = \"10.0.2.1\"", span)?;
                let server = self.wanted_server(server.value.0);
                let address = leased.address.value().map(|address| address.0);
                Some(ObservedCheck::Leased(Leased { server, address }).into())
            }
            RawCheck::Finding(Located { value: id, span }) => {
                if diagnose::entry(id).is_some() {
                    return Some(ObservedCheck::Finding(id.clone()).into());
                }
                let ids = diagnose::entries().iter().map(|entry| entry.id.as_str());
                let help = match nearest(id, ids) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`dryrack explain findings` lists all".to_owned(),
                };
                self.bad_check(span, format!("the diagnosis knows no failure `{id}`"), &help);
                None
            }
            RawCheck::Installed(installed) => match installed {
                Field::Given(installed) => self.installed(&installed.value, span, nodes),
                Field::Missing => self.installed(&RawInstalled::default(), span, nodes),
                Field::Bad => None,
            },
            RawCheck::Command(Short(command)) => self.command(command, span),
            RawCheck::CloudInit(raw) => match raw {
                Field::Given(raw) => self.cloud_init(&raw.value.0),
                Field::Missing => self.cloud_init(&RawCloudInit::default()),
                Field::Bad => None,
            },
            RawCheck::Units(raw) => match raw {
                Field::Given(raw) => self.units(&raw.value),
                Field::Missing => self.units(&RawUnits::default()),
                Field::Bad => None,
            },
            RawCheck::Ignition(raw) => match raw {
                Field::Given(raw) => self.ignition_result(&raw.value),
                Field::Missing => self.ignition_result(&RawIgnitionResult::default()),
                Field::Bad => None,
            },
            RawCheck::Cmdline(Short(raw)) => self.cmdline(raw, span),
            RawCheck::Nics(raw) => self.nic_names(raw, span),
            RawCheck::Clock(Short(raw)) => self.clock_offset(raw, span),
            RawCheck::File(Short(raw)) => self.node_file(raw, span, nodes),
            RawCheck::Unreachable(raw) => self.unreachable_target(raw, span),
            RawCheck::Process(Short(ended)) => {
                let name = self.needed(&ended.name, "name = \"terraform\"", span)?;
                let process = self.process_named(&name.value, &name.span)?;
                Some(
                    ObservedCheck::Process { process, exit: ended.exit.value().copied().unwrap_or(0) }.into(),
                )
            }
        }
    }

    pub(super) fn http(&mut self, raw: &RawHttp) -> Option<Checked> {
        let https = raw.https.value().copied().unwrap_or(false);
        if let Some(ca) = raw.ca.given().filter(|_| !https) {
            self.bad_check(&ca.span, "`ca` has no effect without TLS".to_owned(), "add `https = true`");
        }
        let port = self.port_or(&raw.port, if https { 443 } else { 80 });
        let path = match raw.path.given() {
            Some(path) => self.http_path(path),
            None => Some("/".into()),
        };
        if let Some(status) = raw.status.given().filter(|status| !(100..=599).contains(&status.value)) {
            let what = format!("{} is not an HTTP status", status.value);
            self.bad_check(&status.span, what, "use a status from 100 to 599");
        }
        let ca = raw.ca.given().and_then(|path| self.path(path));
        let method = match raw.method.given() {
            Some(method) => self.http_method(method)?,
            None if raw.request_body.given().is_some() => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        let timeout = raw.timeout.given().map_or(ATTEMPT, |given| given.value.0.0);
        if let Some(given) = raw.timeout.given().filter(|_| timeout.is_zero()) {
            self.bad_check(&given.span, "an attempt needs time".to_owned(), "use a timeout such as \"10s\"");
        }
        let request_headers = self.request_headers(&raw.request_header);
        let body = self.maybe_regex(&raw.body);
        let headers = self.headers(&raw.header);
        let json = self.json_values(&raw.json);
        let check = HttpCheck {
            port: port?,
            path: path?,
            tls: https.then_some(TlsCheck { ca }),
            method,
            request_headers,
            request_body: raw.request_body.value().cloned(),
            timeout,
            status: raw.status.value().copied().unwrap_or(200),
            body: body?,
            headers,
            json,
        };
        Some(ProbedCheck::Http(Box::new(check)).into())
    }

    fn http_method(&mut self, method: &Located<String>) -> Option<String> {
        let good = !method.value.is_empty() && method.value.chars().all(is_token);
        if !good {
            let what = format!("`{}` is not an HTTP method", method.value);
            self.bad_check(&method.span, what, "use a method such as GET, HEAD or POST");
        }
        good.then(|| method.value.clone())
    }

    /// Returns the expected values of a JSON document, by JSON Pointer or JSONPath.
    fn json_values(&mut self, raw: &Keyed<RawJson>) -> JsonValues {
        let mut values = JsonValues::default();
        for (key, value) in &raw.entries {
            match JsonLocation::new(&key.value) {
                Err(error) => {
                    let help = match &error {
                        JsonLocationError::Neither(text) => {
                            let path = text.replace('.', "/");
                            format!(
                                "a JSON Pointer begins with a slash, \"/{path}\"; a JSONPath with $, \"$.{text}\""
                            )
                        }
                        JsonLocationError::Path { .. } => {
                            "a JSONPath is written as in RFC 9535: \"$.members[*].health\"".to_owned()
                        }
                    };
                    self.bad_check(&key.span, error.to_string(), &help);
                }
                Ok(location) => values.0.extend(value.as_ref().map(|value| (location, value.0.clone()))),
            }
        }
        values
    }

    fn request_headers(&mut self, raw: &Keyed<Located<String>>) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        for (name, value) in &raw.entries {
            self.header_name(name);
            let Some(value) = value else { continue };
            if value.value.chars().any(|c| c.is_control() && c != '\t') {
                let what = format!("the header {} contains a control character", name.value);
                self.bad_check(&value.span, what, "write it on one line");
            }
            headers.insert(name.value.clone(), value.value.clone());
        }
        headers
    }

    fn header_name(&mut self, name: &Located<String>) {
        if name.value.is_empty() || !name.value.chars().all(is_token) {
            let what = format!("`{}` is not the name of a header", name.value);
            self.bad_check(&name.span, what, "a header has a name such as content-type");
        }
    }

    fn http_path(&mut self, path: &Located<String>) -> Option<String> {
        let good =
            path.value.starts_with('/') && path.value.chars().all(|c| c.is_ascii_graphic() && c != '#');
        if !good {
            let what = format!("`{}` is not the path of a URL", path.value);
            self.bad_check(&path.span, what, "it begins with a slash and has no spaces: \"/health?full=1\"");
        }
        good.then(|| path.value.clone())
    }

    fn headers(&mut self, raw: &Keyed<Located<String>>) -> BTreeMap<String, Pattern> {
        let mut headers = BTreeMap::new();
        for (name, pattern) in &raw.entries {
            self.header_name(name);
            if let Some(regex) = pattern.as_ref().and_then(|pattern| self.regex(pattern)) {
                headers.insert(name.value.to_ascii_lowercase(), regex);
            }
        }
        headers
    }

    fn dns_check(&mut self, raw: &RawDnsCheck) -> Option<Checked> {
        let name = match raw.name.given() {
            Some(name) => Some(self.domain(name)?),
            None => None,
        };
        let answer =
            raw.answer.0.span.as_ref().map(|_| raw.answer.0.values().map(|answer| answer.0).collect());
        let server = raw.server.value().map(|server| server.0.0);
        Some(ProbedCheck::Dns { name, answer, server }.into())
    }

    /// Checks the source of a secret.
    pub(super) fn secret(&mut self, raw: &RawSecret) -> Option<Secret> {
        match raw {
            RawSecret::Env(name) => self.variable(name).map(Secret::Env),
            // A key was given instead of its path.
            RawSecret::File(path) if path.value.contains('\n') => {
                let what = "this is not the path of a file";
                let help = "set the file that contains the secret, such as { file = \"id_ed25519\" }";
                self.report(crate::config::malformed(path.span.clone(), what).help(help).secret());
                None
            }
            RawSecret::File(path) => self.path(path).map(Secret::File),
        }
    }

    fn ssh(&mut self, raw: &RawSsh, span: &Span) -> Option<Checked> {
        let user = self
            .needed(&raw.user, "user = \"root\"", span)
            .filter(|user| self.user(user))
            .map(|user| user.value.clone());
        let port = self.port_or(&raw.port, 22);
        let key = raw.key.value().and_then(|position| self.secret(position));
        let run = raw.run.value().cloned();
        let json = self.json_values(&raw.json);
        let of_json = raw.json.entries.first().map(|(key, _)| &key.span);
        if let (None, Some(span)) = (&run, raw.exit.span().or(raw.output.span()).or(of_json)) {
            let what = "without `run` there is no exit code and no output";
            self.idle(span, what, "add run = \"…\"");
        }
        let output = self.maybe_regex(&raw.output);
        let exit = raw.exit.value().copied().unwrap_or(0);
        let login = Login { user: user?, port: port?, key };
        Some(ProbedCheck::Ssh { login, run, exit, output: output?, json }.into())
    }

    fn variable(&mut self, name: &Located<String>) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = name.value.chars().all(plain) && !name.value.is_empty();
        if !good {
            // The value may be the secret itself, so it is not printed.
            let what = "this is not the name of an environment variable";
            self.report(
                crate::config::malformed(name.span.clone(), what)
                    .help("set the variable that contains the secret, such as { env = \"RACK1\" }")
                    .secret(),
            );
        }
        good.then(|| name.value.clone())
    }

    fn etcd(&mut self, raw: &RawEtcd, nodes: usize) -> Option<Checked> {
        let port = self.port_or(&raw.port, 2379);
        let members = match raw.members.given() {
            Some(Located { value: 0, span }) => {
                self.bad_check(
                    span,
                    "a cluster has at least one member",
                    "remove it to expect one on each node",
                );
                return None;
            }
            members => members.map_or(nodes, |members| usize::from(members.value)),
        };
        let healthy = raw.healthy.given();
        if let Some(healthy) = healthy.filter(|healthy| !(1..=members).contains(&usize::from(healthy.value)))
        {
            let what = format!("{} of {members} members cannot be healthy", healthy.value);
            self.bad_check(
                &healthy.span,
                what,
                "use a number from 1 to `members`, or remove it to expect all",
            );
            return None;
        }
        let healthy = healthy.map(|healthy| usize::from(healthy.value));
        Some(ProbedCheck::Etcd { port: port?, members, healthy }.into())
    }

    fn boots(&mut self, raw: &RawBoots, span: &Span) -> Option<Checked> {
        let RawBoots { order, times, network, disk } = raw;
        if order.bad || [times, network, disk].iter().any(|count| matches!(count, Field::Bad)) {
            return None;
        }
        let counts = [times, network, disk].map(|count| count.given());
        if let (Some(_), Some(count)) = (&order.span, counts.iter().flatten().next()) {
            self.idle(&count.span, "the list already gives the number of boots", "remove the number");
        }
        let empty = order.span.is_some() && order.items.is_empty();
        if let Some(count) = times.given().filter(|count| count.value == 0) {
            self.bad_check(&count.span, "a node cannot start without a boot", BOOTS_HELP);
        } else if empty || (order.span.is_none() && counts.iter().flatten().next().is_none()) {
            self.bad_check(span, "this check has no condition", BOOTS_HELP);
        } else if counts[1..].iter().flatten().all(|count| count.value == 0)
            && counts[1..].iter().flatten().next().is_some()
            && counts[0].is_none()
        {
            let help = "add the total, as in { times = 2, network = 0 }, or use `never`";
            self.bad_check(span, "this is already true before the first boot", help);
        } else if let [Some(times), Some(network), Some(disk)] = counts
            && network.value.saturating_add(disk.value) != times.value
        {
            let what = format!(
                "{} boots from the network plus {} from disk are not {}",
                network.value, disk.value, times.value
            );
            self.bad_check(&times.span, what, "remove one of the three");
        }
        let count = |count: &Field<u32>| count.value().copied();
        let order = order.span.as_ref().map(|_| order.values().copied().collect());
        Some(
            ObservedCheck::Boots(Boots {
                order,
                times: count(times),
                network: count(network),
                disk: count(disk),
            })
            .into(),
        )
    }

    fn fetched(&mut self, raw: &RawFetched, span: &Span) -> Option<Checked> {
        let path = self.needed(&raw.path, "path = \"/assets/.*\"", span)?;
        let path = self.regex(path);
        for count in [&raw.times, &raw.at_least].into_iter().filter_map(Field::given) {
            if count.value == 0 {
                let help = "use `never = { fetched = … }` for a path that must not be fetched";
                self.bad_check(&count.span, "this is already true before anything is fetched", help);
            }
        }
        if let (Some(_), Some(least)) = (raw.times.given(), raw.at_least.given()) {
            self.idle(&least.span, "`times` is already an exact number", "remove `at-least`");
        }
        let method = match raw.method.given() {
            Some(method) if method.value.bytes().all(|c| c.is_ascii_alphabetic()) => {
                Some(method.value.to_ascii_uppercase())
            }
            Some(method) => {
                let what = format!("`{}` is not an HTTP method", method.value);
                self.bad_check(&method.span, what, "methods are GET, HEAD, POST, …");
                return None;
            }
            None => None,
        };
        if let Some(status) = raw.status.given().filter(|status| !(100..=599).contains(&status.value)) {
            let what = format!("{} is not an HTTP status", status.value);
            self.bad_check(&status.span, what, "use a status from 100 to 599");
        }
        let often = match raw.times.value() {
            Some(times) => Count::Exactly(*times),
            None => Count::AtLeast(raw.at_least.value().copied().unwrap_or(1)),
        };
        Some(
            ObservedCheck::Fetched(Fetched {
                path: path?,
                often,
                method,
                status: raw.status.value().copied(),
                server: raw.server.value().map(|server| self.wanted_server(server.0)),
            })
            .into(),
        )
    }

    fn wanted_server(&self, address: IpAddr) -> WantedServer {
        let networks = self.raw.network.entries.iter().filter_map(|(_, raw)| raw.as_ref());
        let is_ours = networks.into_iter().any(|raw| {
            raw.address.value().is_some_and(|net| IpAddr::V4(net.0.addr()) == address)
                || raw.ipv6.value().is_some_and(|net| IpAddr::V6(net.0.addr()) == address)
        });
        WantedServer { address, is_ours }
    }

    fn installed(&mut self, raw: &RawInstalled, span: &Span, nodes: &[NodeName]) -> Option<Checked> {
        let mut disks = std::collections::BTreeMap::new();
        for node in nodes {
            let Some((_, Some(of))) = self.raw.node.get(node.as_str()) else { continue };
            let mut names = of.disk.names();
            let named = raw.disk.given();
            let disk = match named {
                Some(named) => names.find(|name| *name == named.value),
                None => names.next(),
            };
            if let Some(disk) = disk {
                disks.extend(DiskName::new(disk).ok().map(|disk| (node.clone(), disk)));
            } else if !of.disk.bad && !matches!(raw.disk, Field::Bad) {
                let what = match named {
                    Some(named) => format!("`{node}` has no disk `{}`", named.value),
                    None => format!("`{node}` has no disk to install to"),
                };
                let at = named.map_or(span, |named| &named.span);
                self.bad_check(
                    at,
                    what,
                    "add one, such as disk.root = { size = \"10GiB\" }, or list only `nodes` that have one",
                );
            }
        }
        if let Some(count) = raw.partitions.given().filter(|count| !(1..=128).contains(&count.value)) {
            let what = format!("no bootable disk has {} partitions", count.value);
            self.bad_check(&count.span, what, "use 1 to 128");
        }
        let table = raw.table.value().map(|table| match table {
            TableKind::Gpt => TableKind::Gpt,
            TableKind::Mbr => TableKind::Mbr,
        });
        Some(
            ProbedCheck::Installed(Installed { disks, table, partitions: raw.partitions.value().copied() })
                .into(),
        )
    }

    fn command(&mut self, raw: &RawCommand, span: &Span) -> Option<Checked> {
        let run = self.needed(&raw.run, "run = \"true\"", span).map(|run| run.value.clone());
        let output = self.maybe_regex(&raw.output);
        let exit = raw.exit.value().copied().unwrap_or(0);
        let json = self.json_values(&raw.json);
        let host = self.maybe_host(&raw.host);
        Some(ProbedCheck::Command { run: run?, host: host?, exit, output: output?, json }.into())
    }

    pub(super) fn port_or(&mut self, port: &Field<u16>, default: u16) -> Option<u16> {
        match port {
            Field::Given(port) => self.port(port),
            Field::Missing => Some(default),
            Field::Bad => None,
        }
    }

    pub(super) fn port(&mut self, port: &Located<u16>) -> Option<u16> {
        if port.value == 0 {
            self.bad_check(&port.span, "0 is not a valid port", "use a port from 1 to 65535");
        }
        (port.value != 0).then_some(port.value)
    }

    /// `None` if the pattern is invalid.
    pub(super) fn maybe_regex(&mut self, pattern: &Field<String>) -> Option<Option<Pattern>> {
        match pattern {
            Field::Given(pattern) => self.regex(pattern).map(Some),
            Field::Missing => Some(None),
            Field::Bad => None,
        }
    }

    pub(super) fn regex(&mut self, pattern: &Located<String>) -> Option<Pattern> {
        match Pattern::new(&pattern.value) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let why = match &error {
                    // regex formats such errors over several lines with a caret; the last line has the message.
                    regex::Error::Syntax(drawn) => {
                        drawn.lines().last().unwrap_or("").replacen("error: ", "", 1)
                    }
                    _ => "it is too large".into(),
                };
                let what = format!("invalid regular expression: {why}");
                let help = match pattern.value.as_str() {
                    _ if why.contains("too large") => {
                        "use fewer repetitions: each `{1000}` makes it a thousand times larger"
                    }
                    _ if why.contains("look-around") => "look-around is not supported: match the text itself",
                    _ if why.contains("Unicode") => "Unicode classes are written \\p{Greek}, \\pL or \\d",
                    text if text.starts_with(['*', '+', '?']) => {
                        "a regular expression matches anywhere in a line: no leading `*` is needed"
                    }
                    _ => "escape literal ( ) [ ] { } . * + ? with a backslash, in '…' quotes",
                };
                self.report(Diagnostic::new(Code::BadRegex, pattern.span.clone(), what).help(help));
                None
            }
        }
    }
}

/// Tells whether a character may be part of a token of HTTP (RFC 9110, section 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
