//! Matchbox: its data directory, groups and profiles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Check;
use super::service::{HTTP, Services};
use crate::config::{Field, Keyed, Located, RawGroup, RawJson, RawMatchbox, RawProfile};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{Group, Loader, Matchbox, Metadata, Network, Rpc};
use crate::matchbox::ignition::Version;
use crate::name::{GroupName, NetworkName};

const RPC: u16 = 8081;

/// More than a hand-written file needs; a data directory may have any number.
const MOST_GROUPS: usize = 1000;

impl Check<'_> {
    /// Checks the matchbox settings of a network.
    pub(super) fn matchbox(&mut self, raw: &RawMatchbox, span: &Span, services: Services) -> Matchbox {
        let data = self.folder(&raw.data);
        let assets = match raw.assets.is_missing() {
            true => data.as_ref().map(|data| data.join("assets")).filter(|assets| self.is_folder(assets)),
            false => self.folder(&raw.assets),
        };
        let port = self.port_of_ours(&raw.port, services.http.unwrap_or(HTTP), services);
        let rpc = raw.rpc.given().and_then(|rpc| {
            let listen = self.port_of_ours(&rpc.value.port, RPC, services);
            if listen == port || Some(listen) == services.http {
                let position = rpc.value.port.span().unwrap_or(&rpc.span).clone();
                let what = format!("port {listen} is used by HTTP");
                self.report(Diagnostic::new(Code::PortTaken, position, what).help("give each its own port"));
            }
            let tls = self.needed(&rpc.value.tls, "tls = \"tls\"", &rpc.span)?;
            let tls = self.folder(&Field::Given(tls.clone()))?;
            for file in ["ca.crt", "server.crt", "server.key"] {
                if !(self.around.existing)(&tls.join(file)) {
                    let what = format!("there is no `{file}` in this folder");
                    let position = rpc.value.tls.span().cloned();
                    self.report(Diagnostic::new(Code::NoSuchFile, position, what).help(
                        "run `dryrack tls init` to create a CA and the certificates of server and clients",
                    ));
                    break;
                }
            }
            Some(Rpc { port: listen, tls })
        });
        if let (Some(position), true) = (raw.passphrase.span(), raw.key_ring.is_missing()) {
            let what = "`passphrase` has no effect without `key-ring`";
            let diagnostic = Diagnostic::new(Code::IdleMatchbox, position.clone(), what);
            self.report(diagnostic.help("add `key-ring`, or remove `passphrase`"));
        }
        let groups = &self.raw.group;
        let idle = data.is_none() && raw.data.is_missing() && raw.rpc.is_missing() && raw.assets.is_missing();
        if idle && groups.entries.is_empty() && !groups.bad && self.raw.profile.entries.is_empty() {
            let what = "matchbox has nothing to serve: no data directory, no group, no profile";
            let diagnostic = Diagnostic::new(Code::IdleMatchbox, span.clone(), what);
            self.report(diagnostic.help("set a data directory, such as data = \"matchbox\""));
        }
        Matchbox {
            data,
            assets,
            port,
            key_ring: raw.key_ring.given().and_then(|path| self.path(path)),
            passphrase: raw.passphrase.value().and_then(|position| self.secret(position)),
            newest: raw.ignition.value().map_or(Version::NEWEST, |version| version.0),
            rpc,
        }
    }

    /// Checks that a folder exists.
    fn folder(&mut self, field: &Field<String>) -> Option<PathBuf> {
        let word = field.given()?;
        let path = self.path(word)?;
        if self.is_folder(&path) {
            return Some(path);
        }
        let what = format!("`{}` is not a folder", word.value);
        self.report(
            Diagnostic::new(Code::NoFolder, word.span.clone(), what)
                .help("set the folder that contains the files"),
        );
        None
    }

    /// Checks a port and that no other service of the lab uses it.
    fn port_of_ours(&mut self, field: &Field<u16>, default: u16, services: Services) -> u16 {
        let port = field.value().copied().unwrap_or(default);
        let taken = services.tcp_ports().find(|(taken, _)| *taken == port);
        if port == 0 || taken.is_some() {
            let what = match taken {
                Some((_, other)) => format!("port {port} is used by {other}"),
                None => "0 is not a valid port".to_owned(),
            };
            let diagnostic = Diagnostic::new(Code::PortTaken, field.span().cloned(), what);
            self.report(diagnostic.help(format!("remove it to use port {default}")));
        }
        port
    }

    /// Checks the groups of the lab file.
    pub(super) fn groups(&mut self, networks: &BTreeMap<NetworkName, Network>) -> BTreeMap<GroupName, Group> {
        let raw = self.raw;
        let mut groups = BTreeMap::new();
        if self.too_many("the lab", &raw.group, MOST_GROUPS, "groups") {
            return groups;
        }
        for (key, group) in &raw.group.entries {
            let name = self.name::<GroupName>(key);
            let Some(group) = group else { continue };
            if let Some(group) = self.group(name, group, &key.span, networks) {
                groups.insert(group.name.clone(), group);
            }
        }
        groups
    }

    fn group(
        &mut self,
        name: Option<GroupName>,
        raw: &RawGroup,
        home: &Span,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Option<Group> {
        let network = match raw.network.given() {
            Some(word) => Some(self.network_named(&word.value, &word.span)?),
            None => None,
        };
        let serves = |network: &Network| network.matchbox.is_some();
        let answered = match &network {
            Some(name) => networks.get(name).is_none_or(serves),
            None => {
                self.raw.network.bad
                    || self.raw.network.entries.len() > networks.len()
                    || networks.values().any(serves)
            }
        };
        if !answered {
            let what = match &network {
                Some(network) => {
                    format!("network `{network}` has no matchbox, so this group has no effect")
                }
                None => "no network of this lab has matchbox, so this group has no effect".to_owned(),
            };
            let network = network.as_ref().map(NetworkName::as_str).or(self.raw.network.names().next());
            let help = format!("add [network.{}.matchbox]", network.unwrap_or("lan"));
            let position = raw.network.span().unwrap_or(home).clone();
            self.report(Diagnostic::new(Code::IdleMatchbox, position, what).help(help));
        }
        let profile = self.needed(&raw.profile, "profile = \"install\"", home)?;
        // A data directory may have it, or get it later.
        let elsewhere = |(_, network): &(Located<String>, Option<crate::config::RawNetwork>)| {
            network.as_ref().is_none_or(|network| match &network.matchbox {
                Field::Given(matchbox) => {
                    !(matchbox.value.data.is_missing() && matchbox.value.rpc.is_missing())
                }
                Field::Missing => false,
                Field::Bad => true,
            })
        };
        if !self.raw.network.entries.iter().any(elsewhere) {
            self.profile_named(&profile.value, &profile.span)?;
        }
        let selector = raw.selector.entries.iter();
        let selector =
            selector.filter_map(|(key, value)| Some((key.value.clone(), value.as_ref()?.value.clone())));
        Some(Group {
            name: name?,
            network,
            profile: profile.value.clone(),
            selector: selector.collect(),
            metadata: metadata(&raw.metadata),
        })
    }

    /// Returns whether a profile may have no kernel, because matchbox selects what to boot.
    pub(super) fn asks_matchbox(&self, raw: &RawProfile) -> bool {
        let networks = &self.raw.network.entries;
        let answers = networks
            .iter()
            .any(|(_, network)| network.as_ref().is_none_or(|network| !network.matchbox.is_missing()));
        let asks = matches!(raw.loader.value(), None | Some(Loader::Ipxe | Loader::Chainload | Loader::Grub));
        answers && asks
    }

    /// Checks the files served at /ignition, /cloud and /generic.
    pub(super) fn contents(
        &mut self,
        raw: &RawProfile,
    ) -> (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>) {
        let [ignition, cloud, generic] = [&raw.ignition, &raw.cloud, &raw.generic]
            .map(|field| field.given().and_then(|word| self.path(word)));
        (ignition, cloud, generic)
    }
}

/// Returns the variables for templates.
pub(super) fn metadata(raw: &Keyed<RawJson>) -> Metadata {
    let entries = raw.entries.iter();
    entries.filter_map(|(key, value)| Some((key.value.clone(), value.as_ref()?.0.clone()))).collect()
}
