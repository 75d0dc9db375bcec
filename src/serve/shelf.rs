//! What a network's services hand out, by path. Nothing else on the host can be named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Resources;
use crate::plan::{SSH_KEY, ServedFile, ServedText, ServicePlan};

/// The files and texts of a network.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    files: BTreeMap<String, ServedFile>,
    texts: BTreeMap<String, ServedText>,
    resources: Resources,
}

/// Something that is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A file on the host.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it is to the node.
        role: String,
    },
    /// A text of the plan, filled in.
    Text {
        /// The text.
        body: String,
        /// What it is to the node.
        role: String,
    },
}

impl Item {
    /// Returns what the item is to the node.
    pub(super) fn role(&self) -> &str {
        match self {
            Self::File { role, path: _ } | Self::Text { role, body: _ } => role,
        }
    }
}

/// Why nothing is handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// The plan names no such path.
    #[error("nothing is served under this path")]
    Unknown,
    /// The path leads out of what is served.
    #[error("the path leads elsewhere")]
    Refused,
    /// The plan names it, but it is not there.
    #[error("`{0}` does not exist")]
    Gone(String),
}

impl Shelf {
    /// Takes from a plan what it serves.
    pub(super) fn new(plan: &ServicePlan, resources: Resources) -> Self {
        Self(Arc::new(Inner { files: plan.files.clone(), texts: plan.texts.clone(), resources }))
    }

    /// Finds what a client asks for. A path may have any number of leading slashes, or backslashes for slashes.
    pub(super) fn find(&self, asked: &str) -> Result<Item, Missing> {
        let path = asked.replace('\\', "/");
        let path = path.trim_start_matches('/');
        if path.split('/').any(|part| part == "..") || path.contains('\0') {
            return Err(Missing::Refused);
        }
        let Inner { files, texts, resources } = &*self.0;
        if let Some(ServedText { body, role }) = texts.get(path) {
            let body = body.replace(SSH_KEY, &resources.ssh_public_key);
            return Ok(Item::Text { body, role: role.clone() });
        }
        if let Some(ServedFile { source, role }) = files.get(path) {
            let found = (resources.resolve)(source).filter(|path| path.is_file());
            return found
                .map(|path| Item::File { path, role: role.clone() })
                .ok_or_else(|| Missing::Gone(source.to_string()));
        }
        // cloud-init asks for these in vain once a second, ten times, unless they are there.
        if path.starts_with("nocloud/")
            && (path.ends_with("/vendor-data") || path.ends_with("/network-config"))
        {
            return Ok(Item::Text { body: String::new(), role: "seed".to_owned() });
        }
        Err(Missing::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::example::shelf;
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kernel"), "MZ").unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::create_dir(folder.path().join("initrd")).unwrap();
        folder
    }

    /// What a path is: a file's name, a text, or why it is nothing.
    fn check(shelf: &Shelf, path: &str) -> String {
        match shelf.find(path) {
            Ok(Item::File { path, role }) => {
                format!("{role}: file {}", path.file_name().unwrap().to_string_lossy())
            }
            Ok(Item::Text { body, role }) => format!("{role}: {body:?}"),
            Err(missing) => missing.to_string(),
        }
    }

    #[test]
    fn only_what_the_plan_names_is_found() {
        let folder = folder();
        let shelf = shelf(folder.path());
        let table = [
            "/profile/tiny/kernel",
            "profile/tiny/kernel",
            "//profile/tiny/kernel",
            r"\profile\tiny\kernel",
            "/profile/tiny/initrd0",
            "/boot/fast.ipxe",
            "/nocloud/fast/user-data",
            "/nocloud/fast/vendor-data",
            "/nocloud/fast/passwd",
            "/boot/Fast.ipxe",
            "/",
            "",
            "/profile/tiny",
            "/profile/tiny/kernel/",
            "/profile/tiny/secret",
            "/etc/passwd",
            "/profile/tiny/../tiny/secret",
            r"..\..\etc\passwd",
            "/profile/tiny/..",
            "/profile/tiny/kernel..",
            "/profile/tiny/kernel\0.txt",
            "/profile/tiny/%2e%2e/secret",
        ];
        let lines: Vec<String> =
            table.iter().map(|path| format!("{:30} {}", format!("{path:?}"), check(&shelf, path))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r##"
        "/profile/tiny/kernel"         kernel: file kernel
        "profile/tiny/kernel"          kernel: file kernel
        "//profile/tiny/kernel"        kernel: file kernel
        "\\profile\\tiny\\kernel"      kernel: file kernel
        "/profile/tiny/initrd0"        `image:tiny/initrd` does not exist
        "/boot/fast.ipxe"              script: "#!ipxe\nboot\n"
        "/nocloud/fast/user-data"      seed: "key: ssh-ed25519 KEY\n"
        "/nocloud/fast/vendor-data"    seed: ""
        "/nocloud/fast/passwd"         nothing is served under this path
        "/boot/Fast.ipxe"              nothing is served under this path
        "/"                            nothing is served under this path
        ""                             nothing is served under this path
        "/profile/tiny"                nothing is served under this path
        "/profile/tiny/kernel/"        nothing is served under this path
        "/profile/tiny/secret"         nothing is served under this path
        "/etc/passwd"                  nothing is served under this path
        "/profile/tiny/../tiny/secret" the path leads elsewhere
        "..\\..\\etc\\passwd"          the path leads elsewhere
        "/profile/tiny/.."             the path leads elsewhere
        "/profile/tiny/kernel.."       nothing is served under this path
        "/profile/tiny/kernel\0.txt"   the path leads elsewhere
        "/profile/tiny/%2e%2e/secret"  nothing is served under this path
        "##);
    }

    proptest! {
        #[test]
        fn no_path_leads_elsewhere(path in r"(/|\\|\.\.|\.|profile|tiny|kernel|secret|nocloud|fast|\PC){0,12}") {
            let folder = folder();
            match shelf(folder.path()).find(&path) {
                Ok(Item::File { path, role: _ }) => prop_assert_eq!(path, folder.path().join("kernel")),
                Ok(Item::Text { .. }) | Err(_) => {}
            }
        }
    }
}
