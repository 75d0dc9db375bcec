//! What the files are that are served.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::event::FileFormat;
use crate::wire::format;

/// Returns what a file is; nothing if it cannot be read, which its transfer reports.
pub(super) fn format_of(file: &File) -> Option<FileFormat> {
    let mut head = [0; format::HEAD];
    let read = file.read_at(&mut head, 0).ok()?;
    Some(format::of(&head[..read]))
}
