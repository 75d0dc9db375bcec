//! Errors in keys and values: unknown keys, names, references.

use insta::assert_snapshot;

use super::{check, check_more};

#[test]
fn version_missing() {
    assert_snapshot!(check("name = \"a\"\nnetwork.lan.address = \"10.0.0.1/24\"\n"), @r#"
    error[L006]: the format version is missing
     --> lab.toml:1:1
      |
    1 | name = "a"
      | ^
      |
      = help: begin the file with `dryrack = 1`

    1 error; for more, run `dryrack explain L006`
    "#);
}

#[test]
fn version_unknown() {
    assert_snapshot!(check("dryrack = 2\nfuture = true\n"), @"
    error[L006]: format version 2 is not supported, only version 1 is
     --> lab.toml:1:11
      |
    1 | dryrack = 2
      |           ^
      |
      = help: begin the file with `dryrack = 1`

    1 error; for more, run `dryrack explain L006`
    ");
}

#[test]
fn version_of_another_type() {
    assert_snapshot!(check("dryrack = \"1\"\n"), @r#"
    error[L008]: `dryrack` must be an integer, not the string "1"
     --> lab.toml:1:11
      |
    1 | dryrack = "1"
      |           ^^^
      |
      = help: remove the quotes

    1 error; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn unknown_key_near_a_known_one() {
    assert_snapshot!(check_more("node.a.memroy = \"1GiB\"\n"), @r#"
    error[L007]: unknown key `memroy`
     --> lab.toml:5:8
      |
    5 | node.a.memroy = "1GiB"
      |        ^^^^^^
      |
      = help: did you mean `memory`?

    1 error; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn unknown_key_near_no_other() {
    assert_snapshot!(check_more("network.lan.bandwidth = \"1Gbit\"\n"), @r#"
    error[L007]: unknown key `bandwidth`
     --> lab.toml:5:13
      |
    5 | network.lan.bandwidth = "1Gbit"
      |             ^^^^^^^^^
      |
      = help: expected one of `address`, `subnet`, `probe-from`, `bridge`, `ipv6`, `interface`, `mtu`, `nat`, `bmc`, `services`, `dhcp`, `tftp`, `http`, `options`, `root`, `files`, `listing`, `ra`, `ntp`, `syslog`, `https`, `matchbox`, `dns`

    1 error; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn unknown_table() {
    assert_snapshot!(check_more("[nodes.b]\nprofile = \"tiny\"\n"), @"
    error[L007]: unknown key `nodes`
     --> lab.toml:5:2
      |
    5 | [nodes.b]
      |  ^^^^^
      |
      = help: did you mean `node`?

    1 error; for more, run `dryrack explain L007`
    ");
}

#[test]
fn known_key_in_the_wrong_table() {
    assert_snapshot!(check_more("node.a.mac = \"52:54:00:12:34:56\"\n"), @r#"
    error[L007]: unknown key `mac`
     --> lab.toml:5:8
      |
    5 | node.a.mac = "52:54:00:12:34:56"
      |        ^^^
      |
      = help: `mac` belongs in `host.NAME.nic.NAME`, `node.NAME.bmc`, `node.NAME.nic.NAME`

    1 error; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn top_level_key_below_a_table() {
    let lab = "[network.lan]\naddress = \"10.0.0.1/24\"\ndryrack = 1\nisolation = \"none\"\n";
    assert_snapshot!(check(lab), @r#"
    error[L006]: the format version is missing
     --> lab.toml:1:1
      |
    1 | [network.lan]
      | ^
      |
      = help: begin the file with `dryrack = 1`

    error[L007]: unknown key `dryrack`
     --> lab.toml:3:1
      |
    3 | dryrack = 1
      | ^^^^^^^
      |
      = help: `dryrack` belongs at the top of the file, above the first [table]

    error[L007]: unknown key `isolation`
     --> lab.toml:4:1
      |
    4 | isolation = "none"
      | ^^^^^^^^^
      |
      = help: `isolation` belongs at the top of the file, above the first [table]

    3 errors; for more, run `dryrack explain L006`
    "#);
}

#[test]
fn wrong_types() {
    let more = r#"
node.a.memory = 512
node.a.cpus = "2"
node.c.profile = ["tiny"]
expect.up = { nodes = "a", that.tcp = "22" }
network.lan.nat = "yes"
publish = 5
node.b = "tiny"
profile.p.kernel = ["image:tiny/kernel"]
name = 2026-11-21
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L008]: `memory` must be a size like "512MiB" or "4GiB", not the number 512
     --> lab.toml:6:17
      |
    6 | node.a.memory = 512
      |                 ^^^
      |
      = help: add quotes

    error[L008]: `cpus` must be an integer, not the string "2"
     --> lab.toml:7:15
      |
    7 | node.a.cpus = "2"
      |               ^^^
      |
      = help: remove the quotes

    error[L008]: `profile` must be a string, not a list
     --> lab.toml:8:18
      |
    8 | node.c.profile = ["tiny"]
      |                  ^^^^^^^^
      |
      = help: remove the brackets

    error[L008]: `nodes` must be a list, not the string "a"
     --> lab.toml:9:23
      |
    9 | expect.up = { nodes = "a", that.tcp = "22" }
      |                       ^^^
      |
      = help: add brackets: ["…"]

    error[L008]: `tcp` must be an integer from 0 to 65535, not the string "22"
     --> lab.toml:9:39
      |
    9 | expect.up = { nodes = "a", that.tcp = "22" }
      |                                       ^^^^
      |
      = help: remove the quotes

    error[L008]: `nat` must be a boolean, not the string "yes"
      --> lab.toml:10:19
       |
    10 | network.lan.nat = "yes"
       |                   ^^^^^
       |
       = help: write true, without quotes

    error[L008]: `publish` must be a table, not the number 5
      --> lab.toml:11:11
       |
    11 | publish = 5
       |           ^

    error[L008]: `b` must be a table, not the string "tiny"
      --> lab.toml:12:10
       |
    12 | node.b = "tiny"
       |          ^^^^^^

    error[L008]: `kernel` must be a string, not a list
      --> lab.toml:13:20
       |
    13 | profile.p.kernel = ["image:tiny/kernel"]
       |                    ^^^^^^^^^^^^^^^^^^^^^
       |
       = help: remove the brackets

    error[L008]: `name` must be a string, not a date
      --> lab.toml:14:8
       |
    14 | name = 2026-11-21
       |        ^^^^^^^^^^
       |
       = help: add quotes

    10 errors; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn a_word_that_needs_settings_and_one_that_takes_none() {
    let more = r#"
network.lan.dhcp = { proxy = { pool = [] } }
expect.a.that = "tcp"
expect.b.that = { tcp = 22, stage = "os" }
expect.c.that = {}
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L008]: `proxy` takes no settings
     --> lab.toml:6:20
      |
    6 | network.lan.dhcp = { proxy = { pool = [] } }
      |                    ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write "proxy"

    error[L008]: `tcp` requires settings
     --> lab.toml:7:17
      |
    7 | expect.a.that = "tcp"
      |                 ^^^^^
      |
      = help: write { tcp = … }

    error[L008]: `that` must have exactly one key, not 2
     --> lab.toml:8:17
      |
    8 | expect.b.that = { tcp = 22, stage = "os" }
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: choose one of `console`, `stage`, `tcp`, `http`, `certificate`, `dns`, `ssh`, `etcd`, `kubernetes`, `boots`, `fetched`, `leased`, `finding`, `installed`, `command`, `process`, `cloud-init`, `units`, `ignition`, `cmdline`, `nics`, `clock`, `file`, `unreachable`

    error[L008]: `that` must have exactly one key, not 0
     --> lab.toml:9:17
      |
    9 | expect.c.that = {}
      |                 ^^
      |
      = help: choose one of `console`, `stage`, `tcp`, `http`, `certificate`, `dns`, `ssh`, `etcd`, `kubernetes`, `boots`, `fetched`, `leased`, `finding`, `installed`, `command`, `process`, `cloud-init`, `units`, `ignition`, `cmdline`, `nics`, `clock`, `file`, `unreachable`

    4 errors; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn values_that_do_not_read() {
    let more = r#"
node.a.memory = "512 megabytes"
node.a.nic.lan = { mac = "52:54:00", address = "10.0.0.300" }
node.a.uuid = "1234"
network.lan.dns = { upstream = "8.8.8.8", records = { ntp = "here" } }
expect.up = { within = "5 minutes", that.stage = "os" }
node.b = { profile = "tiny", boot = "disk" }
node.c = { profile = "tiny", cpus = 99999999999999999999 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L009]: `memory` must be a size like "512MiB" or "4GiB", not the string "512 megabytes"
     --> lab.toml:6:17
      |
    6 | node.a.memory = "512 megabytes"
      |                 ^^^^^^^^^^^^^^^

    error[L009]: `mac` must be a MAC address like "52:54:00:12:34:56", not the string "52:54:00"
     --> lab.toml:7:26
      |
    7 | node.a.nic.lan = { mac = "52:54:00", address = "10.0.0.300" }
      |                          ^^^^^^^^^^

    error[L009]: `address` must be an IPv4 address like "10.0.2.15", or "pool", not the string "10.0.0.300"
     --> lab.toml:7:48
      |
    7 | node.a.nic.lan = { mac = "52:54:00", address = "10.0.0.300" }
      |                                                ^^^^^^^^^^^^

    error[L009]: `uuid` must be a UUID like "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab", not the string "1234"
     --> lab.toml:8:15
      |
    8 | node.a.uuid = "1234"
      |               ^^^^^^

    error[L009]: `upstream` must be "host", "none" or a list of servers, not the string "8.8.8.8"
     --> lab.toml:9:32
      |
    9 | network.lan.dns = { upstream = "8.8.8.8", records = { ntp = "here" } }
      |                                ^^^^^^^^^

    error[L009]: `ntp` must be an IP address like "10.0.2.15", not the string "here"
     --> lab.toml:9:61
      |
    9 | network.lan.dns = { upstream = "8.8.8.8", records = { ntp = "here" } }
      |                                                             ^^^^^^

    error[L009]: `within` must be a duration like "90s", "10m" or "1h30m", not the string "5 minutes"
      --> lab.toml:10:24
       |
    10 | expect.up = { within = "5 minutes", that.stage = "os" }
       |                        ^^^^^^^^^^^

    error[L009]: `boot` must be a list like ["disk", "network"], or "nvram", not the string "disk"
      --> lab.toml:11:37
       |
    11 | node.b = { profile = "tiny", boot = "disk" }
       |                                     ^^^^^^

    error[L009]: the number 99999999999999999999 is too large
      --> lab.toml:12:37
       |
    12 | node.c = { profile = "tiny", cpus = 99999999999999999999 }
       |                                     ^^^^^^^^^^^^^^^^^^^^
       |
       = help: integers range from -9223372036854775808 to 9223372036854775807

    9 errors; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn unknown_words() {
    let more = r#"
node.a.firmware = "uefy"
node.a.machine = "microvm"
network.lan.dhcp = "on"
expect.up.that.stage = "login"
expect.ping.that = { ping = 5 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L010]: `firmware` cannot be `uefy`
     --> lab.toml:6:19
      |
    6 | node.a.firmware = "uefy"
      |                   ^^^^^^
      |
      = help: did you mean `uefi`?

    error[L010]: `machine` cannot be `microvm`
     --> lab.toml:7:18
      |
    7 | node.a.machine = "microvm"
      |                  ^^^^^^^^^
      |
      = help: expected one of `q35`, `pc`

    error[L010]: `dhcp` cannot be `on`
     --> lab.toml:8:20
      |
    8 | network.lan.dhcp = "on"
      |                    ^^^^
      |
      = help: expected one of `server`, `proxy`, `off`, `relay`

    error[L010]: `stage` cannot be `login`
     --> lab.toml:9:24
      |
    9 | expect.up.that.stage = "login"
      |                        ^^^^^^^
      |
      = help: expected one of `off`, `firmware`, `dhcp`, `nbp`, `loader`, `kernel`, `os`

    error[L010]: `that` cannot be `ping`
      --> lab.toml:10:22
       |
    10 | expect.ping.that = { ping = 5 }
       |                      ^^^^
       |
       = help: expected one of `console`, `stage`, `tcp`, `http`, `certificate`, `dns`, `ssh`, `etcd`, `kubernetes`, `boots`, `fetched`, `leased`, `finding`, `installed`, `command`, `process`, `cloud-init`, `units`, `ignition`, `cmdline`, `nics`, `clock`, `file`, `unreachable`

    5 errors; for more, run `dryrack explain L010`
    "#);
}

#[test]
fn keys_missing() {
    let lab = r#"dryrack = 1
[network.lan]
mtu = 1500
[profile.p]
args = []
[node.a]
profile = "p"
disk.root = { bus = "sata" }
[expect.e]
that.ssh = { run = "true" }
[expect.f]
that.tcp = {}
"#;
    assert_snapshot!(check(lab), @r#"
    error[L011]: `address` is missing here
     --> lab.toml:2:10
      |
    2 | [network.lan]
      |          ^^^
      |
      = help: it has no default: add address = "10.0.2.1/24"

    error[L011]: `kernel` is missing here
     --> lab.toml:4:10
      |
    4 | [profile.p]
      |          ^
      |
      = help: it has no default: add kernel = "image:tiny/kernel"

    error[L011]: `size` is missing here
     --> lab.toml:8:6
      |
    8 | disk.root = { bus = "sata" }
      |      ^^^^
      |
      = help: it has no default: add size = "10GiB"

    error[L011]: `user` is missing here
      --> lab.toml:10:1
       |
    10 | that.ssh = { run = "true" }
       | ^^^^
       |
       = help: it has no default: add user = "root"

    error[L011]: `port` is missing here
      --> lab.toml:12:1
       |
    12 | that.tcp = {}
       | ^^^^
       |
       = help: it has no default: add port = 22

    5 errors; for more, run `dryrack explain L011`
    "#);
}

#[test]
fn names_that_are_none() {
    let more = r#"
name = "My Lab"
[node."rack 1/α"]
profile = "tiny"
[node."…"]
profile = "tiny"
[expect.-x]
that.stage = "os"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L012]: `My Lab` is not a valid name: `M` is not a lower-case letter, a digit or a dash
     --> lab.toml:6:8
      |
    6 | name = "My Lab"
      |        ^^^^^^^^
      |
      = help: try `my-lab`

    error[L012]: `rack 1/α` is not a valid name: ` ` is not a lower-case letter, a digit or a dash
     --> lab.toml:7:7
      |
    7 | [node."rack 1/α"]
      |       ^^^^^^^^^^
      |
      = help: try `rack-1`

    error[L012]: `…` is not a valid name: `…` is not a lower-case letter, a digit or a dash
     --> lab.toml:9:7
      |
    9 | [node."…"]
      |       ^^^
      |
      = help: use lower-case letters, digits and dashes

    error[L012]: `-x` is not a valid name: it begins or ends with a dash
      --> lab.toml:11:9
       |
    11 | [expect.-x]
       |         ^^
       |
       = help: try `x`

    4 errors; for more, run `dryrack explain L012`
    "#);
}

#[test]
fn a_name_too_long() {
    assert_snapshot!(check_more(&format!("node.{}.profile = \"tiny\"\n", "n".repeat(64))), @r#"
    error[L012]: `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn` is not a valid name: it has more than 63 characters (RFC 1035, section 2.3.4)
     --> lab.toml:5:6
      |
    5 | node.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.profile = "tiny"
      |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: use at most 63 characters, including the number of a node in its group

    1 error; for more, run `dryrack explain L012`
    "#);
}

#[test]
fn a_name_too_long_only_when_counted() {
    assert_snapshot!(check_more(&format!("node.{} = {{ count = 12, profile = \"tiny\" }}\n", "n".repeat(61))), @r#"
    error[L012]: `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn-10` is not a valid name: it has more than 63 characters (RFC 1035, section 2.3.4)
     --> lab.toml:5:6
      |
    5 | node.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn = { count = 12, profile = "tiny" }
      |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: use at most 63 characters, including the number of a node in its group

    1 error; for more, run `dryrack explain L012`
    "#);
}

#[test]
fn a_missing_file() {
    let more = r#"
profile.own = { kernel = "files/vmlinuz", initrd = ["initrd.img", "../other/initrd.img"] }
expect.in = { that.ssh = { user = "root", key = { file = "id_ed25519" } } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L017]: there is no file `initrd.img`
     --> lab.toml:6:53
      |
    6 | profile.own = { kernel = "files/vmlinuz", initrd = ["initrd.img", "../other/initrd.img"] }
      |                                                     ^^^^^^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L017]: there is no file `../other/initrd.img`
     --> lab.toml:6:67
      |
    6 | profile.own = { kernel = "files/vmlinuz", initrd = ["initrd.img", "../other/initrd.img"] }
      |                                                                   ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L017]: there is no file `id_ed25519`
     --> lab.toml:7:58
      |
    7 | expect.in = { that.ssh = { user = "root", key = { file = "id_ed25519" } } }
      |                                                          ^^^^^^^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    3 errors; for more, run `dryrack explain L017`
    "#);
}

#[test]
fn a_path_that_is_none() {
    assert_snapshot!(check_more("profile.own.kernel = \"\"\n"), @r#"
    error[L009]: this is not the path of a file
     --> lab.toml:5:22
      |
    5 | profile.own.kernel = ""
      |                      ^^
      |
      = help: use a file in the lab's folder

    1 error; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn an_image_without_recipe() {
    let more = r#"
profile.p = { kernel = "image:tinny/kernel" }
profile.q = { kernel = "image:flatcar/kernel" }
profile.r = { kernel = "image:/kernel" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L018]: there is no image `tinny`
     --> lab.toml:6:24
      |
    6 | profile.p = { kernel = "image:tinny/kernel" }
      |                        ^^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `image:tiny/kernel`?

    error[L018]: there is no image `flatcar`
     --> lab.toml:7:24
      |
    7 | profile.q = { kernel = "image:flatcar/kernel" }
      |                        ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the recipes are `debian`, `etcd`, `tiny`; put your own into images/NAME beside the lab file

    error[L018]: the image name is missing
     --> lab.toml:8:24
      |
    8 | profile.r = { kernel = "image:/kernel" }
      |                        ^^^^^^^^^^^^^^^
      |
      = help: write image:NAME/FILE, such as "image:tiny/kernel"

    3 errors; for more, run `dryrack explain L018`
    "#);
}

#[test]
fn a_file_that_an_image_lacks() {
    let more = r#"
profile.p = { kernel = "image:tiny/kernal" }
profile.q = { kernel = "image:debian/vmlinuz" }
profile.r = { kernel = "image:tiny" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L019]: image `tiny` has no file `kernal`
     --> lab.toml:6:24
      |
    6 | profile.p = { kernel = "image:tiny/kernal" }
      |                        ^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `image:tiny/kernel`?

    error[L019]: image `debian` has no file `vmlinuz`
     --> lab.toml:7:24
      |
    7 | profile.q = { kernel = "image:debian/vmlinuz" }
      |                        ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it has `disk`

    error[L019]: the file name is missing after image `tiny`
     --> lab.toml:8:24
      |
    8 | profile.r = { kernel = "image:tiny" }
      |                        ^^^^^^^^^^^^
      |
      = help: it has `initrd`, `kernel`

    3 errors; for more, run `dryrack explain L019`
    "#);
}

#[test]
fn unknown_nodes() {
    let more = r#"
node.worker = { count = 2, profile = "tiny" }
expect.up = { nodes = ["b", "worker", "worker-3"], that.stage = "os" }
publish.2222 = "controller:22"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L020]: there is no node `b`
     --> lab.toml:7:24
      |
    7 | expect.up = { nodes = ["b", "worker", "worker-3"], that.stage = "os" }
      |                        ^^^
      |
      = help: did you mean `a`?

    error[L020]: there is no node `worker`
     --> lab.toml:7:29
      |
    7 | expect.up = { nodes = ["b", "worker", "worker-3"], that.stage = "os" }
      |                             ^^^^^^^^
      |
      = help: list `worker-1`, `worker-2` separately

    error[L020]: there is no node `worker-3`
     --> lab.toml:7:39
      |
    7 | expect.up = { nodes = ["b", "worker", "worker-3"], that.stage = "os" }
      |                                       ^^^^^^^^^^
      |
      = help: did you mean `worker-1`?

    error[L020]: there is no node `controller`
     --> lab.toml:8:16
      |
    8 | publish.2222 = "controller:22"
      |                ^^^^^^^^^^^^^^^
      |
      = help: the lab has `worker-1`, `worker-2`, `a`

    4 errors; for more, run `dryrack explain L020`
    "#);
}

#[test]
fn a_misspelt_key_is_not_missing() {
    assert_snapshot!(check_more("node.b.profil = \"tiny\"\nprofile.p.kernl = \"x\"\n"), @r#"
    error[L007]: unknown key `profil`
     --> lab.toml:5:8
      |
    5 | node.b.profil = "tiny"
      |        ^^^^^^
      |
      = help: did you mean `profile`?

    error[L007]: unknown key `kernl`
     --> lab.toml:6:11
      |
    6 | profile.p.kernl = "x"
      |           ^^^^^
      |
      = help: did you mean `kernel`?

    2 errors; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    assert_snapshot!(check("\u{feff}dryrack = 1\r\n\r\nnetwork.lan = { adress = \"10.0.0.1/24\" }\r\n"), @r#"
    error[L007]: unknown key `adress`
     --> lab.toml:3:17
      |
    3 | network.lan = { adress = "10.0.0.1/24" }
      |                 ^^^^^^
      |
      = help: did you mean `address`?

    1 error; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn renamed_keys_and_values() {
    assert_snapshot!(check_more(
        "place = \"host\"\nnode.a.pace = \"real\"\nnetwork.lan.tftp = \"own\"\nnode.a.start = \"lab\"\nisolation = \"host\"\n\
         network.lan.ra = false\n\
         network.lan.dhcp.server = { lease = \"1h\", unknown = \"ignore\" }\n"
    ), @r#"
    error[L007]: unknown key `place`
     --> lab.toml:5:1
      |
    5 | place = "host"
      | ^^^^^
      |
      = help: `place` was renamed to `isolation`

    error[L007]: unknown key `pace`
     --> lab.toml:6:8
      |
    6 | node.a.pace = "real"
      |        ^^^^
      |
      = help: `pace` was renamed to `firmware-delays`

    error[L010]: `tftp` cannot be `own`
     --> lab.toml:7:20
      |
    7 | network.lan.tftp = "own"
      |                    ^^^^^
      |
      = help: `own` was renamed to `builtin`

    error[L010]: `start` cannot be `lab`
     --> lab.toml:8:16
      |
    8 | node.a.start = "lab"
      |                ^^^^^
      |
      = help: `lab` was renamed to `auto`

    error[L010]: `isolation` cannot be `host`
     --> lab.toml:9:13
      |
    9 | isolation = "host"
      |             ^^^^^^
      |
      = help: `host` was renamed to `none`

    error[L010]: `ra` cannot be `false`
      --> lab.toml:10:18
       |
    10 | network.lan.ra = false
       |                  ^^^^^
       |
       = help: `false` was renamed to `off`

    error[L007]: unknown key `lease`
      --> lab.toml:11:29
       |
    11 | network.lan.dhcp.server = { lease = "1h", unknown = "ignore" }
       |                             ^^^^^
       |
       = help: `lease` was renamed to `lease-time`

    error[L007]: unknown key `unknown`
      --> lab.toml:11:43
       |
    11 | network.lan.dhcp.server = { lease = "1h", unknown = "ignore" }
       |                                           ^^^^^^^
       |
       = help: `unknown` was renamed to `unknown-clients`

    8 errors; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn a_capture_is_off_or_a_table() {
    let top = |line: &str| check(&format!("{line}\n{}", super::BASE));
    assert_snapshot!(top("capture = \"on\""), @r#"
    error[L009]: `capture` must be "off", or a table like { size = "64MiB" }, not the string "on"
     --> lab.toml:1:11
      |
    1 | capture = "on"
      |           ^^^^

    1 error; for more, run `dryrack explain L009`
    "#);
    assert_snapshot!(top("capture = 64"), @r#"
    error[L008]: `capture` must be "off", or a table like { size = "64MiB" }, not the number 64
     --> lab.toml:1:11
      |
    1 | capture = 64
      |           ^^

    1 error; for more, run `dryrack explain L008`
    "#);
    assert_snapshot!(top("capture = { sise = \"1GiB\" }"), @r#"
    error[L007]: unknown key `sise`
     --> lab.toml:1:13
      |
    1 | capture = { sise = "1GiB" }
      |             ^^^^
      |
      = help: did you mean `size`?

    1 error; for more, run `dryrack explain L007`
    "#);
    assert_snapshot!(top("capture = { size = \"64KiB\" }"), @r#"
    error[L009]: 64KiB is too small for a capture
     --> lab.toml:1:20
      |
    1 | capture = { size = "64KiB" }
      |                    ^^^^^^^
      |
      = help: use 1MiB or more, or set `capture = "off"`

    1 error; for more, run `dryrack explain L009`
    "#);
    let lab = |line: &str| super::lab(&format!("{line}\n{}", super::BASE)).capture;
    assert_eq!(lab("capture = \"off\""), None);
    let capture = lab("capture.payload = true").unwrap();
    assert_eq!((capture.size, capture.payload), (crate::name::Bytes::mebi(64), true));
}
