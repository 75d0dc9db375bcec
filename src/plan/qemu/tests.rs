use std::collections::BTreeMap;
use std::path::PathBuf;

use insta::assert_snapshot;

use super::*;
use crate::bmc::personality::Personality;
use crate::config::Text;
use crate::lab::{AccelChoice, Access, Bmc, Isolation, Lab, MachineFault, QemuExtras, Start};
use crate::name::{Bytes, IfName, LabName, Mac, NetworkName, NodeName};
use crate::plan::tests::{facts, ovmf};
use crate::plan::{BmcPlan, BootTarget, HostNicPlan, LinkPlan, Medium, OrderBy, StartOptions};

fn lab() -> Lab {
    Lab {
        name: LabName::new("typhoon").unwrap(),
        file: "/labs/typhoon/lab.toml".into(),
        folder: "/labs/typhoon".into(),
        isolation: Isolation::Private,
        accel: AccelChoice::Auto,
        clock: 0,
        parallel_boots: None,
        capture: None,
        networks: BTreeMap::new(),
        profiles: BTreeMap::new(),
        groups: BTreeMap::new(),
        nodes: BTreeMap::new(),
        hosts: BTreeMap::new(),
        processes: BTreeMap::new(),
        publish: Vec::new(),
        expectations: BTreeMap::new(),
        actions: BTreeMap::new(),
        faults: BTreeMap::new(),
        origins: crate::lab::Origins::default(),
    }
}

fn node() -> Node {
    Node {
        name: NodeName::new("node1").unwrap(),
        firmware: Firmware::Bios,
        machine: Chipset::Q35,
        cpus: 2,
        memory: Bytes::mebi(512),
        nics: vec![nic("lan", NicModel::Virtio)],
        disks: Vec::new(),
        cds: Vec::new(),
        bmc: None,
        boot: Boot::Order(vec![BootDevice::Disk, BootDevice::Network]),
        profile: None,
        start: Start::WithLab,
        firmware_delays: FirmwareDelays::Skip,
        uuid: uuid::Uuid::from_u128(0x5254_0012_3456),
        serial: "S,1".to_owned(),
        asset_tag: "A1".to_owned(),
        shares: Vec::new(),
        tpm: None,
        qemu: QemuExtras::default(),
        seed: Seed::None,
        options: Default::default(),
    }
}

fn nic(name: &str, model: NicModel) -> Nic {
    let mac = Mac::derive(&["lab", "node1", name]);
    let (name, network) = (NicName::new(name).unwrap(), NetworkName::new("lan").unwrap());
    let (client_id, address, ipv6) = (None, None, None);
    Nic { name, network, mac, client_id, address, ipv6, model, rom: true, link_up: true }
}

fn disk(name: &str, bus: Bus) -> Disk {
    let name = DiskName::new(name).unwrap();
    Disk { serial: format!("S-{name}"), name, size: Bytes::mebi(1024), bus, source: None, keep: false }
}

fn plan(node: &Node, facts: &HostFacts, accel: Accel) -> Result<NodePlan, Refusal> {
    let tap = |nic: &Nic| TapPlan {
        node: node.name.clone(),
        nic: nic.name.clone(),
        interface: IfName::new(&format!("tap-{}", nic.name)).unwrap(),
        alias: String::new(),
        bridge: IfName::new("br").unwrap(),
        mtu: 1500,
    };
    let taps: Vec<TapPlan> = node.nics.iter().map(tap).collect();
    machine_plan(&Netboots::new(&lab()), node, facts, accel, &taps)
}

/// Formats the options, one per line.
fn check(node: &Node) -> String {
    show(&plan(node, &facts(), Accel::Tcg).unwrap())
}

fn qemu_of(plan: &NodePlan) -> &QemuPlan {
    let NodeKind::Qemu(qemu) = &plan.kind;
    qemu
}

fn show(plan: &NodePlan) -> String {
    show_start(plan, &StartOptions::default())
}

/// Formats the options of one start, one per line.
fn show_start(plan: &NodePlan, start: &StartOptions) -> String {
    let line = |argument: &String| if argument.starts_with('-') { "\n" } else { " " }.to_owned() + argument;
    qemu_of(plan).arguments(plan, start).iter().map(line).collect::<String>().trim_start().to_owned()
}

/// Returns only the lines that differ from a plain BIOS machine.
fn check_more(node: &Node) -> String {
    let mut plain = self::node();
    plain.nics.clear();
    let (plain, all) = (check(&plain), check(node));
    let lines: Vec<&str> = all.lines().filter(|line| !plain.lines().any(|other| other == *line)).collect();
    lines.join("\n")
}

fn refused(node: &Node, facts: &HostFacts) -> String {
    plan(node, facts, Accel::Tcg).unwrap_err().to_string()
}

#[test]
fn a_bios_machine_in_full() {
    let plan = plan(&node(), &facts(), Accel::Tcg).unwrap();
    assert_snapshot!(show(&plan), @"
    -name guest=node1
    -nodefaults
    -no-user-config
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -S
    -accel tcg,thread=multi,tb-size=256
    -cpu max,la57=off,erms=off,fsrm=off
    -smp cpus=2,sockets=1,cores=2,threads=1
    -m 512M
    -uuid 00000000-0000-0000-0000-525400123456
    -smbios type=1,manufacturer=Dryrack,product=typhoon,serial=S,,1
    -smbios type=3,manufacturer=Dryrack,serial=S,,1,asset=A1
    -rtc base=utc
    -action panic=none
    -machine q35,vmport=off,dump-guest-core=off,smm=off
    -boot strict=on,menu=off
    -fw_cfg name=etc/sercon-port,file=sercon-port
    -chardev socket,id=qmp,path=qmp.sock,server=off
    -mon chardev=qmp,mode=control
    -chardev null,id=console
    -serial chardev:console
    -display none
    -vnc unix:qemu-vnc.sock
    -device VGA,id=screen
    -netdev tap,id=net-lan,ifname=tap-lan,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=1
    -object rng-builtin,id=rng0
    -device virtio-rng-pci,rng=rng0
    -device pvpanic
    ");
    assert_eq!(qemu_of(&plan).files["sercon-port"], [0xf8, 0x03]);
    assert!(qemu_of(&plan).skip_banner);
    assert_eq!((nic_id(&plan.nics[0]).as_str(), plan.nics[0].link_up), ("nic-lan", true));
}

#[test]
fn kvm_gives_the_processor_of_the_host() {
    let argv = show(&plan(&node(), &facts(), Accel::Kvm).unwrap());
    let lines: Vec<&str> =
        argv.lines().filter(|line| line.starts_with("-accel") || line.starts_with("-cpu")).collect();
    assert_snapshot!(lines.join("\n"), @"
    -accel kvm
    -cpu host
    ");
}

#[test]
fn a_uefi_machine() {
    let node = Node { firmware: Firmware::Uefi, ..node() };
    assert_snapshot!(check_more(&node), @"
    -machine q35,vmport=off,dump-guest-core=off,smm=off,pflash0=code,pflash1=variables
    -blockdev driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/usr/share/OVMF/OVMF_CODE_4M.fd
    -blockdev driver=raw,node-name=variables,file.driver=file,file.filename=vars.fd
    -global ICH9-LPC.disable_s3=1
    -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=no
    -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=no
    -netdev tap,id=net-lan,ifname=tap-lan,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=1
    ");
}

#[test]
fn a_uefi_machine_that_keeps_its_own_boot_order() {
    let node = Node { firmware: Firmware::Uefi, machine: Chipset::Pc, boot: Boot::Nvram, ..node() };
    assert_snapshot!(check_more(&node), @"
    -machine pc,vmport=off,dump-guest-core=off,smm=off,pflash0=code,pflash1=variables
    -blockdev driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/usr/share/OVMF/OVMF_CODE_4M.fd
    -blockdev driver=raw,node-name=variables,file.driver=file,file.filename=vars.fd
    -global PIIX4_PM.disable_s3=1
    -boot menu=off
    -netdev tap,id=net-lan,ifname=tap-lan,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51
    ");
}

#[test]
fn a_machine_with_secure_boot() {
    let node = Node { firmware: Firmware::UefiSecure, nics: Vec::new(), ..node() };
    assert_snapshot!(check_more(&node), @"
    -machine q35,vmport=off,dump-guest-core=off,smm=on,pflash0=code,pflash1=variables
    -blockdev driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/usr/share/OVMF/OVMF_CODE_4M.ms.fd
    -blockdev driver=raw,node-name=variables,file.driver=file,file.filename=vars.fd
    -global driver=cfi.pflash01,property=secure,value=on
    -global ICH9-LPC.disable_s3=1
    ");
}

#[test]
fn disks_on_every_bus() {
    let disks = vec![
        disk("root", Bus::Virtio),
        disk("a", Bus::Sata),
        disk("b", Bus::Sata),
        disk("c", Bus::Scsi),
        disk("d", Bus::Scsi),
        disk("e", Bus::Nvme),
    ];
    let boot = Boot::Order(vec![
        BootDevice::OneDisk(DiskName::new("d").unwrap()),
        BootDevice::Network,
        BootDevice::Disk,
    ]);
    let seed = Seed::NoCloud { user_data: None, network_config: None, users: Vec::new(), volume: true };
    assert_snapshot!(check_more(&Node { disks, boot, seed, ..node() }), @"
    -netdev tap,id=net-lan,ifname=tap-lan,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=2
    -blockdev driver=qcow2,node-name=disk0,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=root.qcow2
    -device virtio-blk-pci,drive=disk0,id=disk-root,serial=S-root,bootindex=3,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk1,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=a.qcow2
    -device ide-hd,bus=ide.0,drive=disk1,id=disk-a,serial=S-a,bootindex=4,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk2,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=b.qcow2
    -device ide-hd,bus=ide.1,drive=disk2,id=disk-b,serial=S-b,bootindex=5,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk3,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=c.qcow2
    -device virtio-scsi-pci,id=scsi0
    -device scsi-hd,bus=scsi0.0,scsi-id=0,lun=0,drive=disk3,id=disk-c,serial=S-c,bootindex=6,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk4,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=d.qcow2
    -device scsi-hd,bus=scsi0.0,scsi-id=1,lun=0,drive=disk4,id=disk-d,serial=S-d,bootindex=1,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk5,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=e.qcow2
    -device nvme,drive=disk5,id=disk-e,serial=S-e,bootindex=7
    -blockdev driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=seed.img
    -device virtio-blk-pci,drive=seed,id=seed,serial=cidata
    ");
}

#[test]
fn the_old_chip_set_gets_a_sata_controller() {
    let disks = vec![disk("a", Bus::Sata), disk("b", Bus::Sata)];
    assert_snapshot!(check_more(&Node { machine: Chipset::Pc, nics: Vec::new(), disks, ..node() }), @"
    -machine pc,vmport=off,dump-guest-core=off,smm=off
    -blockdev driver=qcow2,node-name=disk0,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=a.qcow2
    -device ich9-ahci,id=ahci0
    -device ide-hd,bus=ahci0.0,drive=disk0,id=disk-a,serial=S-a,bootindex=1,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk1,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=b.qcow2
    -device ide-hd,bus=ahci0.1,drive=disk1,id=disk-b,serial=S-b,bootindex=2,werror=stop,rerror=stop
    ");
}

#[test]
fn nics_of_every_model() {
    let nics = vec![
        nic("a", NicModel::Virtio),
        Nic { rom: false, ..nic("b", NicModel::E1000) },
        nic("c", NicModel::E1000e),
        nic("d", NicModel::Rtl8139),
        Nic { link_up: false, ..nic("e", NicModel::Vmxnet3) },
    ];
    let boot = Boot::Order(vec![BootDevice::OneNic(NicName::new("c").unwrap())]);
    assert_snapshot!(check_more(&Node { nics, boot, ..node() }), @"
    -netdev tap,id=net-a,ifname=tap-a,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-a,id=nic-a,mac=52:54:00:fe:a3:c4
    -netdev tap,id=net-b,ifname=tap-b,script=no,downscript=no,vhost=off
    -device e1000,netdev=net-b,id=nic-b,mac=52:54:00:29:9b:f6,romfile=
    -netdev tap,id=net-c,ifname=tap-c,script=no,downscript=no,vhost=off
    -device e1000e,netdev=net-c,id=nic-c,mac=52:54:00:97:94:27,bootindex=1
    -netdev tap,id=net-d,ifname=tap-d,script=no,downscript=no,vhost=off
    -device rtl8139,netdev=net-d,id=nic-d,mac=52:54:00:44:a6:71
    -netdev tap,id=net-e,ifname=tap-e,script=no,downscript=no,vhost=off
    -device vmxnet3,netdev=net-e,id=nic-e,mac=52:54:00:a7:d6:35
    ");
}

#[test]
fn a_real_pace_leaves_the_banner_standing() {
    let node = Node { firmware_delays: FirmwareDelays::Keep, ..node() };
    assert!(!qemu_of(&plan(&node, &facts(), Accel::Tcg).unwrap()).skip_banner);
}

#[test]
fn a_host_without_qemu_or_firmware_is_told_what_to_install() {
    assert_snapshot!(refused(&node(), &HostFacts { qemu: None, ..facts() }), @"
    this host has no `qemu-system-x86_64`

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
    let old = Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (6, 2, 0), lacks_ipmi: false };
    assert_snapshot!(refused(&node(), &HostFacts { qemu: Some(old), ..facts() }), @"
    /usr/bin/qemu-system-x86_64 is QEMU 6.2.0; 7.2 or later is required

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
    let uefi = Node { firmware: Firmware::Uefi, ..node() };
    assert_snapshot!(refused(&uefi, &HostFacts { firmware: Vec::new(), ..facts() }), @"
    node `node1` needs UEFI firmware without enrolled keys for pc-q35-7.2, which this host does not have

    hint: install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)
    ");
    let secure = Node { firmware: Firmware::UefiSecure, machine: Chipset::Pc, ..node() };
    assert_snapshot!(refused(&secure, &facts()), @r#"
    node `node1` needs UEFI firmware with Secure Boot and enrolled keys for pc-i440fx-7.2, which this host does not have

    hint: Secure Boot needs `machine = "q35"`
    "#);
}

#[test]
fn too_many_devices_are_refused() {
    let disks = (0..26).map(|index| disk(&format!("d{index}"), Bus::Virtio)).collect();
    assert_snapshot!(refused(&Node { disks, ..node() }, &facts()), @r#"
    node `node1` has 29 PCI devices, but its root bus has room for 26

    hint: put disks on `bus = "scsi"`, which share one slot, or give the node fewer NICs or shares
    "#);
}

#[test]
fn firmware_is_matched_by_machine_type() {
    assert!(matches("pc-q35-*", "pc-q35-10.0"));
    assert!(matches("pc-q35-7.2", "pc-q35-7.2"));
    assert!(matches("pc-*-7.2", "pc-q35-7.2"));
    assert!(!matches("pc-i440fx-*", "pc-q35-7.2"));
    assert!(!matches("pc-q35", "pc-q35-7.2"));
}

#[test]
fn plain_uefi_takes_secure_firmware_without_keys_if_there_is_no_other() {
    let bare = FirmwareFile { enrolled_keys: false, ..ovmf(".secboot", true) };
    let facts = HostFacts { firmware: vec![ovmf(".ms", true), bare], ..facts() };
    let node = Node { firmware: Firmware::Uefi, ..node() };
    let found = firmware(&node, &facts).unwrap();
    assert_eq!(found.code, PathBuf::from("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"));
}

#[test]
fn uefi_offers_its_own_pxe_where_it_may_be_needed() {
    let hidden = |node: Node| check(&node).contains("IPv4PXESupport,string=no");
    let uefi = || Node { firmware: Firmware::Uefi, ..node() };
    assert!(hidden(uefi()));
    assert!(hidden(Node { boot: Boot::Order(vec![BootDevice::Disk]), ..uefi() }));
    let without_rom = Nic { rom: false, ..nic("lan", NicModel::Virtio) };
    assert!(!hidden(Node { nics: vec![nic("san", NicModel::Virtio), without_rom], ..uefi() }));
    assert!(!hidden(Node { firmware_delays: FirmwareDelays::Keep, ..uefi() }));
    assert!(!hidden(Node { boot: Boot::Nvram, ..uefi() }));
    assert!(!hidden(Node { firmware: Firmware::UefiSecure, ..uefi() }), "it refuses the ROM");
    assert!(!hidden(node()));
}

/// Returns the lines of a start that differ from one without overrides.
fn check_start(node: &Node, start: &StartOptions) -> String {
    let plan = plan(node, &facts(), Accel::Tcg).unwrap();
    let (plain, all) = (show(&plan), show_start(&plan, start));
    let lines: Vec<&str> = all.lines().filter(|line| !plain.lines().any(|other| other == *line)).collect();
    lines.join("\n")
}

fn boots(target: BootTarget) -> StartOptions {
    StartOptions { boot: Some(target), ..StartOptions::default() }
}

#[test]
fn what_the_lab_file_has_no_word_for_comes_last() {
    let args = ["-device", "edu"].map(str::to_owned).to_vec();
    let qemu = QemuExtras { args, cpu: Some("EPYC".to_owned()) };
    let models = [NicModel::E1000Server, NicModel::I82559c, NicModel::Pcnet];
    let nics = models.map(|model| nic(&format!("{model:?}").to_lowercase(), model)).to_vec();
    let plan = plan(&Node { qemu, nics, ..node() }, &facts(), Accel::Tcg).unwrap();
    let argv = show(&plan);
    assert!(argv.contains("\n-cpu EPYC\n") && argv.ends_with("\n-device edu"), "{argv}");
    for model in ["e1000-82545em", "i82559c", "pcnet"] {
        assert!(argv.contains(&format!("-device {model},netdev=")), "{argv}");
    }
    assert_eq!(qemu_of(&plan).extras().as_deref(), Some("-cpu EPYC -device edu"));
}

#[test]
fn folders_of_the_host_are_shared() {
    let share =
        |name: &str, access| Share { name: DiskName::new(name).unwrap(), path: "/srv/a,b".into(), access };
    let shares =
        vec![share("docs", Access::ReadOnly), share("work", Access::Copy), share("logs", Access::Write)];
    let argv = show(&plan(&Node { shares, ..node() }, &facts(), Accel::Tcg).unwrap());
    let shares: Vec<&str> = argv.lines().filter(|line| line.contains("share-")).collect();
    assert_snapshot!(shares.join("\n"), @"
    -fsdev local,id=share-docs,path=/srv/a,,b,security_model=none,multidevs=remap,readonly=on
    -device virtio-9p-pci,fsdev=share-docs,mount_tag=docs
    -fsdev local,id=share-work,path=share/work,security_model=none,multidevs=remap
    -device virtio-9p-pci,fsdev=share-work,mount_tag=work
    -fsdev local,id=share-logs,path=/srv/a,,b,security_model=none,multidevs=remap
    -device virtio-9p-pci,fsdev=share-logs,mount_tag=logs
    ");
}

#[test]
fn a_tpm_needs_swtpm() {
    let node = Node { tpm: Some(Tpm::Two), ..node() };
    let argv = show(&plan(&node, &facts(), Accel::Tcg).unwrap());
    let tpm: Vec<&str> = argv.lines().filter(|line| line.contains("tpm")).collect();
    assert_snapshot!(tpm.join("\n"), @"
    -chardev socket,id=tpm,path=tpm.sock
    -tpmdev emulator,id=tpm0,chardev=tpm
    -device tpm-tis,tpmdev=tpm0
    ");
    let facts = HostFacts { swtpm: None, ..facts() };
    assert_snapshot!(plan(&node, &facts, Accel::Tcg).unwrap_err().to_string(), @"
    node `node1` has a TPM, and this host has no `swtpm`

    hint: install swtpm (the package is called so everywhere)
    ");
}

#[test]
fn a_node_with_a_bmc_has_an_interface_to_it_on_either_chipset() {
    let nic = HostNicPlan {
        nic: NicName::new("bmc").unwrap(),
        interface: IfName::new("bmc0").unwrap(),
        mac: Mac([0x52, 0x54, 0, 0, 3, 10]),
        address: None,
        network: NetworkName::new("mgmt").unwrap(),
        bridge: IfName::new("drmgmt").unwrap(),
        port: IfName::new("cbmc").unwrap(),
        alias: "a BMC".to_owned(),
        mtu: 1500,
    };
    let bmc = BmcPlan {
        nic,
        address: "10.0.3.10/24".parse().unwrap(),
        gateway: None,
        dns: None,
        domain: String::new(),
        personality: Personality::default(),
        user: "admin".to_owned(),
        password: None,
        ipmi: true,
        redfish: None,
    };
    for machine in [Chipset::Q35, Chipset::Pc] {
        let mut plan = plan(&Node { machine, ..node() }, &facts(), Accel::Tcg).unwrap();
        let before = qemu_of(&plan).arguments(&plan, &StartOptions::default());
        let slots = qemu_of(&plan).slots(&plan);
        plan.bmc = Some(bmc.clone());
        let arguments = qemu_of(&plan).arguments(&plan, &StartOptions::default());
        let added: Vec<_> = arguments.iter().filter(|argument| !before.contains(argument)).collect();
        assert_eq!(
            added,
            [
                "socket,id=bmc,path=bmc.sock,server=on,wait=off",
                "ipmi-bmc-extern,id=bmc0,chardev=bmc",
                "isa-ipmi-kcs,bmc=bmc0"
            ]
        );
        assert_eq!((arguments.len(), qemu_of(&plan).slots(&plan)), (before.len() + 6, slots));
        let NodeKind::Qemu(qemu) = &mut plan.kind;
        qemu.lacks_ipmi = true;
        assert_eq!(qemu_of(&plan).arguments(&plan, &StartOptions::default()), before);
    }
}

#[test]
fn a_nic_that_only_a_newer_qemu_has() {
    let igb = || Node { nics: vec![nic("lan", NicModel::Igb)], ..node() };
    assert_snapshot!(plan(&igb(), &facts(), Accel::Tcg).unwrap_err().to_string(), @r#"
    NIC `lan` of node `node1` is an igb, which QEMU 7.2.22 does not have

    hint: use QEMU 8.0 or later, or `model = "e1000e"`
    "#);
    let qemu =
        Some(Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (8, 0, 0), lacks_ipmi: false });
    assert!(
        show(&plan(&igb(), &HostFacts { qemu, ..facts() }, Accel::Tcg).unwrap()).contains("-device igb,")
    );
}

#[test]
fn what_is_booted_may_change_at_a_start() {
    let disks = vec![disk("root", Bus::Virtio), disk("data", Bus::Sata)];
    let boot = Boot::Order(vec![BootDevice::OneDisk(DiskName::new("data").unwrap()), BootDevice::Network]);
    let node = Node { disks, boot, ..node() };
    assert_snapshot!(check_start(&node, &boots(BootTarget::Network)), @"
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=1
    -device ide-hd,bus=ide.0,drive=disk1,id=disk-data,serial=S-data,bootindex=2,werror=stop,rerror=stop
    ");
    assert_snapshot!(check_start(&node, &boots(BootTarget::Disk)), @"
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=3
    -device virtio-blk-pci,drive=disk0,id=disk-root,serial=S-root,bootindex=2,werror=stop,rerror=stop
    ");
    assert_snapshot!(check_start(&node, &boots(BootTarget::Cd)), @"
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=3
    -device ide-hd,bus=ide.0,drive=disk1,id=disk-data,serial=S-data,bootindex=2,werror=stop,rerror=stop
    -device ide-cd,bus=ide.1,id=cd,bootindex=1
    ");
    let plan = plan(&node, &facts(), Accel::Tcg).unwrap();
    let overridden = |target| format!("{:?}", qemu_of(&plan).reordered(&plan, Some(target), None));
    assert_eq!(overridden(BootTarget::Network), r#"[("nic-lan", Some(2)), ("disk-data", Some(1))]"#);
    assert_eq!(overridden(BootTarget::Disk), r#"[("nic-lan", Some(2)), ("disk-root", None)]"#);
    assert_eq!(overridden(BootTarget::Cd), r#"[("nic-lan", Some(2)), ("disk-data", Some(1)), ("cd", None)]"#);
    let back = qemu_of(&plan).reordered(&plan, None, Some(BootTarget::Network));
    assert_eq!(format!("{back:?}"), r#"[("nic-lan", Some(1)), ("disk-data", Some(2))]"#);
}

#[test]
fn a_uefi_machine_has_no_boot_index_once_its_variables_hold_the_order() {
    let node = Node { firmware: Firmware::Uefi, disks: vec![disk("root", Bus::Sata)], ..node() };
    let plan = plan(&node, &facts(), Accel::Tcg).unwrap();
    assert!(show(&plan).contains("bootindex=1"));
    let start = StartOptions {
        order: OrderBy::Variables,
        boot: Some(BootTarget::Network),
        ..StartOptions::default()
    };
    assert!(!show_start(&plan, &start).contains("bootindex"));
    let unordered = format!("{:?}", qemu_of(&plan).unordered(&plan, None));
    assert_eq!(unordered, r#"[("nic-lan", None), ("disk-root", None)]"#);
}

#[test]
fn what_is_wrong_with_a_machine_is_in_its_arguments() {
    let start = |faults: Vec<MachineFault>| StartOptions { faults, ..StartOptions::default() };
    let small = MachineFault::Memory(Text(Bytes::mebi(64)));
    let old = MachineFault::Clock(Text("2001-01-01".parse().unwrap()));
    let both = check_start(&node(), &start(vec![small, old]));
    assert_snapshot!(both, @"
    -m 64M
    -rtc base=2001-01-01T00:00:00
    ");
    let disks = Node { disks: vec![disk("root", Bus::Virtio), disk("key", Bus::Usb)], ..node() };
    assert_snapshot!(check_start(&disks, &start(vec![MachineFault::DiskError])), @"
    -blockdev driver=blkdebug,node-name=disk0,inject-error.0.event=none,inject-error.0.errno=5,image.driver=qcow2,image.file.driver=file,image.file.filename=root.qcow2
    -device virtio-blk-pci,drive=disk0,id=disk-root,serial=S-root,bootindex=1,werror=report,rerror=report
    ");
    let none = show_start(&plan(&disks, &facts(), Accel::Tcg).unwrap(), &start(vec![MachineFault::NoDisk]));
    assert!(!none.contains("virtio-blk") && none.contains("usb-storage"), "{none}");
    let silent = show_start(&plan(&node(), &facts(), Accel::Tcg).unwrap(), &start(vec![MachineFault::NoRng]));
    assert!(!silent.contains("rng-builtin") && silent.contains(",rdrand=off,rdseed=off"), "{silent}");
}

#[test]
fn a_medium_is_in_a_drive_that_takes_no_slot() {
    let medium = Medium::File("/isos/a,b.iso".into());
    let media = BTreeMap::from([(DiskName::new(CD).unwrap(), medium)]);
    let medium = StartOptions { media, ..StartOptions::default() };
    assert_snapshot!(check_start(&node(), &medium), @"
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/isos/a,,b.iso
    -device ide-cd,bus=ide.0,id=cd,drive=cd0
    ");
    let old = Node { machine: Chipset::Pc, ..node() };
    assert_snapshot!(check_start(&old, &medium), @"
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/isos/a,,b.iso
    -device ide-cd,bus=ide.1,id=cd,drive=cd0
    ");
    let full = Node { disks: (0..6).map(|index| disk(&format!("d{index}"), Bus::Sata)).collect(), ..node() };
    assert_snapshot!(check_start(&full, &medium), @"
    -device ich9-ahci,id=ahci1
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/isos/a,,b.iso
    -device ide-cd,bus=ahci1.0,id=cd,drive=cd0
    ");
}

#[test]
fn sticks_and_cds_are_booted_in_the_order_of_the_lab_file() {
    let cd = |name: &str| CdDrive { name: DiskName::new(name).unwrap(), medium: None };
    let disks = vec![disk("key", Bus::Usb), disk("root", Bus::Sata), disk("spare", Bus::Usb)];
    let boot = vec![
        BootDevice::OneCd(DiskName::new("b").unwrap()),
        BootDevice::Usb,
        BootDevice::Disk,
        BootDevice::Cd,
        BootDevice::Network,
    ];
    let node = Node { disks, cds: vec![cd("a"), cd("b")], boot: Boot::Order(boot), ..node() };
    assert_snapshot!(check_more(&node), @"
    -netdev tap,id=net-lan,ifname=tap-lan,script=no,downscript=no,vhost=off
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=6
    -blockdev driver=qcow2,node-name=disk0,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=key.qcow2
    -device qemu-xhci,id=usb,p2=15,p3=15
    -device usb-storage,bus=usb.0,removable=on,drive=disk0,id=disk-key,serial=S-key,bootindex=2
    -blockdev driver=qcow2,node-name=disk1,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=root.qcow2
    -device ide-hd,bus=ide.0,drive=disk1,id=disk-root,serial=S-root,bootindex=4,werror=stop,rerror=stop
    -blockdev driver=qcow2,node-name=disk2,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=spare.qcow2
    -device usb-storage,bus=usb.0,removable=on,drive=disk2,id=disk-spare,serial=S-spare,bootindex=3
    -device ide-cd,bus=ide.1,id=cd-a,bootindex=5
    -device ide-cd,bus=ide.2,id=cd-b,bootindex=1
    ");
    // A stick that is unplugged, another in its port, and a medium.
    let media = BTreeMap::from([
        (DiskName::new("key").unwrap(), Medium::Empty),
        (DiskName::new("spare").unwrap(), Medium::File("spare-0.qcow2".into())),
        (DiskName::new("a").unwrap(), Medium::File("/a.iso".into())),
    ]);
    let start = StartOptions { boot: Some(BootTarget::Usb), media, ..StartOptions::default() };
    assert_snapshot!(check_start(&node, &start), @"
    -blockdev driver=qcow2,node-name=disk2,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=spare-0.qcow2
    -device usb-storage,bus=usb.0,removable=on,drive=disk2,id=disk-spare,serial=S-spare,bootindex=2
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/a.iso
    -device ide-cd,bus=ide.1,id=cd-a,drive=cd0,bootindex=5
    -device ide-cd,bus=ide.2,id=cd-b,bootindex=3
    ");
    let plan = plan(&node, &facts(), Accel::Tcg).unwrap();
    let qemu = qemu_of(&plan);
    assert_eq!(format!("{:?}", qemu.sticks_at(&plan, &start)), r#"{DiskName("spare"): ["disk2"]}"#);
    let stick = serde_json::Value::Object(qemu.stick(&plan, &plan.disks[0], "stick1", None));
    assert_snapshot!(stick, @r#"{"driver":"usb-storage","bus":"usb.0","drive":"stick1","id":"disk-key","serial":"S-key","removable":true,"bootindex":2}"#);
    let old = Node { machine: Chipset::Pc, disks: Vec::new(), cds: vec![cd("a"), cd("b"), cd("c")], ..node };
    assert_snapshot!(check_start(&old, &StartOptions { boot: Some(BootTarget::Cd), ..start }), @"
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/a.iso
    -device ide-cd,bus=ide.1,id=cd-a,drive=cd0,bootindex=2
    ");
}

#[test]
fn a_nic_may_be_connected_to_a_socket_and_a_kernel_booted_directly() {
    let mut plan = plan(&node(), &facts(), Accel::Tcg).unwrap();
    plan.nics[0].link = LinkPlan::Datagram { local: "nic.sock".into(), remote: "cable.sock".into() };
    let NodeKind::Qemu(qemu) = &mut plan.kind;
    qemu.kernel = Some(DirectKernel { file: "/boot/vmlinuz".into(), arguments: "console=ttyS0".to_owned() });
    let shown = show(&plan);
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains("dgram") || line.contains("vmlinuz") || line.contains("-append"))
        .collect();
    assert_snapshot!(lines.join("\n"), @"
    -netdev dgram,id=net-lan,local.type=unix,local.path=nic.sock,remote.type=unix,remote.path=cable.sock
    -kernel /boot/vmlinuz
    -append console=ttyS0
    ");
}

#[test]
fn a_node_with_a_bmc_has_drives_for_its_media() {
    let bmc = Some(Bmc {
        network: NetworkName::new("lan").unwrap(),
        address: [10, 0, 2, 100].into(),
        mac: Mac([2, 0, 0, 0, 0, 9]),
        personality: Personality::default(),
        user: "admin".to_owned(),
        password: None,
        ipmi: true,
        redfish: None,
    });
    let node = Node { bmc, ..node() };
    let added = |node: &Node| {
        let without = check(&Node { bmc: None, ..node.clone() });
        let with = check(node);
        let lines: Vec<&str> =
            with.lines().filter(|line| !without.lines().any(|other| other == *line)).collect();
        lines.join("\n")
    };
    assert_snapshot!(added(&node), @"
    -device qemu-xhci,id=usb,p2=15,p3=15
    -device ide-cd,bus=ide.0,id=cd
    ");
    let exported = |overlay: Option<&str>| Medium::Exported {
        socket: "media-0.sock".to_owned(),
        overlay: overlay.map(PathBuf::from),
    };
    let [cd, usb] = ["cd", "usb"].map(|name| DiskName::new(name).unwrap());
    let media = BTreeMap::from([(cd.clone(), exported(None)), (usb.clone(), exported(Some("usb-0.qcow2")))]);
    let start = StartOptions { boot: Some(BootTarget::Usb), media, ..StartOptions::default() };
    assert_snapshot!(check_start(&node, &start), @"
    -device virtio-net-pci,netdev=net-lan,id=nic-lan,mac=52:54:00:82:43:51,bootindex=2
    -blockdev driver=raw,node-name=disk0-image,read-only=on,file.driver=nbd,file.server.type=unix,file.server.path=media-0.sock
    -blockdev driver=qcow2,node-name=disk0,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,file.filename=usb-0.qcow2,backing=disk0-image
    -device usb-storage,bus=usb.0,removable=on,drive=disk0,id=disk-usb,serial=virtual-media,bootindex=1
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=nbd,file.server.type=unix,file.server.path=media-0.sock
    -device ide-cd,bus=ide.0,id=cd,drive=cd0
    ");
    let planned = plan(&node, &facts(), Accel::Tcg).unwrap();
    let qemu = qemu_of(&planned);
    assert_eq!(qemu.cd_nodes_at(&planned, &start), BTreeMap::from([(cd, "cd0".to_owned())]));
    let nodes = vec!["disk0".to_owned(), "disk0-image".to_owned()];
    assert_eq!(qemu.sticks_at(&planned, &start), BTreeMap::from([(usb, nodes)]));
    assert_eq!(qemu.sticks_at(&planned, &StartOptions::default()), BTreeMap::new());
    // The lab file has a stick of that name.
    let taken = Node { disks: vec![disk("usb", Bus::Usb)], ..node };
    let planned = plan(&taken, &facts(), Accel::Tcg).unwrap();
    assert_eq!(qemu_of(&planned).bmc_stick.as_ref().unwrap().disk.as_str(), "usb2");
}
