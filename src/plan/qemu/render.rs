//! QEMU's arguments, rendered from a plan at each start.
//!
//! QEMU runs in the folder of its node, so sockets and disks have names without a path. Guests see the same devices in
//! the same slots on every host and in every run: first the screen, then the NICs in the order of the lab file, then
//! everything else, and a CD drive last.

use std::path::Path;

use super::{
    BootOrder, CACERTS, CONSOLE, DiskDevice, IpVersion, NicDevice, QemuFirmware, QemuPlan, SCREEN_SOCKET,
    VARIABLES,
};
use crate::lab::{Bus, Chipset, NicModel};
use crate::plan::{Accel, BootTarget, FirmwareFile, LinkPlan, NicPlan, NodeDisk, NodePlan, StartOptions};

/// Ports of ICH9's AHCI controller.
const SATA_PORTS: usize = 6;

/// The file with the port number of COM1, to which SeaBIOS mirrors its screen.
pub(super) const SERCON_FILE: &str = "sercon-port";

/// The id of the CD drive.
pub const CD: &str = "cd";

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
        let nics = node.nics.iter().map(|nic| (nic_id(nic), Candidate::Nic(nic)));
        let disks = node.disks.iter().map(|disk| (disk_id(disk), Candidate::Disk(disk)));
        nics.chain(disks)
            .chain([(CD.to_owned(), Candidate::Cd)])
            .map(|(id, device)| (id, from.index(&device), to.index(&device)))
            .filter(|(_, from, to)| from != to)
            .map(|(id, _, to)| (id, to))
            .collect()
    }

    fn render(&self, node: &NodePlan, start: &StartOptions) -> Arguments {
        let mut machine = Arguments::default();
        machine.base(self, node);
        match &self.firmware {
            QemuFirmware::Bios => machine.bios(self.chipset),
            QemuFirmware::Uefi { file, hidden_pxe, trusts_lab } => {
                machine.uefi(self, file, hidden_pxe, *trusts_lab);
            }
        }
        machine.channels();
        let order = Ordered::new(self, node, start.boot);
        machine.slot("VGA,id=screen".to_owned());
        for nic in &node.nics {
            machine.nic(nic, &self.nic(nic), order.property(&Candidate::Nic(nic)));
        }
        let mut sata = machine.disks(self, node, &order);
        if self.seed {
            machine.seed();
        }
        machine.option("-object", "rng-builtin,id=rng0");
        machine.slot("virtio-rng-pci,rng=rng0".to_owned());
        machine.option("-device", "pvpanic");
        if start.has_drive() {
            let bus = match self.chipset {
                Chipset::Q35 => machine.sata_port(self.chipset, &mut sata),
                // Its IDE controller is part of the chipset, and the disks use other controllers.
                Chipset::Pc => "ide.1".to_owned(),
            };
            machine.cd(&bus, start.medium.as_deref(), order.property(&Candidate::Cd));
        }
        if let Some(kernel) = &self.kernel {
            machine.option("-kernel", kernel.file.to_string_lossy());
            machine.option("-append", kernel.arguments.clone());
        }
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

fn path(path: &Path) -> String {
    value(&path.to_string_lossy())
}

/// A device that a firmware may boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate<'a> {
    Nic(&'a NicPlan),
    Disk(&'a NodeDisk),
    Cd,
}

impl Candidate<'_> {
    fn is(self, target: BootTarget) -> bool {
        match (self, target) {
            (Self::Nic(_), BootTarget::Network)
            | (Self::Disk(_), BootTarget::Disk)
            | (Self::Cd, BootTarget::Cd) => true,
            (Self::Nic(_) | Self::Disk(_) | Self::Cd, _) => false,
        }
    }
}

/// The boot devices in the order of the firmware: first those of an override, then those of the plan.
struct Ordered<'a> {
    devices: Vec<(Candidate<'a>, usize)>,
}

impl<'a> Ordered<'a> {
    fn new(qemu: &QemuPlan, node: &'a NodePlan, boot: Option<BootTarget>) -> Self {
        let nics = node.nics.iter().map(|nic| (Candidate::Nic(nic), qemu.nic(nic).boot_index));
        let disks = node.disks.iter().map(|disk| (Candidate::Disk(disk), qemu.disk(disk).boot_index));
        let all = nics.chain(disks).chain([(Candidate::Cd, None)]);
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

    fn base(&mut self, qemu: &QemuPlan, node: &NodePlan) {
        let (accel, cpu) = processor(qemu.accel);
        self.option("-name", format!("guest={}", node.node));
        self.flag("-nodefaults");
        self.flag("-no-user-config");
        self.option("-sandbox", SANDBOX);
        self.flag("-S");
        self.option("-accel", accel);
        self.option("-cpu", cpu);
        self.option("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", node.cpus));
        self.option("-m", format!("{}M", node.memory.0.div_ceil(1 << 20)));
        let identity = &qemu.identity;
        self.option("-uuid", identity.uuid.to_string());
        let serial = value(&identity.serial);
        self.option(
            "-smbios",
            format!("type=1,manufacturer=Dryrack,product={},serial={serial}", identity.product),
        );
        self.option(
            "-smbios",
            format!("type=3,manufacturer=Dryrack,serial={serial},asset={}", value(&identity.asset_tag)),
        );
        self.option("-rtc", "base=utc");
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

    fn bios(&mut self, chipset: Chipset) {
        // SeaBIOS uses system management mode for nothing that is visible to a guest.
        self.machine(chipset, ",smm=off");
        self.option("-boot", "strict=on,menu=off");
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

    fn nic(&mut self, nic: &NicPlan, device: &NicDevice, bootindex: String) {
        let model = match device.model {
            NicModel::Virtio => "virtio-net-pci",
            NicModel::E1000 => "e1000",
            NicModel::E1000e => "e1000e",
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
    fn disks(&mut self, qemu: &QemuPlan, node: &NodePlan, order: &Ordered<'_>) -> usize {
        let (mut sata, mut scsi) = (0, 0);
        for (index, disk) in node.disks.iter().enumerate() {
            // Names of block nodes are limited to 31 bytes, names of disks are not.
            let drive = format!("disk{index}");
            // The disks of a lab are deleted with it, so nothing is flushed; space that the guest frees is returned to
            // the host.
            self.option(
                "-blockdev",
                format!(
                    "driver=qcow2,node-name={drive},discard=unmap,detect-zeroes=unmap,cache.no-flush=on,\
                     file.driver=file,file.filename={}.qcow2",
                    disk.disk
                ),
            );
            let bootindex = order.property(&Candidate::Disk(disk));
            let common =
                format!("drive={drive},id={},serial={}{bootindex}", disk_id(disk), value(&disk.serial));
            // An I/O error of the host (usually a full disk) stops the machine instead of appearing as a broken disk.
            let stop = "werror=stop,rerror=stop";
            match qemu.disk(disk).bus {
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
            }
        }
        sata
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

    fn cd(&mut self, bus: &str, medium: Option<&Path>, bootindex: String) {
        let drive = medium.map(|medium| {
            self.option(
                "-blockdev",
                format!(
                    "driver=raw,node-name=medium,read-only=on,file.driver=file,file.filename={}",
                    path(medium)
                ),
            );
            ",drive=medium"
        });
        self.option("-device", format!("ide-cd,bus={bus},id={CD}{}{bootindex}", drive.unwrap_or_default()));
    }
}
