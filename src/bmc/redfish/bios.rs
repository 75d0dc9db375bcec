//! The settings of the firmware, and Secure Boot.

use serde_json::{Map, Value, json};

use super::message::{Key, Message};
use super::odata::{link, resource, time};
use super::patch::Patch;
use super::place::{DATABASES, Registry};
use super::reply::Reply;
use super::settings::ApplyTime;
use crate::bmc::Bmc;
use crate::bmc::firmware::{ATTRIBUTES, Attribute, Kind, Value as Setting, Values, default_of};
use crate::bmc::secure_boot::{KeyMode, KeyReset};

const KEY_RESETS: [(&str, KeyReset); 3] = [
    ("ResetAllKeysToDefault", KeyReset::Default),
    ("DeleteAllKeys", KeyReset::Delete),
    ("DeletePK", KeyReset::DeletePlatformKey),
];

fn json_of(value: &Setting) -> Value {
    match value {
        Setting::Text(text) => json!(text),
        Setting::Number(number) => json!(number),
    }
}

fn attributes(values: &Values) -> Map<String, Value> {
    values.iter().map(|(name, value)| ((*name).to_owned(), json_of(value))).collect()
}

/// Returns the settings in force.
pub(super) fn bios(bmc: &Bmc) -> Value {
    let uri = format!("{}/Bios", bmc.redfish.settings.system_uri());
    let mut settings = json!({
        "@odata.type": "#Settings.v1_4_0.Settings",
        "SettingsObject": link(&bmc.redfish.settings.bios_settings_uri()),
        "SupportedApplyTimes": ["OnReset"],
    });
    if let Some(applied) = bmc.firmware.applied() {
        settings["Time"] = json!(time(applied));
        settings["Messages"] = json!([Message::new(Key::Success, &[]).json()]);
    }
    resource(
        "Bios",
        &uri,
        "Bios",
        "Firmware settings",
        json!({
            "AttributeRegistry": Registry::Bios.id(),
            "Attributes": attributes(bmc.firmware.current()),
            "ResetBiosToDefaultsPending": bmc.firmware.resets(),
            "@Redfish.Settings": settings,
            "Actions": { "#Bios.ResetBios": { "target": format!("{uri}/Actions/Bios.ResetBios") } },
        }),
    )
}

/// Returns the settings after the next start.
pub(super) fn settings(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = settings.bios_settings_uri();
    let mut values = bmc.firmware.current().clone();
    values.extend(bmc.firmware.pending().clone());
    values.extend(bmc.firmware.kept().clone());
    resource(
        "Bios",
        &uri,
        settings.bios_settings,
        "Firmware settings after the next reset",
        json!({ "AttributeRegistry": Registry::Bios.id(), "Attributes": attributes(&values) }),
    )
}

/// Changes the settings for the next start.
pub(super) fn patch(bmc: &mut Bmc, mut patch: Patch, current: &Value) -> Result<Vec<Message>, Box<Reply>> {
    const APPLY: &str = "/@Redfish.SettingsApplyTime";
    const TIME: &str = "/@Redfish.SettingsApplyTime/ApplyTime";
    let rule = bmc.redfish.settings.apply_time;
    let is_kept = rule == ApplyTime::Needed && !patch.has(APPLY);
    if rule == ApplyTime::Refused && patch.has(APPLY) {
        let name = APPLY.trim_start_matches('/');
        patch.wrong(Message::new(Key::PropertyUnknown, &[name]).about(APPLY));
    } else if patch.has(APPLY) {
        patch.choice(TIME, &[("OnReset", ())]);
        // Its type and what else it has are not looked at.
        patch.ignore(APPLY);
    }
    let mut values = Values::new();
    for attribute in &ATTRIBUTES {
        let pointer = format!("/Attributes/{}", attribute.name);
        if !patch.has(&pointer) || attribute.is_read_only {
            continue;
        }
        let value = match attribute.kind {
            Kind::Choice(choices) => {
                let choices: Vec<(&str, &str)> = choices.iter().map(|choice| (*choice, *choice)).collect();
                patch.choice(&pointer, &choices).map(|choice| Setting::Text(choice.to_owned()))
            }
            Kind::Range(least, most) => patch.number(&pointer, least, most).map(Setting::Number),
        };
        values.extend(value.map(|value| (attribute.name, value)));
    }
    let left = patch.finish(current)?;
    if is_kept {
        bmc.firmware.keep(values);
    } else {
        bmc.firmware.set(values);
    }
    Ok(left)
}

/// Returns the registry of the settings.
pub(super) fn registry(bmc: &Bmc) -> Value {
    let inventory = &bmc.identity.inventory;
    let entry = |attribute: &Attribute| {
        let mut entry = json!({
            "AttributeName": attribute.name,
            "DisplayName": attribute.display,
            "HelpText": attribute.help,
            "ReadOnly": attribute.is_read_only,
            "ResetRequired": true,
            "DefaultValue": json_of(&default_of(attribute.name, inventory)),
        });
        match attribute.kind {
            Kind::Choice(choices) => {
                let value = |choice: &&str| json!({ "ValueName": choice, "ValueDisplayName": choice });
                entry["Type"] = json!("Enumeration");
                entry["Value"] = choices.iter().map(value).collect();
            }
            Kind::Range(least, most) => {
                entry["Type"] = json!("Integer");
                entry["LowerBound"] = json!(least);
                entry["UpperBound"] = json!(most);
                entry["ScalarIncrement"] = json!(1);
            }
        }
        entry
    };
    resource(
        "AttributeRegistry",
        &format!("/redfish/v1/Registries/{}/Registry", Registry::Bios.id()),
        Registry::Bios.id(),
        "Registry of firmware settings",
        json!({
            "Language": "en",
            "OwningEntity": "Dryrack",
            "RegistryVersion": "1.0.0",
            "SupportedSystems": [{
                "ProductName": bmc.identity.product,
                "SystemId": bmc.redfish.settings.system,
                "FirmwareVersion": inventory.firmware_version,
            }],
            "RegistryEntries": { "Attributes": ATTRIBUTES.iter().map(entry).collect::<Vec<_>>() },
        }),
    )
}

/// Returns Secure Boot.
pub(super) fn secure_boot(bmc: &Bmc) -> Option<Value> {
    let state = bmc.secure_boot.as_ref()?;
    let uri = format!("{}/SecureBoot", bmc.redfish.settings.system_uri());
    Some(resource(
        "SecureBoot",
        &uri,
        "SecureBoot",
        "Secure Boot",
        json!({
            "SecureBootEnable": state.is_wanted(),
            "SecureBootCurrentBoot": if state.is_current() { "Enabled" } else { "Disabled" },
            "SecureBootMode": match state.mode() {
                KeyMode::Setup => "SetupMode",
                KeyMode::User => "UserMode",
            },
            "SecureBootDatabases": link(&format!("{uri}/SecureBootDatabases")),
            "Actions": {
                "#SecureBoot.ResetKeys": {
                    "target": format!("{uri}/Actions/SecureBoot.ResetKeys"),
                    "ResetKeysType@Redfish.AllowableValues": KEY_RESETS.map(|(name, _)| name),
                },
            },
        }),
    ))
}

/// Changes Secure Boot for the next start.
pub(super) fn patch_secure_boot(
    bmc: &mut Bmc,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let enable = patch.flag("/SecureBootEnable");
    let left = patch.finish(current)?;
    if let (Some(enable), Some(state)) = (enable, &mut bmc.secure_boot) {
        state.want(enable);
    }
    Ok(left)
}

/// Returns a database of Secure Boot.
pub(super) fn database(bmc: &Bmc, index: usize) -> Option<Value> {
    let id = DATABASES.get(index)?;
    let uri = format!("{}/SecureBoot/SecureBootDatabases/{id}", bmc.redfish.settings.system_uri());
    Some(resource(
        "SecureBootDatabase",
        &uri,
        id,
        &format!("{id} database"),
        json!({
            "DatabaseId": id,
            "Actions": {
                "#SecureBootDatabase.ResetKeys": {
                    "target": format!("{uri}/Actions/SecureBootDatabase.ResetKeys"),
                    "ResetKeysType@Redfish.AllowableValues": database_resets(id),
                },
            },
        }),
    ))
}

/// What can be done to one database: only the platform key goes alone, the others are those of the template together.
fn database_resets(id: &str) -> &'static [&'static str] {
    if id == "PK" { &["DeleteAllKeys"] } else { &[] }
}

/// Resets keys at the next start.
pub(super) fn reset_keys(bmc: &mut Bmc, kind: &str) -> Reply {
    let found = KEY_RESETS.iter().find(|(name, _)| *name == kind);
    let (Some((_, reset)), Some(state)) = (found, &mut bmc.secure_boot) else {
        return wrong_keys(kind, "SecureBoot.ResetKeys");
    };
    state.reset_keys(*reset);
    Reply::empty(204)
}

/// Resets the keys of a database at the next start.
pub(super) fn reset_database(bmc: &mut Bmc, index: usize, kind: &str) -> Reply {
    let id = DATABASES.get(index).copied().unwrap_or_default();
    match &mut bmc.secure_boot {
        Some(state) if database_resets(id).contains(&kind) => {
            state.reset_keys(KeyReset::DeletePlatformKey);
            Reply::empty(204)
        }
        _ => wrong_keys(kind, "SecureBootDatabase.ResetKeys"),
    }
}

fn wrong_keys(kind: &str, action: &str) -> Reply {
    let message = Message::new(Key::ActionParameterValueNotInList, &[kind, "ResetKeysType", action]);
    *Reply::refuse(400, message.about("/ResetKeysType"))
}
