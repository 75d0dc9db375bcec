//! Whatever IPMI or Redfish changes, the other one shows.

use crate::terminal::{FROM_NETWORK, Terminal, field, ipmitool};
use crate::{A, B, SYSTEM, answers, boot_of, curl, curl_as, open, pair, read, sends, until_power};

#[test]
fn ipmi_and_redfish_have_one_state() {
    let mut terminal = open(&[]);
    boot_flags_are_the_override(&mut terminal);
    users_are_accounts(&mut terminal);
    power_is_one(&mut terminal);
    it_is_the_same_machine(&mut terminal);
    the_log_is_one(&mut terminal);
    let version = terminal.ask("ipmitool -V").said.trim().to_owned();
    terminal.compare("redfish/ipmitool", &version);
    terminal.close();
}

fn boot_flags_are_the_override(terminal: &mut Terminal) {
    for (command, shown) in [
        ("pxe", pair("Once", "Pxe")),
        ("disk options=persistent", pair("Continuous", "Hdd")),
        ("none", pair("Disabled", "None")),
    ] {
        terminal.succeeds(&ipmitool(&format!("chassis bootdev {command}")));
        assert_eq!(boot_of(terminal, SYSTEM), shown, "{command}");
    }
    let patch = |terminal: &mut Terminal, target: &str, enabled: &str| {
        let body = format!(
            "{{\"Boot\": {{\"BootSourceOverrideTarget\": \"{target}\", \"BootSourceOverrideEnabled\": \"{enabled}\"}}}}"
        );
        answers(terminal, &curl(&format!("{} {SYSTEM}", sends("PATCH", &body))), 200);
        terminal.succeeds(&ipmitool("chassis bootparam get 5"))
    };
    let flags = patch(terminal, "Pxe", "Once");
    assert!(flags.contains("data: 8004000000\n") && flags.contains("Boot Flag Valid"), "{flags}");
    let flags = patch(terminal, "Hdd", "Continuous");
    assert!(flags.contains("data: c008000000\n") && flags.contains("Boot Flag Valid"), "{flags}");
    let flags = patch(terminal, "None", "Disabled");
    assert!(flags.contains("Boot Flag Invalid"), "{flags}");
}

fn users_are_accounts(terminal: &mut Terminal) {
    let accounts = format!("{A}/AccountService/Accounts");
    terminal.succeeds(&ipmitool("user set name 3 operator"));
    terminal.succeeds(&ipmitool("user set password 3 operator-secret"));
    terminal.succeeds(&ipmitool("channel setaccess 1 3 link=on ipmi=on privilege=3"));
    terminal.succeeds(&ipmitool("user enable 3"));
    let account = read(terminal, &format!("{accounts}/3"));
    assert_eq!(
        (&account["UserName"], &account["RoleId"]),
        (&"operator".into(), &"Operator".into()),
        "{account}"
    );
    assert_eq!(account["Enabled"], true, "{account}");
    answers(terminal, &curl_as("operator:operator-secret", SYSTEM), 200);

    let web =
        sends("POST", "{\"UserName\": \"web\", \"Password\": \"web-secret\", \"RoleId\": \"Operator\"}");
    answers(terminal, &curl(&format!("{web} {accounts}")), 201);
    let as_web = "ipmitool -I lanplus -H 10.91.1.10 -U web -P web-secret -L OPERATOR power status";
    assert_eq!(terminal.succeeds(as_web), "Chassis Power is off\n");
    let users = terminal.succeeds(&ipmitool("user list 1"));
    for (name, level) in [("admin", "ADMINISTRATOR"), ("operator", "OPERATOR"), ("web", "OPERATOR")] {
        let line = users.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        assert!(line.is_some_and(|line| line.ends_with(level)), "{users}");
    }
    answers(terminal, &curl(&format!("{} {accounts}/4", sends("PATCH", "{\"Enabled\": false}"))), 200);
    terminal.fails(as_web, "Unable to establish IPMI v2 / RMCP+ session");
    terminal.succeeds(&ipmitool("user disable 3"));
    answers(terminal, &curl_as("operator:operator-secret", SYSTEM), 401);
    for id in [3, 4] {
        answers(terminal, &curl(&format!("--request DELETE {accounts}/{id}")), 204);
    }
    let users = terminal.succeeds(&ipmitool("user list 1"));
    assert!(!users.contains("operator") && !users.contains("web"), "{users}");
}

fn power_is_one(terminal: &mut Terminal) {
    let on = sends("POST", "{\"ResetType\": \"On\"}");
    let off = sends("POST", "{\"ResetType\": \"ForceOff\"}");
    let system = format!("{B}/Systems/1");
    let action = format!("{system}/Actions/ComputerSystem.Reset");
    let of_b = |command: &str| format!("ipmitool -I lanplus -H 10.91.1.50 -U admin -E {command}");
    answers(terminal, &curl(&format!("{on} {action}")), 204);
    assert_eq!(terminal.succeeds(&of_b("power status")), "Chassis Power is on\n");
    // The machine has not started yet, and its start is told late.
    answers(terminal, &curl(&format!("{off} {action}")), 204);
    for _ in 0..20 {
        assert_eq!(read(terminal, &system)["PowerState"], "Off", "it does not seem on again");
    }
    assert_eq!(terminal.succeeds(&of_b("power status")), "Chassis Power is off\n");
    // One of them says what to boot, and the other one when.
    let once = sends(
        "PATCH",
        "{\"Boot\": {\"BootSourceOverrideTarget\": \"Pxe\", \"BootSourceOverrideEnabled\": \"Once\"}}",
    );
    answers(terminal, &curl(&format!("{once} {SYSTEM}")), 200);
    terminal.succeeds(&ipmitool("power on"));
    assert_eq!(read(terminal, SYSTEM)["PowerState"], "On");
    terminal.until_printed("a", FROM_NETWORK, 1);
    assert_eq!(boot_of(terminal, SYSTEM), pair("Disabled", "None"));
    let flags = terminal.succeeds(&ipmitool("chassis bootparam get 5"));
    assert!(flags.contains("Boot Flag Invalid"), "{flags}");
    terminal.succeeds(&ipmitool("chassis identify force"));
    assert_eq!(read(terminal, SYSTEM)["IndicatorLED"], "Lit");
    let dark = sends("PATCH", "{\"IndicatorLED\": \"Off\"}");
    answers(terminal, &curl(&format!("{dark} {SYSTEM}")), 200);
}

fn the_log_is_one(terminal: &mut Terminal) {
    let entries = format!("{SYSTEM}/LogServices/Sel/Entries");
    terminal.succeeds(&ipmitool("power off"));
    until_power(terminal, SYSTEM, "Off");
    let of_ipmi = terminal.succeeds(&ipmitool("sel elist"));
    let of_redfish = read(terminal, &entries);
    let ids = of_redfish["Members"].as_array().expect("entries").iter().map(|entry| entry["Id"].as_str());
    let ids: Vec<&str> = ids.map(|id| id.expect("an entry has an ID")).collect();
    let lines: Vec<&str> = of_ipmi.lines().filter_map(|line| line.split('|').next()).map(str::trim).collect();
    // IPMI numbers them in hexadecimal.
    let numbers: Vec<String> =
        ids.iter().map(|id| format!("{:x}", id.parse::<u16>().expect("a number"))).collect();
    assert!(lines.len() >= 5 && lines == numbers, "{of_ipmi}{of_redfish}");
    let last = &of_redfish["Members"][ids.len() - 1];
    assert_eq!(last["MessageId"], "Dryrack.1.0.PowerOff", "{last}");
    assert!(of_ipmi.trim_end().ends_with("| Power off/down | Asserted"), "{of_ipmi}");
    let clear = sends("POST", "{}");
    answers(terminal, &curl(&format!("{clear} {SYSTEM}/LogServices/Sel/Actions/LogService.ClearLog")), 204);
    let log = terminal.succeeds(&ipmitool("sel elist"));
    assert!(log.lines().count() == 1 && log.contains("Log area reset/cleared"), "{log}");
    assert_eq!(read(terminal, &entries)["Members@odata.count"], 1);
}

fn it_is_the_same_machine(terminal: &mut Terminal) {
    let fru = terminal.succeeds(&ipmitool("fru print"));
    let guid = terminal.succeeds(&ipmitool("mc guid smbios"));
    let lan = terminal.succeeds(&ipmitool("lan print 1"));
    let field = |text, name| field(text, name).unwrap_or_default();
    let system = read(terminal, SYSTEM);
    assert_eq!(system["SerialNumber"], field(&fru, "Product Serial"));
    assert_eq!(system["AssetTag"], field(&fru, "Product Asset Tag"));
    assert_eq!(system["UUID"], field(&guid, "System GUID"));
    let nic = read(terminal, &format!("{A}/Managers/1/EthernetInterfaces/1"));
    assert_eq!(nic["MACAddress"], field(&lan, "MAC Address"));
    assert_eq!(nic["IPv4Addresses"][0]["Address"], field(&lan, "IP Address  "));
    // The NIC is the one of the machine itself.
    let nic = read(terminal, &format!("{SYSTEM}/EthernetInterfaces/1"));
    assert_eq!(nic["MACAddress"], terminal.plan("a")["nics"][0]["mac"], "{nic}");
    // What its system sees is the same.
    let seen = ["SerialNumber", "UUID", "AssetTag"].map(|name| system[name].as_str().expect("text"));
    let mut console = terminal.activate(&ipmitool("sol activate"));
    console.type_in("\rcd /sys/class/dmi/id; cat product_serial product_uuid chassis_asset_tag\r");
    console.until(&seen.join("\r\n"));
    console.end("~.");
    let sensors = terminal.succeeds(&ipmitool("sdr elist"));
    let sensor = read(terminal, &format!("{A}/Chassis/1/Sensors/CPUTemp"));
    let reading = format!("| {} degrees C", sensor["Reading"]);
    assert!(
        sensors.lines().any(|line| line.starts_with("CPU Temp") && line.ends_with(&reading)),
        "{sensors}"
    );
}
