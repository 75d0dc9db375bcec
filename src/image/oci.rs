//! Container images: copied by skopeo, unpacked by umoci, cached by digest.
//!
//! ```text
//! CACHE/oci/DIGEST/{rootfs/, container.json}    an unpacked image
//! CACHE/oci/references/HASH                     a reference, and the digest for it
//! CACHE/oci/.fetch-*                            a fetch in progress, or the leftover of a kill -9
//! ```
//!
//! All files belong to the user, so that the cache can be removed without privileges; the owners that the image gives
//! them are in the record, and are set when a process gets its own layer above the image.

mod bundle;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::{PruneRule, Pruned, entries, file_name, take};
use super::digest::{self, hex, lock};
use super::error::{BuildError, Doing};
use super::process::{command, has, output};
use super::{Freshness, Progress};
use crate::lab::ContainerImage;
use crate::system::host::ImageRoot;

/// The programs, with the packages that contain them.
const TOOLS: [&str; 2] = ["skopeo", "umoci"];

/// An unpacked container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackedImage {
    /// The digest of its manifest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its files, and what it starts.
    pub root: ImageRoot,
}

/// A reference that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The image, as written in a lab file, with absolute paths.
    pub image: String,
    /// The digest of its manifest.
    pub digest: String,
}

/// The part of the cache with container images.
pub(super) struct ContainerCache {
    dir: PathBuf,
}

impl ContainerCache {
    pub(super) fn of(cache: &Path) -> Self {
        Self { dir: cache.join("oci") }
    }

    /// Returns the image that was fetched for a reference, as long as its file has not changed.
    pub(super) fn fetched(&self, image: &ContainerImage) -> Option<UnpackedImage> {
        let Reference { image: _, digest } = read_reference(&self.pointer(image).ok()?).ok()?;
        self.by_digest(&digest)
    }

    /// Returns every reference that was fetched, in order; one of a file that has changed meanwhile is not the current one.
    pub(super) fn list(&self) -> Vec<Reference> {
        let pointers = entries(&self.dir.join("references")).unwrap_or_default();
        let mut references: Vec<_> =
            pointers.iter().filter_map(|pointer| read_reference(pointer).ok()).collect();
        references.retain(|reference| self.by_digest(&reference.digest).is_some());
        references.sort_by(|a, b| (&a.image, &a.digest).cmp(&(&b.image, &b.digest)));
        references.dedup();
        references
    }

    /// Fetches and unpacks an image unless the cache has it.
    pub(super) fn fetch(
        &self,
        image: &ContainerImage,
        freshness: Freshness,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, BuildError> {
        let reuse = || self.fetched(image).filter(|_| freshness == Freshness::Reuse || image.is_pinned());
        if let Some(fetched) = reuse() {
            return Ok(fetched);
        }
        if let Some(tool) = TOOLS.into_iter().find(|tool| !has(tool)) {
            return Err(BuildError::NoTool {
                image: image.to_string(),
                tool: tool.to_owned(),
                package: tool.to_owned(),
            });
        }
        let pointer = self.pointer(image)?;
        let _lock = self.lock(&mut || progress(Progress::Step("waiting for another fetch".to_owned())))?;
        // Another process may have fetched it while we waited for the lock.
        if let Some(fetched) = reuse() {
            return Ok(fetched);
        }
        let scratch = self.scratch()?;
        let unpacked = self.unpack(image, &scratch, progress);
        let removed = remove_scratch(&scratch);
        let unpacked = unpacked?;
        removed?;
        let references = self.dir.join("references");
        fs::create_dir_all(&references).doing("create", &references)?;
        let new = references.join(".new");
        let reference = Reference { image: image.to_string(), digest: unpacked.digest.clone() };
        let text = serde_json::to_vec(&reference).expect("a reference has only strings");
        fs::write(&new, text).doing("write", &new)?;
        fs::rename(&new, &pointer).doing("move", &new)?;
        // An archive that has changed since makes what it was before stale.
        for other in entries(&self.dir.join("references"))?.into_iter().filter(|other| *other != pointer) {
            if read_reference(&other)?.image == reference.image {
                fs::remove_file(&other).doing("delete", &other)?;
            }
        }
        Ok(unpacked)
    }

    fn unpack(
        &self,
        image: &ContainerImage,
        scratch: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, BuildError> {
        progress(Progress::Step("copying".to_owned()));
        let layout = scratch.join("layout");
        copy(image, scratch, &layout)?;
        let digest = bundle::digest(&layout)?;
        if let Some(known) = self.by_digest(&digest) {
            return Ok(known);
        }
        progress(Progress::Step("unpacking".to_owned()));
        let bundle = scratch.join("bundle");
        let mut unpack = command("umoci");
        unpack.args(["unpack", "--rootless", "--image"]).arg(with_tag(&layout)).arg(&bundle);
        output(&format!("unpack {image}"), &mut unpack)?;
        let container = bundle::container(&bundle)?;
        let record = bundle.join("container.json");
        let text = serde_json::to_string_pretty(&container).expect("a record has only strings and numbers");
        fs::write(&record, text + "\n").doing("write", &record)?;
        let target = self.folder(&digest);
        // An incomplete folder, which somebody deleted files from, would stand in the way.
        remove_scratch(&target)?;
        fs::rename(&bundle, &target).doing("move", &bundle)?;
        let root = ImageRoot { lower: target.join("rootfs"), container };
        Ok(UnpackedImage { digest, root })
    }

    fn by_digest(&self, digest: &str) -> Option<UnpackedImage> {
        let folder = self.folder(digest);
        let container = serde_json::from_slice(&fs::read(folder.join("container.json")).ok()?).ok()?;
        let lower = folder.join("rootfs");
        lower
            .is_dir()
            .then(|| UnpackedImage { digest: digest.to_owned(), root: ImageRoot { lower, container } })
    }

    fn folder(&self, digest: &str) -> PathBuf {
        self.dir.join(digest.strip_prefix("sha256:").unwrap_or(digest))
    }

    /// Returns the file with the digest for a reference. A changed archive or layout is another reference.
    fn pointer(&self, image: &ContainerImage) -> Result<PathBuf, BuildError> {
        let mut all = Sha256::new();
        all.update(image.to_string());
        if let ContainerImage::Local { path, tag: _ } = image {
            let found = fs::metadata(path).doing("read", path)?;
            if found.is_dir() {
                let index = path.join("index.json");
                all.update(digest::of_file(&index).doing("read", &index)?.1);
            } else {
                let (size, inode) = (found.len(), found.ino());
                all.update(format!(" {size} {inode} {}.{}", found.mtime(), found.mtime_nsec()));
            }
        }
        Ok(self.dir.join("references").join(hex(&all.finalize())))
    }

    fn lock(&self, waiting: &mut dyn FnMut()) -> Result<Flock<File>, BuildError> {
        fs::create_dir_all(&self.dir).doing("create", &self.dir)?;
        lock(&self.dir.join(".lock"), waiting)
    }

    /// Removes leftovers of interrupted fetches, and creates a new folder. Only for the holder of the lock.
    fn scratch(&self) -> Result<PathBuf, BuildError> {
        for left in entries(&self.dir)?.into_iter().filter(|path| file_name(path).starts_with(".fetch-")) {
            remove_scratch(&left)?;
        }
        let scratch = self.dir.join(format!(".fetch-{}", std::process::id()));
        fs::create_dir(&scratch).doing("create", &scratch)?;
        Ok(scratch)
    }

    /// Removes what no reference points to, or everything.
    pub(super) fn prune(&self, rule: PruneRule, gone: &mut Vec<Pruned>) -> Result<(), BuildError> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _lock = self.lock(&mut || {})?;
        let references = self.dir.join("references");
        let mut used = Vec::new();
        for pointer in entries(&references)? {
            match rule {
                PruneRule::All => take(pointer, gone)?,
                PruneRule::Stale => used.push(read_reference(&pointer)?),
            }
        }
        let used: Vec<PathBuf> = used.iter().map(|reference| self.folder(&reference.digest)).collect();
        for path in entries(&self.dir)? {
            if file_name(&path) != ".lock" && path != references && !used.contains(&path) {
                make_removable(&path);
                take(path, gone)?;
            }
        }
        Ok(())
    }
}

fn read_reference(pointer: &Path) -> Result<Reference, BuildError> {
    let read = fs::read(pointer).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.doing("read", pointer)
}

/// Copies an image into an OCI layout.
fn copy(image: &ContainerImage, scratch: &Path, layout: &Path) -> Result<(), BuildError> {
    let doing = format!("fetch {image}");
    let attempt = |from: String, more: &[&str]| {
        let mut copy = command("skopeo");
        // Whose images a user trusts is the choice of the lab file; most hosts have no policy.
        copy.args(["--insecure-policy", "copy", "--quiet"]).args(more).arg(from);
        let mut to = std::ffi::OsString::from("oci:");
        to.push(with_tag(layout));
        output(&doing, copy.arg(to)).map(drop)
    };
    let (path, tag) = match image {
        ContainerImage::Built { image, file } => {
            // Whoever builds images knows the path.
            return Err(BuildError::NoFile { image: image.clone(), file: file.clone() });
        }
        ContainerImage::Registry(name) => {
            let more: &[&str] = if is_loopback(name) { &["--src-tls-verify=false"] } else { &[] };
            return attempt(format!("docker://{name}"), more);
        }
        ContainerImage::Local { path, tag } => {
            (path, tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}")))
        }
    };
    // In the references of skopeo a colon ends a path.
    let link = scratch.join("source");
    std::os::unix::fs::symlink(path, &link).doing("create", &link)?;
    let link = link.display().to_string();
    let attempt = |kind: &str| {
        attempt(format!("{kind}:{link}{tag}"), &[]).map_err(|error| error.with_path(&link, path))
    };
    if path.is_dir() {
        return attempt("oci");
    }
    // Newer versions of docker save both formats in one archive, with names only in docker's.
    attempt("docker-archive").or_else(|first| attempt("oci-archive").map_err(|second| both(first, second)))
}

/// Joins the errors of the attempts to read an archive as one kind and as the other.
fn both(docker: BuildError, oci: BuildError) -> BuildError {
    match (docker, oci) {
        (
            BuildError::Child { doing, status, output: docker },
            BuildError::Child { doing: _, status: _, output: oci },
        ) => BuildError::Child {
            doing,
            status,
            output: format!("as a docker archive:\n{docker}\nas an OCI archive:\n{oci}"),
        },
        (_, other) => other,
    }
}

/// Tells whether a registry is on this host, where docker does not demand TLS either.
fn is_loopback(name: &str) -> bool {
    let host = name.split('/').next().unwrap_or_default();
    if host == "[::1]" || host.starts_with("[::1]:") {
        return true;
    }
    let host = host.split(':').next().unwrap_or_default();
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the reference of the only image in a layout that we wrote.
fn with_tag(layout: &Path) -> std::ffi::OsString {
    let mut reference = layout.as_os_str().to_owned();
    reference.push(":image");
    reference
}

/// Removes a folder, also if the image made folders in it that are closed to their owner.
fn remove_scratch(path: &Path) -> Result<(), BuildError> {
    make_removable(path);
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing("remove", path),
    }
}

/// Opens folders that are closed to their owner, as some images have them. What fails here fails again, with its
/// error, when the folder is removed.
fn make_removable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if !found.is_dir() {
        return;
    }
    if found.mode() & 0o700 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).ok();
    }
    for entry in entries(path).unwrap_or_default() {
        make_removable(&entry);
    }
}

#[cfg(test)]
mod tests;
