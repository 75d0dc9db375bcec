//! Fuzzes the readers of ARP frames and of the kernel's notifications.

use super::arp_sender;
use crate::system::netlink::neighbours;

/// Reads one frame or notification. The sender of an ARP frame is the one in its Ethernet header.
pub(crate) fn frame(data: &[u8]) {
    if let Some((mac, address)) = arp_sender(data) {
        assert_eq!(data[6..12], mac.0);
        assert!(!address.is_unspecified());
    }
    // Each notification is at least a header long, so that reading ends.
    assert!(neighbours(data).count() <= data.len() / 16);
}
