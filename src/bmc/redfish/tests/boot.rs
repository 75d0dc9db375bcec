//! Power and the boot override.

use super::*;
use crate::bmc::boot::Override;
use crate::bmc::log::Log;
use crate::bmc::power::Happening;

fn over(device: BootDevice, is_persistent: bool) -> Option<Override> {
    Some(Override { device, is_persistent })
}

#[track_caller]
fn set(bmc: &mut Bmc, boot: Value) -> (u16, Vec<String>) {
    let (status, body) = patch(bmc, SYSTEM, &json!({ "Boot": boot }));
    (status, messages(&body))
}

#[test]
fn an_override_is_shown_ordered_and_used() {
    let mut bmc = bmc();
    let (status, system) = patch(
        &mut bmc,
        SYSTEM,
        &json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } }),
    );
    assert_eq!((status, &system["Boot"]["BootSourceOverrideTarget"]), (200, &json!("Pxe")));
    assert_eq!(orders(&mut bmc), [Order::Boot(over(BootDevice::Pxe, false))]);
    assert_eq!(reset(&mut bmc, "ForceRestart"), 204);
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Reset)]);
    bmc.overridden(at(11), None);
    let boot = get(&mut bmc, SYSTEM)["Boot"].clone();
    assert_eq!(boot["BootSourceOverrideEnabled"], "Disabled");
    assert_eq!(boot["BootSourceOverrideTarget"], "None");
}

#[test]
fn every_client_sends_another_part() {
    let mut bmc = bmc();
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideTarget": "Hdd" })).0, 200);
    assert_eq!(bmc.boot_override(), over(BootDevice::Disk, false));
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideEnabled": "Continuous" })).0, 200);
    assert_eq!(bmc.boot_override(), over(BootDevice::Disk, true));
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideTarget": "Cd" })).0, 200);
    assert_eq!(bmc.boot_override(), over(BootDevice::Cd, true));
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideMode": "UEFI" })).0, 200);
    assert_eq!(bmc.boot_override(), over(BootDevice::Cd, true));
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideEnabled": "Disabled" })).0, 200);
    assert_eq!(bmc.boot_override(), None);
    let nothing = set(&mut bmc, json!({ "BootSourceOverrideEnabled": "Once" }));
    assert_eq!(nothing, (400, vec!["PropertyMissing".to_owned()]));
    let none =
        set(&mut bmc, json!({ "BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Once" }));
    assert_eq!((none.0, bmc.boot_override()), (200, None));
}

#[test]
fn a_wrong_value_changes_nothing() {
    let mut bmc = bmc();
    let boot = json!({
        "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": "Legacy",
    });
    assert_eq!(set(&mut bmc, boot), (400, vec!["PropertyValueNotInList".to_owned()]));
    assert_eq!((bmc.boot_override(), orders(&mut bmc)), (None, vec![]));
    let mut bios = bmc_with(FirmwareKind::Bios);
    let http = set(&mut bios, json!({ "BootSourceOverrideTarget": "UefiHttp" }));
    assert_eq!(http, (400, vec!["PropertyValueNotInList".to_owned()]));
    assert_eq!(set(&mut bios, json!({ "BootSourceOverrideMode": "Legacy" })).0, 200);
    // The order is that of the firmware.
    assert_eq!(set(&mut bmc, json!({ "BootOrder": [] })), (400, vec!["PropertyNotWritable".to_owned()]));
}

#[test]
fn http_boot_has_a_url_of_the_lab() {
    let mut bmc = bmc();
    let url = "http://10.0.0.1/boot.efi";
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideTarget": "UefiHttp", "HttpBootUri": url })).0, 200);
    assert_eq!(
        orders(&mut bmc),
        [Order::HttpBoot(Some(url.to_owned())), Order::Boot(over(BootDevice::Http, false))]
    );
    for (url, why) in [
        ("http://127.0.0.1/", "AccessDenied"),
        ("file:///x", "AccessDenied"),
        ("http://u:p@10.0.0.1/", "PropertyValueFormatError"),
        ("x", "PropertyValueFormatError"),
    ] {
        assert_eq!(set(&mut bmc, json!({ "HttpBootUri": url })), (400, vec![why.to_owned()]), "{url}");
    }
    // As sushy does with another target.
    assert_eq!(set(&mut bmc, json!({ "BootSourceOverrideTarget": "Pxe", "HttpBootUri": null })).0, 200);
    assert_eq!(bmc.http_boot(), None);
}

#[test]
fn a_boot_option_may_come_next() {
    let mut bmc = bmc();
    let next = |name: &str| json!({ "BootSourceOverrideTarget": "UefiBootNext", "BootNext": name });
    assert_eq!(
        set(&mut bmc, next("Boot0001")),
        (400, vec!["PropertyValueNotInList".to_owned(), "PropertyMissing".to_owned()])
    );
    let alone = json!({ "BootNext": "Boot001A" });
    assert_eq!(set(&mut bmc, alone), (400, vec!["PropertyMissing".to_owned()]));
    let alone = json!({ "BootSourceOverrideTarget": "UefiBootNext" });
    assert_eq!(set(&mut bmc, alone), (400, vec!["PropertyMissing".to_owned()]));
    assert_eq!(set(&mut bmc, next("Boot001A")).0, 200);
    assert_eq!(orders(&mut bmc), [Order::Boot(over(BootDevice::Option(0x1A), false))]);
    let boot = get(&mut bmc, SYSTEM)["Boot"].clone();
    assert_eq!(
        (&boot["BootSourceOverrideTarget"], &boot["BootNext"]),
        (&json!("UefiBootNext"), &json!("Boot001A"))
    );
    let lasting = set(&mut bmc, json!({ "BootSourceOverrideEnabled": "Continuous" }));
    assert_eq!(lasting, (400, vec!["PropertyValueConflict".to_owned()]));
}

#[test]
fn ipmi_shows_what_redfish_set_and_does_not_end_it() {
    let mut bmc = bmc();
    set(&mut bmc, json!({ "BootSourceOverrideTarget": "Pxe" }));
    bmc.tick(at(1000));
    let asker = crate::bmc::command::Asker {
        channel: crate::bmc::command::Channel::Lan,
        level: crate::bmc::ipmi::privilege::Privilege::Administrator,
    };
    let shown = bmc.answer(at(1000), asker, 0, 9, &[5, 0, 0]).unwrap();
    assert_eq!(shown, [1, 5, 0x80, 0x04, 0, 0, 0]);
}

#[test]
fn resets_end_in_their_states() {
    let mut bmc = bmc();
    assert_eq!(reset(&mut bmc, "On"), 204);
    assert_eq!(orders(&mut bmc), []);
    assert_eq!(reset(&mut bmc, "GracefulRestart"), 204);
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Soft)]);
    bmc.happened(at(11), Happening::PoweredOff { by_guest: true });
    assert_eq!(orders(&mut bmc), [Order::Power(Control::On)]);
    // The power-on is told after the restart was asked for.
    assert_eq!(reset(&mut bmc, "GracefulRestart"), 204);
    bmc.happened(at(12), Happening::PoweredOn);
    bmc.happened(at(13), Happening::PoweredOff { by_guest: true });
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Soft), Order::Power(Control::On)]);
    // A system that ignores the request, and is shut down an hour later.
    assert_eq!(reset(&mut bmc, "GracefulRestart"), 204);
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Soft)]);
    bmc.happened(at(3600), Happening::PoweredOff { by_guest: true });
    assert_eq!(orders(&mut bmc), []);
    assert_eq!(reset(&mut bmc, "On"), 204);
    bmc.orders();
    assert_eq!(reset(&mut bmc, "GracefulShutdown"), 204);
    bmc.happened(at(12), Happening::PoweredOff { by_guest: true });
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Soft)]);
    assert_eq!(get(&mut bmc, SYSTEM)["PowerState"], "Off");
    assert_eq!(reset(&mut bmc, "Nmi"), 409);
    assert_eq!(reset(&mut bmc, "ForceOff"), 204);
    assert_eq!(reset(&mut bmc, "PowerCycle"), 204);
    assert_eq!(orders(&mut bmc), [Order::Power(Control::On)]);
    assert_eq!(reset(&mut bmc, "PushPowerButton"), 204);
    assert_eq!(orders(&mut bmc), [Order::Power(Control::Soft)]);
    let target = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let refused = |bmc: &mut Bmc, body: Value| {
        let (status, body) = post(bmc, &target, &body);
        (status, messages(&body).concat())
    };
    assert_eq!(refused(&mut bmc, json!({})), (400, "ActionParameterMissing".to_owned()));
    assert_eq!(
        refused(&mut bmc, json!({ "ResetType": "Explode" })),
        (400, "ActionParameterValueNotInList".to_owned())
    );
    assert_eq!(
        refused(&mut bmc, json!({ "ResetType": 1 })),
        (400, "ActionParameterValueTypeError".to_owned())
    );
    assert_eq!(
        refused(&mut bmc, json!({ "ResetType": "On", "x": 1 })),
        (400, "ActionParameterUnknown".to_owned())
    );
    // gofish sends the ETag of the system with actions.
    let head = [("authorization", basic("admin", PASSWORD)), ("if-match", "\"stale\"".to_owned())];
    let head: Vec<(&str, &str)> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = done(answer(&mut bmc, &request(Method::POST, &target, &head, "{\"ResetType\":\"On\"}")));
    assert_eq!(reply.status, 204);
}

/// What the log says of power and starts, each with the type of its sensor and its offset.
fn told(bmc: &mut Bmc) -> String {
    let lines = bmc.log.entries().map(|entry| {
        let record = entry.record();
        format!("{:02x} {:02x} {}\n", record[10], record[13] & 0x0F, entry.what)
    });
    let told = lines.collect();
    bmc.log = Log::default();
    told
}

#[test]
fn the_log_tells_a_cycle_a_reset_and_an_off_apart() {
    use Happening::{PoweredOff, PoweredOn, Reset};
    let (off, on, reset_done) = (PoweredOff { by_guest: false }, PoweredOn, Reset { by_guest: false });
    let mut bmc = bmc();
    bmc.happened(at(1), on);
    told(&mut bmc);
    let mut second = 10;
    let mut after = |bmc: &mut Bmc, kind: &str, happenings: &[Happening]| {
        assert_eq!(reset(bmc, kind), 204);
        for happening in happenings {
            second += 10;
            bmc.happened(at(second), *happening);
        }
        told(bmc)
    };
    insta::assert_snapshot!(after(&mut bmc, "PowerCycle", &[off, on]), @"
    09 01 power cycle
    22 00 power on
    1d 00 boot initiated by power-on, by a command to the BMC
    ");
    insta::assert_snapshot!(after(&mut bmc, "ForceRestart", &[reset_done]), @"1d 01 boot initiated by reset, by a command to the BMC");
    // The node powers the machine off and on, because something of its start is another.
    insta::assert_snapshot!(after(&mut bmc, "ForceRestart", &[off, on]), @"1d 01 boot initiated by reset, by a command to the BMC (a power cycle, for what changes with this start)");
    insta::assert_snapshot!(after(&mut bmc, "ForceOff", &[off]), @"09 00 power off");
    insta::assert_snapshot!(after(&mut bmc, "On", &[on]), @"
    22 00 power on
    1d 00 boot initiated by power-on, by a command to the BMC
    ");
    bmc.orders();
    let settings = "/redfish/v1/Systems/1/Bios/Settings";
    let change = |bmc: &mut Bmc, seconds: u8| {
        assert_eq!(patch(bmc, settings, &json!({ "Attributes": { "BootTimeout": seconds } })).0, 200);
    };
    // So does the BMC itself, for settings of the firmware.
    change(&mut bmc, 3);
    insta::assert_snapshot!(after(&mut bmc, "ForceRestart", &[off, on]), @"1d 01 boot initiated by reset, by a command to the BMC (a power cycle, for what changes with this start)");
    assert!(matches!(orders(&mut bmc)[..], [Order::Firmware(_), Order::Power(Control::Cycle)]));
    // Nobody asked for a cycle, but the system restarted.
    change(&mut bmc, 4);
    bmc.happened(at(500), Reset { by_guest: true });
    insta::assert_snapshot!(told(&mut bmc), @"
    1d 02 boot initiated by reset, by the system itself
    09 01 power cycle, for new settings of the firmware
    ");
    assert!(matches!(orders(&mut bmc)[..], [Order::Firmware(_), Order::Power(Control::Cycle)]));
    // One that cannot be carried out is forgotten.
    bmc.happened(at(501), off);
    bmc.happened(at(502), on);
    assert_eq!(reset(&mut bmc, "ForceRestart"), 204);
    bmc.failed(at(503));
    told(&mut bmc);
    bmc.happened(at(600), PoweredOff { by_guest: true });
    bmc.happened(at(601), on);
    insta::assert_snapshot!(told(&mut bmc), @"
    09 00 power off
    22 00 power on
    1d 00 boot initiated by power-on, by the power button
    ");
}
