//! The QEMU arguments of one machine, for QEMU 7.2 or later.
//!
//! QEMU runs in the folder of its node, so that sockets and disks are named
//! without a path. Guests see the same devices in the same slots on every host
//! and in every run: the screen first, then the NICs in the order of the lab
//! file, then all the rest.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Accel, FirmwareFile, HostFacts, MachineNic, MachinePlan, Qemu, Refusal, TapPlan, boot};
use crate::lab::{
    Boot, BootDevice, Bus, Chipset, Disk, Firmware, FirmwareDelays, Lab, Nic, NicModel, Node, Seed, Via,
};
use crate::name::{DiskName, NicName};

/// The oldest QEMU whose options these are.
pub(crate) const OLDEST: (u32, u32, u32) = (7, 2, 0);

/// Ports of ICH9's AHCI controller.
const SATA_PORTS: usize = 6;

/// Where the certificate of the lab's authority lies in the run folder, as EDK2 reads it.
pub const CACERTS: &str = "authority/cacerts";

/// Slots of the root bus that stay free for the chip set and its functions.
const SLOTS: usize = 26;

/// Bytes of COM1's port number (0x3f8, little-endian): SeaBIOS mirrors its screen to it.
const SERCON_PORT: [u8; 2] = [0xf8, 0x03];

/// QEMU's sandbox: it needs no new privileges, no children and no scheduling changes.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Decides the arguments of a node's machine, or returns what this host lacks for it.
///
/// `taps` are those of the node.
pub(super) fn machine_plan(
    lab: &Lab,
    node: &Node,
    facts: &HostFacts,
    accel: Accel,
    taps: &[TapPlan],
) -> Result<MachinePlan, Refusal> {
    let qemu = qemu(facts)?;
    let mut machine = Arguments::default();
    machine.base(lab, node, accel);
    match node.firmware {
        Firmware::Bios => machine.bios(node),
        Firmware::Uefi | Firmware::UefiSecure => machine.uefi(lab, node, firmware(node, facts)?),
    }
    machine.channels();
    let order = BootOrder::of(node);
    machine.slot("VGA,id=screen".to_owned());
    let mut nics = Vec::new();
    for (nic, tap) in node.nics.iter().zip(taps) {
        nics.push(machine.nic(nic, tap, order.nic(&nic.name)));
    }
    machine.disks(node, &order);
    if matches!(node.seed, Seed::NoCloud { volume: true, .. }) {
        machine.seed();
    }
    machine.option("-object", "rng-builtin,id=rng0");
    machine.slot("virtio-rng-pci,rng=rng0".to_owned());
    machine.option("-device", "pvpanic");
    if machine.slots > SLOTS {
        return Err(Refusal::new(
            format!(
                "node `{}` has {} PCI devices, but its root bus has room for {SLOTS}",
                node.name, machine.slots
            ),
            "put disks on `bus = \"scsi\"`, which share one slot, or give the node fewer NICs",
        ));
    }
    Ok(MachinePlan {
        node: node.name.clone(),
        program: qemu.program.clone(),
        argv: machine.argv,
        files: machine.files,
        skip_banner: node.firmware_delays == FirmwareDelays::Skip && boot::netboots(node),
        nics,
        memory: node.memory,
    })
}

/// Returns the UEFI firmware for a node, if this host has it.
pub(super) fn firmware<'a>(node: &Node, facts: &'a HostFacts) -> Result<&'a FirmwareFile, Refusal> {
    let machine = versioned(node.machine, qemu(facts)?);
    let runs = |file: &&FirmwareFile| file.machines.iter().any(|pattern| matches(pattern, &machine));
    let mut candidates = facts.firmware.iter().filter(runs);
    let (found, kind) = match node.firmware {
        Firmware::UefiSecure => (
            candidates.find(|file| file.secure_boot && file.enrolled_keys),
            "with Secure Boot and enrolled keys",
        ),
        Firmware::Bios | Firmware::Uefi => {
            // Firmware with Secure Boot but without keys boots anything too, only slower.
            let open = |file: &&FirmwareFile| !file.enrolled_keys;
            let plain = candidates.clone().filter(open).find(|file| !file.secure_boot);
            (plain.or_else(|| candidates.find(open)), "without enrolled keys")
        }
    };
    found.ok_or_else(|| {
        let hint = match (node.machine, node.firmware) {
            (Chipset::Pc, Firmware::UefiSecure) => "Secure Boot needs `machine = \"q35\"`",
            (Chipset::Pc | Chipset::Q35, Firmware::Bios | Firmware::Uefi | Firmware::UefiSecure) => {
                "install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)"
            }
        };
        Refusal::new(format!("node `{}` needs UEFI firmware {kind} for {machine}, which this host does not have", node.name), hint)
    })
}

/// Returns QEMU's `-accel` and `-cpu` values: what a machine runs on, and what the self-test therefore tests.
pub fn processor(accel: Accel) -> (&'static str, &'static str) {
    match accel {
        Accel::Kvm => ("kvm", "host"),
        // Everything that the emulator can do, less five-level paging, whose longer walks cost boot time, and less fast
        // `rep movsb`, which it does byte by byte: without it kernels copy and clear eight bytes at a time. The
        // translation cache is bounded, because three machines with the default of 1 GiB each would not leave much.
        Accel::Tcg => ("tcg,thread=multi,tb-size=256", "max,la57=off,erms=off,fsrm=off"),
    }
}

fn qemu(facts: &HostFacts) -> Result<&Qemu, Refusal> {
    let install = "install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; \
                   Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)";
    let Some(qemu) = &facts.qemu else {
        return Err(Refusal::new("this host has no `qemu-system-x86_64`", install));
    };
    if qemu.version < OLDEST {
        let (major, minor, micro) = qemu.version;
        let why =
            format!("{} is QEMU {major}.{minor}.{micro}; 7.2 or later is required", qemu.program.display());
        return Err(Refusal::new(why, install));
    }
    Ok(qemu)
}

/// Returns the versioned machine type that QEMU's word for the chip set stands for.
fn versioned(chipset: Chipset, qemu: &Qemu) -> String {
    let (major, minor, _) = qemu.version;
    match chipset {
        Chipset::Q35 => format!("pc-q35-{major}.{minor}"),
        Chipset::Pc => format!("pc-i440fx-{major}.{minor}"),
    }
}

/// Returns whether a machine type matches a pattern of a firmware descriptor, whose only wildcard is `*`.
fn matches(pattern: &str, machine: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == machine,
        Some((head, rest)) => machine.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

/// Returns the IP versions over which a UEFI firmware shall offer no PXE of its own.
///
/// HTTP Boot comes after PXE in OVMF's order and cannot be hidden, so a way is chosen by hiding those before it.
/// Where iPXE's ROM boots it is half a second of work under emulation, for entries that come after those of the ROM.
fn hidden_pxe(lab: &Lab, node: &Node) -> &'static [&'static str] {
    if boots_by_ipxe_alone(node) {
        return &["IPv4", "IPv6"];
    }
    let via = boot::profile(lab, node).and_then(|profile| profile.via);
    match (&node.boot, via) {
        // Who keeps boot entries in variables is to find them all.
        (Boot::Nvram, _) | (Boot::Order(_), None) => &[],
        (Boot::Order(_), Some(Via::Pxe)) => &["IPv6"],
        (Boot::Order(_), Some(Via::Pxe6)) => &["IPv4"],
        (Boot::Order(_), Some(Via::Http | Via::Http6 | Via::Https)) => &["IPv4", "IPv6"],
    }
}

/// Returns whether UEFI's own PXE would boot a node only where iPXE's ROM has failed to.
///
/// Not so under Secure Boot, which refuses the ROM; and who keeps boot entries in variables is to find them all.
fn boots_by_ipxe_alone(node: &Node) -> bool {
    node.firmware_delays == FirmwareDelays::Skip
        && node.firmware == Firmware::Uefi
        && matches!(node.boot, Boot::Order(_))
        && node.nics.iter().all(|nic| nic.rom)
}

/// Writes a value inside a list of `key=value`, where a comma ends it and two stand for one.
fn value(text: &str) -> String {
    text.replace(',', ",,")
}

fn path(path: &Path) -> String {
    value(&path.to_string_lossy())
}

/// Which device the firmware tries when; counted from 1 over disks and NICs alike.
struct BootOrder {
    disks: BTreeMap<DiskName, usize>,
    nics: BTreeMap<NicName, usize>,
}

impl BootOrder {
    fn of(node: &Node) -> Self {
        let mut order = Self { disks: BTreeMap::new(), nics: BTreeMap::new() };
        let Boot::Order(devices) = &node.boot else {
            return order;
        };
        let mut next = 1..;
        let mut index = || next.next().expect("a counter without end");
        for device in devices {
            let (disks, nics): (Vec<&DiskName>, Vec<&NicName>) = match device {
                BootDevice::Disk => (node.disks.iter().map(|disk| &disk.name).collect(), Vec::new()),
                BootDevice::Network => (Vec::new(), node.nics.iter().map(|nic| &nic.name).collect()),
                BootDevice::OneDisk(name) => (vec![name], Vec::new()),
                BootDevice::OneNic(name) => (Vec::new(), vec![name]),
            };
            for disk in disks {
                order.disks.entry(disk.clone()).or_insert_with(&mut index);
            }
            for nic in nics {
                order.nics.entry(nic.clone()).or_insert_with(&mut index);
            }
        }
        order
    }

    fn disk(&self, name: &DiskName) -> String {
        Self::property(self.disks.get(name))
    }

    fn nic(&self, name: &NicName) -> String {
        Self::property(self.nics.get(name))
    }

    fn property(index: Option<&usize>) -> String {
        index.map(|index| format!(",bootindex={index}")).unwrap_or_default()
    }
}

#[derive(Default)]
struct Arguments {
    argv: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    /// Devices on the root bus.
    slots: usize,
}

impl Arguments {
    fn flag(&mut self, flag: &str) {
        self.argv.push(flag.to_owned());
    }

    fn option(&mut self, option: &str, value: impl Into<String>) {
        self.argv.push(option.to_owned());
        self.argv.push(value.into());
    }

    /// Adds a device on the root bus; it takes the next slot.
    fn slot(&mut self, device: String) {
        self.slots += 1;
        self.option("-device", device);
    }

    fn base(&mut self, lab: &Lab, node: &Node, accel: Accel) {
        let (accel, cpu) = processor(accel);
        self.option("-name", format!("guest={}", node.name));
        self.flag("-nodefaults");
        self.flag("-no-user-config");
        self.option("-sandbox", SANDBOX);
        self.flag("-S");
        self.option("-accel", accel);
        self.option("-cpu", cpu);
        self.option("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", node.cpus));
        self.option("-m", format!("{}M", node.memory.0.div_ceil(1 << 20)));
        self.option("-uuid", node.uuid.to_string());
        let serial = value(&node.serial);
        self.option("-smbios", format!("type=1,manufacturer=Dryrack,product={},serial={serial}", lab.name));
        self.option(
            "-smbios",
            format!("type=3,manufacturer=Dryrack,serial={serial},asset={}", value(&node.asset_tag)),
        );
        self.option("-rtc", "base=utc");
        // A guest that panics stays there, as a machine of metal does; the panic is an event.
        self.option("-action", "panic=none");
    }

    fn machine(&mut self, node: &Node, properties: &str) {
        let chipset = match node.machine {
            Chipset::Q35 => "q35",
            Chipset::Pc => "pc",
        };
        self.option("-machine", format!("{chipset},vmport=off,dump-guest-core=off{properties}"));
    }

    fn bios(&mut self, node: &Node) {
        // SeaBIOS uses system management mode for nothing that a guest sees.
        self.machine(node, ",smm=off");
        self.option("-boot", "strict=on,menu=off");
        self.files.insert("sercon-port".to_owned(), SERCON_PORT.to_vec());
        self.option("-fw_cfg", "name=etc/sercon-port,file=sercon-port");
    }

    fn uefi(&mut self, lab: &Lab, node: &Node, firmware: &FirmwareFile) {
        let smm = if firmware.requires_smm { "on" } else { "off" };
        self.machine(node, &format!(",smm={smm},pflash0=code,pflash1=variables"));
        let format = |path: &Path| match path.extension().is_some_and(|extension| extension == "qcow2") {
            true => "qcow2",
            false => "raw",
        };
        self.option(
            "-blockdev",
            format!(
                "driver={},node-name=code,read-only=on,file.driver=file,file.filename={}",
                format(&firmware.code),
                path(&firmware.code)
            ),
        );
        self.option(
            "-blockdev",
            format!(
                "driver={},node-name=variables,file.driver=file,file.filename=vars.fd",
                format(&firmware.variables)
            ),
        );
        if firmware.requires_smm {
            self.option("-global", "driver=cfi.pflash01,property=secure,value=on");
        }
        // No server sleeps, and the firmware prepares for it at every boot.
        let power = match node.machine {
            Chipset::Q35 => "ICH9-LPC",
            Chipset::Pc => "PIIX4_PM",
        };
        self.option("-global", format!("{power}.disable_s3=1"));
        match node.boot {
            Boot::Order(_) => self.option("-boot", "strict=on,menu=off"),
            Boot::Nvram => self.option("-boot", "menu=off"),
        }
        for version in hidden_pxe(lab, node) {
            self.option("-fw_cfg", format!("name=opt/org.tianocore/{version}PXESupport,string=no"));
        }
        // Whom HTTPS Boot believes. OVMF reads it anew at each start.
        if node.nics.iter().any(|nic| lab.networks.get(&nic.network).is_some_and(|network| network.https)) {
            self.option("-fw_cfg", format!("name=etc/edk2/https/cacerts,file=../../{CACERTS}"));
        }
    }

    /// Adds what we talk to the machine through: QMP, the serial console, the screen.
    ///
    /// QEMU calls us for the first two, so that nobody has to look again and again whether it is there yet.
    fn channels(&mut self) {
        self.option("-chardev", "socket,id=qmp,path=qmp.sock,server=off");
        self.option("-mon", "chardev=qmp,mode=control");
        self.option("-chardev", "socket,id=console,path=console.sock,server=off");
        self.option("-serial", "chardev:console");
        self.option("-display", "none");
        self.option("-vnc", "unix:vnc.sock");
    }

    fn nic(&mut self, nic: &Nic, tap: &TapPlan, bootindex: String) -> MachineNic {
        let model = match nic.model {
            NicModel::Virtio => "virtio-net-pci",
            NicModel::E1000 => "e1000",
            NicModel::E1000e => "e1000e",
            NicModel::Rtl8139 => "rtl8139",
            NicModel::Vmxnet3 => "vmxnet3",
        };
        let id = format!("nic-{}", nic.name);
        let net = format!("net-{}", nic.name);
        let interface = value(tap.interface.as_str());
        self.option("-netdev", format!("tap,id={net},ifname={interface},script=no,downscript=no,vhost=off"));
        let rom = if nic.rom { "" } else { ",romfile=" };
        self.slot(format!("{model},netdev={net},id={id},mac={}{bootindex}{rom}", nic.mac));
        MachineNic { nic: nic.name.clone(), id, interface: tap.interface.clone(), link_up: nic.link_up }
    }

    fn disks(&mut self, node: &Node, order: &BootOrder) {
        let (mut sata, mut scsi) = (0, 0);
        for (index, disk) in node.disks.iter().enumerate() {
            // Names of block nodes end at 31 bytes, names of disks do not.
            let drive = format!("disk{index}");
            // A rehearsal's disks are thrown away, so nothing is flushed; what the guest frees, the host gets back.
            self.option(
                "-blockdev",
                format!(
                    "driver=qcow2,node-name={drive},discard=unmap,detect-zeroes=unmap,cache.no-flush=on,\
                     file.driver=file,file.filename={}.qcow2",
                    disk.name
                ),
            );
            let bootindex = order.disk(&disk.name);
            let common = |disk: &Disk| {
                format!("drive={drive},id=disk-{},serial={}{bootindex}", disk.name, value(&disk.serial))
            };
            // An error of the host (a full disk above all) stops the machine instead of looking like a broken disk.
            let stop = "werror=stop,rerror=stop";
            match disk.bus {
                Bus::Virtio => self.slot(format!("virtio-blk-pci,{},{stop}", common(disk))),
                Bus::Nvme => self.slot(format!("nvme,{}", common(disk))),
                Bus::Scsi => {
                    if scsi == 0 {
                        self.slot("virtio-scsi-pci,id=scsi0".to_owned());
                    }
                    self.option(
                        "-device",
                        format!("scsi-hd,bus=scsi0.0,scsi-id={scsi},lun=0,{},{stop}", common(disk)),
                    );
                    scsi += 1;
                }
                Bus::Sata => {
                    let bus = self.sata_port(node.machine, sata);
                    self.option("-device", format!("ide-hd,bus={bus},{},{stop}", common(disk)));
                    sata += 1;
                }
            }
        }
    }

    /// Returns the bus of the next SATA port, with a controller where the chip set's own has none left.
    fn sata_port(&mut self, chipset: Chipset, disk: usize) -> String {
        let (controller, port) = (disk / SATA_PORTS, disk % SATA_PORTS);
        if chipset == Chipset::Q35 && controller == 0 {
            return format!("ide.{port}");
        }
        if port == 0 {
            self.slot(format!("ich9-ahci,id=ahci{controller}"));
        }
        format!("ahci{controller}.{port}")
    }

    fn seed(&mut self) {
        self.option(
            "-blockdev",
            "driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=seed.img",
        );
        self.slot("virtio-blk-pci,drive=seed,id=seed,serial=cidata".to_owned());
    }
}

#[cfg(test)]
mod tests;
