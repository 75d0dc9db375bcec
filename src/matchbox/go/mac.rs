//! MAC addresses as `net.ParseMAC` parses them and `net.HardwareAddr` formats them.

use std::fmt::Write as _;

/// An invalid MAC address, with Go's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}invalid MAC address", if .0.is_empty() { String::new() } else { format!("address {}: ", .0) })]
pub struct MacError(pub String);

/// Parses an address of 6, 8 or 20 bytes.
///
/// # Errors
///
/// The text is none of `00:00:5e:00:53:01`, `00-00-5e-00-53-01`, `0000.5e00.5301` (each also with 8 or 20
/// bytes) and `00005e005301`, which Go accepts since 1.27.
pub fn parse(text: &str) -> Result<Vec<u8>, MacError> {
    bytes(text.as_bytes()).ok_or_else(|| MacError(text.to_owned()))
}

/// Returns an address in lower case with colons.
pub fn write(address: &[u8]) -> String {
    let mut text = String::with_capacity(address.len() * 3);
    for (index, byte) in address.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        write!(text, "{colon}{byte:02x}").expect("a String takes everything");
    }
    text
}

fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = if text.len() == 12 {
        text.to_vec()
    } else if let Some(&separator @ (b':' | b'-')) = text.get(2) {
        groups(text, separator, 2)?
    } else if text.get(4) == Some(&b'.') {
        groups(text, b'.', 4)?
    } else {
        return None;
    };
    if !matches!(digits.len(), 12 | 16 | 40) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// Returns the digits of groups of `length` digits.
fn groups(text: &[u8], separator: u8, length: usize) -> Option<Vec<u8>> {
    let groups: Vec<&[u8]> = text.split(|&byte| byte == separator).collect();
    groups.iter().all(|group| group.len() == length).then(|| groups.concat())
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
