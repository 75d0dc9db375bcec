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
