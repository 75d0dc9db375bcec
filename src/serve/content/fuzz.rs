//! Fuzzes the paths that TFTP and HTTP clients request.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::LazyLock;

use super::{Content, ContentStore, Item, Missing};
use crate::event::FileRole;
use crate::plan::RootPlan;
use crate::serve::example::{content_of, plan};

/// A folder that exists wherever this runs.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/path");

/// Content with a missing kernel, with and without that folder as root.
static CONTENTS: LazyLock<[ContentStore; 2]> = LazyLock::new(|| {
    let mut plan = plan();
    let without = content_of(&plan, Path::new("/nowhere"));
    plan.root = Some(RootPlan { folder: ROOT.into(), listing: true });
    [without, content_of(&plan, Path::new("/nowhere"))]
});

/// Looks up one path, as a TFTP file name and as a URL path. Only content of the plan and of the served folder is
/// found, however the path is written.
pub(crate) fn path(data: &[u8]) {
    for (content, has_root) in CONTENTS.iter().zip([false, true]) {
        check(content.find(data), has_root);
        if let Ok(path) = std::str::from_utf8(data) {
            check(content.find_url(path), has_root);
        }
    }
}

fn check(found: Result<Item, Missing>, has_root: bool) {
    match found {
        Ok(Item { content: Content::Text(_), role, rule: "text" | "default" }) => {
            assert!(matches!(role, FileRole::Script | FileRole::Seed));
        }
        Ok(Item { content: Content::File(file, _), rule: "root", .. }) if has_root => {
            let is = format!("/proc/self/fd/{}", file.as_raw_fd());
            let is = std::fs::read_link(is).expect("it is open");
            assert!(is.starts_with(ROOT), "{}", is.display());
        }
        Ok(Item { content: Content::Folder(names), rule: "root", .. }) if has_root => {
            // This is the only folder.
            assert!(names.contains(&"00".to_owned()) && !names.iter().any(|name| name.contains('/')));
        }
        Ok(item) => panic!("{item:?}"),
        Err(Missing::Gone(source)) => {
            assert!(["image:tiny/kernel", "image:tiny/initrd"].contains(&source.as_str()), "{source}");
        }
        Err(Missing::Unknown | Missing::Refused(_)) => {}
    }
}
