//! Fuzz targets: one function for each kind of untrusted input. A function panics if an invariant is violated.
//!
//! The functions are next to the code that they test, and are compiled only for tests and libFuzzer (`tests/fuzz`, run
//! by `ci/fuzz`): the same code runs briefly in every test run, and for hours with libFuzzer.

mod ignition;
mod lab;
pub(crate) mod script;

use crate::bmc::fuzz as bmc;
use crate::capture::read::fuzz as capture;
use crate::dissect::fuzz as dissect;
use crate::import::fuzz as import;
use crate::matchbox::fuzz as matchbox;
use crate::rpc::fuzz as rpc;
use crate::serve::fuzz as serve;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its seeds in `tests/fuzz/seeds`.
    pub name: &'static str,
    /// Runs the target on an input. Panics if an invariant is violated.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "lab", run: lab::file },
    Target { name: "dhcp_packet", run: serve::dhcp_packet },
    Target { name: "dhcp", run: serve::dhcp },
    Target { name: "dhcp_proxy", run: serve::dhcp_proxy },
    Target { name: "dhcp6_packet", run: serve::dhcp6_packet },
    Target { name: "dhcp6", run: serve::dhcp6 },
    Target { name: "solicitation", run: serve::solicitation },
    Target { name: "tftp_packet", run: serve::tftp_packet },
    Target { name: "tftp", run: serve::tftp },
    Target { name: "dns_packet", run: serve::dns_packet },
    Target { name: "dns", run: serve::dns },
    Target { name: "dns_upstream", run: serve::dns_upstream },
    Target { name: "path", run: serve::path },
    Target { name: "http", run: serve::http },
    Target { name: "rpc", run: rpc::message },
    Target { name: "frames", run: dissect::frames },
    Target { name: "neighbours", run: serve::neighbours },
    Target { name: "ntp", run: serve::ntp },
    Target { name: "syslog", run: serve::syslog },
    Target { name: "ignition", run: ignition::ignition },
    Target { name: "butane", run: ignition::butane },
    Target { name: "template", run: matchbox::template },
    Target { name: "json", run: matchbox::json },
    Target { name: "yaml", run: matchbox::yaml },
    Target { name: "matchbox", run: serve::matchbox },
    Target { name: "pcap", run: capture::pcap },
    Target { name: "import", run: import::file },
    Target { name: "ipmi", run: bmc::datagrams },
    Target { name: "ipmi_command", run: bmc::commands },
    Target { name: "ipmi_in_band", run: bmc::in_band },
];

/// Runs a target on an input.
pub fn run(target: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|known| known.name == target).expect("a target by that name");
    (target.run)(data);
}

#[cfg(test)]
mod tests;
