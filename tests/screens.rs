//! Screens of real machines, read exactly. `tests/screens/capture.py` captured them.

#![expect(clippy::disallowed_methods, reason = "a test may be asked to write what it reads")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dryrack::event::ScreenMode;
use dryrack::node::screen::ScreenText;
use dryrack::node::screen::picture::Picture;
use dryrack::node::screen::text_mode::{CRTC, Registers};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens")
}

/// Reads a screen in a text mode: the memory and the registers.
fn text_mode(memory: &Path) -> ScreenText {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(memory).unwrap()).read_to_end(&mut bytes).unwrap();
    let registers = memory.with_extension("").with_extension("registers.json");
    let registers: Value = serde_json::from_slice(&fs::read(registers).unwrap()).unwrap();
    let hex = registers["crtc"].as_str().unwrap();
    let crtc = |index: u8| u8::from_str_radix(&hex[usize::from(index) * 2..][..2], 16).unwrap();
    let number = |key: &str| u16::try_from(registers[key].as_u64().unwrap()).unwrap();
    let registers = Registers {
        crtc: CRTC.map(crtc),
        graphics: u8::try_from(number("graphics")).unwrap(),
        vbe: number("vbe"),
    };
    registers.page().expect("a text mode").read(&bytes)
}

/// Reads a picture.
fn graphics_mode(file: &Path) -> ScreenText {
    let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(file).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (info.width as usize, info.height as usize);
    let picture = Picture::new(width, height, &pixels).expect("three bytes for each pixel");
    let (grid, text) = picture.read(None).expect("a text");
    // Again, as for the next picture of the same screen.
    assert_eq!(picture.read(Some(grid)), Some((grid, text.clone())));
    text
}

#[test]
fn screens_of_real_machines_are_read_exactly() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let (mut texts, mut pictures, mut wrong) = (0, 0, Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let (name, text) = if let Some(name) = name.strip_suffix(".memory.gz") {
            (name.to_owned(), text_mode(&file))
        } else if let Some(name) = name.strip_suffix(".png") {
            (name.to_owned(), graphics_mode(&file))
        } else {
            continue;
        };
        match text.mode {
            ScreenMode::Text => texts += 1,
            _ => pictures += 1,
        }
        let expected = folder().join(format!("{name}.txt"));
        let read = text.lines.join("\n") + "\n";
        if std::env::var_os("DRYRACK_BLESS").is_some() {
            fs::write(&expected, &read).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != read {
            wrong.push(format!("{name}:\n{read}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(texts >= 6 && pictures >= 6, "{texts} screens in text modes, {pictures} in graphics modes");
}
