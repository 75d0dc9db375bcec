//! cloud-init seeds: a FAT volume labelled CIDATA (cloud-init, data source NoCloud).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::hint::Hint;
use crate::plan::{SSH_KEY, SeedPlan};

/// Room for names, tables and some growth.
const SLACK: u64 = 1 << 20;

/// Why a seed could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {what} of the cloud-init seed of `{node}`")]
pub struct SeedError {
    what: String,
    node: String,
    #[source]
    source: io::Error,
}

impl Hint for SeedError {}

/// Writes the seed of a node into the run folder, with the public SSH key of the run.
///
/// Blocks while its files are copied.
pub fn write(plan: &SeedPlan, run_dir: &Path, ssh_public_key: &str) -> Result<(), SeedError> {
    let failed = |what: &str| {
        let (what, node) = (what.to_owned(), plan.node.to_string());
        move |source| SeedError { what, node, source }
    };
    let mut size = SLACK;
    for source in plan.copies.values() {
        size += std::fs::metadata(source).map_err(failed(&source.display().to_string()))?.len();
    }
    let path = run_dir.join(&plan.path);
    let volume = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let mut volume = volume.map_err(failed("the volume"))?;
    // Whole mebibytes, so that all readers agree on the number of sectors.
    volume.set_len(size.next_multiple_of(1 << 20)).map_err(failed("the volume"))?;
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(&mut volume, options).map_err(failed("the file system"))?;
    volume.seek(SeekFrom::Start(0)).map_err(failed("the file system"))?;
    let system =
        fatfs::FileSystem::new(volume, fatfs::FsOptions::new()).map_err(failed("the file system"))?;
    for (name, text) in &plan.files {
        let mut file = system.root_dir().create_file(name).map_err(failed(name))?;
        file.write_all(text.replace(SSH_KEY, ssh_public_key).as_bytes()).map_err(failed(name))?;
    }
    for (name, source) in &plan.copies {
        let mut from = File::open(source).map_err(failed(name))?;
        let mut file = system.root_dir().create_file(name).map_err(failed(name))?;
        io::copy(&mut from, &mut file).map_err(failed(name))?;
    }
    system.unmount().map_err(failed("the file system"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;
    use crate::name::NodeName;

    #[test]
    fn a_seed_holds_its_files_and_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let user_data = dir.path().join("user-data.yaml");
        std::fs::write(&user_data, "#cloud-config\n").unwrap();
        let plan = SeedPlan {
            node: NodeName::new("a").unwrap(),
            path: "seed.img".into(),
            files: BTreeMap::from([("meta-data".to_owned(), format!("key: {SSH_KEY}\n"))]),
            copies: BTreeMap::from([("user-data".to_owned(), user_data)]),
        };
        write(&plan, dir.path(), "ssh-ed25519 AAAA").unwrap();

        let volume = File::open(dir.path().join("seed.img")).unwrap();
        let system = fatfs::FileSystem::new(volume, fatfs::FsOptions::new()).unwrap();
        let read = |name: &str| {
            let mut text = String::new();
            system.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(system.volume_label(), "CIDATA");
        assert_eq!(read("meta-data"), "key: ssh-ed25519 AAAA\n");
        assert_eq!(read("user-data"), "#cloud-config\n");
    }
}
