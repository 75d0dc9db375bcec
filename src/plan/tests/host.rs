//! Host requirements of a lab, and host changes after planning.

use super::*;

#[test]
fn a_plan_is_refused_where_the_host_has_changed() {
    let refused = |text: &str, then: &HostFacts, now: &HostFacts| {
        let plan = plan(&lab(text), then).unwrap();
        check_host(&plan, then).unwrap();
        let why = check_host(&plan, now).unwrap_err().why;
        why.strip_prefix("this host is not as it was when the plan was made: ").unwrap_or(&why).to_owned()
    };
    let kvm = HostFacts { accel: Accel::Kvm, ..facts() };
    let other = |change: fn(&mut HostFacts)| {
        let mut now = guarded();
        change(&mut now);
        now
    };
    let private = |change: fn(&mut HostFacts)| refused(PRIVATE, &guarded(), &other(change));
    let in_host = |change: fn(&mut HostFacts)| refused(&in_host(), &guarded(), &other(change));
    let all = [
        refused(PRIVATE, &kvm, &facts()),
        private(|now| now.qemu = None),
        private(|now| now.qemu.as_mut().unwrap().version = (9, 0, 0)),
        private(|now| now.qemu.as_mut().unwrap().lacks_ipmi = true),
        private(|now| (now.pasta, now.nft, now.qemu_img) = (None, None, None)),
        private(|now| now.firmware.clear()),
        private(|now| now.free_memory = Bytes::mebi(1)),
        private(|now| now.subnets.push("192.0.2.0/25".parse().unwrap())),
        in_host(|now| now.links.retain(|link| link.name.as_str() != "eth1")),
        in_host(|now| now.links[1].up = true),
        in_host(|now| now.links[1].master = Some(IfName::new("br0").unwrap())),
        in_host(|now| now.links[1].addresses = vec!["10.9.0.1".parse().unwrap()]),
        in_host(|now| now.links[1].mtu = 1400),
        in_host(|now| now.subnets.push("10.0.3.0/25".parse().unwrap())),
        in_host(|now| now.ip_forward = true),
        in_host(|now| now.forward_drops.clear()),
    ];
    assert_snapshot!(all.join("\n"), @"
    KVM does not boot a machine on this host
    QEMU is not installed
    QEMU is /usr/bin/qemu-system-x86_64 (9.0.0), it was /usr/bin/qemu-system-x86_64 (7.2.22)
    QEMU is /usr/bin/qemu-system-x86_64 (7.2.22, without IPMI), it was /usr/bin/qemu-system-x86_64 (7.2.22)
    the program `pasta` is not installed; the program `nft` is not installed; the program `qemu-img` is not installed
    the UEFI firmware with /usr/share/OVMF/OVMF_VARS_4M.fd is not as it was; the UEFI firmware with /usr/share/OVMF/OVMF_VARS_4M.ms.fd is not as it was
    the nodes need 1GiB of memory, but this host has 1MiB free
    this host uses 192.0.2.0/25, which the lab uses too
    interface eth1 does not exist
    interface eth1 is up
    interface eth1 is a port of br0
    interface eth1 has the address 10.9.0.1
    interface eth1 has MTU 1400, it was 1500
    this host uses 10.0.3.0/25, which the lab uses too
    IPv4 forwarding is on
    other firewall chains drop forwarded traffic
    ");
    // Facts that a private lab does not use may change, and missing images are built.
    let plan = plan(&lab(PRIVATE), &guarded()).unwrap();
    check_host(
        &plan,
        &HostFacts { links: Vec::new(), forward_drops: Vec::new(), built: Vec::new(), ..guarded() },
    )
    .unwrap();
}

#[test]
fn forwarding_that_is_on_stays_on() {
    let forwards = |facts: &HostFacts| {
        let plan = plan(&lab(&in_host()), facts).unwrap();
        plan.steps.iter().any(|step| matches!(step, Step::Forward { .. }))
    };
    assert!(forwards(&facts()));
    assert!(!forwards(&HostFacts { ip_forward: true, ..facts() }));
}

#[test]
fn an_interface_that_cannot_be_plugged_in() {
    let with = |change: fn(&mut HostLink)| {
        let mut facts = facts();
        facts.links.retain_mut(|link| {
            change(link);
            link.name.as_str() != "gone"
        });
        refused(&in_host(), &facts)
    };
    assert_snapshot!(with(|link| link.name = IfName::new("gone").unwrap()), @"
    network storage uses the interface eth1, which this host does not have

    hint: use one listed by `ip link`, or remove `interface`
    ");
    assert_snapshot!(with(|link| link.addresses.push("192.168.7.2".parse().unwrap())), @"
    network storage uses the interface eth1, so this host would lose its address 192.168.7.2

    hint: take its addresses away (`ip address flush dev eth1`), or name an interface that this host does not need
    ");
    assert_snapshot!(with(|link| link.master = Some(IfName::new("br0").unwrap())), @"
    network storage uses the interface eth1, which is already a port of br0

    hint: detach it (`ip link set eth1 nomaster`), or use another
    ");
    assert_snapshot!(with(|link| link.mtu = 1400), @"
    network storage has an MTU of 1500, but eth1 has an MTU of 1400

    hint: raise it (`ip link set eth1 mtu 1500`), or lower the network's `mtu`
    ");
}

#[test]
fn no_qemu() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { qemu: None, ..facts() }), @"
    this host has no `qemu-system-x86_64`

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
}

#[test]
fn an_old_qemu() {
    let old = Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (6, 2, 0), lacks_ipmi: false };
    assert_snapshot!(refused(PRIVATE, &HostFacts { qemu: Some(old), ..facts() }), @"
    /usr/bin/qemu-system-x86_64 is QEMU 6.2.0; 7.2 or later is required

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
}

#[test]
fn no_uefi_firmware() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { firmware: Vec::new(), ..facts() }), @"
    node `b` needs UEFI firmware without enrolled keys for pc-q35-7.2, which this host does not have

    hint: install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)
    ");
}

#[test]
fn no_firmware_with_secure_boot() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { firmware: vec![ovmf("", false)], ..facts() }), @"
    node `c` needs UEFI firmware with Secure Boot and enrolled keys for pc-q35-7.2, which this host does not have

    hint: install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)
    ");
}

#[test]
fn no_pasta_for_nat() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { pasta: None, ..facts() }), @r#"
    `nat = true` with `isolation = "private"` needs the program `pasta`, which this host does not have

    hint: install the package `passt`, or set `nat = false`
    "#);
}

#[test]
fn no_nft_for_nat() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { nft: None, ..facts() }), @"
    `nat = true` needs the program `nft`, which this host does not have

    hint: install the package `nftables`, or set `nat = false`
    ");
}

#[test]
fn pasta_and_nft_are_for_nat_only() {
    let bare = HostFacts { pasta: None, nft: None, ..facts() };
    plan(&lab(&PRIVATE.replace("nat = true", "nat = false")), &bare).unwrap();
}

#[test]
fn too_little_memory() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { free_memory: Bytes::mebi(600), ..facts() }), @r#"
    the nodes need 1GiB of memory, but this host has 600MiB free

    hint: reduce the memory of nodes, set `start = "manual"` for some, or stop other labs
    "#);
}

#[test]
fn more_memory_than_can_be_counted() {
    let memory = "memory = \"8589934592GiB\"\n";
    let huge = PRIVATE.replace("[node.a]\n", &format!("[node.a]\n{memory}"));
    let huge = huge.replace("[node.c]\n", &format!("[node.c]\n{memory}"));
    let said = refused(&huge, &facts());
    assert!(said.starts_with("the nodes need 17592186044415MiB of memory"), "{said}");
}

#[test]
fn what_starts_by_hand_needs_no_memory_yet() {
    plan(&lab(PRIVATE), &HostFacts { free_memory: Bytes::mebi(1024), ..facts() }).unwrap();
}

#[test]
fn kvm_that_does_not_work() {
    let wants = |accel: &str| PRIVATE.replace("dryrack = 1", &format!("dryrack = 1\naccel = \"{accel}\""));
    assert_snapshot!(refused(&wants("kvm"), &facts()), @r#"
    the lab requires `accel = "kvm"`, but KVM cannot boot a machine on this host

    hint: run `dryrack doctor` to see why, or set `accel = "auto"`
    "#);
    let kvm = HostFacts { accel: Accel::Kvm, ..facts() };
    let accel = |wish: &str, facts: &HostFacts| plan(&lab(&wants(wish)), facts).unwrap().accel;
    assert_eq!(
        (accel("auto", &kvm), accel("kvm", &kvm), accel("tcg", &kvm)),
        (Accel::Kvm, Accel::Kvm, Accel::Tcg)
    );
    assert_eq!((accel("auto", &facts()), accel("tcg", &facts())), (Accel::Tcg, Accel::Tcg));
}
