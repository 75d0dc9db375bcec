//! GnuPG as a client that verifies signatures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// The passphrase of locked keys.
pub(crate) const PASSPHRASE: &str = "secret words";

/// A GnuPG home with one key.
pub(crate) struct Gpg {
    home: tempfile::TempDir,
}

impl Gpg {
    /// Creates a key with GnuPG's parameters; it is locked if they have a passphrase.
    pub(crate) fn make(parameters: &str) -> Self {
        let gpg = Self { home: tempfile::tempdir().expect("a folder") };
        fs::set_permissions(gpg.home.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
        let file = gpg.path("parameters");
        let open = if parameters.contains("Passphrase:") { "" } else { "%no-protection\n" };
        fs::write(&file, format!("{open}{parameters}\n%commit\n")).expect("a file");
        gpg.run(&["--gen-key".as_ref(), file.as_os_str()]);
        gpg
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn run(&self, args: &[&std::ffi::OsStr]) -> (String, Vec<u8>) {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.home.path()).args(["--batch", "--no-tty", "--pinentry-mode", "loopback"]);
        let output = gpg.args(["--passphrase", PASSPHRASE]).args(args).output().expect("gpg");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        (said, output.stdout)
    }

    /// Exports the secret key as a key ring.
    pub(crate) fn key_ring(&self) -> PathBuf {
        let (_, bytes) = self.run(&["--export-secret-keys".as_ref()]);
        let file = self.path("ring.gpg");
        fs::write(&file, bytes).expect("a file");
        file
    }

    /// Verifies a signature with gpg, which must succeed.
    pub(crate) fn verify(&self, signature: &[u8], text: &[u8]) -> String {
        let (of, file) = (self.path("signature"), self.path("text"));
        fs::write(&of, signature).expect("a file");
        fs::write(&file, text).expect("a file");
        let (said, _) = self.run(&["--verbose".as_ref(), "--verify".as_ref(), of.as_ref(), file.as_ref()]);
        assert!(said.contains("Good signature"), "{said}");
        said
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // Otherwise its agent keeps running.
        Command::new("gpgconf").env("GNUPGHOME", self.home.path()).args(["--kill", "all"]).output().ok();
    }
}
