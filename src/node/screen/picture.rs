//! The text in a picture of a screen.
//!
//! Firmware, loaders and kernels draw each character with the same pixels each time, in cells of one size. So nothing is
//! guessed: the shapes of single letters vote for the font and for where its cells begin, and then each cell is the
//! glyph of a character or is not.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::ScreenText;
use super::fonts::{Bits, FONTS, Font, HIGHEST};
use crate::event::ScreenMode;

/// A colour: red, green, blue.
type Colour = [u8; 3];

/// A picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    pixels: &'a [Colour],
}

/// The font of a screen, and where its cells begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    font: usize,
    x: usize,
    y: usize,
}

/// Pixels of the smallest shape that votes: smaller ones, such as a dot, are in every picture.
const SMALLEST: u32 = 8;

/// The widest glyph.
const WIDEST: usize = 16;

/// How many of the grids with the most votes are tried.
const CANDIDATES: usize = 4;

/// The least number of letters and digits of a text.
const LETTERS: usize = 3;

/// At most so many cells may hide a glyph behind a cursor.
const CURSORS: usize = 32;

/// More cells than that beside each other that are no glyph are a picture, and not characters of another font.
const STRANGERS: usize = 3;

/// The least number of characters of a line beside a picture.
const BESIDE: usize = 4;

/// The width of the narrowest screen of which lines are continued.
const NARROWEST: usize = 80;

impl<'a> Picture<'a> {
    /// Creates a picture from rows of pixels, if there are as many as it needs.
    pub fn new(width: usize, height: usize, bytes: &'a [u8]) -> Option<Self> {
        let (pixels, rest) = bytes.as_chunks::<3>();
        let whole = rest.is_empty() && width.checked_mul(height) == Some(pixels.len());
        (whole && !pixels.is_empty()).then_some(Self { width, height, pixels })
    }

    /// Reads the binary PPM format, as QEMU writes it.
    pub fn from_ppm(file: &'a [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(b"P6")?;
        let mut numbers = [0_usize; 3];
        for number in &mut numbers {
            rest = rest.trim_ascii_start();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            *number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
            rest = &rest[digits..];
        }
        let [width, height, depth] = numbers;
        // One space ends the head.
        (depth == 255).then(|| Self::new(width, height, rest.get(1..)?)).flatten()
    }

    /// Returns its width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Tells whether all its pixels have one colour.
    pub fn is_blank(&self) -> bool {
        self.pixels.iter().all(|pixel| *pixel == self.pixels[0])
    }

    fn row(&self, y: usize) -> &'a [Colour] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    /// Reads the text. `before` is the grid of an earlier picture of the same screen, which is tried first.
    pub fn read(&self, before: Option<Grid>) -> Option<(Grid, ScreenText)> {
        let again = before.and_then(|grid| Some((grid, Cells::new(self, grid)?)));
        let (grid, cells) = again.filter(|(_, cells)| cells.is_text()).or_else(|| {
            let grids = self.votes().into_iter().take(CANDIDATES);
            let read = grids.filter_map(|grid| Some((grid, Cells::new(self, grid)?)));
            read.filter(|(_, cells)| cells.is_text())
                .min_by_key(|(_, cells)| (cells.unknown, std::cmp::Reverse(cells.known())))
        })?;
        Some((grid, cells.text(self, grid)))
    }

    /// Returns the grids in which shapes of the picture are letters, those of more shapes first.
    fn votes(&self) -> Vec<Grid> {
        let mut votes: HashMap<Grid, u32> = HashMap::new();
        for shape in self.shapes() {
            for letter in SHAPES.get(&shape.bits).into_iter().flatten() {
                let Font { width, height, .. } = FONTS[letter.font];
                let x = (shape.x + width - letter.x) % width;
                let y = (shape.y + height - letter.y) % height;
                *votes.entry(Grid { font: letter.font, x, y }).or_default() += 1;
            }
        }
        let mut votes: Vec<_> = votes.into_iter().collect();
        votes.sort_unstable_by_key(|(grid, count)| (std::cmp::Reverse(*count), grid.font, grid.y, grid.x));
        votes.into_iter().map(|(grid, _)| grid).collect()
    }

    /// Returns the shapes that may be letters: pixels of one colour that touch each other.
    fn shapes(&self) -> Vec<Shape> {
        let mut runs: Vec<Run> = Vec::new();
        let mut above = 0..0;
        for y in 0..self.height {
            let begin = runs.len();
            let row = self.row(y);
            let mut x = 0;
            while x < row.len() {
                let colour = row[x];
                let length = row[x..].iter().take_while(|pixel| **pixel == colour).count();
                // What is wider than a glyph is a background or a line.
                if length <= WIDEST {
                    let index = runs.len();
                    runs.push(Run { columns: x..x + length, y, colour, parent: index });
                    while runs.get(above.start).is_some_and(|run| run.columns.end < x && run.y + 1 == y) {
                        above.start += 1;
                    }
                    for other in above.clone() {
                        if runs[other].columns.start > x + length {
                            break;
                        }
                        if runs[other].colour == colour {
                            let (one, other) = (root(&mut runs, other), root(&mut runs, index));
                            runs[other].parent = one;
                        }
                    }
                }
                x += length;
            }
            above = begin..runs.len();
        }
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for index in 0..runs.len() {
            let root = root(&mut runs, index);
            members.entry(root).or_default().push(index);
        }
        members
            .into_values()
            .filter_map(|members| Shape::new(members.iter().map(|run| &runs[*run])))
            .collect()
    }
}

/// Pixels of one colour beside each other.
struct Run {
    columns: Range<usize>,
    y: usize,
    colour: Colour,
    /// Another run of the same shape, or itself.
    parent: usize,
}

/// Returns the run that stands for the shape of a run.
fn root(runs: &mut [Run], mut index: usize) -> usize {
    while runs[index].parent != index {
        let next = runs[runs[index].parent].parent;
        runs[index].parent = next;
        index = next;
    }
    index
}

/// A shape no larger than a glyph, cut out at its edges.
struct Shape {
    x: usize,
    y: usize,
    bits: Bits,
}

impl Shape {
    fn new<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Option<Self> {
        let x = runs.clone().map(|run| run.columns.start).min()?;
        let y = runs.clone().map(|run| run.y).min()?;
        let mut bits = [0; HIGHEST];
        for run in runs {
            let row = bits.get_mut(run.y - y)?;
            if run.columns.end - x > WIDEST {
                return None;
            }
            for column in run.columns.clone() {
                *row |= 0x8000 >> (column - x);
            }
        }
        (bits.iter().map(|row: &u16| row.count_ones()).sum::<u32>() >= SMALLEST).then_some(Self {
            x,
            y,
            bits,
        })
    }
}

/// A letter that is one shape, in a font, with the place of its shape in its cell.
struct Letter {
    font: usize,
    x: usize,
    y: usize,
}

/// The letters of all fonts by their shapes.
static SHAPES: LazyLock<HashMap<Bits, Vec<Letter>>> = LazyLock::new(|| {
    let mut shapes: HashMap<Bits, Vec<Letter>> = HashMap::new();
    for (index, font) in FONTS.iter().enumerate() {
        for bits in font.glyphs.iter().filter(|(_, c)| c.is_ascii_alphanumeric()).map(|(bits, _)| bits) {
            let ink = |x: usize, y: usize| bits[y] >> (font.width - 1 - x) & 1 == 1;
            let pixels: Vec<u8> = (0..font.height)
                .flat_map(|y| (0..font.width).flat_map(move |x| [if ink(x, y) { 255 } else { 0 }; 3]))
                .collect();
            let Some(picture) = Picture::new(font.width, font.height, &pixels) else { continue };
            let mut drawn = picture.shapes();
            drawn.retain(|shape| picture.row(shape.y).get(shape.x..).is_some_and(|row| shape.is_ink(row)));
            if let [shape] = &drawn[..] {
                let letter = Letter { font: index, x: shape.x, y: shape.y };
                shapes.entry(shape.bits).or_default().push(letter);
            }
        }
    }
    shapes
});

impl Shape {
    /// Tells whether it is drawn in white, given its first row of pixels.
    fn is_ink(&self, row: &[Colour]) -> bool {
        row.get(self.bits[0].leading_zeros() as usize) == Some(&[255; 3])
    }
}

/// The cells of a picture.
struct Cells {
    /// The rows; `None` for a cell that is no glyph.
    rows: Vec<Vec<Option<char>>>,
    /// The number of cells that are no glyph.
    unknown: usize,
}

impl Cells {
    fn new(picture: &Picture<'_>, grid: Grid) -> Option<Self> {
        let font = FONTS.get(grid.font)?;
        let columns = picture.width.checked_sub(grid.x)? / font.width;
        let rows = picture.height.checked_sub(grid.y)? / font.height;
        if columns == 0 || rows == 0 {
            return None;
        }
        let background = background(picture, font, grid);
        let mut hidden = Vec::new();
        let mut read = Vec::new();
        for row in 0..rows {
            let mut line = Vec::new();
            for column in 0..columns {
                let cell = Cell::new(picture, font, grid, column, row);
                let character = match &cell {
                    Cell::Blank => Some(' '),
                    Cell::Drawn { bits, first, second } => {
                        let inverted = inverted(font, bits);
                        let usual = [bits, &inverted];
                        // The colour in the corner is that of the background, unless the other one is known to be.
                        let order = match first != second && *second == background {
                            true => [usual[1], usual[0]],
                            false => usual,
                        };
                        let found = order.into_iter().find_map(|bits| font.glyphs.get(bits)).copied();
                        if found.is_none() {
                            hidden.push((row, column, *bits));
                        }
                        found
                    }
                    Cell::Colourful => None,
                };
                line.push(character);
            }
            read.push(line);
        }
        if hidden.len() <= CURSORS {
            for (row, column, bits) in hidden {
                read[row][column] = without_cursor(font, &bits);
            }
        }
        let unknown = read.iter().flatten().filter(|cell| cell.is_none()).count();
        read.iter_mut().for_each(|row| leave_out_pictures(row));
        Some(Self { rows: read, unknown })
    }

    /// Returns the number of characters.
    fn known(&self) -> usize {
        self.rows.iter().map(|row| characters(row)).sum()
    }

    /// Returns the rows that are text: more characters than cells that are none.
    fn readable(&self) -> impl Iterator<Item = Option<&[Option<char>]>> {
        self.rows.iter().map(|row| {
            let unknown = row.iter().filter(|cell| cell.is_none()).count();
            (characters(row) > unknown).then_some(row.as_slice())
        })
    }

    /// Tells whether there are enough letters for a text.
    fn is_text(&self) -> bool {
        let characters = self.readable().flatten().flatten().flatten();
        characters.filter(|character| character.is_alphanumeric()).count() >= LETTERS
    }

    /// Returns the text. A cell that is no glyph becomes U+FFFD.
    fn text(&self, picture: &Picture<'_>, grid: Grid) -> ScreenText {
        let lines: Vec<String> = self
            .readable()
            .map(|row| {
                let row = row.unwrap_or_default().iter();
                row.map(|cell| cell.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            })
            .collect();
        let is_used = |line: &&String| !line.trim().is_empty();
        let indent = |line: &String| line.chars().take_while(|character| *character == ' ').count();
        let margin = lines.iter().filter(is_used).map(indent).min().unwrap_or(0);
        let top = lines.iter().take_while(|line| !is_used(line)).count();
        let lines = lines.iter().skip(top).map(|line| line.chars().skip(margin).collect::<String>());
        let lines: Vec<String> = lines.map(|line: String| line.trim_end().to_owned()).collect();
        let columns = (picture.width - grid.x) / FONTS[grid.font].width;
        // A text in the middle of the screen continues its lines at an edge of its own.
        let columns = match margin {
            0 => columns,
            _ => {
                let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
                if longest < NARROWEST { columns } else { longest }
            }
        };
        ScreenText::new(ScreenMode::Graphics, columns, lines)
    }
}

fn characters(row: &[Option<char>]) -> usize {
    row.iter().flatten().filter(|character| **character != ' ').count()
}

/// Blanks the parts of a row that are a picture, such as the logo of a firmware.
fn leave_out_pictures(row: &mut [Option<char>]) {
    let characters = characters(row);
    let mut has_picture = false;
    for cells in row.chunk_by_mut(|one, next| one.is_none() && next.is_none()) {
        if cells.len() > STRANGERS {
            cells.fill(Some(' '));
            has_picture = true;
        }
    }
    // What looks like a character here and there in a picture is none.
    if has_picture && characters < BESIDE {
        row.fill(Some(' '));
    }
}

/// The pixels of a cell.
enum Cell {
    /// One colour.
    Blank,
    /// Two colours: that of the upper left corner and the other one, whose pixels are set.
    Drawn { bits: Bits, first: Colour, second: Colour },
    /// More colours.
    Colourful,
}

impl Cell {
    fn new(picture: &Picture<'_>, font: &Font, grid: Grid, column: usize, row: usize) -> Self {
        let (x, y) = (grid.x + column * font.width, grid.y + row * font.height);
        let first = picture.row(y)[x];
        let mut second = first;
        let mut bits = [0; HIGHEST];
        for (row, y) in bits.iter_mut().zip(y..y + font.height) {
            for pixel in &picture.row(y)[x..x + font.width] {
                *row <<= 1;
                if *pixel != first {
                    if second == first {
                        second = *pixel;
                    } else if *pixel != second {
                        return Self::Colourful;
                    }
                    *row |= 1;
                }
            }
        }
        if second == first { Self::Blank } else { Self::Drawn { bits, first, second } }
    }
}

/// Returns the colour of the most blank cells.
fn background(picture: &Picture<'_>, font: &Font, grid: Grid) -> Colour {
    let mut counts: HashMap<Colour, usize> = HashMap::new();
    for y in (grid.y..picture.height).step_by(font.height) {
        for pixel in picture.row(y)[grid.x..].iter().step_by(font.width) {
            *counts.entry(*pixel).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(colour, count)| (*count, *colour)).map_or([0; 3], |(colour, _)| colour)
}

fn inverted(font: &Font, bits: &Bits) -> Bits {
    let mut inverted = [0; HIGHEST];
    let full = u16::MAX >> (16 - font.width);
    for (to, from) in inverted.iter_mut().zip(bits).take(font.height) {
        *to = from ^ full;
    }
    inverted
}

/// Returns the character behind a cursor: some full rows in the lower half of the cell.
fn without_cursor(font: &Font, bits: &Bits) -> Option<char> {
    let full = u16::MAX >> (16 - font.width);
    let bands = || {
        let firsts = font.height / 2..font.height;
        firsts.flat_map(|first| (first + 1..=font.height).map(move |end| first..end))
    };
    let without = |band: Range<usize>| {
        let mut without = *bits;
        without[band].iter_mut().for_each(|row| *row ^= full);
        without
    };
    if bands().map(without).any(|bits| bits == [0; HIGHEST]) {
        return Some(' ');
    }
    bands().map(without).find_map(|bits| font.glyphs.get(&bits).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Colour = [0; 3];
    const GREY: Colour = [170; 3];
    const BLUE: Colour = [0, 0, 170];

    /// A canvas on which text is drawn.
    struct Canvas {
        width: usize,
        pixels: Vec<u8>,
    }

    impl Canvas {
        fn new(width: usize, height: usize, colour: Colour) -> Self {
            Self { width, pixels: colour.repeat(width * height) }
        }

        fn set(&mut self, x: usize, y: usize, colour: Colour) {
            let at = (y * self.width + x) * 3;
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }

        fn draw(&mut self, font: usize, (x, y): (usize, usize), text: &str, [ink, paper]: [Colour; 2]) {
            let font = &FONTS[font];
            let glyphs: HashMap<char, Bits> = font.glyphs.iter().map(|(bits, c)| (*c, *bits)).collect();
            for (index, character) in text.chars().enumerate() {
                let bits = glyphs.get(&character).copied().unwrap_or_default();
                for (row, line) in bits.iter().enumerate().take(font.height) {
                    for column in 0..font.width {
                        let is_ink = line >> (font.width - 1 - column) & 1 == 1;
                        let (x, y) = (x + index * font.width + column, y + row);
                        self.set(x, y, if is_ink { ink } else { paper });
                    }
                }
            }
        }

        fn picture(&self) -> Picture<'_> {
            let height = self.pixels.len() / 3 / self.width;
            Picture::new(self.width, height, &self.pixels).unwrap()
        }

        fn lines(&self) -> Vec<String> {
            self.picture().read(None).map(|(_, text)| text.lines).unwrap_or_default()
        }
    }

    #[test]
    fn every_font_is_read_wherever_its_cells_begin() {
        for (index, font) in FONTS.iter().enumerate() {
            let mut canvas = Canvas::new(640, 240, BLACK);
            let at = |row| (13, 21 + row * font.height);
            canvas.draw(index, at(0), "PXE-E18: Server (10.0.2.2)", [GREY, BLACK]);
            canvas.draw(index, at(2), "  node1 login: _", [BLACK, GREY]);
            assert_eq!(
                canvas.lines(),
                ["PXE-E18: Server (10.0.2.2)", "", "  node1 login: _"],
                "font {index}"
            );
        }
    }

    #[test]
    fn each_cell_has_two_colours_of_its_own() {
        let mut canvas = Canvas::new(640, 160, BLUE);
        canvas.draw(1, (8, 0), "┌──────────┐", [GREY, BLUE]);
        canvas.draw(1, (8, 19), "│", [GREY, BLUE]);
        canvas.draw(1, (16, 19), "Boot from ", [BLUE, GREY]);
        canvas.draw(1, (96, 19), "│", [GREY, BLUE]);
        canvas.draw(1, (8, 38), "└──────────┘", [GREY, BLUE]);
        assert_eq!(canvas.lines(), ["┌──────────┐", "│Boot from │", "└──────────┘"]);
    }

    #[test]
    fn a_cursor_hides_nothing() {
        let mut canvas = Canvas::new(640, 64, BLACK);
        canvas.draw(0, (0, 0), "node1 login: login", [GREY, BLACK]);
        for x in (0..8).chain(200..208) {
            canvas.set(x, 14, GREY);
            canvas.set(x, 15, GREY);
        }
        assert_eq!(canvas.lines(), ["node1 login: login"]);
    }

    #[test]
    fn the_grid_of_the_picture_before_is_tried_first_and_given_up_where_it_no_longer_fits() {
        let mut canvas = Canvas::new(640, 64, BLACK);
        canvas.draw(0, (0, 0), "Loading Linux", [GREY, BLACK]);
        let (before, _) = canvas.picture().read(None).unwrap();
        assert_eq!(before, Grid { font: 0, x: 0, y: 0 });
        let mut other = Canvas::new(640, 64, BLACK);
        other.draw(1, (5, 7), "Loading Linux", [GREY, BLACK]);
        let (grid, text) = other.picture().read(Some(before)).unwrap();
        assert_eq!((grid, text.lines), (Grid { font: 1, x: 5, y: 7 }, vec!["Loading Linux".to_owned()]));
        // A grid of a larger screen.
        let small = Canvas::new(3, 3, BLACK);
        assert_eq!(small.picture().read(Some(grid)), None);
    }

    #[test]
    fn pictures_without_text_are_not_read() {
        assert_eq!(Canvas::new(640, 480, BLUE).lines(), [""; 0]);
        assert!(Canvas::new(640, 480, BLUE).picture().is_blank());
        let mut noise = Canvas::new(320, 200, BLACK);
        let mut state = 1_u32;
        for index in 0..noise.pixels.len() / 3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let colour = if state >> 31 == 0 { BLACK } else { GREY };
            noise.set(index % 320, index / 320, colour);
        }
        assert_eq!(noise.lines(), [""; 0]);
        assert!(!noise.picture().is_blank());
    }

    #[test]
    fn a_logo_beside_the_text_is_left_out() {
        let mut canvas = Canvas::new(640, 160, BLACK);
        for index in 0..80 * 80 {
            canvas.set(index % 80, index / 80, [(index % 251) as u8, (index / 80) as u8, 7]);
        }
        canvas.draw(0, (0, 96), "[    0.000000] Linux version 6.1.0", [GREY, BLACK]);
        canvas.draw(0, (0, 112), "a?b", [GREY, BLACK]);
        canvas.set(9, 113, BLUE);
        assert_eq!(canvas.lines(), ["[    0.000000] Linux version 6.1.0", "a\u{fffd}b"]);
    }

    #[test]
    fn damaged_files_are_no_pictures() {
        assert_eq!(Picture::from_ppm(b"P6\n2 1\n255\n123456").unwrap().size(), (2, 1));
        for file in
            [&b"P6\n2 1\n255\n12345"[..], b"P6\n2 1\n255", b"P5\n2 1\n255\n12", b"P6\n", b"P6 0 0 255 "]
        {
            assert_eq!(Picture::from_ppm(file), None, "{file:?}");
        }
        let huge = format!("P6\n{0} {0}\n255\n123", usize::MAX);
        assert_eq!(Picture::from_ppm(huge.as_bytes()), None);
    }
}
