//! Captures that others made, frame by frame: pcap and pcapng, also compressed by gzip.
//!
//! Memory is constant: no more than one block is held, however long the file is, so that standard input works as files
//! do. A damaged file never panics; what was read before the damage counts.
//!
//! pcap-parser 0.17 was considered: it reads neither old packet blocks nor the modified format of big-endian machines,
//! refuses resolutions that are powers of two, and needs the whole header in the first read. pcap-file 2.0 ignores
//! resolutions.

mod duplicates;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod input;
mod pcap;
mod pcapng;

pub use duplicates::Duplicates;

use std::borrow::Cow;
use std::io::{self, Read};
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use self::input::{Input, Short};
use crate::hint::Hint;

/// The first bytes of a file that gzip compressed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Formats of other programs, by their first bytes, and what reads them.
const OTHERS: [(&[u8], &str, &str); 6] = [
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd",
        "decompress it first: `zstd -dc FILE | dryrack explain-pcap -`",
    ),
    (b"\xfd7zXZ\0", "it is compressed by xz", "decompress it first: `xz -dc FILE | dryrack explain-pcap -`"),
    (b"BZh", "it is compressed by bzip2", "decompress it first: `bzip2 -dc FILE | dryrack explain-pcap -`"),
    (
        b"\x04\x22\x4d\x18",
        "it is compressed by lz4",
        "decompress it first: `lz4 -dc FILE | dryrack explain-pcap -`",
    ),
    (b"PK\x03\x04", "it is a ZIP archive", "unpack it first: `unzip -p FILE | dryrack explain-pcap -`"),
    (b"snoop\0", "it is a capture of snoop", "convert it by Wireshark's `editcap FILE NEW.pcapng`"),
];

/// A frame of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured, since 1970; `None` where the format has no time.
    pub at: Option<Duration>,
    /// The number of the interface that it was captured on, counted over the whole file.
    pub interface: usize,
    /// What it begins with, by its number in pcap files (LINKTYPE_…).
    pub link: u32,
    /// Its length on the wire, of which the capture may have only the beginning.
    pub length: u32,
    /// What the capture has of it.
    pub data: &'a [u8],
}

/// An interface that frames were captured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// What its frames begin with, by its number in pcap files (LINKTYPE_…).
    pub link: u32,
    /// Its name, if the format has names.
    pub name: Option<String>,
    /// The most bytes of a frame that were captured, if limited.
    pub snap_length: Option<u32>,
}

/// A capture cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It has another format.
    #[error("it is no capture in pcap or pcapng format: {what}")]
    Foreign {
        /// What it is.
        what: String,
        /// How to read it.
        remedy: &'static str,
    },
    /// It ends within a packet.
    #[error("the capture ends within a packet that begins at byte {offset}{}", unpacked(*compressed))]
    Torn {
        /// Where the packet begins.
        offset: u64,
        /// Whether it is compressed; bytes are counted after decompression.
        compressed: bool,
    },
    /// Its bytes contradict each other.
    #[error("the capture is damaged at byte {offset}{}: {problem}", unpacked(*compressed))]
    Damaged {
        /// Where the block or the packet begins.
        offset: u64,
        /// Whether it is compressed; bytes are counted after decompression.
        compressed: bool,
        /// What is wrong.
        problem: String,
    },
    /// The operating system, or the decompression, failed.
    #[error("cannot read on at byte {offset}{}", unpacked(*compressed))]
    Failed {
        /// Where.
        offset: u64,
        /// Whether it is compressed; bytes are counted after decompression.
        compressed: bool,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn unpacked(compressed: bool) -> &'static str {
    if compressed { " of what gzip compressed" } else { "" }
}

impl Hint for ReadError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Empty => Some("tcpdump writes what it captured when it ends, or at once with `-U`".into()),
            Self::Foreign { remedy, .. } => Some((*remedy).into()),
            Self::Torn { .. } => Some(
                "it was copied while it was written, or the disk was full; what comes before it was read".into(),
            ),
            Self::Damaged { .. } => Some(
                "what comes before it was read; copy the file again, in binary mode, or try `editcap FILE NEW.pcapng`"
                    .into(),
            ),
            Self::Failed { .. } => Some("what comes before it was read; copy the file again".into()),
        }
    }
}

/// Reads the frames of a capture.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<Source<R>>,
    format: Format,
    compressed: bool,
    interfaces: Vec<Interface>,
    /// Whether nothing follows.
    ended: bool,
}

/// The two formats.
#[derive(Debug)]
enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// Where bytes come from.
#[derive(Debug)]
enum Source<R> {
    Plain(Replayed<R>),
    Gzip(Box<MultiGzDecoder<Replayed<R>>>),
}

/// The first bytes, which tell whether the rest is compressed, and the rest.
type Replayed<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(source) => source.read(buffer),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a capture.
    pub fn open(mut source: R) -> Result<Self, ReadError> {
        let mut first = Vec::new();
        let failed = |source| ReadError::Failed { offset: 0, compressed: false, source };
        source.by_ref().take(GZIP.len() as u64).read_to_end(&mut first).map_err(failed)?;
        let compressed = first == GZIP;
        let source = io::Cursor::new(first).chain(source);
        let mut input = Input::new(match compressed {
            true => Source::Gzip(Box::new(MultiGzDecoder::new(source))),
            false => Source::Plain(source),
        });
        // A format of another program may have a longer magic number than ours.
        match input.hold(8) {
            Ok(()) => {}
            Err(Short::End) if input.rest().len() >= 4 => {}
            Err(Short::End) if input.rest().is_empty() => return Err(ReadError::Empty),
            Err(Short::End) => return Err(foreign(input.rest())),
            Err(Short::Failed(source)) => return Err(ReadError::Failed { offset: 0, compressed, source }),
        }
        let magic = <[u8; 4]>::try_from(&input.rest()[..4]).expect("four bytes are held");
        let mut interfaces = Vec::new();
        let format = if magic == pcapng::MAGIC {
            Format::Pcapng(pcapng::Section::default())
        } else if let Some(kind) = pcap::Kind::of(magic) {
            let header = pcap::Header::read(&mut input, kind);
            let (header, interface) = header.map_err(|problem| problem.at(0, compressed))?;
            interfaces.push(interface);
            Format::Pcap(header)
        } else {
            return Err(foreign(input.rest()));
        };
        Ok(Self { input, format, compressed, interfaces, ended: false })
    }

    /// Reads the next frame; nothing at the end. After an error, there are no more.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let Self { input, format, compressed, interfaces, ended } = self;
        if *ended {
            return Ok(None);
        }
        loop {
            let offset = input.offset();
            let step = match format {
                Format::Pcap(header) => header.packet(input),
                Format::Pcapng(section) => section.block(input, interfaces),
            };
            match step {
                Ok(Step::Packet(Packet { at, interface, length, data })) => {
                    let link = interfaces[interface].link;
                    let data = input.slice(data);
                    // No block is longer than four bytes can say.
                    let length = length.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
                    return Ok(Some(Frame { at, interface, link, length, data }));
                }
                Ok(Step::Other) => {}
                Ok(Step::End) => {
                    *ended = true;
                    return Ok(None);
                }
                Err(problem) => {
                    *ended = true;
                    return Err(problem.at(offset, *compressed));
                }
            }
        }
    }

    /// Returns the interfaces that were described so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }
}

/// A packet, whose bytes are in the buffer.
struct Packet {
    at: Option<Duration>,
    interface: usize,
    length: u32,
    data: std::ops::Range<usize>,
}

/// What was read next.
enum Step {
    Packet(Packet),
    /// Something that is no packet.
    Other,
    End,
}

/// Why no further packet can be read.
#[derive(Debug)]
enum Problem {
    Torn,
    Damaged(String),
    Failed(io::Error),
}

impl Problem {
    fn at(self, offset: u64, compressed: bool) -> ReadError {
        match self {
            Self::Torn => ReadError::Torn { offset, compressed },
            Self::Damaged(problem) => ReadError::Damaged { offset, compressed, problem },
            Self::Failed(source) => ReadError::Failed { offset, compressed, source },
        }
    }
}

impl From<Short> for Problem {
    fn from(short: Short) -> Self {
        match short {
            Short::End => Self::Torn,
            Short::Failed(source) => Self::Failed(source),
        }
    }
}

fn foreign(first: &[u8]) -> ReadError {
    let known = OTHERS.iter().find(|(magic, ..)| first.starts_with(magic));
    let (what, remedy) = match known {
        Some((_, what, remedy)) => ((*what).to_owned(), *remedy),
        None => {
            let first = &first[..first.len().min(8)];
            let bytes: Vec<String> = first.iter().map(|byte| format!("{byte:02x}")).collect();
            (
                format!("it begins with {}", bytes.join(" ")),
                "write one by `tcpdump -w FILE`, or convert it by Wireshark's `editcap FILE NEW.pcapng`",
            )
        }
    };
    ReadError::Foreign { what, remedy }
}

#[cfg(test)]
mod tests;
