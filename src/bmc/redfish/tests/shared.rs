//! Redfish and IPMI are two faces of one state.

use proptest::prelude::*;

use super::*;
use crate::bmc::command::{Asker, Channel};
use crate::bmc::ipmi::privilege::Privilege;
use crate::bmc::power::Happening;

fn ipmi(bmc: &mut Bmc, netfn: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let asker = Asker { channel: Channel::Lan, level: Privilege::Administrator };
    bmc.answer(at(10), asker, netfn, command, data).unwrap()
}

fn shown(bmc: &mut Bmc) -> (String, String) {
    let boot = get(bmc, SYSTEM)["Boot"].clone();
    let text = |name: &str| boot[name].as_str().unwrap().to_owned();
    (text("BootSourceOverrideTarget"), text("BootSourceOverrideEnabled"))
}

#[test]
fn what_ipmi_sets_redfish_shows() {
    let mut bmc = bmc();
    for (flags, target) in [(0x04, "Pxe"), (0x08, "Hdd"), (0x14, "Cd"), (0x3C, "Usb"), (0x18, "BiosSetup")] {
        ipmi(&mut bmc, 0x00, 0x08, &[5, 0xA0, flags, 0, 0, 0]);
        assert_eq!(shown(&mut bmc), (target.to_owned(), "Once".to_owned()));
        ipmi(&mut bmc, 0x00, 0x08, &[5, 0xE0, flags, 0, 0, 0]);
        assert_eq!(shown(&mut bmc), (target.to_owned(), "Continuous".to_owned()));
    }
    // Flags of IPMI end after a minute.
    bmc.tick(at(71));
    assert_eq!(shown(&mut bmc), ("None".to_owned(), "Disabled".to_owned()));
    ipmi(&mut bmc, 0x00, 0x02, &[0]);
    assert_eq!(get(&mut bmc, SYSTEM)["PowerState"], "Off");
    ipmi(&mut bmc, 0x00, 0x04, &[0, 1]);
    assert_eq!(get(&mut bmc, SYSTEM)["IndicatorLED"], "Lit");
    ipmi(&mut bmc, 0x00, 0x06, &[2]);
    assert_eq!(get(&mut bmc, SYSTEM)["PowerRestorePolicy"], "AlwaysOn");
}

#[test]
fn what_redfish_sets_ipmi_shows() {
    let mut bmc = bmc();
    for (target, flags) in
        [("Pxe", 0x04), ("Hdd", 0x08), ("Cd", 0x14), ("Usb", 0x3C), ("BiosSetup", 0x18), ("UefiHttp", 0x04)]
    {
        let boot =
            json!({ "Boot": { "BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once" } });
        assert_eq!(patch(&mut bmc, SYSTEM, &boot).0, 200);
        assert_eq!(ipmi(&mut bmc, 0x00, 0x09, &[5, 0, 0])[2..4], [0x80, flags], "{target}");
    }
    reset(&mut bmc, "ForceOff");
    assert_eq!(ipmi(&mut bmc, 0x00, 0x01, &[])[0] & 1, 0);
    bmc.happened(at(11), Happening::PoweredOn);
    assert_eq!(
        post(&mut bmc, &format!("{SYSTEM}/LogServices/Sel/Actions/LogService.ClearLog"), &json!({})).0,
        204
    );
    assert_eq!(ipmi(&mut bmc, 0x0A, 0x40, &[])[1..3], [1, 0]);
}

#[test]
fn users_of_ipmi_log_in() {
    let mut bmc = bmc();
    let mut name = vec![3];
    name.extend(b"guest");
    name.resize(17, 0);
    ipmi(&mut bmc, 0x06, 0x45, &name);
    let mut password = vec![3, 2];
    password.extend(b"guest-word");
    password.resize(18, 0);
    ipmi(&mut bmc, 0x06, 0x47, &password);
    let who = ("guest", "guest-word");
    let account = "/redfish/v1/AccountService/Accounts/3";
    assert_eq!(get(&mut bmc, account)["Enabled"], false);
    assert_eq!(ask_as(&mut bmc, who, Method::GET, SYSTEM, &Value::Null).0, 401);
    ipmi(&mut bmc, 0x06, 0x47, &[3, 1]);
    ipmi(&mut bmc, 0x06, 0x43, &[0x91, 3, 2, 0]);
    assert_eq!(ask_as(&mut bmc, who, Method::GET, SYSTEM, &Value::Null).0, 200);
    assert_eq!(get(&mut bmc, account)["RoleId"], "ReadOnly");
    // Without access by IPMI there is none here; enabling the account gives it.
    ipmi(&mut bmc, 0x06, 0x43, &[0x91, 3, 0x0F, 0]);
    assert_eq!(ask_as(&mut bmc, who, Method::GET, SYSTEM, &Value::Null).0, 401);
    assert_eq!(patch(&mut bmc, account, &json!({ "Enabled": true })).0, 200);
    assert_eq!(ask_as(&mut bmc, who, Method::GET, SYSTEM, &Value::Null).0, 200);
}

proptest! {
    /// Whatever happens to the machine, the two faces say the same of its power, and a reset type that is accepted ends
    /// in a state that its name allows.
    #[test]
    fn power_is_the_same_for_both(steps in prop::collection::vec(0usize..11, 0..24)) {
        let mut bmc = bmc();
        for step in steps {
            let kinds = [
                "On", "ForceOn", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle", "Nmi",
            ];
            match kinds.get(step) {
                Some(kind) => {
                    let accepted = reset(&mut bmc, kind) == 204;
                    let is_on = bmc.power().is_on();
                    match *kind {
                        "ForceOff" => prop_assert!(accepted && !is_on),
                        "On" | "ForceOn" | "ForceRestart" | "PowerCycle" => prop_assert!(accepted && is_on),
                        _ => prop_assert!(accepted || !is_on),
                    }
                }
                None => bmc.happened(at(20), match step {
                    8 => Happening::PoweredOff { by_guest: true },
                    9 => Happening::PoweredOn,
                    _ => Happening::Reset { by_guest: true },
                }),
            }
            let shown = get(&mut bmc, SYSTEM)["PowerState"] == "On";
            prop_assert_eq!(shown, ipmi(&mut bmc, 0x00, 0x01, &[])[0] & 1 == 1);
            bmc.orders();
        }
    }
}
