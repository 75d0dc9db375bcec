//! Removable media: CD drives, and the images in them.

use super::Check;
use crate::config::{Located, RawCd, RawNode, Short};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{CdDrive, FileRef};
use crate::name::DiskName;

/// The maximum of CD drives of a node: what the chip set of a PC has ports for.
const MOST_CDS: usize = 4;

impl Check<'_> {
    pub(super) fn cds(&mut self, raw: &RawNode, node: &str) -> Vec<CdDrive> {
        let mut cds = Vec::new();
        if self.too_many(&format!("`{node}`"), &raw.cd, MOST_CDS, "CD drives") {
            return cds;
        }
        for (key, cd) in &raw.cd.entries {
            let name = self.name::<DiskName>(key);
            if let Some((disk, _)) = raw.disk.get(&key.value) {
                // Commands name a drive without its kind.
                let what = format!("`{}` is the name of a disk and of a CD drive of `{node}`", key.value);
                self.report(
                    Diagnostic::new(Code::DriveTaken, key.span.clone(), what)
                        .related(disk.span.clone(), "the disk")
                        .help("give one of them another name"),
                );
            }
            let Some(Short(cd)) = cd else { continue };
            let medium = self.medium(cd, &key.span);
            let Some(name) = name else { continue };
            cds.push(CdDrive { name, medium });
        }
        cds
    }

    fn medium(&mut self, raw: &RawCd, home: &Span) -> Option<FileRef> {
        let Some(url) = raw.url.given() else {
            if let Some(digest) = raw.sha256.given() {
                self.malformed(&digest.span, "a digest without a `url`".to_owned(), "add the `url`");
            }
            return raw.source.given().and_then(|source| self.file(source));
        };
        if let Some(source) = raw.source.given() {
            let what = "a drive has one image, from `source` or from `url`".to_owned();
            self.malformed(&source.span, what, "remove one of them");
        }
        if !["http://", "https://"].iter().any(|scheme| url.value.starts_with(scheme)) {
            let what = format!("`{}` is not a URL of HTTP or HTTPS", url.value);
            self.malformed(&url.span, what, "a file on this host is a `source`");
        }
        let digest = self.needed(&raw.sha256, "sha256 = \"…\"", home)?;
        self.digest(digest).then(|| FileRef::Url { url: url.value.clone(), sha256: digest.value.clone() })
    }

    /// Reports a digest that is none.
    fn digest(&mut self, word: &Located<String>) -> bool {
        let good =
            word.value.len() == 64 && word.value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !good {
            let what = format!("`{}` is not 64 lower-case hexadecimal digits", word.value);
            self.malformed(&word.span, what, "`sha256sum FILE` prints the digest of a file");
        }
        good
    }
}
