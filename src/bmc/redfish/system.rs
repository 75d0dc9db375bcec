//! The computer system: what it is, its power, its reset.

use serde_json::{Value, json};

use super::message::{Key, Message};
use super::odata::{healthy, link, links, powered, resource};
use super::patch::Patch;
use super::reply::Reply;
use super::settings::BootPlace;
use super::{boot, root};
use crate::bmc::command::Identify;
use crate::bmc::inventory::Architecture;
use crate::bmc::power::{Control, RestartCause, RestorePolicy};
use crate::bmc::{Bmc, Now};

/// The types of reset, each of which ends as its name says.
const RESETS: [&str; 9] = [
    "On",
    "ForceOn",
    "ForceOff",
    "GracefulShutdown",
    "GracefulRestart",
    "ForceRestart",
    "PowerCycle",
    "PushPowerButton",
    "Nmi",
];

const RESTORE: [(&str, RestorePolicy); 3] = [
    ("AlwaysOff", RestorePolicy::Off),
    ("LastState", RestorePolicy::Previous),
    ("AlwaysOn", RestorePolicy::On),
];

/// The action, as messages name it.
const RESET: &str = "ComputerSystem.Reset";

/// Returns the system.
pub(super) fn system(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = settings.system_uri();
    let below = |name: &str| link(&format!("{uri}/{name}"));
    let identity = &bmc.identity;
    let inventory = &identity.inventory;
    let is_on = bmc.power().is_on();
    let restore = RESTORE.iter().find(|(_, policy)| *policy == bmc.power().policy).map(|(name, _)| *name);
    let threads: u32 = inventory.processors.iter().map(|processor| processor.threads).sum();
    let cores: u32 = inventory.processors.iter().map(|processor| processor.cores).sum();
    let mut system = resource(
        "ComputerSystem",
        &uri,
        &settings.system,
        &identity.node,
        json!({
            "Description": "A machine of the lab",
            "SystemType": "Physical",
            "Manufacturer": identity.manufacturer,
            "Model": identity.product,
            "SerialNumber": identity.serial,
            "AssetTag": identity.asset_tag,
            "UUID": identity.uuid_text(),
            "HostName": identity.node,
            "PowerState": if is_on { "On" } else { "Off" },
            "PowerRestorePolicy": restore,
            "IndicatorLED": led(bmc),
            "IndicatorLED@Redfish.AllowableValues": ["Off", "Lit"],
            "LocationIndicatorActive": bmc.interface.identify() != Identify::Off,
            "BiosVersion": inventory.firmware_version,
            "Status": { "State": if is_on { "Enabled" } else { "StandbyOffline" }, "Health": "OK", "HealthRollup": "OK" },
            "Boot": boot::shown(bmc),
            "ProcessorSummary": {
                "Count": inventory.processors.len(),
                "CoreCount": cores,
                "LogicalProcessorCount": threads,
                "Model": inventory.processors.first().map(|processor| processor.model.as_str()),
                "Status": powered(is_on),
            },
            "MemorySummary": { "TotalSystemMemoryGiB": gibibytes(inventory.mebibytes()), "Status": powered(is_on) },
            "Bios": below("Bios"),
            "Processors": below("Processors"),
            "Memory": below("Memory"),
            "Storage": below("Storage"),
            "SimpleStorage": below("SimpleStorage"),
            "EthernetInterfaces": below("EthernetInterfaces"),
            "LogServices": below("LogServices"),
            "VirtualMedia": below("VirtualMedia"),
            "GraphicalConsole": { "ServiceEnabled": false, "MaxConcurrentSessions": 0, "ConnectTypesSupported": [] },
            "SerialConsole": {
                "MaxConcurrentSessions": u8::from(bmc.has_sol()),
                "IPMI": { "ServiceEnabled": bmc.has_sol(), "Port": 623 },
            },
            "Links": {
                "Chassis": links([settings.chassis_uri().as_str()]),
                "ManagedBy": links([settings.manager_uri().as_str()]),
            },
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": format!("{uri}/Actions/ComputerSystem.Reset"),
                    "@Redfish.ActionInfo": format!("{uri}/ResetActionInfo"),
                    "ResetType@Redfish.AllowableValues": RESETS,
                },
            },
        }),
    );
    if let Some(last) = &settings.last_reset {
        system["LastResetTime"] = json!(last);
    }
    if bmc.secure_boot.is_some() {
        system["SecureBoot"] = below("SecureBoot");
    }
    if inventory.has_tpm {
        system["TrustedModules"] = json!([{ "InterfaceType": "TPM2_0", "Status": powered(is_on) }]);
        system["Links"]["TrustedComponents"] =
            links([format!("{}/TrustedComponents/TPM", settings.chassis_uri()).as_str()]);
    }
    if settings.boot.place != BootPlace::System {
        system["@Redfish.Settings"] = json!({
            "@odata.type": "#Settings.v1_4_0.Settings",
            "SettingsObject": below("SD"),
            "SupportedApplyTimes": ["OnReset"],
        });
    }
    system
}

/// Returns the settings of the system, for makers who have its boot override there.
pub(super) fn future(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = format!("{}/SD", settings.system_uri());
    resource("ComputerSystem", &uri, "SD", "Pending settings", json!({ "Boot": boot::shown(bmc) }))
}

/// Returns the size in GiB, with a fraction only if it has one.
pub(super) fn gibibytes(mebibytes: u64) -> Value {
    if mebibytes.is_multiple_of(1024) { json!(mebibytes / 1024) } else { json!(mebibytes as f64 / 1024.0) }
}

/// Returns the name of an architecture.
pub(super) fn architecture(architecture: Architecture) -> (&'static str, &'static str) {
    match architecture {
        Architecture::X86 => ("x86", "x86-64"),
        Architecture::Arm => ("ARM", "ARM-A64"),
    }
}

/// Returns the state of the identify light.
pub(super) fn led(bmc: &Bmc) -> &'static str {
    match bmc.interface.identify() {
        Identify::Off => "Off",
        Identify::Until(_) => "Blinking",
        Identify::On => "Lit",
    }
}

/// Takes the identify light from a PATCH.
pub(super) fn take_light(patch: &mut Patch) -> Option<Identify> {
    let lit = [("Off", Identify::Off), ("Lit", Identify::On)];
    let led = patch.choice("/IndicatorLED", &lit);
    let active = patch.flag("/LocationIndicatorActive");
    active.map(|active| if active { Identify::On } else { Identify::Off }).or(led)
}

/// Changes the system.
pub(super) fn patch(
    bmc: &mut Bmc,
    now: Now,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let light = take_light(&mut patch);
    let restore = patch.choice("/PowerRestorePolicy", &RESTORE);
    let boot = match &bmc.redfish.settings.boot.place {
        BootPlace::System => boot::take(bmc, now, &mut patch),
        BootPlace::Settings { message } => {
            if patch.has("/Boot") {
                let text = "The resource with the settings takes this change.";
                patch.wrong(Message::foreign(message, text).about("/Boot"));
            }
            None
        }
    };
    let left = patch.finish(current)?;
    if let Some(light) = light {
        bmc.interface.set_identify(light);
    }
    if let Some(restore) = restore {
        bmc.power.policy = restore;
    }
    if let Some(boot) = boot {
        boot::apply(bmc, boot);
    }
    Ok(left)
}

/// Changes the settings of the system.
pub(super) fn patch_future(
    bmc: &mut Bmc,
    now: Now,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let boot = boot::take(bmc, now, &mut patch);
    let left = patch.finish(current)?;
    if let Some(boot) = boot {
        boot::apply(bmc, boot);
    }
    Ok(left)
}

/// Returns the parameters of the reset.
pub(super) fn reset_info(bmc: &Bmc) -> Value {
    let uri = format!("{}/ResetActionInfo", bmc.redfish.settings.system_uri());
    let parameter = json!({
        "Name": "ResetType",
        "Required": true,
        "DataType": "String",
        "AllowableValues": RESETS,
    });
    resource(
        "ActionInfo",
        &uri,
        "ResetActionInfo",
        "Parameters of Reset",
        json!({ "Parameters": [parameter] }),
    )
}

/// Resets the system.
pub(super) fn reset(bmc: &mut Bmc, now: Now, kind: &str) -> Reply {
    let is_on = bmc.power().is_on();
    let conflict = |kind: &str| {
        *Reply::refuse(409, Message::new(Key::ActionParameterValueConflict, &["ResetType", kind]))
    };
    let control = match kind {
        "On" | "ForceOn" => Control::On,
        "ForceOff" => Control::Off,
        "GracefulShutdown" => Control::Soft,
        // As the use-case checkers of the DMTF want it.
        "ForceRestart" | "PowerCycle" | "GracefulRestart" if !is_on => Control::On,
        "ForceRestart" => Control::Reset,
        "PowerCycle" => Control::Cycle,
        "GracefulRestart" => {
            return bmc.restart_gracefully(now).map_or_else(|_| conflict(kind), |()| Reply::empty(204));
        }
        "PushPowerButton" if is_on => Control::Soft,
        "PushPowerButton" => Control::On,
        "Nmi" => Control::Nmi,
        other => {
            let message = Message::new(Key::ActionParameterValueNotInList, &[other, "ResetType", RESET]);
            return *Reply::refuse(400, message.about("/ResetType"));
        }
    };
    match bmc.control(now, control, RestartCause::Command) {
        Ok(()) => Reply::empty(204),
        Err(_) => conflict(kind),
    }
}

/// Returns the chassis of the system.
pub(super) fn chassis(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let identity = &bmc.identity;
    let uri = settings.chassis_uri();
    let below = |name: &str| link(&format!("{uri}/{name}"));
    let mut chassis = resource(
        "Chassis",
        &uri,
        &settings.chassis,
        "Chassis",
        json!({
            "ChassisType": "RackMount",
            "Manufacturer": identity.manufacturer,
            "Model": identity.product,
            "SerialNumber": identity.serial,
            "AssetTag": identity.asset_tag,
            "UUID": identity.uuid_text(),
            "PowerState": if bmc.power().is_on() { "On" } else { "Off" },
            "IndicatorLED": led(bmc),
            "LocationIndicatorActive": bmc.interface.identify() != Identify::Off,
            "Status": healthy(),
            "Power": below("Power"),
            "Thermal": below("Thermal"),
            "PowerSubsystem": below("PowerSubsystem"),
            "ThermalSubsystem": below("ThermalSubsystem"),
            "Sensors": below("Sensors"),
            "Links": {
                "ComputerSystems": links([settings.system_uri().as_str()]),
                "ManagedBy": links([settings.manager_uri().as_str()]),
                "ManagersInChassis": links([settings.manager_uri().as_str()]),
            },
        }),
    );
    if identity.inventory.has_tpm {
        chassis["TrustedComponents"] = below("TrustedComponents");
    }
    chassis
}

/// Changes the chassis.
pub(super) fn patch_chassis(
    bmc: &mut Bmc,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let light = take_light(&mut patch);
    let left = patch.finish(current)?;
    if let Some(light) = light {
        bmc.interface.set_identify(light);
    }
    Ok(left)
}

/// Returns the TPM.
pub(super) fn tpm(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = format!("{}/TrustedComponents/TPM", settings.chassis_uri());
    resource(
        "TrustedComponent",
        &uri,
        "TPM",
        "TPM 2.0",
        json!({
            "TrustedComponentType": "Discrete",
            "Manufacturer": "swtpm",
            "Model": "TPM 2.0",
            "UUID": root::manager_uuid(bmc),
            "Status": powered(bmc.power().is_on()),
            "Links": { "ComponentsProtected": links([settings.system_uri().as_str()]) },
        }),
    )
}
