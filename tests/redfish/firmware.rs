//! What Redfish has a UEFI firmware do: Secure Boot and its keys, HTTP boot, boot options, settings.

use std::fs;

use serde_json::Value;

use crate::common::wait_for;
use crate::terminal::{BOOT, Terminal};
use crate::{answers, boot_of, curl, open, pair, read, sends, until_power};

/// The system of node `c`, which has Secure Boot and a disk without a system.
const SYSTEM: &str = "https://10.91.1.51/redfish/v1/Systems/1";

#[test]
fn is_told_by_redfish() {
    let mut terminal = open(&[]);
    let patch = |what: &str, body: &str| curl(&format!("{} {SYSTEM}{what}", sends("PATCH", body)));
    answers(&mut terminal, &patch("/SecureBoot", "{\"SecureBootEnable\": false}"), 200);
    answers(&mut terminal, &patch("/Bios/Settings", "{\"Attributes\": {\"BootTimeout\": 1}}"), 200);
    // At the first start of all, before the firmware has written a boot entry.
    let url = "{\"Boot\": {\"BootSourceOverrideTarget\": \"UefiHttp\", \"BootSourceOverrideEnabled\": \"Once\", \
               \"HttpBootUri\": \"http://10.91.0.1/first.efi\"}}";
    answers(&mut terminal, &patch("", url), 200);
    reset(&mut terminal, "On");
    until_event(&terminal, "GET /first.efi");
    assert_eq!(boot_of(&terminal, SYSTEM), pair("Disabled", "None"));
    assert_eq!(secure_boot(&terminal), (false, "Disabled".to_owned(), "UserMode".to_owned()));
    assert_eq!(read(&terminal, &format!("{SYSTEM}/Bios"))["Attributes"]["BootTimeout"], 1);

    // The platform key goes, so nothing is checked any more, whatever is wanted.
    let keys = |kind: &str| {
        let body = sends("POST", &format!("{{\"ResetKeysType\": \"{kind}\"}}"));
        curl(&format!("{body} {SYSTEM}/SecureBoot/Actions/SecureBoot.ResetKeys"))
    };
    answers(&mut terminal, &keys("DeletePK"), 204);
    answers(&mut terminal, &patch("/SecureBoot", "{\"SecureBootEnable\": true}"), 200);
    reset(&mut terminal, "ForceRestart");
    let setup = (true, "Disabled".to_owned(), "SetupMode".to_owned());
    wait_for("setup mode", BOOT, || (secure_boot(&terminal) == setup).then_some(()));

    // An entry that the firmware has made itself.
    let option = wait_for("a boot option for PXE", BOOT, || {
        let options = read(&terminal, &format!("'{SYSTEM}/BootOptions?$expand=.'"))["Members"].clone();
        let is_pxe = |option: &&Value| option["Alias"] == "Pxe";
        options.as_array()?.iter().find(is_pxe).cloned()
    });
    let number = option["BootOptionReference"].as_str().expect("text");
    let next = format!(
        "{{\"Boot\": {{\"BootSourceOverrideTarget\": \"UefiBootNext\", \"BootNext\": \"{number}\"}}}}"
    );
    answers(&mut terminal, &patch("", &next), 200);
    assert_eq!(boot_of(&terminal, SYSTEM), pair("Once", "UefiBootNext"));
    answers(&mut terminal, &keys("ResetAllKeysToDefault"), 204);
    // Off, so that all that is said from now on is of the next start.
    reset(&mut terminal, "ForceOff");
    until_power(&terminal, SYSTEM, "Off");
    let before = tried(&terminal).len();
    reset(&mut terminal, "On");
    let first = wait_for("what the firmware tries", BOOT, || tried(&terminal).get(before).cloned());
    assert!(first.contains(number), "{number}: {first}");
    assert_eq!(boot_of(&terminal, SYSTEM), pair("Disabled", "None"));
    let user = (true, "Enabled".to_owned(), "UserMode".to_owned());
    wait_for("user mode", BOOT, || (secure_boot(&terminal) == user).then_some(()));
    terminal.close();
}

#[track_caller]
fn reset(terminal: &mut Terminal, kind: &str) {
    let reset = sends("POST", &format!("{{\"ResetType\": \"{kind}\"}}"));
    answers(terminal, &curl(&format!("{reset} {SYSTEM}/Actions/ComputerSystem.Reset")), 204);
}

/// Returns what the firmware has said of boot entries that it tried.
fn tried(terminal: &Terminal) -> Vec<String> {
    let log = fs::read(terminal.file("node/c/console.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).into_owned();
    // The last line may be incomplete.
    let (log, _) = log.rsplit_once('\n').unwrap_or_default();
    log.lines().filter(|line| line.contains("BdsDxe: ")).map(str::to_owned).collect()
}

#[track_caller]
fn until_event(terminal: &Terminal, text: &str) {
    wait_for(text, BOOT, || terminal.dryrack(&["trace", "--events"]).contains(text).then_some(()));
}

/// Whether Secure Boot is wanted, whether it is in force, and the mode.
#[track_caller]
fn secure_boot(terminal: &Terminal) -> (bool, String, String) {
    let state = read(terminal, &format!("{SYSTEM}/SecureBoot"));
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
    (state["SecureBootEnable"] == true, text("SecureBootCurrentBoot"), text("SecureBootMode"))
}
