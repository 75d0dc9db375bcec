//! QEMU's arguments, rendered from a plan at each start.
//!
//! QEMU runs in the folder of its node, so sockets and disks have names without a path. Guests see the same devices in
//! the same slots on every host and in every run: first the screen, then the NICs in the order of the lab file, then
//! everything else, and a CD drive last.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{
    BMC_SOCKET, BootOrder, CACERTS, CONSOLE, DiskDevice, IpVersion, MANUFACTURER, NicDevice, QemuFirmware,
    QemuPlan, SCREEN_SOCKET, SHARES, TPM, VARIABLES,
};
use crate::lab::{Access, Bus, Chipset, MachineFault, NicModel, Share};
use crate::name::DiskName;
use crate::plan::{
    Accel, BootTarget, FirmwareFile, LinkPlan, Medium, NicPlan, NodeDisk, NodePlan, OrderBy, StartOptions,
};

/// Ports of ICH9's AHCI controller.
const SATA_PORTS: usize = 6;

/// The ID of the USB controller.
const USB: &str = "usb";

/// The file with the port number of COM1, to which SeaBIOS mirrors its screen.
pub(super) const SERCON_FILE: &str = "sercon-port";

/// The name and the ID of the CD drive of a node that has none in the lab file.
pub const CD: &str = "cd";

/// The IDE ports of the old chip set, in the order in which they are used.
const IDE_PORTS: [&str; 4] = ["ide.1", "ide.0", "ide.1", "ide.0"];

/// QEMU's sandbox: no new privileges, no child processes and no scheduling changes.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Returns the values of `-accel` and `-cpu`, for machines and for the self-test.
pub fn processor(accel: Accel) -> (&'static str, &'static str) {
    match accel {
        Accel::Kvm => ("kvm", "host"),
        // Everything that the emulator can do, less five-level paging, whose longer walks cost boot time, and less fast
        // `rep movsb`, which it does byte by byte: without it kernels copy and clear eight bytes at a time. The
        // translation cache is bounded, because three machines with the default of 1 GiB each would not leave much.
        Accel::Tcg => ("tcg,thread=multi,tb-size=256", "max,la57=off,erms=off,fsrm=off"),
    }
}

impl QemuPlan {
    /// Renders QEMU's arguments for one start of the node of this machine.
    pub fn arguments(&self, node: &NodePlan, start: &StartOptions) -> Vec<String> {
        self.render(node, start).argv
    }

    /// Returns the number of slots on the root bus that its devices take, without a CD drive.
    pub(super) fn slots(&self, node: &NodePlan) -> usize {
        self.render(node, &StartOptions::default()).slots
    }

    /// Returns the IDs of the devices whose boot index differs between two overrides, each with its second index.
    pub fn reordered(
        &self,
        node: &NodePlan,
        from: Option<BootTarget>,
        to: Option<BootTarget>,
    ) -> Vec<(String, Option<usize>)> {
        let (from, to) = (Ordered::new(self, node, from), Ordered::new(self, node, to));
        Candidate::all(self, node)
            .map(|(device, _)| (device.id(node), from.index(&device), to.index(&device)))
            .filter(|(_, from, to)| from != to)
            .map(|(id, _, to)| (id, to))
            .collect()
    }

    /// Returns the IDs of the devices that have a boot index at a start, each with none.
    pub fn unordered(&self, node: &NodePlan, boot: Option<BootTarget>) -> Vec<(String, Option<usize>)> {
        let order = Ordered::new(self, node, boot);
        let devices = Candidate::all(self, node).filter(|(device, _)| order.index(device).is_some());
        devices.map(|(device, _)| (device.id(node), None)).collect()
    }

    /// Returns the CD drives that a node has at a start.
    ///
    /// An idle drive would cost time at each boot, so a node without one in the lab file has one only with a medium, if
    /// it boots from it, or if it has a BMC, which may insert a medium at any time.
    pub fn cds_at(&self, node: &NodePlan, start: &StartOptions) -> Vec<DiskName> {
        if !node.cds.is_empty() {
            return node.cds.clone();
        }
        let further = DiskName::new(CD).expect("`cd` is a DNS label");
        let is_used = matches!(start.media.get(&further), Some(Medium::File(_) | Medium::Exported { .. }))
            || start.boot == Some(BootTarget::Cd)
            || self.bmc_stick.is_some();
        is_used.then_some(further).into_iter().collect()
    }

    /// Returns the block nodes of the media that are in CD drives at a start.
    pub fn cd_nodes_at(&self, node: &NodePlan, start: &StartOptions) -> BTreeMap<DiskName, String> {
        let cds = self.cds_at(node, start).into_iter().enumerate();
        let full = cds.filter(|(_, cd)| !matches!(start.media.get(cd), None | Some(Medium::Empty)));
        full.map(|(index, cd)| (cd, format!("cd{index}"))).collect()
    }

    /// Returns the USB sticks that are plugged in at a start, each with its block nodes: that of its device, and that
    /// of the image below it.
    pub fn sticks_at(&self, node: &NodePlan, start: &StartOptions) -> BTreeMap<DiskName, Vec<String>> {
        let disks = node.disks.iter().chain(&self.bmc_stick).enumerate();
        let plugged = disks.filter(|(_, disk)| {
            node.is_stick(&disk.disk) && start.media.get(&disk.disk) != Some(&Medium::Empty)
        });
        let plugged =
            plugged.filter(|(_, disk)| !self.is_of_bmc(disk) || start.media.contains_key(&disk.disk));
        let nodes = |index: usize, disk: &NodeDisk| {
            let drive = format!("disk{index}");
            match start.media.get(&disk.disk) {
                Some(Medium::Exported { overlay: Some(_), .. }) => vec![drive.clone(), below(&drive)],
                _ => vec![drive],
            }
        };
        plugged.map(|(index, disk)| (disk.disk.clone(), nodes(index, disk))).collect()
    }

    fn is_of_bmc(&self, disk: &NodeDisk) -> bool {
        self.bmc_stick.as_ref() == Some(disk)
    }

    /// Returns the properties of the device of a USB stick. `drive` is its block node.
    pub fn stick(
        &self,
        node: &NodePlan,
        disk: &NodeDisk,
        drive: &str,
        boot: Option<BootTarget>,
    ) -> Map<String, Value> {
        let mut properties = Map::from_iter([
            ("driver".to_owned(), "usb-storage".into()),
            ("bus".to_owned(), format!("{USB}.0").into()),
            ("drive".to_owned(), drive.into()),
            ("id".to_owned(), disk_id(disk).into()),
            ("serial".to_owned(), disk.serial.as_str().into()),
            ("removable".to_owned(), true.into()),
        ]);
        let order = Ordered::new(self, node, boot);
        if let Some(index) = order.index(&Candidate::Disk(disk, Bus::Usb)) {
            properties.insert("bootindex".to_owned(), index.into());
        }
        properties
    }

    fn render(&self, node: &NodePlan, start: &StartOptions) -> Arguments {
        let mut machine = Arguments::default();
        machine.base(self, node, start);
        let has_wrong = start.faults.iter().any(|fault| matches!(fault, MachineFault::Firmware(_)));
        let wrong = self.wrong_firmware.as_ref().filter(|_| has_wrong);
        match wrong.unwrap_or(&self.firmware) {
            QemuFirmware::Bios => machine.bios(self.chipset, start),
            QemuFirmware::Uefi { file, hidden_pxe, trusts_lab } => {
                machine.uefi(self, file, hidden_pxe, *trusts_lab);
                if start.firmware.boot_timeout > 0 {
                    machine.option("-boot", format!("menu={}", menu(start)));
                }
            }
        }
        machine.channels();
        let order = match start.order {
            OrderBy::Indices => Ordered::new(self, node, start.boot),
            OrderBy::Variables => Ordered::default(),
        };
        if self.tpm.is_some() {
            machine.tpm();
        }
        if node.bmc.is_some() && !self.lacks_ipmi {
            machine.bmc();
        }
        machine.slot("VGA,id=screen".to_owned());
        for nic in &node.nics {
            machine.nic(nic, &self.nic(nic), order.property(&Candidate::Nic(nic)));
        }
        let mut sata = machine.disks(self, node, start, &order);
        if self.seed {
            machine.seed();
        }
        for share in &self.shares {
            machine.share(share);
        }
        if !start.faults.contains(&MachineFault::NoRng) {
            machine.option("-object", "rng-builtin,id=rng0");
            machine.slot("virtio-rng-pci,rng=rng0".to_owned());
        }
        machine.option("-device", "pvpanic");
        for (index, cd) in self.cds_at(node, start).iter().enumerate() {
            let bus = match (self.chipset, IDE_PORTS.get(index)) {
                // Its IDE controller is part of the chipset, and the disks use other controllers.
                (Chipset::Pc, Some(port)) => (*port).to_owned(),
                (Chipset::Pc | Chipset::Q35, _) => machine.sata_port(self.chipset, &mut sata),
            };
            let medium = start.media.get(cd).map(|medium| (format!("cd{index}"), medium));
            let bootindex = order.property(&Candidate::Cd(cd.as_str()));
            machine.cd(&bus, &cd_id(node, cd), medium, bootindex);
        }
        if let Some(kernel) = &self.kernel {
            machine.option("-kernel", kernel.file.to_string_lossy());
            machine.option("-append", kernel.arguments.clone());
        }
        machine.argv.extend(self.further.iter().cloned());
        machine
    }

    fn nic(&self, nic: &NicPlan) -> NicDevice {
        self.nics.get(&nic.nic).cloned().unwrap_or_default()
    }

    fn disk(&self, disk: &NodeDisk) -> DiskDevice {
        self.disks.get(&disk.disk).cloned().unwrap_or_default()
    }
}

/// Returns QEMU's ID of the device of a NIC.
pub fn nic_id(nic: &NicPlan) -> String {
    format!("nic-{}", nic.nic)
}

/// Returns QEMU's ID of the device of a disk.
pub fn disk_id(disk: &NodeDisk) -> String {
    format!("disk-{}", disk.disk)
}

/// Returns QEMU's ID of a CD drive.
pub fn cd_id(node: &NodePlan, cd: &DiskName) -> String {
    Candidate::Cd(cd.as_str()).id(node)
}

/// Returns the value of `menu` with which a firmware waits for a key.
fn menu(start: &StartOptions) -> String {
    format!("on,splash-time={}", u32::from(start.firmware.boot_timeout) * 1000)
}

/// Returns the block node of the image below the one that takes what is written.
pub fn below(drive: &str) -> String {
    format!("{drive}-image")
}

/// Escapes a value in a list of `key=value`, where a comma is doubled.
fn value(text: &str) -> String {
    text.replace(',', ",,")
}

/// Returns the format of a firmware file.
pub fn flash_format(path: &Path) -> &'static str {
    match path.extension().is_some_and(|extension| extension == "qcow2") {
        true => "qcow2",
        false => "raw",
    }
}

/// Returns a block node that is written to. The disks of a lab are deleted with it, so nothing is flushed; space that
/// the guest frees is returned to the host.
fn written(drive: &str, file: &str) -> String {
    format!(
        "driver=qcow2,node-name={drive},discard=unmap,detect-zeroes=unmap,cache.no-flush=on,file.driver=file,\
         file.filename={file}"
    )
}

/// Returns the block node of an image that is exported at a socket.
fn exported(drive: &str, socket: &str) -> String {
    format!(
        "driver=raw,node-name={drive},read-only=on,file.driver=nbd,file.server.type=unix,file.server.path={}",
        value(socket)
    )
}

fn path(path: &Path) -> String {
    value(&path.to_string_lossy())
}

/// A device that a firmware may boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate<'a> {
    Nic(&'a NicPlan),
    Disk(&'a NodeDisk, Bus),
    Cd(&'a str),
}

impl<'a> Candidate<'a> {
    /// Returns the devices of a node, each with its boot index in the plan.
    fn all(qemu: &'a QemuPlan, node: &'a NodePlan) -> impl Iterator<Item = (Self, Option<usize>)> {
        let nics = node.nics.iter().map(|nic| (Self::Nic(nic), qemu.nic(nic).boot_index));
        let disks = node.disks.iter().map(|disk| {
            let device = qemu.disk(disk);
            (Self::Disk(disk, device.bus), device.boot_index)
        });
        let stick = qemu.bmc_stick.iter().map(|stick| (Self::Disk(stick, Bus::Usb), None));
        let index = |cd| qemu.cds.get(cd).and_then(|cd| cd.boot_index);
        let cds = node.cds.iter().map(move |cd| (Self::Cd(cd.as_str()), index(cd)));
        let further = node.cds.is_empty().then_some((Self::Cd(CD), None));
        nics.chain(disks).chain(stick).chain(cds).chain(further)
    }

    fn is(self, target: BootTarget) -> bool {
        match (self, target) {
            (Self::Nic(_), BootTarget::Network) | (Self::Cd(_), BootTarget::Cd) => true,
            (Self::Disk(_, bus), BootTarget::Disk) => bus != Bus::Usb,
            (Self::Disk(_, bus), BootTarget::Usb) => bus == Bus::Usb,
            (Self::Nic(_) | Self::Disk(..) | Self::Cd(_), _) => false,
        }
    }

    fn id(self, node: &NodePlan) -> String {
        match self {
            Self::Nic(nic) => nic_id(nic),
            Self::Disk(disk, _) => disk_id(disk),
            Self::Cd(cd) if node.cds.iter().any(|planned| planned.as_str() == cd) => format!("cd-{cd}"),
            Self::Cd(_) => CD.to_owned(),
        }
    }
}

/// The boot devices in the order of the firmware: first those of an override, then those of the plan.
#[derive(Default)]
struct Ordered<'a> {
    devices: Vec<(Candidate<'a>, usize)>,
}

impl<'a> Ordered<'a> {
    fn new(qemu: &'a QemuPlan, node: &'a NodePlan, boot: Option<BootTarget>) -> Self {
        let all = Candidate::all(qemu, node);
        let Some(target) = boot else {
            let planned = all.filter_map(|(device, index)| Some((device, index?)));
            return Self { devices: planned.collect() };
        };
        let (mut first, mut rest): (Vec<_>, Vec<_>) = all.partition(|(device, _)| device.is(target));
        // A device that the plan never boots comes last.
        first.sort_by_key(|(_, index)| index.unwrap_or(usize::MAX));
        rest.retain(|(_, index)| index.is_some());
        rest.sort_by_key(|(_, index)| *index);
        let devices = first.into_iter().chain(rest).map(|(device, _)| device);
        Self { devices: devices.zip(1..).collect() }
    }

    fn index(&self, wanted: &Candidate<'_>) -> Option<usize> {
        self.devices.iter().find(|(device, _)| device == wanted).map(|(_, index)| *index)
    }

    fn property(&self, wanted: &Candidate<'_>) -> String {
        self.index(wanted).map(|index| format!(",bootindex={index}")).unwrap_or_default()
    }
}

#[derive(Default)]
struct Arguments {
    argv: Vec<String>,
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

    fn base(&mut self, qemu: &QemuPlan, node: &NodePlan, start: &StartOptions) {
        let memory = start.faults.iter().find_map(|fault| match fault {
            MachineFault::Memory(memory) => Some(memory.0),
            _ => None,
        });
        let clock = start.faults.iter().find_map(|fault| match fault {
            MachineFault::Clock(clock) => Some(clock.0.to_string()),
            _ => None,
        });
        let (accel, cpu) = processor(qemu.accel);
        self.option("-name", format!("guest={}", node.node));
        self.flag("-nodefaults");
        self.flag("-no-user-config");
        self.option("-sandbox", SANDBOX);
        self.flag("-S");
        self.option("-accel", accel);
        let cpu = qemu.cpu.as_deref().unwrap_or(cpu);
        // Its instructions are a generator, too.
        let no_rng = if start.faults.contains(&MachineFault::NoRng) { ",rdrand=off,rdseed=off" } else { "" };
        let no_guests = if start.firmware.virtualization { "" } else { ",vmx=off,svm=off" };
        self.option("-cpu", format!("{cpu}{no_rng}{no_guests}"));
        self.option("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", node.cpus));
        self.option("-m", format!("{}M", memory.unwrap_or(node.memory).0.div_ceil(1 << 20)));
        let identity = &qemu.identity;
        self.option("-uuid", identity.uuid.to_string());
        let serial = value(&identity.serial);
        self.option(
            "-smbios",
            format!("type=1,manufacturer={MANUFACTURER},product={},serial={serial}", identity.product),
        );
        self.option(
            "-smbios",
            format!(
                "type=3,manufacturer={MANUFACTURER},serial={serial},asset={}",
                value(&identity.asset_tag)
            ),
        );
        self.option("-rtc", format!("base={}", clock.as_deref().unwrap_or("utc")));
        // A guest stops after a panic, as on a physical machine; the panic is an event.
        self.option("-action", "panic=none");
    }

    fn machine(&mut self, chipset: Chipset, properties: &str) {
        let chipset = match chipset {
            Chipset::Q35 => "q35",
            Chipset::Pc => "pc",
        };
        self.option("-machine", format!("{chipset},vmport=off,dump-guest-core=off{properties}"));
    }

    fn bios(&mut self, chipset: Chipset, start: &StartOptions) {
        // SeaBIOS uses system management mode for nothing that is visible to a guest.
        self.machine(chipset, ",smm=off");
        let menu = if start.firmware.boot_timeout == 0 { "off".to_owned() } else { menu(start) };
        self.option("-boot", format!("strict=on,menu={menu}"));
        self.option("-fw_cfg", format!("name=etc/sercon-port,file={SERCON_FILE}"));
    }

    fn uefi(&mut self, qemu: &QemuPlan, firmware: &FirmwareFile, hidden_pxe: &[IpVersion], trusts_lab: bool) {
        let smm = if firmware.requires_smm { "on" } else { "off" };
        self.machine(qemu.chipset, &format!(",smm={smm},pflash0=code,pflash1=variables"));
        self.option(
            "-blockdev",
            format!(
                "driver={},node-name=code,read-only=on,file.driver=file,file.filename={}",
                flash_format(&firmware.code),
                path(&firmware.code)
            ),
        );
        self.option(
            "-blockdev",
            format!(
                "driver={},node-name=variables,file.driver=file,file.filename={VARIABLES}",
                flash_format(&firmware.variables)
            ),
        );
        if firmware.requires_smm {
            self.option("-global", "driver=cfi.pflash01,property=secure,value=on");
        }
        // Servers do not sleep, and the firmware would prepare for it at every boot.
        let power = match qemu.chipset {
            Chipset::Q35 => "ICH9-LPC",
            Chipset::Pc => "PIIX4_PM",
        };
        self.option("-global", format!("{power}.disable_s3=1"));
        match qemu.boot_order {
            BootOrder::Devices => self.option("-boot", "strict=on,menu=off"),
            BootOrder::Variables => self.option("-boot", "menu=off"),
        }
        for version in hidden_pxe {
            let version = match version {
                IpVersion::Ipv4 => "IPv4",
                IpVersion::Ipv6 => "IPv6",
            };
            self.option("-fw_cfg", format!("name=opt/org.tianocore/{version}PXESupport,string=no"));
        }
        // The trusted certificates of HTTPS boot. OVMF reads them at each start.
        if trusts_lab {
            self.option("-fw_cfg", format!("name=etc/edk2/https/cacerts,file=../../{CACERTS}"));
        }
    }

    /// Adds the devices for the supervisor: QMP, the serial console, the screen.
    ///
    /// QEMU connects to the supervisor for QMP, so that nothing has to be polled. The console gets its files by QMP
    /// before the machine runs, because QEMU 7.2 has no option for its input file.
    fn channels(&mut self) {
        self.option("-chardev", "socket,id=qmp,path=qmp.sock,server=off");
        self.option("-mon", "chardev=qmp,mode=control");
        self.option("-chardev", format!("null,id={CONSOLE}"));
        self.option("-serial", format!("chardev:{CONSOLE}"));
        self.option("-display", "none");
        self.option("-vnc", format!("unix:{SCREEN_SOCKET}"));
    }

    /// Adds the TPM, a chip on the LPC bus as in servers.
    fn tpm(&mut self) {
        self.option("-chardev", format!("socket,id=tpm,path={}", TPM.0));
        self.option("-tpmdev", "emulator,id=tpm0,chardev=tpm");
        self.option("-device", "tpm-tis,tpmdev=tpm0");
    }

    /// Adds the interface to the BMC, a KCS at its usual ports. ACPI and SMBIOS describe it.
    ///
    /// QEMU listens: if it connected itself, it would do so before the interface exists, and crash.
    fn bmc(&mut self) {
        self.option("-chardev", format!("socket,id=bmc,path={BMC_SOCKET},server=on,wait=off"));
        self.option("-device", "ipmi-bmc-extern,id=bmc0,chardev=bmc");
        self.option("-device", "isa-ipmi-kcs,bmc=bmc0");
    }

    fn nic(&mut self, nic: &NicPlan, device: &NicDevice, bootindex: String) {
        let model = match device.model {
            NicModel::Virtio => "virtio-net-pci",
            NicModel::E1000 => "e1000",
            NicModel::E1000e => "e1000e",
            NicModel::E1000Server => "e1000-82545em",
            NicModel::Igb => "igb",
            NicModel::I82559c => "i82559c",
            NicModel::Pcnet => "pcnet",
            NicModel::Rtl8139 => "rtl8139",
            NicModel::Vmxnet3 => "vmxnet3",
        };
        let net = format!("net-{}", nic.nic);
        self.option(
            "-netdev",
            match &nic.link {
                LinkPlan::Tap { interface } => {
                    let interface = value(interface.as_str());
                    format!("tap,id={net},ifname={interface},script=no,downscript=no,vhost=off")
                }
                LinkPlan::Datagram { local, remote } => format!(
                    "dgram,id={net},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                    path(local),
                    path(remote)
                ),
            },
        );
        let rom = if device.rom { "" } else { ",romfile=" };
        self.slot(format!("{model},netdev={net},id={},mac={}{bootindex}{rom}", nic_id(nic), nic.mac));
    }

    /// Adds the disks, and returns the number of SATA disks.
    fn disks(
        &mut self,
        qemu: &QemuPlan,
        node: &NodePlan,
        start: &StartOptions,
        order: &Ordered<'_>,
    ) -> usize {
        let (mut sata, mut scsi, mut usb) = (0, 0, false);
        for (index, disk) in node.disks.iter().enumerate() {
            // Names of block nodes are limited to 31 bytes, names of disks are not.
            let drive = format!("disk{index}");
            let device = qemu.disk(disk);
            if device.bus != Bus::Usb && start.faults.contains(&MachineFault::NoDisk) {
                continue;
            }
            let fails = device.bus != Bus::Usb && start.faults.contains(&MachineFault::DiskError);
            let medium = start.media.get(&disk.disk).filter(|_| device.bus == Bus::Usb);
            if let Some(Medium::Exported { socket, overlay }) = medium {
                self.usb(&mut usb);
                self.exported_stick(&drive, socket, overlay.as_deref());
                self.usb_stick(&drive, disk, &order.property(&Candidate::Disk(disk, device.bus)));
                continue;
            }
            let file = match medium {
                Some(Medium::File(file)) => path(file),
                Some(Medium::Empty | Medium::Exported { .. }) | None => format!("{}.qcow2", disk.disk),
            };
            self.option(
                "-blockdev",
                match fails {
                    false => written(&drive, &file),
                    // Every access fails with EIO.
                    true => format!(
                        "driver=blkdebug,node-name={drive},inject-error.0.event=none,inject-error.0.errno=5,\
                         image.driver=qcow2,image.file.driver=file,image.file.filename={file}"
                    ),
                },
            );
            let bootindex = order.property(&Candidate::Disk(disk, device.bus));
            let common =
                format!("drive={drive},id={},serial={}{bootindex}", disk_id(disk), value(&disk.serial));
            // An I/O error of the host (usually a full disk) stops the machine instead of appearing as a broken disk.
            let stop = if fails { "werror=report,rerror=report" } else { "werror=stop,rerror=stop" };
            match device.bus {
                Bus::Virtio => self.slot(format!("virtio-blk-pci,{common},{stop}")),
                Bus::Nvme => self.slot(format!("nvme,{common}")),
                Bus::Scsi => {
                    if scsi == 0 {
                        self.slot("virtio-scsi-pci,id=scsi0".to_owned());
                    }
                    self.option(
                        "-device",
                        format!("scsi-hd,bus=scsi0.0,scsi-id={scsi},lun=0,{common},{stop}"),
                    );
                    scsi += 1;
                }
                Bus::Sata => {
                    let bus = self.sata_port(qemu.chipset, &mut sata);
                    self.option("-device", format!("ide-hd,bus={bus},{common},{stop}"));
                }
                Bus::Usb => {
                    self.usb(&mut usb);
                    if medium != Some(&Medium::Empty) {
                        self.usb_stick(&drive, disk, &bootindex);
                    }
                }
            }
        }
        if let Some(stick) = &qemu.bmc_stick {
            self.usb(&mut usb);
            let drive = format!("disk{}", node.disks.len());
            let bootindex = order.property(&Candidate::Disk(stick, Bus::Usb));
            match start.media.get(&stick.disk) {
                None | Some(Medium::Empty) => {}
                Some(Medium::File(file)) => {
                    self.option("-blockdev", written(&drive, &path(file)));
                    self.usb_stick(&drive, stick, &bootindex);
                }
                Some(Medium::Exported { socket, overlay }) => {
                    self.exported_stick(&drive, socket, overlay.as_deref());
                    self.usb_stick(&drive, stick, &bootindex);
                }
            }
        }
        sata
    }

    /// Adds the USB controller, unless it is there.
    fn usb(&mut self, is_there: &mut bool) {
        if !std::mem::replace(is_there, true) {
            // A port of either speed for each stick.
            self.slot(format!("qemu-xhci,id={USB},p2=15,p3=15"));
        }
    }

    fn usb_stick(&mut self, drive: &str, disk: &NodeDisk, bootindex: &str) {
        let (id, serial) = (disk_id(disk), value(&disk.serial));
        let device = format!("usb-storage,bus={USB}.0,removable=on,drive={drive},id={id},serial={serial}");
        self.option("-device", format!("{device}{bootindex}"));
    }

    /// Adds the block nodes of a stick with an image that is exported.
    fn exported_stick(&mut self, drive: &str, socket: &str, overlay: Option<&Path>) {
        match overlay {
            None => self.option("-blockdev", exported(drive, socket)),
            Some(overlay) => {
                let image = below(drive);
                self.option("-blockdev", exported(&image, socket));
                self.option("-blockdev", format!("{},backing={image}", written(drive, &path(overlay))));
            }
        }
    }

    /// Returns the bus of the next SATA port, and adds a controller when the chipset's own has no free port.
    fn sata_port(&mut self, chipset: Chipset, taken: &mut usize) -> String {
        let (controller, port) = (*taken / SATA_PORTS, *taken % SATA_PORTS);
        *taken += 1;
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

    /// Adds a folder of the host. Changes in a copy are those of nobody else.
    fn share(&mut self, share: &Share) {
        let name = &share.name;
        let (folder, readonly) = match share.access {
            Access::ReadOnly => (path(&share.path), ",readonly=on"),
            Access::Copy => (format!("{SHARES}/{name}"), ""),
            Access::Write => (path(&share.path), ""),
        };
        self.option(
            "-fsdev",
            format!("local,id=share-{name},path={folder},security_model=none,multidevs=remap{readonly}"),
        );
        self.slot(format!("virtio-9p-pci,fsdev=share-{name},mount_tag={name}"));
    }

    fn cd(&mut self, bus: &str, id: &str, medium: Option<(String, &Medium)>, bootindex: String) {
        let node = medium.and_then(|(drive, medium)| match medium {
            Medium::Empty => None,
            Medium::File(file) => {
                let file = path(file);
                let node = format!(
                    "driver=raw,node-name={drive},read-only=on,file.driver=file,file.filename={file}"
                );
                Some((drive, node))
            }
            Medium::Exported { socket, overlay: _ } => {
                let node = exported(&drive, socket);
                Some((drive, node))
            }
        });
        let drive = node.map(|(drive, node)| {
            self.option("-blockdev", node);
            format!(",drive={drive}")
        });
        self.option("-device", format!("ide-cd,bus={bus},id={id}{}{bootindex}", drive.unwrap_or_default()));
    }
}
