use std::io;
use std::time::Duration;

use super::trial::{Seen, judge};
use super::*;
use crate::event::{Known, StopState};
use crate::name::Bytes;
use crate::plan::Qemu;

const ALL: [Part; 4] = [Part::Bios, Part::Uefi, Part::Kernel, Part::Linux];

fn passed(part: Part) -> Outcome {
    Outcome { part, end: Ok(Duration::from_millis(1500)) }
}

fn failed(part: Part, why: &str) -> Outcome {
    let of_accelerator = why.contains("internal-error");
    Outcome { part, end: Err(TrialFailure { why: why.to_owned(), of_accelerator }) }
}

/// Decides by the outcomes of each boot, and returns what was booted.
fn check(show: impl Fn(Accel, Part) -> Result<(), &'static str>) -> String {
    let mut booted = Vec::new();
    let conclusion = conclude(&ALL, |accel, parts| {
        booted.push(format!("{} {parts:?}", accel.as_str()));
        Ok(parts
            .iter()
            .map(|part| match show(accel, *part) {
                Ok(()) => passed(*part),
                Err(why) => failed(*part, why),
            })
            .collect())
    });
    let Conclusion { accel, why, tried, lasts } = conclusion;
    format!("{}\n{}: {why}\ntried {tried:?}, lasts: {lasts}", booted.join("\n"), accel.as_str())
}

#[test]
fn kvm_that_boots_everything_is_used() {
    insta::assert_snapshot!(check(|_, _| Ok(())), @"
        kvm [Bios, Uefi, Kernel, Linux]
        kvm: KVM boots firmware and kernels here (tested in 1.5 s)
        tried [Bios, Uefi, Kernel, Linux], lasts: true
        ");
}

#[test]
fn kvm_that_fails_where_emulation_does_not_is_not_used() {
    let kvm_fails = |accel, part| match (accel, part) {
        (Accel::Kvm, Part::Uefi) => {
            Err("QEMU stopped it with internal-error, KVM internal error. Suberror: 1")
        }
        _ => Ok(()),
    };
    insta::assert_snapshot!(check(kvm_fails), @"
        kvm [Bios, Uefi, Kernel, Linux]
        tcg: /dev/kvm opens, but UEFI firmware does not boot with it: QEMU stopped it with internal-error, KVM internal error. Suberror: 1
        tried [], lasts: true
        ");
}

#[test]
fn a_fault_that_may_be_of_something_else_is_looked_for_under_emulation() {
    let hangs = |accel, part| match (accel, part) {
        (Accel::Kvm, Part::Bios) => Err("it did not ask for an address within 10 s"),
        _ => Ok(()),
    };
    insta::assert_snapshot!(check(hangs), @"
        kvm [Bios, Uefi, Kernel, Linux]
        tcg [Bios]
        tcg: /dev/kvm opens, but the BIOS with a NIC's ROM does not boot with it: it did not ask for an address within 10 s
        tried [], lasts: true
        ");
}

#[test]
fn what_fails_under_emulation_too_says_nothing_of_kvm() {
    let no_rom = |_, part| match part {
        Part::Bios => Err("QEMU ended at once, exit code 1: failed to find romfile \"efi-virtio.rom\""),
        _ => Ok(()),
    };
    insta::assert_snapshot!(check(no_rom), @r#"
        kvm [Bios, Uefi, Kernel, Linux]
        tcg [Bios]
        tcg: KVM cannot be tested, the BIOS with a NIC's ROM does not boot without it either: QEMU ended at once, exit code 1: failed to find romfile "efi-virtio.rom"
        tried [], lasts: false
        "#);
}

#[test]
fn a_silent_linux_kernel_is_left_out() {
    let silent = |_, part| match part {
        Part::Linux => Err("it did not say its first line within 10 s"),
        _ => Ok(()),
    };
    insta::assert_snapshot!(check(silent), @"
        kvm [Bios, Uefi, Kernel, Linux]
        tcg [Linux]
        kvm [Bios, Uefi, Kernel]
        kvm: KVM boots firmware and kernels here (tested in 1.5 s)
        tried [Bios, Uefi, Kernel, Linux], lasts: true
        ");
}

#[test]
fn a_test_that_cannot_be_carried_out_is_not_remembered() {
    let conclusion = conclude(&ALL, |_, _| Err(io::Error::other("no space")));
    insta::assert_snapshot!(format!("{conclusion:?}"), @r#"Conclusion { accel: Tcg, why: "KVM cannot be tested: no space", tried: [], lasts: false }"#);
}

/// The DHCPDISCOVER of a client, from the Ethernet header, cut after the fixed fields.
fn discover() -> Vec<u8> {
    let mut request = vec![0; 240];
    request[0] = 1;
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0xff; 6])
        .ipv4([0; 4], [255; 4], 64)
        .udp(68, 67)
        .write(&mut frame, &request)
        .unwrap();
    frame
}

#[test]
fn what_machines_show_is_judged() {
    let say = |text: &str| Seen::Happened(Known::ConsoleLine { text: text.to_owned() });
    let stopped = Seen::Happened(Known::MachineStopped {
        state: StopState::InternalError,
        nospace: false,
        detail: "\nKVM internal error. Suberror: 1\nextra data[0]: 0x1".into(),
    });
    let died = Seen::Happened(Known::MachineDied {
        status: "killed by signal 6 (SIGABRT)".into(),
        stderr: vec![
            "qemu-system-x86_64: warning: something".into(),
            "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0".into(),
        ],
    });
    let mut reply = discover();
    let payload = reply.len() - 240;
    reply[payload] = 2;

    assert_eq!(judge(Part::Bios, &Seen::Sent(discover())), Some(Ok(())));
    assert_eq!(judge(Part::Uefi, &Seen::Sent(discover())), Some(Ok(())));
    assert_eq!(judge(Part::Linux, &Seen::Sent(discover())), None);
    assert_eq!(judge(Part::Bios, &Seen::Sent(reply)), None);
    assert_eq!(judge(Part::Bios, &Seen::Sent(vec![1, 2, 3])), None);
    assert_eq!(judge(Part::Bios, &say("Linux version 6.1.0")), None);
    assert_eq!(judge(Part::Linux, &say("[    0.000000] Linux version 6.1.0-56-cloud-amd64")), Some(Ok(())));
    assert_eq!(judge(Part::Linux, &say("Probing EDD (edd=off to disable)... ok")), None);
    assert_eq!(judge(Part::Kernel, &say("DRYRACK 64-bit kernel runs")), Some(Ok(())));
    assert_eq!(judge(Part::Kernel, &Seen::Happened(Known::PoweredOn {})), None);
    let why = |part, seen| {
        let TrialFailure { why, of_accelerator } = judge(part, &seen).unwrap().unwrap_err();
        format!("{why} (of the accelerator: {of_accelerator})")
    };
    insta::assert_snapshot!(why(Part::Uefi, stopped), @"QEMU stopped it with internal-error, KVM internal error. Suberror: 1 (of the accelerator: true)");
    insta::assert_snapshot!(why(Part::Bios, died), @"QEMU died, killed by signal 6 (SIGABRT), qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0 (of the accelerator: false)");
}

fn facts() -> HostFacts {
    HostFacts {
        root: false,
        cpus: 2,
        free_memory: Bytes::mebi(8192),
        qemu: Some(Qemu { program: "/bin/sh".into(), version: (7, 2, 0), lacks_ipmi: false }),
        firmware: Vec::new(),
        accel: Accel::Tcg,
        pasta: None,
        nft: None,
        qemu_img: None,
        swtpm: None,
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: Vec::new(),
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

#[test]
fn an_answer_is_kept_until_something_changes() {
    let cache = tempfile::tempdir().unwrap();
    let some = [Part::Bios, Part::Kernel];
    let trial_cache = TrialCache::open(cache.path(), &facts(), true).unwrap();
    assert_eq!(trial_cache.read(&some), None);
    let yes = Conclusion { accel: Accel::Kvm, why: "it boots".into(), tried: some.to_vec(), lasts: true };
    trial_cache.write(&yes);
    let kept = Verdict { accel: Accel::Kvm, why: "it boots".into(), fresh: false };
    assert_eq!(trial_cache.read(&some), Some(kept));
    // More parts can be tested than were, so "yes" is not enough; "no" would be.
    assert_eq!(trial_cache.read(&ALL), None);
    let no = Conclusion { accel: Accel::Tcg, why: "it does not".into(), tried: Vec::new(), lasts: true };
    trial_cache.write(&no);
    assert_eq!(trial_cache.read(&ALL).map(|verdict| verdict.accel), Some(Accel::Tcg));

    let newer = HostFacts {
        qemu: Some(Qemu { program: "/bin/sh".into(), version: (8, 0, 0), lacks_ipmi: false }),
        ..facts()
    };
    assert_eq!(TrialCache::open(cache.path(), &newer, true).unwrap().read(&some), None);
    let other = HostFacts {
        qemu: Some(Qemu { program: "/bin/cat".into(), version: (7, 2, 0), lacks_ipmi: false }),
        ..facts()
    };
    assert_eq!(TrialCache::open(cache.path(), &other, true).unwrap().read(&some), None);

    assert_eq!(TrialCache::open(cache.path(), &facts(), false).unwrap().read(&some), None);

    let file = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path().join("answer.json");
    let text = std::fs::read_to_string(&file).unwrap();
    for broken in [&text[..text.len() / 2], "", "null", "[]", &text.replace("\"boot\":\"", "\"boot\":\"0")] {
        std::fs::write(&file, broken).unwrap();
        assert_eq!(trial_cache.read(&some), None, "{broken}");
    }
}

#[test]
fn the_machines_of_the_test_are_planned_as_a_labs_are() {
    assert_eq!(trial::parts(&facts(), None), [Part::Bios, Part::Kernel]);
    assert_eq!(
        trial::parts(&facts(), Some(Path::new("/boot/vmlinuz"))),
        [Part::Bios, Part::Kernel, Part::Linux]
    );
    for part in [Part::Bios, Part::Kernel, Part::Linux] {
        assert_eq!(trial::machine_plan(part, &facts(), Accel::Kvm).map(|machine| machine.nics.len()), Ok(1));
    }
}

#[test]
fn a_device_that_cannot_be_opened_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open_kvm(&folder.path().join("kvm")).unwrap_err();
    assert!(missing.contains("has no"), "{missing}");
    assert!(open_kvm(Path::new("/dev/null")).is_ok());
    assert!(way_in(Path::new("/dev/null")).contains("mode is 666"), "{}", way_in(Path::new("/dev/null")));
}
