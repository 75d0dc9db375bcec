//! Shorthands of Butane, and their errors.

use std::cell::RefCell;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::mode;
use crate::matchbox::go::standard_base64;
use crate::matchbox::ignition::report::{JsonPath, Report};
use crate::matchbox::ignition::schema::{self, Side};
use crate::matchbox::ignition::value::{Content, Record, Value};
use crate::matchbox::ignition::{self, data};

/// The message for contents with `local`: matchbox has no such folder.
const NO_FILES: &str = "matchbox has no folder of local files: write it with `inline`, or as a URL";

/// Reports what Butane rejects before the translation. `nested` says whether configs within it are checked, too.
pub(crate) fn check(config: &Record, minor: u8, nested: bool, report: &mut Report) {
    let rules = Rules { minor, nested };
    below(config, &rules, &JsonPath::root(), report);
}

/// What determines the rules of Butane.
struct Rules {
    minor: u8,
    nested: bool,
}

fn below(record: &Record, rules: &Rules, path: &JsonPath<'_>, report: &mut Report) {
    for (field, value) in record.fields() {
        let Some(value) = value else { continue };
        let path = path.field(field);
        match (field.name, &value.content) {
            ("local", _) if field.side == Side::Butane => report.add(value.line, &path, NO_FILES),
            ("contentsLocal", Content::Text(text)) if !text.is_empty() => {
                report.add(value.line, &path, NO_FILES);
            }
            ("sshAuthorizedKeysLocal" | "trees", Content::List(list)) if !list.is_empty() => {
                report.add(value.line, &path, NO_FILES);
            }
            (_, Content::Record(record)) => inside(record, value.line, rules, &path, report),
            (_, Content::List(list)) => {
                for (index, item) in list.iter().enumerate() {
                    if let Some(record) = item.as_record() {
                        inside(record, item.line, rules, &path.item(index), report);
                    }
                }
            }
            (_, Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_)) => {}
        }
    }
}

fn inside(record: &Record, line: usize, rules: &Rules, path: &JsonPath<'_>, report: &mut Report) {
    let minor = rules.minor;
    let knows = |name: &str| record.kind.fields.iter().any(|field| field.name == name);
    if knows("inline") {
        let said: Vec<&str> =
            ["local", "inline", "source"].into_iter().filter(|name| record.get(name).is_some()).collect();
        if said.len() > 1 {
            report.add(line, path, "only one of `inline`, `local` and `source`");
        }
    }
    if knows("contentsLocal") && record.get("contents").is_some() && record.get("contentsLocal").is_some() {
        report.add(line, path, "only one of `contents` and `contents_local`");
    }
    if knows("withMountUnit") && record.flag("withMountUnit") == Some(true) {
        let format = record.filled("format");
        if format.is_none() {
            report.add(line, path, "a format is required where `with_mount_unit` is true");
        }
        let swap = minor >= 3 && format == Some("swap");
        if record.filled("path").is_none() && !swap && (minor < 3 || format.is_some()) {
            report.add(line, path, "a path is required where `with_mount_unit` is true");
        }
    }
    if rules.nested && std::ptr::eq(record.kind, &schema::REFERENCE) {
        nested(record, minor, path, report);
    }
    let directory = std::ptr::eq(record.kind, &schema::DIRECTORY);
    if (directory || std::ptr::eq(record.kind, &schema::FILE))
        && let Some(Value { line, content: Content::Number(number) }) = record.get("mode")
        && let Some(octal) = mode::decimal(*number, directory)
    {
        let message = format!("the mode {number} is decimal, which is {number:o} in octal: write 0{octal:o}");
        report.warn(*line, path, message);
    }
    below(record, rules, path, report);
}

/// Checks a config that is to be merged, or to take the place of this one.
fn nested(record: &Record, minor: u8, path: &JsonPath<'_>, report: &mut Report) {
    let Some(Value { line, content }) = record.get("inline") else { return };
    let text = match content {
        Content::Text(text) => text.as_bytes(),
        Content::Bytes(bytes) => bytes,
        Content::Number(_) | Content::Flag(_) | Content::List(_) | Content::Record(_) => return,
    };
    match ignition::check_nested(text, minor) {
        Ok(warnings) => {
            for warning in warnings {
                report.warn(*line, path, format!("in the config within: {warning}"));
            }
        }
        Err(problems) => {
            for problem in problems {
                report.add(*line, path, format!("in the config within: {problem}"));
            }
        }
    }
}

/// Converts all inline contents to data URLs, and removes the other fields of Butane.
pub(crate) fn resolve(config: &mut Record, minor: u8) {
    config.each(&mut |record| {
        if record.kind.fields.iter().any(|field| field.name == "inline")
            && let Some(Value { line, content }) = record.take("inline")
        {
            match content {
                Content::Text(text) => source(record, text.as_bytes(), line, minor),
                Content::Bytes(bytes) => source(record, &bytes, line, minor),
                Content::Number(_) | Content::Flag(_) | Content::List(_) | Content::Record(_) => {}
            }
        }
        for (index, field) in record.kind.fields.iter().enumerate() {
            if field.side == Side::Butane {
                *record.slot(index) = None;
            }
        }
    });
}

/// Sets the contents of a resource, in the shortest of three encodings.
pub(crate) fn source(resource: &mut Record, contents: &[u8], line: usize, minor: u8) {
    let escaped = format!(",{}", data::escape(contents));
    if minor == 0 {
        // Version 1 has only this encoding.
        resource.set("source", Value::new(line, format!("data:{escaped}")));
        return;
    }
    let encoded = format!(";base64,{}", standard_base64::encode(contents));
    let mut shortest = if encoded.len() < escaped.len() { encoded } else { escaped };
    if resource.filled("compression").is_none() {
        // Set even if empty, so that it overrides the value of a parent config when they are merged.
        let mut compression = "";
        let zipped = format!(";base64,{}", standard_base64::encode(&gzip(contents)));
        if zipped.len() + "gzip".len() < shortest.len() {
            (shortest, compression) = (zipped, "gzip");
        }
        resource.set("compression", Value::new(line, compression));
    }
    resource.set("source", Value::new(line, format!("data:{shortest}")));
}

/// Compresses at the highest level.
///
/// The bytes differ from those of Go's compressor; the contents are the same.
fn gzip(contents: &[u8]) -> Vec<u8> {
    thread_local! {
        // Reused, because creating one takes longer than compressing a config.
        static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::best(), false));
    }
    let mut zipped = Vec::with_capacity(contents.len() / 2 + 64);
    // No name, no timestamp, best compression, unknown system.
    zipped.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff]);
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        loop {
            let read = usize::try_from(deflate.total_in()).expect("it read no more than there is");
            match deflate.compress_vec(&contents[read..], &mut zipped, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok | Status::BufError) => zipped.reserve(contents.len() + 64),
                Err(error) => unreachable!("compressing into memory fails nowhere: {error}"),
            }
        }
    });
    let mut crc = Crc::new();
    crc.update(contents);
    zipped.extend_from_slice(&crc.sum().to_le_bytes());
    zipped.extend_from_slice(&crc.amount().to_le_bytes());
    zipped
}
