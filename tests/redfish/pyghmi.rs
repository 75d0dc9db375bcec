//! pyghmi's Redfish half.

use crate::{open, version};

#[test]
fn manages_machines() {
    let mut terminal = open(&["pyghmi_client.py"]);
    const FINGERPRINT: &str = "$(openssl s_client -connect 10.91.1.10:443 </dev/null 2>/dev/null | \
                               openssl x509 -noout -fingerprint -sha256 | cut -d= -f2)";
    let said = terminal.succeeds(&format!("python3 pyghmi_client.py 10.91.1.10 $PASSWORD {FINGERPRINT}"));
    let identity = terminal.plan("a")["kind"]["qemu"]["identity"].clone();
    for (name, value) in [
        ("power before", "off"),
        ("once", "network False False"),
        ("always", "network True False"),
        ("default", "default True None"),
        ("power after", "on"),
        ("serial", identity["serial"].as_str().expect("text")),
        ("uuid", identity["uuid"].as_str().expect("text")),
        ("network", "10.91.1.10/24"),
        ("user", "3 helper Operator"),
        ("identify", "on"),
        ("event", "A boot began: power command."),
        ("power at the end", "off"),
    ] {
        assert!(said.lines().any(|line| line == format!("{name}: {value}")), "{name}: {value}: {said}");
    }
    let wrong = "python3 pyghmi_client.py 10.91.1.10 $PASSWORD 00";
    let refused = terminal.ask(wrong);
    assert!(refused.code == 1 && refused.said.contains("UnrecognizedCertificate"), "{refused:?}");
    terminal.compare("redfish/pyghmi", &version("pyghmi"));
    terminal.close();
}
