//! Loaders: their program files and their configurations.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{ServedFile, ServedText};
use crate::event::FileRole;
use crate::lab::{Architecture, FileRef, Loader, Network, Profile, arguments};
use crate::name::{ImageName, Mac, NodeName};

/// Returns the start of the URLs of matchbox.
pub(super) fn matchbox_url(network: &Network) -> Option<String> {
    let server = network.server()?;
    network.matchbox.as_ref().map(|matchbox| http_url(server, matchbox.port))
}

/// Returns the start of the URLs of an HTTP server.
pub(super) fn http_url(server: Ipv4Addr, port: u16) -> String {
    match port {
        80 => format!("http://{server}"),
        port => format!("http://{server}:{port}"),
    }
}

/// A file of an image, and the path under which it is served.
struct Part {
    image: &'static str,
    file: &'static str,
    path: &'static str,
}

const fn part(image: &'static str, file: &'static str, path: &'static str) -> Part {
    Part { image, file, path }
}

/// The files of a loader for one firmware; the firmware fetches the first.
fn parts(loader: Loader, architecture: u16) -> &'static [Part] {
    const UNDIONLY: &[Part] = &[part("ipxe", "undionly.kpxe", "ipxe/undionly.kpxe")];
    const SNPONLY: &[Part] = &[part("ipxe", "snponly.efi", "ipxe/snponly.efi")];
    // PXELINUX looks for its modules and its configuration in the folder that it was loaded from.
    const PXELINUX: &[Part] = &[
        part("pxelinux", "pxelinux.0", "pxelinux/pxelinux.0"),
        part("pxelinux", "ldlinux.c32", "pxelinux/ldlinux.c32"),
    ];
    const GRUB_BIOS: &[Part] = &[part("grub", "core.0", "grub/core.0")];
    const GRUB_UEFI: &[Part] = &[part("grub", "core.efi", "grub/core.efi")];
    // shim looks for GRUB in the folder that it was loaded from.
    const SHIM: &[Part] =
        &[part("shim", "shimx64.efi", "shim/shimx64.efi"), part("shim", "grubx64.efi", "shim/grubx64.efi")];
    match (loader, architecture) {
        (Loader::Ipxe | Loader::Chainload, Architecture::BIOS) => UNDIONLY,
        (Loader::Ipxe | Loader::Chainload, Architecture::UEFI_X64) => SNPONLY,
        (Loader::Pxelinux, Architecture::BIOS) => PXELINUX,
        (Loader::Grub, Architecture::BIOS) => GRUB_BIOS,
        (Loader::Grub, Architecture::UEFI_X64) => GRUB_UEFI,
        (Loader::Shim, Architecture::UEFI_X64) => SHIM,
        _ => &[],
    }
}

/// A profile with the paths under which its files are served.
#[derive(Debug, Clone)]
pub(super) struct ServedProfile<'a> {
    pub(super) profile: Cow<'a, Profile>,
    /// Path of the kernel. UEFI HTTP Boot recognizes a program by its file name.
    pub(super) kernel: String,
    /// Paths of the initrds, in order.
    pub(super) initrds: Vec<String>,
    /// Paths of the profile's own programs, by architecture.
    own_programs: BTreeMap<u16, String>,
}

impl<'a> ServedProfile<'a> {
    pub(super) fn new(profile: Cow<'a, Profile>) -> Self {
        let name = &profile.name;
        let suffix = if profile.loader == Loader::Kernel { ".efi" } else { "" };
        let kernel = format!("profile/{name}/kernel{suffix}");
        let initrds =
            (0..profile.initrd.len()).map(|index| format!("profile/{name}/initrd{index}")).collect();
        let own = profile.programs.iter();
        let own_programs = own
            // A program keeps its file name, from which firmware infers its type.
            .map(|(number, file)| (*number, format!("profile/{name}/program-{number}/{}", file_name(file))))
            .collect();
        Self { profile, kernel, initrds, own_programs }
    }

    /// Returns the paths of the programs that firmware fetches, by architecture.
    pub(super) fn programs(&self) -> BTreeMap<u16, String> {
        let of_loader = [Architecture::BIOS, Architecture::UEFI_X64].into_iter().filter_map(|architecture| {
            let path = match (self.profile.loader, architecture) {
                (Loader::Kernel, Architecture::UEFI_X64) => self.kernel.clone(),
                (loader, architecture) => parts(loader, architecture).first()?.path.to_owned(),
            };
            Some((architecture, path))
        });
        of_loader.chain(self.own_programs.clone()).collect()
    }

    /// Returns whether the profile has its own program for a firmware.
    pub(super) fn has_own_program(&self, bios: bool) -> bool {
        self.own_programs.contains_key(if bios { &Architecture::BIOS } else { &Architecture::UEFI_X64 })
    }

    /// Returns the kernel and the initrds, by path.
    pub(super) fn boot_files(&self) -> impl Iterator<Item = (String, ServedFile)> {
        let served = |path: &String, source: &FileRef, role| {
            (path.clone(), ServedFile { source: source.clone(), role })
        };
        let kernel =
            self.profile.kernel.iter().map(move |kernel| served(&self.kernel, kernel, FileRole::Kernel));
        let initrds = self.initrds.iter().zip(&self.profile.initrd);
        kernel.chain(initrds.map(move |(path, initrd)| served(path, initrd, FileRole::Initrd)))
    }

    /// Returns the files of the loader, by path.
    pub(super) fn loader_files(&self) -> impl Iterator<Item = (String, ServedFile)> {
        let served = |source| ServedFile { source, role: FileRole::Loader };
        // A profile's own program replaces the loader and all its files.
        let wanted = [Architecture::BIOS, Architecture::UEFI_X64]
            .into_iter()
            .filter(|number| !self.own_programs.contains_key(number));
        let of_loader = wanted.flat_map(|number| parts(self.profile.loader, number)).map(move |part| {
            let image = ImageName::new(part.image).expect("the images of loaders have names");
            (part.path.to_owned(), served(FileRef::Image { image, file: part.file.to_owned() }))
        });
        let own = self.own_programs.values().zip(self.profile.programs.values());
        of_loader.chain(own.map(move |(path, file)| (path.clone(), served(file.clone()))))
    }

    /// Returns the configuration files of the loader for a node, by path.
    ///
    /// `macs` are the hardware addresses of the node's NICs on the network.
    pub(super) fn texts(
        &self,
        node: &NodeName,
        macs: &[Mac],
        network: &Network,
    ) -> Vec<(String, ServedText)> {
        let script = |path: String, body: String| (path, ServedText { body, role: FileRole::Script });
        let grub = |menu: String| {
            let of_mac = macs.iter().map(move |mac| script(format!("grub/{mac}.cfg"), menu.clone()));
            std::iter::once(script("grub/grub.cfg".to_owned(), GRUB.to_owned())).chain(of_mac).collect()
        };
        match (self.profile.loader, &self.profile.kernel) {
            (Loader::Ipxe | Loader::Chainload, Some(_)) => vec![script(script_path(node), self.ipxe())],
            (Loader::Pxelinux, Some(_)) => {
                let path =
                    |mac: &Mac| format!("pxelinux/pxelinux.cfg/01-{}", mac.to_string().replace(':', "-"));
                macs.iter().map(|mac| script(path(mac), self.pxelinux())).collect()
            }
            (Loader::Grub | Loader::Shim, Some(_)) => grub(self.grub()),
            (Loader::Grub, None) => asking_menu(network).map(grub).unwrap_or_default(),
            // matchbox serves the script of iPXE; the others need none.
            (Loader::Kernel, Some(_))
            | (Loader::Ipxe | Loader::Chainload | Loader::Pxelinux | Loader::Shim | Loader::Kernel, None) => {
                Vec::new()
            }
        }
    }

    /// Returns the iPXE script.
    ///
    /// Its paths are relative to the server it was fetched from, so it is the same over IPv4 and IPv6.
    /// Every initrd is named on the kernel's command line: a kernel started as an EFI
    /// stub finds it by that name only; one started by BIOS ignores it.
    fn ipxe(&self) -> String {
        let names: Vec<String> = (0..self.initrds.len()).map(|index| format!("initrd{index}")).collect();
        let mut script = format!("#!ipxe\nkernel /{}", self.kernel);
        for name in &names {
            script.extend([" initrd=", name]);
        }
        for argument in &self.profile.args {
            script.extend([" ", argument]);
        }
        for (path, name) in self.initrds.iter().zip(&names) {
            script.extend(["\ninitrd --name ", name, " /", path]);
        }
        script + "\nboot\n"
    }

    /// Returns the PXELINUX configuration. `::` is the root of the server.
    fn pxelinux(&self) -> String {
        let Self { profile, kernel, .. } = self;
        let mut text = format!("DEFAULT {0}\nPROMPT 0\nLABEL {0}\n  KERNEL ::{kernel}\n", profile.name);
        let initrds: Vec<String> = self.initrds.iter().map(|path| format!("::{path}")).collect();
        if !initrds.is_empty() {
            text.extend(["  INITRD ", &initrds.join(","), "\n"]);
        }
        if !profile.args.is_empty() {
            text.extend(["  APPEND ", &profile.args.join(" "), "\n"]);
        }
        text
    }

    /// Returns the GRUB configuration. GRUB itself passes the initrds to the kernel.
    fn grub(&self) -> String {
        let mut text = format!("linux /{}", self.kernel);
        for argument in arguments::split(&self.profile.args.join(" ")) {
            text.extend([" ", &arguments::grub_word(argument)]);
        }
        if !self.initrds.is_empty() {
            text.push_str("\ninitrd");
            for path in &self.initrds {
                text.extend([" /", path]);
            }
        }
        text + "\nboot\n"
    }
}

fn file_name(file: &FileRef) -> String {
    let name = match file {
        FileRef::Image { image: _, file } => Path::new(file).file_name(),
        FileRef::Path(path) => path.file_name(),
        FileRef::Lab(file) => Some(OsStr::new(file.as_str())),
        FileRef::Url { url, sha256: _ } => Path::new(url).file_name(),
    };
    name.unwrap_or_default().to_string_lossy().replace(' ', "_")
}

/// The first configuration of GRUB: it loads that of the node, by the MAC address of the NIC that it booted from.
const GRUB: &str = "configfile /grub/$net_default_mac.cfg\n";

/// Returns the GRUB configuration that asks matchbox, if the network has it.
fn asking_menu(network: &Network) -> Option<String> {
    let server = network.server()?;
    let device = match network.matchbox.as_ref()?.port {
        80 => format!("http,{server}"),
        port => format!("http,{server}:{port}"),
    };
    // GRUB sets this variable only after `net_bootp`; menus for matchbox and UEFI rely on it.
    let name = "set net_efinet0_dhcp_mac=$net_default_mac\nexport net_efinet0_dhcp_mac\n";
    Some(format!("insmod http\n{name}set root={device}\nconfigfile /grub?mac=$net_default_mac\n"))
}

/// Returns the path of the iPXE script of a node.
pub(super) fn script_path(node: &NodeName) -> String {
    format!("boot/{node}.ipxe")
}
