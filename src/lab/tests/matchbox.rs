//! matchbox in lab files.

use insta::assert_snapshot;

use super::{check, check_more, lab};

const SERVED: &str = r#"dryrack = 1
network.lan.address = "10.0.0.1/24"
network.lan.matchbox.data = "files/matchbox"
"#;

fn check_served(more: &str) -> String {
    check(&format!("{SERVED}{more}"))
}

#[test]
fn a_node_without_a_profile_asks_matchbox() {
    assert_snapshot!(check_served("node.a = {}\n"), @"");
    assert_snapshot!(check("dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\nnode.a = {}\n"), @"
    error[L301]: `a` boots from the network but has no profile
     --> lab.toml:3:6
      |
    3 | node.a = {}
      |      ^
      |
      = help: give it a `profile`, or a disk to boot from

    1 error; for more, run `dryrack explain L301`
    ");
}

#[test]
fn a_profile_without_a_kernel_asks_matchbox() {
    assert_snapshot!(check_served("profile.menu.loader = \"grub\"\nnode.a.profile = \"menu\"\n"), @"");
    assert_snapshot!(check_more("profile.menu.loader = \"grub\"\n"), @r#"
    error[L011]: `kernel` is missing here
     --> lab.toml:5:9
      |
    5 | profile.menu.loader = "grub"
      |         ^^^^
      |
      = help: it has no default: add kernel = "image:tiny/kernel"

    1 error; for more, run `dryrack explain L011`
    "#);
    assert_snapshot!(check_served("profile.menu.loader = \"pxelinux\"\n"), @r#"
    error[L011]: `kernel` is missing here
     --> lab.toml:4:9
      |
    4 | profile.menu.loader = "pxelinux"
      |         ^^^^
      |
      = help: it has no default: add kernel = "image:tiny/kernel"

    1 error; for more, run `dryrack explain L011`
    "#);
}

#[test]
fn assets_lie_in_the_data_directory_unless_named() {
    let matchbox = |more: &str| {
        let lab = lab(&format!("{SERVED}{more}"));
        lab.networks.into_values().find_map(|network| network.matchbox).unwrap()
    };
    let assets = |more: &str| matchbox(more).assets.unwrap().display().to_string();
    assert_eq!(assets(""), "/labs/my-lab/files/matchbox/assets");
    assert_eq!(assets("network.lan.matchbox.assets = \"files/images\"\n"), "/labs/my-lab/files/images");
    assert_eq!(matchbox("").port, 80);
}

#[test]
fn folders_and_files_have_to_be_there() {
    assert_snapshot!(check_more("network.lan.matchbox = { data = \"matchbox\", assets = \"files/a.b\", key-ring = \"ring\" }\n"), @r#"
    error[L017]: there is no file `matchbox`
     --> lab.toml:5:33
      |
    5 | network.lan.matchbox = { data = "matchbox", assets = "files/a.b", key-ring = "ring" }
      |                                 ^^^^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L140]: `files/a.b` is not a folder
     --> lab.toml:5:54
      |
    5 | network.lan.matchbox = { data = "matchbox", assets = "files/a.b", key-ring = "ring" }
      |                                                      ^^^^^^^^^^^
      |
      = help: set the folder that contains the files

    error[L017]: there is no file `ring`
     --> lab.toml:5:78
      |
    5 | network.lan.matchbox = { data = "matchbox", assets = "files/a.b", key-ring = "ring" }
      |                                                                              ^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    3 errors; for more, run `dryrack explain L017`
    "#);
    assert_snapshot!(check_served("network.lan.matchbox.rpc = { tls = \"files/a.b\" }\n"), @r#"
    error[L140]: `files/a.b` is not a folder
     --> lab.toml:4:36
      |
    4 | network.lan.matchbox.rpc = { tls = "files/a.b" }
      |                                    ^^^^^^^^^^^
      |
      = help: set the folder that contains the files

    1 error; for more, run `dryrack explain L140`
    "#);
    assert_snapshot!(check_served("network.lan.matchbox.rpc = {}\n"), @r#"
    error[L011]: `tls` is missing here
     --> lab.toml:4:28
      |
    4 | network.lan.matchbox.rpc = {}
      |                            ^^
      |
      = help: it has no default: add tls = "tls"

    1 error; for more, run `dryrack explain L011`
    "#);
    assert_snapshot!(check_served("profile.a = { ignition = \"a.ign\", cloud = \"a.yaml\", generic = \"\" }\n"), @r#"
    error[L017]: there is no file `a.ign`
     --> lab.toml:4:26
      |
    4 | profile.a = { ignition = "a.ign", cloud = "a.yaml", generic = "" }
      |                          ^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L017]: there is no file `a.yaml`
     --> lab.toml:4:43
      |
    4 | profile.a = { ignition = "a.ign", cloud = "a.yaml", generic = "" }
      |                                           ^^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L009]: this is not the path of a file
     --> lab.toml:4:63
      |
    4 | profile.a = { ignition = "a.ign", cloud = "a.yaml", generic = "" }
      |                                                               ^^
      |
      = help: use a file in the lab's folder

    3 errors; for more, run `dryrack explain L017`
    "#);
}

#[test]
fn ports_are_not_taken_twice() {
    assert_snapshot!(check_served("network.lan.matchbox.port = 53\n"), @"
    error[L143]: port 53 is used by DNS
     --> lab.toml:4:29
      |
    4 | network.lan.matchbox.port = 53
      |                             ^^
      |
      = help: remove it to use port 80

    1 error; for more, run `dryrack explain L143`
    ");
    assert_snapshot!(check_served("network.lan.matchbox.port = 0\n"), @"
    error[L143]: 0 is not a valid port
     --> lab.toml:4:29
      |
    4 | network.lan.matchbox.port = 0
      |                             ^
      |
      = help: remove it to use port 80

    1 error; for more, run `dryrack explain L143`
    ");
    assert_snapshot!(check_served("network.lan.https = true\nnetwork.lan.matchbox.port = 443\n"), @"
    error[L143]: port 443 is used by HTTPS
     --> lab.toml:5:29
      |
    5 | network.lan.matchbox.port = 443
      |                             ^^^
      |
      = help: remove it to use port 80

    1 error; for more, run `dryrack explain L143`
    ");
    assert_snapshot!(check_served("network.lan.matchbox.rpc = { tls = \"files/tls\", port = 80 }\n"), @r#"
    error[L143]: port 80 is used by HTTP
     --> lab.toml:4:56
      |
    4 | network.lan.matchbox.rpc = { tls = "files/tls", port = 80 }
      |                                                        ^^
      |
      = help: give each its own port

    1 error; for more, run `dryrack explain L143`
    "#);
    assert_snapshot!(check_served("network.lan.matchbox.port = 8081\nnetwork.lan.matchbox.rpc.tls = \"files/tls\"\n"), @r#"
    error[L143]: port 8081 is used by HTTP
     --> lab.toml:5:22
      |
    5 | network.lan.matchbox.rpc.tls = "files/tls"
      |                      ^^^
      |
      = help: give each its own port

    1 error; for more, run `dryrack explain L143`
    "#);
}

#[test]
fn a_group_names_a_profile_that_may_be_elsewhere() {
    assert_snapshot!(check_served("group.all.profile = \"in-the-data-directory\"\n"), @"");
    assert_snapshot!(check_served("group.all = {}\n"), @r#"
    error[L011]: `profile` is missing here
     --> lab.toml:4:7
      |
    4 | group.all = {}
      |       ^^^
      |
      = help: it has no default: add profile = "install"

    1 error; for more, run `dryrack explain L011`
    "#);
    assert_snapshot!(check_more("network.lan.matchbox = {}\ngroup.all.profile = \"tinny\"\n"), @r#"
    error[L304]: there is no profile `tinny`
     --> lab.toml:6:21
      |
    6 | group.all.profile = "tinny"
      |                     ^^^^^^^
      |
      = help: did you mean `tiny`?

    1 error; for more, run `dryrack explain L304`
    "#);
    assert_snapshot!(check_served("group.all = { profile = \"x\", network = \"lann\" }\n"), @r#"
    error[L114]: there is no network `lann`
     --> lab.toml:4:40
      |
    4 | group.all = { profile = "x", network = "lann" }
      |                                        ^^^^^^
      |
      = help: did you mean `lan`?

    1 error; for more, run `dryrack explain L114`
    "#);
}

#[test]
fn what_has_no_effect_is_told() {
    assert_snapshot!(check_more("group.all.profile = \"tiny\"\n"), @r#"
    error[L144]: no network of this lab has matchbox, so this group has no effect
     --> lab.toml:5:7
      |
    5 | group.all.profile = "tiny"
      |       ^^^
      |
      = help: add [network.lan.matchbox]

    1 error; for more, run `dryrack explain L144`
    "#);
    assert_snapshot!(check_served("network.wan.address = \"10.1.0.1/24\"\ngroup.all = { profile = \"x\", network = \"wan\" }\n"), @r#"
    error[L144]: network `wan` has no matchbox, so this group has no effect
     --> lab.toml:5:40
      |
    5 | group.all = { profile = "x", network = "wan" }
      |                                        ^^^^^
      |
      = help: add [network.wan.matchbox]

    1 error; for more, run `dryrack explain L144`
    "#);
    assert_snapshot!(check_served("network.lan.matchbox.passphrase.env = \"RING\"\n"), @r#"
    error[L144]: `passphrase` has no effect without `key-ring`
     --> lab.toml:4:22
      |
    4 | network.lan.matchbox.passphrase.env = "RING"
      |                      ^^^^^^^^^^
      |
      = help: add `key-ring`, or remove `passphrase`

    1 error; for more, run `dryrack explain L144`
    "#);
    assert_snapshot!(check("dryrack = 1\nnetwork.lan = { address = \"10.0.0.1/24\", matchbox = {} }\n"), @r#"
    error[L144]: matchbox has nothing to serve: no data directory, no group, no profile
     --> lab.toml:2:53
      |
    2 | network.lan = { address = "10.0.0.1/24", matchbox = {} }
      |                                                     ^^
      |
      = help: set a data directory, such as data = "matchbox"

    1 error; for more, run `dryrack explain L144`
    "#);
}

#[test]
fn metadata_may_be_anything_but_a_date() {
    assert_snapshot!(check_served("group.all = { profile = \"x\", metadata = { a = [1, { b = 2.5 }], c = 2026-01-01 } }\n"), @r#"
    error[L008]: `c` must be any valid JSON value, not a date
     --> lab.toml:4:69
      |
    4 | group.all = { profile = "x", metadata = { a = [1, { b = 2.5 }], c = 2026-01-01 } }
      |                                                                     ^^^^^^^^^^

    1 error; for more, run `dryrack explain L008`
    "#);
    assert_snapshot!(check_served("group.all = { profile = \"x\", selector = { mac = 1 }, metadata = \"a\" }\n"), @r#"
    error[L008]: `mac` must be a string, not the number 1
     --> lab.toml:4:49
      |
    4 | group.all = { profile = "x", selector = { mac = 1 }, metadata = "a" }
      |                                                 ^
      |
      = help: add quotes

    error[L008]: `metadata` must be a table, not the string "a"
     --> lab.toml:4:65
      |
    4 | group.all = { profile = "x", selector = { mac = 1 }, metadata = "a" }
      |                                                                 ^^^

    2 errors; for more, run `dryrack explain L008`
    "#);
    assert_snapshot!(check_served("network.lan.matchbox.ignition = \"3.5.0\"\n"), @r#"
    error[L009]: `ignition` must be an Ignition config version from "3.0.0" to "3.4.0", not the string "3.5.0"
     --> lab.toml:4:33
      |
    4 | network.lan.matchbox.ignition = "3.5.0"
      |                                 ^^^^^^^

    1 error; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn a_port_may_lead_to_the_boot_services() {
    let lab = lab(&format!("{SERVED}publish.\"8081\" = \"lan:8081\"\n"));
    let [publish] = lab.publish.as_slice() else { panic!("one port") };
    assert_eq!((publish.address.to_string().as_str(), publish.to), ("10.0.0.1", 8081));
    assert_eq!(publish.node, None);
}
