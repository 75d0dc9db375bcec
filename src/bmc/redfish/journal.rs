//! The one event log of the machine, in two services: as records of IPMI, and as events.

use serde_json::{Value, json};

use super::message::filled;
use super::odata::{healthy, link, resource, time};
use super::place::{LogKind, Registry};
use crate::bmc::log::{BootFailure, CAPACITY, Entry, Loaded, Logged, WatchdogAction};
use crate::bmc::power::RestartCause;
use crate::bmc::{Bmc, Now};

/// A message of the registry of Dryrack: its key, its severity, its text with arguments, and how many those are.
pub(super) struct Event {
    pub(super) key: &'static str,
    pub(super) severity: &'static str,
    pub(super) text: &'static str,
    pub(super) arguments: usize,
}

const fn event(key: &'static str, severity: &'static str, text: &'static str, arguments: usize) -> Event {
    Event { key, severity, text, arguments }
}

/// The messages of the registry of Dryrack.
pub(super) static EVENTS: [Event; 10] = [
    event("LogCleared", "OK", "The event log was cleared.", 0),
    event("PowerOff", "OK", "The machine is off.", 0),
    event("PowerOn", "OK", "The machine is on.", 0),
    event("BootInitiated", "OK", "A boot began: %1.", 1),
    event("PxeRequested", "OK", "The boot is to be from the network.", 0),
    event("Booted", "OK", "An operating system was loaded from %1.", 1),
    event("BootFailed", "Warning", "The boot failed: %1.", 1),
    event("WatchdogExpired", "Warning", "The watchdog expired: %1.", 1),
    event("ClientRecord", "OK", "A client added the record %1.", 1),
    event("PowerCycle", "OK", "The machine is powered off and on again: %1.", 1),
];

/// What an entry says.
pub(super) struct Told {
    pub(super) event: &'static Event,
    pub(super) arguments: Vec<String>,
    kind: &'static str,
    number: u8,
}

impl Told {
    /// Returns the identifier of the message.
    pub(super) fn id(&self) -> String {
        format!("Dryrack.1.0.{}", self.event.key)
    }

    /// Returns the text of the message.
    pub(super) fn text(&self) -> String {
        filled(self.event.text, &self.arguments)
    }
}

/// Says what an entry means.
pub(super) fn told(entry: &Entry) -> Told {
    let (index, argument, kind) = match entry.what {
        Logged::Cleared => (0, None, "Event Logging Disabled"),
        Logged::PowerOff => (1, None, "PowerUnit"),
        Logged::PowerOn => (2, None, "System ACPI PowerState"),
        Logged::PowerCycle { for_settings } => {
            let why = if for_settings { "settings of the firmware" } else { "power command" };
            (9, Some(why), "PowerUnit")
        }
        Logged::PoweredUp(cause) | Logged::Restarted { cause, by_cycle: _ } => {
            (3, Some(cause_text(cause)), "SystemBoot/Restart")
        }
        Logged::PxeRequested => (4, None, "SystemBoot/Restart"),
        Logged::Booted(from) => {
            let from = match from {
                Loaded::Disk => "a disk",
                Loaded::Network => "the network",
                Loaded::Cd => "a CD",
                Loaded::Unspecified => "an unknown device",
            };
            (5, Some(from), "BaseOSBoot/InstallationStatus")
        }
        Logged::BootFailed(why) => {
            let why = match why {
                BootFailure::NoMedium => "no medium to boot from",
                BootFailure::NoPxeServer => "no PXE server",
            };
            (6, Some(why), "Boot Error")
        }
        Logged::Watchdog(action) => {
            let action = match action {
                WatchdogAction::Nothing => "no action",
                WatchdogAction::Reset => "hard reset",
                WatchdogAction::Off => "power off",
                WatchdogAction::Cycle => "power cycle",
            };
            (7, Some(action), "Watchdog")
        }
        Logged::Foreign { .. } => (8, None, "OEM"),
    };
    let record = entry.record();
    let arguments = match entry.what {
        Logged::Foreign { .. } => vec![hex(&record)],
        _ => argument.into_iter().map(str::to_owned).collect(),
    };
    let number = record.get(11).copied().unwrap_or_default();
    Told { event: &EVENTS[index], arguments, kind, number }
}

fn cause_text(cause: RestartCause) -> &'static str {
    match cause {
        RestartCause::Unknown => "unknown cause",
        RestartCause::Command => "power command",
        RestartCause::Button => "power button",
        RestartCause::Watchdog => "watchdog",
        RestartCause::Soft => "restart by the system",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn service_uri(bmc: &Bmc, kind: LogKind) -> String {
    format!("{}/LogServices/{}", bmc.redfish.settings.system_uri(), kind.id())
}

/// Returns the URI of an entry as an event.
pub(super) fn entry_uri(bmc: &Bmc, kind: LogKind, id: u16) -> String {
    format!("{}/Entries/{id}", service_uri(bmc, kind))
}

/// Returns a log service.
pub(super) fn service(bmc: &Bmc, now: Now, kind: LogKind) -> Value {
    let uri = service_uri(bmc, kind);
    let (name, log) = match kind {
        LogKind::Sel => ("System Event Log", "SEL"),
        LogKind::Event => ("Event Log", "Event"),
    };
    resource(
        "LogService",
        &uri,
        kind.id(),
        name,
        json!({
            "ServiceEnabled": true,
            "LogEntryType": log,
            "MaxNumberOfRecords": CAPACITY,
            "OverWritePolicy": "WrapsWhenFull",
            "DateTime": time(now.unix),
            "DateTimeLocalOffset": "+00:00",
            "Status": healthy(),
            "Entries": link(&format!("{uri}/Entries")),
            "Actions": {
                "#LogService.ClearLog": { "target": format!("{uri}/Actions/LogService.ClearLog") },
            },
        }),
    )
}

/// Returns the entries of a log service.
pub(super) fn entries(bmc: &Bmc, kind: LogKind) -> Value {
    let members: Vec<Value> = bmc.log.entries().map(|entry| shown(bmc, kind, entry)).collect();
    json!({
        "@odata.id": format!("{}/Entries", service_uri(bmc, kind)),
        "@odata.type": super::odata::odata_type("LogEntryCollection"),
        "Name": "Log entries",
        "Members@odata.count": members.len(),
        "Members": members,
    })
}

/// Returns an entry.
pub(super) fn entry(bmc: &Bmc, kind: LogKind, id: u16) -> Option<Value> {
    let entry = bmc.log.entries().find(|entry| entry.id == id)?;
    Some(shown(bmc, kind, entry))
}

fn shown(bmc: &Bmc, kind: LogKind, entry: &Entry) -> Value {
    let told = told(entry);
    let mut rest = json!({
        "Created": time(entry.at),
        "Severity": told.event.severity,
        "Message": told.text(),
        "MessageId": told.id(),
        "MessageArgs": told.arguments,
    });
    match kind {
        LogKind::Sel => {
            rest["EntryType"] = json!("SEL");
            rest["EntryCode"] = json!("Assert");
            rest["SensorType"] = json!(told.kind);
            rest["SensorNumber"] = json!(told.number);
            if told.kind == "OEM" {
                rest["OemSensorType"] = json!("Record of a client");
            }
        }
        LogKind::Event => {
            rest["EntryType"] = json!("Event");
            rest["EventId"] = json!(entry.id.to_string());
        }
    }
    let name = format!("Log entry {}", entry.id);
    resource("LogEntry", &entry_uri(bmc, kind, entry.id), &entry.id.to_string(), &name, rest)
}

/// Returns the registry of Dryrack.
pub(super) fn registry() -> Value {
    let message = |event: &Event| {
        let text = event.text;
        let kinds = vec!["string"; event.arguments];
        let mut message = json!({
            "Description": text,
            "Message": text,
            "MessageSeverity": event.severity,
            "NumberOfArgs": event.arguments,
            "Resolution": "None.",
        });
        if !kinds.is_empty() {
            message["ParamTypes"] = json!(kinds);
        }
        (event.key.to_owned(), message)
    };
    resource(
        "MessageRegistry",
        &format!("/redfish/v1/Registries/{}/Registry", Registry::Dryrack.id()),
        Registry::Dryrack.id(),
        "Registry of Dryrack",
        json!({
            "Language": "en",
            "RegistryPrefix": "Dryrack",
            "RegistryVersion": "1.0.0",
            "OwningEntity": "Dryrack",
            "Messages": EVENTS.iter().map(message).collect::<serde_json::Map<_, _>>(),
        }),
    )
}
