//! The fixed fonts with which firmware, loaders and kernels draw text.
//!
//! Their sources and licences are in `fonts/README.md`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The highest glyph.
pub(super) const HIGHEST: usize = 32;

/// The pixels of a cell: a row each, its left pixel in the highest of `width` bits.
pub(super) type Bits = [u16; HIGHEST];

/// A font whose glyphs all have one size.
pub(super) struct Font {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The characters by their pixels, without spaces.
    pub(super) glyphs: HashMap<Bits, char>,
}

/// All fonts. Those that draw more screens come first.
pub(super) static FONTS: LazyLock<Vec<Font>> = LazyLock::new(|| {
    let sources = [
        include_str!("fonts/linux.hex"),
        include_str!("fonts/edk2.hex"),
        include_str!("fonts/vga.hex"),
        include_str!("fonts/unifont.hex"),
        include_str!("fonts/fixed.hex"),
        include_str!("fonts/terminus.hex"),
        include_str!("fonts/terminus-bold.hex"),
    ];
    sources.map(Font::new).into()
});

impl Font {
    /// Reads the format of Unifont: a line for each character, with its code point and the rows of its glyph.
    fn new(text: &str) -> Self {
        let mut font = Self { width: 0, height: 0, glyphs: HashMap::new() };
        for line in text.lines() {
            let Some((code, pixels)) = line.split_once(':') else { continue };
            let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
            // All fonts are 8 pixels wide but the one that is 32 pixels high.
            let digits = if pixels.len() / 2 > HIGHEST { 4 } else { 2 };
            (font.width, font.height) = (digits * 4, pixels.len() / digits);
            let mut bits = [0; HIGHEST];
            for (row, digits) in bits.iter_mut().zip(pixels.as_bytes().chunks(digits)) {
                *row = digits.iter().fold(0, |row, digit| {
                    row << 4 | char::from(*digit).to_digit(16).map_or(0, |digit| digit as u16)
                });
            }
            // Where two characters look the same, the first one is the more common.
            if let Some(character) = character
                && bits != [0; HIGHEST]
            {
                font.glyphs.entry(bits).or_insert(character);
            }
        }
        font
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_font_has_all_printable_characters_of_ascii() {
        let sizes: Vec<_> = FONTS.iter().map(|font| (font.width, font.height)).collect();
        assert_eq!(sizes, [(8, 16), (8, 19), (8, 16), (8, 16), (8, 16), (8, 16), (16, 32)]);
        for font in FONTS.iter() {
            let ascii = font.glyphs.values().filter(|character| character.is_ascii_graphic());
            assert_eq!(ascii.count(), 94);
        }
    }
}
