//! The boot source of each boot of a node, derived from fetched files and kernel output.
//!
//! ```text
//!                         ┌─ a kernel was fetched ──────────────────────▶ network
//! power-on, reset ─▶ open ┤
//!                         └─ a kernel started without a fetch ──┬───────▶ disk
//!                                                               └───────▶ unknown
//! ```
//!
//! A loader alone decides nothing: iPXE and GRUB from the network may boot the disk (`sanboot`, `exit`). A kernel that
//! nobody was seen to fetch is only known to be from disk if the node has one, and if no other server can have served
//! it unseen: without a capture, or over an encrypted connection. With a capture, the frames of the fetch may be read a
//! moment after the console: the conclusion waits for them.

use std::time::Duration;

use super::stage::Clue;
use super::{Booted, NodeView, Power};
use crate::event::{BootServers, BootSources, BootedFrom, Delivery, FileRole, Known, Protocol, RunTime};

/// The minimum size of a kernel among files that the plan does not know.
const KERNEL: u64 = 1 << 20;
/// Output of a system before a reset may arrive after it; no system reaches its login prompt within this time.
const LATE: Duration = Duration::from_secs(1);
/// Name suffixes of boot programs, which are not kernels although some are as large.
const PROGRAMS: [&str; 7] = [".efi", ".0", ".kpxe", ".pxe", ".c32", ".mod", ".img"];

/// How long frames may be read after the output of the kernel that they brought.
const BEHIND: Duration = Duration::from_millis(300);

/// What was seen of a boot whose source is not known yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootClues {
    /// Whether the lab's DHCP saw it.
    asked: bool,
    /// Whether it fetched something, as far as that is seen.
    served: bool,
    /// Whether it connected to another server with encryption.
    encrypted: bool,
    /// When a kernel spoke, and what.
    spoke: Option<(RunTime, String)>,
}

impl NodeView {
    /// Applies an event, and returns the source of the current boot if the event shows it.
    pub(super) fn boot(&mut self, at: RunTime, known: &Known) -> Option<(BootedFrom, String)> {
        if matches!(known, Known::PoweredOn {} | Known::BootSeen {} | Known::Reset { .. }) {
            // What the last one fetched can no longer become known.
            self.settle_boot(RunTime::NEVER);
            let (from, by, clues) = (None, String::new(), BootClues::default());
            self.booted.push(Booted { began: at, from, by, clues });
            return None;
        }
        // What comes later than that is of its system.
        let settled = self.settle_boot(at);
        if settled.is_some() || self.power != Power::On {
            return settled;
        }
        let Booted { began, clues, .. } = self.open_boot()?;
        clues.asked |= matches!(known, Known::DhcpReplied { .. } | Known::DhcpIgnored { .. });
        clues.encrypted |= matches!(known, Known::TlsOffered { to_lab: false, .. });
        clues.served |= known.delivery().is_some_and(|delivery| delivery.is_fetch());
        let spoke = clues.spoke.as_ref().map(|(spoke, _)| *spoke);
        if let Some(by) = kernel_fetched(known).filter(|_| spoke.is_none_or(|spoke| at <= spoke)) {
            return self.booted_from(BootedFrom::Network, by);
        }
        if spoke.is_none() {
            clues.spoke = kernel_spoke(at.since(*began), known).map(|line| (at, line));
        }
        self.settle_boot(at)
    }

    /// Returns the source of the current boot if what was seen shows it by now.
    pub(super) fn settle_boot(&mut self, now: RunTime) -> Option<(BootedFrom, String)> {
        if now < self.boot_settles()? {
            return None;
        }
        let sources = self.boot_sources;
        let clues = &self.open_boot()?.clues;
        let (_, line) = clues.spoke.as_ref()?;
        let (from, by) = match clues.no_disk(sources) {
            None => (BootedFrom::Disk, line.clone()),
            Some(reason) => (BootedFrom::Unknown, format!("{line}, and {reason}")),
        };
        self.booted_from(from, by)
    }

    /// Returns when the source of the current boot is known without a further event.
    pub(super) fn boot_settles(&self) -> Option<RunTime> {
        let boot = self.booted.last().filter(|boot| boot.from.is_none())?;
        let (spoke, _) = boot.clues.spoke.as_ref()?;
        let is_captured = self.boot_sources.network == BootServers::Captured;
        Some(if is_captured { *spoke + BEHIND } else { *spoke })
    }

    fn open_boot(&mut self) -> Option<&mut Booted> {
        self.booted.last_mut().filter(|boot| boot.from.is_none())
    }

    fn booted_from(&mut self, from: BootedFrom, by: String) -> Option<(BootedFrom, String)> {
        let boot = self.open_boot()?;
        (boot.from, boot.by) = (Some(from), by.clone());
        Some((from, by))
    }
}

impl BootClues {
    /// Returns why a kernel that nobody fetched from the lab need not be from disk.
    fn no_disk(&self, sources: BootSources) -> Option<&'static str> {
        let elsewhere = match sources.network {
            BootServers::Lab => false,
            BootServers::Captured => self.encrypted,
            BootServers::LabAndOthers => self.asked && !self.served,
            BootServers::Others => !self.served,
        };
        match (sources.disk, elsewhere) {
            (false, _) => Some("the node has no disk"),
            (true, true) => Some("another server may have served it"),
            (true, false) => None,
        }
    }
}

/// Returns the kernel that was fetched completely.
fn kernel_fetched(known: &Known) -> Option<String> {
    let Delivery { path, role, bytes, by, server } = known.delivery().filter(Delivery::is_fetch)?;
    let is_kernel = match role {
        Some(FileRole::Kernel) => true,
        Some(
            FileRole::Loader
            | FileRole::Script
            | FileRole::Initrd
            | FileRole::Seed
            | FileRole::Certificate
            | FileRole::Listing
            | FileRole::Signature,
        ) => false,
        // A file of the served folder: its size distinguishes it from menus, its name from boot programs.
        None | Some(FileRole::File | FileRole::Other(_)) => {
            let name = path.split('?').next().unwrap_or(path).to_ascii_lowercase();
            bytes >= KERNEL && !PROGRAMS.iter().any(|end| name.ends_with(end))
        }
    };
    let by = match by {
        Protocol::Tftp => "TFTP",
        Protocol::Http { .. } => "HTTP",
    };
    let from = server.map(|server| format!(" from {server}")).unwrap_or_default();
    is_kernel.then(|| format!("`{path}` by {by}{from}"))
}

/// Returns a line that only a running system prints.
fn kernel_spoke(age: Duration, known: &Known) -> Option<String> {
    let Known::ConsoleLine { text } = known else { return None };
    let spoke = match Clue::from_event(known)? {
        Clue::KernelSpoke => true,
        Clue::SystemSpoke => age >= LATE,
        _ => false,
    };
    let line: String = text.trim().chars().take(60).collect();
    spoke.then(|| format!("`{line}`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Snapshot;
    use crate::event::examples::{console, event, http, lease, tftp};
    use crate::event::{BootServers, BootSources, Event, FileRole, Known, PowerCause, RunTime, Source};
    use crate::name::NodeName;

    /// Returns the boot source of each boot, `?` if no kernel started.
    fn check(kinds: impl IntoIterator<Item = Known>) -> String {
        check_of(BootSources::default(), kinds)
    }

    /// Returns the state of a run of one node, `a`, that can boot from this.
    fn started(sources: BootSources, accel: &str) -> Snapshot {
        let mut snapshot = Snapshot::new([]);
        let nodes = [(NodeName::new("a").unwrap(), sources)].into();
        let (lab, accel) = ("lab".to_owned(), accel.to_owned());
        let (hosts, waits) = (std::collections::BTreeSet::new(), Box::default());
        snapshot.apply(&event(0, None, Known::RunStarted { lab, accel, nodes, hosts, waits }));
        snapshot
    }

    /// The same, of a node that can boot from this.
    fn check_of(sources: BootSources, kinds: impl IntoIterator<Item = Known>) -> String {
        let mut snapshot = started(sources, "tcg");
        for (second, kind) in kinds.into_iter().enumerate() {
            snapshot.apply(&event(second as u64 * 1000, Some("a"), kind));
        }
        snapshot.pass(RunTime::from(Duration::from_secs(3600)));
        let view = snapshot.nodes.values().next().expect("a node");
        let words = view.booted.iter().map(|boot| boot.from.map_or("?", |from| from.as_str()));
        words.collect::<Vec<_>>().join(" ")
    }

    fn reset() -> Known {
        Known::Reset { why: PowerCause::Guest }
    }

    fn file(path: &str, bytes: u64) -> Known {
        let Known::HttpServed { method, status, complete, ms, rule, range, tls, server, .. } =
            http("file", 200, true)
        else {
            unreachable!("it is one")
        };
        let (path, role) = (path.to_owned(), Some(FileRole::File));
        Known::HttpServed {
            method,
            path,
            status,
            bytes,
            complete,
            ms,
            role,
            format: None,
            rule,
            range,
            tls,
            server,
        }
    }

    #[test]
    fn a_kernel_that_was_fetched_came_from_the_network() {
        let linux = || console("Linux version 6.1");
        assert_eq!(check([Known::PoweredOn {}, lease("ipxe", "ack"), http("kernel", 200, true)]), "network");
        // Any file name, from the served folder.
        assert_eq!(check([Known::PoweredOn {}, file("/assets/vmlinuz", 6 << 20), linux()]), "network");
        // Also in ranges.
        assert_eq!(check([Known::PoweredOn {}, http("kernel", 206, true)]), "network");
        // Large files that are not kernels.
        for role in ["listing", "signature", "seed"] {
            assert_eq!(check([Known::PoweredOn {}, http(role, 200, true), linux()]), "disk", "{role}");
        }
        // An aborted download does not count.
        assert_eq!(check([Known::PoweredOn {}, http("kernel", 200, false)]), "?");
    }

    #[test]
    fn a_kernel_that_nobody_fetched_came_from_the_disk() {
        let login = || console("debian login: ");
        assert_eq!(check([Known::PoweredOn {}, console("Linux version 6.1")]), "disk");
        assert_eq!(check([Known::PoweredOn {}, lease("os", "ack"), login()]), "disk");
        let together = console("debian login: [  116.786974] sh[422]: INFO     : Stage: fetch");
        assert_eq!(check([Known::PoweredOn {}, together]), "disk");
        assert_eq!(check([Known::PoweredOn {}, console("no user may login: not yet")]), "?");
        // iPXE and GRUB were loaded from the network and booted the disk.
        let there = [Known::PoweredOn {}, tftp("snponly.efi", "sent"), http("script", 200, true)];
        assert_eq!(check(there.into_iter().chain([login()])), "disk");
        assert_eq!(check([Known::PoweredOn {}, file("/grubx64.efi", 2 << 20), login()]), "disk");
    }

    #[test]
    fn a_boot_that_others_may_have_served_is_unknown() {
        let linux = || console("Linux version 6.1");
        let sources = |disk, network| BootSources { disk, network };
        for network in [BootServers::Lab, BootServers::LabAndOthers, BootServers::Others] {
            let bare = sources(false, network);
            assert_eq!(check_of(bare, [Known::PoweredOn {}, linux()]), "unknown", "no disk");
            assert_eq!(check_of(bare, [Known::PoweredOn {}, http("kernel", 200, true), linux()]), "network");
        }
        // Beside ProxyDHCP, the request of the firmware is seen, and what it fetches from the lab.
        let shared = sources(true, BootServers::LabAndOthers);
        assert_eq!(check_of(shared, [Known::PoweredOn {}, linux()]), "disk");
        assert_eq!(check_of(shared, [Known::PoweredOn {}, lease("pxe", "ack"), linux()]), "unknown");
        let ours = [Known::PoweredOn {}, lease("pxe", "ack"), tftp("snponly.efi", "sent"), linux()];
        assert_eq!(check_of(shared, ours), "disk");
        // Each boot for itself.
        let twice = [Known::PoweredOn {}, lease("pxe", "ack"), linux(), reset(), linux()];
        assert_eq!(check_of(shared, twice), "unknown disk");
        // Without DHCP of the lab, nothing is seen.
        let others = sources(true, BootServers::Others);
        assert_eq!(check_of(others, [Known::PoweredOn {}, linux()]), "unknown");
    }

    #[test]
    fn with_a_capture_only_an_encrypted_connection_hides_a_boot() {
        let linux = || console("Linux version 6.1");
        let sources = |disk| BootSources { disk, network: BootServers::Captured };
        assert_eq!(check_of(sources(true), [Known::PoweredOn {}, lease("pxe", "ack"), linux()]), "disk");
        assert_eq!(check_of(sources(false), [Known::PoweredOn {}, linux()]), "unknown", "no disk");
        let encrypted = |to_lab| Known::TlsOffered {
            server: "10.0.0.9:443".parse().unwrap(),
            to_lab,
            name: None,
            version: "TLS 1.2".to_owned(),
            ciphers: Vec::new(),
        };
        assert_eq!(check_of(sources(true), [Known::PoweredOn {}, encrypted(false), linux()]), "unknown");
        // Its boot program came from the lab, its kernel may be from elsewhere.
        let both = [Known::PoweredOn {}, tftp("snponly.efi", "sent"), encrypted(false), linux()];
        assert_eq!(check_of(sources(true), both), "unknown");
        // What the lab itself serves is known.
        assert_eq!(check_of(sources(true), [Known::PoweredOn {}, encrypted(true), linux()]), "disk");
        // The system of a boot that is known already.
        assert_eq!(check_of(sources(true), [Known::PoweredOn {}, linux(), encrypted(false)]), "disk");
    }

    #[test]
    fn frames_that_are_read_after_the_console_count() {
        let sources = BootSources { disk: true, network: BootServers::Captured };
        let check = |late: &[(u64, Known)], settled: u64| {
            let mut snapshot = started(sources, "kvm");
            snapshot.apply(&event(0, Some("a"), Known::PoweredOn {}));
            snapshot.apply(&event(5000, Some("a"), console("Linux version 6.1")));
            for (ms, known) in late {
                let event = Event { source: Source::Wire, ..event(*ms, Some("a"), known.clone()) };
                snapshot.apply(&event);
            }
            let told = snapshot.pass(RunTime::from(Duration::from_millis(settled)));
            let view = snapshot.nodes.values().next().expect("a node");
            (view.booted[0].from.map(|from| from.as_str().to_owned()), told.len(), snapshot.next_deadline())
        };
        let kernel = || http("kernel", 200, true);
        let (network, disk) = (Some("network".to_owned()), Some("disk".to_owned()));
        assert_eq!(check(&[(4990, kernel())], 6000), (network, 0, None));
        // What is fetched afterwards is for another one.
        assert_eq!(check(&[(5100, kernel())], 6000), (disk.clone(), 1, None));
        assert_eq!(check(&[], 5400), (disk, 1, None));
        let due = RunTime::from(Duration::from_millis(5300));
        assert_eq!(check(&[], 5200), (None, 0, Some(due)), "it is not certain yet");
    }

    #[test]
    fn each_boot_is_told_for_itself() {
        let install = [Known::PoweredOn {}, http("kernel", 200, true), console("DRYRACK node=a")];
        let disk = || [reset(), console("GRUB"), console("a login:")];
        assert_eq!(check(install.into_iter().chain(disk()).chain(disk())), "network disk disk");
        // Output from before the power-off is not a boot.
        let off = Known::PoweredOff { why: PowerCause::Guest };
        assert_eq!(check([Known::PoweredOn {}, off, console("a login:"), Known::PoweredOn {}]), "? ?");
    }

    #[test]
    fn a_prompt_from_before_a_reset_is_no_boot() {
        let mut snapshot = Snapshot::new([]);
        for (ms, kind) in [(0, Known::PoweredOn {}), (60_000, reset()), (60_100, console("a login:"))] {
            snapshot.apply(&event(ms, Some("a"), kind));
        }
        let view = snapshot.nodes.values().next().expect("a node");
        assert!(view.booted.iter().all(|boot| boot.from.is_none()), "{:?}", view.booted);
    }
}
