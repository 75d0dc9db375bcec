use super::*;
use crate::name::Bytes;
use crate::plan::{FirmwareFile, Qemu};

/// A Debian host on which every check succeeds.
fn found() -> Found {
    Found {
        os_release: "ID=debian\n".into(),
        user: "ann".into(),
        program: "/home/ann/.cargo/bin/dryrack".into(),
        rom: Some("/usr/lib/ipxe/qemu/efi-virtio.rom".into()),
        trial: Trial::Stands { ids: true, tap: Ok(()), nft: Ok(()) },
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
        qemu: Some(Qemu {
            program: "/usr/bin/qemu-system-x86_64".into(),
            version: (7, 2, 22),
            lacks_ipmi: false,
        }),
        firmware: vec![ovmf(".ms", true), ovmf("", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
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

/// The checks that did not succeed.
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
    Ok TPM: /usr/bin/swtpm
    Ok UEFI firmware: /usr/share/OVMF/OVMF_CODE_4M.fd
    Ok Secure Boot: /usr/share/OVMF/OVMF_CODE_4M.ms.fd
    Ok NIC ROMs: /usr/lib/ipxe/qemu/efi-virtio.rom
    Ok KVM: KVM boots firmware and kernels here
    Ok user namespaces: ann can create namespaces with a bridge inside
    Ok subordinate IDs: servers in a lab can run as other users
    Ok /dev/net/tun: a TAP device can be created in a user namespace
    Ok nftables: /usr/sbin/nft; a table can be loaded in a user namespace
    Ok pasta: /usr/bin/pasta
    Ok container: not running in a container
    Ok firewall: no rule drops forwarded traffic
    Ok apt: apt downloads the Debian packages that images are built from; it installs nothing
    Ok image `debian`: mmdebstrap, newuidmap and subordinate IDs are available
    Ok ssh: the client is installed
    ");
}

#[test]
fn a_host_that_has_nothing() {
    let nothing =
        HostFacts { qemu: None, qemu_img: None, firmware: Vec::new(), pasta: None, nft: None, ..facts() };
    let found = Found { rom: None, programs: BTreeSet::new(), has_subids: false, ..found() };
    insta::assert_snapshot!(check(&found, &nothing, Accel::Tcg, "there is no QEMU to test KVM with"), @r#"
    Fail QEMU: `qemu-system-x86_64` is not installed
        sudo apt-get install qemu-system-x86 qemu-utils
    Fail qemu-img: `qemu-img` is not installed; it is needed to create disks
        sudo apt-get install qemu-system-x86 qemu-utils
    Ok TPM: /usr/bin/swtpm
    Fail UEFI firmware: no UEFI firmware without enrolled keys found: `firmware = "uefi"` is not available
        sudo apt-get install ovmf
    Warn Secure Boot: no UEFI firmware with enrolled keys found: `firmware = "uefi-secure"` is not available
        sudo apt-get install ovmf
    Fail NIC ROMs: QEMU cannot find `efi-virtio.rom`, which every machine with a NIC needs
        sudo apt-get install qemu-system-x86 qemu-utils
    Warn KVM: there is no QEMU to test KVM with; machines are emulated, which is several times slower
    Ok user namespaces: ann can create namespaces with a bridge inside
    Ok subordinate IDs: servers in a lab can run as other users
    Ok /dev/net/tun: a TAP device can be created in a user namespace
    Warn nftables: `nft` is not installed: `nat = true` is not available
        sudo apt-get install nftables
    Warn pasta: not installed: `nat = true` is not available in user namespaces
        sudo apt-get install passt
    Ok container: not running in a container
    Ok firewall: no rule drops forwarded traffic
    Warn apt: not installed; the built-in images are built from Debian packages
        sudo apt-get install apt dpkg
    Warn image `debian`: `mmdebstrap` is not installed; it builds this image
        sudo apt-get install mmdebstrap
    Warn ssh: no client installed: `dryrack ssh` and ssh expectations are not available
        sudo apt-get install openssh-client
    "#);
    insta::assert_snapshot!(failures(&Found { os_release: "ID=arch".into(), ..found }, &nothing), @r#"
        Fail QEMU: `qemu-system-x86_64` is not installed
            sudo pacman -S qemu-system-x86 qemu-img
        Fail qemu-img: `qemu-img` is not installed; it is needed to create disks
            sudo pacman -S qemu-system-x86 qemu-img
        Fail UEFI firmware: no UEFI firmware without enrolled keys found: `firmware = "uefi"` is not available
            sudo pacman -S edk2-ovmf
        Warn Secure Boot: no UEFI firmware with enrolled keys found: `firmware = "uefi-secure"` is not available
            sudo pacman -S edk2-ovmf
        Fail NIC ROMs: QEMU cannot find `efi-virtio.rom`, which every machine with a NIC needs
            sudo pacman -S qemu-system-x86 qemu-img
        Warn nftables: `nft` is not installed: `nat = true` is not available
            sudo pacman -S nftables
        Warn pasta: not installed: `nat = true` is not available in user namespaces
            sudo pacman -S passt
        Warn apt: not installed; the built-in images are built from Debian packages
            provide your own files: `dryrack image build NAME` lists them (images/NAME/recipe.toml)
        Warn image `debian`: `mmdebstrap` is not installed; it builds this image
            Arch has no package for it
        Warn ssh: no client installed: `dryrack ssh` and ssh expectations are not available
            sudo pacman -S openssh
        "#);
}

#[test]
fn an_old_qemu() {
    let old = Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (6, 2, 0), lacks_ipmi: false };
    insta::assert_snapshot!(failures(&found(), &HostFacts { qemu: Some(old), ..facts() }), @"
        Fail QEMU: /usr/bin/qemu-system-x86_64, version 6.2.0, is older than 7.2
            sudo apt-get install qemu-system-x86 qemu-utils
        ");
}

#[test]
fn a_qemu_without_ipmi() {
    let qemu = facts().qemu.map(|qemu| Qemu { lacks_ipmi: true, ..qemu });
    insta::assert_snapshot!(failures(&found(), &HostFacts { qemu, ..facts() }), @"
    Warn QEMU: /usr/bin/qemu-system-x86_64, version 7.2.22, has no IPMI devices: nodes with a BMC have no `/dev/ipmi0`
        use a QEMU whose `-device help` lists `isa-ipmi-kcs`
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
        Warn: /dev/kvm: permission denied; join group `kvm` and log in again; machines are emulated, which is several times slower
        Some("sudo usermod -aG kvm ann, then log in again")
        "#);
    insta::assert_snapshot!(kvm("/dev/kvm opens, but Linux does not boot with it"), @"
        Warn: /dev/kvm opens, but Linux does not boot with it; machines are emulated, which is several times slower
        None
        ");
}

#[test]
fn namespaces_that_are_refused() {
    let no_bridge = Trial::NoBridge(refused("cannot make bridge `trial0`", Errno::EPERM));
    let none = Trial::NoNamespaces(refused("cannot create namespaces", Errno::EPERM));
    let full = Trial::NoNamespaces(refused("cannot create namespaces", Errno::ENOSPC));
    let ubuntu = Found {
        os_release: "ID=ubuntu\nID_LIKE=debian\n".into(),
        trial: no_bridge.clone(),
        apparmor_restricts: true,
        ..found()
    };
    insta::assert_snapshot!(failures(&ubuntu, &facts()), @r#"
    Fail user namespaces: cannot make bridge `trial0`: Operation not permitted (os error 1)
        AppArmor restricts user namespaces for programs without a profile; write this profile to /etc/apparmor.d/dryrack and load it:
        
        # Allows Dryrack to create user namespaces (Ubuntu 23.10 and later restrict them by default).
        # Restricts nothing else.
        #
        #   sudo install -m 644 FILE /etc/apparmor.d/dryrack
        #   sudo apparmor_parser -r /etc/apparmor.d/dryrack
        
        abi <abi/4.0>,
        include <tunables/global>
        
        profile dryrack "/home/ann/.cargo/bin/dryrack" flags=(unconfined) {
          userns,
        
          include if exists <local/dryrack>
        }
    Warn subordinate IDs: not tested, because user namespaces are not available
    Warn /dev/net/tun: not tested, because user namespaces are not available
    Warn nftables: not tested, because user namespaces are not available
    "#);
    insta::assert_snapshot!(failures(&Found { trial: none.clone(), users_forbidden: true, ..found() }, &facts()), @"
    Fail user namespaces: cannot create namespaces: Operation not permitted (os error 1)
        sudo sysctl -w kernel.unprivileged_userns_clone=1
    Warn subordinate IDs: not tested, because user namespaces are not available
    Warn /dev/net/tun: not tested, because user namespaces are not available
    Warn nftables: not tested, because user namespaces are not available
    ");
    insta::assert_snapshot!(failures(&Found { trial: full, none_allowed: true, ..found() }, &facts()), @"
    Fail user namespaces: cannot create namespaces: No space left on device (os error 28)
        sudo sysctl -w user.max_user_namespaces=15000
    Warn subordinate IDs: not tested, because user namespaces are not available
    Warn /dev/net/tun: not tested, because user namespaces are not available
    Warn nftables: not tested, because user namespaces are not available
    ");
    let docker = Found { trial: none, container: Some("docker".into()), drops: None, ..found() };
    insta::assert_snapshot!(failures(&docker, &HostFacts { root: true, ..facts() }), @r#"
    Fail user namespaces: cannot create namespaces: Operation not permitted (os error 1)
        the container does not allow it: start the container with `--privileged`, or with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN --device /dev/net/tun`
    Warn subordinate IDs: not tested, because user namespaces are not available
    Warn /dev/net/tun: not tested, because user namespaces are not available
    Warn nftables: not tested, because user namespaces are not available
    Warn container: running in a container (docker): namespaces, /dev/net/tun and /dev/kvm must be granted to it, and `isolation = "none"` uses the container's network
        start the container with `--device /dev/net/tun`, with `--device /dev/kvm` if the host has KVM, and with `--privileged` if user namespaces are refused above
    "#);
    insta::assert_snapshot!(failures(&Found { trial: no_bridge, ..found() }, &facts()), @r#"
    Fail user namespaces: cannot make bridge `trial0`: Operation not permitted (os error 1)
        set `isolation = "none"` in the lab and run as root
    Warn subordinate IDs: not tested, because user namespaces are not available
    Warn /dev/net/tun: not tested, because user namespaces are not available
    Warn nftables: not tested, because user namespaces are not available
    "#);
}

#[test]
fn a_tap_or_a_table_that_is_refused() {
    let tap = |errno| Trial::Stands {
        ids: true,
        tap: Err(refused("cannot make TAP `trial1`", errno)),
        nft: Ok(()),
    };
    insta::assert_snapshot!(failures(&Found { trial: tap(Errno::EACCES), ..found() }, &facts()), @"
        Fail /dev/net/tun: cannot make TAP `trial1`: Permission denied (os error 13)
            sudo chmod 666 /dev/net/tun (the default of most distributions)
        ");
    insta::assert_snapshot!(failures(&Found { trial: tap(Errno::ENOENT), ..found() }, &facts()), @"
        Fail /dev/net/tun: cannot make TAP `trial1`: No such file or directory (os error 2)
            sudo modprobe tun
        ");
    let nft = Refused { why: "cannot load nftables table `ip dryrack_trial`: nft: no".into(), errno: None };
    insta::assert_snapshot!(failures(&Found { trial: Trial::Stands { ids: true, tap: Ok(()), nft: Err(nft) }, ..found() }, &facts()), @"
        Warn nftables: cannot load nftables table `ip dryrack_trial`: nft: no: `nat = true` is not available
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
        Warn firewall: docker (`ip filter FORWARD`): drops forwarded traffic, also between nodes on one bridge (br_netfilter); labs in user namespaces are not affected
            no action needed; a lab with `isolation = "none"` adds an accept rule to `DOCKER-USER` and removes it afterwards
        "#);
    insta::assert_snapshot!(failures(&with(vec![drop("firewalld", None)], true), &root), @r#"
        Warn firewall: firewalld (`ip filter FORWARD`): drops forwarded traffic, also between nodes on one bridge (br_netfilter); labs in user namespaces are not affected
            only for `isolation = "none"`: sysctl -w net.bridge.bridge-nf-call-iptables=0, or allow the lab's bridges in firewalld
        "#);
    insta::assert_snapshot!(failures(&with(vec![drop("mine", None)], false), &root), @r#"
        Warn firewall: mine (`ip filter FORWARD`): drops forwarded traffic, including the NAT traffic of labs; labs in user namespaces are not affected
            only for `isolation = "none"`: allow the lab's bridges in mine
        "#);
    assert_eq!(failures(&with(Vec::new(), true), &root), "");
}

#[test]
fn what_the_debian_image_needs_depends_on_who_builds_it() {
    let found = Found { has_subids: false, ..found() };
    insta::assert_snapshot!(failures(&found, &facts()), @"
        Warn image `debian`: ann has no subordinate IDs; a build without root needs them
            sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann
        ");
    assert_eq!(failures(&found, &HostFacts { root: true, ..facts() }), "");
    let without = Found { programs: BTreeSet::from(["apt-get", "dpkg-deb", "mmdebstrap", "ssh"]), ..found };
    insta::assert_snapshot!(failures(&without, &facts()), @"
        Warn image `debian`: `newuidmap` and `newgidmap` are not installed; a build without root needs them
            sudo apt-get install uidmap
        ");
}

#[test]
fn marks_of_containers_are_read() {
    assert_eq!(container_of("0::/system.slice/docker-0123.scope\n"), Some("docker"));
    assert_eq!(container_of("0::/init.scope\n"), None);
}

#[test]
fn a_user_who_is_alone_in_a_lab_is_told_what_servers_need() {
    let alone = Trial::Stands { ids: false, tap: Ok(()), nft: Ok(()) };
    let found = Found { trial: alone, ..found() };
    insta::assert_snapshot!(failures(&found, &facts()), @"
    Warn subordinate IDs: `newuidmap` cannot map those of ann: servers that give up their privileges at start (dnsmasq, nginx, sshd) fail in a lab, unless they are told to stay root
        `newuidmap` and `newgidmap` must be setuid root or have the capabilities cap_setuid and cap_setgid, and /etc/subuid and /etc/subgid must not name IDs that this host does not have
    ");
    let none = Found { has_subids: false, ..found.clone() };
    insta::assert_snapshot!(failures(&none, &facts()), @"
    Warn subordinate IDs: ann has none: servers that give up their privileges at start (dnsmasq, nginx, sshd) fail in a lab, unless they are told to stay root
        sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann
    Warn image `debian`: ann has no subordinate IDs; a build without root needs them
        sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann
    ");
    let programs = BTreeSet::from(["apt-get", "dpkg-deb", "mmdebstrap", "ssh"]);
    insta::assert_snapshot!(failures(&Found { programs, ..found.clone() }, &facts()), @"
    Warn subordinate IDs: `newuidmap` and `newgidmap` are not installed: servers that give up their privileges at start (dnsmasq, nginx, sshd) fail in a lab, unless they are told to stay root
        sudo apt-get install uidmap
    Warn image `debian`: `newuidmap` and `newgidmap` are not installed; a build without root needs them
        sudo apt-get install uidmap
    ");
    insta::assert_snapshot!(failures(&found, &HostFacts { root: true, ..facts() }), @"
    Warn subordinate IDs: ann has only one user and group here: servers that give up their privileges at start (dnsmasq, nginx, sshd) fail in a lab, unless they are told to stay root
        start the container with more than one user ID
    ");
}

/// The profile is written by hand, and AppArmor's parser is not always installed: its brackets and commas are checked
/// here.
#[test]
fn the_profile_names_the_program() {
    let profile = include_str!("apparmor.profile");
    assert_eq!(profile.matches("@PROGRAM@").count(), 1);
    assert_eq!(profile.matches('{').count(), profile.matches('}').count());
    assert!(profile.contains("flags=(unconfined)") && profile.contains("  userns,\n"));
}
