//! What the makers of BMCs do differently: data, so that a personality is a value of [`Settings`].

use crate::bmc::media::Slot;

/// How the service looks and behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `Vendor` of the root; some clients choose their quirks by it.
    pub vendor: String,
    /// `Product` of the root.
    pub product: String,
    /// `Id` of the system.
    pub system: String,
    /// `Id` of the manager.
    pub manager: String,
    /// `Id` of the chassis.
    pub chassis: String,
    /// `FirmwareVersion` of the manager; `None` for that of the BMC.
    pub manager_version: Option<String>,
    /// What is done with requests that come without TLS.
    pub plain: Plain,
    /// How many sessions there can be.
    pub sessions: usize,
    /// The identifier of the message that there are too many, such as `IDRAC.2.8.RAC0218`; `None` for that of the
    /// standard.
    pub session_limit: Option<String>,
    /// Ends all sessions with every n-th request.
    pub drops_session_every: Option<u32>,
    /// Refuses every request for now; the client is to wait for so many seconds.
    pub busy: Option<u32>,
    /// Whether PATCH needs `If-Match`, and what it takes.
    pub if_match: IfMatch,
    /// How changes and actions that succeed are answered.
    pub writes: WriteAnswer,
    /// How the boot override is changed.
    pub boot: BootSettings,
    /// How virtual media are changed.
    pub media: MediaSettings,
    /// What `@Redfish.SettingsApplyTime` does.
    pub apply_time: ApplyTime,
    /// `Id` of the firmware settings that are pending.
    pub bios_settings: &'static str,
    /// `LastResetTime` of the system, if it is shown.
    pub last_reset: Option<String>,
}

/// What is done with requests that come without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// They are redirected to HTTPS at this port.
    Redirect(u16),
    /// They are answered like others: the lab asks for that.
    Serve,
}

/// What PATCH wants of `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// An ETag is compared if one is given.
    Optional,
    /// An ETag is compared if one is given, and `*` matches nothing.
    NotAny,
    /// One must be given (412, as if it were a wrong one), and is compared.
    Expected,
    /// One must be given, and only `*` matches.
    OnlyAny,
}

/// How changes and actions that succeed are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAnswer {
    /// With the resource, or with nothing.
    Resource,
    /// With an object `error` whose message is one of success (200).
    Messages {
        /// The code of the object, such as `iLO.0.10.ExtendedInfo`.
        code: String,
        /// The identifier of the message about settings that wait for a reset.
        reset_required: String,
    },
}

/// What `@Redfish.SettingsApplyTime` does to settings of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyTime {
    /// Nothing: settings come into force with the next start in any case.
    Taken,
    /// It is refused.
    Refused,
    /// Without it, settings are kept until a request that has it.
    Needed,
}

/// How the boot override is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootSettings {
    /// Where.
    pub place: BootPlace,
    /// Refuses changes while the firmware starts the machine.
    pub post_lock: Option<PostLock>,
    /// Whether a request that changes nothing is refused.
    pub refuses_unchanged: bool,
    /// The target that means the virtual CD.
    pub cd: CdTarget,
    /// Whether a request may name the mode.
    pub takes_mode: bool,
    /// What becomes of a request that leaves something out.
    pub partial: Partial,
    /// Whether the target `None` is refused: only `Disabled` ends an override.
    pub refuses_none: bool,
}

/// What becomes of a request for a boot override that does not name target, enabled and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// What it leaves out stays.
    Kept,
    /// It is refused.
    Refused,
    /// What it leaves out gets its default: no target, disabled.
    Defaults,
}

/// For how long after a start changes are refused (400), and with which message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostLock {
    /// The time in seconds.
    pub seconds: u32,
    /// The identifier of the message, such as `iLO.2.14.UnableToModifyDuringSystemPOST`.
    pub message: String,
}

/// The resource whose `Boot` is writable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootPlace {
    /// The system.
    System,
    /// Its settings, `SD` below it; the system answers 400 with this message.
    Settings {
        /// The identifier of the message, such as `Ami.1.0.OperationSupportedInFutureStateURI`.
        message: String,
    },
}

/// The name of the target that means the virtual CD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdTarget {
    /// `Cd`.
    Cd,
    /// `UsbCd`; `Cd` is refused.
    UsbCd,
}

/// How virtual media are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSettings {
    /// By which request.
    pub way: MediaWay,
    /// `Id` of the slot for CDs.
    pub cd: &'static str,
    /// `Id` of the slot for USB sticks.
    pub usb: &'static str,
    /// Whether inserting is a task (202).
    pub is_task: bool,
    /// Whether the answer says where that task is.
    pub has_task_location: bool,
    /// Whether ejecting needs a body, if only `{}`.
    pub eject_needs_body: bool,
    /// Whether `ImageName` stays after the image is ejected.
    pub keeps_name: bool,
}

/// By which request an image is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaWay {
    /// The action, with all parameters of the schema.
    Action,
    /// The action, with the image only.
    ImageOnly,
    /// PATCH; there are no actions.
    Patch,
    /// None: images come in a way that is not of Redfish.
    Nothing,
}

impl MediaWay {
    /// Returns whether slots have actions.
    pub(super) fn has_actions(self) -> bool {
        match self {
            Self::Action | Self::ImageOnly => true,
            Self::Patch | Self::Nothing => false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vendor: "Dryrack".to_owned(),
            product: "Dryrack virtual BMC".to_owned(),
            system: "1".to_owned(),
            manager: "1".to_owned(),
            chassis: "1".to_owned(),
            manager_version: None,
            plain: Plain::Redirect(443),
            sessions: crate::bmc::session::MOST,
            session_limit: None,
            drops_session_every: None,
            busy: None,
            if_match: IfMatch::Optional,
            writes: WriteAnswer::Resource,
            boot: BootSettings {
                place: BootPlace::System,
                post_lock: None,
                refuses_unchanged: false,
                cd: CdTarget::Cd,
                takes_mode: true,
                partial: Partial::Kept,
                refuses_none: false,
            },
            media: MediaSettings {
                way: MediaWay::Action,
                cd: "Cd",
                usb: "Usb",
                is_task: false,
                has_task_location: true,
                eject_needs_body: false,
                keeps_name: false,
            },
            apply_time: ApplyTime::Taken,
            bios_settings: "Settings",
            last_reset: None,
        }
    }
}

impl Settings {
    /// Returns the `Id` of a slot of virtual media.
    pub(super) fn slot(&self, slot: Slot) -> &'static str {
        match slot {
            Slot::Cd => self.media.cd,
            Slot::Usb => self.media.usb,
        }
    }

    /// Returns the URI of a slot of virtual media.
    pub(super) fn slot_uri(&self, slot: Slot) -> String {
        format!("{}/VirtualMedia/{}", self.system_uri(), self.slot(slot))
    }

    /// Returns the URI of the firmware settings that are pending.
    pub(super) fn bios_settings_uri(&self) -> String {
        format!("{}/Bios/{}", self.system_uri(), self.bios_settings)
    }

    /// Returns the URI of the system.
    pub(super) fn system_uri(&self) -> String {
        format!("/redfish/v1/Systems/{}", self.system)
    }

    /// Returns the URI of the manager.
    pub(super) fn manager_uri(&self) -> String {
        format!("/redfish/v1/Managers/{}", self.manager)
    }

    /// Returns the URI of the chassis.
    pub(super) fn chassis_uri(&self) -> String {
        format!("/redfish/v1/Chassis/{}", self.chassis)
    }
}
