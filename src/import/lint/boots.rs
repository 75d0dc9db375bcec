//! What each client is told to boot.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::diag::{Code, Diagnostic, Span};
use crate::import::Kind;
use crate::import::boot::{
    self, BIOS, BootRule, Client, FileKind, IPXE_BIOS, IPXE_UEFI, UEFI, UEFI_9, UEFI_HTTP, answer, is_url,
};
use crate::import::files::{Files, PathKind};
use crate::import::setup::{Network, Setup};

/// The longest boot file in the header of DHCP: 128 bytes with a NUL at the end.
const LONGEST: usize = 127;

/// Checks the rules of a network.
pub(super) fn check(
    network: &Network,
    setup: &Setup,
    kinds: &[Kind],
    files: &dyn Files,
    found: &mut Vec<Diagnostic>,
) {
    let rules = &network.boots;
    if rules.is_empty() {
        return;
    }
    programs(rules, found);
    left_out(rules, found);
    for rule in rules {
        missing(network, rule, files, found);
        companions(network, rule, files, found);
        if rule.file.len() > LONGEST {
            let what = format!(
                "the boot file has {} bytes, but the header of DHCP has room for {LONGEST}",
                rule.file.len()
            );
            found.push(
                Diagnostic::new(Code::BootFileTooLong, rule.from.clone(), what)
                    .help("shorten the path or the URL"),
            );
        }
        if rule.when.asks_http()
            && rule.when.holds(UEFI_HTTP)
            && !rule.when.holds(UEFI)
            && !is_url(&rule.file)
        {
            let what = format!("firmware that boots by HTTP is told `{}`, which is no URL", rule.file);
            found.push(
                Diagnostic::new(Code::PathForHttpBoot, rule.from.clone(), what)
                    .help("write the whole URL: `http://SERVER/PATH`"),
            );
        }
    }
    next_server(network, setup, kinds, found);
}

fn rule_of(rules: &[BootRule], client: Client) -> Option<(&BootRule, FileKind)> {
    answer(rules, client).map(|rule| (rule, boot::kind(&rule.file)))
}

/// Checks that every client can run what it is told.
fn programs(rules: &[BootRule], found: &mut Vec<Diagnostic>) {
    for client in [UEFI, UEFI_9] {
        if let Some((rule, FileKind::Bios | FileKind::IpxeBios)) = rule_of(rules, client) {
            let what = format!("{} is told the BIOS program `{}`", client.name, rule.file);
            found.push(
                Diagnostic::new(Code::BiosProgramForUefi, rule.from.clone(), what)
                    .help("match the architecture (option 93): 0 is BIOS, 7 and 9 are x64 UEFI"),
            );
            break;
        }
    }
    if let Some((rule, FileKind::Uefi | FileKind::IpxeUefi)) = rule_of(rules, BIOS) {
        let what = format!("{} is told the UEFI program `{}`", BIOS.name, rule.file);
        found.push(
            Diagnostic::new(Code::UefiProgramForBios, rule.from.clone(), what)
                .help("match the architecture (option 93): 0 is BIOS, 7 and 9 are x64 UEFI"),
        );
    }
    for (firmware, client) in [(BIOS, IPXE_BIOS), (UEFI, IPXE_UEFI)] {
        let Some((rule, FileKind::IpxeBios | FileKind::IpxeUefi)) = rule_of(rules, client) else { continue };
        // A program for the other firmware is reported above.
        let own = rule_of(rules, firmware).is_some_and(|(_, kind)| match firmware {
            BIOS => kind == FileKind::IpxeBios,
            _ => kind == FileKind::IpxeUefi,
        });
        if own {
            let what =
                format!("iPXE is told `{}`, which is iPXE again: it boots itself without end", rule.file);
            found.push(
                Diagnostic::new(Code::IpxeLoop, rule.from.clone(), what)
                    .help("tell iPXE, which sends the user class `iPXE` (option 77), the URL of a script"),
            );
            break;
        }
    }
    for client in [BIOS, UEFI] {
        if let Some((rule, _)) = rule_of(rules, client)
            && is_url(&rule.file)
            && !rule.file.starts_with("tftp://")
        {
            let what = format!("{} is told a URL, but its PXE client only fetches by TFTP", client.name);
            found.push(
                Diagnostic::new(Code::UrlForPxe, rule.from.clone(), what)
                    .help("tell only iPXE (option 77 is `iPXE`) the URL, and firmware a boot program; network cards whose ROM is iPXE boot either way"),
            );
            break;
        }
    }
}

/// Checks that no firmware is forgotten.
fn left_out(rules: &[BootRule], found: &mut Vec<Diagnostic>) {
    let has = |client: Client| answer(rules, client).is_some();
    let asking = rules.iter().find(|rule| rule.when.asks_arch());
    let what = match (has(UEFI), has(UEFI_9), has(BIOS)) {
        (true, false, _) => "x64 UEFI that sends architecture 9 is told nothing, only 7 is",
        (false, true, _) => "x64 UEFI that sends architecture 7 is told nothing, only 9 is",
        (false, false, false) if has(IPXE_BIOS) || has(IPXE_UEFI) => {
            "only iPXE is told a boot file, and no firmware gets one"
        }
        _ => return,
    };
    let Some(rule) = asking.filter(|rule| rule.when.holds(UEFI) || rule.when.holds(UEFI_9)).or(rules.first())
    else {
        return;
    };
    found.push(
        Diagnostic::new(Code::FirmwareLeftOut, rule.from.clone(), what)
            .help("add the missing rule; most x64 UEFI sends architecture 7, some sends 9"),
    );
}

/// Checks that the file is in the folder of TFTP.
fn missing(network: &Network, rule: &BootRule, files: &dyn Files, found: &mut Vec<Diagnostic>) {
    if is_url(&rule.file) || rule.server.is_some() {
        return;
    }
    let Some(root) = &network.root else { return };
    let below = rule.file.trim_start_matches('/').replace('\\', "/");
    let path = Path::new(&root.value).join(&below);
    if below.is_empty() || files.kind(&path) == Some(PathKind::File) {
        return;
    }
    let names = files.list(Path::new(&root.value)).unwrap_or_default();
    let near = crate::diag::nearest(&below, names.iter().map(String::as_str));
    let help = near.map_or_else(|| "copy it there".to_owned(), |near| format!("did you mean `{near}`?"));
    let what = format!("`{}` is not in the folder of TFTP", rule.file);
    let mut diagnostic = Diagnostic::new(Code::BootFileMissing, rule.from.clone(), what).help(help);
    if let Some(from) = &root.from {
        diagnostic = diagnostic.related(from.clone(), "the folder");
    }
    found.push(diagnostic);
}

/// Checks that the files are there that a boot program loads next.
fn companions(network: &Network, rule: &BootRule, files: &dyn Files, found: &mut Vec<Diagnostic>) {
    if is_url(&rule.file) || rule.server.is_some() {
        return;
    }
    let Some(root) = network.root.as_ref().map(|root| Path::new(&root.value)) else { return };
    let program = root.join(rule.file.trim_start_matches('/').replace('\\', "/"));
    if files.kind(&program) != Some(PathKind::File) {
        return;
    }
    let name =
        program.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let folder = program.parent().unwrap_or(root);
    let there = |names: &[&str]| {
        names.iter().any(|name| [folder, root].iter().any(|around| files.kind(&around.join(name)).is_some()))
    };
    // Also one for each machine: `grub.cfg-01-52-54-00-12-34-56`.
    let grub = || {
        let around = ["", "grub", "boot/grub", "EFI/BOOT", "EFI/debian", "EFI/ubuntu", "EFI/redhat"];
        around.iter().flat_map(|below| [folder.join(below), root.join(below)]).any(|folder| {
            files.list(&folder).unwrap_or_default().iter().any(|name| name.starts_with("grub.cfg"))
        })
    };
    let missing = match name.as_str() {
        "pxelinux.0" | "lpxelinux.0" if !there(&["ldlinux.c32"]) => "ldlinux.c32",
        "syslinux.efi" if !there(&["ldlinux.e64", "ldlinux.e32"]) => "ldlinux.e64",
        "pxelinux.0" | "lpxelinux.0" | "syslinux.efi" if !there(&["pxelinux.cfg"]) => "pxelinux.cfg/default",
        name if name.starts_with("grub") && name.ends_with(".efi") && !grub() => "grub.cfg",
        name if name.starts_with("shim") && !there(&["grubx64.efi", "grubaa64.efi"]) => "grubx64.efi",
        _ => return,
    };
    let what = format!("`{}` loads `{missing}` next, which is not in the folder of TFTP", rule.file);
    found.push(
        Diagnostic::new(Code::CompanionMissing, rule.from.clone(), what)
            .help("put it beside the boot program, of the same version"),
    );
}

/// Checks who serves the files.
fn next_server(network: &Network, setup: &Setup, kinds: &[Kind], found: &mut Vec<Diagnostic>) {
    for rule in &network.boots {
        if let Some(server) = &rule.server {
            outside(network, server, Some(&rule.from), found);
        }
    }
    // A rule that no client can fulfil asks for no server.
    let by_tftp =
        |rule: &&BootRule| !is_url(&rule.file) && rule.server.is_none() && rule.when.hindrance().is_none();
    let Some(rule) = network.boots.iter().find(by_tftp) else { return };
    let wants_server = kinds.iter().any(|kind| matches!(kind, Kind::Udhcpd | Kind::Isc | Kind::Kea));
    match &network.next_server {
        None if wants_server => {
            let what = format!("clients are told to fetch `{}` by TFTP, but not from whom", rule.file);
            let word = match kinds.iter().find(|kind| matches!(kind, Kind::Udhcpd | Kind::Isc | Kind::Kea)) {
                Some(Kind::Udhcpd) => "add `siaddr ADDRESS`",
                Some(Kind::Isc) => "add `next-server ADDRESS;`",
                _ => "add `\"next-server\": \"ADDRESS\"`",
            };
            found.push(Diagnostic::new(Code::NoNextServer, rule.from.clone(), what).help(word));
        }
        None => {
            let serves = setup.servers.iter().any(|server| server.serves.tftp);
            let only_dnsmasq = kinds.iter().all(|kind| *kind == Kind::Dnsmasq);
            if only_dnsmasq && !serves {
                let what =
                    format!("clients are told to fetch `{}` from this server, which has no TFTP", rule.file);
                found.push(
                    Diagnostic::new(Code::NoTftpServer, rule.from.clone(), what)
                        .help("add `enable-tftp` and `tftp-root=FOLDER`, or name the server: `dhcp-boot=FILE,NAME,ADDRESS`"),
                );
            }
        }
        Some(server) => outside(network, &server.value, server.from.as_ref(), found),
    }
}

/// Checks that the server of a boot file is in the subnet.
fn outside(network: &Network, server: &str, from: Option<&Span>, found: &mut Vec<Diagnostic>) {
    let Some(subnet) = network.subnet.as_ref().filter(|subnet| subnet.from.is_some()) else { return };
    let address = server.parse::<Ipv4Addr>().ok().filter(|address| !address.is_unspecified());
    if let (Some(address), Some(from)) = (address.filter(|address| !subnet.value.contains(address)), from) {
        let what =
            format!("{address} is outside of {}, so firmware needs a router to reach it", subnet.value);
        found.push(
            Diagnostic::new(Code::NextServerOutside, from.clone(), what)
                .help("use the server's address in this subnet"),
        );
    }
}
