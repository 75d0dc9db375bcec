//! Machines without a VM.

use insta::assert_snapshot;

use super::{BASE, check, check_more, lab};

#[test]
fn a_host_has_nics_with_addresses_of_their_networks() {
    let hosts = "host.a.nic.lan = {}\nhost.b.nic.wan = { address = \"dhcp\" }\nhost.c.nic.lan = { address = \"10.0.0.256\" }\n\
                 host.d.nic.lan = { address = \"10.1.0.2\" }\nhost.e.nic.lan = { address = \"10.0.0.1/24\" }\n\
                 host.f.nic.a-name-that-is-too-long = { network = \"lan\", address = \"dhcp\" }\n\
                 host.g.nic = { lan = { address = \"10.0.0.2\" }, b = { network = \"lan\", address = \"10.0.0.2\", interface = \"lan\" } }\n\
                 host.h.nic.lan = { address = \"dhcp\", mac = \"01:00:5e:00:00:01\" }\n";
    assert_snapshot!(check_more(hosts), @r##"
    error[L023]: `a` is a node, too
     --> lab.toml:5:6
      |
    4 | node.a.profile = "tiny"
      |      - the node
    5 | host.a.nic.lan = {}
      |      ^
      |
      = help: rename one of them

    error[L114]: there is no network `wan`
     --> lab.toml:6:12
      |
    6 | host.b.nic.wan = { address = "dhcp" }
      |            ^^^
      |
      = help: did you mean `lan`?

    error[L009]: `address` must be an IPv4 address like "10.0.2.5/24", or "dhcp", not the string "10.0.0.256"
     --> lab.toml:7:30
      |
    7 | host.c.nic.lan = { address = "10.0.0.256" }
      |                              ^^^^^^^^^^^^

    error[L103]: 10.1.0.2 lies outside network `lan`, 10.0.0.0/24
     --> lab.toml:8:30
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    8 | host.d.nic.lan = { address = "10.1.0.2" }
      |                              ^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L104]: 10.0.0.1 is the bridge's own address on network `lan`
     --> lab.toml:9:30
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    9 | host.e.nic.lan = { address = "10.0.0.1/24" }
      |                              ^^^^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L009]: `a-name-that-is-too-long` cannot be the name of an interface
      --> lab.toml:10:12
       |
    10 | host.f.nic.a-name-that-is-too-long = { network = "lan", address = "dhcp" }
       |            ^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: set `interface`, a name of at most 15 characters

    error[L220]: `g` has two NICs with the interface `lan`
      --> lab.toml:11:48
       |
    11 | host.g.nic = { lan = { address = "10.0.0.2" }, b = { network = "lan", address = "10.0.0.2", interface = "lan" } }
       |                --- the other one               ^
       |
       = help: give one another `interface`

    error[L105]: 10.0.0.2 is already reserved for another client
      --> lab.toml:11:81
       |
    11 | host.g.nic = { lan = { address = "10.0.0.2" }, b = { network = "lan", address = "10.0.0.2", interface = "lan" } }
       |                                  ---------- first used here                     ^^^^^^^^^^
       |
       = help: reserve another address

    error[L107]: 01:00:5e:00:00:01 is a multicast address, not the address of a NIC
      --> lab.toml:12:44
       |
    12 | host.h.nic.lan = { address = "dhcp", mac = "01:00:5e:00:00:01" }
       |                                            ^^^^^^^^^^^^^^^^^^^
       |
       = help: the first byte of a NIC's address is even, as in 52:54:00:12:34:56

    9 errors; for more, run `dryrack explain L023`
    "##);
}

#[test]
fn a_host_has_a_name_of_its_own_and_processes_know_it() {
    let hosts = "host.a = {}\nhost.deploy.start.after = \"up\"\nprocess.p = { host = \"deplyo\", run = \"true\" }\n\
                 process.q = { host = \"deploy\", run = \"/usr/sbin/sshd -D\", files = { \"/etc/a\" = \"files/a\" } }\n\
                 process.r = { host = \"deploy\", run = \"true\", files = { \"/etc/a\" = \"files/b\" } }\n\
                 expect.up.that.stage = \"os\"\nexpect.on-host = { nodes = [\"deploy\"], that.boots.times = 1 }\n";
    assert_snapshot!(check_more(hosts), @r##"
    error[L023]: `a` is a node, too
     --> lab.toml:5:6
      |
    4 | node.a.profile = "tiny"
      |      - the node
    5 | host.a = {}
      |      ^
      |
      = help: rename one of them

    error[L022]: there is no host `deplyo`
     --> lab.toml:7:22
      |
    7 | process.p = { host = "deplyo", run = "true" }
      |                      ^^^^^^^^
      |
      = help: did you mean `deploy`?

    warning[L222]: sshd ends here: it checks that it became another user, and this user has no other IDs
     --> lab.toml:8:38
      |
    8 | process.q = { host = "deploy", run = "/usr/sbin/sshd -D", files = { "/etc/a" = "files/a" } }
      |                                      ^^^^^^^^^^^^^^^^^^^
      |
      = help: give this user subordinate IDs (`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`), and install newuidmap (package uidmap)

    error[L009]: `/etc/a` is given otherwise to `q` on the same host
     --> lab.toml:9:56
      |
    8 | process.q = { host = "deploy", run = "/usr/sbin/sshd -D", files = { "/etc/a" = "files/a" } }
      |                                                                     -------- first here
    9 | process.r = { host = "deploy", run = "true", files = { "/etc/a" = "files/b" } }
      |                                                        ^^^^^^^^
      |
      = help: the files of a host are the same for all its processes: use another path

    error[L221]: `deploy` is a host: it does not boot, so it cannot meet `boots`
      --> lab.toml:11:29
       |
    11 | expect.on-host = { nodes = ["deploy"], that.boots.times = 1 }
       |                             ^^^^^^^^
       |
       = help: use `tcp`, `http`, `dns` or `ssh` for a host, `process` or `command` for what runs on it

    4 errors, 1 warning; for more, run `dryrack explain L023`
    "##);
}

#[test]
fn nodes_are_not_given_the_addresses_of_hosts() {
    let lab = lab(&format!("{BASE}host.deploy.nic.lan = {{ address = \"10.0.0.10\" }}\n"));
    let node = lab.nodes.values().next().unwrap();
    assert_eq!(node.nics[0].address.unwrap().to_string(), "10.0.0.11");
    let host = lab.hosts.values().next().unwrap();
    assert_eq!(host.nics[0].address.unwrap().to_string(), "10.0.0.10/24");
    assert!(lab.expectations.is_empty());
}

#[test]
fn nothing_of_a_host_is_taken() {
    let hosts = "host.b.nic.lan = { address = \"dhcp\", mac = \"52:54:00:00:00:01\" }\n\
                 host.c.nic.lan = { address = \"dhcp\", mac = \"52:54:00:00:00:01\" }\n\
                 host.d.nic.lan = { address = \"dhcp\", interface = \"eth%d\" }\n\
                 host.e.nic.all = { network = \"lan\", address = \"dhcp\" }\n\
                 host.f.nic.lan = { address = \"dhcp\", interface = \"all\" }\n\
                 node.a.nic.lan.mac = \"52:54:00:00:00:02\"\nhost.g.nic.lan = { address = \"dhcp\", mac = \"52:54:00:00:00:02\" }\n\
                 publish.8080 = \"h:80\"\npublish.8081 = \"i:80\"\nhost.h.nic.lan = \"dhcp\"\nhost.i.nic.lan = \"10.0.0.9\"\n";
    assert_snapshot!(check_more(hosts), @r#"
    error[L106]: 52:54:00:00:00:01 is already the MAC address of `b`
     --> lab.toml:6:44
      |
    6 | host.c.nic.lan = { address = "dhcp", mac = "52:54:00:00:00:01" }
      |                                            ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `mac`: each NIC then gets its own, the same in every run

    error[L009]: `eth%d` is not a name for the interface of a NIC
     --> lab.toml:7:50
      |
    7 | host.d.nic.lan = { address = "dhcp", interface = "eth%d" }
      |                                                  ^^^^^^^
      |
      = help: use letters, digits, dots, dashes and underscores, as in "eth0"

    error[L009]: `all` cannot be the name of an interface
     --> lab.toml:8:12
      |
    8 | host.e.nic.all = { network = "lan", address = "dhcp" }
      |            ^^^
      |
      = help: set `interface`, a name of at most 15 characters

    error[L009]: `all` is not a name for the interface of a NIC
     --> lab.toml:9:50
      |
    9 | host.f.nic.lan = { address = "dhcp", interface = "all" }
      |                                                  ^^^^^
      |
      = help: use letters, digits, dots, dashes and underscores, as in "eth0"

    error[L106]: 52:54:00:00:00:02 is already the MAC address of `a`
      --> lab.toml:11:44
       |
    11 | host.g.nic.lan = { address = "dhcp", mac = "52:54:00:00:00:02" }
       |                                            ^^^^^^^^^^^^^^^^^^^
       |
       = help: remove `mac`: each NIC then gets its own, the same in every run

    error[L119]: `h` has no fixed address, so its port cannot be published
      --> lab.toml:12:16
       |
    12 | publish.8080 = "h:80"
       |                ^^^^^^
       |
       = help: add one: host.h.nic.lan.address = "…"

    6 errors; for more, run `dryrack explain L106`
    "#);
}

#[test]
fn a_process_answers_on_the_networks_of_its_host() {
    let text = |host: &str| {
        format!(
            "dryrack = 1\nnetwork.lan = {{ subnet = \"10.0.0.0/24\" }}\nnetwork.far.address = \"10.1.0.1/24\"\n\
             host.near.nic.lan = \"10.0.0.2\"\nhost.away.nic.far = \"10.1.0.2\"\n\
             node.n.nic.lan = {{}}\nprocess.p = {{ run = \"dnsmasq -k\", host = \"{host}\" }}\n"
        )
    };
    assert_snapshot!(check(&text("away")), @r#"
    warning[L145]: nobody assigns addresses on network `lan` where nobody of Dryrack is
     --> lab.toml:2:26
      |
    2 | network.lan = { subnet = "10.0.0.0/24" }
      |                          ^^^^^^^^^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    1 warning; for more, run `dryrack explain L145`
    "#);
    assert_snapshot!(check(&text("near")), @"");
}

#[test]
fn a_host_that_asks_has_an_address_reserved() {
    let lab = lab(&format!("{BASE}host.b.nic.lan = \"10.0.0.11\"\nhost.c.nic.lan = \"dhcp\"\n"));
    let network = lab.networks.values().next().unwrap();
    let reserved: Vec<_> = network.leases().unwrap().reservations.values().collect();
    assert_eq!(format!("{reserved:?}"), "[10.0.0.12]");
    let small = "dryrack = 1\nnetwork.lan.address = \"10.0.0.1/30\"\nhost.b.nic.lan = \"dhcp\"\nhost.c.nic.lan = \"dhcp\"\n";
    assert_snapshot!(check(small), @r#"
    error[L112]: network `lan` has no free address for one NIC
     --> lab.toml:2:9
      |
    2 | network.lan.address = "10.0.0.1/30"
      |         ^^^
      |
      = help: use a shorter prefix or a smaller pool, or let nodes get their addresses from the pool

    1 error; for more, run `dryrack explain L112`
    "#);
}
