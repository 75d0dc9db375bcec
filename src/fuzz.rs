//! What anybody may send, tried without end: one function for each way in, which fails where something does not hold.
//!
//! The functions stand beside what they try, and are compiled for tests and for
//! libFuzzer only (`tests/fuzz`, run by `ci/fuzz`): the same body runs for a
//! moment in every test run and for hours where somebody has them.

mod ignition;
mod lab;

use crate::matchbox::fuzz as matchbox;
use crate::rpc::fuzz as rpc;
use crate::serve::fuzz as serve;

/// A way in.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its seeds in `tests/fuzz/seeds`.
    pub name: &'static str,
    /// Tries some bytes. Panics where something does not hold.
    pub run: fn(&[u8]),
}

/// Every way in.
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
    Target { name: "neighbours", run: serve::neighbours },
    Target { name: "ntp", run: serve::ntp },
    Target { name: "syslog", run: serve::syslog },
    Target { name: "ignition", run: ignition::ignition },
    Target { name: "butane", run: ignition::butane },
    Target { name: "template", run: matchbox::template },
    Target { name: "json", run: matchbox::json },
    Target { name: "matchbox", run: serve::matchbox },
];

/// Tries some bytes on a target.
pub fn run(target: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|known| known.name == target).expect("a target by that name");
    (target.run)(data);
}

/// Bytes that decide what happens, one after the other. After their end there are only zeros.
#[derive(Debug, Clone)]
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// Returns the next two bytes as a number.
    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Returns the next so many bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// Returns a piece that begins with its length, which takes two bytes.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(length.into())
    }

    /// Returns one of several.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests;
