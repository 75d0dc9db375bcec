//! NBD, as far as a disk is read: the fixed newstyle handshake, requests and simple replies.
//!
//! ```text
//! server  greeting ──▶
//! client  ◀── flags, then options: list, info, abort; export name or go ends the handshake
//! client  ◀── requests: read, flush, disconnect; all others are refused
//! server  replies, in any order ──▶
//! ```

/// `NBDMAGIC`, the greeting of a server.
pub(crate) const GREETING: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`, which starts the options.
pub(crate) const OPTION: u64 = 0x4948_4156_454f_5054;
/// The start of the answer to an option.
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// The start of a request.
pub(crate) const REQUEST: u32 = 0x2560_9513;
/// The start of a simple reply.
pub(crate) const REPLY: u32 = 0x6744_6698;

/// Flag of the handshake: fixed newstyle.
const FIXED_NEWSTYLE: u16 = 1;
/// Flag of the handshake: no zeros at its end.
pub(crate) const NO_ZEROES: u16 = 2;
/// Both flags.
pub(crate) const HANDSHAKE_FLAGS: u16 = FIXED_NEWSTYLE | NO_ZEROES;
/// The zeros at the end of a handshake.
pub(crate) const ZEROES: usize = 124;

/// Option: transmission begins.
pub(crate) const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const LIST: u32 = 3;
const INFO: u32 = 6;
const GO: u32 = 7;

const ACK: u32 = 1;
const SERVER: u32 = 2;
const INFORMATION: u32 = 3;
const UNSUPPORTED: u32 = 1 << 31 | 1;
const INVALID: u32 = 1 << 31 | 3;
const UNKNOWN: u32 = 1 << 31 | 6;
const TOO_BIG: u32 = 1 << 31 | 9;

/// Kinds of information: size and flags, block sizes.
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Flags of an export: it has flags, is read-only, can be flushed, and may be read over several connections.
const EXPORT_FLAGS: u16 = 1 | 1 << 1 | 1 << 2 | 1 << 8;

/// Command: read.
pub(crate) const READ: u16 = 0;
/// Command: write.
const WRITE: u16 = 1;
/// Command: disconnect.
pub(crate) const DISCONNECT: u16 = 2;
/// Command: flush.
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const WRITE_ZEROES: u16 = 6;

/// Not permitted: the export is read-only.
const EPERM: u32 = 1;
/// The data cannot be read.
pub(crate) const EIO: u32 = 5;
/// The request makes no sense.
const EINVAL: u32 = 22;

/// The longest option that is read, with room for the longest name.
const LONGEST_OPTION: usize = 8 << 10;
/// The longest read.
pub(crate) const LONGEST_READ: u32 = 32 << 20;
/// The size of a request.
pub(crate) const REQUEST_SIZE: usize = 28;

/// An export: a disk by its name, without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    /// Its name; clients may also ask for the nameless default.
    pub(crate) name: String,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// The other end does not speak NBD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak NBD")]
pub(crate) struct NotNbd;

/// The server's side of a handshake.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    export: &'a Export,
    /// The flags of the client, once it has sent them.
    flags: Option<u32>,
}

/// What follows a part of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its next part.
    Option,
    /// Requests.
    Transmission,
    /// The end of the connection.
    Close,
}

/// The answer to a part of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandshakeAnswer {
    /// How many bytes the part had.
    pub(crate) taken: usize,
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// What follows.
    pub(crate) next: Next,
}

impl<'a> Handshake<'a> {
    /// Begins a handshake.
    pub(crate) fn new(export: &'a Export) -> Self {
        Self { export, flags: None }
    }

    /// Returns what the server sends first.
    pub(crate) fn greeting() -> Vec<u8> {
        let mut bytes = GREETING.to_be_bytes().to_vec();
        bytes.extend(OPTION.to_be_bytes());
        bytes.extend(HANDSHAKE_FLAGS.to_be_bytes());
        bytes
    }

    /// Answers the next part of what a client sends; `None` if it is not complete.
    pub(crate) fn answer(&mut self, input: &[u8]) -> Result<Option<HandshakeAnswer>, NotNbd> {
        let Some(flags) = self.flags else {
            let Some(flags) = u32_at(input, 0) else { return Ok(None) };
            if flags & !u32::from(HANDSHAKE_FLAGS) != 0 {
                return Err(NotNbd);
            }
            self.flags = Some(flags);
            return Ok(Some(HandshakeAnswer { taken: 4, bytes: Vec::new(), next: Next::Option }));
        };
        let (Some(magic), Some(option), Some(length)) =
            (u64_at(input, 0), u32_at(input, 8), u32_at(input, 12))
        else {
            return Ok(None);
        };
        if magic != OPTION {
            return Err(NotNbd);
        }
        let length = length as usize;
        if length > LONGEST_OPTION {
            // Its data would have to be read to get to the next option.
            let bytes = reply(option, TOO_BIG, &[]);
            return Ok(Some(HandshakeAnswer { taken: 16, bytes, next: Next::Close }));
        }
        let Some(data) = input.get(16..16 + length) else { return Ok(None) };
        let (bytes, next) = self.option(option, data, flags);
        Ok(Some(HandshakeAnswer { taken: 16 + length, bytes, next }))
    }

    fn option(&self, option: u32, data: &[u8], flags: u32) -> (Vec<u8>, Next) {
        let Export { name, size } = self.export;
        match option {
            EXPORT_NAME if !self.is_named(data) => (Vec::new(), Next::Close),
            EXPORT_NAME => {
                let mut bytes = size.to_be_bytes().to_vec();
                bytes.extend(EXPORT_FLAGS.to_be_bytes());
                if flags & u32::from(NO_ZEROES) == 0 {
                    bytes.extend([0; ZEROES]);
                }
                (bytes, Next::Transmission)
            }
            ABORT => (reply(option, ACK, &[]), Next::Close),
            LIST if !data.is_empty() => (reply(option, INVALID, &[]), Next::Option),
            LIST => {
                let mut entry = u32::try_from(name.len()).unwrap_or(0).to_be_bytes().to_vec();
                entry.extend(name.as_bytes());
                let mut bytes = reply(option, SERVER, &entry);
                bytes.extend(reply(option, ACK, &[]));
                (bytes, Next::Option)
            }
            INFO | GO => match asked(data) {
                None => (reply(option, INVALID, &[]), Next::Option),
                Some((name, _)) if !self.is_named(name) => (reply(option, UNKNOWN, &[]), Next::Option),
                Some((_, kinds)) => {
                    let mut export = INFO_EXPORT.to_be_bytes().to_vec();
                    export.extend(size.to_be_bytes());
                    export.extend(EXPORT_FLAGS.to_be_bytes());
                    let mut bytes = reply(option, INFORMATION, &export);
                    if kinds.chunks_exact(2).any(|kind| kind == INFO_BLOCK_SIZE.to_be_bytes()) {
                        let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
                        for size in [1, 4096, LONGEST_READ] {
                            sizes.extend(size.to_be_bytes());
                        }
                        bytes.extend(reply(option, INFORMATION, &sizes));
                    }
                    bytes.extend(reply(option, ACK, &[]));
                    (bytes, if option == GO { Next::Transmission } else { Next::Option })
                }
            },
            _ => (reply(option, UNSUPPORTED, &[]), Next::Option),
        }
    }

    fn is_named(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.export.name.as_bytes()
    }
}

/// Returns the name and the kinds of information in the data of an option.
fn asked(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32_at(data, 0)? as usize;
    let name = data.get(4..4_usize.checked_add(length)?)?;
    let rest = &data[4 + length..];
    let count = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
    let kinds = &rest[2..];
    (kinds.len() == count * 2).then_some((name, kinds))
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = OPTION_REPLY.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is wanted.
    pub(crate) command: u16,
    /// Marks the reply to it.
    pub(crate) cookie: u64,
    /// Where the range begins.
    pub(crate) offset: u64,
    /// The length of the range.
    pub(crate) length: u32,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The range is sent.
    Read,
    /// There is nothing to do.
    Done,
    /// It is refused with an error, after so many bytes that belong to it.
    Refused {
        /// The error.
        error: u32,
        /// The number of bytes that follow the request.
        payload: u32,
    },
    /// The connection ends.
    Disconnect,
}

impl Request {
    /// Writes a request.
    pub(crate) fn encode(&self) -> [u8; REQUEST_SIZE] {
        let mut bytes = [0; REQUEST_SIZE];
        bytes[..4].copy_from_slice(&REQUEST.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.command.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes[24..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads a request. Flags change nothing for an export that is only read.
    pub(crate) fn decode(bytes: &[u8; REQUEST_SIZE]) -> Result<Self, NotNbd> {
        let (Some(REQUEST), Some(cookie), Some(offset), Some(length)) =
            (u32_at(bytes, 0), u64_at(bytes, 8), u64_at(bytes, 16), u32_at(bytes, 24))
        else {
            return Err(NotNbd);
        };
        Ok(Self { command: u16::from_be_bytes([bytes[6], bytes[7]]), cookie, offset, length })
    }

    /// Decides what becomes of it at an export of a size.
    pub(crate) fn judge(&self, size: u64) -> Verdict {
        let is_inside = self.offset.checked_add(self.length.into()).is_some_and(|end| end <= size);
        let refused = |error| Verdict::Refused { error, payload: 0 };
        match self.command {
            READ if is_inside && self.length <= LONGEST_READ => Verdict::Read,
            WRITE => Verdict::Refused { error: EPERM, payload: self.length },
            DISCONNECT => Verdict::Disconnect,
            FLUSH => Verdict::Done,
            TRIM | WRITE_ZEROES => refused(EPERM),
            _ => refused(EINVAL),
        }
    }
}

/// Writes the head of a reply; the data of a read that succeeded follows.
pub(crate) fn reply_head(cookie: u64, error: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&REPLY.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn export() -> Export {
        Export { name: "image".to_owned(), size: 5000 }
    }

    fn option(option: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = OPTION.to_be_bytes().to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }

    /// Returns the data of GO and INFO.
    fn go(name: &str, kinds: &[u16]) -> Vec<u8> {
        let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        data.extend(name.as_bytes());
        data.extend(u16::try_from(kinds.len()).unwrap().to_be_bytes());
        data.extend(kinds.iter().flat_map(|kind| kind.to_be_bytes()));
        data
    }

    /// Performs a handshake; returns the kinds of the replies to options, and what follows.
    #[track_caller]
    fn check(flags: u32, parts: &[Vec<u8>]) -> (Vec<u32>, Next) {
        let export = export();
        let mut handshake = Handshake::new(&export);
        assert_eq!(handshake.answer(&flags.to_be_bytes()).unwrap().unwrap().next, Next::Option);
        let (mut kinds, mut next) = (Vec::new(), Next::Option);
        for part in parts {
            assert_eq!(next, Next::Option);
            assert_eq!(handshake.answer(&part[..part.len() - 1]), Ok(None));
            let answer = handshake.answer(part).unwrap().unwrap();
            assert_eq!(answer.taken, part.len());
            next = answer.next;
            kinds.extend(replies(&answer.bytes).unwrap_or_default().iter().map(|(_, kind, _)| *kind));
        }
        (kinds, next)
    }

    /// Reads replies to options; `None` if there is anything else.
    fn replies(mut bytes: &[u8]) -> Option<Vec<(u32, u32, Vec<u8>)>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            if u64_at(bytes, 0)? != OPTION_REPLY {
                return None;
            }
            let (option, kind, length) = (u32_at(bytes, 8)?, u32_at(bytes, 12)?, u32_at(bytes, 16)? as usize);
            all.push((option, kind, bytes.get(20..20 + length)?.to_vec()));
            bytes = &bytes[20 + length..];
        }
        Some(all)
    }

    #[test]
    fn a_handshake_ends_with_the_export() {
        let all = [option(LIST, b""), option(INFO, &go("image", &[3])), option(GO, &go("", &[]))];
        let kinds = vec![SERVER, ACK, INFORMATION, INFORMATION, ACK, INFORMATION, ACK];
        assert_eq!(check(3, &all), (kinds, Next::Transmission));
        assert_eq!(check(1, &[option(EXPORT_NAME, b"image")]), (vec![], Next::Transmission));
        assert_eq!(check(1, &[option(EXPORT_NAME, b"other")]), (vec![], Next::Close));
        assert_eq!(check(1, &[option(ABORT, b"")]), (vec![ACK], Next::Close));
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        let start_tls = option(5, b"");
        let structured = option(8, b"");
        let other = option(GO, &go("other", &[]));
        let cut = option(GO, b"\0\0\0\x09image\0\0");
        let kinds = vec![UNSUPPORTED, UNSUPPORTED, UNKNOWN, INVALID];
        assert_eq!(check(3, &[start_tls, structured, other, cut]), (kinds, Next::Option));
        let export = export();
        let mut handshake = Handshake::new(&export);
        assert_eq!(handshake.answer(&0x80_u32.to_be_bytes()), Err(NotNbd));
        handshake.answer(&3_u32.to_be_bytes()).unwrap();
        assert_eq!(handshake.answer(&[b'x'; 16]), Err(NotNbd));
        let mut long = option(GO, b"");
        long[12..].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(handshake.answer(&long).unwrap().unwrap().next, Next::Close);
    }

    #[test]
    fn only_reads_of_what_is_there_are_carried_out() {
        let judge = |command, offset, length| Request { command, cookie: 1, offset, length }.judge(5000);
        assert_eq!(judge(READ, 4000, 1000), Verdict::Read);
        assert_eq!(judge(READ, 4000, 1001), Verdict::Refused { error: EINVAL, payload: 0 });
        assert_eq!(judge(READ, u64::MAX, 1), Verdict::Refused { error: EINVAL, payload: 0 });
        assert_eq!(judge(WRITE, 0, 512), Verdict::Refused { error: EPERM, payload: 512 });
        assert_eq!(judge(WRITE_ZEROES, 0, 512), Verdict::Refused { error: EPERM, payload: 0 });
        assert_eq!(judge(FLUSH, 0, 0), Verdict::Done);
        assert_eq!(judge(99, 0, 0), Verdict::Refused { error: EINVAL, payload: 0 });
        assert_eq!(judge(DISCONNECT, 0, 0), Verdict::Disconnect);
    }

    /// States what holds for anything that a client sends.
    fn fuzz(input: &[u8]) {
        let export = export();
        let mut handshake = Handshake::new(&export);
        let mut rest = input;
        let mut is_first = true;
        while let Ok(Some(answer)) = handshake.answer(rest) {
            assert!(answer.taken > 0 && answer.taken <= rest.len());
            // No answer is much larger than what it answers.
            assert!(answer.bytes.len() <= 3 * 64);
            let is_export = answer.next == Next::Transmission && replies(&answer.bytes).is_none();
            assert!(replies(&answer.bytes).is_some() || is_export);
            assert!(!is_first || answer.bytes.is_empty());
            is_first = false;
            rest = &rest[answer.taken..];
            if answer.next != Next::Option {
                break;
            }
        }
        for bytes in input.windows(REQUEST_SIZE) {
            let bytes: &[u8; REQUEST_SIZE] = bytes.try_into().unwrap();
            let Ok(request) = Request::decode(bytes) else { continue };
            assert_eq!(Request::decode(&request.encode()), Ok(request));
            if request.judge(export.size) == Verdict::Read {
                assert!(request.offset + u64::from(request.length) <= export.size);
            }
        }
    }

    proptest! {
        #[test]
        fn no_client_confuses_the_server(
            flags in 0_u32..4,
            options in proptest::collection::vec((0_u32..10, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            noise in proptest::collection::vec(any::<u8>(), 0..80),
            cut in any::<prop::sample::Index>(),
        ) {
            fuzz(&noise);
            let mut input = flags.to_be_bytes().to_vec();
            input.extend(options.iter().flat_map(|(number, data)| option(*number, data)));
            input.extend(&noise);
            fuzz(&input);
            fuzz(&input[..cut.index(input.len())]);
        }

        #[test]
        fn requests_survive_the_wire(command: u16, cookie: u64, offset: u64, length: u32) {
            let request = Request { command, cookie, offset, length };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
            request.judge(offset);
            fuzz(&request.encode());
        }
    }
}
