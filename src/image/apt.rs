//! Debian packages, with a private apt state: works for any user, and installs nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Progress;
use super::digest::{self, lock};
use super::error::{BuildError, Doing};
use super::process::{command, has, output};

const LISTS_STAY_FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// One package at the version that apt chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The digest of its file.
    pub sha256: String,
    /// The size of its file in bytes.
    pub size: u64,
}

/// The apt state in the cache, with the lists of the host's sources.
pub(super) struct Apt {
    root: PathBuf,
    packages: PathBuf,
    // Invariant: held while the state is used; apt's own locks are disabled.
    _lock: nix::fcntl::Flock<File>,
}

/// Returns whether the host has apt.
pub(super) fn available() -> bool {
    has("apt-get") && has("dpkg-deb")
}

impl Apt {
    pub(super) fn open(cache: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Self, BuildError> {
        let root = cache.join("apt");
        let packages = cache.join("packages");
        for folder in ["lists/partial", "cache/archives/partial", "state"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).doing("create", &folder)?;
        }
        fs::create_dir_all(&packages).doing("create", &packages)?;
        let status = root.join("status");
        fs::write(&status, "").doing("write", &status)?;
        let lock = lock(&root.join("lock"), &mut || {
            progress(Progress::Step("waiting for another download".to_owned()))
        })?;
        Ok(Self { root, packages, _lock: lock })
    }

    /// Fetches the package lists unless they are fresh.
    pub(super) fn update(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), BuildError> {
        let stamp = self.root.join("updated");
        // If the clock was set back, the lists count as old.
        let age =
            fs::metadata(&stamp).and_then(|stamp| stamp.modified()).ok().and_then(|then| then.elapsed().ok());
        if age.is_some_and(|age| age < LISTS_STAY_FRESH) {
            return Ok(());
        }
        progress(Progress::Step("fetching package lists".to_owned()));
        // By default apt succeeds even if it has reached no source.
        let mut update = self.apt("apt-get");
        let updated =
            output("fetch package lists", update.args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]));
        // One unreachable source, or a hook of the host that needs root, must not prevent the use of other sources; a
        // missing package is reported later.
        let any = fs::read_dir(self.root.join("lists")).doing("read", &self.root)?.filter_map(Result::ok);
        let any = any.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages")).count() > 0;
        match updated {
            Ok(_) => fs::write(&stamp, "").doing("write", &stamp),
            Err(_) if any => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Resolves packages, meta packages and their dependencies to versions.
    pub(super) fn resolve(
        &self,
        packages: &[String],
        meta: &[String],
        depends: bool,
    ) -> Result<Vec<Package>, BuildError> {
        let mut names = packages.to_vec();
        for name in meta {
            let mut command = self.apt("apt-cache");
            let text = output("look up a meta package", command.args(["depends", "--important", name]))
                .map_err(|_| BuildError::NoPackage { package: name.clone() })?;
            let below = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
            let before = names.len();
            names.extend(below.map(str::to_owned));
            if names.len() == before {
                return Err(BuildError::NoPackage { package: name.clone() });
            }
        }
        if depends {
            let mut command = self.apt("apt-get");
            command.args(["-qq", "--print-uris", "--no-install-recommends", "install"]).args(&names);
            names = output("resolve the dependencies of the packages", &mut command)?
                .lines()
                .filter_map(name_in_uri)
                .collect();
        }
        names.sort();
        names.dedup();
        self.show(&names)
    }

    /// Downloads missing packages, and returns the files of all.
    pub(super) fn download(&self, packages: &[Package]) -> Result<Vec<PathBuf>, BuildError> {
        let missing: Vec<&Package> =
            packages.iter().filter(|package| !self.file_of(package).exists()).collect();
        if !missing.is_empty() {
            self.fetch(&missing)?;
        }
        Ok(packages.iter().map(|package| self.file_of(package)).collect())
    }

    fn file_of(&self, package: &Package) -> PathBuf {
        self.packages.join(format!("{}.deb", package.sha256))
    }

    /// Downloads packages with one call of apt, whose start takes longer than a small download.
    fn fetch(&self, packages: &[&Package]) -> Result<(), BuildError> {
        let folder = self.root.join("download");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing("remove", &folder);
            }
            _ => fs::create_dir_all(&folder).doing("create", &folder)?,
        }
        let wanted = packages.iter().map(|package| match package.architecture.as_str() {
            "all" => format!("{}={}", package.name, package.version),
            architecture => format!("{}:{architecture}={}", package.name, package.version),
        });
        let mut command = self.apt("apt-get");
        output("download packages", command.args(["-q", "download"]).args(wanted).current_dir(&folder))?;
        let files: Vec<PathBuf> = fs::read_dir(&folder)
            .doing("read", &folder)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        for package in packages {
            let head = format!("{}_", package.name);
            let file = files
                .iter()
                .find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&head)));
            let file = file.ok_or_else(|| BuildError::NoPackage { package: package.name.clone() })?;
            let (_, found) = digest::of_file(file).doing("read", file)?;
            if found != package.sha256 {
                let what = format!("package {}", package.name);
                return Err(BuildError::Digest { what, expected: package.sha256.clone(), found });
            }
            fs::rename(file, self.file_of(package)).doing("move", file)?;
        }
        Ok(())
    }

    /// Returns the packages of these names, with one call of apt.
    fn show(&self, names: &[String]) -> Result<Vec<Package>, BuildError> {
        let unknown = |name: &String| BuildError::NoPackage { package: name.clone() };
        let mut command = self.apt("apt-cache");
        command.args(["show", "--no-all-versions"]).args(names);
        // It fails if it knows none of them.
        let text =
            output("look packages up", &mut command).map_err(|error| names.first().map_or(error, unknown))?;
        let found: Vec<Package> = text.split("\n\n").filter_map(package).collect();
        let named = |name: &String| found.iter().find(|package| package.name == *name).cloned();
        names.iter().map(|name| named(name).ok_or_else(|| unknown(name))).collect()
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = command(program);
        let at = |key: &str, below: &str| format!("Dir::{key}={}", self.root.join(below).display());
        for option in [
            at("State", "state"),
            at("State::lists", "lists"),
            at("State::status", "status"),
            at("Cache", "cache"),
            // apt's parsed lists. Images for containers disable this cache, and then each call parses them again.
            "Dir::Cache::pkgcache=pkgcache.bin".to_owned(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Debug::NoLocking=1".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// Unpacks a package into a folder, without running its scripts.
pub(super) fn unpack(file: &Path, to: &Path) -> Result<(), BuildError> {
    output("unpack a package", command("dpkg-deb").arg("-x").arg(file).arg(to)).map(drop)
}

/// Parses the name from a line like `'http://…/x.deb' name_1.0_amd64.deb 1000 SHA256:…`.
fn name_in_uri(line: &str) -> Option<String> {
    let file = line.strip_prefix('\'')?.split_once("' ")?.1;
    Some(file.split_once('_')?.0.to_owned())
}

/// Parses the package from a stanza of apt-cache show.
fn package(text: &str) -> Option<Package> {
    let field = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::to_owned)
    };
    Some(Package {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
        sha256: field("SHA256")?,
        size: field("Size")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn apt_is_understood() {
        let text = "Package: busybox\nSource: x\nVersion: 1:2\nArchitecture: amd64\nSize: 12\nSHA256: ab\n";
        assert_snapshot!(format!("{:?}", package(text)), @r#"Some(Package { name: "busybox", version: "1:2", architecture: "amd64", sha256: "ab", size: 12 })"#);
        assert_snapshot!(format!("{:?}", package("N: Unable to locate package x\n")), @"None");
        assert_snapshot!(format!("{:?}", name_in_uri("'http://d/p/libc6_2.36-9%2bdeb12u1_amd64.deb' libc6_2.36-9+deb12u1_amd64.deb 12 SHA256:ab")), @r#"Some("libc6")"#);
    }
}
