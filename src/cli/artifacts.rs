//! Copies the artifacts of a run: all records, nothing large or secret.

use std::fs;
use std::io;
use std::path::Path;

/// Copies a run into a folder, without disks, UEFI variables, sockets and keys.
pub(super) fn keep(run_dir: &Path, folder: &Path) -> io::Result<()> {
    copy(run_dir, &folder.join(run_dir.file_name().unwrap_or_default()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() && name != "ssh" {
            copy(&entry.path(), &to.join(name))?;
        } else if kind.is_file() && !is_bulk(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn is_bulk(name: &str) -> bool {
    [".qcow2", ".fd", ".img"].iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_keys_stay_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        for file in
            ["events.jsonl", "node/a/console.log", "node/a/root.qcow2", "node/a/vars.fd", "ssh/id_ed25519"]
        {
            let path = run.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        keep(&run, &dir.path().join("kept")).unwrap();
        let kept = |file: &str| dir.path().join("kept/run").join(file).exists();
        assert!(kept("events.jsonl") && kept("node/a/console.log"));
        assert!(!kept("node/a/root.qcow2") && !kept("node/a/vars.fd") && !kept("ssh"));
    }
}
