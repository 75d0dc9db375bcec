//! What always holds of a capture, however damaged.

use std::io::{self, Read};

use super::Reader;

/// Reads a capture whole and in pieces. Panics if both differ, or if it does not end.
pub(crate) fn pcap(data: &[u8]) {
    let (frames, end) = read(data);
    // A packet has at least 12 bytes before it, and none is longer than what there is, unless it is compressed.
    if !data.starts_with(&super::GZIP) {
        assert!(frames.len() * 12 <= data.len(), "{} frames in {} bytes", frames.len(), data.len());
    }
    let step = data.first().map_or(1, |byte| usize::from(byte % 7) + 1);
    let (slowly, slow_end) = read(Pieces { data, step });
    let common = frames.len().min(slowly.len());
    assert_eq!(frames[..common], slowly[..common], "in pieces of {step} bytes");
    // How much comes out before an error of the decompression depends on how it was read.
    if ![&end, &slow_end].iter().any(|end| end.starts_with("cannot read on")) {
        assert_eq!((frames.len(), end), (slowly.len(), slow_end), "in pieces of {step} bytes");
    }
}

/// Returns each frame as text, and how the capture ended. At most a thousand, as a small file may be compressed.
fn read(source: impl Read) -> (Vec<String>, String) {
    let mut frames = Vec::new();
    let mut reader = match Reader::open(source) {
        Ok(reader) => reader,
        Err(error) => return (frames, error.to_string()),
    };
    let end = loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                assert!(frame.length as usize >= frame.data.len(), "{frame:?}");
                frames.push(format!("{frame:?}"));
                if frames.len() == 1000 {
                    break "many".to_owned();
                }
            }
            Ok(None) => break "the end".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    (frames, end)
}

/// A pipe that gives a few bytes at a time.
struct Pieces<'a> {
    data: &'a [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.step.min(self.data.len());
        (&self.data[..now]).read(buffer).inspect(|read| self.data = &self.data[*read..])
    }
}
