//! DMTF's redfishtool.

use crate::terminal::{FROM_NETWORK, Terminal};
use crate::{A, open, read, version};

/// Types a command of redfishtool that must say why the service refuses it.
#[track_caller]
fn refuses(terminal: &mut Terminal, command: &str, why: &str) {
    let done = terminal.types(command);
    assert!(done.code != 0 && done.said.contains(why), "{command}: {done:?}");
}

#[test]
fn manages_machines() {
    let mut terminal = open(&[]);
    let tool = |rest: &str| format!("redfishtool -r 10.91.1.10 -u admin -p $PASSWORD -S Always {rest}");
    let is = |said: &str, name: &str, value: &str| {
        let line = format!("\"{name}\": \"{value}\"");
        assert!(said.contains(&line), "{line}: {said}");
    };
    assert_eq!(
        terminal.succeeds("redfishtool -r 10.91.1.10 versions"),
        "{\n    \"v1\": \"/redfish/v1/\"\n}\n"
    );
    is(&terminal.succeeds(&tool("root")), "Product", "Dryrack virtual BMC");
    is(&terminal.succeeds(&tool("Systems -1 -P PowerState")), "PowerState", "Off");
    is(&terminal.succeeds(&tool("-A Session Systems -1 -P HostName")), "HostName", "a");
    let wrong = "redfishtool -r 10.91.1.10 -u admin -p wrong -S Always Systems";
    refuses(&mut terminal, wrong, "401 -- Unauthorized");

    is(&terminal.succeeds(&tool("Systems -1 setBootOverride Once Pxe")), "BootSourceOverrideEnabled", "Once");
    terminal.succeeds(&tool("Systems -1 reset On"));
    is(&terminal.succeeds(&tool("Systems -1 -P PowerState")), "PowerState", "On");
    terminal.until_printed("a", FROM_NETWORK, 1);
    is(&terminal.succeeds(&tool("Systems -1 -P Boot")), "BootSourceOverrideEnabled", "Disabled");
    is(
        &terminal.succeeds(&tool("Systems -1 setBootOverride Continuous Hdd")),
        "BootSourceOverrideTarget",
        "Hdd",
    );
    is(
        &terminal.succeeds(&tool("Systems -1 setBootOverride Disabled None")),
        "BootSourceOverrideTarget",
        "None",
    );
    is(&terminal.succeeds(&tool("Systems -1 setIndicatorLed Lit")), "IndicatorLED", "Lit");
    // What a client may not write, and a value that there is not.
    refuses(&mut terminal, &tool("Systems -1 setAssetTag other"), "400 -- Bad Request");
    refuses(
        &mut terminal,
        &tool("Systems -1 setBootOverride Once Floppy"),
        "is not supported by the remote service",
    );
    terminal.succeeds(&tool("Systems -1 reset ForceOff"));
    is(&terminal.succeeds(&tool("Systems -1 -P PowerState")), "PowerState", "Off");

    for part in ["Processors", "EthernetInterfaces -i 1", "Logs -i Sel -E"] {
        terminal.succeeds(&tool(&format!("Systems -1 {part}")));
    }
    for part in ["Chassis -1 Power", "Chassis -1 Thermal", "Managers -1 NetworkProtocol", "odata"] {
        terminal.succeeds(&tool(part));
    }
    let log = terminal.ask(&tool("Systems -1 Logs -i Sel -E")).said;
    for text in ["The machine is on.", "The boot is to be from the network.", "The machine is off."] {
        is(&log, "Message", text);
    }

    is(&terminal.succeeds(&tool("AccountService adduser helper Helper-1 Operator")), "RoleId", "Operator");
    let helper = "redfishtool -r 10.91.1.10 -u helper -p Helper-1 -S Always";
    is(&terminal.succeeds(&format!("{helper} Systems -1 -P Id")), "Id", "1");
    refuses(
        &mut terminal,
        &format!("{helper} AccountService adduser other Other-1 Operator"),
        "403 -- Forbidden",
    );
    terminal.succeeds(&tool("AccountService setpassword helper Helper-2"));
    refuses(&mut terminal, &format!("{helper} Systems"), "401 -- Unauthorized");
    terminal.succeeds(&tool("AccountService useradmin helper disable"));
    terminal.succeeds(&tool("AccountService deleteuser helper"));
    assert_eq!(read(&terminal, &format!("{A}/AccountService/Accounts"))["Members@odata.count"], 1);
    terminal.compare("redfish/redfishtool", &version("redfishtool"));
    terminal.close();
}
