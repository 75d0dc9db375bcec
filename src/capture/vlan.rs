//! The VLAN tag of a received frame, which the kernel moves into auxiliary data (packet(7), `PACKET_AUXDATA`).

use std::borrow::Cow;

use nix::libc::{
    PACKET_AUXDATA, SOL_PACKET, TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID, cmsghdr, tpacket_auxdata,
};

/// The bytes of both addresses, after which a tag stands.
const ADDRESSES: usize = 12;

/// The protocol of IEEE 802.1Q tags.
const DOT1Q: u16 = 0x8100;

/// A VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its protocol.
    tpid: u16,
    /// Priority and VLAN.
    tci: u16,
}

/// Tells whether a control message is the auxiliary data of a frame.
pub(super) fn is_auxiliary(header: &cmsghdr) -> bool {
    (header.cmsg_level, header.cmsg_type) == (SOL_PACKET, PACKET_AUXDATA)
}

impl Tag {
    /// Creates a tag from its protocol, and its priority and VLAN.
    pub(super) fn new(tpid: u16, tci: u16) -> Self {
        Self { tpid, tci }
    }

    /// Reads auxiliary data, a `tpacket_auxdata`; `None` if the frame had no tag.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?));
        let status = u32::from_ne_bytes(data.get(..4)?.try_into().ok()?);
        let tci = short(std::mem::offset_of!(tpacket_auxdata, tp_vlan_tci))?;
        let tpid = short(std::mem::offset_of!(tpacket_auxdata, tp_vlan_tpid))?;
        (status & TP_STATUS_VLAN_VALID != 0)
            .then_some(Self { tpid: if status & TP_STATUS_VLAN_TPID_VALID == 0 { DOT1Q } else { tpid }, tci })
    }
}

/// Returns a frame as it was on the wire, with its tag.
pub(super) fn tagged(frame: &[u8], tag: Option<Tag>) -> Cow<'_, [u8]> {
    match (tag, frame.split_at_checked(ADDRESSES)) {
        (Some(Tag { tpid, tci }), Some((addresses, rest))) => {
            [addresses, &tpid.to_be_bytes(), &tci.to_be_bytes(), rest].concat().into()
        }
        _ => frame.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auxiliary(status: u32, tci: u16, tpid: u16) -> Vec<u8> {
        // The lengths and offsets in between do not matter.
        [&status.to_ne_bytes()[..], &[0xee; 12], &tci.to_ne_bytes(), &tpid.to_ne_bytes()].concat()
    }

    #[test]
    fn a_tag_is_put_back_after_the_addresses() {
        let frame: Vec<u8> = (1..=16).collect();
        let valid = TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
        let check = |aux: &[u8]| tagged(&frame, Tag::read(aux)).into_owned();
        let with = |tag: [u8; 4]| [&frame[..12], &tag, &frame[12..]].concat();
        assert_eq!(check(&auxiliary(valid, 0x2005, 0x88a8)), with([0x88, 0xa8, 0x20, 5]));
        // An older kernel does not tell the protocol.
        assert_eq!(check(&auxiliary(TP_STATUS_VLAN_VALID, 5, 0)), with([0x81, 0, 0, 5]));
        // VLAN 0 is a tag, too; without the flag there is none.
        assert_eq!(check(&auxiliary(valid, 0, 0x8100)), with([0x81, 0, 0, 0]));
        assert_eq!(check(&auxiliary(1, 5, 0x8100)), frame);
        assert_eq!(check(&[1, 2, 3]), frame);
        assert_eq!(tagged(&frame[..5], Tag::read(&auxiliary(valid, 5, 0x8100))), &frame[..5]);
    }
}
