//! Which client is told which boot file: the conditions of every format in one form.

use crate::diag::Span;
use crate::name::Mac;

/// A condition on a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Every client.
    Always,
    /// The architecture of the firmware (option 93).
    Arch(u16),
    /// iPXE: user class or encapsulated options.
    Ipxe,
    /// The vendor class (option 60) begins with this.
    Vendor(String),
    /// The vendor class is this and nothing else.
    VendorIs(String),
    /// One machine.
    Mac(Mac),
    /// Clients with a reservation.
    Known,
    /// Something that cannot be told of a client that boots; such a rule never applies.
    Unclear(String),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootRule {
    pub(super) when: Test,
    pub(super) file: String,
    /// The server of the file; the DHCP server if it is left out.
    pub(super) server: Option<String>,
    pub(super) from: Span,
}

/// A client that boots from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) arch: u16,
    pub(super) class: Class,
}

/// What asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The PXE client of firmware.
    Pxe,
    /// The HTTP Boot client of firmware.
    Http,
    /// iPXE.
    Ipxe,
}

const fn client(name: &'static str, arch: u16, class: Class) -> Client {
    Client { name, arch, class }
}

pub(super) const BIOS: Client = client("BIOS firmware", 0, Class::Pxe);
pub(super) const UEFI: Client = client("x64 UEFI firmware", 7, Class::Pxe);
pub(super) const UEFI_9: Client = client("x64 UEFI firmware that sends architecture 9", 9, Class::Pxe);
pub(super) const UEFI_HTTP: Client = client("x64 UEFI firmware by HTTP Boot", 16, Class::Http);
pub(super) const IPXE_BIOS: Client = client("iPXE on BIOS", 0, Class::Ipxe);
pub(super) const IPXE_UEFI: Client = client("iPXE on x64 UEFI", 7, Class::Ipxe);

impl Client {
    /// Returns its vendor class.
    fn vendor(self) -> String {
        let kind = if self.class == Class::Http { "HTTPClient" } else { "PXEClient" };
        format!("{kind}:Arch:{:05}:UNDI:003016", self.arch)
    }
}

impl Test {
    /// Returns whether a client fulfils it; nothing if that cannot be told.
    fn judge(&self, client: Client) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            Self::Arch(arch) => Some(*arch == client.arch),
            Self::Ipxe => Some(client.class == Class::Ipxe),
            Self::Vendor(prefix) => Some(client.vendor().starts_with(prefix)),
            Self::VendorIs(whole) => Some(client.vendor() == *whole),
            // The machines of the lab are those with a reservation.
            Self::Known => Some(true),
            Self::Mac(_) | Self::Unclear(_) => None,
            Self::Not(test) => test.judge(client).map(|truth| !truth),
            Self::All(tests) => {
                let judged: Vec<_> = tests.iter().map(|test| test.judge(client)).collect();
                if judged.contains(&Some(false)) {
                    return Some(false);
                }
                judged.iter().all(Option::is_some).then_some(true)
            }
            Self::Any(tests) => {
                let judged: Vec<_> = tests.iter().map(|test| test.judge(client)).collect();
                if judged.contains(&Some(true)) {
                    return Some(true);
                }
                judged.iter().all(Option::is_some).then_some(false)
            }
        }
    }

    /// Returns whether it holds for a client.
    pub(super) fn holds(&self, client: Client) -> bool {
        self.judge(client) == Some(true)
    }

    /// Returns whether it tells architectures apart.
    pub(super) fn asks_arch(&self) -> bool {
        match self {
            Self::Arch(_) => true,
            Self::Vendor(class) | Self::VendorIs(class) => class.contains(":Arch:"),
            Self::Not(test) => test.asks_arch(),
            Self::All(tests) | Self::Any(tests) => tests.iter().any(Self::asks_arch),
            Self::Always | Self::Ipxe | Self::Mac(_) | Self::Known | Self::Unclear(_) => false,
        }
    }

    /// Returns whether it asks for clients that boot by HTTP.
    pub(super) fn asks_http(&self) -> bool {
        match self {
            Self::Arch(arch) => (15..=20).contains(arch),
            Self::Vendor(class) | Self::VendorIs(class) => class.starts_with("HTTP"),
            // What is excluded is not asked for.
            Self::Not(_) => false,
            Self::All(tests) | Self::Any(tests) => tests.iter().any(Self::asks_http),
            Self::Always | Self::Ipxe | Self::Mac(_) | Self::Known | Self::Unclear(_) => false,
        }
    }

    /// Returns why no profile can depend on it.
    pub(super) fn hindrance(&self) -> Option<String> {
        match self {
            Self::Mac(_) => {
                Some("what one machine boots is its profile: give the node one of its own".to_owned())
            }
            Self::Unclear(what) => Some(format!("it depends on {what}, which no node has")),
            Self::VendorIs(class) if !class.contains(":Arch:") => {
                Some(format!("no client sends `{class}` alone as its vendor class: compare its beginning"))
            }
            _ if self.is_never() => Some("no client that boots fulfils the condition".to_owned()),
            Self::Not(test) => test.hindrance(),
            Self::All(tests) | Self::Any(tests) => tests.iter().find_map(Self::hindrance),
            Self::Always | Self::Arch(_) | Self::Ipxe | Self::Vendor(_) | Self::VendorIs(_) | Self::Known => {
                None
            }
        }
    }

    /// Returns whether no client at all fulfils it.
    pub(super) fn is_never(&self) -> bool {
        match self {
            Self::Not(test) => test.is_always(),
            Self::All(tests) => tests.iter().any(Self::is_never),
            Self::Any(tests) => tests.iter().all(Self::is_never),
            _ => false,
        }
    }

    /// Returns whether every client fulfils it.
    pub(super) fn is_always(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Not(test) => test.is_never(),
            Self::All(tests) => tests.iter().all(Self::is_always),
            Self::Any(tests) => tests.iter().any(Self::is_always),
            _ => false,
        }
    }
}

/// Returns the rule that counts for a client.
pub(super) fn answer(rules: &[BootRule], client: Client) -> Option<&BootRule> {
    rules.iter().find(|rule| rule.when.holds(client))
}

/// What a boot file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// iPXE for BIOS.
    IpxeBios,
    /// Another boot program for BIOS.
    Bios,
    /// iPXE for UEFI.
    IpxeUefi,
    /// Another boot program for UEFI.
    Uefi,
    /// A script or menu for a boot program.
    Script,
    Unknown,
}

/// Returns what a boot file is, by its name.
pub(super) fn kind(file: &str) -> FileKind {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let name = name.split(['?', '#']).next().unwrap_or_default();
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    let ipxe = ["ipxe", "snponly", "undionly", "snp", "netboot.xyz"].iter().any(|word| stem.contains(word));
    match suffix {
        "efi" if ipxe => FileKind::IpxeUefi,
        "efi" => FileKind::Uefi,
        "kpxe" | "kkpxe" | "pxe" => FileKind::IpxeBios,
        "ipxe" | "cfg" => FileKind::Script,
        "0" if stem.ends_with(".ipxe") => FileKind::Script,
        "0" | "bin" | "com" if ipxe => FileKind::IpxeBios,
        "0" | "bin" | "com" => FileKind::Bios,
        _ => FileKind::Unknown,
    }
}

/// Returns whether a boot file is a URL.
pub(super) fn is_url(file: &str) -> bool {
    file.contains("://")
}

/// Returns host, port and path of an HTTP URL.
pub(super) fn http(file: &str) -> Option<(&str, u16, &str)> {
    let rest = file.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?, path)),
        None => Some((authority, 80, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (file, what) in [
            ("undionly.kpxe", FileKind::IpxeBios),
            ("ipxe/snponly.efi", FileKind::IpxeUefi),
            ("pxelinux.0", FileKind::Bios),
            ("boot\\x64\\wdsnbp.com", FileKind::Bios),
            ("grubx64.efi", FileKind::Uefi),
            ("http://10.0.0.1:8080/boot.ipxe", FileKind::Script),
            ("/boot.ipxe.0", FileKind::Script),
            ("http://10.0.0.1/menu", FileKind::Unknown),
        ] {
            assert_eq!(kind(file), what, "{file}");
        }
    }

    #[test]
    fn conditions_hold_for_clients() {
        let not_ipxe = Test::Not(Box::new(Test::Ipxe));
        let uefi = Test::All(vec![not_ipxe, Test::Any(vec![Test::Arch(7), Test::Arch(9)])]);
        assert!(uefi.holds(UEFI) && uefi.holds(UEFI_9) && !uefi.holds(IPXE_UEFI) && !uefi.holds(BIOS));
        assert!(Test::Vendor("PXEClient:Arch:00000".into()).holds(BIOS));
        assert!(Test::Vendor("HTTPClient".into()).holds(UEFI_HTTP));
        let unclear = Test::Not(Box::new(Test::Unclear("the circuit".into())));
        assert!(!unclear.holds(BIOS) && unclear.hindrance().is_some());
    }

    #[test]
    fn urls_have_parts() {
        assert_eq!(http("http://a:8080/b?c"), Some(("a", 8080, "/b?c")));
        assert_eq!(http("http://a"), Some(("a", 80, "")));
        assert_eq!(http("tftp://a/b"), None);
    }
}
