//! The file of a recording: whole blocks, up to a limit.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::pcapng::{self, Packet, Statistics};

/// Written at once at most.
const BUFFER: usize = 256 << 10;

/// Left below the limit for the last frame and the statistics.
const RESERVE: u64 = 16 << 10;

/// The bytes of the last frame before the limit.
const LAST: usize = 256;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is in the file.
    Yes,
    /// It is the last one in the file, which has reached its limit.
    Last,
    /// The file has reached its limit, or is broken.
    No,
}

/// A pcapng file that is being written.
#[derive(Debug)]
pub(super) struct CaptureFile {
    file: File,
    /// Whole blocks that are not in the file yet.
    buffer: Vec<u8>,
    /// The bytes in the file.
    written: u64,
    limit: u64,
    is_full: bool,
    /// Whether a write has failed, so that nothing can follow.
    is_broken: bool,
    interfaces: usize,
    /// How many frames were added.
    frames: u64,
}

impl CaptureFile {
    /// Begins a file that may have `limit` bytes.
    pub(super) fn new(file: File, limit: u64) -> Self {
        let buffer = pcapng::section();
        Self { file, buffer, written: 0, limit, is_full: false, is_broken: false, interfaces: 0, frames: 0 }
    }

    /// Adds an interface, of whose frames at most `longest` bytes are kept.
    pub(super) fn interface(&mut self, title: &str, longest: u32) {
        self.buffer.extend(pcapng::cut_interface(title, longest));
        self.interfaces += 1;
    }

    /// Returns the number that the next frame will have, unless it cannot be added.
    pub(super) fn next_number(&self) -> Option<u64> {
        (!self.is_full).then_some(self.frames + 1)
    }

    /// Adds a frame.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> io::Result<Kept> {
        if self.is_full {
            return Ok(Kept::No);
        }
        self.frames += 1;
        let block = pcapng::packet(packet);
        let statistics = 64 * self.interfaces as u64;
        let end = self.written + (self.buffer.len() + block.len()) as u64 + statistics + RESERVE;
        if end <= self.limit {
            self.buffer.extend(block);
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
            return Ok(Kept::Yes);
        }
        self.is_full = true;
        let data = &packet.data[..packet.data.len().min(LAST)];
        let mut comments = packet.comments.to_vec();
        comments.push(format!(
            "the file has reached its limit of {} bytes: later frames are not kept",
            self.limit
        ));
        self.buffer.extend(pcapng::packet(&Packet { data, comments: &comments, ..*packet }));
        self.flush()?;
        Ok(Kept::Last)
    }

    /// Adds the statistics of every interface at the end.
    pub(super) fn end(&mut self, at: Duration, all: &[Statistics]) -> io::Result<()> {
        if self.is_broken {
            return Ok(());
        }
        for (interface, statistics) in all.iter().enumerate() {
            self.buffer.extend(pcapng::statistics(interface, at, *statistics));
        }
        self.flush()
    }

    /// Writes what is buffered.
    ///
    /// After an error the file ends with its last whole block, and nothing more is added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if let Err(error) = self.file.write_all(&buffer) {
            (self.is_full, self.is_broken) = (true, true);
            // The error of the write is the one to tell; a reader stops at the incomplete block.
            self.file.set_len(self.written).ok();
            return Err(error);
        }
        self.written += buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Tells whether something is buffered.
    pub(super) fn is_dirty(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Returns the types of the blocks in a file.
    fn blocks(mut bytes: &[u8]) -> Vec<u32> {
        let mut kinds = Vec::new();
        while let Some((head, _)) = bytes.split_first_chunk::<8>() {
            kinds.push(u32::from_le_bytes(head[..4].try_into().unwrap()));
            let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
            assert_eq!(bytes[length - 4..length], head[4..], "a block ends with its length");
            bytes = &bytes[length..];
        }
        kinds
    }

    #[test]
    fn a_file_ends_before_its_limit_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.pcapng");
        let limit = 20 << 10;
        let mut file = CaptureFile::new(File::create(&path).unwrap(), limit);
        file.interface("lan", 0);
        let data = [7; 1000];
        let packet = Packet {
            interface: 0,
            at: Duration::from_secs(9),
            direction: None,
            length: 1000,
            data: &data,
            comments: &[],
        };
        let kept: Vec<Kept> = (0..6).map(|_| file.packet(&packet).unwrap()).collect();
        assert_eq!(kept, [Kept::Yes, Kept::Yes, Kept::Yes, Kept::Last, Kept::No, Kept::No]);
        file.end(Duration::from_secs(10), &[Statistics { received: 6, dropped: 0 }]).unwrap();
        let mut bytes = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(blocks(&bytes), [0x0a0d_0d0a, 1, 6, 6, 6, 6, 5]);
        assert!(bytes.len() as u64 <= limit, "{}", bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("has reached its limit of 20480 bytes").count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_given_up() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut file = CaptureFile::new(full, 1 << 20);
        let packet = Packet {
            interface: 0,
            at: Duration::ZERO,
            direction: None,
            length: 1,
            data: &[1],
            comments: &[],
        };
        assert_eq!(file.packet(&packet).unwrap(), Kept::Yes);
        assert_eq!(file.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.packet(&packet).unwrap(), Kept::No);
        assert!(!file.is_dirty());
        file.end(Duration::ZERO, &[Statistics { received: 1, dropped: 0 }]).unwrap();
        assert!(!file.is_dirty(), "nothing follows");
    }
}
