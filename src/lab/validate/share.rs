//! Folders of the host that nodes mount.

use super::Check;
use crate::config::{RawNode, Short};
use crate::diag::{Code, Diagnostic};
use crate::lab::Share;
use crate::name::DiskName;

/// More than the bus of a machine has room for.
const MOST_SHARES: usize = 16;

/// The longest mount tag of virtio-9p.
const LONGEST_TAG: usize = 31;

impl Check<'_> {
    pub(super) fn shares(&mut self, raw: &RawNode) -> Vec<Share> {
        let mut shares = Vec::new();
        if self.too_many("the node", &raw.share, MOST_SHARES, "shares") {
            return shares;
        }
        for (key, share) in &raw.share.entries {
            let name = self.name::<DiskName>(key);
            if key.value.len() > LONGEST_TAG {
                let what = format!("`{}` is too long for a share", key.value);
                let help = format!("a mount tag has at most {LONGEST_TAG} bytes");
                self.report(Diagnostic::new(Code::BadName, key.span.clone(), what).help(help));
            }
            let Some(Short(share)) = share else { continue };
            let Some(word) = self.needed(&share.path, "path = \"files\"", &key.span) else { continue };
            let Some(path) = self.path(word) else { continue };
            if !self.is_folder(&path) {
                let what = format!("`{}` is not a folder", word.value);
                let diagnostic = Diagnostic::new(Code::NoFolder, word.span.clone(), what);
                self.report(diagnostic.help("a share is a folder with everything in it"));
            }
            let Some(name) = name else { continue };
            shares.push(Share { name, path, access: share.access.value().copied().unwrap_or_default() });
        }
        shares
    }
}
