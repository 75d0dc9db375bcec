//! What a file is, and whether that is as expected.

use std::borrow::Cow;

use super::Answer;
use crate::lab::{DiskFile, NodeFile};
use crate::node::file_system::{FileSought, Volume};

/// A file that exists.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// Its permissions, if they are known.
    pub(super) mode: Option<u32>,
    /// User and group that own it, as in `root:root`; `None` if it has none.
    pub(super) owner: Option<Cow<'a, str>>,
    /// Its content, or the beginning of it.
    pub(super) content: Cow<'a, str>,
}

/// Compares a file that exists with the expected one.
pub(super) fn compare(facts: &Facts<'_>, wanted: &NodeFile) -> Answer {
    let path = wanted.path.display();
    if !wanted.exists {
        return Answer::no(format!("{path} exists"));
    }
    match (wanted.mode, facts.mode) {
        (Some(wanted), Some(is)) if is != wanted => {
            return Answer::no(format!("{path} has mode {is:04o}, not {wanted:04o}"));
        }
        (Some(_), None) => return Answer::no(format!("the file system of {path} has no modes")),
        _ => {}
    }
    match (&wanted.owner, &facts.owner) {
        (Some(wanted), Some(owner)) => {
            let is = if wanted.contains(':') { owner } else { owner.split(':').next().unwrap_or(owner) };
            if is != wanted {
                return Answer::no(format!("{path} belongs to {is}, not {wanted}"));
            }
        }
        (Some(_), None) => return Answer::no(format!("the file system of {path} has no owners")),
        (None, _) => {}
    }
    match &wanted.content {
        Some(pattern) if !pattern.is_match(&facts.content) => {
            Answer::no(format!("{path} does not match /{pattern}/")).with_output(facts.content.to_string())
        }
        _ => Answer::yes(format!("{path} is as expected")),
    }
}

/// Compares what was found on a disk with the expected file.
pub(super) fn on_disk(sought: FileSought, check: &DiskFile) -> Answer {
    let DiskFile { disk, file } = check;
    let FileSought { file: found, searched, skipped } = sought;
    let path = file.path.display();
    let answer = match found {
        Some(found) => {
            let owner = found.owner.map(|(user, group)| format!("{user}:{group}").into());
            let content = String::from_utf8_lossy(&found.content);
            compare(&Facts { mode: found.mode, owner, content }, file)
        }
        None if searched.is_empty() && skipped.is_empty() => Answer::no("it has no file system"),
        None if searched.is_empty() => Answer::no(format!("{} cannot be searched", list(&skipped))),
        // It may be there.
        None if !skipped.is_empty() => {
            let (searched, skipped) = (list(&searched), list(&skipped));
            Answer::no(format!("{path} is not in {searched}; {skipped} cannot be searched"))
        }
        None => {
            let seen = format!("{path} is not in {}", list(&searched));
            if file.exists { Answer::no(seen) } else { Answer::yes(seen) }
        }
    };
    Answer { seen: format!("disk {disk}: {}", answer.seen), ..answer }
}

fn list(volumes: &[Volume]) -> String {
    volumes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::lab::Pattern;
    use crate::name::DiskName;
    use crate::node::file_system::{FileFound, Holds};

    #[test]
    fn a_file_on_a_disk_is_compared() {
        let wanted = |exists, content: Option<&str>, mode, owner: Option<&str>| DiskFile {
            disk: DiskName::new("root").unwrap(),
            file: NodeFile {
                path: "/etc/motd".into(),
                exists,
                content: content.map(|content| Pattern::new(content).unwrap()),
                mode,
                owner: owner.map(str::to_owned),
            },
        };
        let [fat, ext] =
            [(Holds::Fat, 2048), (Holds::Ext, 4096)].map(|(holds, first)| Volume { first, holds });
        let xfs = Volume { first: 8192, holds: Holds::Xfs };
        let of = |on: &Volume, mode, owner| FileSought {
            file: Some(FileFound { on: *on, mode, owner, content: b"Welcome\n".to_vec() }),
            searched: vec![fat, ext],
            skipped: Vec::new(),
        };
        let none = |searched: &[&Volume], skipped: &[&Volume]| FileSought {
            file: None,
            searched: searched.iter().map(|volume| **volume).collect(),
            skipped: skipped.iter().map(|volume| **volume).collect(),
        };
        let on_ext = || of(&ext, Some(0o644), Some((0, 0)));
        let on_fat = || of(&fat, None, None);
        let said = [
            (on_ext(), wanted(true, Some("^Welcome"), Some(0o644), Some("0:0"))),
            (on_ext(), wanted(true, None, None, Some("0"))),
            (on_ext(), wanted(true, Some("^Hello"), None, None)),
            (on_ext(), wanted(true, None, Some(0o600), None)),
            (on_ext(), wanted(true, None, None, Some("0:42"))),
            (on_ext(), wanted(false, None, None, None)),
            (on_fat(), wanted(true, Some("Welcome"), None, None)),
            (on_fat(), wanted(true, None, Some(0o644), None)),
            (on_fat(), wanted(true, None, None, Some("0:0"))),
            (none(&[&fat, &ext], &[]), wanted(true, None, None, None)),
            (none(&[&fat, &ext], &[]), wanted(false, None, None, None)),
            (none(&[&fat], &[&xfs]), wanted(false, None, None, None)),
            (none(&[], &[&xfs]), wanted(true, None, None, None)),
            (none(&[], &[]), wanted(false, None, None, None)),
        ]
        .map(|(sought, wanted)| {
            let answer = on_disk(sought, &wanted);
            format!("{}: {}", answer.ok, answer.seen)
        });
        assert_snapshot!(said.join("\n"), @"
        true: disk root: /etc/motd is as expected
        true: disk root: /etc/motd is as expected
        false: disk root: /etc/motd does not match /^Hello/
        false: disk root: /etc/motd has mode 0644, not 0600
        false: disk root: /etc/motd belongs to 0:0, not 0:42
        false: disk root: /etc/motd exists
        true: disk root: /etc/motd is as expected
        false: disk root: the file system of /etc/motd has no modes
        false: disk root: the file system of /etc/motd has no owners
        false: disk root: /etc/motd is not in FAT at sector 2048, ext4 at sector 4096
        true: disk root: /etc/motd is not in FAT at sector 2048, ext4 at sector 4096
        false: disk root: /etc/motd is not in FAT at sector 2048; XFS at sector 8192 cannot be searched
        false: disk root: XFS at sector 8192 cannot be searched
        false: disk root: it has no file system
        ");
    }
}
