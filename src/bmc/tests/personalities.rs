//! What makers do differently, as clients see it.

use serde_json::json;

use super::super::boot::{BootDevice, Override};
use super::super::ipmi::client::Error;
use super::super::ipmi::sol::bmc::SolOrder;
use super::super::ipmi::suite::Cipher;
use super::super::power::{Control, Happening};
use super::*;

const ONCE: Override = Override { device: BootDevice::Pxe, is_persistent: false };

fn uefi(personality: Personality) -> Rig {
    Rig::new(personality, FirmwareKind::Uefi)
}

fn pxe() -> Value {
    json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } })
}

/// The fields of the FRU inventory that have text.
fn fru(rig: &mut Rig, client: &mut Client) -> String {
    let bytes = rig.done(client, 0x0A, 0x11, &[0, 0, 0, 200]);
    String::from_utf8_lossy(&bytes[1..]).into_owned()
}

#[test]
fn each_is_told_by_its_numbers_and_names() {
    let table = [
        (Personality::Dryrack, "Dryrack", [0, 0, 0], 1, "1", "1"),
        (Personality::Dell, "Dell", [0xA2, 0x02, 0], 256, "System.Embedded.1", "iDRAC.Embedded.1"),
        (Personality::Hpe, "HPE", [11, 0, 0], 8192, "1", "1"),
        (Personality::Supermicro, "Supermicro", [0x7C, 0x2A, 0], 2402, "1", "1"),
        (Personality::Lenovo, "Lenovo", [0x66, 0x4A, 0], 1680, "1", "1"),
        (Personality::Ami, "AMI", [0xEE, 0x51, 0], 0, "Self", "Self"),
        (Personality::Openbmc, "OpenBMC", [0, 0, 0], 0, "system", "bmc"),
    ];
    assert_eq!(table.map(|row| row.0), Personality::ALL);
    for (personality, vendor, manufacturer, product, system, manager) in table {
        let mut rig = uefi(personality);
        let mut client = rig.log_in();
        let device = rig.done(&mut client, 0x06, 0x01, &[]);
        assert_eq!(
            (&device[6..9], u16::from_le_bytes([device[9], device[10]])),
            (&manufacturer[..], product)
        );
        assert_eq!(rig.get("/redfish/v1/")["Vendor"], vendor);
        let of_system = rig.get("/redfish/v1/Systems?only");
        assert_eq!(of_system["Id"], system);
        let uri = of_system["Links"]["ManagedBy"][0]["@odata.id"].as_str().unwrap().to_owned();
        assert_eq!(rig.get(&uri)["Id"], manager);
        let maker = personality.traits().machine.map_or("Dryrack", |(maker, _)| maker);
        assert_eq!(of_system["Manufacturer"], maker);
        let fru = fru(&mut rig, &mut client);
        assert!(fru.contains(maker) && fru.contains(of_system["Model"].as_str().unwrap()), "{fru}");
        assert!(fru.contains("DR0001"), "the serial number is that of the machine: {fru}");
    }
}

#[test]
fn dell_has_few_sessions_and_settings_need_a_job() {
    let mut rig = uefi(Personality::Dell);
    assert!(
        rig.get("/redfish/v1/Managers/iDRAC.Embedded.1")["FirmwareVersion"]
            .as_str()
            .unwrap()
            .starts_with('7')
    );
    let system = "/redfish/v1/Systems/System.Embedded.1";
    assert_eq!(rig.get(system)["LastResetTime"], "0000-00-00T00:00:00+00:00");
    let login = json!({ "UserName": "admin", "Password": PASSWORD });
    for _ in 0..8 {
        assert_eq!(rig.post("/redfish/v1/SessionService/Sessions", &login).0, 201);
    }
    let (status, body) = rig.post("/redfish/v1/SessionService/Sessions", &login);
    assert_eq!((status, message(&body)), (503, "IDRAC.2.8.RAC0218"));

    let timeout = |seconds: u32| json!({ "Attributes": { "BootTimeout": seconds } });
    let (bios, settings) = (format!("{system}/Bios"), format!("{system}/Bios/Settings"));
    assert_eq!(rig.patch(&settings, &timeout(5)).0, 200);
    assert_eq!(rig.get(&settings)["Attributes"]["BootTimeout"], 5);
    let reset = format!("{system}/Actions/ComputerSystem.Reset");
    rig.post(&reset, &json!({ "ResetType": "ForceRestart" }));
    assert_eq!(rig.get(&bios)["Attributes"]["BootTimeout"], 0, "no job was made");
    let mut job = json!({ "Attributes": { "Virtualization": "Disabled" } });
    job["@Redfish.SettingsApplyTime"] = json!({ "ApplyTime": "OnReset" });
    assert_eq!(rig.patch(&settings, &job).0, 200);
    rig.post(&reset, &json!({ "ResetType": "ForceRestart" }));
    let now = rig.get(&bios)["Attributes"].clone();
    assert_eq!((&now["BootTimeout"], &now["Virtualization"]), (&json!(5), &json!("Disabled")));
}

#[test]
fn hpe_answers_success_as_an_error_and_is_strict_about_boot() {
    let mut rig = uefi(Personality::Hpe);
    let system = "/redfish/v1/Systems/1";
    rig.bmc.happened(rig.now(), Happening::PoweredOn);
    let (status, body) = rig.patch(system, &pxe());
    assert_eq!((status, message(&body)), (400, "iLO.2.14.UnableToModifyDuringSystemPOST"));
    rig.wait(30);
    let (status, body) = rig.patch(system, &pxe());
    assert_eq!((status, body["error"]["code"].as_str()), (200, Some("iLO.0.10.ExtendedInfo")));
    assert_eq!(message(&body), "Base.1.21.Success");
    assert_eq!(rig.bmc.boot_override(), Some(ONCE));
    let (status, body) = rig.patch(system, &pxe());
    assert_eq!((status, message(&body)), (400, "Base.1.21.NoOperation"), "a change that is none");
    let mode = json!({ "Boot": { "BootSourceOverrideTarget": "Hdd", "BootSourceOverrideMode": "UEFI" } });
    assert_eq!(rig.patch(system, &mode).0, 400);
    let none =
        json!({ "Boot": { "BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled" } });
    assert_eq!(rig.patch(system, &none).0, 400);
    let clear =
        json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Disabled" } });
    assert_eq!(rig.patch(system, &clear).0, 200);
    assert_eq!(rig.bmc.boot_override(), None);

    let led = json!({ "IndicatorLED": "Lit" });
    let any = rig.reply(Method::PATCH, system, &[("if-match", "*")], &led);
    assert_eq!(any.status, 412);
    let etag = rig.get(system)["@odata.etag"].as_str().unwrap().to_owned();
    assert_eq!(rig.reply(Method::PATCH, system, &[("if-match", &etag)], &led).status, 200);
    // What was left out is named beside the success.
    let (status, body) = rig.patch(system, &json!({ "IndicatorLED": "Off", "SerialNumber": "x" }));
    let said = body["error"]["@Message.ExtendedInfo"].as_array().unwrap().len();
    assert_eq!((status, said), (200, 2), "{body}");
    let (_, body) =
        rig.patch("/redfish/v1/Systems/1/Bios/Settings", &json!({ "Attributes": { "BootTimeout": 5 } }));
    assert_eq!(message(&body), "iLO.2.14.SystemResetRequired");

    assert_eq!(rig.get("/redfish/v1/Systems/1/VirtualMedia/2")["MediaTypes"], json!(["CD", "DVD"]));
    let eject = "/redfish/v1/Systems/1/VirtualMedia/2/Actions/VirtualMedia.EjectMedia";
    assert_eq!(rig.post(eject, &Value::Null).0, 400);
    let (status, body) = rig.post(eject, &json!({}));
    assert_eq!((status, message(&body)), (200, "Base.1.21.Success"));
}

#[test]
fn supermicro_takes_defaults_for_what_is_missing() {
    let mut rig = uefi(Personality::Supermicro);
    let system = "/redfish/v1/Systems/1";
    assert_eq!(rig.patch(system, &json!({ "Boot": { "BootSourceOverrideTarget": "Pxe" } })).0, 200);
    assert_eq!(rig.bmc.boot_override(), None, "Enabled was missing");
    assert_eq!(rig.patch(system, &pxe()).0, 200);
    assert_eq!(rig.bmc.boot_override(), Some(ONCE));
    let cd = |name: &str| json!({ "Boot": { "BootSourceOverrideTarget": name, "BootSourceOverrideEnabled": "Once" } });
    assert_eq!(rig.patch(system, &cd("Cd")).0, 400);
    assert_eq!(rig.patch(system, &cd("UsbCd")).0, 200);
    let (status, _) = rig.patch(
        "/redfish/v1/Systems/1/Bios/Settings",
        &json!({ "Attributes": { "BootTimeout": 5 }, "@Redfish.SettingsApplyTime": { "ApplyTime": "OnReset" } }),
    );
    assert_eq!(status, 400);
    let insert = "/redfish/v1/Systems/1/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia";
    let image = json!({ "Image": "http://10.0.0.1/a.iso", "Inserted": true });
    assert_eq!(rig.post(insert, &image).0, 400);
    let image = json!({ "Image": "http://10.0.0.1/a.iso" });
    let redfish::Answer::Background(reply, _) = rig.send(Method::POST, insert, &[], &image) else {
        panic!("a task")
    };
    assert_eq!((reply.status.as_u16(), reply.headers.get("location")), (202, None));
}

#[test]
fn supermicro_minds_the_efi_bit_and_forgets_flags_when_off() {
    for (firmware, right, wrong) in [(FirmwareKind::Uefi, 0xA0, 0x80), (FirmwareKind::Bios, 0x80, 0xA0)] {
        let mut rig = Rig::new(Personality::Supermicro, firmware);
        let mut client = rig.log_in();
        rig.done(&mut client, 0x00, 0x08, &[5, wrong, 0x04, 0, 0, 0]);
        assert_eq!(rig.done(&mut client, 0x00, 0x09, &[5, 0, 0])[2..4], [wrong, 0x04], "it is claimed");
        assert_eq!(rig.bmc.orders(), []);
        rig.done(&mut client, 0x00, 0x08, &[5, wrong, 0x08, 0, 0, 0]);
        let disk = Override { device: BootDevice::Disk, is_persistent: false };
        assert_eq!(rig.bmc.orders(), [Order::Boot(Some(disk))], "only PXE minds");
        rig.done(&mut client, 0x00, 0x08, &[5, right, 0x04, 0, 0, 0]);
        assert_eq!(rig.bmc.orders(), [Order::Boot(Some(ONCE))]);
        rig.done(&mut client, 0x00, 0x02, &[0]);
        assert_eq!(rig.bmc.orders(), [Order::Boot(None), Order::Power(Control::Off)]);
        assert_eq!(rig.done(&mut client, 0x00, 0x09, &[5, 0, 0])[2] & 0x80, 0);
    }
}

#[test]
fn supermicro_keeps_flags_over_the_off_of_a_restart() {
    let mut rig = Rig::new(Personality::Supermicro, FirmwareKind::Bios);
    let once = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } });
    assert_eq!(rig.patch("/redfish/v1/Systems/1", &once).0, 200);
    rig.post(
        "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
        &json!({ "ResetType": "GracefulRestart" }),
    );
    rig.bmc.orders();
    rig.bmc.happened(rig.now(), Happening::PoweredOff { by_guest: true });
    assert!(rig.bmc.boot_override().is_some());
    assert_eq!(rig.bmc.orders(), [Order::Power(Control::On)]);
}

#[test]
fn lenovo_takes_images_by_patch_with_an_etag() {
    let mut rig = uefi(Personality::Lenovo);
    let slot = "/redfish/v1/Systems/1/VirtualMedia/EXT1";
    let medium = rig.get(slot);
    assert!(medium.get("Actions").is_none());
    let image = json!({ "Image": "http://10.0.0.1/a.iso", "Inserted": true });
    assert_eq!(rig.patch(slot, &image).0, 412);
    let etag = medium["@odata.etag"].as_str().unwrap().to_owned();
    let redfish::Answer::Pending(pending) = rig.send(Method::PATCH, slot, &[("if-match", &etag)], &image)
    else {
        panic!("pending")
    };
    let now = rig.now();
    redfish::finish(&mut rig.bmc, now, pending, redfish::Outcome::Found);
    assert_eq!(rig.get(slot)["Inserted"], true);
}

#[test]
fn ami_has_boot_in_its_settings_and_takes_any_etag_only() {
    let mut rig = uefi(Personality::Ami);
    let system = "/redfish/v1/Systems/Self";
    let any = [("if-match", "*")];
    assert_eq!(rig.patch(system, &pxe()).0, 428);
    let etag = rig.get(system)["@odata.etag"].as_str().unwrap().to_owned();
    assert_eq!(rig.reply(Method::PATCH, system, &[("if-match", &etag)], &pxe()).status, 412);
    let reply = rig.reply(Method::PATCH, system, &any, &pxe());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status.as_u16(), message(&body)), (400, "Ami.1.0.OperationSupportedInFutureStateURI"));
    let settings = format!("{system}/SD");
    assert_eq!(rig.get(system)["@Redfish.Settings"]["SettingsObject"]["@odata.id"], settings.as_str());
    assert_eq!(rig.reply(Method::PATCH, &settings, &any, &pxe()).status, 400, "the mode is missing");
    let mut whole = pxe();
    whole["Boot"]["BootSourceOverrideMode"] = json!("UEFI");
    assert_eq!(rig.reply(Method::PATCH, &settings, &any, &whole).status, 200);
    assert_eq!(rig.bmc.boot_override(), Some(ONCE));
    let bios = rig.get("/redfish/v1/Systems/Self/Bios");
    let pending = bios["@Redfish.Settings"]["SettingsObject"]["@odata.id"].as_str().unwrap().to_owned();
    assert_eq!(pending, "/redfish/v1/Systems/Self/Bios/SD");
    rig.get(&pending);
}

#[test]
fn openbmc_has_one_suite_and_no_way_to_insert_images() {
    let mut rig = uefi(Personality::Openbmc);
    let old = client::Settings { suites: vec![Cipher::Sha1], ..admin() };
    assert_eq!(rig.log_in_as(old).1, [Event::Failed(Error::NoSuite { tried: vec![3] })]);
    let mut client = rig.log_in();
    assert_eq!(rig.done(&mut client, 0x0C, 0x02, &[1, 23, 0, 0]), [0x11, 0, 17]);
    assert_eq!(rig.bmc.ipmi_settings().sol_order, SolOrder::Next);
    let slot = "/redfish/v1/Systems/system/VirtualMedia/Cd";
    assert!(rig.get(slot).get("Actions").is_none());
    let image = json!({ "Image": "http://10.0.0.1/a.iso" });
    assert_eq!(rig.post(&format!("{slot}/Actions/VirtualMedia.InsertMedia"), &image).0, 404);
    assert_eq!(rig.patch(slot, &image).0, 400);
    assert_eq!(rig.get(slot)["Inserted"], false);
}
