//! Faults: what is read, and what cannot happen.

use insta::assert_snapshot;

use super::{BASE, check_more, lab};
use crate::lab::FaultKind;

#[test]
fn faults_that_cannot_happen() {
    let bad = |fault: &str| {
        check_more(&format!(
            "host.h.nic.lan.address = \"dhcp\"\nnode.b = {{ firmware = \"uefi\", profile = \"tiny\" }}\nfault.f = {fault}\n"
        ))
    };
    let all = [
        r#"{ nodes = [], do = { dhcp = "drop" } }"#,
        r#"{ nodes = ["c"], do = { dhcp = "drop" } }"#,
        r#"{ nodes = ["a"] }"#,
        r#"{ nodes = ["a"], times = 0, do = { dhcp = "drop" } }"#,
        r#"{ nodes = ["a"], times = 2, do = { link = "down" } }"#,
        r#"{ nodes = ["a"], do = { http = { status = 200 } } }"#,
        r#"{ nodes = ["a"], do = { tftp = { error = 9 } } }"#,
        r#"{ nodes = ["a"], do = { link = { loss = 101 } } }"#,
        r#"{ nodes = ["a"], do = { link = { mtu = 60 } } }"#,
        r#"{ nodes = ["a"], do = { machine = { memory = "1MiB" } } }"#,
        r#"{ nodes = ["a"], do = { machine = { clock = "tomorrow" } } }"#,
        r#"{ nodes = ["a"], do = { machine = "power-cut" } }"#,
        r#"{ nodes = ["b"], do = { machine = { firmware = "uefi-secure" } } }"#,
        r#"{ nodes = ["h"], do = { machine = "no-rng" } }"#,
        r#"{ nodes = ["a"], do = { tls = "expired" } }"#,
        r#"{ nodes = ["a"], do = { dhcp = "forget" } }"#,
        r#"{ nodes = ["a"], do = { dhcp = { boot-file = "" } } }"#,
    ];
    assert_snapshot!(all.map(bad).join("\n"));
}

#[test]
fn a_fault_is_of_all_nodes_unless_it_names_some() {
    let lab = lab(&format!(
        "{BASE}node.b.profile = \"tiny\"\nfault.f = {{ do = {{ link = {{ silence = \"30s\" }} }} }}\n"
    ));
    let fault = lab.faults.values().next().unwrap();
    let nodes: Vec<&str> = fault.nodes.iter().map(|node| node.as_str()).collect();
    assert_eq!((nodes, fault.times, fault.after.is_none()), (vec!["a", "b"], None, true));
    assert!(matches!(fault.kind, FaultKind::Link(_)));
    assert_eq!(fault.kind.text(), "link.silence = \"30s\"");
}

#[test]
fn a_fault_is_the_same_in_a_plan() {
    let kinds = [
        "dhcp=drop",
        "dhcp.delay=90s",
        "http.slow=64KiB",
        "tftp.stall=3",
        "machine.clock=2001-01-01",
        "bmc=only-suite-3",
        "bmc=clock-1970",
        "bmc.busy=30s",
        "bmc.forget-user=ops",
    ];
    for argument in kinds {
        let kind = crate::config::fault_kind(argument).unwrap_or_else(|(found, _)| panic!("{found:?}"));
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(serde_json::from_str::<FaultKind>(&json).unwrap(), kind, "{json}");
    }
    for bad in ["drop", "dhcp", "dhcp=forget", "dhcp.drop=1", "http.status=x", "="] {
        assert!(crate::config::fault_kind(bad).is_err(), "{bad}");
    }
}
