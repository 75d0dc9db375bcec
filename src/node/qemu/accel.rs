//! The self-test of KVM: boots machines instead of assuming that KVM works.
//!
//! A `/dev/kvm` that opens is not enough. Under some hypervisors (such as PVM) a virtual machine can be created and a
//! small guest runs in it, but then the ROM of a NIC, OVMF or a kernel hits an instruction that is not emulated, or
//! hangs. So the self-test boots what labs boot: both firmwares with the ROM of a NIC until they send a DHCP request,
//! and 64-bit kernels until they print their first line. A part that fails without a clear reason is repeated under
//! emulation, so that another problem is not attributed to KVM.
//!
//! Needs no root, no TAP and no network: the NICs are connected to a socket.

mod kernel;
mod trial;
mod trial_cache;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Group};
use serde::{Deserialize, Serialize};

use crate::plan::{Accel, HostFacts};
use trial_cache::TrialCache;

/// Whether a cached result may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Yes, if it was found since the host booted.
    Cached,
    /// No: the machines are booted again.
    Fresh,
}

/// The accelerator of machines on this host, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The accelerator.
    pub accel: Accel,
    /// The reason, in one line.
    pub why: String,
    /// Whether it is new: not from the cache.
    pub fresh: bool,
}

/// A part of the test: one machine, and the point it must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A BIOS and the iPXE ROM of a NIC, until it sends a DHCP request.
    Bios,
    /// OVMF and a NIC, until it sends a DHCP request.
    Uefi,
    /// Our own small 64-bit kernel, until it has finished.
    Kernel,
    /// A Linux kernel that is available, until its first line.
    Linux,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Bios => "the BIOS with a NIC's ROM",
            Self::Uefi => "UEFI firmware",
            Self::Kernel => "a 64-bit kernel",
            Self::Linux => "Linux",
        }
    }
}

/// The outcome of a part of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The part.
    pub part: Part,
    /// How long it took to pass, or why it failed.
    pub end: Result<Duration, TrialFailure>,
}

/// Why a part failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialFailure {
    /// What was seen, in one line.
    pub why: String,
    /// Whether the accelerator is certainly the cause: QEMU reports that it could not run the guest.
    pub of_accelerator: bool,
}

/// Returns the accelerator of machines on this host. Blocks while machines boot, a few seconds once per boot of the
/// host.
///
/// `cache` is the cache folder: it stores the result, and kernels of built images are taken from it.
pub fn answer(facts: &HostFacts, cache: &Path, freshness: Freshness) -> Verdict {
    let emulated = |why: String| Verdict { accel: Accel::Tcg, why, fresh: true };
    if facts.qemu.is_none() {
        return emulated("there is no QEMU to test KVM with".into());
    }
    let opened = open_kvm(Path::new("/dev/kvm"));
    let mut trial_cache = match (TrialCache::open(cache, facts, opened.is_ok()), &opened) {
        (Ok(trial_cache), _) => trial_cache,
        (Err(_), Err(why)) => return emulated(why.clone()),
        (Err(error), Ok(())) => {
            return emulated(format!("KVM cannot be tested without a cache folder: {error}"));
        }
    };
    if let Err(why) = opened {
        // Nothing is tested, but the result is new only once.
        let known = trial_cache.read(&[]).filter(|verdict| verdict.why == why);
        return known.unwrap_or_else(|| {
            trial_cache.write(&Conclusion::no(why.clone(), true));
            emulated(why)
        });
    }
    let linux = kernel::find(cache);
    let possible = trial::parts(facts, linux.as_deref());
    if freshness == Freshness::Cached
        && let Some(verdict) = trial_cache.read(&possible)
    {
        return verdict;
    }
    // Two commands at the same time test only once.
    if let Err(error) = trial_cache.lock() {
        return emulated(format!("KVM cannot be tested: {error}"));
    }
    if freshness == Freshness::Cached
        && let Some(verdict) = trial_cache.read(&possible)
    {
        return verdict;
    }
    let folder = trial_cache.folder();
    let conclusion = match &folder {
        Ok(folder) => {
            conclude(&possible, |accel, parts| rehearse(facts, accel, parts, linux.as_deref(), folder.path()))
        }
        Err(error) => Conclusion::untested(error),
    };
    if conclusion.lasts {
        trial_cache.write(&conclusion);
    }
    Verdict { accel: conclusion.accel, why: conclusion.why, fresh: true }
}

/// Boots the machines of the given parts in parallel, under the given accelerator, in their own folder.
///
/// Returns when the first has failed or all have passed; outcomes are in the order of completion.
pub fn rehearse(
    facts: &HostFacts,
    accel: Accel,
    parts: &[Part],
    linux: Option<&Path>,
    folder: &Path,
) -> io::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trial::run(facts, accel, parts, linux, folder))
}

/// Returns why `/dev/kvm` cannot be used, if so.
fn open_kvm(device: &Path) -> Result<(), String> {
    let Err(error) = File::options().read(true).write(true).open(device) else { return Ok(()) };
    let path = device.display();
    Err(match error.kind() {
        io::ErrorKind::NotFound => format!(
            "this host has no {path} (no virtualisation, or it is switched off in the firmware's setup, or the module is not loaded)"
        ),
        io::ErrorKind::PermissionDenied => format!("{path}: permission denied; {}", way_in(device)),
        _ => format!("{path} cannot be opened: {error}"),
    })
}

/// Returns how a user gets access to a device.
fn way_in(device: &Path) -> String {
    let Ok(metadata) = device.metadata() else { return "ask the administrator".into() };
    let gid = metadata.gid();
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    let group = group.map_or_else(|| gid.to_string(), |group| group.name);
    if metadata.mode() & 0o060 == 0o060 && gid != 0 {
        format!("join group `{group}` and log in again")
    } else {
        format!(
            "its mode is {:o}, of group `{group}`: let a group of yours read and write it",
            metadata.mode() & 0o777
        )
    }
}

/// The result of the test.
#[derive(Debug, PartialEq, Eq)]
struct Conclusion {
    accel: Accel,
    why: String,
    /// The parts that were tested, if KVM works: only those are known to boot.
    tried: Vec<Part>,
    /// Whether it is valid until the host boots again.
    lasts: bool,
}

impl Conclusion {
    fn untested(error: &io::Error) -> Self {
        Self::no(format!("KVM cannot be tested: {error}"), false)
    }

    fn no(why: String, lasts: bool) -> Self {
        Self { accel: Accel::Tcg, why, tried: Vec::new(), lasts }
    }
}

/// Decides by trials; `boot` runs one.
fn conclude(
    possible: &[Part],
    mut boot: impl FnMut(Accel, &[Part]) -> io::Result<Vec<Outcome>>,
) -> Conclusion {
    let mut parts = possible.to_vec();
    loop {
        let outcomes = match boot(Accel::Kvm, &parts) {
            Ok(outcomes) => outcomes,
            Err(error) => return Conclusion::untested(&error),
        };
        let failed = outcomes.iter().find_map(|outcome| Some((outcome.part, outcome.end.as_ref().err()?)));
        let Some((part, failure)) = failed else {
            let longest = outcomes.iter().filter_map(|outcome| outcome.end.as_ref().ok()).max();
            let longest = longest.copied().unwrap_or_default().as_secs_f64();
            let why = format!("KVM boots firmware and kernels here (tested in {longest:.1} s)");
            return Conclusion { accel: Accel::Kvm, why, tried: possible.to_vec(), lasts: true };
        };
        let emulated = match failure.of_accelerator {
            true => None,
            false => match boot(Accel::Tcg, &[part]) {
                Ok(outcomes) => outcomes.into_iter().find_map(|outcome| outcome.end.err()),
                Err(error) => return Conclusion::untested(&error),
            },
        };
        let name = part.name();
        let (why, lasts) = match emulated {
            None => (format!("/dev/kvm opens, but {name} does not boot with it: {}", failure.why), true),
            // QEMU may be built without a serial console; the other parts still decide.
            Some(_) if part == Part::Linux => {
                parts.retain(|part| *part != Part::Linux);
                continue;
            }
            Some(same) => {
                (format!("KVM cannot be tested, {name} does not boot without it either: {}", same.why), false)
            }
        };
        return Conclusion::no(why, lasts);
    }
}

#[cfg(test)]
mod tests;
