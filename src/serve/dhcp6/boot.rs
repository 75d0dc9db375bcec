//! Chooses the boot file of a client (RFC 5970).
//!
//! The table of boot programs is the one of DHCPv4; what differs is how clients
//! identify themselves, and that every boot file is a complete URL.

use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, OptionCode, UnknownOption};

use super::super::arch;
use crate::lab::Via;
use crate::plan::{BootPlan, HostPlan};
use crate::wire::dhcp6::{Client, HTTP};

/// The enterprise number of the vendor class that firmware sends and expects: Intel's.
const ENTERPRISE: u32 = 343;

/// The boot options for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootReply {
    /// The boot file, a complete URL.
    pub(super) file: Option<String>,
    pub(super) options: Vec<DhcpOption>,
    /// The rule that decided; empty if none did.
    pub(super) rule: String,
}

/// Where the lab's files are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// The server.
    pub(super) address: Ipv6Addr,
    /// The port of HTTP, if it serves the files.
    pub(super) files_port: Option<u16>,
}

/// Chooses the boot options for a client.
///
/// `runs_program`: the client has fetched its boot program, which sends this request, even if it does not identify
/// itself as iPXE.
pub(super) fn tell(client: Client, host: Option<&HostPlan>, site: Site, runs_program: bool) -> BootReply {
    let server = site.address;
    let script = |boot: &BootPlan| over_ipv6(boot.script.as_deref()?, server);
    let program = |boot: &BootPlan, number, scheme: &str| {
        let port = match (scheme, site.files_port) {
            ("http", None) => return (None, "HTTP is off".to_owned()),
            ("http", Some(port)) if port != 80 => format!(":{port}"),
            _ => String::new(),
        };
        match arch::program(&boot.programs, number) {
            Some(path) => {
                let rule = format!("program by {}", scheme.to_uppercase());
                (Some(format!("{scheme}://[{server}]{port}/{path}")), rule)
            }
            None => (None, format!("no program for {}", arch::name(number))),
        }
    };
    let (file, rule) = match (client, host.and_then(|host| host.boot.as_ref())) {
        (Client::Os, _) => (None, String::new()),
        (Client::Firmware(_) | Client::HttpFirmware(_) | Client::Ipxe(_), None) => {
            (None, "not netbooted".to_owned())
        }
        (Client::Ipxe(_) | Client::Firmware(_), Some(BootPlan { via: Some(via), .. })) if !via.is_ipv6() => {
            (None, format!("profile with via = \"{}\"", via.as_str()))
        }
        (Client::Ipxe(_), Some(boot)) if boot.script.is_some() && (runs_program || !boot.rom_chains) => {
            (script(boot), "script for iPXE".to_owned())
        }
        (Client::Firmware(_), Some(boot)) if boot.script.is_some() && runs_program => {
            (script(boot), "script for the fetched boot program".to_owned())
        }
        (Client::Firmware(_), Some(BootPlan { via: Some(via), .. })) if *via != Via::Pxe6 => {
            (None, format!("profile with via = \"{}\"", via.as_str()))
        }
        (Client::HttpFirmware(_), Some(BootPlan { via: Some(via), .. })) if *via != Via::Http6 => {
            (None, format!("profile with via = \"{}\"", via.as_str()))
        }
        (Client::Firmware(number) | Client::Ipxe(number), Some(boot)) => program(boot, number, "tftp"),
        (Client::HttpFirmware(number), Some(boot)) => program(boot, number, "http"),
    };
    let mut options = Vec::new();
    if let Some(file) = &file {
        let url = UnknownOption::new(OptionCode::OptBootfileUrl, file.clone().into_bytes());
        options.push(DhcpOption::Unknown(url));
        if let Client::HttpFirmware(_) = client {
            // HTTP Boot accepts only offers with this vendor class (UEFI 2.10, section 24.7.3.1).
            options.push(vendor_class(HTTP));
        }
    }
    BootReply { file, options, rule }
}

/// Returns a vendor class; dhcproto writes a wrong length.
fn vendor_class(class: &[u8]) -> DhcpOption {
    let length = u16::try_from(class.len()).unwrap_or(0);
    let value = [&ENTERPRISE.to_be_bytes()[..], &length.to_be_bytes(), class].concat();
    DhcpOption::Unknown(UnknownOption::new(OptionCode::VendorClass, value))
}

/// Returns a URL with its port and path, at another address.
fn over_ipv6(url: &str, server: Ipv6Addr) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let port = authority.split_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://[{server}]{port}/{path}"))
}
