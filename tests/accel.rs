//! The accelerator self-test with real machines.
//!
//! It must not always answer "no" or always "yes", and must not hang. So the same machines are booted under
//! emulation, where every part must pass; and for this host there must be an answer with a reason.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dryrack::image::{Freshness as Build, Library, Progress};
use dryrack::lab::Isolation;
use dryrack::name::ImageName;
use dryrack::node::qemu::accel::{self, Freshness, Part};
use dryrack::plan::{Accel, HostFacts};
use dryrack::system::facts;

/// Returns the kernel of `tiny` in the cache that tests share; builds it if needed.
fn linux() -> PathBuf {
    let shared = std::env::var_os("DRYRACK_CACHE").map(PathBuf::from);
    let cache = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    let mut progress = |_: Progress| {};
    let built =
        Library::new(cache, Vec::new()).build(&ImageName::new("tiny").unwrap(), Build::Reuse, &mut progress);
    built.expect("tiny can be built").files["kernel"].path.clone()
}

fn facts() -> HostFacts {
    let facts = facts::gather(Isolation::Private, facts::QemuDevices::NotAsked);
    assert!(facts.qemu.is_some(), "this test needs QEMU");
    assert!(!facts.firmware.is_empty(), "this test needs OVMF");
    facts
}

/// Returns the QEMU processes whose working directory is below a folder.
fn qemus_below(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .count()
}

#[test]
fn every_part_passes_under_emulation() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [Part::Bios, Part::Uefi, Part::Kernel, Part::Linux];
    let outcomes = accel::rehearse(&facts(), Accel::Tcg, &parts, Some(&linux()), folder.path()).unwrap();
    let mut passed: Vec<Part> =
        outcomes.iter().filter(|outcome| outcome.end.is_ok()).map(|outcome| outcome.part).collect();
    passed.sort();
    assert_eq!(passed, parts, "{outcomes:#?}");
    assert_eq!(qemus_below(folder.path()), 0);
}

#[test]
fn a_part_that_cannot_pass_fails_with_the_reason_and_ends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [Part::Uefi, Part::Linux];
    let nothing = Some(Path::new("/no/such/kernel"));
    let outcomes = accel::rehearse(&facts(), Accel::Tcg, &parts, nothing, folder.path()).unwrap();
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(outcomes[0].part, Part::Linux);
    assert!(outcomes[0].end.as_ref().unwrap_err().why.contains("/no/such/kernel"), "{outcomes:?}");
    assert_eq!(qemus_below(folder.path()), 0);
}

#[test]
fn this_host_is_answered_once_and_with_a_reason() {
    let cache = tempfile::tempdir().unwrap();
    let facts = facts();
    let verdict = accel::answer(&facts, cache.path(), Freshness::Cached);
    assert!(verdict.fresh && !verdict.why.is_empty(), "{verdict:?}");
    assert_eq!(qemus_below(cache.path()), 0);

    let again = accel::answer(&facts, cache.path(), Freshness::Cached);
    assert_eq!((again.accel, &again.why), (verdict.accel, &verdict.why));
    assert!(!again.fresh, "what was said once is remembered, not found out again");
    let opens = std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !opens {
        assert_eq!(verdict.accel, Accel::Tcg);
    }
}

#[test]
fn the_payload_is_its_source_assembled() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/node/qemu/accel");
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).current_dir(folder.path()).status();
        assert!(
            status.expect("binutils are installed: the linker of Rust needs them").success(),
            "{program}"
        );
    };
    let assembly = source.join("payload.S");
    run("as", &[assembly.to_str().unwrap(), "-o", "payload.o"]);
    run("ld", &["-Ttext=0", "-e", "0", "--oformat=binary", "payload.o", "-o", "payload.bin"]);
    let assembled = std::fs::read(folder.path().join("payload.bin")).unwrap();
    assert_eq!(assembled, std::fs::read(source.join("payload.bin")).unwrap());
}
