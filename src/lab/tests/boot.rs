//! Errors in boot orders and profiles.

use insta::assert_snapshot;

use super::{check, check_more, lab};

#[test]
fn netboot_without_a_profile() {
    assert_snapshot!(check_more("[node.b]\nmemory = \"1GiB\"\n"), @r#"
    error[L301]: `b` boots from the network but has no profile
     --> lab.toml:5:7
      |
    5 | [node.b]
      |       ^
      |
      = help: give it a profile, such as profile = "tiny", or a disk to boot from

    1 error; for more, run `dryrack explain L301`
    "#);
}

#[test]
fn netboot_without_a_profile_by_its_own_order() {
    assert_snapshot!(check_more("[node.b]\nboot = [\"nic.lan\"]\n"), @r#"
    error[L301]: `b` boots from the network but has no profile
     --> lab.toml:6:8
      |
    6 | boot = ["nic.lan"]
      |        ^^^^^^^^^^^
      |
      = help: give it a profile, such as profile = "tiny", or a disk to boot from

    1 error; for more, run `dryrack explain L301`
    "#);
}

#[test]
fn no_profile_is_needed_where_another_server_answers() {
    assert_snapshot!(check_more("network.out = { address = \"10.1.0.1/24\", dhcp = \"off\" }\nnode.a.nic.lan = {}\nnode.b.nic.out = {}\n"), @r#"
    warning[L145]: nobody assigns addresses on network `out` with `dhcp = "off"`
     --> lab.toml:5:49
      |
    5 | network.out = { address = "10.1.0.1/24", dhcp = "off" }
      |                                                 ^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    1 warning; for more, run `dryrack explain L145`
    "#);
}

#[test]
fn a_profile_that_is_never_handed_out() {
    let more = r#"
[node.b]
boot = ["disk"]
profile = "tiny"
disk.root = { size = "1GiB" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L302]: `b` never boots from the network, so its profile is never used
     --> lab.toml:8:11
      |
    7 | boot = ["disk"]
      |        -------- its boot order
    8 | profile = "tiny"
      |           ^^^^^^
      |
      = help: add "network" to its boot order, or remove the profile

    1 error; for more, run `dryrack explain L302`
    "#);
}

#[test]
fn a_bios_without_variables() {
    assert_snapshot!(check_more("node.a.boot = \"nvram\"\n"), @r#"
    error[L303]: `a` has a BIOS, which stores no boot order
     --> lab.toml:5:15
      |
    5 | node.a.boot = "nvram"
      |               ^^^^^^^
      |
      = help: add firmware = "uefi", or set an order such as ["disk", "network"]

    1 error; for more, run `dryrack explain L303`
    "#);
}

#[test]
fn unknown_profiles() {
    let more = r#"
node.b.profile = "tinny"
node.c.profile = "flatcar"
node.worker = { count = 2, profile = "install" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L304]: there is no profile `tinny`
     --> lab.toml:6:18
      |
    6 | node.b.profile = "tinny"
      |                  ^^^^^^^
      |
      = help: did you mean `tiny`?

    error[L304]: there is no profile `flatcar`
     --> lab.toml:7:18
      |
    7 | node.c.profile = "flatcar"
      |                  ^^^^^^^^^
      |
      = help: the lab has `tiny`

    error[L304]: there is no profile `install`
     --> lab.toml:8:38
      |
    8 | node.worker = { count = 2, profile = "install" }
      |                                      ^^^^^^^^^
      |
      = help: the lab has `tiny`

    3 errors; for more, run `dryrack explain L304`
    "#);
}

#[test]
fn no_profile_at_all() {
    assert_snapshot!(check("dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\nnode.a.profile = \"tiny\"\n"), @r#"
    error[L304]: there is no profile `tiny`
     --> lab.toml:3:18
      |
    3 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: the lab has no profile

    1 error; for more, run `dryrack explain L304`
    "#);
}

#[test]
fn unknown_boot_devices() {
    let more = r#"
node.a.boot = ["cdrom", "disk.rot", "nic.wan", "net"]
node.a.disk.root = { size = "1GiB" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L305]: `a` has no `cdrom` to boot from
     --> lab.toml:6:16
      |
    6 | node.a.boot = ["cdrom", "disk.rot", "nic.wan", "net"]
      |                ^^^^^^^
      |
      = help: expected one of `disk`, `cd`, `usb`, `network`, `disk.root`, `nic.lan`

    error[L305]: `a` has no `disk.rot` to boot from
     --> lab.toml:6:25
      |
    6 | node.a.boot = ["cdrom", "disk.rot", "nic.wan", "net"]
      |                         ^^^^^^^^^^
      |
      = help: did you mean "disk.root"?

    error[L305]: `a` has no `nic.wan` to boot from
     --> lab.toml:6:37
      |
    6 | node.a.boot = ["cdrom", "disk.rot", "nic.wan", "net"]
      |                                     ^^^^^^^^^
      |
      = help: did you mean "nic.lan"?

    error[L305]: `a` has no `net` to boot from
     --> lab.toml:6:48
      |
    6 | node.a.boot = ["cdrom", "disk.rot", "nic.wan", "net"]
      |                                                ^^^^^
      |
      = help: did you mean "network"?

    4 errors; for more, run `dryrack explain L305`
    "#);
}

#[test]
fn the_only_nic_can_be_named() {
    assert_snapshot!(check_more("node.a.boot = [\"nic.lan\"]\n"), @"");
}

#[test]
fn an_empty_boot_order() {
    assert_snapshot!(check_more("node.b.boot = []\n"), @r#"
    error[L306]: `b` has nothing to boot from
     --> lab.toml:5:15
      |
    5 | node.b.boot = []
      |               ^^
      |
      = help: set a boot order, such as ["disk", "network"]

    1 error; for more, run `dryrack explain L306`
    "#);
}

#[test]
fn no_disk_to_boot_from() {
    assert_snapshot!(check_more("node.b.boot = [\"disk\"]\n"), @r#"
    error[L306]: `b` has nothing to boot from
     --> lab.toml:5:15
      |
    5 | node.b.boot = ["disk"]
      |               ^^^^^^^^
      |
      = help: it boots from disk but has none: add disk.root = { size = "10GiB", source = "…" }

    1 error; for more, run `dryrack explain L306`
    "#);
}

#[test]
fn no_network_to_boot_from() {
    assert_snapshot!(check("dryrack = 1\nnode.a = {}\n"), @"
    error[L306]: `a` has nothing to boot from
     --> lab.toml:2:6
      |
    2 | node.a = {}
      |      ^
      |
      = help: it boots from the network but the lab has none: add [network.lan]

    1 error; for more, run `dryrack explain L306`
    ");
}

#[test]
fn a_bios_cannot_netboot_without_a_rom() {
    let more = r#"
node.a.nic.lan = { rom = false }
node.b = { profile = "tiny", firmware = "uefi", nic.lan = { rom = false } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L306]: `a` has nothing to boot from
     --> lab.toml:4:6
      |
    4 | node.a.profile = "tiny"
      |      ^
      |
      = help: a BIOS needs the ROM of a NIC to boot from the network: remove rom = false

    1 error; for more, run `dryrack explain L306`
    "#);
}

#[test]
fn a_loader_for_another_firmware() {
    let more = r#"
profile.signed = { kernel = "image:tiny/kernel", loader = "shim" }
profile.menu = { kernel = "image:tiny/kernel", loader = "pxelinux" }
profile.web = { kernel = "image:tiny/kernel", via = "http" }
profile.six = { kernel = "image:tiny/kernel", loader = "grub", via = "pxe6" }
node.x = { firmware = "bios", profile = "signed" }
node.b = { firmware = "uefi", profile = "menu" }
node.c = { firmware = "bios", profile = "web" }
node.d = { firmware = "bios", profile = "six" }
node.e = { firmware = "uefi-secure", profile = "signed" }
node.f = { firmware = "bios", profile = "menu" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L307]: a BIOS cannot run EFI programs
      --> lab.toml:10:41
       |
    10 | node.x = { firmware = "bios", profile = "signed" }
       |                                         ^^^^^^^^
       |
       = help: give the node firmware = "uefi", or a profile with loader = "ipxe", "grub" or "pxelinux"

    error[L307]: PXELINUX runs on BIOS only
      --> lab.toml:11:41
       |
    11 | node.b = { firmware = "uefi", profile = "menu" }
       |                                         ^^^^^^
       |
       = help: give the node a profile with loader = "ipxe", "grub" or "shim"

    error[L307]: a BIOS does not support HTTP Boot
      --> lab.toml:12:41
       |
    12 | node.c = { firmware = "bios", profile = "web" }
       |                                         ^^^^^
       |
       = help: give the node firmware = "uefi", or a profile with loader = "ipxe", "grub" or "pxelinux"

    error[L307]: a BIOS does not support netboot over IPv6
      --> lab.toml:13:41
       |
    13 | node.d = { firmware = "bios", profile = "six" }
       |                                         ^^^^^
       |
       = help: give the node firmware = "uefi", or a profile with loader = "ipxe", "grub" or "pxelinux"

    4 errors; for more, run `dryrack explain L307`
    "#);
}

#[test]
fn a_loader_that_is_asked_too_much() {
    let more = r#"
profile.web = { kernel = "image:tiny/kernel", loader = "shim", via = "http6" }
profile.bare = { kernel = "image:tiny/kernel", initrd = "image:tiny/initrd", loader = "kernel" }
profile.told = { kernel = "image:tiny/kernel", args = ["quiet"], loader = "kernel" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L308]: Debian's signed GRUB, which shim starts, supports TFTP only
     --> lab.toml:6:70
      |
    6 | profile.web = { kernel = "image:tiny/kernel", loader = "shim", via = "http6" }
      |                                                                      ^^^^^^^
      |
      = help: use via = "pxe", or loader = "kernel" with a signed unified kernel image

    error[L308]: a kernel started by the firmware itself gets neither initrd nor arguments
     --> lab.toml:7:57
      |
    7 | profile.bare = { kernel = "image:tiny/kernel", initrd = "image:tiny/initrd", loader = "kernel" }
      |                                                         ^^^^^^^^^^^^^^^^^^^
      |
      = help: build them into a unified kernel image, or remove `loader`

    error[L308]: a kernel started by the firmware itself gets neither initrd nor arguments
     --> lab.toml:8:56
      |
    8 | profile.told = { kernel = "image:tiny/kernel", args = ["quiet"], loader = "kernel" }
      |                                                        ^^^^^^^
      |
      = help: build them into a unified kernel image, or remove `loader`

    3 errors; for more, run `dryrack explain L308`
    "#);
}

#[test]
fn a_program_for_an_unknown_architecture() {
    let more = r#"
[profile.arms.programs]
uefi-arm64 = "image:tiny/kernel"
uefi-x46 = "image:tiny/kernel"

[profile.arms]
kernel = "image:tiny/kernel"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L009]: unknown firmware architecture `uefi-x46`
     --> lab.toml:8:1
      |
    8 | uefi-x46 = "image:tiny/kernel"
      | ^^^^^^^^
      |
      = help: did you mean `uefi-x64`?

    1 error; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn programs_are_for_every_architecture_of_the_registry() {
    let lab = lab(r#"dryrack = 1
network.lan.address = "10.0.0.1/24"
[profile.boards]
kernel = "image:tiny/kernel"
[profile.boards.programs]
bios = "image:tiny/kernel"
22 = "image:tiny/kernel"
arm-32-uboot = "image:tiny/kernel"
"RISC-V 64-bit UEFI" = "image:tiny/kernel"
300 = "image:tiny/kernel"
"#);
    let numbers: Vec<u16> = lab.profiles.values().next().unwrap().programs.keys().copied().collect();
    assert_eq!(numbers, [0, 21, 22, 27, 300]);
    let more = r#"
[profile.boards.programs]
uefi-x64 = "image:tiny/kernel"
7 = "image:tiny/kernel"
70000 = "image:tiny/kernel"
commodore = "image:tiny/kernel"

[profile.boards]
kernel = "image:tiny/kernel"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L009]: architecture 7 is set twice
     --> lab.toml:8:1
      |
    7 | uefi-x64 = "image:tiny/kernel"
      | -------- first set here
    8 | 7 = "image:tiny/kernel"
      | ^
      |
      = help: set it once, by name or by number

    error[L009]: unknown firmware architecture `70000`
     --> lab.toml:9:1
      |
    9 | 70000 = "image:tiny/kernel"
      | ^^^^^
      |
      = help: expected one of `bios`, `uefi-x86`, `uefi-x64`, `uefi-arm32`, `uefi-arm64`, or a number or name of IANA's registry of processor architectures, as in `22` or `arm-64-uboot`

    error[L009]: unknown firmware architecture `commodore`
      --> lab.toml:10:1
       |
    10 | commodore = "image:tiny/kernel"
       | ^^^^^^^^^
       |
       = help: expected one of `bios`, `uefi-x86`, `uefi-x64`, `uefi-arm32`, `uefi-arm64`, or a number or name of IANA's registry of processor architectures, as in `22` or `arm-64-uboot`

    3 errors; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn an_open_quote_and_a_tab_are_told_from_what_grub_escapes() {
    assert_snapshot!(check(r#"dryrack = 1
network.lan.address = "10.0.2.1/24"
profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c', "d=\"e\tf\""] }
node.a.profile = "grub"
"#), @r#"
    error[L308]: a quote in this argument is not closed, so GRUB passes a different argument
     --> lab.toml:3:73
      |
    3 | profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c', "d=\"e\tf\""] }
      |                                                                         ^^^^^^^^
      |
      = help: close the quote, or remove it

    error[L308]: GRUB passes tabs and line breaks without the quotes around them
     --> lab.toml:3:83
      |
    3 | profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c', "d=\"e\tf\""] }
      |                                                                                   ^^^^^^^^^^^^
      |
      = help: use spaces; other loaders pass it unchanged

    2 errors; for more, run `dryrack explain L308`
    "#);
}

#[test]
fn arguments_that_grub_would_change_are_refused() {
    assert_snapshot!(check(r#"dryrack = 1
network.lan.address = "10.0.2.1/24"
profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c" d=$e', "it's", 'a=b"c"', 'a\b'] }
profile.same = { kernel = "image:tiny/kernel", loader = "pxelinux", args = ["it's", 'a=b"c"', 'a\b'] }
node.a.profile = "grub"
node.b.profile = "same"
"#), @r#"
    error[L308]: GRUB passes `\'` to the kernel instead of `'`
     --> lab.toml:3:89
      |
    3 | profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c" d=$e', "it's", 'a=b"c"', 'a\b'] }
      |                                                                                         ^^^^^^
      |
      = help: quotes may stand around a whole argument or its value only; other loaders pass it unchanged

    error[L308]: GRUB passes `\"` to the kernel instead of `"`
     --> lab.toml:3:97
      |
    3 | profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c" d=$e', "it's", 'a=b"c"', 'a\b'] }
      |                                                                                                 ^^^^^^^^
      |
      = help: quotes may stand around a whole argument or its value only; other loaders pass it unchanged

    error[L308]: GRUB passes `\\` to the kernel instead of `\`
     --> lab.toml:3:107
      |
    3 | profile.grub = { kernel = "image:tiny/kernel", loader = "grub", args = ['a="b c" d=$e', "it's", 'a=b"c"', 'a\b'] }
      |                                                                                                           ^^^^^
      |
      = help: quotes may stand around a whole argument or its value only; other loaders pass it unchanged

    3 errors; for more, run `dryrack explain L308`
    "#);
}

#[test]
fn https_is_there_for_those_who_boot_by_it() {
    assert_snapshot!(check(r#"dryrack = 1
[network.lan]
address = "10.0.2.1/24"
[profile.rom]
kernel = "image:tiny/kernel"
via = "https"
[profile.grub]
kernel = "image:tiny/kernel"
loader = "grub"
via = "https"
[profile.shim]
kernel = "image:tiny/kernel"
loader = "shim"
via = "https"
[profile.good]
kernel = "image:tiny/kernel"
initrd = ["lab:ca.cpio", "lab:ca.pom"]
loader = "chainload"
via = "https"
[profile.odd]
kernel = "lab:ca.pem"
programs = { bios = "lab:ca.der" }
[node.a]
firmware = "uefi"
profile = "good"
[node.b]
profile = "good"
disk.root = { size = "1GiB", source = "lab:ca.cpio" }
"#), @r#"
    error[L308]: the iPXE in a NIC's ROM does not support HTTPS
     --> lab.toml:6:7
      |
    6 | via = "https"
      |       ^^^^^^^
      |
      = help: use loader = "chainload", which the firmware fetches over HTTPS, or loader = "kernel"

    error[L308]: GRUB does not support HTTPS
      --> lab.toml:10:7
       |
    10 | via = "https"
       |       ^^^^^^^
       |
       = help: use loader = "chainload", which the firmware fetches over HTTPS, or loader = "kernel"

    error[L308]: Debian's signed GRUB, which shim starts, supports TFTP only
      --> lab.toml:14:7
       |
    14 | via = "https"
       |       ^^^^^^^
       |
       = help: use via = "pxe", or loader = "kernel" with a signed unified kernel image

    error[L142]: no network of this lab has HTTPS, so there is no certificate
      --> lab.toml:17:11
       |
    17 | initrd = ["lab:ca.cpio", "lab:ca.pom"]
       |           ^^^^^^^^^^^^^
       |
       = help: add network.lan.https = true

    error[L017]: there is no file `lab:ca.pom`
      --> lab.toml:17:26
       |
    17 | initrd = ["lab:ca.cpio", "lab:ca.pom"]
       |                          ^^^^^^^^^^^^
       |
       = help: did you mean `lab:ca.pem`?

    error[L009]: `lab:ca.pem` is a certificate, which cannot be booted
      --> lab.toml:21:10
       |
    21 | kernel = "lab:ca.pem"
       |          ^^^^^^^^^^^^
       |
       = help: add it to the `initrd` of a profile

    error[L009]: `lab:ca.der` is a certificate, which cannot be booted
      --> lab.toml:22:21
       |
    22 | programs = { bios = "lab:ca.der" }
       |                     ^^^^^^^^^^^^
       |
       = help: add it to the `initrd` of a profile

    error[L142]: `a` netboots over HTTPS, but none of its networks has HTTPS
      --> lab.toml:25:11
       |
    25 | profile = "good"
       |           ^^^^^^
       |
       = help: add network.lan.https = true

    error[L307]: a BIOS does not support HTTP Boot
      --> lab.toml:27:11
       |
    27 | profile = "good"
       |           ^^^^^^
       |
       = help: give the node firmware = "uefi", or a profile with loader = "ipxe", "grub" or "pxelinux"

    error[L009]: `lab:ca.cpio` is a certificate, which cannot be booted
      --> lab.toml:28:39
       |
    28 | disk.root = { size = "1GiB", source = "lab:ca.cpio" }
       |                                       ^^^^^^^^^^^^^
       |
       = help: add it to the `initrd` of a profile

    10 errors; for more, run `dryrack explain L308`
    "#);
}

#[test]
fn media_that_are_wrong() {
    assert_snapshot!(check_more(r#"
[node.b]
profile = "tiny"
disk.root = { size = "1GiB" }
disk.key = { size = "1GiB", bus = "usb" }
boot = ["cd.instal", "usb", "disk.key"]

[node.b.cd]
install = { source = "missing.iso", url = "https://example.org/x.iso", sha256 = "1234" }
digest = { sha256 = "1234" }
root = { url = "ftp://example.org/x.iso" }
empty = {}
"#), @r#"
    error[L305]: `b` has no `cd.instal` to boot from
      --> lab.toml:10:9
       |
    10 | boot = ["cd.instal", "usb", "disk.key"]
       |         ^^^^^^^^^^^
       |
       = help: did you mean "cd.install"?

    error[L009]: a drive has one image, from `source` or from `url`
      --> lab.toml:13:22
       |
    13 | install = { source = "missing.iso", url = "https://example.org/x.iso", sha256 = "1234" }
       |                      ^^^^^^^^^^^^^
       |
       = help: remove one of them

    error[L009]: `1234` is not 64 lower-case hexadecimal digits
      --> lab.toml:13:81
       |
    13 | install = { source = "missing.iso", url = "https://example.org/x.iso", sha256 = "1234" }
       |                                                                                 ^^^^^^
       |
       = help: `sha256sum FILE` prints the digest of a file

    error[L009]: a digest without a `url`
      --> lab.toml:14:21
       |
    14 | digest = { sha256 = "1234" }
       |                     ^^^^^^
       |
       = help: add the `url`

    error[L209]: `root` is the name of a disk and of a CD drive of `b`
      --> lab.toml:15:1
       |
     8 | disk.root = { size = "1GiB" }
       |      ---- the disk
    ...
    15 | root = { url = "ftp://example.org/x.iso" }
       | ^^^^
       |
       = help: give one of them another name

    error[L011]: `sha256` is missing here
      --> lab.toml:15:1
       |
    15 | root = { url = "ftp://example.org/x.iso" }
       | ^^^^
       |
       = help: it has no default: add sha256 = "…"

    error[L009]: `ftp://example.org/x.iso` is not a URL of HTTP or HTTPS
      --> lab.toml:15:16
       |
    15 | root = { url = "ftp://example.org/x.iso" }
       |                ^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: a file on this host is a `source`

    7 errors; for more, run `dryrack explain L305`
    "#);
    assert_snapshot!(check_more("node.b = { boot = [\"usb\"], disk.root = { size = \"1GiB\" } }\n"), @r#"
    error[L306]: `b` has nothing to boot from
     --> lab.toml:5:19
      |
    5 | node.b = { boot = ["usb"], disk.root = { size = "1GiB" } }
      |                   ^^^^^^^
      |
      = help: its boot order names no drive that it has: `disk` means disks, `usb` USB sticks, `cd` CD drives

    1 error; for more, run `dryrack explain L306`
    "#);
    assert_snapshot!(check_more("node.b = { boot = [\"cd\"], cd.install = \"image:tiny/kernel\" }\n"), @"");
}

#[test]
fn media_are_booted_before_the_network() {
    let text = r#"
        dryrack = 1
        network.lan.address = "10.0.2.1/24"
        profile.tiny.kernel = "image:tiny/kernel"
        node.a = { profile = "tiny", cd.install = "image:tiny/kernel", disk.key = { size = "1GiB", bus = "usb" } }
        node.b = { profile = "tiny", cd.empty = {}, disk.root = { size = "1GiB" } }
        node.c = { boot = ["cd.x", "cd"], cd.x = { url = "http://a/b.iso", sha256 = "SUM" } }
    "#;
    let lab = lab(&text.replace("SUM", &"0a".repeat(32)));
    let shown =
        lab.nodes.values().map(|node| format!("{:?}\n{:?}\n", node.boot, node.cds)).collect::<String>();
    assert_snapshot!(shown, @r#"
    Order([Cd, Usb, Network])
    [CdDrive { name: DiskName("install"), medium: Some(Image { image: ImageName("tiny"), file: "kernel" }) }]
    Order([Disk, Cd, Network])
    [CdDrive { name: DiskName("empty"), medium: None }]
    Order([OneCd(DiskName("x")), Cd])
    [CdDrive { name: DiskName("x"), medium: Some(Url { url: "http://a/b.iso", sha256: "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a" }) }]
    "#);
}
