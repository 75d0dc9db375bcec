//! What each loader reads: the files that it is made of, and the texts that tell it what to start.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::{ServedFile, ServedText};
use crate::event::FileRole;
use crate::lab::{FileRef, Loader, Network, Profile};
use crate::name::{ImageName, Mac, NodeName, ProfileName};

/// Architectures of clients (RFC 4578, section 2.1) that programs are made for. Others stand for the same program.
const BIOS: u16 = 0;
const UEFI_X64: u16 = 7;

/// A file of an image, and the path under which it is served.
struct Part {
    image: &'static str,
    file: &'static str,
    path: &'static str,
}

const fn part(image: &'static str, file: &'static str, path: &'static str) -> Part {
    Part { image, file, path }
}

/// The parts of a loader for one firmware; the first is what the firmware is handed.
fn parts(loader: Loader, architecture: u16) -> &'static [Part] {
    const UNDIONLY: &[Part] = &[part("ipxe", "undionly.kpxe", "ipxe/undionly.kpxe")];
    const SNPONLY: &[Part] = &[part("ipxe", "snponly.efi", "ipxe/snponly.efi")];
    // PXELINUX looks for its parts, and for its configuration, in the folder that it came from.
    const PXELINUX: &[Part] = &[
        part("pxelinux", "pxelinux.0", "pxelinux/pxelinux.0"),
        part("pxelinux", "ldlinux.c32", "pxelinux/ldlinux.c32"),
    ];
    const GRUB_BIOS: &[Part] = &[part("grub", "core.0", "grub/core.0")];
    const GRUB_UEFI: &[Part] = &[part("grub", "core.efi", "grub/core.efi")];
    // shim looks for GRUB in the folder that it came from.
    const SHIM: &[Part] =
        &[part("shim", "shimx64.efi", "shim/shimx64.efi"), part("shim", "grubx64.efi", "shim/grubx64.efi")];
    match (loader, architecture) {
        (Loader::Ipxe | Loader::Chainload, BIOS) => UNDIONLY,
        (Loader::Ipxe | Loader::Chainload, UEFI_X64) => SNPONLY,
        (Loader::Pxelinux, BIOS) => PXELINUX,
        (Loader::Grub, BIOS) => GRUB_BIOS,
        (Loader::Grub, UEFI_X64) => GRUB_UEFI,
        (Loader::Shim, UEFI_X64) => SHIM,
        _ => &[],
    }
}

/// Returns the programs of a profile by architecture, as paths.
pub(super) fn programs(profile: &Profile) -> BTreeMap<u16, String> {
    let of_loader = [BIOS, UEFI_X64].into_iter().filter_map(|architecture| {
        let path = match (profile.loader, architecture) {
            (Loader::Kernel, UEFI_X64) => kernel_path(profile),
            (loader, architecture) => parts(loader, architecture).first()?.path.to_owned(),
        };
        Some((architecture, path))
    });
    let own = profile.programs.iter().map(|(number, file)| (*number, program_path(profile, *number, file)));
    of_loader.chain(own).collect()
}

/// Returns the program that a profile itself names for a node's firmware.
pub(super) fn own_program(profile: &Profile, bios: bool) -> Option<&FileRef> {
    profile.programs.get(if bios { &BIOS } else { &UEFI_X64 })
}

/// Returns the path of a program that the profile itself names. Its file name stays, by which firmware knows its kind.
fn program_path(profile: &Profile, architecture: u16, file: &FileRef) -> String {
    let name = match file {
        FileRef::Image { image: _, file } => Path::new(file).file_name(),
        FileRef::Path(path) => path.file_name(),
        FileRef::Lab(file) => Some(OsStr::new(file.as_str())),
    };
    let name = name.unwrap_or_default().to_string_lossy().replace(' ', "_");
    format!("profile/{}/program-{architecture}/{name}", profile.name)
}

/// Returns the path under which a profile's kernel is served. UEFI's HTTP Boot takes a program for one by its name.
pub(super) fn kernel_path(profile: &Profile) -> String {
    let suffix = if profile.loader == Loader::Kernel { ".efi" } else { "" };
    format!("profile/{}/kernel{suffix}", profile.name)
}

/// Returns the path under which an initrd of a profile is served.
pub(super) fn initrd_path(profile: &ProfileName, index: usize) -> String {
    format!("profile/{profile}/initrd{index}")
}

/// Returns the files that a profile's loader is made of, by path.
pub(super) fn files(profile: &Profile) -> impl Iterator<Item = (String, ServedFile)> {
    let served = |source| ServedFile { source, role: FileRole::Loader };
    // A program of the profile's own comes with what it needs.
    let wanted = [BIOS, UEFI_X64].into_iter().filter(|number| !profile.programs.contains_key(number));
    let of_loader = wanted.flat_map(|number| parts(profile.loader, number)).map(move |part| {
        let image = ImageName::new(part.image).expect("the images of loaders have names");
        (part.path.to_owned(), served(FileRef::Image { image, file: part.file.to_owned() }))
    });
    let own = profile
        .programs
        .iter()
        .map(move |(number, file)| (program_path(profile, *number, file), served(file.clone())));
    of_loader.chain(own)
}

/// Returns the texts that a loader reads for a node, by path.
///
/// `macs` are the hardware addresses of the node's NICs on the network.
pub(super) fn texts(node: &NodeName, profile: &Profile, macs: &[Mac]) -> Vec<(String, ServedText)> {
    let script = |path: String, body: String| (path, ServedText { body, role: FileRole::Script });
    match profile.loader {
        Loader::Ipxe | Loader::Chainload => vec![script(script_path(node), ipxe(profile))],
        Loader::Pxelinux => {
            let path = |mac: &Mac| format!("pxelinux/pxelinux.cfg/01-{}", mac.to_string().replace(':', "-"));
            macs.iter().map(|mac| script(path(mac), pxelinux(profile))).collect()
        }
        Loader::Grub | Loader::Shim => {
            let of_mac = macs.iter().map(|mac| script(format!("grub/{mac}.cfg"), grub(profile)));
            std::iter::once(script("grub/grub.cfg".to_owned(), GRUB.to_owned())).chain(of_mac).collect()
        }
        Loader::Kernel => Vec::new(),
    }
}

/// Returns the texts by which a loader asks matchbox what to boot, by path. iPXE needs none: matchbox has its script.
pub(super) fn asking_texts(profile: &Profile, macs: &[Mac], network: &Network) -> Vec<(String, ServedText)> {
    let (Loader::Grub, Some(matchbox)) = (profile.loader, &network.matchbox) else { return Vec::new() };
    let server = network.address.addr();
    let device = match matchbox.port {
        80 => format!("http,{server}"),
        port => format!("http,{server}:{port}"),
    };
    // GRUB itself has this name only after `net_bootp`; menus written for matchbox and UEFI count on it.
    let name = "set net_efinet0_dhcp_mac=$net_default_mac\nexport net_efinet0_dhcp_mac\n";
    let menu = format!("insmod http\n{name}set root={device}\nconfigfile /grub?mac=$net_default_mac\n");
    let of_mac = macs.iter().map(|mac| (format!("grub/{mac}.cfg"), menu.clone()));
    let all = std::iter::once(("grub/grub.cfg".to_owned(), GRUB.to_owned())).chain(of_mac);
    all.map(|(path, body)| (path, ServedText { body, role: FileRole::Script })).collect()
}

/// Returns the path of a node's script for iPXE.
pub(super) fn script_path(node: &NodeName) -> String {
    format!("boot/{node}.ipxe")
}

/// Returns the iPXE script of a profile.
///
/// Its paths are of the server that it came from, so that it is the same over IPv4 and IPv6.
/// Every initrd is named on the kernel's command line: a kernel started as an EFI
/// stub finds it by that name only, and one started by BIOS does not mind.
fn ipxe(profile: &Profile) -> String {
    let names: Vec<String> = (0..profile.initrd.len()).map(|index| format!("initrd{index}")).collect();
    let mut script = format!("#!ipxe\nkernel /{}", kernel_path(profile));
    for name in &names {
        script.extend([" initrd=", name]);
    }
    for argument in &profile.args {
        script.extend([" ", argument]);
    }
    for (index, name) in names.iter().enumerate() {
        let url = format!("/{}", initrd_path(&profile.name, index));
        script.extend(["\ninitrd --name ", name, " ", &url]);
    }
    script + "\nboot\n"
}

/// Returns the PXELINUX configuration of a profile. `::` stands for the root of the server.
fn pxelinux(profile: &Profile) -> String {
    let mut text =
        format!("DEFAULT {0}\nPROMPT 0\nLABEL {0}\n  KERNEL ::{1}\n", profile.name, kernel_path(profile));
    let initrds: Vec<String> =
        (0..profile.initrd.len()).map(|index| format!("::{}", initrd_path(&profile.name, index))).collect();
    if !initrds.is_empty() {
        text.extend(["  INITRD ", &initrds.join(","), "\n"]);
    }
    if !profile.args.is_empty() {
        text.extend(["  APPEND ", &profile.args.join(" "), "\n"]);
    }
    text
}

/// What every GRUB reads first: a node's own configuration is under the MAC address of the NIC that it booted from.
const GRUB: &str = "configfile /grub/$net_default_mac.cfg\n";

/// Returns the GRUB configuration of a profile. GRUB itself tells a kernel where its initrds are.
fn grub(profile: &Profile) -> String {
    let mut text = format!("linux /{}", kernel_path(profile));
    for argument in &profile.args {
        text.extend([" \"", &argument.replace('\\', "\\\\").replace('"', "\\\""), "\""]);
    }
    if !profile.initrd.is_empty() {
        text.push_str("\ninitrd");
        for index in 0..profile.initrd.len() {
            text.extend([" /", &initrd_path(&profile.name, index)]);
        }
    }
    text + "\nboot\n"
}
