//! Checks of matchbox content: renders every group at every endpoint, and looks for known causes of failed
//! installs.
//!
//! Reads only the groups, profiles and configs passed to it.

mod disk;
mod url;
mod words;

use std::path::Path;

use words::Misread;

use super::boot::Netboots;
use crate::diag::Code;
use crate::lab::{Boot, BootDevice, Firmware, Lab, Loader, Network, Node};
use crate::matchbox::labels::{Labels, words};
use crate::matchbox::model::{Group, NetBoot, Profile};
use crate::matchbox::render::{Endpoint, Failure, Source, render};
use crate::matchbox::select::Named;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// Its code.
    pub code: Code,
    /// The file, by its path in the data directory.
    pub file: String,
    /// The line in it, if known.
    pub line: Option<usize>,
    /// The text in question, if no line is known.
    pub what: Option<String>,
    /// The problem.
    pub message: String,
    /// The fix.
    pub help: String,
}

/// The content to check.
pub struct LintContext<'a> {
    /// Groups, profiles and configs.
    pub source: &'a dyn Source,
    /// Returns the text of a file of the data directory.
    pub text: &'a dyn Fn(&str) -> Option<String>,
    /// Returns whether a file exists.
    pub existing: &'a dyn Fn(&Path) -> bool,
}

/// Returns all findings for matchbox on a network, each once.
pub fn lint(netboots: &Netboots<'_>, network: &Network, look: &LintContext<'_>) -> Vec<Lint> {
    let mut found = Vec::new();
    let mut groups = look.source.groups();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    for named in &groups {
        let case = GroupCase::new(netboots, network, look, named);
        found.extend(case.rendered());
        found.extend(case.never_chosen());
        found.extend(case.upper_case());
        found.extend(case.ignored_keys());
        let Ok(profile) = look.source.profile(&named.group.profile) else { continue };
        if let Some(boot) = profile.boot.as_ref().filter(|boot| !boot.kernel.is_empty()) {
            found.extend(case.initrd(boot));
            found.extend(case.variables(boot));
            found.extend(case.misread(boot));
            found.extend(case.installs(boot));
            found.extend(case.https(boot));
            found.extend(case.urls(boot));
        }
    }
    // A profile used by several groups is reported once.
    let mut once: Vec<Lint> = Vec::new();
    for lint in found {
        if !once.contains(&lint) {
            once.push(lint);
        }
    }
    once
}

/// One group, and the nodes that it matches.
struct GroupCase<'a> {
    netboots: &'a Netboots<'a>,
    lab: &'a Lab,
    network: &'a Network,
    look: &'a LintContext<'a>,
    named: &'a Named,
    /// The labels of a machine that the group selects.
    labels: Labels,
    /// The nodes that ask matchbox and get this group.
    nodes: Vec<&'a Node>,
}

impl<'a> GroupCase<'a> {
    fn new(
        netboots: &'a Netboots<'a>,
        network: &'a Network,
        look: &'a LintContext<'a>,
        named: &'a Named,
    ) -> Self {
        let lab = netboots.lab;
        let asks =
            |node: &&Node| netboots.profile(&node.name).is_some_and(|profile| profile.kernel.is_none());
        let is_given = |node: &&Node| {
            let group = look.source.select(&labels_of(node, network));
            group.is_some_and(|group| group.name == named.name)
        };
        let nodes: Vec<&Node> = lab.nodes.values().filter(asks).filter(is_given).collect();
        // A machine sends more labels than its selectors; templates may use those.
        let mac = named.group.selector.get("mac");
        let is_of = |node: &&&Node| {
            node.nics.iter().any(|nic| Some(&nic.mac.to_string()) == mac && nic.network == network.name)
        };
        let of_node = lab.nodes.values().collect::<Vec<_>>();
        let of_node = of_node.iter().find(is_of).copied().or(nodes.first().copied());
        let mut labels = of_node.map(|node| labels_of(node, network)).unwrap_or_default();
        labels.extend(named.group.selector.clone());
        Self { netboots, lab, network, look, named, labels, nodes }
    }

    fn group_file(&self) -> String {
        format!("groups/{}.json", self.named.name)
    }

    fn profile_file(&self) -> String {
        format!("profiles/{}.json", self.named.group.profile)
    }

    /// Renders the group at every endpoint for which its profile has a config.
    fn rendered(&self) -> Vec<Lint> {
        let group = &self.named.group;
        let profile = match self.look.source.profile(&group.profile) {
            Ok(profile) => profile,
            Err(failure) => {
                let help = "create the profile, or set another one in the group";
                return vec![self.failed(&failure, "at every endpoint but /metadata", help)];
            }
        };
        // Such a machine gets another group, so this one is not rendered for it.
        if self.chosen().is_none_or(|chosen| chosen != self.named.name) {
            return Vec::new();
        }
        let wanted = Endpoint::ALL.into_iter().filter(|endpoint| has(&profile, *endpoint));
        let query: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = query.join("&");
        let mut lints = Vec::new();
        for endpoint in wanted {
            let failure = match render(endpoint, &self.labels, &query, self.look.source) {
                Ok(rendered) => {
                    lints.extend(rendered.warnings.iter().map(config_warning));
                    rendered.problem
                }
                Err(failure) => Some(failure),
            };
            let Some(failure) = failure.filter(|failure| !self.may_be_queried(failure)) else { continue };
            let help = "the client would get the response of the real server: 404, or an empty config";
            lints.push(self.failed(&failure, &format!("at {}", endpoint.path()), help));
        }
        lints
    }

    fn failed(&self, failure: &Failure, at: &str, help: &str) -> Lint {
        Lint {
            code: Code::NotRendered,
            file: failure.file.clone(),
            line: failure.line,
            what: None,
            message: format!("{}, so group `{}` is not served {at}", failure.reason, self.named.name),
            help: help.to_owned(),
        }
    }

    /// Returns whether a template only lacks values that a machine may still send in its query.
    fn may_be_queried(&self, failure: &Failure) -> bool {
        let Some(key) =
            failure.reason.split("no entry for key \"").nth(1).and_then(|rest| rest.split('"').next())
        else {
            return false;
        };
        let text = (self.look.text)(&failure.file).unwrap_or_default();
        text.contains(&format!("request.query.{key}"))
    }

    /// Returns the group that a machine with this group's labels gets.
    fn chosen(&self) -> Option<String> {
        self.look.source.select(&self.named.group.selector).map(|chosen| chosen.name.clone())
    }

    /// Reports a group that is always shadowed by another one with the same selectors.
    fn never_chosen(&self) -> Option<Lint> {
        let chosen = self.look.source.select(&self.named.group.selector)?;
        if chosen.name == self.named.name || chosen.group.selector != self.named.group.selector {
            return None;
        }
        let selector = words(&self.named.group.selector);
        let selector = if selector.is_empty() { "nothing".to_owned() } else { format!("`{selector}`") };
        Some(Lint {
            code: Code::NeverChosen,
            file: self.group_file(),
            line: None,
            what: Some("selector".to_owned()),
            message: format!(
                "group `{}` is never selected: `{}` selects {selector} too, and comes first",
                self.named.name, chosen.name
            ),
            help:
                "add a selector that differs, such as \"os\": \"installed\" for the stage after the install"
                    .to_owned(),
        })
    }

    /// Reports a MAC address in upper case or with dashes: it matches, but gRPC returns the normalized form, which
    /// Terraform shows as a change each time.
    fn upper_case(&self) -> Option<Lint> {
        let text = (self.look.text)(&self.group_file())?;
        let addresses = self.named.group.selector.iter().filter(|(key, _)| key.eq_ignore_ascii_case("mac"));
        let lower = text.to_ascii_lowercase();
        let (written, mac) = addresses.into_iter().find_map(|(_, mac)| {
            let forms = [mac.clone(), mac.replace(':', "-")];
            let at = forms.iter().find_map(|form| lower.find(form.as_str()))?;
            Some((text.get(at..at + mac.len()).filter(|written| written != mac)?.to_owned(), mac.clone()))
        })?;
        Some(Lint {
            code: Code::UpperCaseMac,
            file: self.group_file(),
            line: None,
            what: Some(written.clone()),
            message: format!("`{written}` is normalized to `{mac}`"),
            help: "write it in this form, or Terraform shows a change in every plan".to_owned(),
        })
    }

    fn by(&self, firmware: impl Fn(Firmware) -> bool, loaders: &[Loader]) -> bool {
        let fits = |node: &&&Node| {
            let loader = self.netboots.profile(&node.name).map_or(Loader::Ipxe, |profile| profile.loader);
            firmware(node.firmware) && loaders.contains(&loader)
        };
        self.nodes.iter().any(|node| fits(&node))
    }

    /// Reports initrds that a kernel started by UEFI does not find: iPXE passes them as files, by name.
    fn initrd(&self, boot: &NetBoot) -> Option<Lint> {
        const IPXE: &[Loader] = &[Loader::Ipxe, Loader::Chainload];
        // Without nodes, the firmware of the machines is unknown.
        if !self.nodes.is_empty() && !self.by(|firmware| firmware != Firmware::Bios, IPXE) {
            return None;
        }
        let names: Vec<&str> = boot.initrd.iter().map(|initrd| initrd_name(initrd)).collect();
        let named: Vec<&str> = arguments(boot).filter_map(|word| word.strip_prefix("initrd=")).collect();
        let missing = names.iter().find(|name| !named.contains(name))?;
        let message = match named.first() {
            None => {
                format!("the kernel has no argument `initrd={missing}`, and panics under UEFI")
            }
            Some(other) => {
                format!("the kernel has the argument `initrd={other}`, but the initrd is named `{missing}`")
            }
        };
        Some(Lint {
            code: Code::InitrdUnnamed,
            file: self.profile_file(),
            line: None,
            what: Some("args".to_owned()),
            message,
            help: format!("add \"initrd={missing}\" to `args`; a BIOS ignores it"),
        })
    }

    /// Reports variables that the loader does not have.
    fn variables(&self, boot: &NetBoot) -> Option<Lint> {
        let any = |_: Firmware| true;
        let foreign = |marks: &'static [&'static str]| {
            let mut words = words_of(boot);
            words.find_map(|word| marks.iter().find(|mark| word.contains(**mark)).map(|mark| (word, *mark)))
        };
        let (word, message, help) = if self.by(any, &[Loader::Grub, Loader::Shim]) {
            let (word, mark) = foreign(&[
                "${uuid}",
                "${mac",
                "${serial}",
                "${hostname}",
                "${domain}",
                "${net",
                "${next-server}",
            ])?;
            let message = format!("GRUB has no variable `{mark}`; iPXE has");
            (
                word,
                message,
                "use $net_default_mac, or $net_efinet0_dhcp_mac if only one kind of firmware reads it",
            )
        } else if self.by(any, &[Loader::Ipxe, Loader::Chainload]) {
            let (word, mark) = foreign(&["$net_default_", "$net_efinet", "$net_pxe"])?;
            let message = format!("iPXE has no variable `{mark}…`; GRUB has");
            (word, message, "use ${mac:hexhyp}, ${uuid} and similar variables")
        } else {
            return None;
        };
        Some(Lint {
            code: Code::ForeignVariable,
            file: self.profile_file(),
            line: None,
            what: Some(word.to_owned()),
            message,
            help: help.to_owned(),
        })
    }

    /// Reports words that a loader misreads. iPXE is assumed if no node asks.
    fn misread(&self, boot: &NetBoot) -> Vec<Lint> {
        let any = |_: Firmware| true;
        let mut misread = Vec::new();
        if self.by(any, &[Loader::Grub, Loader::Shim]) {
            misread.extend(words::grub(boot));
        }
        if self.nodes.is_empty() || self.by(any, &[Loader::Ipxe, Loader::Chainload]) {
            misread.extend(words::ipxe(boot));
        }
        let lint = |Misread { word, message, help }| Lint {
            code: Code::LoaderMisreads,
            file: self.profile_file(),
            line: None,
            message: format!("`{word}`: {message}"),
            what: Some(word),
            help: help.to_owned(),
        };
        // A variable of another loader is reported as such.
        let foreign = self.variables(boot).and_then(|lint| lint.what);
        misread.retain(|misread| foreign.as_ref().is_none_or(|foreign| !misread.word.contains(foreign)));
        misread.into_iter().map(lint).collect()
    }

    /// Reports keys of the group and its profile that matchbox ignores.
    fn ignored_keys(&self) -> Vec<Lint> {
        let of = |file: String, unknown: fn(&str) -> Vec<String>| {
            let keys = (self.look.text)(&file).map(|text| unknown(&text)).unwrap_or_default();
            keys.into_iter().map(move |key| {
                let name = key.rsplit('.').next().unwrap_or(&key).to_owned();
                let help = match key.as_str() {
                    "boot.cmdline" => {
                        "since matchbox 0.6, write the arguments as a list: \"args\": [\"console=ttyS0\"]"
                    }
                    _ => "remove it, or correct its name",
                };
                Lint {
                    code: Code::IgnoredKey,
                    file: file.clone(),
                    line: None,
                    message: format!("matchbox has no key `{key}`, and ignores it"),
                    what: Some(name),
                    help: help.to_owned(),
                }
            })
        };
        let group = of(self.group_file(), |text| Group::unknown_keys(text.as_bytes()));
        group.chain(of(self.profile_file(), |text| Profile::unknown_keys(text.as_bytes()))).collect()
    }

    /// Reports an install loop, and an installation to a disk that does not exist.
    fn installs(&self, boot: &NetBoot) -> Vec<Lint> {
        let config = render(Endpoint::Ignition, &self.labels, "", self.look.source).ok();
        let config = config.map(|rendered| unescaped(&rendered.body)).unwrap_or_default();
        let mut lints = Vec::new();
        let installs = disk::installs(boot, &config);
        if config.contains("os=installed") && !self.labels.contains_key("os") {
            let mut labels = self.labels.clone();
            labels.insert("os".to_owned(), "installed".to_owned());
            let next = self.look.source.select(&labels);
            if next.is_none_or(|next| next.name == self.named.name) {
                lints.push(Lint {
                    code: Code::ReinstallLoop,
                    file: self.group_file(),
                    line: None,
                    what: Some("selector".to_owned()),
                    message: "the installed system asks with os=installed, but gets the installer again"
                        .to_owned(),
                    help: "add a group that selects \"os\": \"installed\" as well".to_owned(),
                });
            }
        }
        for node in &self.nodes {
            if installs && network_first(node) {
                lints.push(Lint {
                    code: Code::ReinstallLoop,
                    file: self.group_file(),
                    line: None,
                    what: Some("profile".to_owned()),
                    message: format!(
                        "`{}` boots from the network first, so it gets the installer again after each install",
                        node.name
                    ),
                    help: format!("set node.{}.boot = [\"disk\", \"network\"]", node.name),
                });
            }
            lints.extend(disk::missing(node, boot, &config).map(|(device, there)| Lint {
                code: Code::NoSuchDisk,
                file: self.profile_file(),
                line: None,
                what: Some(device.clone()),
                message: format!("`{}` has no {device} to install to", node.name),
                help: match there.as_str() {
                    "" => format!("add a disk: node.{}.disk.root = {{ size = \"10GiB\" }}", node.name),
                    there => format!("it has {there}; the names depend on `bus`"),
                },
            }));
        }
        lints
    }

    /// Reports files that a loader must fetch over HTTPS. A program of the user's own may be able to.
    fn https(&self, boot: &NetBoot) -> Vec<Lint> {
        if !self.nodes.is_empty() && self.nodes.iter().all(|node| self.netboots.has_own_program(node)) {
            return Vec::new();
        }
        let words = std::iter::once(&boot.kernel).chain(&boot.initrd);
        let over_https = words.filter(|word| word.contains("https://"));
        let lint = |word: &String| {
            Lint {
            code: Code::DeadUrl,
            file: self.profile_file(),
            line: None,
            what: Some(word.clone()),
            message: "the iPXE and the GRUB of the images do not support HTTPS".to_owned(),
            help: "use http://, or an iPXE of your own in `programs`, newer than release 1.21.1 (built in November 2022 or later)".to_owned(),
        }
        };
        over_https.map(lint).collect()
    }

    /// Reports URLs that cannot be reached.
    fn urls(&self, boot: &NetBoot) -> Vec<Lint> {
        let words = words_of(boot);
        let dead = words.filter_map(|word| {
            let (message, help) = url::dead(word, self.lab, self.network, self.look.existing)?;
            Some(Lint {
                code: Code::DeadUrl,
                file: self.profile_file(),
                line: None,
                what: Some(word.to_owned()),
                message,
                help,
            })
        });
        dead.collect()
    }
}

/// Returns the finding for a warning of Butane or Ignition.
fn config_warning(warning: &Failure) -> Lint {
    Lint {
        code: Code::ConfigWarning,
        file: warning.file.clone(),
        line: warning.line,
        what: None,
        message: warning.reason.clone(),
        help: "it is served anyway; Butane and `ignition-validate` warn of it as well".to_owned(),
    }
}

/// Returns the labels that a node sends on a network, as iPXE does.
fn labels_of(node: &Node, network: &Network) -> Labels {
    let nic = node.nics.iter().find(|nic| nic.network == network.name);
    let arch = if node.firmware == Firmware::Bios { "i386" } else { "x86_64" };
    let mut labels = Labels::from([
        ("uuid".to_owned(), node.uuid.to_string()),
        ("serial".to_owned(), node.serial.clone()),
        ("hostname".to_owned(), node.name.to_string()),
        ("domain".to_owned(), network.dns.domain.clone()),
        ("arch".to_owned(), arch.to_owned()),
    ]);
    labels.extend(nic.map(|nic| ("mac".to_owned(), nic.mac.to_string())));
    labels
}

/// Returns whether a profile has a config for an endpoint.
fn has(profile: &Profile, endpoint: Endpoint) -> bool {
    match endpoint {
        Endpoint::Ipxe | Endpoint::Grub => profile.boot.as_ref().is_some_and(|boot| !boot.kernel.is_empty()),
        Endpoint::Ignition => !profile.ignition_id.is_empty(),
        Endpoint::Cloud => !profile.cloud_id.is_empty(),
        Endpoint::Generic => !profile.generic_id.is_empty(),
        Endpoint::Metadata => true,
    }
}

/// Returns all strings of a profile that a loader reads.
fn words_of(boot: &NetBoot) -> impl Iterator<Item = &str> {
    arguments(boot).chain([boot.kernel.as_str()]).chain(boot.initrd.iter().map(String::as_str))
}

/// Returns the arguments of the kernel.
fn arguments(boot: &NetBoot) -> impl Iterator<Item = &str> {
    boot.args.iter().flat_map(|argument| argument.split_whitespace())
}

/// Returns the name under which iPXE passes an initrd: the one given, else the last part of the path.
fn initrd_name(initrd: &str) -> &str {
    let mut words = initrd.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "--name" | "-n" => return words.next().unwrap_or_default(),
            url => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                if words.clone().next().is_none() {
                    return path.rsplit('/').next().unwrap_or(path);
                }
            }
        }
    }
    ""
}

/// Returns a config with percent-encoding and JSON escapes decoded, as far as the word search needs.
fn unescaped(config: &[u8]) -> String {
    let mut plain = Vec::with_capacity(config.len());
    let mut rest = config;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                rest = &tail[2..];
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).replace("\\u0026", "&").replace("\\u003c", "<").replace("\\u003e", ">")
}

/// Returns whether a node's firmware tries the network before its disks.
fn network_first(node: &Node) -> bool {
    let Boot::Order(order) = &node.boot else { return false };
    let network = |device: &BootDevice| matches!(device, BootDevice::Network | BootDevice::OneNic(_));
    order.first().is_some_and(network) && !node.disks.is_empty()
}

#[cfg(test)]
mod tests;
