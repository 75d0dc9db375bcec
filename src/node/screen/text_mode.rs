//! The text modes of VGA: each character is two bytes in memory, its code and its colours.

use super::ScreenText;
use crate::event::ScreenMode;

/// Where the characters are in the memory of a machine.
pub const ADDRESS: u64 = 0xb8000;

/// The number of bytes there.
pub const SIZE: usize = 0x8000;

/// The indices of the CRTC's registers that describe the mode.
pub const CRTC: [u8; 7] = [0x01, 0x07, 0x09, 0x0c, 0x0d, 0x12, 0x13];

/// The index of the register of the graphics controller that tells text from graphics, and maps the memory.
pub const MISCELLANEOUS: u8 = 6;

/// The index of the register that enables the modes of the Bochs VBE interface.
pub const ENABLE: u8 = 4;

/// Registers of a VGA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// Those of the CRTC, in the order of [`CRTC`].
    pub crtc: [u8; CRTC.len()],
    /// [`MISCELLANEOUS`] of the graphics controller.
    pub graphics: u8,
    /// [`ENABLE`] of the Bochs VBE interface.
    pub vbe: u16,
}

/// The page of characters that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Offset of the first character in bytes.
    start: usize,
    /// Bytes from one row to the next.
    pitch: usize,
    columns: usize,
    rows: usize,
}

impl Registers {
    /// Returns the page, if it is a text mode with its characters at [`ADDRESS`].
    pub fn page(&self) -> Option<Page> {
        let [width, overflow, cell, high, low, height, offset] = self.crtc;
        let maps_the_address = self.graphics & 0x0c == 0x0c;
        if self.graphics & 1 != 0 || self.vbe & 1 != 0 || !maps_the_address {
            return None;
        }
        let overflow = usize::from(overflow);
        let last_scanline = usize::from(height) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3;
        let scanlines = (last_scanline + 1) >> (cell >> 7);
        let page = Page {
            start: usize::from(u16::from_be_bytes([high, low])) * 2 % SIZE,
            pitch: usize::from(offset) * 4,
            columns: usize::from(width) + 1,
            rows: scanlines / (usize::from(cell & 0x1f) + 1),
        };
        // Other values are there before a firmware has set a mode.
        let fits = page.columns * 2 <= page.pitch && page.rows * page.pitch <= SIZE;
        (fits && page.rows > 0).then_some(page)
    }
}

impl Page {
    /// Reads the characters. A page that begins near the end of the memory continues at its beginning.
    pub fn read(&self, memory: &[u8]) -> ScreenText {
        let at = |row: usize, column: usize| {
            let offset = (self.start + row * self.pitch + column * 2) % SIZE;
            memory.get(offset).map_or(' ', |code| CP437[usize::from(*code)])
        };
        let lines = (0..self.rows).map(|row| (0..self.columns).map(|column| at(row, column)).collect());
        ScreenText::new(ScreenMode::Text, self.columns, lines)
    }

    /// Tells whether two contents of the memory are the same beside the page.
    ///
    /// If not, the page may be elsewhere now: a kernel scrolls by moving it.
    pub fn is_same_beside(&self, one: &[u8], other: &[u8]) -> bool {
        let size = self.rows * self.pitch;
        let is_shown = |offset: usize| (offset + SIZE - self.start) % SIZE < size;
        one.len() == other.len()
            && one
                .iter()
                .zip(other)
                .enumerate()
                .all(|(offset, (one, other))| one == other || is_shown(offset))
    }
}

/// The characters of code page 437, by their codes.
const CP437: [char; 256] = {
    let mut table = [' '; 256];
    let low = [
        ' ', '☺', '☻', '♥', '♦', '♣', '♠', '•', '◘', '○', '◙', '♂', '♀', '♪', '♫', '☼', '►', '◄', '↕', '‼',
        '¶', '§', '▬', '↨', '↑', '↓', '→', '←', '∟', '↔', '▲', '▼',
    ];
    let high = [
        '⌂', 'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ',
        'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª',
        'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║',
        '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬',
        '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ',
        'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥', '≤', '⌠', '⌡', '÷',
        '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', ' ',
    ];
    let mut code = 0;
    while code < table.len() {
        table[code] = match code {
            0..0x20 => low[code],
            0x20..0x7f => code as u8 as char,
            _ => high[code - 0x7f],
        };
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The mode of a BIOS: 80 × 25 in cells of 16 scanlines, with the page at an offset in characters.
    fn registers(start: u16) -> Registers {
        let [high, low] = start.to_be_bytes();
        Registers { crtc: [0x4f, 0x1f, 0x4f, high, low, 0x8f, 0x28], graphics: 0x0e, vbe: 0 }
    }

    /// A memory of spaces with a text at an offset in bytes.
    fn memory(text: &str, at: usize) -> Vec<u8> {
        let mut memory = [0x20, 0x07].repeat(SIZE / 2);
        for (index, code) in text.bytes().enumerate() {
            memory[(at + index * 2) % SIZE] = code;
        }
        memory
    }

    #[test]
    fn a_page_is_found_by_the_registers() {
        let size = |registers: Registers| registers.page().map(|page| (page.columns, page.rows, page.pitch));
        assert_eq!(size(registers(0)), Some((80, 25, 160)));
        let mut rows50 = registers(0);
        rows50.crtc[2] = 0x47;
        assert_eq!(size(rows50), Some((80, 50, 160)));
        let mut columns40 = registers(0);
        (columns40.crtc[0], columns40.crtc[6]) = (0x27, 0x14);
        assert_eq!(size(columns40), Some((40, 25, 80)));
        assert_eq!(size(Registers { graphics: 0x05, ..registers(0) }), None);
        assert_eq!(size(Registers { vbe: 0x41, ..registers(0) }), None);
        // Before a firmware has set a mode: nothing, or nothing answers.
        assert_eq!(size(Registers { crtc: [0; 7], ..registers(0) }), None);
        assert_eq!(size(Registers { crtc: [0xff; 7], graphics: 0xff, vbe: 0xffff }), None);
    }

    #[test]
    fn a_page_that_was_scrolled_over_the_end_continues_at_the_beginning() {
        // The last row but one of the memory.
        let start = SIZE - 320;
        let page = registers(u16::try_from(start / 2).unwrap()).page().unwrap();
        let mut screen = memory("first", start);
        screen[320 - 320] = b't';
        screen[160] = b'f';
        let text = page.read(&screen);
        assert_eq!((text.columns, text.lines), (80, ["first", "", "t", "f"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn codes_become_the_characters_of_code_page_437() {
        let mut screen = memory("", 0);
        for (index, code) in [0xda, 0xc4, 0xbf, 0x00, 0x18, 0x7f, 0xe1, 0xff].into_iter().enumerate() {
            screen[index * 2] = code;
        }
        assert_eq!(registers(0).page().unwrap().read(&screen).lines, ["┌─┐ ↑⌂ß"]);
    }

    #[test]
    fn only_changes_beside_the_page_may_have_moved_it() {
        let page = registers(80).page().unwrap();
        let blank = memory("", 0);
        assert!(page.is_same_beside(&blank, &memory("in the first row", 160)));
        assert!(page.is_same_beside(&blank, &memory("in the last row", 25 * 160)));
        assert!(!page.is_same_beside(&blank, &memory("before", 0)));
        assert!(!page.is_same_beside(&blank, &memory("behind", 26 * 160)));
        assert!(!page.is_same_beside(&blank, &blank[1..]));
    }
}
