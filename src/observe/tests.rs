//! Lists of events, and the resulting state.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::event::examples::{self, event};

/// Folds the events of node `a`, one second apart, and returns each change of stage.
fn stages(kinds: impl IntoIterator<Item = Known>) -> String {
    let mut snapshot = Snapshot::new([]);
    let kinds = kinds.into_iter().enumerate();
    let changes = kinds.filter_map(|(second, kind)| {
        let stage = snapshot.apply(&event(second as u64 * 1000, Some("a"), kind)).stage?;
        Some(format!("{second}:{stage}"))
    });
    changes.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_netboot_passes_every_stage() {
    use examples::*;
    let kinds = [
        Known::PoweredOn {},
        lease("firmware", "offer"),
        lease("firmware", "ack"),
        tftp("ipxe.efi", "aborted"),
        tftp("ipxe.efi", "sent"),
        lease("ipxe", "ack"),
        http("script", 200, true),
        http("kernel", 200, false),
        http("kernel", 200, true),
        console("[    0.000000] Linux version 6.1.0"),
        http("initrd", 200, true),
        lease("os", "offer"),
        lease("os", "ack"),
        console("a login: "),
    ];
    assert_snapshot!(stages(kinds), @"0:firmware 2:dhcp 4:nbp 6:loader 8:kernel 12:os");
}

#[test]
fn a_frame_from_before_a_restart_belongs_to_no_boot() {
    use examples::*;
    let mut snapshot = Snapshot::new([]);
    let mut apply = |at, kind, source| snapshot.apply(&Event { source, ..event(at, Some("a"), kind) }).stage;
    apply(0, Known::PoweredOn {}, Source::Qmp);
    assert_eq!(apply(900, lease("firmware", "ack"), Source::Wire), Some(Stage::Dhcp));
    apply(1000, Known::Reset { why: PowerCause::Guest }, Source::Qmp);
    let kernel = || http("kernel", 200, true);
    assert_eq!(apply(990, kernel(), Source::Wire), None);
    assert_eq!(apply(2000, kernel(), Source::Wire), Some(Stage::Kernel));
    apply(3000, Known::PoweredOff { why: PowerCause::Guest }, Source::Qmp);
    assert_eq!(apply(2990, kernel(), Source::Wire), None);
    let boots: Vec<_> = snapshot.nodes.values().flat_map(|view| &view.booted).map(|boot| boot.from).collect();
    assert_eq!(boots, [None, Some(BootedFrom::Network)]);
}

#[test]
fn a_boot_from_disk_is_told_by_its_console() {
    use examples::*;
    let kinds = [
        Known::PoweredOn {},
        console("EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path"),
        console("Debian GNU/Linux 12 a ttyS0"),
        console("a login:"),
        console("reboot: Restarting system"),
        Known::Reset { why: PowerCause::Guest },
        Known::Reset { why: PowerCause::Power },
        console("DRYRACK mac=52:54:00:00:00:01"),
        Known::PoweredOff { why: PowerCause::Guest },
        console("reboot: Power down, Linux version late"),
        Known::PoweredOn {},
        Known::MachineDied { status: "signal 9".to_owned(), stderr: vec![] },
    ];
    assert_snapshot!(stages(kinds), @"0:firmware 1:kernel 3:os 5:firmware 6:firmware 7:os 8:off 10:firmware 11:off");
}

#[test]
fn a_loader_with_a_dhcp_client_is_no_operating_system() {
    use examples::*;
    let kinds =
        [Known::PoweredOn {}, tftp("grubnetx64.efi", "sent"), lease("os", "ack"), http("kernel", 404, true)];
    assert_snapshot!(stages(kinds), @"0:firmware 1:nbp");
}

#[test]
fn the_present_says_what_was_last_seen() {
    use examples::*;
    let mut snapshot = Snapshot::new([crate::name::NodeName::new("b").unwrap()]);
    for (at, kind) in [
        (0, Known::LabUp {}),
        (1000, Known::PoweredOn {}),
        (2000, lease("ipxe", "ack")),
        (2500, Known::StageReached { stage: Stage::Dhcp }),
    ] {
        snapshot.apply(&event(at, Some("a"), kind));
    }
    snapshot.apply(&event(43_000, None, Known::TearDownStarted { why: "test".to_owned() }));
    assert_snapshot!(snapshot.to_string(), @"a: dhcp, last seen: leased 10.0.0.10 (ipxe), 41s ago; b: off, nothing seen of it yet");
    assert_eq!(snapshot.lab, LabState::TearingDown);
}

#[test]
fn a_lab_that_is_taken_down_leaves_its_nodes_where_they_were() {
    use examples::*;
    let mut snapshot = Snapshot::new([]);
    let down = Known::PoweredOff { why: PowerCause::Down };
    for (at, kind) in [(0, Known::PoweredOn {}), (2000, lease("ipxe", "ack")), (9000, down)] {
        snapshot.apply(&event(at, Some("a"), kind));
    }
    assert_snapshot!(snapshot.to_string(), @"a: dhcp, last seen: leased 10.0.0.10 (ipxe), 7s ago");
    assert_eq!(snapshot.nodes.values().next().unwrap().power, Power::Off);
}

#[test]
fn a_reset_that_the_firmware_completes_is_one_boot() {
    let mut snapshot = Snapshot::new([]);
    let reset = |why: &str| Known::Reset { why: why.into() };
    let kinds = [
        (0, Known::PoweredOn {}),
        (5000, reset("power")),
        (5040, reset("guest")),
        (5041, reset("guest")),
        (9000, reset("guest")),
        // The host is busy.
        (9250, examples::console("[    1.23")),
        (9700, reset("guest")),
        (9800, examples::console("SeaBIOS (version 1.16.2-debian-1.16.2-1)")),
        (9900, reset("guest")),
    ];
    for (at, kind) in kinds {
        snapshot.apply(&event(at, Some("a"), kind));
    }
    let view = snapshot.nodes.values().next().unwrap();
    assert_eq!(view.boots, 4);
    let starts: Vec<_> = view.timeline.iter().map(|(_, at)| at.elapsed().as_millis()).collect();
    assert_eq!(starts, [0, 5000, 9000, 9900]);
}

#[test]
fn a_download_shows_until_it_is_over() {
    use examples::*;
    let mut snapshot = Snapshot::new([]);
    let fetching =
        Known::Fetching { path: "/boot/kernel".to_owned(), bytes: 2_000_000, total: Some(8_000_000) };
    snapshot.apply(&event(0, Some("a"), fetching));
    let shown = |snapshot: &Snapshot| {
        snapshot.nodes.values().next().unwrap().fetching.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    assert_snapshot!(shown(&snapshot), @"kernel 2.0 MB of 8.0 MB");
    snapshot.apply(&event(1, Some("a"), examples::http("kernel", 200, true)));
    assert_eq!(shown(&snapshot), "");
}

#[test]
fn recorded_stages_change_nothing() {
    use examples::*;
    let kinds =
        [Known::PoweredOn {}, lease("ipxe", "ack"), http("script", 200, true), http("kernel", 200, true)];
    let mut live = Snapshot::new([]);
    let mut record = Vec::new();
    for (at, kind) in kinds.into_iter().enumerate() {
        let event = event(at as u64, Some("a"), kind);
        let concluded = live.apply(&event);
        record.push(event.clone());
        record.extend(concluded.events().map(|known| Event {
            source: crate::event::Source::Run,
            kind: known.into(),
            ..event.clone()
        }));
    }
    let mut replayed = Snapshot::new([]);
    for event in &record {
        replayed.apply(event);
    }
    assert_eq!(live, replayed);
}

proptest! {
    #[test]
    fn no_list_of_events_is_too_odd(events in prop::collection::vec(examples::any_event(), 0..60)) {
        let mut snapshot = Snapshot::new([]);
        for event in &events {
            snapshot.apply(event);
            prop_assert!(!event.kind.topic().is_empty());
            drop(event.kind.to_string());
        }
        drop(snapshot.to_string());
    }
}

#[test]
fn a_kernel_in_pieces_is_a_stage_as_it_is_a_boot() {
    let mut snapshot = Snapshot::new([]);
    snapshot.apply(&event(0, Some("a"), Known::PoweredOn {}));
    let concluded = snapshot.apply(&event(1, Some("a"), examples::http("kernel", 206, true)));
    assert_eq!(concluded.stage, Some(Stage::Kernel));
    assert_eq!(concluded.booted.map(|(from, _)| from), Some(BootedFrom::Network));
}

#[test]
fn a_line_of_the_screen_is_seen_where_the_console_has_none() {
    use examples::*;
    let seen = |kinds: [Known; 2]| {
        let mut snapshot = Snapshot::new([]);
        for (at, kind) in kinds.into_iter().enumerate() {
            snapshot.apply(&event(at as u64 * 1000, Some("a"), kind));
        }
        snapshot.nodes.values().next().unwrap().last.clone().unwrap().what
    };
    assert_eq!(seen([console("boot:"), screen(&["PXELINUX", "boot: x"])]), "screen line `boot: x`");
    assert_eq!(seen([console("boot:"), screen(&["boot:"])]), "console line `boot:`");
}

#[test]
fn faults_are_counted_until_they_are_over() {
    let mut snapshot = Snapshot::new([]);
    let name = || FaultName::new("broken").unwrap();
    let began = || Known::FaultBegan { fault: name(), what: "http.status = 503".to_owned() };
    let struck = || Known::FaultStruck { fault: name(), what: "http.status = 503".to_owned() };
    for (at, (node, known)) in [
        ("a", began()),
        ("b", began()),
        ("a", struck()),
        ("a", struck()),
        ("b", struck()),
        ("a", Known::FaultEnded { fault: name() }),
    ]
    .into_iter()
    .enumerate()
    {
        snapshot.apply(&event(at as u64 * 1000, Some(node), known));
    }
    let shown: Vec<_> =
        snapshot.faults.iter().map(|fault| (fault.to_string(), fault.ended.is_some())).collect();
    let wanted = [
        ("broken on a: http.status = 503, 2 times".to_owned(), true),
        ("broken on b: http.status = 503, once".to_owned(), false),
    ];
    assert_eq!(shown, wanted);
}
