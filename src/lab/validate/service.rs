//! The boot services of a network: which run, on which ports, and whether nodes have those that they need.

use std::collections::BTreeMap;

use super::Check;
use crate::config::{Field, Located, RawDhcp, RawDns, RawDnsService, RawHttpService, RawNetwork, Switch};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{
    Boot, BootDevice, Check as Checked, Dhcp, Expectation, Firmware, Loader, Network, Node, ProbedCheck,
    Process, Profile, TftpBackend, Via,
};
use crate::name::{ExpectName, NetworkName, NodeName, ProcessName, ProfileName};

pub(super) const HTTP: u16 = 80;
pub(super) const HTTPS: u16 = 443;
pub(super) const DNS: u16 = 53;

/// The UDP ports of services that cannot be moved.
const UDP: [(u16, &str); 5] =
    [(67, "DHCP"), (4011, "ProxyDHCP"), (69, "TFTP"), (123, "NTP"), (514, "syslog")];

/// The option that names a boot file (RFC 2132, section 9.5).
const BOOT_FILE: u8 = 67;

/// The services of a network, apart from DHCP and matchbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Services {
    pub(super) tftp: TftpBackend,
    /// The port of HTTP; `None` if it is off.
    pub(super) http: Option<u16>,
    pub(super) https: bool,
    /// The port of DNS; `None` if it is off.
    pub(super) dns: Option<u16>,
    pub(super) ntp: bool,
    pub(super) syslog: bool,
    pub(super) ra: bool,
}

impl Services {
    /// Returns the TCP ports in use, apart from that of HTTP, each with its service.
    pub(super) fn tcp_ports(&self) -> impl Iterator<Item = (u16, &'static str)> {
        let https = self.https.then_some((HTTPS, "HTTPS"));
        self.dns.map(|port| (port, "DNS")).into_iter().chain(https)
    }
}

/// Returns whether services are off that no key of their own switches on.
pub(super) fn are_off(raw: &RawNetwork) -> bool {
    raw.services.value() == Some(&Switch::Off) || is_switch(raw)
}

/// Returns whether a network has no address of ours.
pub(super) fn is_switch(raw: &RawNetwork) -> bool {
    raw.address.is_missing() && !raw.subnet.is_missing()
}

/// Returns the settings of DNS, if it is on and has any.
pub(super) fn dns_settings(raw: &RawNetwork) -> Option<&RawDns> {
    match raw.dns.value()? {
        RawDnsService::On(settings) => Some(settings),
        RawDnsService::Off => None,
    }
}

impl Check<'_> {
    /// Determines which services of a network run, and checks their ports.
    pub(super) fn services(&mut self, raw: &RawNetwork) -> Services {
        let off = are_off(raw);
        let runs = |field: &Field<Switch>| field.value().map_or(!off, |switch| *switch == Switch::On);
        let http = match raw.http.value() {
            Some(RawHttpService::Off) => None,
            Some(RawHttpService::On(settings)) => Some(self.service_port(&settings.port, HTTP)),
            None => (!off).then_some(HTTP),
        };
        let dns = match raw.dns.value() {
            Some(RawDnsService::Off) => None,
            Some(RawDnsService::On(settings)) => Some(self.service_port(&settings.port, DNS)),
            None => (!off).then_some(DNS),
        };
        let services = Services {
            tftp: raw.tftp.value().copied().unwrap_or(match off {
                true => TftpBackend::Off,
                false => TftpBackend::default(),
            }),
            http,
            https: raw.https.value().copied().unwrap_or(false),
            dns,
            ntp: runs(&raw.ntp),
            syslog: runs(&raw.syslog),
            ra: runs(&raw.ra),
        };
        self.moved_ports(raw, &services);
        services
    }

    /// Reports keys of a network without address that need one.
    pub(super) fn services_need_an_address(&mut self, raw: &RawNetwork) {
        let on = |field: &Field<Switch>| field.span().filter(|_| field.value() == Some(&Switch::On)).cloned();
        let flag = |field: &Field<bool>| field.span().filter(|_| field.value() == Some(&true)).cloned();
        let dhcp = raw.dhcp.given().filter(|dhcp| !matches!(dhcp.value, RawDhcp::Off));
        let tftp = raw.tftp.given().filter(|tftp| tftp.value != TftpBackend::Off);
        let http = raw.http.given().filter(|http| matches!(http.value, RawHttpService::On(_)));
        let dns = raw.dns.given().filter(|dns| matches!(dns.value, RawDnsService::On(_)));
        let files = raw.files.entries.first().map(|(key, _)| key.span.clone());
        let given = [
            ("services", on(&raw.services)),
            ("ipv6", raw.ipv6.span().cloned()),
            ("nat", flag(&raw.nat)),
            ("dhcp", dhcp.map(|dhcp| dhcp.span.clone())),
            ("tftp", tftp.map(|tftp| tftp.span.clone())),
            ("http", http.map(|http| http.span.clone())),
            ("root", raw.root.span().cloned()),
            ("files", files),
            ("ra", on(&raw.ra)),
            ("ntp", on(&raw.ntp)),
            ("syslog", on(&raw.syslog)),
            ("https", flag(&raw.https)),
            ("matchbox", raw.matchbox.span().cloned()),
            ("dns", dns.map(|dns| dns.span.clone())),
        ];
        for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            let what = format!("`{key}` needs an address of the network, and this one has only a `subnet`");
            let diagnostic = Diagnostic::new(Code::AddressNeeded, span, what);
            self.report(
                diagnostic
                    .help(format!("give the network an `address` in place of `subnet`, or remove `{key}`")),
            );
        }
    }

    fn service_port(&mut self, port: &Field<u16>, default: u16) -> u16 {
        match port.given() {
            Some(Located { value: 0, span }) => {
                self.malformed(span, "0 is not a valid port".into(), "use a port from 1 to 65535");
                default
            }
            Some(port) => port.value,
            None => default,
        }
    }

    /// Reports ports of HTTP and DNS that other services of the network have.
    fn moved_ports(&mut self, raw: &RawNetwork, services: &Services) {
        if let Some(RawHttpService::On(settings)) = raw.http.value()
            && let Some(port) = settings.port.given()
            && let Some((_, other)) = services.tcp_ports().find(|(taken, _)| *taken == port.value)
        {
            self.port_taken(port, other, HTTP);
        }
        if let Some(port) = dns_settings(raw).and_then(|settings| settings.port.given()) {
            let https = services.https.then_some((HTTPS, "HTTPS"));
            let mut taken = https.into_iter().chain(UDP);
            if let Some((_, other)) = taken.find(|(taken, _)| *taken == port.value) {
                self.port_taken(port, other, DNS);
            }
        }
    }

    fn port_taken(&mut self, port: &Located<u16>, other: &str, default: u16) {
        let what = format!("port {} is used by {other}", port.value);
        let diagnostic = Diagnostic::new(Code::PortTaken, port.span.clone(), what);
        self.report(diagnostic.help(format!("remove it to use port {default}, or use another one")));
    }

    /// Reports files of a network that no service serves.
    pub(super) fn files_are_served(&mut self, raw: &RawNetwork, services: &Services) {
        // What a network without an address lacks is reported with the address.
        let served = is_switch(raw)
            || services.tftp != TftpBackend::Off
            || services.http.is_some()
            || services.https
            || !raw.matchbox.is_missing();
        let files = raw.files.entries.first().map(|(key, _)| ("files", &key.span));
        let given = raw.root.span().map(|span| ("root", span)).or(files);
        if let (false, Some((key, span))) = (served, given) {
            let what = format!("`{key}` has no effect: HTTP and TFTP of this network are off");
            let diagnostic = Diagnostic::new(Code::ServiceOff, span.clone(), what);
            self.report(diagnostic.help(format!("add http = \"on\", or remove `{key}`")));
        }
    }

    /// Reports checks of names in a lab without a DNS server of ours.
    pub(super) fn names_are_served(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) {
        // Invalid networks are reported elsewhere.
        let unknown = self.raw.network.bad || networks.len() < self.raw.network.entries.len();
        if unknown || networks.values().any(|network| network.dns.port.is_some()) {
            return;
        }
        let Some(first) = networks.keys().next() else { return };
        for expectation in expectations.values() {
            let Checked::Probed(ProbedCheck::Dns { server: None, .. }) = expectation.check else { continue };
            let raw = self.raw.expect.get(expectation.name.as_str()).and_then(|(_, raw)| raw.as_ref());
            let span = raw.and_then(|raw| raw.that.span().or(raw.never.span())).cloned();
            let what = "this asks the lab's DNS server, which is off on every network";
            let help = format!(
                "add network.{first}.dns = \"on\", or name the server to ask, as in `dns = {{ name = \"…\", server = \"10.0.0.2\" }}`"
            );
            self.report(Diagnostic::new(Code::ServiceOff, span, what).help(help));
        }
    }

    /// Reports nodes whose profile needs a service that is off on all of their networks.
    pub(super) fn profiles_are_served(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        nodes: &BTreeMap<NodeName, Node>,
        profiles: &BTreeMap<ProfileName, Profile>,
        processes: &BTreeMap<ProcessName, Process>,
    ) {
        for node in nodes.values().filter(|node| boots_from_network(node)) {
            let Some(profile) = node.profile.as_ref().and_then(|name| profiles.get(name)) else { continue };
            let on: Option<Vec<&Network>> = node.nics.iter().map(|nic| networks.get(&nic.network)).collect();
            // An invalid network is reported elsewhere.
            let Some(on) = on.filter(|on| !on.is_empty()) else { continue };
            let span = self.raw.node.get(node.name.as_str());
            let span = span.and_then(|(_, raw)| raw.as_ref()?.profile.span()).cloned();
            let Some(span) = span else { continue };
            self.profile_is_served(node, profile, &on, processes.is_empty(), span);
        }
    }

    fn profile_is_served(
        &mut self,
        node: &Node,
        profile: &Profile,
        on: &[&Network],
        alone: bool,
        span: Span,
    ) {
        let (name, first) = (&node.name, &on[0].name);
        let serves = |network: &&Network| {
            network.tftp != TftpBackend::Off || network.files_port().is_some() || network.https
        };
        let answering: Vec<&Network> =
            on.iter().copied().filter(|network| network.dhcp != Dhcp::Off).collect();
        if answering.is_empty() {
            // Another DHCP server may name files of ours.
            if !on.iter().any(serves) {
                let why = match on.iter().all(|network| network.address.is_none()) {
                    true => format!("nobody of Dryrack is on network `{first}`"),
                    false => format!("DHCP, TFTP and HTTP of network `{first}` are off"),
                };
                let what = format!("nothing of the profile of `{name}` is served: {why}");
                let help = "remove `profile`: the servers that answer on this network say what it boots";
                self.report(Diagnostic::new(Code::ServiceOff, span, what).help(help));
            }
            return;
        }
        let named = |network: &&Network| {
            node.options.contains_key(&BOOT_FILE) || network.options.contains_key(&BOOT_FILE)
        };
        if answering.iter().any(named) {
            return;
        }
        let lacking = |needs: fn(&Node, &Profile, &Network) -> Option<&'static str>| {
            let mut lacking: Vec<&str> =
                answering.iter().map_while(|network| needs(node, profile, network)).collect();
            (lacking.len() == answering.len()).then(|| lacking.remove(0))
        };
        if let Some(why) = lacking(lacks_http) {
            let what = format!("`{name}` {why} over HTTP, but HTTP is off on network `{first}`");
            let help = format!(
                "add network.{first}.http = \"on\", or remove `profile` if another server says what it boots"
            );
            self.report(Diagnostic::new(Code::ServiceOff, span, what).help(help));
        } else if alone
            && on.iter().all(|network| network.interface.is_none())
            && let Some(why) = lacking(lacks_tftp)
        {
            let what = format!(
                "`{name}` {why} over TFTP, but TFTP is off on network `{first}`, and no process of the lab can serve it"
            );
            let help = format!(
                "add network.{first}.tftp = \"builtin\", or start the other TFTP server in the lab, as in `[process.NAME]`"
            );
            self.report(Diagnostic::new(Code::NobodyServes, span, what).help(help));
        }
    }
}

/// Returns what a node fetches over HTTP, if the network has none.
fn lacks_http(node: &Node, profile: &Profile, network: &Network) -> Option<&'static str> {
    if network.files_port().is_some() {
        return None;
    }
    match (profile.loader, profile.via) {
        (Loader::Ipxe | Loader::Chainload, _) => Some("boots by iPXE, which fetches its script"),
        (_, Some(Via::Http | Via::Http6)) if node.firmware != Firmware::Bios => {
            Some("fetches its boot program")
        }
        _ => None,
    }
}

/// Returns what a node fetches over TFTP, if the network has none.
fn lacks_tftp(node: &Node, profile: &Profile, network: &Network) -> Option<&'static str> {
    if network.tftp != TftpBackend::Off {
        return None;
    }
    let by_firmware = profile.loader != Loader::Ipxe
        || !profile.programs.is_empty()
        || node.nics.iter().any(|nic| !nic.rom);
    // UEFI tries HTTP Boot after PXE, if the profile leaves the way to it.
    let other_way = match profile.via {
        None => node.firmware != Firmware::Bios && network.files_port().is_some(),
        Some(Via::Http | Via::Http6 | Via::Https) => true,
        Some(Via::Pxe | Via::Pxe6) => false,
    };
    (by_firmware && !other_way).then_some("fetches its boot program")
}

/// Returns whether a node's firmware boots from the network.
pub(super) fn boots_from_network(node: &Node) -> bool {
    match &node.boot {
        Boot::Nvram => node.profile.is_some(),
        Boot::Order(devices) => {
            devices.iter().any(|device| matches!(device, BootDevice::Network | BootDevice::OneNic(_)))
        }
    }
}
