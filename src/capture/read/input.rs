//! A buffer over a reader, from which blocks are taken.

use std::io::{self, Read};
use std::ops::Range;

/// Read at once.
const CHUNK: usize = 256 << 10;

/// Bytes of a reader, of which those that were not taken yet are in a buffer.
#[derive(Debug)]
pub(super) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// What was read and not taken yet.
    held: Range<usize>,
    /// How many bytes were taken.
    taken: u64,
    ended: bool,
    /// Whether it ended although more should follow.
    cut: bool,
}

/// There are fewer bytes than wanted.
#[derive(Debug)]
pub(super) enum Short {
    /// The reader ended.
    End,
    /// The reader failed.
    Failed(io::Error),
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: vec![0; CHUNK], held: 0..0, taken: 0, ended: false, cut: false }
    }

    /// Returns how many bytes were taken.
    pub(super) fn offset(&self) -> u64 {
        self.taken
    }

    /// Returns what was read and not taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.held.clone()]
    }

    /// Returns bytes of the buffer, which stay there until the next are read.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Reads until as many bytes are in the buffer, which grows to their number.
    pub(super) fn hold(&mut self, count: usize) -> Result<(), Short> {
        if self.held.len() < count { self.fill(count) } else { Ok(()) }
    }

    /// Returns the next bytes without taking them.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], Short> {
        self.hold(count)?;
        Ok(&self.buffer[self.held.start..self.held.start + count])
    }

    /// Takes the next bytes, and returns where they are in the buffer.
    pub(super) fn take(&mut self, count: usize) -> Result<Range<usize>, Short> {
        self.hold(count)?;
        let start = self.held.start;
        self.held.start += count;
        self.taken += count as u64;
        Ok(start..start + count)
    }

    /// Takes bytes that nobody wants, however many.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), Short> {
        while count > 0 {
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(CHUNK);
            self.take(step)?;
            count -= step as u64;
        }
        Ok(())
    }

    /// Tells whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Short> {
        match self.hold(1) {
            Ok(()) => Ok(false),
            Err(Short::End) if !self.cut => Ok(true),
            Err(short) => Err(short),
        }
    }

    fn fill(&mut self, count: usize) -> Result<(), Short> {
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        if self.buffer.len() < count {
            self.buffer.resize(count.next_multiple_of(CHUNK), 0);
        }
        while self.held.len() < count {
            if self.ended {
                return Err(Short::End);
            }
            match self.source.read(&mut self.buffer[self.held.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.held.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What a decompressor says of a file that is cut off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    (self.ended, self.cut) = (true, true);
                }
                Err(error) => return Err(Short::Failed(error)),
            }
        }
        Ok(())
    }
}
