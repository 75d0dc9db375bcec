//! Copies of the folders that a machine mounts and may change without changing the original.

use std::fs;
use std::io;
use std::path::Path;

use crate::lab::{Access, Share};
use crate::plan::qemu::SHARES;
use crate::system::host::copy_all;

/// Copies the folders that are to be copied.
pub(super) fn copy(shares: &[Share], folder: &Path) -> io::Result<()> {
    for share in shares.iter().filter(|share| share.access == Access::Copy) {
        let copies = folder.join(SHARES);
        fs::create_dir_all(&copies)?;
        copy_all(&share.path, &copies.join(share.name.as_str()))?;
    }
    Ok(())
}

/// Deletes the copies.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder.join(SHARES)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DiskName;

    #[test]
    fn only_copies_are_made_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("files");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "x").unwrap();
        let share =
            |name: &str, access| Share { name: DiskName::new(name).unwrap(), path: path.clone(), access };
        let shares =
            [share("one", Access::ReadOnly), share("two", Access::Copy), share("three", Access::Write)];
        copy(&shares, folder.path()).unwrap();
        let copies: Vec<_> = fs::read_dir(folder.path().join(SHARES)).unwrap().flatten().collect();
        assert_eq!(copies.iter().map(fs::DirEntry::file_name).collect::<Vec<_>>(), ["two"]);
        assert_eq!(fs::read(copies[0].path().join("a")).unwrap(), b"x");
        forget(folder.path()).unwrap();
        forget(folder.path()).unwrap();
        assert!(!folder.path().join(SHARES).exists() && path.join("a").exists());
    }
}
