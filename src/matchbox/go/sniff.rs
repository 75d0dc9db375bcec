//! The media type of content by its first bytes, as `http.DetectContentType` determines it.

/// Number of bytes that are examined.
const LOOKED_AT: usize = 512;

/// Returns the media type of content that begins with these bytes.
pub fn media_type(first_512: &[u8]) -> &'static str {
    let data = &first_512[..first_512.len().min(LOOKED_AT)];
    let blank = data.iter().take_while(|&&byte| matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')).count();
    let text = &data[blank..];
    if TAGS.iter().any(|tag| begins_with_tag(text, tag)) {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, media_type)) = FIRST_SIGNATURES.iter().find(|(pattern, _)| matches(data, pattern)) {
        return media_type;
    }
    if is_mp4(data) {
        return "video/mp4";
    }
    if let Some((_, media_type)) = LAST_SIGNATURES.iter().find(|(pattern, _)| matches(data, pattern)) {
        return media_type;
    }
    if text.iter().any(|&byte| is_binary(byte)) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

/// Prefixes of HTML; each is followed by a space or `>`.
const TAGS: &[&[u8]] = &[
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

/// A signature; `None` matches any byte.
type Pattern = &'static [Option<u8>];

/// Builds a pattern: `_` with a number means so many arbitrary bytes.
macro_rules! pattern {
    ($text:literal) => {{
        const TEXT: &[u8] = $text;
        const PATTERN: [Option<u8>; TEXT.len()] = {
            let mut pattern = [None; TEXT.len()];
            let mut at = 0;
            while at < TEXT.len() {
                pattern[at] = Some(TEXT[at]);
                at += 1;
            }
            pattern
        };
        &PATTERN
    }};
    ($first:literal, $any:literal, $last:literal) => {{
        const FIRST: &[u8] = $first;
        const LAST: &[u8] = $last;
        const PATTERN: [Option<u8>; FIRST.len() + $any + LAST.len()] = {
            let mut pattern = [None; FIRST.len() + $any + LAST.len()];
            let mut at = 0;
            while at < FIRST.len() {
                pattern[at] = Some(FIRST[at]);
                at += 1;
            }
            at = 0;
            while at < LAST.len() {
                pattern[FIRST.len() + $any + at] = Some(LAST[at]);
                at += 1;
            }
            pattern
        };
        &PATTERN
    }};
}

/// Signatures that are tested before that of MP4. Byte order marks need one or two further bytes.
const FIRST_SIGNATURES: &[(Pattern, &str)] = &[
    (pattern!(b"%PDF-"), "application/pdf"),
    (pattern!(b"%!PS-Adobe-"), "application/postscript"),
    (pattern!(b"\xFE\xFF", 2, b""), "text/plain; charset=utf-16be"),
    (pattern!(b"\xFF\xFE", 2, b""), "text/plain; charset=utf-16le"),
    (pattern!(b"\xEF\xBB\xBF", 1, b""), "text/plain; charset=utf-8"),
    (pattern!(b"\x00\x00\x01\x00"), "image/x-icon"),
    (pattern!(b"\x00\x00\x02\x00"), "image/x-icon"),
    (pattern!(b"BM"), "image/bmp"),
    (pattern!(b"GIF87a"), "image/gif"),
    (pattern!(b"GIF89a"), "image/gif"),
    (pattern!(b"RIFF", 4, b"WEBPVP"), "image/webp"),
    (pattern!(b"\x89PNG\x0D\x0A\x1A\x0A"), "image/png"),
    (pattern!(b"\xFF\xD8\xFF"), "image/jpeg"),
    (pattern!(b"FORM", 4, b"AIFF"), "audio/aiff"),
    (pattern!(b"ID3"), "audio/mpeg"),
    (pattern!(b"OggS\x00"), "application/ogg"),
    (pattern!(b"MThd\x00\x00\x00\x06"), "audio/midi"),
    (pattern!(b"RIFF", 4, b"AVI "), "video/avi"),
    (pattern!(b"RIFF", 4, b"WAVE"), "audio/wave"),
];

/// Signatures that are tested after that of MP4.
const LAST_SIGNATURES: &[(Pattern, &str)] = &[
    (pattern!(b"\x1A\x45\xDF\xA3"), "video/webm"),
    (pattern!(b"", 34, b"LP"), "application/vnd.ms-fontobject"),
    (pattern!(b"\x00\x01\x00\x00"), "font/ttf"),
    (pattern!(b"OTTO"), "font/otf"),
    (pattern!(b"ttcf"), "font/collection"),
    (pattern!(b"wOFF"), "font/woff"),
    (pattern!(b"wOF2"), "font/woff2"),
    (pattern!(b"\x1F\x8B\x08"), "application/x-gzip"),
    (pattern!(b"PK\x03\x04"), "application/zip"),
    (pattern!(b"Rar!\x1A\x07\x00"), "application/x-rar-compressed"),
    (pattern!(b"Rar!\x1A\x07\x01\x00"), "application/x-rar-compressed"),
    (pattern!(b"\x00\x61\x73\x6D"), "application/wasm"),
];

fn matches(data: &[u8], pattern: Pattern) -> bool {
    data.len() >= pattern.len()
        && pattern.iter().zip(data).all(|(want, have)| want.is_none_or(|want| want == *have))
}

fn begins_with_tag(text: &[u8], tag: &[u8]) -> bool {
    // For letters, Go clears the bit of lower case before it compares.
    let same =
        |(want, have): (&u8, &u8)| *want == if want.is_ascii_uppercase() { have & 0xDF } else { *have };
    tag.len() < text.len() && tag.iter().zip(text).all(same) && matches!(text[tag.len()], b' ' | b'>')
}

/// Tells whether data begin with the `ftyp` box of an MP4 file.
fn is_mp4(data: &[u8]) -> bool {
    let Some((size, kind)) = data.split_first_chunk::<4>() else { return false };
    let Ok(size) = usize::try_from(u32::from_be_bytes(*size)) else { return false };
    if data.len() < 12 || data.len() < size || size % 4 != 0 || !kind.starts_with(b"ftyp") {
        return false;
    }
    // The four bytes at offset 12 are the minor version.
    (8..size).step_by(4).any(|at| at != 12 && data[at..].starts_with(b"mp4"))
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}
