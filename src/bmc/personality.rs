//! Personalities: how the BMCs of well-known makers look and behave, as one table.
//!
//! It never decides anything: Redfish reads [`redfish::Settings`], IPMI reads [`Ipmi`], and both behave as these say.
//! A personality is one generation of a maker's BMCs, with what clients have reported of it. The issues are on GitHub.

use serde::{Deserialize, Serialize};

use super::ipmi::sol::bmc::SolOrder;
use super::ipmi::suite::Cipher;
use super::redfish;
use super::redfish::settings::{
    ApplyTime, BootPlace, BootSettings, CdTarget, IfMatch, MediaSettings, MediaWay, Partial, PostLock,
    WriteAnswer,
};

/// Whose BMC it is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    /// Our own: what the standards say.
    #[default]
    Dryrack,
    /// iDRAC9 of Dell, with firmware 7.
    Dell,
    /// iLO 5 of HPE.
    Hpe,
    /// Supermicro, X11 to X13.
    Supermicro,
    /// XClarity Controller of Lenovo.
    Lenovo,
    /// MegaRAC of AMI, as ASRock Rack, Gigabyte and others sell it.
    Ami,
    /// OpenBMC.
    Openbmc,
}

/// What is different about a BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    /// Its Redfish service.
    pub redfish: redfish::Settings,
    /// Its IPMI.
    pub ipmi: Ipmi,
    /// Maker and product of the machine; `None` for those of the lab.
    pub machine: Option<(&'static str, &'static str)>,
}

/// What is different about IPMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipmi {
    /// Manufacturer in the device ID, a number of IANA. Some clients choose their quirks by it; 0 is nobody.
    pub manufacturer: u32,
    /// Product in the device ID.
    pub product: u16,
    /// The cipher suites, best first.
    pub suites: &'static [Cipher],
    /// What the EFI bit of boot flags does.
    pub efi_bit: EfiBit,
    /// What becomes of boot flags for one boot when the machine is powered off.
    pub flags_when_off: FlagsWhenOff,
    /// Which packets of Serial over LAN are taken.
    pub sol_order: SolOrder,
}

/// What the EFI bit of boot flags does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EfiBit {
    /// Nothing.
    Any,
    /// PXE without it has no effect on a machine with UEFI, and PXE with it none on one with a BIOS.
    AsFirmware,
}

/// What becomes of boot flags for one boot when the machine is powered off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagsWhenOff {
    /// They stay.
    Kept,
    /// They are void.
    Void,
}

/// Each suite that a session can use.
const BOTH: &[Cipher] = &[Cipher::Sha256, Cipher::Sha1];

/// For how many seconds a firmware is taken to start a machine.
const POST: u32 = 30;

impl Personality {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Dryrack, Self::Dell, Self::Hpe, Self::Supermicro, Self::Lenovo, Self::Ami, Self::Openbmc];

    /// Returns what is different.
    pub fn traits(self) -> Traits {
        let own = redfish::Settings::default();
        let (boot, media) = (own.boot.clone(), own.media);
        let ipmi = Ipmi {
            manufacturer: 0,
            product: 1,
            suites: BOTH,
            efi_bit: EfiBit::Any,
            flags_when_off: FlagsWhenOff::Kept,
            sol_order: SolOrder::Any,
        };
        match self {
            Self::Dryrack => Traits { redfish: own, ipmi, machine: None },
            Self::Dell => Traits {
                redfish: redfish::Settings {
                    vendor: "Dell".to_owned(),
                    product: "Integrated Dell Remote Access Controller".to_owned(),
                    // The ids by which bmclib knows it.
                    system: "System.Embedded.1".to_owned(),
                    manager: "iDRAC.Embedded.1".to_owned(),
                    chassis: "System.Embedded.1".to_owned(),
                    // Ironic takes virtual media of 6 and 7 only (boot.py).
                    manager_version: Some("7.10.30.00".to_owned()),
                    // gofish#75, badfish#447, check_redfish#198: 6 to 8 sessions.
                    sessions: 8,
                    session_limit: Some("IDRAC.2.8.RAC0218".to_owned()),
                    // iDRAC-Redfish-Scripting#84: without it no job is made.
                    apply_time: ApplyTime::Needed,
                    // nv-redfish-quirks: not a date.
                    last_reset: Some("0000-00-00T00:00:00+00:00".to_owned()),
                    ..own
                },
                ipmi: Ipmi { manufacturer: 674, product: 256, ..ipmi },
                machine: Some(("Dell Inc.", "PowerEdge R650")),
            },
            Self::Hpe => Traits {
                redfish: redfish::Settings {
                    vendor: "HPE".to_owned(),
                    product: "ProLiant DL360 Gen10".to_owned(),
                    manager_version: Some("iLO 5 v2.78".to_owned()),
                    // nv-redfish-quirks: `*` fails.
                    if_match: IfMatch::NotAny,
                    // nv-redfish-quirks: success looks like an error.
                    writes: WriteAnswer::Messages {
                        code: "iLO.0.10.ExtendedInfo".to_owned(),
                        reset_required: "iLO.2.14.SystemResetRequired".to_owned(),
                    },
                    boot: BootSettings {
                        // ironic, management.py.
                        post_lock: Some(PostLock {
                            seconds: POST,
                            message: "iLO.2.14.UnableToModifyDuringSystemPOST".to_owned(),
                        }),
                        // community.general#3509, #3581, metal3-docs#581.
                        takes_mode: false,
                        refuses_unchanged: true,
                        // ironcore metal-operator#998.
                        refuses_none: true,
                        ..boot
                    },
                    media: MediaSettings {
                        // ironcore metal-operator#690: slot 1 is the USB stick.
                        cd: "2",
                        usb: "1",
                        // sushy sends `{}` for it.
                        eject_needs_body: true,
                        ..media
                    },
                    ..own
                },
                ipmi: Ipmi { manufacturer: 11, product: 8192, ..ipmi },
                machine: Some(("HPE", "ProLiant DL360 Gen10")),
            },
            Self::Supermicro => Traits {
                redfish: redfish::Settings {
                    vendor: "Supermicro".to_owned(),
                    product: "Super Server".to_owned(),
                    // bmclib#458.
                    apply_time: ApplyTime::Refused,
                    boot: BootSettings {
                        // ironic, management.py; Redfishtool#106.
                        partial: Partial::Defaults,
                        // sushy, system.py; jetlag#152.
                        cd: CdTarget::UsbCd,
                        ..boot
                    },
                    media: MediaSettings {
                        // sushy; community.general#4839.
                        way: MediaWay::ImageOnly,
                        // nv-redfish-quirks: 202 without a Location.
                        is_task: true,
                        has_task_location: false,
                        // community.general#6969, #7470.
                        keeps_name: true,
                        ..media
                    },
                    ..own
                },
                ipmi: Ipmi {
                    manufacturer: 10_876,
                    product: 2402,
                    // bmclib#209, JetSki#110.
                    efi_bit: EfiBit::AsFirmware,
                    // JetSki#110: once does not survive a shutdown.
                    flags_when_off: FlagsWhenOff::Void,
                    ..ipmi
                },
                machine: Some(("Supermicro", "Super Server")),
            },
            Self::Lenovo => Traits {
                redfish: redfish::Settings {
                    vendor: "Lenovo".to_owned(),
                    product: "XClarity Controller".to_owned(),
                    // community.general#11261: without an ETag, 412.
                    if_match: IfMatch::Expected,
                    media: MediaSettings {
                        // sushy and gofish send PATCH.
                        way: MediaWay::Patch,
                        // python-redfish-lenovo#21.
                        cd: "EXT1",
                        usb: "EXT2",
                        ..media
                    },
                    ..own
                },
                ipmi: Ipmi { manufacturer: 19_046, product: 1680, ..ipmi },
                machine: Some(("Lenovo", "ThinkSystem SR650 V2")),
            },
            Self::Ami => Traits {
                redfish: redfish::Settings {
                    vendor: "AMI".to_owned(),
                    product: "AMI Redfish Server".to_owned(),
                    system: "Self".to_owned(),
                    manager: "Self".to_owned(),
                    chassis: "Self".to_owned(),
                    // gofish#171, Redfish-Tacklebox#22, nv-redfish-quirks.
                    if_match: IfMatch::OnlyAny,
                    // community.general#6433, #6434.
                    bios_settings: "SD",
                    boot: BootSettings {
                        // Redfish-Tacklebox#144.
                        place: BootPlace::Settings {
                            message: "Ami.1.0.OperationSupportedInFutureStateURI".to_owned(),
                        },
                        // ironic, VENDORS_REQUIRING_FULL_BOOT_REQUEST.
                        partial: Partial::Refused,
                        ..boot
                    },
                    ..own
                },
                // Its product number is that of a board.
                ipmi: Ipmi { manufacturer: 20_974, product: 0, ..ipmi },
                machine: Some(("AMI", "MegaRAC")),
            },
            Self::Openbmc => Traits {
                redfish: redfish::Settings {
                    vendor: "OpenBMC".to_owned(),
                    product: "OpenBMC".to_owned(),
                    system: "system".to_owned(),
                    manager: "bmc".to_owned(),
                    chassis: "chassis".to_owned(),
                    // bmcweb#172: media come by a web socket or NBD.
                    media: MediaSettings { way: MediaWay::Nothing, ..media },
                    ..own
                },
                ipmi: Ipmi {
                    // The default of phosphor-host-ipmid's dev_id.json.
                    product: 0,
                    // phosphor-net-ipmid: 17 by default.
                    suites: &[Cipher::Sha256],
                    // phosphor-net-ipmid#19.
                    sol_order: SolOrder::Next,
                    ..ipmi
                },
                machine: None,
            },
        }
    }
}
