//! The catalogue of diagnostics.

use serde::Serialize;

/// Whether a lab with a diagnostic can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but should be reviewed.
    Warning,
}

impl Severity {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$section:meta])* $name:ident = $number:literal: $title:literal,)+) => {
        /// The kind of a problem.
        ///
        /// `L0xx` is about the file, `L1xx` about networks, `L2xx` about machines,
        /// `L3xx` about booting, `L4xx` about expectations. `Cxxx` are about configuration files of other programs:
        /// `C0xx` about the file, `C1xx` about boot files, `C2xx` about addresses, `C3xx` about machines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns its number: `L021`.
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
    ForeignSyntax = "C001": "the file cannot be parsed",
    ForeignKey = "C002": "a directive is unknown to the program",
    ForeignValue = "C003": "a directive has an invalid value",
    ForeignFile = "C004": "a file that is named is missing",

    BiosProgramForUefi = "C101": "UEFI firmware is told a BIOS program",
    UefiProgramForBios = "C102": "BIOS firmware is told a UEFI program",
    IpxeLoop = "C103": "iPXE is told to boot iPXE",
    UrlForPxe = "C104": "a PXE client is told a URL",
    FirmwareLeftOut = "C105": "some firmware is told no boot file",
    PathForHttpBoot = "C106": "an HTTP Boot client is told no URL",
    BootFileMissing = "C107": "a boot file is missing",
    NoTftpServer = "C108": "nobody serves a boot file",
    BootFileTooLong = "C109": "a boot file has too long a name",
    NoNextServer = "C110": "the server of a boot file is not named",
    NextServerOutside = "C111": "the server of a boot file is in another subnet",
    MenuWaits = "C112": "a menu waits for a key",
    TagNeverSet = "C113": "a tag is never set",
    OptionUndeclared = "C114": "an option is not declared",
    GroupWithoutProfile = "C115": "a group selects a missing profile",
    PxeForbidden = "C116": "a machine may not boot from the network",
    ForeignInitrd = "C117": "a profile does not name its initrd",
    PxeWithoutVendorOptions = "C118": "PXE clients ask a port where nobody answers",
    HttpWithoutClass = "C119": "an HTTP Boot client drops the answer",
    VendorOptionsForAll = "C120": "options of a vendor reach PXE clients",
    CompanionMissing = "C121": "a file that a boot program loads is missing",

    ForeignPool = "C201": "a pool is not in its subnet",
    ForeignHost = "C202": "a reserved address is not in its subnet",
    ForeignMacTwice = "C203": "two machines have the same MAC address",
    ForeignAddressTwice = "C204": "two machines have the same address",
    ForeignMac = "C205": "a MAC address is not that of a machine",
    TwoDhcpServers = "C206": "two DHCP servers are on one network",
    NobodyKnown = "C207": "no client is answered",
    NoLeaseTime = "C208": "leases end at once",
    HostInPool = "C209": "a reserved address is in the pool",

    NicOrder = "C301": "the NIC that boots is not named",
    NoRandomness = "C302": "a machine with UEFI has no source of randomness",
    UpperCaseHardware = "C303": "a MAC address of Hardware is in upper case",

    Syntax = "L001": "the file is not valid TOML",
    NotText = "L002": "the file is not text",
    Empty = "L003": "the file is empty",
    TooLarge = "L004": "the file is too large",
    TooDeep = "L005": "tables are nested too deep",
    FormatVersion = "L006": "the format version is missing or unknown",
    UnknownKey = "L007": "unknown key",
    WrongType = "L008": "wrong type",
    Malformed = "L009": "invalid value",
    UnknownWord = "L010": "not one of the allowed values",
    MissingKey = "L011": "a required key is missing",
    BadName = "L012": "a name is not a DNS label",
    BadCount = "L013": "a count is out of range",
    RemovesNothing = "L014": "`remove` names no existing entry",
    BadSet = "L015": "`--set` is not KEY=VALUE",
    StrayMember = "L016": "a node looks like a member of a group, but is not",
    NoSuchFile = "L017": "a file does not exist",
    UnknownImage = "L018": "unknown image",
    UnknownImageFile = "L019": "the image has no such file",
    UnknownNode = "L020": "unknown node",
    UnknownProcess = "L021": "unknown process",
    UnknownHost = "L022": "unknown host",
    HostIsNode = "L023": "a host has the name of a node",

    BridgeAddress = "L101": "this cannot be the address of a bridge",
    NetworksOverlap = "L102": "two networks overlap",
    AddressOutside = "L103": "an address is outside its network",
    AddressReserved = "L104": "an address is reserved",
    AddressTaken = "L105": "two NICs have the same address",
    MacTaken = "L106": "two NICs have the same MAC address",
    MacGroup = "L107": "a MAC address is not a unicast address",
    PoolOutside = "L108": "a pool is outside its network",
    PoolReversed = "L109": "a pool ends before it begins",
    PoolHoldsAddress = "L110": "a pool contains a used address",
    NoPool = "L111": "the network has no pool",
    NetworkFull = "L112": "a network is too small for its nodes",
    MtuRange = "L113": "an MTU is out of range",
    UnknownNetwork = "L114": "unknown network",
    WhichNetwork = "L115": "the network of a node is ambiguous",
    BadDomain = "L116": "invalid domain name",
    BadPublish = "L117": "a published port is not PORT = NODE:PORT",
    PublishTwice = "L118": "a port of the host is published twice",
    PublishNowhere = "L119": "a published node has no fixed address",
    PublishInHost = "L120": "a published port needs a private lab",
    InterfaceInPrivate = "L130": "an interface of the host needs `isolation = \"none\"`",
    InterfaceTaken = "L131": "an interface of the host is used by two networks",
    UnknownOption = "L132": "unknown DHCP option",
    BadOption = "L133": "invalid value of a DHCP option",
    OwnOption = "L134": "a DHCP option is set by the server",
    OptionUnused = "L135": "DHCP options have no effect on this network",
    ClientIdTaken = "L136": "two NICs have the same client ID",
    NoFolder = "L140": "the root of a network is not a folder",
    ListsNothing = "L141": "`listing` needs `root`",
    NoHttps = "L142": "a network without HTTPS",
    PortTaken = "L143": "two services use the same port",
    IdleMatchbox = "L144": "a matchbox setting has no effect",
    NobodyLeases = "L145": "nobody assigns addresses on a network",
    AliasBeside = "L150": "an alias has other records",
    AliasLoop = "L151": "aliases form a cycle",
    UnknownTarget = "L152": "an alias or a service has an unknown target",
    AliasedTarget = "L153": "the target of a service is an alias",
    ServiceOff = "L160": "a service that is needed is off",
    NobodyServes = "L161": "nobody serves the boot program of a node",
    AddressNeeded = "L162": "a setting needs an address of the network",
    BadSubnet = "L163": "this is not the subnet of a network",
    BridgeTaken = "L164": "the name of a bridge is taken",
    Unreachable = "L165": "nothing of the lab reaches a node",
    BadRelay = "L166": "a DHCP relay leads nowhere",

    MemoryTooSmall = "L201": "a node has too little memory",
    MemoryTooMuch = "L202": "the nodes need more memory than the host has free",
    CpuCount = "L203": "a node needs 1 to 64 CPUs",
    SecureNeedsQ35 = "L204": "Secure Boot needs the q35 machine",
    DiskTooSmall = "L205": "a disk is too small",
    BadSerial = "L206": "invalid serial number or asset tag",
    SerialTaken = "L207": "two disks have the same serial number",
    UuidTaken = "L208": "two nodes have the same UUID",
    DriveTaken = "L209": "a disk and a CD drive have the same name",
    BadQemuArgument = "L210": "an argument of QEMU is not possible",
    InterfaceTwice = "L220": "two NICs of a host have the same interface",
    NotOnHost = "L221": "a host cannot meet a check",
    NeedsOtherIds = "L222": "a program needs to become another user",

    NoProfile = "L301": "a node has nothing to boot from the network",
    ProfileUnused = "L302": "a profile is never used",
    NvramNeedsUefi = "L303": "`boot = \"nvram\"` needs UEFI",
    UnknownProfile = "L304": "unknown profile",
    UnknownBootDevice = "L305": "unknown boot device",
    NothingToBoot = "L306": "a node has no boot device",
    LoaderFirmware = "L307": "the firmware does not support the loader",
    LoaderCannot = "L308": "the loader does not support a setting",
    ViaNeedsIpv6 = "L309": "booting over IPv6 needs an IPv6 network",
    NotRendered = "L310": "matchbox cannot render a response",
    NeverChosen = "L311": "a group is never chosen",
    InitrdUnnamed = "L312": "a kernel argument `initrd=` is missing",
    ForeignVariable = "L313": "a variable of another boot loader",
    ReinstallLoop = "L314": "an install loop",
    NoSuchDisk = "L315": "an install to a missing disk",
    UpperCaseMac = "L316": "a MAC address in upper case",
    DeadUrl = "L317": "an unreachable URL",
    ConfigWarning = "L318": "an Ignition or Butane config has a warning",
    LoaderMisreads = "L319": "a loader misreads a word of a profile",
    IgnoredKey = "L320": "matchbox ignores a key",

    ThatOrNever = "L401": "an expectation needs exactly one of `that` and `never`",
    BadRegex = "L402": "invalid regular expression",
    UnknownExpect = "L403": "unknown expectation",
    AfterCycle = "L404": "expectations, actions or processes wait for each other",
    AfterNever = "L405": "an expectation waits for a `never`",
    NoNodes = "L406": "an expectation has no nodes",
    BadCheck = "L407": "a check can never succeed or fail",
    IdleSetting = "L408": "a setting has no effect",
    UnknownAction = "L409": "unknown action",
    NeverReady = "L410": "nothing shows that a process is ready",
    BadAction = "L411": "an action cannot be done",
    BadFault = "L412": "a fault cannot happen",
}

impl Code {
    /// Returns whether a lab with it can still be used.
    pub fn severity(self) -> Severity {
        match self {
            Self::UrlForPxe
            | Self::FirmwareLeftOut
            | Self::ForeignInitrd
            | Self::PxeWithoutVendorOptions
            | Self::HttpWithoutClass
            | Self::VendorOptionsForAll
            | Self::CompanionMissing
            | Self::NoTftpServer
            | Self::NextServerOutside
            | Self::ForeignFile
            | Self::HostInPool
            | Self::NicOrder
            | Self::NoRandomness
            | Self::NoLeaseTime
            | Self::StrayMember
            | Self::NeedsOtherIds
            | Self::NobodyLeases
            | Self::NobodyServes
            | Self::NeverChosen
            | Self::InitrdUnnamed
            | Self::ForeignVariable
            | Self::ReinstallLoop
            | Self::NoSuchDisk
            | Self::UpperCaseMac
            | Self::DeadUrl
            | Self::ConfigWarning
            | Self::LoaderMisreads
            | Self::IgnoredKey => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns whether only `dryrack check` reports it, because the lab starts anyway.
    pub fn is_lint(self) -> bool {
        (Self::NotRendered..=Self::IgnoredKey).contains(&self)
    }

    /// Returns whether it is about a configuration file of another program.
    pub fn is_foreign(self) -> bool {
        self <= Self::UpperCaseHardware
    }

    /// Returns the code with this number, in any case.
    pub fn from_number(number: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number().eq_ignore_ascii_case(number))
    }

    /// Returns its page: the meaning, an example that fails, and the fix.
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
