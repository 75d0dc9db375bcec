//! Errors in DHCP: options, reservations, identities.

use insta::assert_snapshot;

use super::{check, check_more, lab};
use crate::lab::{Dhcp, DhcpServer, Identity, RelayAgent, RelayTo, UnknownClients};

#[test]
fn options_read_as_their_bytes() {
    let lab = lab(r#"dryrack = 1
profile.tiny.kernel = "image:tiny/kernel"
[network.lan]
address = "10.0.0.1/24"
[network.lan.options]
ntp-servers = ["10.0.0.2", "10.0.0.3"]
domain-search = "a.lab"
classless-routes = ["10.1.0.0/16 via 10.0.0.2"]
time-offset = -3600
ip-forwarding = true
"150" = "10.0.0.4"
"224" = "hex:0a0b"
[node.a]
profile = "tiny"
options = { root-path = "/srv/a", "42" = "10.0.0.9" }
nic.lan.client-id = "01:52:54:00:00:00:01"
[node.b]
profile = "tiny"
nic.lan.client-id = "rack 7"
"#);
    let network = lab.networks.values().next().unwrap();
    insta::assert_debug_snapshot!(network.options, @"
    {
        2: fffff1f0,
        19: 01,
        42: 0a0000020a000003,
        119: 0161036c616200,
        121: 100a010a000002,
        150: 0a000004,
        224: 0a0b,
    }
    ");
    let nodes: Vec<_> = lab.nodes.values().map(|node| (&node.options, &node.nics[0].client_id)).collect();
    insta::assert_debug_snapshot!(nodes, @"
    [
        (
            {
                17: 2f7372762f61,
                42: 0a000009,
            },
            Some(
                01525400000001,
            ),
        ),
        (
            {},
            Some(
                7261636b2037,
            ),
        ),
    ]
    ");
}

#[test]
fn options_that_cannot_be() {
    let more = r#"
[network.lan.options]
ntp-server = "10.0.0.2"
ntp-servers = "ntp.lab"
"42" = "10.0.0.3"
log-srvers = ["10.0.0.2"]
lease-time = 600
"53" = 5
"300" = "x"
mtu = 70000
classless-routes = ["10.1.0.5/16 via 10.0.0.2"]
domain-name = ["a", "b"]
nis-domain = 5
root-path = ""
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L133]: `ntp-servers` holds one or more IPv4 addresses like ["10.0.0.2", "10.0.0.3"]
     --> lab.toml:8:1
      |
    8 | ntp-servers = "ntp.lab"
      | ^^^^^^^^^^^
      |
      = help: use such a value, or raw bytes: "hex:0a000002"

    error[L133]: option 42 is set twice
     --> lab.toml:9:1
      |
    7 | ntp-server = "10.0.0.2"
      | ---------- first set here
    8 | ntp-servers = "ntp.lab"
    9 | "42" = "10.0.0.3"
      | ^^^^
      |
      = help: set it once, by name or by number

    error[L132]: unknown DHCP option `log-srvers`
      --> lab.toml:10:1
       |
    10 | log-srvers = ["10.0.0.2"]
       | ^^^^^^^^^^
       |
       = help: did you mean `log-servers`?

    error[L134]: `lease-time` (option 51) is set by the server: it is the lease time
      --> lab.toml:11:1
       |
    11 | lease-time = 600
       | ^^^^^^^^^^
       |
       = help: set `dhcp.server.lease-time` of the network

    error[L134]: option 53 is set by the server: it is the message type
      --> lab.toml:12:1
       |
    12 | "53" = 5
       | ^^^^
       |
       = help: leave it out

    error[L132]: unknown DHCP option `300`
      --> lab.toml:13:1
       |
    13 | "300" = "x"
       | ^^^^^
       |
       = help: use the number for options without a name, 1 to 254

    error[L133]: `mtu` holds a number from 0 to 65535
      --> lab.toml:14:1
       |
    14 | mtu = 70000
       | ^^^
       |
       = help: use such a value, or raw bytes: "hex:0a000002"

    error[L133]: `classless-routes` holds one or more routes like "10.1.0.0/16 via 10.0.0.2"
      --> lab.toml:15:1
       |
    15 | classless-routes = ["10.1.0.5/16 via 10.0.0.2"]
       | ^^^^^^^^^^^^^^^^
       |
       = help: use such a value, or raw bytes: "hex:0a000002"

    error[L133]: `domain-name` holds a string without NUL
      --> lab.toml:16:1
       |
    16 | domain-name = ["a", "b"]
       | ^^^^^^^^^^^
       |
       = help: use such a value, or raw bytes: "hex:0a000002"

    error[L133]: `nis-domain` holds a string without NUL
      --> lab.toml:17:1
       |
    17 | nis-domain = 5
       | ^^^^^^^^^^
       |
       = help: use such a value, or raw bytes: "hex:0a000002"

    error[L133]: `root-path` holds a string without NUL
      --> lab.toml:18:1
       |
    18 | root-path = ""
       | ^^^^^^^^^
       |
       = help: use such a value, or raw bytes: "hex:0a000002"

    11 errors; for more, run `dryrack explain L133`
    "#);
}

#[test]
fn options_that_nobody_is_told() {
    let lab = |dhcp: &str| {
        format!(
            "dryrack = 1\nnetwork.lan = {{ address = \"10.0.0.1/24\", dhcp = \"{dhcp}\", options.mtu = 1400 }}\n"
        )
    };
    assert_snapshot!(check(&lab("proxy")), @r#"
    error[L135]: this option has no effect: another server assigns addresses and options here
     --> lab.toml:2:66
      |
    2 | network.lan = { address = "10.0.0.1/24", dhcp = "proxy", options.mtu = 1400 }
      |                                                                  ^^^
      |
      = help: remove `options`, or remove `dhcp` to use the built-in server

    1 error; for more, run `dryrack explain L135`
    "#);
    assert_snapshot!(check(&lab("server")), @"");
}

#[test]
fn reservations_without_a_node() {
    let lab = r#"dryrack = 1
profile.tiny.kernel = "image:tiny/kernel"
[network.lan]
address = "10.0.0.1/24"
[network.lan.dhcp.server]
pool = ["10.0.0.100", "10.0.0.199"]
ipxe-classes = ["pixiecore", ""]
[network.lan.dhcp.server.reservations]
"52:54:00:00:00:01" = "10.0.0.10"
"52:54:00:00:00:02" = "10.0.0.10"
"52:54:00:00:00:03" = "10.0.0.150"
"52:54:00:00:00:04" = "10.0.1.5"
"52-54-00-00-00-01" = "10.0.0.11"
"53:54:00:00:00:05" = "10.0.0.12"
"rack-7" = "10.0.0.13"
"52:54:00:00:00:06" = "10.0.0.1"
"52:54:00:00:00:07" = "10.0.0.20"
"52:54:00:00:00:08" = "10.0.0.21"
[node.a]
profile = "tiny"
nic.lan.address = "10.0.0.20"
[node.b]
profile = "tiny"
nic.lan.mac = "52:54:00:00:00:08"
"#;
    assert_snapshot!(check(lab), @r#"
    error[L009]: "" is not a valid user class
     --> lab.toml:7:30
      |
    7 | ipxe-classes = ["pixiecore", ""]
      |                              ^^
      |
      = help: a user class has 1 to 254 bytes, as in "pixiecore"

    error[L105]: 10.0.0.10 is already reserved for another client
      --> lab.toml:10:23
       |
     9 | "52:54:00:00:00:01" = "10.0.0.10"
       |                       ----------- first used here
    10 | "52:54:00:00:00:02" = "10.0.0.10"
       |                       ^^^^^^^^^^^
       |
       = help: reserve another address

    error[L110]: the pool contains 10.0.0.150, which is reserved for 52:54:00:00:00:03
      --> lab.toml:11:23
       |
     6 | pool = ["10.0.0.100", "10.0.0.199"]
       |        ---------------------------- the pool
    ...
    11 | "52:54:00:00:00:03" = "10.0.0.150"
       |                       ^^^^^^^^^^^^
       |
       = help: exclude every other address from the pool

    error[L103]: 10.0.1.5 lies outside network `lan`, 10.0.0.0/24
      --> lab.toml:12:23
       |
     4 | address = "10.0.0.1/24"
       |           ------------- the network
    ...
    12 | "52:54:00:00:00:04" = "10.0.1.5"
       |                       ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L106]: 52:54:00:00:00:01 already has a reservation
      --> lab.toml:13:1
       |
    13 | "52-54-00-00-00-01" = "10.0.0.11"
       | ^^^^^^^^^^^^^^^^^^^
       |
       = help: keep one of the reservations

    error[L107]: 53:54:00:00:00:05 is not the address of a NIC
      --> lab.toml:14:1
       |
    14 | "53:54:00:00:00:05" = "10.0.0.12"
       | ^^^^^^^^^^^^^^^^^^^
       |
       = help: the first byte of a NIC's address is even, as in 52:54:00:12:34:56

    error[L009]: `rack-7` is not a MAC address like 52:54:00:12:34:56
      --> lab.toml:15:1
       |
    15 | "rack-7" = "10.0.0.13"
       | ^^^^^^^^
       |
       = help: a MAC address is written 52:54:00:12:34:56

    error[L104]: 10.0.0.1 is the bridge's own address on network `lan`
      --> lab.toml:16:23
       |
     4 | address = "10.0.0.1/24"
       |           ------------- the network
    ...
    16 | "52:54:00:00:00:06" = "10.0.0.1"
       |                       ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L105]: 10.0.0.20 is already reserved for another client
      --> lab.toml:21:19
       |
    17 | "52:54:00:00:00:07" = "10.0.0.20"
       |                       ----------- first used here
    ...
    21 | nic.lan.address = "10.0.0.20"
       |                   ^^^^^^^^^^^
       |
       = help: give the node another address, or remove `address`

    error[L106]: 52:54:00:00:00:08 is already the MAC address of a client with a reserved address
      --> lab.toml:24:15
       |
    18 | "52:54:00:00:00:08" = "10.0.0.21"
       |                       ----------- the reservation
    ...
    24 | nic.lan.mac = "52:54:00:00:00:08"
       |               ^^^^^^^^^^^^^^^^^^^
       |
       = help: set `address` of the NIC, and remove the reservation

    10 errors; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn nodes_are_given_what_is_not_reserved() {
    let lab = lab(r#"dryrack = 1
profile.tiny.kernel = "image:tiny/kernel"
node.a.profile = "tiny"
[network.lan]
address = "10.0.0.1/24"
dhcp.server.reservations = { "52:54:00:2f:d3:42" = "10.0.0.10" }
"#);
    let nic = &lab.nodes.values().next().unwrap().nics[0];
    // Not even with the address and the MAC address that it would have anyway.
    assert_eq!(
        (nic.address.unwrap().to_string(), nic.mac.to_string()),
        ("10.0.0.11".into(), "52:54:00:c8:2d:8c".into())
    );
}

#[test]
fn beyond_an_interface_others_may_be() {
    let dhcp = |settings: &str| {
        let lab = lab(&format!(
            "dryrack = 1\nisolation = \"none\"\nnetwork.lan = {{ address = \"10.0.0.1/24\", {settings} }}\n"
        ));
        match &lab.networks.values().next().unwrap().dhcp {
            Dhcp::Server(DhcpServer { authoritative, unknown_clients, .. }) => {
                (*authoritative, *unknown_clients)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(dhcp("mtu = 1500"), (true, UnknownClients::Answer));
    assert_eq!(dhcp("interface = \"eth1\""), (false, UnknownClients::Ignore));
    let told = "interface = \"eth1\", dhcp.server = { authoritative = true, unknown-clients = \"answer\" }";
    assert_eq!(dhcp(told), (true, UnknownClients::Answer));
}

#[test]
fn clients_are_told_apart_as_the_lab_says() {
    let identity = |settings: &str| {
        let lab = lab(&format!(
            "dryrack = 1\nnetwork.lan = {{ address = \"10.0.0.1/24\", dhcp.server = {{ {settings} }} }}\n"
        ));
        match &lab.networks.values().next().unwrap().dhcp {
            Dhcp::Server(server) => server.identity,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(identity(""), None);
    assert_eq!(identity("identity = \"mac\""), Some(Identity::Mac));
    assert_eq!(identity("identity = \"client-id\""), Some(Identity::ClientId));
}

#[test]
fn a_vendor_class_can_be_set() {
    let lab = lab(
        "dryrack = 1\nnetwork.lan = { address = \"10.0.0.1/24\", options = { \"60\" = \"PXEClient\" } }\n",
    );
    insta::assert_debug_snapshot!(lab.networks.values().next().unwrap().options, @"
    {
        60: 505845436c69656e74,
    }
    ");
}

#[test]
fn one_client_id_for_two_nics() {
    let more = r#"
node.b = { profile = "tiny", nic.lan.client-id = "rack-7" }
node.c = { profile = "tiny", nic.lan.client-id = "rack-7" }
node.d = { profile = "tiny", nic.lan.client-id = "" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L136]: `rack-7` is already the client id of another NIC of network `lan`
     --> lab.toml:7:50
      |
    6 | node.b = { profile = "tiny", nic.lan.client-id = "rack-7" }
      |                                                  -------- first used here
    7 | node.c = { profile = "tiny", nic.lan.client-id = "rack-7" }
      |                                                  ^^^^^^^^
      |
      = help: give each NIC its own client id, or none

    error[L009]: a client id has 1 to 255 bytes
     --> lab.toml:8:50
      |
    8 | node.d = { profile = "tiny", nic.lan.client-id = "" }
      |                                                  ^^
      |
      = help: use bytes like "01:52:54:00:12:34:56" or a string

    2 errors; for more, run `dryrack explain L136`
    "#);
}

/// A lab with a relay from `rack`, and keys of both networks.
fn relay(servers: &str, rack: &str) -> String {
    format!(
        "dryrack = 1\n[network.servers]\naddress = \"10.0.0.1/24\"\n{servers}\n[network.rack]\naddress = \"10.1.0.1/24\"\n{rack}\n"
    )
}

#[test]
fn a_relay_leads_to_a_server() {
    let found = |servers: &str, rack: &str| {
        let lab =
            lab(&format!("{}[node.a.nic.rack]\n[node.a.disk.root]\nsize = \"1GiB\"\n", relay(servers, rack)));
        let Dhcp::Relay(relay) = lab.networks.values().next().unwrap().dhcp.clone() else {
            panic!("no relay")
        };
        let address = lab.nodes.values().next().unwrap().nics[0].address;
        (relay.to, relay.agent, relay.server.map(|server| server.pool), address)
    };
    let to = || RelayTo::Network("servers".parse().unwrap());
    let at = |last| Some(std::net::Ipv4Addr::new(10, 1, 0, last));
    assert_eq!(found("", "dhcp.relay = \"servers\""), (to(), RelayAgent::Builtin, Some(None), at(10)));
    assert_eq!(
        found(
            "",
            "dhcp.relay = { to = \"servers\", agent = \"off\", server.pool = [\"10.1.0.10\", \"10.1.0.20\"] }"
        ),
        (to(), RelayAgent::Off, Some(at(10).zip(at(20))), at(21))
    );
    assert_eq!(found("dhcp = \"off\"", "dhcp.relay = \"servers\""), (to(), RelayAgent::Builtin, None, None));
    let server = RelayTo::Server([10, 0, 0, 5].into());
    assert_eq!(
        found("dhcp = \"proxy\"", "dhcp.relay = \"10.0.0.5\""),
        (server, RelayAgent::Builtin, None, None)
    );
}

#[test]
fn a_relay_that_leads_nowhere() {
    assert_snapshot!(check(&relay("", "dhcp.relay = \"server\"")), @r#"
    error[L114]: there is no network `server`
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "server"
      |              ^^^^^^^^
      |
      = help: did you mean `servers`?

    1 error; for more, run `dryrack explain L114`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = \"rack\"")), @r#"
    error[L166]: `rack` relays to itself
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "rack"
      |              ^^^^^^
      |
      = help: name the network whose server answers

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("dhcp = \"proxy\"", "dhcp.relay = \"servers\"")), @r#"
    error[L166]: network `servers` has no DHCP server that a relay could ask: `dhcp = "proxy"`
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "servers"
      |              ^^^^^^^^^
      |
      = help: name the address of the server that assigns addresses there

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("dhcp.relay = \"rack\"", "dhcp.relay = \"servers\"")), @r#"
    error[L166]: network `rack` is itself served by a relay
     --> lab.toml:4:14
      |
    4 | dhcp.relay = "rack"
      |              ^^^^^^
      |
      = help: name the network whose server answers

    error[L166]: network `servers` is itself served by a relay
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "servers"
      |              ^^^^^^^^^
      |
      = help: name the network whose server answers

    2 errors; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = \"10.2.0.5\"")), @r#"
    error[L166]: 10.2.0.5 is on no network of the lab
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "10.2.0.5"
      |              ^^^^^^^^^^
      |
      = help: name the network whose server answers, as in dhcp = { relay = "servers" }

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = \"10.0.0.1\"")), @r#"
    error[L166]: 10.0.0.1 is the lab's own server on network `servers`
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "10.0.0.1"
      |              ^^^^^^^^^^
      |
      = help: name the network whose server answers, as in dhcp = { relay = "servers" }

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = \"10.1.0.5\"")), @r#"
    error[L166]: 10.1.0.5 is on the network itself, where no relay is needed
     --> lab.toml:7:14
      |
    7 | dhcp.relay = "10.1.0.5"
      |              ^^^^^^^^^^
      |
      = help: name the network whose server answers, as in dhcp = { relay = "servers" }

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = {}")), @r#"
    error[L011]: `to` is missing here
     --> lab.toml:5:10
      |
    5 | [network.rack]
      |          ^^^^
      |
      = help: it has no default: add to = "servers"

    1 error; for more, run `dryrack explain L011`
    "#);
    assert_snapshot!(check(&relay("dhcp = \"off\"", "dhcp.relay = { to = \"servers\", server.lease-time = \"1h\" }")), @r#"
    error[L166]: these settings have no effect: another DHCP server answers
     --> lab.toml:7:32
      |
    7 | dhcp.relay = { to = "servers", server.lease-time = "1h" }
      |                                ^^^^^^
      |
      = help: remove `server`, or relay to a network with the built-in server

    1 error; for more, run `dryrack explain L166`
    "#);
    let switch = "dryrack = 1\nnetwork.far.subnet = \"10.0.0.0/24\"\nnetwork.rack = { address = \"10.1.0.1/24\", dhcp.relay = \"far\" }\n";
    assert_snapshot!(check(switch), @r#"
    error[L166]: nobody of Dryrack is on network `far`, to relay to a server there
     --> lab.toml:3:56
      |
    3 | network.rack = { address = "10.1.0.1/24", dhcp.relay = "far" }
      |                                                        ^^^^^
      |
      = help: give it an address: network.far.address

    1 error; for more, run `dryrack explain L166`
    "#);
    assert_snapshot!(check(&relay("", "dhcp.relay = { to = \"servers\", server.pool = [\"10.0.0.5\", \"10.0.0.9\"] }")), @r#"
    error[L108]: 10.0.0.5 is not a host address of 10.1.0.0/24
     --> lab.toml:7:47
      |
    7 | dhcp.relay = { to = "servers", server.pool = ["10.0.0.5", "10.0.0.9"] }
      |                                               ^^^^^^^^^^
      |
      = help: its host addresses are 10.1.0.1 to 10.1.0.254

    1 error; for more, run `dryrack explain L108`
    "#);
}
