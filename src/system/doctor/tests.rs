use super::*;
use crate::name::Bytes;
use crate::plan::{FirmwareFile, Qemu};

/// A Debian that has everything.
fn found() -> Found {
    Found {
        os_release: "ID=debian\n".into(),
        user: "ann".into(),
        program: "/home/ann/.cargo/bin/dryrack".into(),
        rom: Some("/usr/lib/ipxe/qemu/efi-virtio.rom".into()),
        trial: Trial::Stands { tap: Ok(()), nft: Ok(()) },
        apparmor_restricts: false,
        users_forbidden: false,
        none_allowed: false,
        container: None,
        bridges_filtered: false,
        drops: Some(Vec::new()),
        programs: BTreeSet::from(["apt-get", "dpkg-deb", "mmdebstrap", "newuidmap", "unshare", "ssh"]),
        has_subids: true,
    }
}

fn facts() -> HostFacts {
    let ovmf = |code: &str, secure: bool| FirmwareFile {
        code: format!("/usr/share/OVMF/OVMF_CODE_4M{code}.fd").into(),
        variables: format!("/usr/share/OVMF/OVMF_VARS_4M{code}.fd").into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: vec!["pc-q35-*".to_owned()],
    };
    HostFacts {
        root: false,
        cpus: 2,
        free_memory: Bytes::mebi(8192),
        qemu: Some(Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (7, 2, 22) }),
        firmware: vec![ovmf(".ms", true), ovmf("", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: Vec::new(),
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

fn check(found: &Found, facts: &HostFacts, accel: Accel, why: &str) -> String {
    let show = |check: &Check| {
        let remedy = check.remedy.as_ref().map(|remedy| format!("\n    {}", remedy.replace('\n', "\n    ")));
        format!("{:?} {}: {}{}\n", check.state, check.name, check.detail, remedy.unwrap_or_default())
    };
    judge(found, facts, accel, why).iter().map(show).collect()
}

/// Shows what is not as it should be.
fn failures(found: &Found, facts: &HostFacts) -> String {
    let text = check(found, facts, Accel::Kvm, "KVM boots firmware and kernels here");
    let mut kept = String::new();
    let mut keep = false;
    for line in text.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            keep = !line.starts_with("Ok ");
        }
        if keep {
            kept.extend([line, "\n"]);
        }
    }
    kept
}

fn refused(why: &str, errno: Errno) -> Refused {
    Refused { why: format!("{why}: {}", std::io::Error::from(errno)), errno: Some(errno as i32) }
}

#[test]
fn a_host_that_has_everything() {
    insta::assert_snapshot!(check(&found(), &facts(), Accel::Kvm, "KVM boots firmware and kernels here"), @"
        Ok QEMU: /usr/bin/qemu-system-x86_64, version 7.2.22
        Ok qemu-img: /usr/bin/qemu-img
        Ok UEFI firmware: /usr/share/OVMF/OVMF_CODE_4M.fd
        Ok Secure Boot: /usr/share/OVMF/OVMF_CODE_4M.ms.fd
        Ok NIC ROMs: /usr/lib/ipxe/qemu/efi-virtio.rom
        Ok KVM: KVM boots firmware and kernels here
        Ok private places: ann can make namespaces and a bridge in them
        Ok /dev/net/tun: a TAP could be made in a private place
        Ok nftables: /usr/sbin/nft, and a table could be loaded in a private place
        Ok pasta: /usr/bin/pasta
        Ok container: this is none
        Ok firewall: nobody drops forwarded traffic
        Ok apt: images are made of Debian packages, downloaded by it and not installed
        Ok image `debian`: mmdebstrap, newuidmap and subordinate ids are there
        Ok ssh: the client is there
        ");
}

#[test]
fn a_host_that_has_nothing() {
    let nothing =
        HostFacts { qemu: None, qemu_img: None, firmware: Vec::new(), pasta: None, nft: None, ..facts() };
    let found = Found { rom: None, programs: BTreeSet::new(), has_subids: false, ..found() };
    insta::assert_snapshot!(check(&found, &nothing, Accel::Tcg, "there is no QEMU to test KVM with"), @r#"
        Fail QEMU: there is no `qemu-system-x86_64`
            sudo apt-get install qemu-system-x86 qemu-utils
        Fail qemu-img: it is missing, and disks are made with it
            sudo apt-get install qemu-system-x86 qemu-utils
        Fail UEFI firmware: QEMU's firmware descriptors name none without enrolled keys: `firmware = "uefi"` cannot be used
            sudo apt-get install ovmf
        Warn Secure Boot: there is no firmware with enrolled keys: `firmware = "uefi-secure"` cannot be used
            sudo apt-get install ovmf
        Fail NIC ROMs: QEMU finds no `efi-virtio.rom`, and starts no machine with a NIC without it
            sudo apt-get install qemu-system-x86 qemu-utils
        Warn KVM: there is no QEMU to test KVM with; machines are emulated, several times slower
        Ok private places: ann can make namespaces and a bridge in them
        Ok /dev/net/tun: a TAP could be made in a private place
        Warn nftables: there is no `nft`: `nat = true` cannot be used
            sudo apt-get install nftables
        Warn pasta: there is none: `nat = true` cannot be used in a private place
            sudo apt-get install passt
        Ok container: this is none
        Ok firewall: nobody drops forwarded traffic
        Warn apt: there is none, and the images that come with Dryrack are made of Debian packages
            sudo apt-get install apt dpkg
        Warn image `debian`: it is built by `mmdebstrap`, which is missing
            sudo apt-get install mmdebstrap
        Warn ssh: there is no client: `dryrack ssh` and ssh expectations cannot be used
            sudo apt-get install openssh-client
        "#);
    insta::assert_snapshot!(failures(&Found { os_release: "ID=arch".into(), ..found }, &nothing), @r#"
        Fail QEMU: there is no `qemu-system-x86_64`
            sudo pacman -S qemu-system-x86 qemu-img
        Fail qemu-img: it is missing, and disks are made with it
            sudo pacman -S qemu-system-x86 qemu-img
        Fail UEFI firmware: QEMU's firmware descriptors name none without enrolled keys: `firmware = "uefi"` cannot be used
            sudo pacman -S edk2-ovmf
        Warn Secure Boot: there is no firmware with enrolled keys: `firmware = "uefi-secure"` cannot be used
            sudo pacman -S edk2-ovmf
        Fail NIC ROMs: QEMU finds no `efi-virtio.rom`, and starts no machine with a NIC without it
            sudo pacman -S qemu-system-x86 qemu-img
        Warn nftables: there is no `nft`: `nat = true` cannot be used
            sudo pacman -S nftables
        Warn pasta: there is none: `nat = true` cannot be used in a private place
            sudo pacman -S passt
        Warn apt: there is none, and the images that come with Dryrack are made of Debian packages
            name files of your own: `dryrack image build NAME` says which (images/NAME/recipe.toml)
        Warn image `debian`: it is built by `mmdebstrap`, which is missing
            Arch has no package of it
        Warn ssh: there is no client: `dryrack ssh` and ssh expectations cannot be used
            sudo pacman -S openssh
        "#);
}

#[test]
fn an_old_qemu() {
    let old = Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (6, 2, 0) };
    insta::assert_snapshot!(failures(&found(), &HostFacts { qemu: Some(old), ..facts() }), @"
        Fail QEMU: /usr/bin/qemu-system-x86_64, version 6.2.0, is older than 7.2
            sudo apt-get install qemu-system-x86 qemu-utils
        ");
}

#[test]
fn emulation_says_why_and_how_to_get_at_kvm() {
    let kvm = |why: &str| {
        let checks = judge(&found(), &facts(), Accel::Tcg, why);
        let kvm = checks.into_iter().find(|check| check.name == "KVM").unwrap();
        format!("{:?}: {}\n{:?}", kvm.state, kvm.detail, kvm.remedy)
    };
    insta::assert_snapshot!(kvm("/dev/kvm: permission denied; join group `kvm` and log in again"), @r#"
        Warn: /dev/kvm: permission denied; join group `kvm` and log in again; machines are emulated, several times slower
        Some("sudo usermod -aG kvm ann, then log in again")
        "#);
    insta::assert_snapshot!(kvm("/dev/kvm opens, but Linux does not boot with it"), @"
        Warn: /dev/kvm opens, but Linux does not boot with it; machines are emulated, several times slower
        None
        ");
}

#[test]
fn namespaces_that_are_refused() {
    let no_bridge = Trial::NoBridge(refused("cannot make bridge `trial0`", Errno::EPERM));
    let none = Trial::NoNamespaces(refused("cannot make namespaces", Errno::EPERM));
    let full = Trial::NoNamespaces(refused("cannot make namespaces", Errno::ENOSPC));
    let ubuntu = Found {
        os_release: "ID=ubuntu\nID_LIKE=debian\n".into(),
        trial: no_bridge.clone(),
        apparmor_restricts: true,
        ..found()
    };
    insta::assert_snapshot!(failures(&ubuntu, &facts()), @r#"
        Fail private places: cannot make bridge `trial0`: Operation not permitted (os error 1)
            AppArmor takes the say in its own namespaces from a program without a profile; write this one to /etc/apparmor.d/dryrack and load it:
            
            # Lets Dryrack make namespaces in which it has a say (Ubuntu 23.10 and later take that away by default).
            # Dryrack is otherwise as free as without a profile.
            #
            #   sudo install -m 644 FILE /etc/apparmor.d/dryrack
            #   sudo apparmor_parser -r /etc/apparmor.d/dryrack
            
            abi <abi/4.0>,
            include <tunables/global>
            
            profile dryrack "/home/ann/.cargo/bin/dryrack" flags=(unconfined) {
              userns,
            
              include if exists <local/dryrack>
            }
        Warn /dev/net/tun: not tried, because no private place could be made
        Warn nftables: not tried, because no private place could be made
        "#);
    insta::assert_snapshot!(failures(&Found { trial: none.clone(), users_forbidden: true, ..found() }, &facts()), @"
        Fail private places: cannot make namespaces: Operation not permitted (os error 1)
            sudo sysctl -w kernel.unprivileged_userns_clone=1
        Warn /dev/net/tun: not tried, because no private place could be made
        Warn nftables: not tried, because no private place could be made
        ");
    insta::assert_snapshot!(failures(&Found { trial: full, none_allowed: true, ..found() }, &facts()), @"
        Fail private places: cannot make namespaces: No space left on device (os error 28)
            sudo sysctl -w user.max_user_namespaces=15000
        Warn /dev/net/tun: not tried, because no private place could be made
        Warn nftables: not tried, because no private place could be made
        ");
    let docker = Found { trial: none, container: Some("docker".into()), drops: None, ..found() };
    insta::assert_snapshot!(failures(&docker, &HostFacts { root: true, ..facts() }), @r#"
        Fail private places: cannot make namespaces: Operation not permitted (os error 1)
            the container forbids it: start it with `--privileged`, or with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN --device /dev/net/tun`
        Warn /dev/net/tun: not tried, because no private place could be made
        Warn nftables: not tried, because no private place could be made
        Warn container: this runs in one (docker): namespaces, /dev/net/tun and /dev/kvm are there only as far as it was given them, and `isolation = "none"` means its network
            start it with `--device /dev/net/tun`, where there is KVM `--device /dev/kvm`, and if namespaces are refused above, with `--privileged`
        "#);
    insta::assert_snapshot!(failures(&Found { trial: no_bridge, ..found() }, &facts()), @r#"
        Fail private places: cannot make bridge `trial0`: Operation not permitted (os error 1)
            set `isolation = "none"` in the lab and run as root
        Warn /dev/net/tun: not tried, because no private place could be made
        Warn nftables: not tried, because no private place could be made
        "#);
}

#[test]
fn a_tap_or_a_table_that_is_refused() {
    let tap = |errno| Trial::Stands { tap: Err(refused("cannot make TAP `trial1`", errno)), nft: Ok(()) };
    insta::assert_snapshot!(failures(&Found { trial: tap(Errno::EACCES), ..found() }, &facts()), @"
        Fail /dev/net/tun: cannot make TAP `trial1`: Permission denied (os error 13)
            sudo chmod 666 /dev/net/tun (as most distributions have it)
        ");
    insta::assert_snapshot!(failures(&Found { trial: tap(Errno::ENOENT), ..found() }, &facts()), @"
        Fail /dev/net/tun: cannot make TAP `trial1`: No such file or directory (os error 2)
            sudo modprobe tun
        ");
    let nft = Refused { why: "cannot load nftables table `ip dryrack_trial`: nft: no".into(), errno: None };
    insta::assert_snapshot!(failures(&Found { trial: Trial::Stands { tap: Ok(()), nft: Err(nft) }, ..found() }, &facts()), @"
        Warn nftables: cannot load nftables table `ip dryrack_trial`: nft: no: `nat = true` cannot be used
            sudo modprobe -a nf_tables nft_masq nft_chain_nat nft_ct
        ");
}

#[test]
fn firewalls_that_drop() {
    let drop = |owner: &str, user_chain: Option<&str>| ForwardDrop {
        owner: owner.into(),
        family: "ip".into(),
        table: "filter".into(),
        chain: "FORWARD".into(),
        user_chain: user_chain.map(str::to_owned),
    };
    let with = |drops, bridges_filtered| Found { drops: Some(drops), bridges_filtered, ..found() };
    let root = HostFacts { root: true, ..facts() };
    insta::assert_snapshot!(failures(&with(vec![drop("docker", Some("DOCKER-USER"))], true), &root), @r#"
        Warn firewall: docker (`ip filter FORWARD`): it drops what is forwarded, also between the nodes of one bridge (br_netfilter); private places are not touched by it
            nothing for private places; a lab with `isolation = "none"` adds its own rule to `DOCKER-USER` and takes it away again
        "#);
    insta::assert_snapshot!(failures(&with(vec![drop("firewalld", None)], true), &root), @r#"
        Warn firewall: firewalld (`ip filter FORWARD`): it drops what is forwarded, also between the nodes of one bridge (br_netfilter); private places are not touched by it
            nothing for private places; for `isolation = "none"`: sysctl -w net.bridge.bridge-nf-call-iptables=0, or let firewalld accept the lab's bridges
        "#);
    insta::assert_snapshot!(failures(&with(vec![drop("mine", None)], false), &root), @r#"
        Warn firewall: mine (`ip filter FORWARD`): it drops what is forwarded, also what a lab's NAT forwards; private places are not touched by it
            nothing for private places; for `isolation = "none"`: let mine accept the lab's bridges
        "#);
    assert_eq!(failures(&with(Vec::new(), true), &root), "");
}

#[test]
fn what_the_debian_image_needs_depends_on_who_builds_it() {
    let found = Found { has_subids: false, ..found() };
    insta::assert_snapshot!(failures(&found, &facts()), @"
        Warn image `debian`: to build it without root, ann needs subordinate ids and has none
            sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann
        ");
    assert_eq!(failures(&found, &HostFacts { root: true, ..facts() }), "");
    let without = Found { programs: BTreeSet::from(["apt-get", "dpkg-deb", "mmdebstrap", "ssh"]), ..found };
    insta::assert_snapshot!(failures(&without, &facts()), @"
        Warn image `debian`: to build it without root, `newuidmap` and `newgidmap` are missing
            sudo apt-get install uidmap
        ");
}

#[test]
fn marks_of_containers_and_users_are_read() {
    assert_eq!(container_of("0::/system.slice/docker-0123.scope\n"), Some("docker"));
    assert_eq!(container_of("0::/init.scope\n"), None);
    assert!(has_subids("root:100000:65536\nann:165536:65536\n", "ann", 1000));
    assert!(has_subids("1000:165536:65536\n", "ann", 1000));
    assert!(!has_subids("anna:165536:65536\n", "ann", 1000));
}

/// The profile is written by hand, and AppArmor's parser is not everywhere: its brackets and commas are checked here.
#[test]
fn the_profile_names_the_program() {
    let profile = include_str!("apparmor.profile");
    assert_eq!(profile.matches("@PROGRAM@").count(), 1);
    assert_eq!(profile.matches('{').count(), profile.matches('}').count());
    assert!(profile.contains("flags=(unconfined)") && profile.contains("  userns,\n"));
}
