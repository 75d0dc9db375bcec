//! The representation of every resource.

use serde_json::{Value, json};

use super::odata::{SCHEMAS, collection, etag};
use super::place::{DATABASES, LogKind, Place, Registry, Software};
use super::role::Role;
use super::{
    account, bios, boot, event, hardware, journal, manager, media, registry, root, sensor, system, task,
};
use crate::bmc::media::Slot;
use crate::bmc::{Bmc, Now};

/// Returns a resource with its ETag.
pub(super) fn represent(bmc: &Bmc, now: Now, place: Place) -> Option<Value> {
    let mut resource = read(bmc, now, place)?;
    let uri = resource.get("@odata.id").and_then(Value::as_str);
    if let Some(uri) = uri {
        let revision = bmc.redfish.revisions.get(uri).copied().unwrap_or_default();
        let etag = etag(&resource, revision);
        resource["@odata.etag"] = json!(etag);
    }
    Some(resource)
}

/// Identifiers from 1 on.
fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn read(bmc: &Bmc, now: Now, place: Place) -> Option<Value> {
    Some(match place {
        Place::Versions => root::versions(),
        Place::Root => root::root(bmc),
        Place::OData => root::odata(),
        Place::SessionService => account::session_service(bmc),
        Place::Session(id) => account::session(bmc, id)?,
        Place::AccountService => account::service(bmc),
        Place::Account(id) => account::account(bmc, now, id)?,
        Place::Role(role) => account::role(role),
        Place::System => system::system(bmc),
        Place::SystemSettings => system::future(bmc),
        Place::ResetInfo => system::reset_info(bmc),
        Place::Bios => bios::bios(bmc),
        Place::BiosSettings => bios::settings(bmc),
        Place::SecureBoot => bios::secure_boot(bmc)?,
        Place::SecureBootDatabase(index) => bios::database(bmc, index)?,
        Place::BootOption(index) => boot::option(bmc, index)?,
        Place::Processor(index) => hardware::processor(bmc, index)?,
        Place::MemoryModule(index) => hardware::memory(bmc, index)?,
        Place::Storage => hardware::storage(bmc),
        Place::StorageController => hardware::controller(bmc),
        Place::SimpleStorage => hardware::simple_storage(bmc),
        Place::Drive(index) => hardware::drive(bmc, index)?,
        Place::Nic(index) => hardware::nic(bmc, index)?,
        Place::Medium(slot) => media::medium(bmc, slot),
        Place::LogService(kind) => journal::service(bmc, now, kind),
        Place::LogEntries(kind) => journal::entries(bmc, kind),
        Place::LogEntry(kind, id) => journal::entry(bmc, kind, id)?,
        Place::Manager => manager::manager(bmc, now),
        Place::NetworkProtocol => manager::network_protocol(bmc),
        Place::ManagerNic => manager::nic(bmc),
        Place::SerialInterface => manager::serial(bmc),
        Place::Chassis => system::chassis(bmc),
        Place::Power => sensor::power(bmc),
        Place::Thermal => sensor::thermal(bmc),
        Place::PowerSubsystem => sensor::power_subsystem(bmc),
        Place::PowerSupply => sensor::power_supply(bmc),
        Place::ThermalSubsystem => sensor::thermal_subsystem(bmc),
        Place::Fan => sensor::fan(bmc)?,
        Place::Sensor(index) => sensor::sensor(bmc, index)?,
        Place::Tpm => system::tpm(bmc),
        Place::TaskService => task::service(now),
        Place::Task(id) => task::task(bmc, id)?,
        Place::EventService => event::service(),
        Place::Subscription(id) => event::subscription(bmc, id)?,
        Place::UpdateService => registry::update_service(),
        Place::Software(software) => registry::software(bmc, software),
        Place::RegistryFile(registry) => registry::file(registry),
        Place::Registry(Registry::Bios) => bios::registry(bmc),
        Place::Registry(_) => journal::registry(),
        Place::JsonSchema(index) => registry::schema(index)?,
        // These are no JSON objects.
        Place::Metadata | Place::TaskMonitor(_) | Place::EventStream | Place::Action(_) => return None,
        Place::Volumes => {
            let mut volumes = members(bmc, place)?;
            volumes["@Redfish.OperationApplyTimeSupport"] = json!({
                "@odata.type": "#Settings.v1_4_0.OperationApplyTimeSupport",
                "SupportedValues": ["Immediate"],
            });
            volumes
        }
        Place::Sessions
        | Place::Accounts
        | Place::Roles
        | Place::Systems
        | Place::SecureBootDatabases
        | Place::BootOptions
        | Place::Processors
        | Place::Memory
        | Place::Storages
        | Place::StorageControllers
        | Place::SimpleStorages
        | Place::Nics
        | Place::VirtualMedia
        | Place::LogServices
        | Place::Managers
        | Place::ManagerNics
        | Place::SerialInterfaces
        | Place::ChassisAll
        | Place::PowerSupplies
        | Place::Fans
        | Place::Sensors
        | Place::TrustedComponents
        | Place::Tasks
        | Place::Subscriptions
        | Place::FirmwareInventory
        | Place::Registries
        | Place::JsonSchemas => members(bmc, place)?,
    })
}

/// Returns a collection.
fn members(bmc: &Bmc, place: Place) -> Option<Value> {
    let redfish = &bmc.redfish;
    let settings = &redfish.settings;
    let inventory = &bmc.identity.inventory;
    let (system, manager, chassis) = (settings.system_uri(), settings.manager_uri(), settings.chassis_uri());
    let v1 = |path: &str| format!("/redfish/v1/{path}");
    let system = |path: &str| format!("{system}/{path}");
    let manager = |path: &str| format!("{manager}/{path}");
    let chassis = |path: &str| format!("{chassis}/{path}");
    let (kind, uri, name, ids) = match place {
        Place::Sessions => {
            let ids = redfish.sessions.iter().map(|session| session.id.to_string()).collect();
            ("Session", v1("SessionService/Sessions"), "Sessions", ids)
        }
        Place::Accounts => ("ManagerAccount", v1("AccountService/Accounts"), "Accounts", account::ids(bmc)),
        Place::Roles => ("Role", v1("AccountService/Roles"), "Roles", named(&Role::ALL.map(Role::id))),
        Place::Systems => ("ComputerSystem", v1("Systems"), "Systems", vec![settings.system.clone()]),
        Place::SecureBootDatabases => {
            let uri = system("SecureBoot/SecureBootDatabases");
            ("SecureBootDatabase", uri, "Databases of Secure Boot", named(&DATABASES))
        }
        Place::BootOptions => {
            let options = inventory.boot_options.iter();
            let ids = options.map(|option| boot::reference(option.number)).collect();
            ("BootOption", system("BootOptions"), "Boot options", ids)
        }
        Place::Processors => {
            ("Processor", system("Processors"), "Processors", numbers(inventory.processors.len()))
        }
        Place::Memory => ("Memory", system("Memory"), "Memory modules", numbers(inventory.memory.len())),
        Place::Storages => ("Storage", system("Storage"), "Storage", numbers(1)),
        Place::StorageControllers => {
            ("StorageController", system("Storage/1/Controllers"), "Storage controllers", numbers(1))
        }
        Place::Volumes => ("Volume", system("Storage/1/Volumes"), "Volumes", Vec::new()),
        Place::SimpleStorages => ("SimpleStorage", system("SimpleStorage"), "Simple storage", numbers(1)),
        Place::Nics => {
            ("EthernetInterface", system("EthernetInterfaces"), "NICs", numbers(inventory.nics.len()))
        }
        Place::VirtualMedia => (
            "VirtualMedia",
            system("VirtualMedia"),
            "Virtual media",
            named(&Slot::ALL.map(|slot| settings.slot(slot))),
        ),
        Place::LogServices => {
            ("LogService", system("LogServices"), "Log services", named(&LogKind::ALL.map(LogKind::id)))
        }
        Place::Managers => ("Manager", v1("Managers"), "Managers", vec![settings.manager.clone()]),
        Place::ManagerNics => {
            ("EthernetInterface", manager("EthernetInterfaces"), "NICs of the manager", numbers(1))
        }
        Place::SerialInterfaces => {
            ("SerialInterface", manager("SerialInterfaces"), "Serial ports", numbers(1))
        }
        Place::ChassisAll => ("Chassis", v1("Chassis"), "Chassis", vec![settings.chassis.clone()]),
        Place::PowerSupplies => {
            ("PowerSupply", chassis("PowerSubsystem/PowerSupplies"), "Power supplies", numbers(1))
        }
        Place::Fans => {
            let count = usize::from(bmc.identity.has_fans);
            ("Fan", chassis("ThermalSubsystem/Fans"), "Fans", numbers(count))
        }
        Place::Sensors => ("Sensor", chassis("Sensors"), "Sensors", sensor::ids(bmc)),
        Place::TrustedComponents => {
            let ids = if inventory.has_tpm { named(&["TPM"]) } else { Vec::new() };
            ("TrustedComponent", chassis("TrustedComponents"), "Trusted components", ids)
        }
        Place::Tasks => {
            let ids = redfish.tasks.iter().map(|task| task.id.to_string()).collect();
            ("Task", v1("TaskService/Tasks"), "Tasks", ids)
        }
        Place::Subscriptions => {
            let ids = redfish.subscriptions.iter().map(|one| one.id.to_string()).collect();
            ("EventDestination", v1("EventService/Subscriptions"), "Subscriptions", ids)
        }
        Place::FirmwareInventory => {
            let ids = named(&Software::ALL.map(Software::id));
            ("SoftwareInventory", v1("UpdateService/FirmwareInventory"), "Firmware", ids)
        }
        Place::Registries => {
            ("MessageRegistryFile", v1("Registries"), "Registries", named(&Registry::ALL.map(Registry::id)))
        }
        Place::JsonSchemas => {
            let ids = SCHEMAS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
            ("JsonSchemaFile", v1("JsonSchemas"), "Schemas", ids)
        }
        _ => return None,
    };
    Some(collection(kind, &uri, name, ids))
}
