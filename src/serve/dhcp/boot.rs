//! Chooses the boot file of a client.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::super::arch;
use crate::lab::{Architecture, Via};
use crate::plan::{BootPlan, HostPlan};
use crate::wire::dhcp::{Client, HTTP, PXE, Request, Tlv, architecture, code};

/// PXE vendor options: discovery control 8, "use the boot file as it is, look for no boot server" (PXE 2.1, table 2-1).
///
/// If the reply names a PXE client without this option, EDK2 and others ask again at port 4011.
const NO_DISCOVERY: [u8; 4] = [6, 1, 8, 255];
/// PXE vendor options of the boot servers for Raspberry Pis: their boot ROM takes only replies with a boot menu whose
/// first row has this text.
const PI_MENU: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";
/// iPXE's encapsulated options: `no-pxedhcp` (176) = 1, "do not wait for ProxyDHCP offers".
const NO_PROXY_WAIT: [u8; 3] = [176, 1, 1];

/// Where the lab's files are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// The server.
    pub(super) address: Ipv4Addr,
    /// The port of HTTP, if it serves the files.
    pub(super) files_port: Option<u16>,
}

impl Site {
    /// Returns the start of the URLs of HTTP, if it serves the files.
    fn http(self) -> Option<String> {
        let address = self.address;
        self.files_port.map(|port| match port {
            80 => format!("http://{address}/"),
            port => format!("http://{address}:{port}/"),
        })
    }
}

fn by_tftp(boot: &BootPlan, architecture: u16) -> (Option<BootFile>, Cow<'static, str>) {
    match arch::program(&boot.programs, architecture) {
        Some(path) => {
            let rule = format!("program for {} by TFTP", arch::name(architecture));
            (Some(BootFile::Tftp(path.to_owned())), rule.into())
        }
        None => (None, format!("no program for {}", arch::name(architecture)).into()),
    }
}

fn by_http(boot: &BootPlan, architecture: u16, site: Site) -> (Option<BootFile>, Cow<'static, str>) {
    let Site { address, .. } = site;
    let url = match boot.via {
        Some(Via::Https) => Some(format!("https://{address}/")),
        _ => site.http(),
    };
    let Some(url) = url else { return (None, "HTTP is off".into()) };
    match arch::program(&boot.programs, architecture) {
        Some(path) => {
            let rule = format!("program for {}", arch::name(architecture));
            (Some(BootFile::Http(format!("{url}{path}"))), rule.into())
        }
        None => (None, format!("no program for {}", arch::name(architecture)).into()),
    }
}

/// The boot options for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootReply {
    /// The boot file, and whether the lab's TFTP server has it (the server is then named too).
    pub(super) file: Option<BootFile>,
    pub(super) options: Vec<Tlv>,
    /// Whether the client boots from here even without a boot file.
    pub(super) boots_without_file: bool,
    /// The rule that decided; empty if none did.
    pub(super) rule: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BootFile {
    /// A complete URL.
    Url(String),
    /// A complete URL for HTTP Boot.
    Http(String),
    /// A path on the lab's TFTP server.
    Tftp(String),
}

impl BootFile {
    /// Returns the boot file as it is sent.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Url(text) | Self::Http(text) | Self::Tftp(text) => text,
        }
    }
}

/// Chooses the boot options for a client.
///
/// `runs_program`: the client has fetched its boot program, which sends this request, even if it does not identify
/// itself as iPXE.
pub(super) fn tell(
    client: Client,
    host: Option<&HostPlan>,
    request: &Request,
    site: Site,
    runs_program: bool,
) -> BootReply {
    let mut options = Vec::new();
    if client == Client::Ipxe && host.is_some_and(|host| host.skip_delays) {
        options.push(Tlv::new(code::IPXE, &NO_PROXY_WAIT));
    }
    let (file, mut rule) = boot_file(client, host, request, site, runs_program);
    let via = host.and_then(|host| host.boot.as_ref()).map(|boot| boot.via);
    let is_pi =
        client == Client::Firmware(Architecture::RASPBERRY_PI) && matches!(via, Some(None | Some(Via::Pxe)));
    if is_pi && file.is_none() {
        rule = "a Raspberry Pi fetches its own files by TFTP".into();
    }
    if is_pi || (matches!(file, Some(BootFile::Tftp(_))) && request.vendor_class.starts_with(PXE)) {
        let vendor_options = if is_pi { PI_MENU } else { &NO_DISCOVERY };
        options.push(Tlv::new(code::VENDOR_CLASS, PXE));
        options.push(Tlv::new(code::VENDOR_OPTIONS, vendor_options));
    }
    if is_pi || matches!(file, Some(BootFile::Tftp(_))) {
        options.push(Tlv::new(code::BOOT_SERVER, site.address.to_string().as_bytes()));
    }
    if let Some(file) = &file {
        match file {
            // HTTP Boot accepts only offers with this vendor class (UEFI 2.10, section 24.7.3.1).
            BootFile::Http(_) => options.push(Tlv::new(code::VENDOR_CLASS, HTTP)),
            BootFile::Url(_) | BootFile::Tftp(_) => {}
        }
        options.push(Tlv::new(code::BOOT_FILE, file.as_str().as_bytes()));
    }
    if client != Client::Os {
        // Firmware drops an offer that does not repeat its machine identifier (RFC 4578, section 2.3).
        options.extend(request.machine_id.as_ref().map(|id| Tlv::new(code::MACHINE_ID, id)));
    }
    BootReply { file, options, boots_without_file: is_pi, rule }
}

fn boot_file(
    client: Client,
    host: Option<&HostPlan>,
    request: &Request,
    site: Site,
    runs_program: bool,
) -> (Option<BootFile>, Cow<'static, str>) {
    let Some(boot) = host.and_then(|host| host.boot.as_ref()) else {
        return (None, if client == Client::Os { "".into() } else { "not netbooted".into() });
    };
    let otherwise = |via: Via| (None, format!("profile with via = \"{}\"", via.as_str()).into());
    match (client, boot) {
        (Client::Os, _) => (None, "".into()),
        (Client::Ipxe | Client::Firmware(_), BootPlan { via: Some(via), .. }) if via.is_ipv6() => {
            otherwise(*via)
        }
        (Client::Ipxe, BootPlan { script: Some(script), rom_chains, .. }) if runs_program || !rom_chains => {
            (Some(BootFile::Url(script.clone())), "script for iPXE".into())
        }
        (Client::Firmware(_), BootPlan { script: Some(script), .. }) if runs_program => {
            (Some(BootFile::Url(script.clone())), "script for the fetched boot program".into())
        }
        (Client::Firmware(_), BootPlan { via: Some(via), .. }) if *via != Via::Pxe => otherwise(*via),
        (Client::HttpFirmware(_), BootPlan { via: Some(Via::Http6), .. })
            if host.is_some_and(|host| host.skip_delays) =>
        {
            // Without an offer, it keeps asking for a minute before it tries IPv6.
            (Some(BootFile::Http(format!("http://{}/", site.address))), "redirected to IPv6".into())
        }
        (Client::HttpFirmware(_), BootPlan { via: Some(via), .. })
            if !matches!(via, Via::Http | Via::Https) =>
        {
            otherwise(*via)
        }
        (Client::Ipxe, boot) => by_tftp(boot, architecture(request, PXE)),
        (Client::Firmware(architecture), boot) => by_tftp(boot, architecture),
        (Client::HttpFirmware(architecture), boot) => by_http(boot, architecture, site),
    }
}
