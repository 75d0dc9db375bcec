//! The content of a transfer, read by offset, so that a window can be read again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::packet::Mode;

/// How much of a file is converted to text at a time, or read ahead if blocks are requested one by one.
const CHUNK: usize = 16 << 10;

/// A file or text that is sent to a client.
#[derive(Debug)]
pub(super) struct Source {
    bytes: Raw,
    lines: Option<Lines>,
}

#[derive(Debug)]
enum Raw {
    Text(Bytes),
    File(Arc<File>, Ahead),
}

/// A part of a file that was read already.
#[derive(Debug, Default)]
struct Ahead {
    start: u64,
    bytes: Vec<u8>,
}

/// The part of a text in netascii, from the first byte that may still be requested.
#[derive(Debug, Default)]
struct Lines {
    /// Offset of `ready` in the netascii form.
    start: u64,
    ready: Vec<u8>,
    /// How many bytes of the file were read.
    read: u64,
}

impl Source {
    /// Reads generated text.
    pub(super) fn text(text: impl Into<Bytes>, mode: Mode) -> Self {
        Self { bytes: Raw::Text(text.into()), lines: lines(mode) }
    }

    /// Reads a file. It may be shared: no file offset is changed.
    pub(super) fn file(file: Arc<File>, mode: Mode) -> Self {
        Self { bytes: Raw::File(file, Ahead::default()), lines: lines(mode) }
    }

    /// Fills a buffer from an offset, completely unless the file ends first; returns the number of bytes.
    ///
    /// Bytes before the offset of an earlier call may be discarded.
    pub(super) fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.lines {
            None => self.bytes.read(at, buffer),
            Some(lines) => lines.read(&mut self.bytes, at, buffer),
        }
    }
}

fn lines(mode: Mode) -> Option<Lines> {
    match mode {
        Mode::Octet => None,
        Mode::Netascii => Some(Lines::default()),
    }
}

impl Raw {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Text(text) => {
                let rest = usize::try_from(at).ok().and_then(|at| text.get(at..)).unwrap_or_default();
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                Ok(length)
            }
            Self::File(file, _) if buffer.len() > CHUNK / 2 => fill(file, at, buffer),
            Self::File(file, ahead) => {
                if !ahead.holds(at, buffer.len()) {
                    ahead.bytes.resize(CHUNK, 0);
                    let read = fill(file, at, &mut ahead.bytes);
                    ahead.bytes.truncate(*read.as_ref().unwrap_or(&0));
                    ahead.start = at;
                    read?;
                }
                let rest = &ahead.bytes[(at - ahead.start) as usize..];
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                Ok(length)
            }
        }
    }
}

impl Ahead {
    /// Tells whether a range is buffered, up to the size that the file had when it was read.
    fn holds(&self, at: u64, length: usize) -> bool {
        let end = self.start + self.bytes.len() as u64;
        let ended = (1..CHUNK).contains(&self.bytes.len());
        at >= self.start && at <= end && (at + length as u64 <= end || ended)
    }
}

/// Fills a buffer from an offset of a file, completely unless the file ends first; returns the number of bytes.
fn fill(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Lines {
    fn read(&mut self, bytes: &mut Raw, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let done = at.saturating_sub(self.start).min(self.ready.len() as u64);
        self.ready.drain(..done as usize);
        self.start += done;
        let mut chunk = [0; CHUNK];
        while self.ready.len() < buffer.len() {
            let read = bytes.read(self.read, &mut chunk)?;
            if read == 0 {
                break;
            }
            self.read += read as u64;
            for byte in &chunk[..read] {
                match byte {
                    b'\n' => self.ready.extend_from_slice(b"\r\n"),
                    b'\r' => self.ready.extend_from_slice(b"\r\0"),
                    other => self.ready.push(*other),
                }
            }
        }
        let length = self.ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.ready[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(source: &mut Source, step: usize) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut buffer = vec![0; step];
        loop {
            let read = source.read(whole.len() as u64, &mut buffer).unwrap();
            // A lost window is read again.
            assert_eq!(source.read(whole.len() as u64, &mut buffer).unwrap(), read);
            whole.extend_from_slice(&buffer[..read]);
            if read < step {
                return whole;
            }
        }
    }

    #[test]
    fn lines_end_as_the_protocol_has_it() {
        let mut source = Source::text("a\nb\r\nc\r", Mode::Netascii);
        assert_eq!(all(&mut source, 3), b"a\r\nb\r\0\r\nc\r\0");
        let mut source = Source::text("a\nb\r\nc\r", Mode::Octet);
        assert_eq!(all(&mut source, 3), b"a\nb\r\nc\r");
    }

    #[test]
    fn beyond_the_end_there_is_nothing() {
        let mut source = Source::text("abc", Mode::Octet);
        assert_eq!(source.read(u64::MAX, &mut [0; 4]).unwrap(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_file_reads_as_a_text_does(
            some in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..3_000),
            step in 200..9_000_usize,
        ) {
            let bytes = some.repeat(10);
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &bytes).unwrap();
            let file = Arc::new(file);
            for mode in [Mode::Octet, Mode::Netascii] {
                let text = all(&mut Source::text(bytes.clone(), mode), step);
                prop_assert!(all(&mut Source::file(Arc::clone(&file), mode), step) == text);
                prop_assert_eq!(text.len() == bytes.len(), mode == Mode::Octet || !bytes.iter().any(|byte| b"\r\n".contains(byte)));
            }
        }
    }
}
