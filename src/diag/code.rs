//! The catalogue of diagnostics.

use serde::Serialize;

/// Whether a lab with a diagnostic can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

impl Severity {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$section:meta])* $name:ident = $number:literal: $title:literal,)+) => {
        /// What kind of thing is wrong.
        ///
        /// `L0xx` is about the file, `L1xx` about networks, `L2xx` about machines,
        /// `L3xx` about booting, `L4xx` about expectations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the number that people see: `L021`.
            pub fn number(self) -> &'static str {
                match self { $(Self::$name => $number,)+ }
            }

            /// Returns its meaning in one line.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    Syntax = "L001": "the file is not TOML",
    NotText = "L002": "the file is not text",
    Empty = "L003": "the file is empty",
    TooLarge = "L004": "the file is too large",
    TooDeep = "L005": "tables are nested too deep",
    FormatVersion = "L006": "the version of the format is missing or unknown",
    UnknownKey = "L007": "there is no such key",
    WrongType = "L008": "a value has the wrong type",
    Malformed = "L009": "a value does not read as what it should be",
    UnknownWord = "L010": "a value is none of the words allowed there",
    MissingKey = "L011": "a key is missing",
    BadName = "L012": "a name is not a DNS label",
    BadCount = "L013": "a count is out of range",
    RemovesNothing = "L014": "`remove` names nothing",
    BadSet = "L015": "`--set` is not KEY=VALUE",
    StrayMember = "L016": "a node looks like one of a counted group, but is not",
    NoSuchFile = "L017": "a file does not exist",
    UnknownImage = "L018": "no recipe makes this image",
    UnknownImageFile = "L019": "the image has no such file",
    UnknownNode = "L020": "there is no such node",
    UnknownProcess = "L021": "there is no such process",

    BridgeAddress = "L101": "a network's address cannot be the address of a bridge",
    NetworksOverlap = "L102": "two networks overlap",
    AddressOutside = "L103": "an address lies outside its network",
    AddressReserved = "L104": "an address is not for nodes",
    AddressTaken = "L105": "two NICs have one address",
    MacTaken = "L106": "two NICs have one MAC address",
    MacGroup = "L107": "a MAC address belongs to no single NIC",
    PoolOutside = "L108": "a pool lies outside its network",
    PoolReversed = "L109": "a pool ends before it begins",
    PoolHoldsAddress = "L110": "a pool holds an address that is taken",
    NoPool = "L111": "an address is to come from a pool that does not exist",
    NetworkFull = "L112": "a network is too small for its nodes",
    MtuRange = "L113": "an MTU is out of range",
    UnknownNetwork = "L114": "there is no such network",
    WhichNetwork = "L115": "it is not clear which network a node is on",
    BadDomain = "L116": "this is not a domain name",
    BadPublish = "L117": "a published port does not read as PORT = NODE:PORT",
    PublishTwice = "L118": "a port of the host is published twice",
    PublishNowhere = "L119": "a port is published of a node without a fixed address",
    PublishInHost = "L120": "ports are published from a lab in the host's own network",
    InterfaceInPrivate = "L130": "an interface of the host is plugged into a private lab",
    InterfaceTaken = "L131": "an interface of the host is plugged into two networks",
    UnknownOption = "L132": "there is no such DHCP option",
    BadOption = "L133": "a DHCP option cannot have this value",
    OwnOption = "L134": "a DHCP option is the server's own",
    OptionUnused = "L135": "DHCP options are set where our server gives no addresses",
    ClientIdTaken = "L136": "two NICs have one client id",
    NoFolder = "L140": "what a network serves is no folder",
    ListsNothing = "L141": "a listing of nothing",
    NoHttps = "L142": "HTTPS is wanted where nobody answers it",
    PortTaken = "L143": "two services of a network want one port",
    IdleMatchbox = "L144": "something of matchbox has no effect",
    AliasBeside = "L150": "an alias has other data beside it",
    AliasLoop = "L151": "aliases lead in a circle",
    UnknownTarget = "L152": "an alias or a service leads to a name that the lab does not have",
    AliasedTarget = "L153": "the host of a service is an alias",

    MemoryTooSmall = "L201": "a node has too little memory to boot",
    MemoryTooMuch = "L202": "the nodes need more memory than the host has free",
    CpuCount = "L203": "a node needs between 1 and 64 CPUs",
    SecureNeedsQ35 = "L204": "Secure Boot needs the q35 machine",
    DiskTooSmall = "L205": "a disk is too small",
    BadSerial = "L206": "a serial number or asset tag cannot be given to a machine",
    SerialTaken = "L207": "two disks have one serial number",
    UuidTaken = "L208": "two nodes have one UUID",

    NoProfile = "L301": "a node netboots but is handed nothing",
    ProfileUnused = "L302": "a node has a profile but never netboots",
    NvramNeedsUefi = "L303": "only UEFI nodes keep a boot order of their own",
    UnknownProfile = "L304": "there is no such profile",
    UnknownBootDevice = "L305": "a boot order names something the node does not have",
    NothingToBoot = "L306": "a node has nothing to boot from",
    LoaderFirmware = "L307": "a node's firmware cannot run its profile's loader",
    LoaderCannot = "L308": "a loader cannot do what its profile asks of it",
    ViaNeedsIpv6 = "L309": "a node netboots over IPv6 where there is none",
    NotRendered = "L310": "matchbox cannot render what a group is to get",
    NeverChosen = "L311": "a group of matchbox is never chosen",
    InitrdUntold = "L312": "a kernel is not told its initrd, which it needs under UEFI",
    ForeignVariable = "L313": "a variable is another loader's",
    ReinstallLoop = "L314": "an install is followed by the same install",
    NoSuchDisk = "L315": "an install goes to a disk that the node does not have",
    UpperCaseMac = "L316": "a MAC address of a group is in upper case",
    DeadUrl = "L317": "a URL leads nowhere",

    ThatOrNever = "L401": "an expectation needs exactly one of `that` and `never`",
    BadRegex = "L402": "this is not a regular expression",
    UnknownExpect = "L403": "there is no such expectation",
    AfterCycle = "L404": "expectations wait for each other",
    AfterNever = "L405": "an expectation waits for something that is never met",
    NoNodes = "L406": "an expectation is about no node",
    BadCheck = "L407": "a check can never succeed",
    IdleSetting = "L408": "a setting has no effect on this kind of expectation",
}

impl Code {
    /// Returns whether a lab with it can still be used.
    pub fn severity(self) -> Severity {
        match self {
            Self::StrayMember
            | Self::NeverChosen
            | Self::InitrdUntold
            | Self::ForeignVariable
            | Self::ReinstallLoop
            | Self::NoSuchDisk
            | Self::UpperCaseMac
            | Self::DeadUrl => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Tells whether only `dryrack check` looks for it, because a lab comes up all the same.
    pub fn is_lint(self) -> bool {
        (Self::NotRendered..=Self::DeadUrl).contains(&self)
    }

    /// Returns the code with this number, in any case.
    pub fn from_number(number: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number().eq_ignore_ascii_case(number))
    }

    /// Returns its page: what it means, an example that fails, and the fix.
    pub fn page(self) -> &'static str {
        let head = format!("## {}\n", self.number());
        let Some(at) = PAGES.find(&head) else { return "" };
        let body = &PAGES[at + head.len()..];
        body[..body.find("\n## ").map_or(body.len(), |end| end + 1)].trim()
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.number())
    }
}

/// One section for each code. A test runs their examples.
const PAGES: &str = include_str!("explain.md");

/// Returns the page of a code given by number (`L021`), with its title; `None` if there is no such code.
pub fn explain(number: &str) -> Option<String> {
    let code = Code::from_number(number)?;
    Some(format!("{}: {}\n\n{}\n", code.number(), code.title(), code.page()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_differ() {
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn pages_come_in_the_order_of_their_codes() {
        let heads: Vec<_> = PAGES.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(heads, Code::ALL.iter().map(|code| code.number()).collect::<Vec<_>>());
    }

    #[test]
    fn explain_knows_every_code() {
        for code in Code::ALL {
            let page = explain(&code.number().to_lowercase()).unwrap();
            assert!(page.starts_with(code.number()));
            assert!(code.page().len() > 100, "{page}");
        }
        assert_eq!(explain("L999"), None);
    }
}
