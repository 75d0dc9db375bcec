//! The boot override of the system, and the boot options of its firmware.

use std::time::Duration;

use serde_json::{Value, json};

use super::message::{Key, Message};
use super::odata::{link, resource};
use super::patch::Patch;
use super::settings::{CdTarget, Partial};
use super::url;
use crate::bmc::boot::{BootDevice, Override};
use crate::bmc::{Bmc, Now};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The override, if it changes.
    over: Option<Option<Override>>,
    /// The URL of HTTP boot, if it changes.
    http: Option<Option<String>>,
}

/// Whether an override is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enabled {
    Disabled,
    Once,
    Continuous,
}

const ENABLED: [(&str, Enabled); 3] =
    [("Disabled", Enabled::Disabled), ("Once", Enabled::Once), ("Continuous", Enabled::Continuous)];

const TARGET: &str = "/Boot/BootSourceOverrideTarget";
const NEXT: &str = "/Boot/BootNext";

/// The targets that the machine has.
///
/// That of a boot option stands for any of them: which one, `BootNext` says.
fn targets(bmc: &Bmc) -> Vec<(&'static str, Option<BootDevice>)> {
    let cd = match bmc.redfish.settings.boot.cd {
        CdTarget::Cd => "Cd",
        CdTarget::UsbCd => "UsbCd",
    };
    let named = [
        ("Pxe", BootDevice::Pxe),
        ("Hdd", BootDevice::Disk),
        (cd, BootDevice::Cd),
        ("Usb", BootDevice::Usb),
        ("BiosSetup", BootDevice::Setup),
        ("UefiHttp", BootDevice::Http),
    ];
    let has = |device: &BootDevice| bmc.identity.devices.contains(device);
    let named = named.into_iter().filter(|(_, device)| has(device));
    let mut targets: Vec<_> =
        std::iter::once(("None", None)).chain(named.map(|(name, device)| (name, Some(device)))).collect();
    if bmc.identity.inventory.is_uefi() {
        targets.push(("UefiBootNext", Some(BootDevice::Option(0))));
    }
    targets
}

fn mode(bmc: &Bmc) -> &'static str {
    if bmc.identity.inventory.is_uefi() { "UEFI" } else { "Legacy" }
}

/// Returns the property `Boot`.
pub(super) fn shown(bmc: &Bmc) -> Value {
    let over = bmc.boot_override();
    let targets = targets(bmc);
    let device = over.map(|over| match over.device {
        BootDevice::Option(_) => BootDevice::Option(0),
        device => device,
    });
    let next = match over.map(|over| over.device) {
        Some(BootDevice::Option(number)) => Some(reference(number)),
        _ => None,
    };
    let target = targets.iter().find(|(_, target)| *target == device).map_or("None", |(name, _)| *name);
    let enabled = match over {
        None => "Disabled",
        Some(over) if over.is_persistent => "Continuous",
        Some(_) => "Once",
    };
    let mut boot = json!({
        "BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideEnabled@Redfish.AllowableValues": ENABLED.map(|(name, _)| name),
        "BootSourceOverrideMode": mode(bmc),
        "BootSourceOverrideMode@Redfish.AllowableValues": [mode(bmc)],
        "BootSourceOverrideTarget": target,
        "BootSourceOverrideTarget@Redfish.AllowableValues":
            targets.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
    });
    let inventory = &bmc.identity.inventory;
    if inventory.is_uefi() {
        let order: Vec<String> =
            inventory.boot_options.iter().map(|option| reference(option.number)).collect();
        boot["HttpBootUri"] = json!(bmc.http_boot());
        boot["BootNext"] = json!(next);
        boot["BootOptions"] = link(&format!("{}/BootOptions", bmc.redfish.settings.system_uri()));
        boot["BootOrder"] = json!(order);
    }
    boot
}

/// Takes `Boot` from a PATCH; says what is wrong with it.
///
/// The target alone means the next start if there is no override yet; `Disabled` or the target `None` end it.
pub(super) fn take(bmc: &Bmc, now: Now, patch: &mut Patch) -> Option<Wanted> {
    const ENABLE: &str = "/Boot/BootSourceOverrideEnabled";
    const MODE: &str = "/Boot/BootSourceOverrideMode";
    if !patch.has("/Boot") {
        return None;
    }
    let settings = &bmc.redfish.settings.boot;
    if let Some(lock) = &settings.post_lock {
        let limit = Duration::from_secs(lock.seconds.into());
        let booted = bmc.redfish.booted.filter(|_| bmc.power().is_on());
        if booted.is_some_and(|booted| now.up.saturating_sub(booted) < limit) {
            patch.wrong(Message::foreign(&lock.message, "The firmware is starting the machine."));
        }
    }
    let has = (patch.has(TARGET), patch.has(ENABLE), patch.has(MODE));
    if settings.partial == Partial::Refused && has != (true, true, true) {
        for (pointer, has) in [(TARGET, has.0), (ENABLE, has.1), (MODE, has.2)] {
            if !has {
                let name = pointer.rsplit('/').next().unwrap_or(pointer);
                patch.wrong(Message::new(Key::PropertyMissing, &[name]).about(pointer));
            }
        }
        return None;
    }
    if settings.takes_mode {
        patch.choice(MODE, &[(mode(bmc), ())]);
    } else if has.2 {
        patch.wrong(Message::new(Key::PropertyNotWritable, &["BootSourceOverrideMode"]).about(MODE));
    }
    let target = patch.choice(TARGET, &targets(bmc));
    let enabled = patch.choice(ENABLE, &ENABLED);
    let http = take_url(bmc, patch);
    let over = bmc.boot_override();
    let next = take_next(bmc, patch);
    let target = with_option(patch, target, next, over);
    if settings.refuses_none && target == Some(None) {
        patch.refuse(TARGET, Key::PropertyValueNotInList, &json!("None"));
    }
    let (target, enabled) = match settings.partial {
        Partial::Defaults => (target.or(Some(None)), enabled.or(Some(Enabled::Disabled))),
        Partial::Kept | Partial::Refused => (target, enabled),
    };
    let now = match over {
        None => None,
        Some(over) if over.is_persistent => Some(Enabled::Continuous),
        Some(_) => Some(Enabled::Once),
    };
    let device = target.unwrap_or(over.map(|over| over.device));
    let enabled = match (enabled, target) {
        (Some(enabled), _) => enabled,
        (None, Some(_)) => now.unwrap_or(Enabled::Once),
        (None, None) => return Some(Wanted { over: None, http }),
    };
    let over = match (enabled, device) {
        (Enabled::Disabled, _) => None,
        // The variable BootNext of UEFI is for one boot.
        (Enabled::Continuous, Some(BootDevice::Option(_))) => {
            let names = ["BootSourceOverrideEnabled", "BootSourceOverrideTarget"];
            patch.wrong(Message::new(Key::PropertyValueConflict, &names).about(ENABLE));
            None
        }
        (Enabled::Once | Enabled::Continuous, Some(device)) => {
            Some(Override { device, is_persistent: enabled == Enabled::Continuous })
        }
        // The target None is no override, whatever is said of it.
        (Enabled::Once | Enabled::Continuous, None) => {
            if target.is_none() && !has.0 {
                let missing = Message::new(Key::PropertyMissing, &["BootSourceOverrideTarget"]);
                patch.wrong(missing.about(TARGET));
            }
            None
        }
    };
    if settings.refuses_unchanged && over == bmc.boot_override() && http.is_none() {
        patch.wrong(Message::new(Key::NoOperation, &[]));
    }
    Some(Wanted { over: Some(over), http })
}

/// Puts the boot option into a target that stands for any of them.
fn with_option(
    patch: &mut Patch,
    target: Option<Option<BootDevice>>,
    next: Option<BootDevice>,
    over: Option<Override>,
) -> Option<Option<BootDevice>> {
    let current = over.map(|over| over.device).filter(|device| matches!(device, BootDevice::Option(_)));
    match target {
        Some(Some(BootDevice::Option(_))) => {
            let next = next.or(current);
            if next.is_none() {
                patch.wrong(Message::new(Key::PropertyMissing, &["BootNext"]).about(NEXT));
            }
            Some(next)
        }
        None if next.is_some() && current.is_none() => {
            let missing = Message::new(Key::PropertyMissing, &["BootSourceOverrideTarget"]);
            patch.wrong(missing.about(TARGET));
            None
        }
        None => next.map(Some),
        target => target,
    }
}

/// Takes the boot option that comes next; null is none.
fn take_next(bmc: &Bmc, patch: &mut Patch) -> Option<BootDevice> {
    let inventory = &bmc.identity.inventory;
    if !inventory.is_uefi() {
        return None;
    }
    let text = patch.text_or_null(NEXT)??;
    let found = inventory.boot_options.iter().find(|option| reference(option.number) == text);
    if found.is_none() {
        patch.refuse(NEXT, Key::PropertyValueNotInList, &Value::String(text));
    }
    found.map(|option| BootDevice::Option(option.number))
}

fn take_url(bmc: &Bmc, patch: &mut Patch) -> Option<Option<String>> {
    const URL: &str = "/Boot/HttpBootUri";
    if !bmc.identity.inventory.is_uefi() {
        return None;
    }
    match patch.text_or_null(URL)? {
        None => Some(None),
        Some(text) if text.is_empty() => Some(None),
        // A firmware takes no user and password.
        Some(text) => match url::check(&text) {
            Ok(url) if url.credentials.is_none() => Some(Some(url.text)),
            Ok(_) | Err(url::Refused::Syntax) => {
                patch.refuse(URL, Key::PropertyValueFormatError, &Value::String(url::shown(&text)));
                None
            }
            Err(_) => {
                patch.wrong(Message::new(Key::AccessDenied, &[&url::shown(&text)]).about(URL));
                None
            }
        },
    }
}

/// Applies what a request asked for.
pub(super) fn apply(bmc: &mut Bmc, wanted: Wanted) {
    if let Some(http) = wanted.http {
        bmc.set_http_boot(http);
    }
    if let Some(over) = wanted.over {
        bmc.set_override(over);
    }
}

/// Returns the reference of a boot option.
pub(super) fn reference(number: u16) -> String {
    format!("Boot{number:04X}")
}

/// Returns a boot option.
pub(super) fn option(bmc: &Bmc, index: usize) -> Option<Value> {
    let option = bmc.identity.inventory.boot_options.get(index)?;
    let id = reference(option.number);
    let alias = match option.device {
        BootDevice::Pxe => "Pxe",
        BootDevice::Disk => "Hdd",
        BootDevice::Cd => "Cd",
        BootDevice::Usb => "Usb",
        BootDevice::Setup => "BiosSetup",
        BootDevice::Http => "UefiHttp",
        BootDevice::Option(_) => "None",
    };
    let uri = format!("{}/BootOptions/{id}", bmc.redfish.settings.system_uri());
    let mut rest = json!({
        "BootOptionReference": id,
        "DisplayName": option.name,
        "BootOptionEnabled": true,
        "Alias": alias,
    });
    if !option.path.is_empty() {
        rest["UefiDevicePath"] = json!(option.path);
    }
    Some(resource("BootOption", &uri, &id, &option.name, rest))
}
