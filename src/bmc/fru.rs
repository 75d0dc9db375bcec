//! The FRU inventory of a machine (IPMI Platform Management FRU Information Storage Definition 1.0).

use super::identity::Identity;

/// Returns the inventory: chassis, board and product, with the names that SMBIOS and Redfish show.
pub fn inventory(identity: &Identity) -> Vec<u8> {
    let serial = identity.serial.as_str();
    let chassis = area(&[0x17], &["", serial]);
    // Language English; the date of manufacture is unknown.
    let maker = identity.manufacturer.as_str();
    let board = area(&[0x19, 0, 0, 0], &[maker, &identity.product, serial, "", ""]);
    let product = area(&[0x19], &[maker, &identity.product, "", "", serial, &identity.asset_tag, ""]);
    let mut header = vec![1, 0, 1, 0, 0, 0, 0];
    let offset = |bytes: usize| u8::try_from(bytes / 8).unwrap_or(0);
    header[3] = offset(8 + chassis.len());
    header[4] = offset(8 + chassis.len() + board.len());
    header.push(sum(&header));
    [header, chassis, board, product].concat()
}

/// An area: version, length in units of 8 bytes, fields, end, padding, checksum (section 10 to 12).
fn area(head: &[u8], fields: &[&str]) -> Vec<u8> {
    let mut area = [&[1, 0], head].concat();
    for field in fields {
        field_of(field, &mut area);
    }
    area.push(0xC1);
    while area.len() % 8 != 7 {
        area.push(0);
    }
    area[1] = u8::try_from((area.len() + 1) / 8).unwrap_or(u8::MAX);
    area.push(sum(&area));
    area
}

/// A field: 8-bit text of at most 63 bytes, with its length before it (section 13).
fn field_of(text: &str, area: &mut Vec<u8>) {
    let text: Vec<u8> = text.bytes().take(63).collect();
    match text.len() {
        // The length 1 of this type is the end of the fields.
        1 => area.extend([0xC2, text[0], b' ']),
        length => {
            area.push(if length == 0 { 0 } else { 0xC0 | u8::try_from(length).unwrap_or(63) });
            area.extend(text);
        }
    }
}

/// The byte that makes the sum zero.
pub(super) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}
