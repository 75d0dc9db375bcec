//! Packets of Serial over LAN (section 15.9).

/// The highest sequence number; after it comes 1.
pub const LAST_SEQUENCE: u8 = 15;
/// Bytes before the characters.
pub const HEADER: usize = 4;

/// A packet. `F` is [`Operation`] from the console, [`Status`] from the BMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a, F> {
    /// 1 to 15, or 0 if the packet only acknowledges.
    pub sequence: u8,
    /// The sequence number that is acknowledged, or 0.
    pub acknowledged: u8,
    /// How many characters of the acknowledged packet were accepted.
    pub accepted: u8,
    /// Everything but characters.
    pub flags: F,
    /// The characters, at most 255.
    pub characters: &'a [u8],
}

/// What a console asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits on the wire")]
pub struct Operation {
    /// The acknowledged packet was not accepted whole.
    pub nack: bool,
    /// Assert "ring" of the line.
    pub ring: bool,
    /// Send a break.
    pub send_break: bool,
    /// Send no characters until a packet without this.
    pub pause: bool,
    /// Deassert "carrier" and "data set ready" of the line.
    pub drop_carrier: bool,
    /// Forget characters for the line.
    pub flush_inbound: bool,
    /// Forget characters for the console.
    pub flush_outbound: bool,
}

/// What a BMC tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits on the wire")]
pub struct Status {
    /// The acknowledged packet was not accepted whole.
    pub nack: bool,
    /// Characters cannot be passed on: the machine is off, or the line is in use.
    pub unavailable: bool,
    /// Serial over LAN was deactivated.
    pub inactive: bool,
    /// Characters were lost.
    pub overrun: bool,
    /// The machine sent a break.
    pub break_seen: bool,
}

/// Flags that fit a byte.
pub trait Flags: Sized {
    /// Parses the byte; unknown bits are ignored.
    fn parse(bits: u8) -> Self;
    /// Encodes the byte.
    fn bits(&self) -> u8;
}

impl Flags for Operation {
    fn parse(bits: u8) -> Self {
        Self {
            nack: bits & 0x40 != 0,
            ring: bits & 0x20 != 0,
            send_break: bits & 0x10 != 0,
            pause: bits & 0x08 != 0,
            drop_carrier: bits & 0x04 != 0,
            flush_inbound: bits & 0x02 != 0,
            flush_outbound: bits & 0x01 != 0,
        }
    }

    fn bits(&self) -> u8 {
        let Self { nack, ring, send_break, pause, drop_carrier, flush_inbound, flush_outbound } = *self;
        u8::from(nack) << 6
            | u8::from(ring) << 5
            | u8::from(send_break) << 4
            | u8::from(pause) << 3
            | u8::from(drop_carrier) << 2
            | u8::from(flush_inbound) << 1
            | u8::from(flush_outbound)
    }
}

impl Flags for Status {
    fn parse(bits: u8) -> Self {
        Self {
            nack: bits & 0x40 != 0,
            unavailable: bits & 0x20 != 0,
            inactive: bits & 0x10 != 0,
            overrun: bits & 0x08 != 0,
            break_seen: bits & 0x04 != 0,
        }
    }

    fn bits(&self) -> u8 {
        let Self { nack, unavailable, inactive, overrun, break_seen } = *self;
        u8::from(nack) << 6
            | u8::from(unavailable) << 5
            | u8::from(inactive) << 4
            | u8::from(overrun) << 3
            | u8::from(break_seen) << 2
    }
}

impl<'a, F: Flags> Packet<'a, F> {
    /// Parses a payload; `None` if it is too short or longer than packets can be.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([sequence, acknowledged, accepted, flags], characters) = bytes.split_first_chunk::<HEADER>()?;
        (characters.len() <= 255).then_some(Self {
            sequence: sequence & LAST_SEQUENCE,
            acknowledged: acknowledged & LAST_SEQUENCE,
            accepted: *accepted,
            flags: F::parse(*flags),
            characters,
        })
    }

    /// Encodes the payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.sequence, self.acknowledged, self.accepted, self.flags.bits()];
        bytes.extend_from_slice(self.characters);
        bytes
    }
}

/// Encodes a packet that only acknowledges.
pub(super) fn acknowledgement<F: Flags + Default>(sequence: u8, accepted: u8) -> Vec<u8> {
    Packet { sequence: 0, acknowledged: sequence, accepted, flags: F::default(), characters: &[] }.encode()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Operation, Packet, Status};

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Some(packet) = Packet::<Operation>::parse(&bytes) {
                let encoded = packet.encode();
                prop_assert_eq!(Packet::parse(&encoded), Some(packet));
            }
            if let Some(packet) = Packet::<Status>::parse(&bytes) {
                let encoded = packet.encode();
                prop_assert_eq!(Packet::parse(&encoded), Some(packet));
            }
        }
    }
}
