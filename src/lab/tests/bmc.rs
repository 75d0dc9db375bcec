//! BMCs of nodes.

use insta::assert_snapshot;

use super::{check, lab};
use crate::bmc::personality::Personality;

const NETWORKS: &str = r#"
[network.lan]
address = "10.0.0.1/24"

[network.mgmt]
address = "10.0.3.1/24"
dhcp = "off"
bmc = { user = "root" }

[profile.tiny]
kernel = "image:tiny/kernel"
"#;

/// Returns the BMCs of a lab.
fn bmcs(text: &str) -> String {
    let lab = lab(&format!("dryrack = 1\n{NETWORKS}{text}"));
    let lines = lab.nodes.values().map(|node| match &node.bmc {
        None => format!("{}: none", node.name),
        Some(bmc) => format!("{}: {} {} {} {}", node.name, bmc.network, bmc.address, bmc.mac, bmc.user),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nodes_have_the_bmcs_of_their_network() {
    assert_snapshot!(bmcs(r#"
[node.a]
nic.lan = {}
profile = "tiny"

[node.b]
nic.lan = {}
profile = "tiny"
bmc = { address = "10.0.3.10", mac = "52:54:00:00:00:07", user = "ops" }

[node.c]
nic.lan = {}
profile = "tiny"
bmc = "off"

[node.d]
nic.lan = {}
profile = "tiny"
bmc = { network = "lan" }
"#), @"
    a: mgmt 10.0.3.11 52:54:00:4c:a7:bd root
    b: mgmt 10.0.3.10 52:54:00:00:00:07 ops
    c: none
    d: lan 10.0.0.14 52:54:00:39:06:ee admin
    ");
}

#[test]
fn what_a_bmc_cannot_be_is_reported() {
    assert_snapshot!(check(&format!(r#"dryrack = 1
{NETWORKS}
[network.other]
address = "10.0.4.1/24"
bmc = {{}}

[node.a]
nic.lan = {{}}
profile = "tiny"

[node.b]
nic.lan = {{}}
profile = "tiny"
bmc = {{ network = "mgmt", address = "10.0.4.9", mac = "01:00:5e:00:00:01", user = "a name with spaces" }}

[node.c]
nic.lan = {{ mac = "52:54:00:00:00:07" }}
profile = "tiny"
bmc = {{ network = "mgmt", address = "10.0.3.1", mac = "52:54:00:00:00:07", password = {{ file = "none" }} }}

[node.d]
count = 2
nic.lan = {{}}
profile = "tiny"
bmc = {{ network = "other", address = "10.0.4.20" }}
"#)), @r#"
    error[L115]: the network of the BMC of `a` is not clear
      --> lab.toml:18:7
       |
    18 | [node.a]
       |       ^
       |
       = help: choose one of `mgmt`, `other`: bmc.network = "mgmt"

    error[L103]: 10.0.4.9 lies outside network `mgmt`, 10.0.3.0/24
      --> lab.toml:25:37
       |
     7 | address = "10.0.3.1/24"
       |           ------------- the network
    ...
    25 | bmc = { network = "mgmt", address = "10.0.4.9", mac = "01:00:5e:00:00:01", user = "a name with spaces" }
       |                                     ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.3.1 to 10.0.3.254

    error[L107]: 01:00:5e:00:00:01 is a multicast address, not the address of a BMC
      --> lab.toml:25:55
       |
    25 | bmc = { network = "mgmt", address = "10.0.4.9", mac = "01:00:5e:00:00:01", user = "a name with spaces" }
       |                                                       ^^^^^^^^^^^^^^^^^^^
       |
       = help: remove `mac`: each BMC then gets its own, the same in every run

    error[L009]: `a name with spaces` cannot be the name of a user of a BMC
      --> lab.toml:25:83
       |
    25 | bmc = { network = "mgmt", address = "10.0.4.9", mac = "01:00:5e:00:00:01", user = "a name with spaces" }
       |                                                                                   ^^^^^^^^^^^^^^^^^^^^
       |
       = help: use 1 to 16 letters, digits and signs of ASCII, as in "admin"

    error[L104]: 10.0.3.1 is the bridge's own address on network `mgmt`
      --> lab.toml:30:37
       |
     7 | address = "10.0.3.1/24"
       |           ------------- the network
    ...
    30 | bmc = { network = "mgmt", address = "10.0.3.1", mac = "52:54:00:00:00:07", password = { file = "none" } }
       |                                     ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.3.1 to 10.0.3.254

    error[L106]: 52:54:00:00:00:07 is already the MAC address of another station
      --> lab.toml:30:55
       |
    30 | bmc = { network = "mgmt", address = "10.0.3.1", mac = "52:54:00:00:00:07", password = { file = "none" } }
       |                                                       ^^^^^^^^^^^^^^^^^^^
       |
       = help: remove `mac`: each BMC then gets its own, the same in every run

    error[L017]: there is no file `none`
      --> lab.toml:30:96
       |
    30 | bmc = { network = "mgmt", address = "10.0.3.1", mac = "52:54:00:00:00:07", password = { file = "none" } }
       |                                                                                                ^^^^^^
       |
       = help: paths are relative to `/labs/my-lab`

    error[L105]: 10.0.4.20 is already reserved for another client
      --> lab.toml:36:38
       |
    36 | bmc = { network = "other", address = "10.0.4.20" }
       |                                      ^^^^^^^^^^^
       |                                      |
       |                                      first used here
       |
       = help: reserve another address

    8 errors; for more, run `dryrack explain L115`
    "#);
}

/// A node on the network of the lab, with more keys.
fn node(name: &str, more: &str) -> String {
    format!("[node.{name}]\nnic.lan = {{}}\nprofile = \"tiny\"\n{more}\n")
}

#[test]
fn a_bmc_is_like_that_of_its_network_unless_it_says_otherwise() {
    let networks = NETWORKS.replace("bmc = {", "bmc = { personality = \"dell\",");
    let nodes =
        [node("a", ""), node("b", "bmc.personality = \"hpe\""), node("c", "bmc.personality = \"dryrack\"")];
    let lab = lab(&format!("dryrack = 1\n{networks}{}", nodes.concat()));
    let bmcs = lab.nodes.values().filter_map(|node| node.bmc.as_ref());
    let like: Vec<_> = bmcs.map(|bmc| bmc.personality).collect();
    assert_eq!(like, [Personality::Dell, Personality::Hpe, Personality::Dryrack]);
}

#[test]
fn personalities_are_those_of_the_table() {
    let text =
        |name: &str| format!("dryrack = 1\n{NETWORKS}{}", node("a", &format!("bmc.personality = {name}")));
    for personality in Personality::ALL {
        let lab = lab(&text(&serde_json::to_string(&personality).unwrap()));
        let bmc = lab.nodes.values().find_map(|node| node.bmc.as_ref());
        assert_eq!(bmc.map(|bmc| bmc.personality), Some(personality));
    }
    assert_snapshot!(check(&text("\"del\"")));
}

#[test]
fn faults_of_a_bmc_need_one() {
    let with = |fault: &str| {
        let deaf = node("c", "bmc = { ipmi = false, redfish = false }");
        let nodes = [node("a", ""), node("b", "bmc = \"off\""), deaf].concat();
        format!("dryrack = 1\n{NETWORKS}{nodes}[fault.f]\n{fault}\n")
    };
    let lab = lab(&with("do.bmc = \"no-sol\""));
    let nodes = lab.faults.values().flat_map(|fault| &fault.nodes);
    let nodes: Vec<&str> = nodes.map(|node| node.as_str()).collect();
    assert_eq!(nodes, ["a"], "those with a BMC that has what fails");
    let bad = [
        "nodes = [\"b\"]\ndo.bmc = \"no-sol\"",
        "times = 2\ndo.bmc = \"no-sol\"",
        "nodes = [\"c\"]\ndo.bmc = \"no-sol\"",
        "nodes = [\"c\"]\ndo.bmc.busy = \"30s\"",
        "do.bmc.drop-sessions = 0",
        "do.bmc.slow-power = \"100ms\"",
        "do.bmc.forget-user = \"\"",
        "do.bmc = \"deaf\"",
    ];
    assert_snapshot!(bad.map(|fault| check(&with(fault))).join("\n"));
}

#[test]
fn a_node_may_have_less_than_its_network() {
    let text = |of_node: &str| {
        let networks = NETWORKS.replace("user = \"root\"", "http = true");
        format!("dryrack = 1\n{networks}{}", node("a", of_node))
    };
    let redfish =
        |of_node: &str| lab(&text(of_node)).nodes.values().next().and_then(|node| node.bmc.as_ref()?.redfish);
    assert_eq!(redfish(""), Some(crate::lab::Redfish::HttpsAndHttp));
    assert_eq!(redfish("bmc = { http = false }"), Some(crate::lab::Redfish::Https));
    assert_eq!(redfish("bmc = { redfish = false }"), None);
    assert_snapshot!(check(&text("bmc = { redfish = false, http = true }")));
}
