//! What umoci leaves beside the files of an image: the runtime configuration, and who owns which file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use crate::image::cache::{entries, file_name};
use crate::image::error::{BuildError, Doing};
use crate::system::host::{Container, Owner};

/// The runtime configuration, as far as it is used (OCI runtime specification, `config.json`).
#[derive(Deserialize)]
struct Config {
    process: Process,
}

#[derive(Deserialize)]
struct Process {
    user: User,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    cwd: PathBuf,
}

#[derive(Deserialize)]
struct User {
    uid: u32,
    gid: u32,
    #[serde(default, rename = "additionalGids")]
    additional: Vec<u32>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    digest: String,
}

/// Reads what an image starts from a bundle.
pub(super) fn container(bundle: &Path) -> Result<Container, BuildError> {
    let Config { process: Process { user, args, env, cwd } } = read_json(&bundle.join("config.json"))?;
    let manifest = entries(bundle)?.into_iter().find(|path| file_name(path).ends_with(".mtree"));
    let owners = match manifest {
        Some(path) => owners(&fs::read_to_string(&path).doing("read", &path)?),
        None => Vec::new(),
    };
    let User { uid, gid, additional } = user;
    Ok(Container { args, environment: env, folder: cwd, user: uid, group: gid, groups: additional, owners })
}

/// Returns the digest of the manifest of the only image in a layout.
pub(super) fn digest(layout: &Path) -> Result<String, BuildError> {
    let path = layout.join("index.json");
    let index: Index = read_json(&path)?;
    let manifest = index.manifests.into_iter().next();
    manifest
        .map(|manifest| manifest.digest)
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        .doing("read", &path)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, BuildError> {
    let read = fs::read(path).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.doing("read", path)
}

/// Returns the owners that are not root from umoci's mtree file.
///
/// It describes a tree: a line for each entry, the entries of a folder after it, and `..` at their end. Without
/// privileges umoci notes an owner as the attribute `user.rootlesscontainers`.
fn owners(mtree: &str) -> Vec<Owner> {
    let mut owners = Vec::new();
    let mut folder = PathBuf::new();
    let mut depth = 0_u32;
    for line in mtree.lines().map(str::trim) {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next().filter(|name| !name.starts_with(['#', '/'])) else { continue };
        if name == ".." {
            folder.pop();
            depth = depth.saturating_sub(1);
            continue;
        }
        let path = if depth == 0 { PathBuf::new() } else { folder.join(unescape(name)) };
        let mut is_folder = false;
        for word in words {
            match word.split_once('=') {
                Some(("type", kind)) => is_folder = kind == "dir",
                Some(("xattr.user.rootlesscontainers", value)) => {
                    owners.extend(owner(value).map(|(user, group)| Owner {
                        path: path.clone(),
                        user,
                        group,
                    }));
                }
                _ => {}
            }
        }
        if is_folder {
            folder = path;
            depth += 1;
        }
    }
    owners
}

/// Decodes user and group from the attribute: a message of protocol buffers with field 1, user, and 2, group.
fn owner(value: &str) -> Option<(u32, u32)> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
    let (mut user, mut group) = (0, 0);
    let mut rest = bytes.as_slice();
    while let Some((tag, after)) = varint(rest) {
        let (number, after) = varint(after)?;
        match tag {
            0x08 => user = number,
            0x10 => group = number,
            _ => return None,
        }
        rest = after;
    }
    // The value with all bits set means that the ID is that of the file.
    let id = |number: u32| if number == u32::MAX { 0 } else { number };
    Some((id(user), id(group)))
}

fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?)?;
        if byte & 0x80 == 0 {
            // A group of -1 is sent as 64 bits of ones.
            return Some((u32::try_from(value & u64::from(u32::MAX)).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

/// Decodes a name as vis(3) writes it: a backslash, and three octal digits or a letter.
fn unescape(name: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', [letter, after @ ..]) => {
                bytes.push(match letter {
                    b's' => b' ',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'a' => 7,
                    b'v' => 11,
                    b'f' => 12,
                    b'0' => 0,
                    other => *other,
                });
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn owners_are_read_from_the_tree() {
        let mtree = "\
            # comment\n\n/set type=file uid=1000 gid=1000\n\
            . size=4096 type=dir mode=0755\n\n\
            data size=4096 type=dir xattr.user.rootlesscontainers=CCEQIQ==\n    a\\040b size=3 mode=0644 xattr.user.rootlesscontainers=CGUQ////////////AQ==\n..\n\n\
            etc type=dir\n    passwd size=4\n    ssl type=dir\n        key size=1 xattr.user.rootlesscontainers=EGY=\n    ..\n..\n..\n";
        let owners: Vec<_> =
            owners(mtree).iter().map(|o| format!("{} {}:{}", o.path.display(), o.user, o.group)).collect();
        assert_snapshot!(owners.join("\n"), @r"
        data 33:33
        data/a b 101:0
        etc/ssl/key 0:102
        ");
    }
}
