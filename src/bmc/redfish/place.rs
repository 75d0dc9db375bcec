//! The tree: which resource a path means, which methods it takes, and which privilege each needs.

use http::Method;

use super::role::{Need, Role};
use super::settings::BootPlace;
use crate::bmc::Bmc;
use crate::bmc::media::Slot;

/// A resource, or an action of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Versions,
    Root,
    OData,
    Metadata,
    SessionService,
    Sessions,
    Session(u32),
    AccountService,
    Accounts,
    Account(u8),
    Roles,
    Role(Role),
    Systems,
    System,
    SystemSettings,
    ResetInfo,
    Bios,
    BiosSettings,
    SecureBoot,
    SecureBootDatabases,
    SecureBootDatabase(usize),
    BootOptions,
    BootOption(usize),
    Processors,
    Processor(usize),
    Memory,
    MemoryModule(usize),
    Storages,
    Storage,
    StorageControllers,
    StorageController,
    Volumes,
    SimpleStorages,
    SimpleStorage,
    Drive(usize),
    Nics,
    Nic(usize),
    VirtualMedia,
    Medium(Slot),
    LogServices,
    LogService(LogKind),
    LogEntries(LogKind),
    LogEntry(LogKind, u16),
    Managers,
    Manager,
    NetworkProtocol,
    ManagerNics,
    ManagerNic,
    SerialInterfaces,
    SerialInterface,
    ChassisAll,
    Chassis,
    Power,
    Thermal,
    PowerSubsystem,
    PowerSupplies,
    PowerSupply,
    ThermalSubsystem,
    Fans,
    Fan,
    Sensors,
    Sensor(usize),
    TrustedComponents,
    Tpm,
    TaskService,
    Tasks,
    Task(u32),
    TaskMonitor(u32),
    EventService,
    Subscriptions,
    Subscription(u32),
    EventStream,
    UpdateService,
    FirmwareInventory,
    Software(Software),
    Registries,
    RegistryFile(Registry),
    Registry(Registry),
    JsonSchemas,
    JsonSchema(usize),
    Action(Action),
}

/// A log service; both show the one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogKind {
    Sel,
    Event,
}

/// A firmware in the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    Bmc,
    System,
}

/// A registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    Base,
    ResourceEvent,
    Dryrack,
    Bios,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    ResetSystem,
    ResetManager,
    ResetBios,
    ResetKeys,
    ResetDatabase(usize),
    Insert(Slot),
    Eject(Slot),
    ClearLog,
    TestEvent,
    Update,
}

/// The databases of Secure Boot, by their `DatabaseId`.
pub(super) const DATABASES: [&str; 4] = ["PK", "KEK", "db", "dbx"];

impl LogKind {
    pub(super) const ALL: [Self; 2] = [Self::Sel, Self::Event];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Sel => "Sel",
            Self::Event => "EventLog",
        }
    }
}

impl Software {
    pub(super) const ALL: [Self; 2] = [Self::Bmc, Self::System];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Bmc => "BMC",
            Self::System => "System",
        }
    }
}

impl Registry {
    pub(super) const ALL: [Self; 4] = [Self::Base, Self::ResourceEvent, Self::Dryrack, Self::Bios];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Base => "Base.1.21.0",
            Self::ResourceEvent => "ResourceEvent.1.4.0",
            Self::Dryrack => "Dryrack.1.0.0",
            Self::Bios => "BiosAttributeRegistry.v1_0_0",
        }
    }
}

fn one_of<T: Copy>(all: &[T], id: impl Fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|one| id(*one) == text)
}

/// A number without leading zeros or signs.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// An index, counted from 1 in paths, of something that there is.
fn index(text: &str, count: usize) -> Option<usize> {
    number::<usize>(text)?.checked_sub(1).filter(|index| *index < count)
}

impl Place {
    /// Finds what a path means, if that exists.
    pub(super) fn find(bmc: &Bmc, path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix("/redfish")?.split('/').skip(1).collect();
        match segments.as_slice() {
            [] => path.eq("/redfish").then_some(Self::Versions),
            ["v1"] => Some(Self::Root),
            ["v1", "odata"] => Some(Self::OData),
            ["v1", "$metadata"] => Some(Self::Metadata),
            ["v1", service, rest @ ..] => Self::below(bmc, service, rest),
            _ => None,
        }
    }

    fn below(bmc: &Bmc, service: &str, rest: &[&str]) -> Option<Self> {
        let settings = &bmc.redfish.settings;
        Some(match (service, rest) {
            ("SessionService", []) => Self::SessionService,
            ("SessionService", ["Sessions"] | ["Sessions", "Members"]) => Self::Sessions,
            ("SessionService", ["Sessions", id]) => Self::Session(bmc.redfish.sessions.get(number(id)?)?.id),
            ("AccountService", []) => Self::AccountService,
            ("AccountService", ["Accounts"] | ["Accounts", "Members"]) => Self::Accounts,
            ("AccountService", ["Accounts", id]) => {
                let id = number(id)?;
                bmc.users.get(id).filter(|user| !user.name.is_empty())?;
                Self::Account(id)
            }
            ("AccountService", ["Roles"]) => Self::Roles,
            ("AccountService", ["Roles", id]) => Self::Role(Role::find(id)?),
            ("Systems", []) => Self::Systems,
            ("Systems", [id, rest @ ..]) if *id == settings.system => Self::of_system(bmc, rest)?,
            ("Managers", []) => Self::Managers,
            ("Managers", [id, rest @ ..]) if *id == settings.manager => Self::of_manager(rest)?,
            ("Chassis", []) => Self::ChassisAll,
            ("Chassis", [id, rest @ ..]) if *id == settings.chassis => Self::of_chassis(bmc, rest)?,
            ("TaskService", []) => Self::TaskService,
            ("TaskService", ["Tasks"]) => Self::Tasks,
            ("TaskService", ["Tasks", id]) => Self::Task(bmc.redfish.tasks.get(number(id)?)?.id),
            ("TaskService", ["TaskMonitors", id]) => {
                Self::TaskMonitor(bmc.redfish.tasks.get(number(id)?)?.id)
            }
            ("EventService", []) => Self::EventService,
            ("EventService", ["Subscriptions"] | ["Subscriptions", "Members"]) => Self::Subscriptions,
            ("EventService", ["Subscriptions", id]) => {
                Self::Subscription(bmc.redfish.subscriptions.get(number(id)?)?.id)
            }
            ("EventService", ["SSE"]) => Self::EventStream,
            ("EventService", ["Actions", "EventService.SubmitTestEvent"]) => Self::Action(Action::TestEvent),
            ("UpdateService", []) => Self::UpdateService,
            ("UpdateService", ["Actions", "UpdateService.SimpleUpdate"]) => Self::Action(Action::Update),
            ("UpdateService", ["FirmwareInventory"]) => Self::FirmwareInventory,
            ("UpdateService", ["FirmwareInventory", id]) => {
                Self::Software(one_of(&Software::ALL, Software::id, id)?)
            }
            ("Registries", []) => Self::Registries,
            ("Registries", [id]) => Self::RegistryFile(one_of(&Registry::ALL, Registry::id, id)?),
            ("Registries", [id, "Registry"]) => match one_of(&Registry::ALL, Registry::id, id)? {
                registry @ (Registry::Dryrack | Registry::Bios) => Self::Registry(registry),
                Registry::Base | Registry::ResourceEvent => return None,
            },
            ("JsonSchemas", []) => Self::JsonSchemas,
            ("JsonSchemas", [id]) => {
                Self::JsonSchema(super::odata::SCHEMAS.iter().position(|(name, _)| name == id)?)
            }
            _ => return None,
        })
    }

    fn of_system(bmc: &Bmc, rest: &[&str]) -> Option<Self> {
        let settings = &bmc.redfish.settings;
        let inventory = &bmc.identity.inventory;
        let secure = bmc.secure_boot.is_some();
        Some(match rest {
            [] => Self::System,
            ["SD"] if settings.boot.place != BootPlace::System => Self::SystemSettings,
            ["ResetActionInfo"] => Self::ResetInfo,
            ["Actions", "ComputerSystem.Reset"] => Self::Action(Action::ResetSystem),
            ["Bios"] => Self::Bios,
            ["Bios", id] if *id == settings.bios_settings => Self::BiosSettings,
            ["Bios", "Actions", "Bios.ResetBios"] => Self::Action(Action::ResetBios),
            ["SecureBoot"] if secure => Self::SecureBoot,
            ["SecureBoot", "Actions", "SecureBoot.ResetKeys"] if secure => Self::Action(Action::ResetKeys),
            ["SecureBoot", "SecureBootDatabases"] if secure => Self::SecureBootDatabases,
            ["SecureBoot", "SecureBootDatabases", id, rest @ ..] if secure => {
                let index = DATABASES.iter().position(|name| name == id)?;
                match rest {
                    [] => Self::SecureBootDatabase(index),
                    ["Actions", "SecureBootDatabase.ResetKeys"] => Self::Action(Action::ResetDatabase(index)),
                    _ => return None,
                }
            }
            ["BootOptions"] if inventory.is_uefi() => Self::BootOptions,
            ["BootOptions", id] if inventory.is_uefi() => {
                let named = |number: u16| format!("Boot{number:04X}") == *id;
                Self::BootOption(inventory.boot_options.iter().position(|option| named(option.number))?)
            }
            ["Processors"] => Self::Processors,
            ["Processors", id] => Self::Processor(index(id, inventory.processors.len())?),
            ["Memory"] => Self::Memory,
            ["Memory", id] => Self::MemoryModule(index(id, inventory.memory.len())?),
            ["Storage"] => Self::Storages,
            ["Storage", "1"] => Self::Storage,
            ["Storage", "1", "Controllers"] => Self::StorageControllers,
            ["Storage", "1", "Controllers", "1"] => Self::StorageController,
            ["Storage", "1", "Volumes"] => Self::Volumes,
            ["Storage", "1", "Drives", id] => Self::Drive(index(id, inventory.disks.len())?),
            ["SimpleStorage"] => Self::SimpleStorages,
            ["SimpleStorage", "1"] => Self::SimpleStorage,
            ["EthernetInterfaces"] => Self::Nics,
            ["EthernetInterfaces", id] => Self::Nic(index(id, inventory.nics.len())?),
            ["VirtualMedia"] => Self::VirtualMedia,
            ["VirtualMedia", id, rest @ ..] => {
                let slot = one_of(&Slot::ALL, |slot| settings.slot(slot), id)?;
                match rest {
                    [] => Self::Medium(slot),
                    ["Actions", action] if settings.media.way.has_actions() => match *action {
                        "VirtualMedia.InsertMedia" => Self::Action(Action::Insert(slot)),
                        "VirtualMedia.EjectMedia" => Self::Action(Action::Eject(slot)),
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            ["LogServices"] => Self::LogServices,
            ["LogServices", id, rest @ ..] => {
                let kind = one_of(&LogKind::ALL, LogKind::id, id)?;
                match rest {
                    [] => Self::LogService(kind),
                    ["Entries"] => Self::LogEntries(kind),
                    ["Entries", id] => {
                        let id = number(id)?;
                        bmc.log.entries().find(|entry| entry.id == id)?;
                        Self::LogEntry(kind, id)
                    }
                    ["Actions", "LogService.ClearLog"] => Self::Action(Action::ClearLog),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    fn of_manager(rest: &[&str]) -> Option<Self> {
        Some(match rest {
            [] => Self::Manager,
            ["Actions", "Manager.Reset"] => Self::Action(Action::ResetManager),
            ["NetworkProtocol"] => Self::NetworkProtocol,
            ["EthernetInterfaces"] => Self::ManagerNics,
            ["EthernetInterfaces", "1"] => Self::ManagerNic,
            ["SerialInterfaces"] => Self::SerialInterfaces,
            ["SerialInterfaces", "1"] => Self::SerialInterface,
            _ => return None,
        })
    }

    fn of_chassis(bmc: &Bmc, rest: &[&str]) -> Option<Self> {
        let has_fans = bmc.identity.has_fans;
        Some(match rest {
            [] => Self::Chassis,
            ["Power"] => Self::Power,
            ["Thermal"] => Self::Thermal,
            ["PowerSubsystem"] => Self::PowerSubsystem,
            ["PowerSubsystem", "PowerSupplies"] => Self::PowerSupplies,
            ["PowerSubsystem", "PowerSupplies", "1"] => Self::PowerSupply,
            ["ThermalSubsystem"] => Self::ThermalSubsystem,
            ["ThermalSubsystem", "Fans"] => Self::Fans,
            ["ThermalSubsystem", "Fans", "1"] if has_fans => Self::Fan,
            ["Sensors"] => Self::Sensors,
            ["Sensors", id] => Self::Sensor(super::sensor::find(bmc, id)?),
            ["TrustedComponents"] => Self::TrustedComponents,
            ["TrustedComponents", "TPM"] if bmc.identity.inventory.has_tpm => Self::Tpm,
            _ => return None,
        })
    }

    /// Returns whether it can be read without logging in.
    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::Versions | Self::Root | Self::OData | Self::Metadata)
    }

    /// Returns the methods besides GET and HEAD that it takes; an action takes POST only.
    pub(super) fn writes(self) -> &'static [Method] {
        const PATCH: &[Method] = &[Method::PATCH];
        const POST: &[Method] = &[Method::POST];
        const CHANGE: &[Method] = &[Method::PATCH, Method::DELETE];
        match self {
            Self::Sessions | Self::Accounts | Self::Subscriptions | Self::Volumes | Self::Action(_) => POST,
            Self::Session(_) | Self::Task(_) | Self::LogEntry(..) => &[Method::DELETE],
            Self::Account(_) | Self::Subscription(_) => CHANGE,
            Self::SessionService
            | Self::AccountService
            | Self::System
            | Self::SystemSettings
            | Self::BiosSettings
            | Self::SecureBoot
            | Self::NetworkProtocol
            | Self::Medium(_)
            | Self::Chassis => PATCH,
            _ => &[],
        }
    }

    /// Returns the privilege that a method needs.
    pub(super) fn need(self, method: &Method) -> Need {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            _ if reads && self.is_public() => Need::Nothing,
            Self::Account(id) if reads => Need::UsersOrOwn(id),
            Self::Account(id) if method == Method::PATCH => Need::UsersOrOwn(id),
            _ if reads => Need::Login,
            // Who logs in is nobody before that.
            Self::Sessions if method == Method::POST => Need::Nothing,
            Self::Session(id) => Need::ManagerOrOwnSession(id),
            Self::AccountService | Self::Accounts | Self::Account(_) => Need::Users,
            Self::SessionService
            | Self::NetworkProtocol
            | Self::Action(Action::ResetManager)
            | Self::Task(_) => Need::Manager,
            Self::Subscriptions | Self::Subscription(_) | Self::Action(Action::TestEvent) => Need::Components,
            _ => Need::Components,
        }
    }
}
