//! References to container images: `oci:FILE`, `oci:FOLDER` and `oci:REGISTRY/NAME`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a container image comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerImage {
    /// An archive (OCI or docker), or the folder of an OCI image layout.
    Local {
        /// Its absolute path.
        path: PathBuf,
        /// Which of its images: a tag, or in a docker archive a name with a tag. `None` if it has only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// An image in a registry: `docker.io/library/nginx:1.25`, or with a digest `quay.io/coreos/etcd@sha256:…`.
    Registry(String),
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerImageError {
    /// It does not begin with `oci:`.
    #[error("it does not begin with `oci:`")]
    NoPrefix,
    /// It is empty behind the prefix.
    #[error("nothing follows `oci:`")]
    Empty,
    /// A name in a registry has a character that none can have.
    #[error("`{0}` cannot be in the name of an image in a registry")]
    Character(char),
    /// A name in a registry has no part behind the host.
    #[error("the name of the image is missing behind the registry's host")]
    NoName,
}

impl ContainerImage {
    /// The prefix of a reference.
    pub const PREFIX: &str = "oci:";

    /// Reads a reference; relative paths are relative to `folder`.
    ///
    /// A reference means a registry if its first part names a host, as in the references of docker: it has a dot or a
    /// port, or is `localhost`, and a slash follows. Everything else is a path; `./` makes a path of any name. In a
    /// path, a tag follows the last colon.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ContainerImageError> {
        let rest = text.strip_prefix(Self::PREFIX).ok_or(ContainerImageError::NoPrefix)?;
        if rest.is_empty() {
            return Err(ContainerImageError::Empty);
        }
        if let Some((host, name)) = rest.split_once('/')
            && is_host(host)
        {
            return registry(rest, name);
        }
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') && !tag.is_empty() && !path.is_empty() => {
                split_tag(path, tag)
            }
            _ => (rest, None),
        };
        Ok(Self::Local { path: folder.join(path), tag })
    }

    /// Tells whether it names its content, so that it never has to be looked up again.
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Registry(name) if name.contains("@sha256:"))
    }
}

/// Splits the tag off a path. In a docker archive a tag is NAME:TAG, so there are two colons.
fn split_tag<'a>(path: &'a str, tag: &str) -> (&'a str, Option<String>) {
    match path.split_once(':') {
        Some((path, name)) if !path.is_empty() => (path, Some(format!("{name}:{tag}"))),
        _ => (path, Some(tag.to_owned())),
    }
}

fn is_host(part: &str) -> bool {
    let (name, port) = part.rsplit_once(':').map_or((part, None), |(name, port)| (name, Some(port)));
    match port {
        Some(port) => !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()),
        None => name == "localhost" || name.contains('.') && !name.chars().all(|letter| letter == '.'),
    }
}

fn registry(whole: &str, name: &str) -> Result<ContainerImage, ContainerImageError> {
    let usable = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@[]".contains(letter);
    if let Some(letter) = whole.chars().find(|letter| !usable(*letter)) {
        return Err(ContainerImageError::Character(letter));
    }
    if name.is_empty() || name.starts_with([':', '@']) {
        return Err(ContainerImageError::NoName);
    }
    Ok(ContainerImage::Registry(whole.to_owned()))
}

impl fmt::Display for ContainerImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path, tag: None } => write!(f, "{}{}", Self::PREFIX, path.display()),
            Self::Local { path, tag: Some(tag) } => write!(f, "{}{}:{tag}", Self::PREFIX, path.display()),
            Self::Registry(name) => write!(f, "{}{name}", Self::PREFIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn parse(text: &str) -> String {
        match ContainerImage::parse(text, Path::new("/lab")) {
            Ok(ContainerImage::Local { path, tag }) => {
                format!("local {} {}", path.display(), tag.unwrap_or_else(|| "-".to_owned()))
            }
            Ok(ContainerImage::Registry(name)) => format!("registry {name}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_host_tells_a_registry_from_a_path() {
        let texts = [
            "oci:dnsmasq.tar",
            "oci:images/dnsmasq.tar:2.90",
            "oci:saved.tar:docker.io/library/nginx:1.25",
            "oci:localhost:5000/a",
            "oci:layout:latest",
            "oci:./registry.lab/dnsmasq",
            "oci:../up/x.tar",
            "oci:/abs/x.tar",
            "oci:docker.io/library/nginx:1.25",
            "oci:localhost/a",
            "oci:10.0.0.1:5000/a@sha256:00",
            "oci:docker.io/",
            "oci:docker.io/a b",
            "oci:",
            "dnsmasq.tar",
        ];
        assert_snapshot!(texts.map(|text| format!("{text:<44} {}", parse(text))).join("\n"), @r"
        oci:dnsmasq.tar                              local /lab/dnsmasq.tar -
        oci:images/dnsmasq.tar:2.90                  local /lab/images/dnsmasq.tar 2.90
        oci:saved.tar:docker.io/library/nginx:1.25   local /lab/saved.tar docker.io/library/nginx:1.25
        oci:localhost:5000/a                         registry localhost:5000/a
        oci:layout:latest                            local /lab/layout latest
        oci:./registry.lab/dnsmasq                   local /lab/./registry.lab/dnsmasq -
        oci:../up/x.tar                              local /lab/../up/x.tar -
        oci:/abs/x.tar                               local /abs/x.tar -
        oci:docker.io/library/nginx:1.25             registry docker.io/library/nginx:1.25
        oci:localhost/a                              registry localhost/a
        oci:10.0.0.1:5000/a@sha256:00                registry 10.0.0.1:5000/a@sha256:00
        oci:docker.io/                               the name of the image is missing behind the registry's host
        oci:docker.io/a b                            ` ` cannot be in the name of an image in a registry
        oci:                                         nothing follows `oci:`
        dnsmasq.tar                                  it does not begin with `oci:`
        ");
    }

    #[test]
    fn a_reference_is_written_as_it_is_read() {
        for text in ["oci:/a/b.tar", "oci:/a/b.tar:c", "oci:/a/b.tar:n:1", "oci:quay.io/x/y@sha256:0a"] {
            assert_eq!(
                ContainerImage::parse(text, Path::new("/")).map(|image| image.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
