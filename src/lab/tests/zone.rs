//! Errors in DNS records.

use insta::assert_snapshot;

use super::{check_more, lab};

#[test]
fn names_belong_to_the_domain_unless_they_are_whole() {
    let lab = lab(r#"dryrack = 1
[network.lan]
address = "10.0.0.1/24"
[network.lan.dns]
domain = "lab.test"
records = { ntp = "10.0.0.1", "*.apps" = ["10.0.0.5", "fd00::5"], "matchbox.local" = "10.0.0.1", "top." = "10.0.0.6" }
cname = { www = "a", "mirror" = "deb.debian.org", "*.old" = "a" }
srv = { "_etcd-server._tcp" = ["0 0 2380 a", "1 5 2380 ntp.lab.test"], "_none._tcp" = "0 0 0 ." }
txt = { "lab.test." = ["one", "two"], _acme = "three" }

[profile.tiny]
kernel = "image:tiny/kernel"
[node.a]
profile = "tiny"
"#);
    let network = lab.networks.values().next().unwrap();
    assert_snapshot!(format!("{:#?}", network.dns).replace("\n        ", " "), @r#"
    Dns {
        port: Some( 53,
        ),
        domain: "lab.test",
        records: { "*.apps.lab.test": [     10.0.0.5,     fd00::5, ], "matchbox.local": [     10.0.0.1, ], "ntp.lab.test": [     10.0.0.1, ], "top": [     10.0.0.6, ],
        },
        aliases: { "*.old.lab.test": "a.lab.test", "mirror.lab.test": "deb.debian.org", "www.lab.test": "a.lab.test",
        },
        services: { "_etcd-server._tcp.lab.test": [     Service {         priority: 0,         weight: 0,         port: 2380,         target: "a.lab.test",     },     Service {         priority: 1,         weight: 5,         port: 2380,         target: "ntp.lab.test",     }, ], "_none._tcp.lab.test": [     Service {         priority: 0,         weight: 0,         port: 0,         target: "",     }, ],
        },
        texts: { "_acme.lab.test": [     "three", ], "lab.test": [     "one",     "two", ],
        },
        upstream: None,
    }
    "#);
}

#[test]
fn no_names_of_records() {
    assert_snapshot!(check_more(r#"[network.lan.dns]
records = { "a.*" = "10.0.0.5", "**" = "10.0.0.5", nothing = [] }
cname = { www = "a b" }
srv = { "_x._tcp" = ["0 0 80 -", "0 0 a", "0 0 80", "0 0 65536 a"] }
txt = { "" = "x", n = 5 }
"#), @r#"
    error[L116]: `a.*` is not a domain name
     --> lab.toml:6:13
      |
    6 | records = { "a.*" = "10.0.0.5", "**" = "10.0.0.5", nothing = [] }
      |             ^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L116]: `**` is not a domain name
     --> lab.toml:6:33
      |
    6 | records = { "a.*" = "10.0.0.5", "**" = "10.0.0.5", nothing = [] }
      |                                 ^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L009]: `nothing.lab` has no address
     --> lab.toml:6:52
      |
    6 | records = { "a.*" = "10.0.0.5", "**" = "10.0.0.5", nothing = [] }
      |                                                    ^^^^^^^
      |
      = help: add one or more addresses

    error[L116]: `a b` is not a domain name
     --> lab.toml:7:17
      |
    7 | cname = { www = "a b" }
      |                 ^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L116]: `-` is not a domain name
     --> lab.toml:8:22
      |
    8 | srv = { "_x._tcp" = ["0 0 80 -", "0 0 a", "0 0 80", "0 0 65536 a"] }
      |                      ^^^^^^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L009]: `_x._tcp` must be priority, weight, port and target like "0 0 2380 node1", not the string "0 0 a"
     --> lab.toml:8:34
      |
    8 | srv = { "_x._tcp" = ["0 0 80 -", "0 0 a", "0 0 80", "0 0 65536 a"] }
      |                                  ^^^^^^^

    error[L009]: `_x._tcp` must be priority, weight, port and target like "0 0 2380 node1", not the string "0 0 80"
     --> lab.toml:8:43
      |
    8 | srv = { "_x._tcp" = ["0 0 80 -", "0 0 a", "0 0 80", "0 0 65536 a"] }
      |                                           ^^^^^^^^

    error[L009]: `_x._tcp` must be priority, weight, port and target like "0 0 2380 node1", not the string "0 0 65536 a"
     --> lab.toml:8:53
      |
    8 | srv = { "_x._tcp" = ["0 0 80 -", "0 0 a", "0 0 80", "0 0 65536 a"] }
      |                                                     ^^^^^^^^^^^^^

    error[L116]: `` is not a domain name
     --> lab.toml:9:9
      |
    9 | txt = { "" = "x", n = 5 }
      |         ^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L008]: `n` must be a string, not the number 5
     --> lab.toml:9:23
      |
    9 | txt = { "" = "x", n = 5 }
      |                       ^
      |
      = help: add quotes

    10 errors; for more, run `dryrack explain L116`
    "#);
}

#[test]
fn an_alias_has_nothing_beside_it() {
    assert_snapshot!(check_more(r#"[network.lan.dns]
records = { www = "10.0.0.5" }
txt = { Web = "x" }
cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
"#), @r#"
    error[L150]: `www.lab` is both an alias and an address
     --> lab.toml:8:11
      |
    6 | records = { www = "10.0.0.5" }
      |             --- an address is here
    7 | txt = { Web = "x" }
    8 | cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
      |           ^^^
      |
      = help: a name with an alias can have no other records: remove one of them

    error[L150]: `web.lab` is both an alias and a TXT record
     --> lab.toml:8:22
      |
    7 | txt = { Web = "x" }
      |         --- a TXT record is here
    8 | cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
      |                      ^^^
      |
      = help: a name with an alias can have no other records: remove one of them

    error[L150]: `a.lab` is both an alias and a node
     --> lab.toml:8:33
      |
    4 | node.a.profile = "tiny"
      |      - a node is here
    ...
    8 | cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
      |                                 ^
      |
      = help: a name with an alias can have no other records: remove one of them

    error[L150]: `lab` is both an alias and the domain itself
     --> lab.toml:8:44
      |
    8 | cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
      |                                            ^^^^^^
      |
      = help: a name with an alias can have no other records: remove one of them

    error[L150]: `x.lab` is defined as an alias twice
     --> lab.toml:8:69
      |
    8 | cname = { www = "a", web = "a", a = "www", "lab." = "a", "x" = "a", "X.lab" = "a" }
      |                                                          ---        ^^^^^^^
      |                                                          |
      |                                                          another alias is here
      |
      = help: a name with an alias can have no other records: remove one of them

    5 errors; for more, run `dryrack explain L150`
    "#);
}

#[test]
fn aliases_lead_in_a_circle() {
    assert_snapshot!(check_more(r#"[network.lan.dns]
cname = { way = "one", one = "two", two = "three", three = "one", self = "self", "*.wild" = "x.wild.lab" }
"#), @r#"
    error[L151]: these aliases form a loop: one.lab, two.lab, three.lab, one.lab
     --> lab.toml:6:24
      |
    6 | cname = { way = "one", one = "two", two = "three", three = "one", self = "self", "*.wild" = "x.wild.lab" }
      |                        ^^^
      |
      = help: point the last one to a node or to a name with an address

    error[L151]: these aliases form a loop: self.lab, self.lab
     --> lab.toml:6:67
      |
    6 | cname = { way = "one", one = "two", two = "three", three = "one", self = "self", "*.wild" = "x.wild.lab" }
      |                                                                   ^^^^
      |
      = help: point the last one to a node or to a name with an address

    error[L151]: these aliases form a loop: x.wild.lab, x.wild.lab
     --> lab.toml:6:82
      |
    6 | cname = { way = "one", one = "two", two = "three", three = "one", self = "self", "*.wild" = "x.wild.lab" }
      |                                                                                  ^^^^^^^^
      |
      = help: point the last one to a node or to a name with an address

    3 errors; for more, run `dryrack explain L151`
    "#);
}

#[test]
fn a_target_within_the_lab_exists() {
    assert_snapshot!(check_more(r#"[network.lan.dns]
records = { "*.apps" = "10.0.0.5" }
cname = { one = "b", two = "any.apps.lab", three = "apps.lab", four = "b.example", five = "ns", six = "lab.", seven = "one" }
srv = { "_x._tcp" = ["0 0 80 b", "0 0 80 a", "0 0 80 seven", "0 0 0 .", "0 0 80 b."] }
"#), @r#"
    error[L152]: the lab has no name `b.lab`
     --> lab.toml:7:17
      |
    7 | cname = { one = "b", two = "any.apps.lab", three = "apps.lab", four = "b.example", five = "ns", six = "lab.", seven = "one" }
      |                 ^^^
      |
      = help: did you mean `a.lab`?

    error[L152]: the lab has no name `apps.lab`
     --> lab.toml:7:52
      |
    7 | cname = { one = "b", two = "any.apps.lab", three = "apps.lab", four = "b.example", five = "ns", six = "lab.", seven = "one" }
      |                                                    ^^^^^^^^^^
      |
      = help: did you mean `*.apps.lab`?

    error[L152]: the lab has no name `b.lab`
     --> lab.toml:8:22
      |
    8 | srv = { "_x._tcp" = ["0 0 80 b", "0 0 80 a", "0 0 80 seven", "0 0 0 .", "0 0 80 b."] }
      |                      ^^^^^^^^^^
      |
      = help: did you mean `a.lab`?

    error[L153]: `seven.lab` is an alias of `one.lab`
     --> lab.toml:8:46
      |
    8 | srv = { "_x._tcp" = ["0 0 80 b", "0 0 80 a", "0 0 80 seven", "0 0 0 .", "0 0 80 b."] }
      |                                              ^^^^^^^^^^^^^^
      |
      = help: use the name of the host itself

    4 errors; for more, run `dryrack explain L152`
    "#);
}

#[test]
fn a_text_is_no_file() {
    let text = "x".repeat(5000);
    let said = check_more(&format!("network.lan.dns.txt.a = '{text}'"));
    assert_snapshot!(said.lines().next().unwrap(), @"error[L009]: this TXT record has 5000 bytes");
}
