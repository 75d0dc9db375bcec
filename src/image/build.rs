//! One build: resolve, download, unpack, run the script, store the result under its key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::apt::{self, Apt, Package};
use super::cache::{Built, ImageFolder, Record, RecordFile};
use super::digest::{self, hex};
use super::error::{BuildError, Doing};
use super::process::{command, has, watch};
use super::recipes::Source;
use super::{Freshness, Progress, fetch};
use crate::name::ImageName;

/// Lines `name version architecture` of packages that a script installed itself, for the record.
const INSTALLED: &str = "packages.txt";

#[expect(clippy::disallowed_methods, reason = "the record of an image says when it was built")]
pub(super) fn build(
    cache: &Path,
    image: &ImageName,
    source: &Source,
    freshness: Freshness,
    progress: &mut dyn FnMut(Progress),
) -> Result<Built, BuildError> {
    let folder = ImageFolder::of(cache, image);
    let reuse = || folder.by_recipe(source.digest()).filter(|_| freshness == Freshness::Reuse);
    if let Some(built) = reuse() {
        return Ok(built);
    }
    let lock =
        folder.lock(&mut || progress(Progress::Step(format!("waiting for another build of {image}"))))?;
    // Another process may have built it while we waited for the lock.
    if let Some(built) = reuse() {
        return Ok(built);
    }

    let started = Timestamp::now();
    check_tools(image, source)?;
    let (packages, archives) = packages(cache, image, source, progress)?;
    let key = key(source, &packages);
    if let Some(built) = folder.by_key(&key) {
        folder.point(source.digest(), &key)?;
        return Ok(built);
    }

    let scratch = folder.scratch()?;
    let made = BuildFolder { cache, image, source, dir: &scratch, log: &folder.log(), lock: &lock }
        .make(&archives, progress);
    let made = made.and_then(|(files, installed)| {
        let record = Record {
            schema: 1,
            image: image.to_string(),
            key: key.clone(),
            recipe: source.digest().to_owned(),
            built: started.to_string(),
            seconds: Duration::try_from(Timestamp::now() - started).unwrap_or_default().as_secs_f64(),
            packages,
            installed,
            files,
        };
        let path = scratch.join("out/image.json");
        let text = serde_json::to_string_pretty(&record).expect("a record has only strings and numbers");
        fs::write(&path, text + "\n").doing("write", &path)?;
        folder.publish(&scratch.join("out"), &key)?;
        folder.point(source.digest(), &key)
    });
    let removed = fs::remove_dir_all(&scratch).doing("remove", &scratch);
    made.and(removed)?;
    folder
        .by_key(&key)
        .ok_or_else(|| BuildError::NoFile { image: image.clone(), file: "image.json".to_owned() })
}

/// Returns the key of an image: a hash of everything that determines its contents.
fn key(source: &Source, packages: &[Package]) -> String {
    let mut all = Sha256::new();
    all.update(source.digest());
    for Package { name, version, architecture, sha256, size: _ } in packages {
        all.update(format!("\n{name} {version} {architecture} {sha256}"));
    }
    hex(&all.finalize())[..16].to_owned()
}

fn check_tools(image: &ImageName, source: &Source) -> Result<(), BuildError> {
    let missing = source.recipe.tools.iter().find(|(tool, _)| !has(tool));
    missing.map_or(Ok(()), |(tool, package)| {
        Err(BuildError::NoTool { image: image.to_string(), tool: tool.clone(), package: package.clone() })
    })
}

fn packages(
    cache: &Path,
    image: &ImageName,
    source: &Source,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Package>, Vec<PathBuf>), BuildError> {
    let (packages, meta) = source.packages();
    if packages.is_empty() && meta.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    if !apt::available() {
        let files = source.recipe.files.keys().cloned().collect();
        return Err(BuildError::NoApt { image: image.clone(), files });
    }
    let apt = Apt::open(cache, progress)?;
    apt.update(progress)?;
    let packages = apt.resolve(&packages, &meta, source.recipe.depends)?;
    let names = packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    progress(Progress::Step(format!("packages {names}")));
    let archives = apt.download(&packages)?;
    Ok((packages, archives))
}

/// The build of one image.
struct BuildFolder<'a> {
    cache: &'a Path,
    image: &'a ImageName,
    source: &'a Source,
    dir: &'a Path,
    log: &'a Path,
    lock: &'a File,
}

type Made = (BTreeMap<String, RecordFile>, Vec<String>);

impl BuildFolder<'_> {
    fn make(&self, archives: &[PathBuf], progress: &mut dyn FnMut(Progress)) -> Result<Made, BuildError> {
        let out = self.folder("out")?;
        for (name, file) in &self.source.recipe.files {
            let from = match (&file.path, &file.url, &file.sha256) {
                (Some(path), _, _) => self.source.provided(path),
                (None, Some(url), Some(sha256)) => {
                    fetch::fetch(url, sha256, &self.cache.join("downloads"), progress)?
                }
                (None, _, _) => continue,
            };
            fs::copy(&from, out.join(name)).doing("copy", &from)?;
        }
        if let Some(script) = &self.source.recipe.build {
            self.run(script, &out, archives, progress)?;
        }

        progress(Progress::Step("computing digests".to_owned()));
        let mut files = BTreeMap::new();
        for name in self.source.recipe.files.keys() {
            let no_file = |_| BuildError::NoFile { image: self.image.clone(), file: name.clone() };
            let (size, sha256) = digest::of_file(&out.join(name)).map_err(no_file)?;
            files.insert(name.clone(), RecordFile { size, sha256 });
        }
        let installed = out.join(INSTALLED);
        let lines = fs::read_to_string(&installed).unwrap_or_default().lines().map(str::to_owned).collect();
        for entry in fs::read_dir(&out).doing("read", &out)?.filter_map(Result::ok) {
            if !files.contains_key(entry.file_name().to_string_lossy().as_ref()) {
                fs::remove_file(entry.path()).doing("remove", &entry.path())?;
            }
        }
        Ok((files, lines))
    }

    fn run(
        &self,
        script: &str,
        out: &Path,
        archives: &[PathBuf],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), BuildError> {
        let (recipe, base) = (self.folder("recipe")?, self.folder("base")?);
        let (packages, work) = (self.folder("packages")?, self.folder("work")?);
        self.source.extract(&recipe)?;
        let mut below = (self.source.base.as_ref(), base.clone());
        while let (Some(source), folder) = below {
            source.extract(&folder)?;
            below = (source.base.as_ref(), folder.join("base"));
        }
        progress(Progress::Step("unpacking the packages".to_owned()));
        for archive in archives {
            apt::unpack(archive, &packages)?;
        }
        progress(Progress::Step(format!("building {}", self.image)));
        let mut log = File::create(self.log).doing("create", self.log)?;
        let mut child = command("sh");
        // A user's PATH may lack the folder of disk tools.
        child
            .args(["-c", "PATH=$PATH:/usr/sbin:/sbin; export PATH; umask 022; exec sh \"$0\""])
            .arg(recipe.join(script));
        child.env("RECIPE", &recipe).env("BASE", &base).env("PACKAGES", &packages).env("OUT", out);
        child.env("LC_ALL", "C").current_dir(&work);
        let held = self.lock.try_clone().doing("hold", self.log)?;
        watch(&format!("build image `{}`", self.image), &mut child, held, &mut log, &mut |line| {
            progress(Progress::Line(line.to_owned()));
        })
    }

    fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder).doing("create", &folder)?;
        Ok(folder)
    }
}
