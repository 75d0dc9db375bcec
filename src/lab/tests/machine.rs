//! Errors in machines: memory, CPUs, disks, serial numbers.

use insta::assert_snapshot;

use super::{check, check_more};

#[test]
fn too_little_memory_to_boot() {
    let more = r#"
node.a.memory = "32MiB"
node.b = { profile = "tiny", firmware = "uefi", memory = "128MiB" }
node.c = { profile = "tiny", firmware = "uefi-secure", memory = "255MiB" }
node.worker = { count = 3, profile = "tiny", memory = "1MiB" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L201]: `a` cannot boot with 32MiB
     --> lab.toml:6:17
      |
    6 | node.a.memory = "32MiB"
      |                 ^^^^^^^
      |
      = help: a BIOS node needs at least 64MiB

    error[L201]: `b` cannot boot with 128MiB
     --> lab.toml:7:58
      |
    7 | node.b = { profile = "tiny", firmware = "uefi", memory = "128MiB" }
      |                                                          ^^^^^^^^
      |
      = help: a UEFI node needs at least 256MiB

    error[L201]: `c` cannot boot with 255MiB
     --> lab.toml:8:65
      |
    8 | node.c = { profile = "tiny", firmware = "uefi-secure", memory = "255MiB" }
      |                                                                 ^^^^^^^^
      |
      = help: a UEFI node needs at least 256MiB

    error[L201]: `worker-1` cannot boot with 1MiB
     --> lab.toml:9:55
      |
    9 | node.worker = { count = 3, profile = "tiny", memory = "1MiB" }
      |                                                       ^^^^^^
      |
      = help: a BIOS node needs at least 64MiB

    4 errors; for more, run `dryrack explain L201`
    "#);
}

#[test]
fn arguments_of_qemu_that_are_not_possible() {
    let more = r#"
node.a.qemu.args = ["-device", "edu", "-qmp", "stdio", "--daemonize", "-machine", "hpet=off,type=pc"]
node.b = { profile = "tiny", qemu = { args = ["edu", "-machine", "pc"], cpu = "-host" } }
node.c = { profile = "tiny", qemu = { args = ["-machine", "hpet=off", "-d", "int"], cpu = "EPYC,+aes" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L210]: `-qmp` would break what Dryrack itself tells QEMU
     --> lab.toml:6:39
      |
    6 | node.a.qemu.args = ["-device", "edu", "-qmp", "stdio", "--daemonize", "-machine", "hpet=off,type=pc"]
      |                                       ^^^^^^
      |
      = help: Dryrack controls the machine by it

    error[L210]: `--daemonize` would break what Dryrack itself tells QEMU
     --> lab.toml:6:56
      |
    6 | node.a.qemu.args = ["-device", "edu", "-qmp", "stdio", "--daemonize", "-machine", "hpet=off,type=pc"]
      |                                                        ^^^^^^^^^^^^^
      |
      = help: Dryrack controls the machine by it

    error[L210]: `-machine` would break what Dryrack itself tells QEMU
     --> lab.toml:6:71
      |
    6 | node.a.qemu.args = ["-device", "edu", "-qmp", "stdio", "--daemonize", "-machine", "hpet=off,type=pc"]
      |                                                                       ^^^^^^^^^^
      |
      = help: Dryrack sets `type`

    error[L210]: `edu` is not an option of QEMU
     --> lab.toml:7:47
      |
    7 | node.b = { profile = "tiny", qemu = { args = ["edu", "-machine", "pc"], cpu = "-host" } }
      |                                               ^^^^^
      |
      = help: an option begins with `-`; its value is the next item

    error[L210]: `-machine` would break what Dryrack itself tells QEMU
     --> lab.toml:7:54
      |
    7 | node.b = { profile = "tiny", qemu = { args = ["edu", "-machine", "pc"], cpu = "-host" } }
      |                                                      ^^^^^^^^^^
      |
      = help: set `machine` of the node; `-machine` is for further properties

    error[L210]: `-host` is not a CPU
     --> lab.toml:7:79
      |
    7 | node.b = { profile = "tiny", qemu = { args = ["edu", "-machine", "pc"], cpu = "-host" } }
      |                                                                               ^^^^^^^
      |
      = help: give a model, as `qemu-system-x86_64 -cpu help` lists them

    6 errors; for more, run `dryrack explain L210`
    "#);
}

#[test]
fn more_memory_than_the_host_has_free() {
    let more = r#"
node.a.memory = "512MiB"
node.b = { profile = "tiny", memory = "12GiB" }
node.c = { profile = "tiny", memory = "4GiB" }
node.d = { profile = "tiny", memory = "100GiB", start = "manual" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L202]: the 3 nodes that start with the lab need 16896MiB of memory, but the host has 16GiB free
     --> lab.toml:7:39
      |
    7 | node.b = { profile = "tiny", memory = "12GiB" }
      |                                       ^^^^^^^
      |
      = help: reduce the `memory` of nodes, or set `start = "manual"` for some

    1 error; for more, run `dryrack explain L202`
    "#);
}

#[test]
fn a_group_with_more_memory_than_the_host_has_free() {
    assert_snapshot!(check_more("node.worker = { count = 40, profile = \"tiny\" }\n"), @r#"
    error[L202]: the 41 nodes that start with the lab need 20992MiB of memory, but the host has 16GiB free
     --> lab.toml:5:6
      |
    5 | node.worker = { count = 40, profile = "tiny" }
      |      ^^^^^^
      |
      = help: reduce the `memory` of nodes, or set `start = "manual"` for some

    1 error; for more, run `dryrack explain L202`
    "#);
}

#[test]
fn one_node_with_more_memory_than_the_host_has() {
    assert_snapshot!(check_more("node.a.memory = \"17179869183GiB\"\n"), @r#"
    error[L202]: `a` needs 17179869183GiB of memory, but the host has 16GiB free
     --> lab.toml:5:17
      |
    5 | node.a.memory = "17179869183GiB"
      |                 ^^^^^^^^^^^^^^^^
      |
      = help: reduce the `memory` of nodes, or set `start = "manual"` for some

    1 error; for more, run `dryrack explain L202`
    "#);
}

#[test]
fn cpus_out_of_range() {
    let more = r#"
node.a.cpus = 0
node.b = { profile = "tiny", cpus = 128 }
node.c = { profile = "tiny", cpus = -1 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L203]: a node cannot have 0 CPUs
     --> lab.toml:6:15
      |
    6 | node.a.cpus = 0
      |               ^
      |
      = help: a node has 1 to 64 CPUs

    error[L203]: a node cannot have 128 CPUs
     --> lab.toml:7:37
      |
    7 | node.b = { profile = "tiny", cpus = 128 }
      |                                     ^^^
      |
      = help: a node has 1 to 64 CPUs

    error[L203]: a node cannot have -1 CPUs
     --> lab.toml:8:37
      |
    8 | node.c = { profile = "tiny", cpus = -1 }
      |                                     ^^
      |
      = help: a node has 1 to 64 CPUs

    3 errors; for more, run `dryrack explain L203`
    "#);
}

#[test]
fn secure_boot_on_an_old_machine() {
    assert_snapshot!(check_more("node.b = { profile = \"tiny\", firmware = \"uefi-secure\", machine = \"pc\" }\n"), @r#"
    error[L204]: `b` has Secure Boot, which the pc machine type does not support
     --> lab.toml:5:66
      |
    5 | node.b = { profile = "tiny", firmware = "uefi-secure", machine = "pc" }
      |                                         ------------- set here   ^^^^
      |
      = help: remove `machine`; the default is q35

    1 error; for more, run `dryrack explain L204`
    "#);
}

#[test]
fn secure_boot_on_an_old_machine_in_two_lines() {
    let lab = r#"dryrack = 1
network.lan.address = "10.0.0.1/24"
profile.tiny.kernel = "image:tiny/kernel"
[node.a]
profile = "tiny"
firmware = "uefi-secure"
machine = "pc"
"#;
    assert_snapshot!(check(lab), @r#"
    error[L204]: `a` has Secure Boot, which the pc machine type does not support
     --> lab.toml:7:11
      |
    6 | firmware = "uefi-secure"
      |            ------------- set here
    7 | machine = "pc"
      |           ^^^^
      |
      = help: remove `machine`; the default is q35

    1 error; for more, run `dryrack explain L204`
    "#);
}

#[test]
fn a_disk_too_small() {
    assert_snapshot!(check_more("node.a.disk = { root = { size = \"0B\" }, data = { size = \"512KiB\" } }\n"), @r#"
    error[L205]: a disk of 0B is too small
     --> lab.toml:5:33
      |
    5 | node.a.disk = { root = { size = "0B" }, data = { size = "512KiB" } }
      |                                 ^^^^
      |
      = help: the minimum is 1MiB

    error[L205]: a disk of 512KiB is too small
     --> lab.toml:5:57
      |
    5 | node.a.disk = { root = { size = "0B" }, data = { size = "512KiB" } }
      |                                                         ^^^^^^^^
      |
      = help: the minimum is 1MiB

    2 errors; for more, run `dryrack explain L205`
    "#);
}

#[test]
fn serial_numbers_that_no_machine_can_have() {
    let more = r#"
[node.b]
profile = "tiny"
serial = ""
asset-tag = "Regal α"
disk.root = { size = "1GiB", serial = "longer-than-twenty-characters" }
disk.data = { size = "1GiB", serial = "a\tb" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L206]: this serial number is empty
     --> lab.toml:8:10
      |
    8 | serial = ""
      |          ^^
      |
      = help: remove it: the default is derived from the names, the same in every run

    error[L206]: this asset tag has characters other than printable ASCII
     --> lab.toml:9:13
      |
    9 | asset-tag = "Regal α"
      |             ^^^^^^^^^
      |
      = help: remove it: the default is derived from the names, the same in every run

    error[L206]: this serial number has 29 characters, and virtio and ATA disks allow 20
      --> lab.toml:10:39
       |
    10 | disk.root = { size = "1GiB", serial = "longer-than-twenty-characters" }
       |                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: remove it: the default is derived from the names, the same in every run

    error[L206]: this serial number has characters other than printable ASCII
      --> lab.toml:11:39
       |
    11 | disk.data = { size = "1GiB", serial = "a\tb" }
       |                                       ^^^^^^
       |
       = help: remove it: the default is derived from the names, the same in every run

    4 errors; for more, run `dryrack explain L206`
    "#);
}

#[test]
fn two_disks_with_one_serial_number() {
    let more = r#"
node.a.disk.root = { size = "1GiB", serial = "S1" }
node.b = { profile = "tiny", disk.data = { size = "1GiB", serial = "S1" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L207]: "S1" is already the serial number of disk.root of `a`
     --> lab.toml:7:68
      |
    6 | node.a.disk.root = { size = "1GiB", serial = "S1" }
      |                                              ---- first used here
    7 | node.b = { profile = "tiny", disk.data = { size = "1GiB", serial = "S1" } }
      |                                                                    ^^^^
      |
      = help: remove `serial`: each disk then gets its own, the same in every run

    1 error; for more, run `dryrack explain L207`
    "#);
}

#[test]
fn a_group_with_one_serial_number() {
    let more = r#"
[node.worker]
count = 3
profile = "tiny"
disk.root = { size = "1GiB", serial = "S1" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L207]: "S1" is already the serial number of disk.root of `worker-1`
     --> lab.toml:9:39
      |
    9 | disk.root = { size = "1GiB", serial = "S1" }
      |                                       ^^^^
      |
      = help: remove `serial`: each disk then gets its own, the same in every run

    1 error; for more, run `dryrack explain L207`
    "#);
}

#[test]
fn two_nodes_with_one_uuid() {
    let more = r#"
node.a.uuid = "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab"
node.b = { profile = "tiny", uuid = "6E4F0D2C-8F4D-5A0E-9B1C-0123456789AB" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L208]: 6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab is already the UUID of `a`
     --> lab.toml:7:37
      |
    6 | node.a.uuid = "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab"
      |               -------------------------------------- first used here
    7 | node.b = { profile = "tiny", uuid = "6E4F0D2C-8F4D-5A0E-9B1C-0123456789AB" }
      |                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `uuid`: each node then gets its own, the same in every run

    1 error; for more, run `dryrack explain L208`
    "#);
}

#[test]
fn a_group_with_one_uuid() {
    let more = r#"
node.worker = { count = 3, profile = "tiny", uuid = "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L208]: 6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab is already the UUID of `worker-1`
     --> lab.toml:6:53
      |
    6 | node.worker = { count = 3, profile = "tiny", uuid = "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab" }
      |                                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `uuid`: each node then gets its own, the same in every run

    1 error; for more, run `dryrack explain L208`
    "#);
}

#[test]
fn a_count_out_of_range() {
    let more = r#"
node.none = { count = 0, profile = "tiny" }
node.fewer = { count = -3, profile = "tiny" }
node.many = { count = 1000, profile = "tiny", memory = "64MiB", start = "manual" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L013]: a group cannot have 0 nodes
     --> lab.toml:6:23
      |
    6 | node.none = { count = 0, profile = "tiny" }
      |                       ^
      |
      = help: a group has 1 to 250 nodes

    error[L013]: a group cannot have -3 nodes
     --> lab.toml:7:24
      |
    7 | node.fewer = { count = -3, profile = "tiny" }
      |                        ^^
      |
      = help: a group has 1 to 250 nodes

    error[L013]: a group cannot have 1000 nodes
     --> lab.toml:8:23
      |
    8 | node.many = { count = 1000, profile = "tiny", memory = "64MiB", start = "manual" }
      |                       ^^^^
      |
      = help: a group has 1 to 250 nodes

    3 errors; for more, run `dryrack explain L013`
    "#);
}

#[test]
fn a_count_that_is_none() {
    assert_snapshot!(check_more("node.worker = { count = \"two\", profile = \"tiny\" }\n"), @r#"
    error[L008]: `count` must be an integer, not the string "two"
     --> lab.toml:5:25
      |
    5 | node.worker = { count = "two", profile = "tiny" }
      |                         ^^^^^

    1 error; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn a_node_beside_its_group() {
    let more = r#"
[node.worker]
count = 2
profile = "tiny"

[node.worker-3]
profile = "tiny"
"#;
    assert_snapshot!(check_more(more), @"
    warning[L016]: `worker-3` is not one of the 2 nodes of `worker`
      --> lab.toml:10:7
       |
     7 | count = 2
       | ----- the group's count
    ...
    10 | [node.worker-3]
       |       ^^^^^^^^
       |
       = help: raise the count, or rename this node

    1 warning; for more, run `dryrack explain L016`
    ");
}

#[test]
fn a_group_and_a_node_of_one_name() {
    let more = r#"
node.worker = { count = 2, profile = "tiny" }
node.worker-1.count = 2
"#;
    assert_snapshot!(check_more(more), @"
    error[L013]: `worker-1` is a node of group `worker` and cannot be a group itself
     --> lab.toml:7:15
      |
    7 | node.worker-1.count = 2
      |               ^^^^^
      |
      = help: set the count of `worker` instead, or rename this group

    1 error; for more, run `dryrack explain L013`
    ");
}

#[test]
fn too_many_nodes() {
    let groups: String = (0..5)
        .map(|n| format!("node.g{n} = {{ count = 250, profile = \"tiny\", start = \"manual\" }}\n"))
        .collect();
    let lab = format!(
        "dryrack = 1\nnetwork.lan.address = \"10.0.0.1/8\"\nprofile.tiny.kernel = \"image:tiny/kernel\"\n{groups}"
    );
    assert_snapshot!(check(&lab), @r#"
    error[L013]: the groups have 1250 nodes in total up to here
     --> lab.toml:8:21
      |
    8 | node.g4 = { count = 250, profile = "tiny", start = "manual" }
      |                     ^^^
      |
      = help: a lab has at most 1000 nodes

    1 error; for more, run `dryrack explain L013`
    "#);
}
