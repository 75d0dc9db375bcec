//! The format pcapng (draft-ietf-opsawg-pcapng): sections of blocks, which describe interfaces and hold packets.

use std::io::Read;
use std::time::Duration;

use super::input::Input;
use super::{Interface, Packet, Problem, Step};

/// The type of the block that begins a section, the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The most bytes of a packet, and of a block that is held: far more than any network takes.
pub(super) const LARGEST: usize = 4 << 20;

/// The most interfaces of a file, so that a damaged one takes no memory.
const MOST_INTERFACES: usize = 1 << 16;

/// The most characters that are kept of the name of an interface.
const LONGEST_NAME: usize = 256;

/// Types of blocks.
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Options of an interface.
const END: u16 = 0;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

/// A byte order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    #[default]
    Little,
}

impl Order {
    /// Reads a number. There must be enough bytes.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes[at..at + 2].try_into().expect("two bytes were taken");
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    /// Reads a number. There must be enough bytes.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes were taken");
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let (first, second) = (self.u32(bytes, at).into(), self.u32(bytes, at + 4).into());
        let (high, low): (u64, u64) = match self {
            Self::Big => (first, second),
            Self::Little => (second, first),
        };
        high << 32 | low
    }
}

/// A section: what its packets refer to.
#[derive(Debug, Default)]
pub(super) struct Section {
    order: Order,
    clocks: Vec<Clock>,
    /// How many interfaces earlier sections described.
    before: usize,
}

/// How the times of an interface are written.
#[derive(Debug, Clone, Copy)]
struct Clock {
    resolution: Resolution,
    /// In seconds.
    offset: i64,
    /// The most bytes of a packet; 0 if there is no limit.
    snap_length: u32,
}

/// The unit of times.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    /// 10^-n seconds.
    Decimal(u32),
    /// 2^-n seconds.
    Binary(u32),
}

impl Clock {
    fn time(self, units: u64) -> Option<Duration> {
        let units = u128::from(units);
        let nanoseconds = match self.resolution {
            Resolution::Decimal(digits) if digits <= 9 => units * 10_u128.pow(9 - digits),
            // With so many digits, everything is less than a nanosecond.
            Resolution::Decimal(digits) => 10_u128.checked_pow(digits - 9).map_or(0, |unit| units / unit),
            Resolution::Binary(bits) => (units * 1_000_000_000) >> bits,
        };
        let nanoseconds = i128::try_from(nanoseconds).ok()? + i128::from(self.offset) * 1_000_000_000;
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
        Some(Duration::new(seconds, rest))
    }
}

/// The type of a block, and how many bytes are between its two lengths.
struct Block {
    kind: u32,
    body: u64,
}

impl Section {
    /// Reads the next block.
    pub(super) fn block<R: Read>(
        &mut self,
        input: &mut Input<R>,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Step, Problem> {
        if input.is_at_end()? {
            return Ok(Step::End);
        }
        let Block { kind, body } = self.begin(input, interfaces)?;
        let wanted = matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
        if !wanted {
            input.skip(8 + body)?;
            self.end(input, body)?;
            return Ok(Step::Other);
        }
        let length = usize::try_from(body).ok().filter(|length| *length <= LARGEST + 64);
        let Some(length) = length else {
            return Err(damaged(format!("a block of {body} bytes is longer than any packet")));
        };
        // All of it at once, so that the packet stays in the buffer.
        let range = input.take(length + 12)?;
        let bytes = input.slice(range.clone());
        self.same(body, self.order.u32(bytes, length + 8))?;
        let body = &bytes[8..length + 8];
        let (packet, at) = match kind {
            INTERFACE => {
                let (interface, clock) = self.interface(body)?;
                if interfaces.len() == MOST_INTERFACES {
                    return Err(damaged(format!("it has more than {MOST_INTERFACES} interfaces")));
                }
                interfaces.push(interface);
                self.clocks.push(clock);
                return Ok(Step::Other);
            }
            SIMPLE_PACKET => self.simple(body)?,
            OLD_PACKET => self.full(body, self.order.u16(minimum(body, 20)?, 0).into())?,
            _enhanced => self.full(body, self.order.u32(minimum(body, 20)?, 0))?,
        };
        let data = range.start + 8 + at..range.start + 8 + at + packet.data.len();
        Ok(Step::Packet(Packet { data, ..packet }))
    }

    /// Reads type and length of a block, and at the beginning of a section its byte order.
    fn begin<R: Read>(&mut self, input: &mut Input<R>, interfaces: &[Interface]) -> Result<Block, Problem> {
        let bytes = input.peek(12)?;
        let section = bytes[..4] == MAGIC;
        if section {
            self.order = match bytes[8..12] {
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                _ => return Err(damaged("a section has no byte order".to_owned())),
            };
        }
        let Self { order, .. } = *self;
        let (kind, length) = (order.u32(bytes, 0), order.u32(bytes, 4));
        let least = if section { 28 } else { 12 };
        if length % 4 != 0 || length < least {
            return Err(damaged(format!("a block of {length} bytes cannot be")));
        }
        if section {
            let major = order.u16(input.peek(16)?, 12);
            if major != 1 {
                return Err(damaged(format!("version {major} of pcapng is unknown")));
            }
            self.clocks.clear();
            self.before = interfaces.len();
        }
        Ok(Block { kind, body: u64::from(length) - 12 })
    }

    /// Reads the length that ends a block.
    fn end<R: Read>(&self, input: &mut Input<R>, body: u64) -> Result<(), Problem> {
        let range = input.take(4)?;
        self.same(body, self.order.u32(input.slice(range), 0))
    }

    fn same(&self, body: u64, last: u32) -> Result<(), Problem> {
        match body + 12 == u64::from(last) {
            true => Ok(()),
            false => Err(damaged(format!("a block begins with {} bytes and ends with {last}", body + 12))),
        }
    }

    fn interface(&self, body: &[u8]) -> Result<(Interface, Clock), Problem> {
        let Self { order, .. } = *self;
        let body = minimum(body, 8)?;
        let snap_length = order.u32(body, 4);
        let mut interface = Interface {
            link: order.u16(body, 0).into(),
            name: None,
            snap_length: Some(snap_length).filter(|length| *length != 0),
        };
        let mut clock = Clock { resolution: Resolution::Decimal(6), offset: 0, snap_length };
        let mut rest = &body[8..];
        while rest.len() >= 4 {
            let (code, length) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
            let Some(value) = rest.get(4..4 + length) else {
                return Err(damaged("an option is longer than its block".to_owned()));
            };
            match code {
                END => break,
                NAME => {
                    let name = String::from_utf8_lossy(value);
                    let shown = name.trim_end_matches('\0').chars().filter(|c| !c.is_control());
                    interface.name = Some(shown.take(LONGEST_NAME).collect());
                }
                RESOLUTION if length == 1 => {
                    let digits = u32::from(value[0] & 0x7f);
                    clock.resolution = match value[0] & 0x80 {
                        0 => Resolution::Decimal(digits),
                        _ => Resolution::Binary(digits),
                    };
                }
                TIME_OFFSET if length == 8 => clock.offset = order.u64(value, 0).cast_signed(),
                _ => {}
            }
            rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok((interface, clock))
    }

    /// Reads a packet with time and interface; the enhanced and the old block differ in the interface only.
    fn full(&self, body: &[u8], interface: u32) -> Result<(Packet, usize), Problem> {
        let Self { order, before, .. } = *self;
        let clock = self.clock(interface)?;
        let units = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let (captured, length) = (order.u32(body, 12) as usize, order.u32(body, 16));
        if captured > body.len() - 20 {
            let problem = format!("a packet of {captured} bytes is in a block of {}", body.len() + 12);
            return Err(damaged(problem));
        }
        let interface = before + interface as usize;
        Ok((Packet { at: clock.time(units), interface, length, data: 0..captured }, 20))
    }

    /// Reads a packet of the first interface, which has no time.
    fn simple(&self, body: &[u8]) -> Result<(Packet, usize), Problem> {
        let length = self.order.u32(minimum(body, 4)?, 0);
        let Clock { snap_length, .. } = self.clock(0)?;
        let most = if snap_length == 0 { length } else { length.min(snap_length) };
        let captured = (most as usize).min(body.len() - 4);
        Ok((Packet { at: None, interface: self.before, length, data: 0..captured }, 4))
    }

    fn clock(&self, interface: u32) -> Result<Clock, Problem> {
        let there = self.clocks.len();
        self.clocks.get(interface as usize).copied().ok_or_else(|| {
            damaged(format!("a packet is of interface {interface}, and its section has {there}"))
        })
    }
}

fn minimum(body: &[u8], least: usize) -> Result<&[u8], Problem> {
    match body.len() < least {
        true => Err(damaged(format!("a block of {} bytes is too short for its type", body.len() + 12))),
        false => Ok(body),
    }
}

fn damaged(problem: String) -> Problem {
    Problem::Damaged(problem)
}
