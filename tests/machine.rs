//! [`Machine`] with real QEMUs under emulation.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "common/boot_media.rs"]
mod boot_media;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boot_media::bootable_disk;
use dryrack::event::{Emitter, Event, Kind, Known, PowerCause, ScreenMode, Source};
use dryrack::lab::{
    AccelChoice, Boot, BootDevice, Bus, CdDrive, Chipset, Dhcp, Disk, Dns, Firmware, FirmwareDelays,
    Isolation, Lab, Network, Nic, NicModel, Node, QemuExtras, Seed, Start, TftpBackend,
};
use dryrack::name::{Bytes, DiskName, LabName, Mac, NetworkName, NicName, NodeName};
use dryrack::node::qemu::{Machine, PowerOff, StartError, State};
use dryrack::node::{BootOverride, Effect, MediaImage, NodeError};
use dryrack::plan::{Accel, BootTarget, FirmwareFile, HostFacts, LinkPlan, NodeKind, NodePlan, Qemu, plan};
use dryrack::system::file_watch::FileWatches;
use dryrack::system::process::Spawner;

/// Timeout for what a machine does on a busy host.
const BOOT: Duration = Duration::from_secs(120);

fn node() -> Node {
    let nic = Nic {
        name: NicName::new("lan").unwrap(),
        network: NetworkName::new("lan").unwrap(),
        mac: "52:54:00:12:34:56".parse().unwrap(),
        client_id: None,
        address: None,
        ipv6: None,
        model: NicModel::Virtio,
        rom: true,
        link_up: false,
    };
    Node {
        name: NodeName::new("node1").unwrap(),
        firmware: Firmware::Bios,
        machine: Chipset::Q35,
        cpus: 1,
        memory: Bytes::mebi(256),
        nics: vec![nic],
        disks: Vec::new(),
        cds: Vec::new(),
        boot: Boot::Order(vec![BootDevice::Disk, BootDevice::Network]),
        profile: None,
        start: Start::WithLab,
        firmware_delays: FirmwareDelays::Skip,
        uuid: uuid::Uuid::from_u128(0x1234),
        serial: "S1".to_owned(),
        asset_tag: "A1".to_owned(),
        shares: Vec::new(),
        tpm: None,
        qemu: QemuExtras::default(),
        seed: Seed::None,
        options: BTreeMap::new(),
        bmc: None,
    }
}

fn disk(name: &str, bus: Bus) -> Disk {
    let name = DiskName::new(name).unwrap();
    Disk { serial: format!("S-{name}"), name, size: Bytes::mebi(1024), bus, source: None, keep: false }
}

fn lab(node: Node) -> Lab {
    let lan = Network {
        name: NetworkName::new("lan").unwrap(),
        address: Some("10.9.0.1/24".parse().unwrap()),
        subnet: "10.9.0.0/24".parse().unwrap(),
        probe_from: None,
        bridge: None,
        ipv6: None,
        mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
        interface: None,
        mtu: 1500,
        nat: false,
        tftp: TftpBackend::Off,
        root: None,
        files: BTreeMap::new(),
        listing: false,
        http: Some(80),
        ntp: true,
        syslog: true,
        ra: true,
        https: false,
        matchbox: None,
        dhcp: Dhcp::Off,
        options: BTreeMap::new(),
        dns: Dns { domain: "local".to_owned(), ..Dns::default() },
    };
    Lab {
        name: LabName::new("test").unwrap(),
        file: "/lab.toml".into(),
        folder: "/".into(),
        isolation: Isolation::Private,
        accel: AccelChoice::Tcg,
        clock: 0,
        parallel_boots: None,
        capture: None,
        networks: BTreeMap::from([(lan.name.clone(), lan)]),
        profiles: BTreeMap::new(),
        groups: BTreeMap::new(),
        nodes: BTreeMap::from([(node.name.clone(), node)]),
        hosts: BTreeMap::new(),
        processes: BTreeMap::new(),
        publish: Vec::new(),
        expectations: BTreeMap::new(),
        actions: BTreeMap::new(),
        faults: BTreeMap::new(),
        origins: dryrack::lab::Origins::default(),
    }
}

fn facts() -> HostFacts {
    let ovmf = |code: &str, secure: bool| FirmwareFile {
        code: format!("/usr/share/OVMF/OVMF_CODE_4M{code}.fd").into(),
        variables: format!("/usr/share/OVMF/OVMF_VARS_4M{code}.fd").into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: vec!["pc-q35-*".to_owned()],
    };
    HostFacts {
        root: false,
        cpus: 2,
        free_memory: Bytes::mebi(8192),
        qemu: Some(Qemu {
            program: "/usr/bin/qemu-system-x86_64".into(),
            version: (7, 2, 0),
            lacks_ipmi: false,
        }),
        firmware: vec![ovmf(".ms", true), ovmf("", false)],
        accel: Accel::Tcg,
        pasta: None,
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: Vec::new(),
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

/// Plans one machine whose NICs send to sockets that nobody reads, so that no TAP is needed.
fn machine_plan(node: Node) -> NodePlan {
    let nodes = plan(&lab(node), &facts()).unwrap().nodes;
    let mut machine = nodes.into_values().next().expect("the lab has one node");
    for nic in &mut machine.nics {
        let end = |end: &str| format!("{}-{end}.sock", nic.nic).into();
        nic.link = LinkPlan::Datagram { local: end("local"), remote: end("remote") };
    }
    machine
}

/// A machine with its own folder, and its events.
struct Bench {
    folder: tempfile::TempDir,
    spawner: Spawner,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, spawner: Spawner::start().unwrap(), events: Arc::default() }
    }

    fn emitter(&self) -> Emitter {
        let events = Arc::clone(&self.events);
        let begin = Instant::now();
        let clock =
            move || dryrack::event::Instant { at: begin.elapsed().into(), wall: jiff::Timestamp::UNIX_EPOCH };
        Emitter::new(clock, move |event| events.lock().unwrap().push(event))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn start(&self, plan: &NodePlan) -> Result<Machine, StartError> {
        self.start_with(plan, BTreeMap::new()).await
    }

    /// Starts a machine with images in its CD drives.
    async fn start_with(
        &self,
        plan: &NodePlan,
        media: BTreeMap<DiskName, PathBuf>,
    ) -> Result<Machine, StartError> {
        let watches = FileWatches::new().unwrap();
        let folder = self.path().to_owned();
        Machine::start(
            plan,
            folder,
            media,
            &self.spawner,
            &watches,
            self.emitter(),
            dryrack::fault::Faults::none(),
        )
        .await
    }

    fn happened(&self) -> Vec<Known> {
        let known = |event: &Event| match &event.kind {
            Kind::Known(known) => Some(known.clone()),
            Kind::Unknown { .. } => None,
        };
        self.events.lock().unwrap().iter().filter_map(known).collect()
    }

    /// Waits for an event and returns it.
    async fn until(&self, what: &str, matches: impl Fn(&Known) -> bool) -> Known {
        let deadline = Instant::now() + BOOT;
        loop {
            if let Some(found) = self.happened().into_iter().find(&matches) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited {BOOT:?} for {what}, saw {:#?}", self.happened());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_line(&self, text: &str) {
        self.until(text, |known| matches!(known, Known::ConsoleLine { text: line } if line.contains(text)))
            .await;
    }

    fn names(&self) -> Vec<String> {
        let name = |known: &Known| match known {
            // Depends on timing: the firmware's banner, and a reset that an interrupt causes.
            Known::ConsoleLine { .. } | Known::BannerSkipped {} | Known::ScreenShown { .. } => None,
            Known::MediumSet { .. } => None,
            Known::Reset { why } if *why == PowerCause::Guest => None,
            known => Some(serde_json::to_value(known).unwrap()["kind"].as_str().unwrap().to_owned()),
        };
        self.happened().iter().filter_map(name).collect()
    }
}

/// Returns the QEMU process of a folder.
fn qemu_in(folder: &Path) -> Option<i32> {
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let at = std::fs::read_link(entry.path().join("cwd")).ok()?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        (at == folder && comm.starts_with("qemu")).then_some(pid)
    })
}

fn qemu_img(folder: &Path, name: &str) {
    let status = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", &format!("{name}.qcow2"), "1G"])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_machine_lives() {
    let bench = Bench::new();
    let machine = bench.start(&machine_plan(node())).await.unwrap();
    assert_eq!(machine.state().await, State::Ready);
    assert_eq!(bench.names(), [""; 0]);
    let mut console = machine.attach();

    machine.power_on().await.unwrap();
    bench.until_line("SeaBIOS (version").await;
    bench.until_line("iPXE (http").await;
    assert_eq!(machine.state().await, State::Running);
    let first = console.output.recv().await.unwrap();
    assert!(!first.is_empty());

    let png = machine.screenshot().await.unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n"));
    let left: Vec<_> =
        std::fs::read_dir(bench.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("screen")), "{left:?}");

    let lan = NicName::new("lan").unwrap();
    machine.set_link(&lan, true).await.unwrap();
    machine.set_link(&lan, false).await.unwrap();
    let wan = NicName::new("wan").unwrap();
    assert!(matches!(machine.set_link(&wan, true).await, Err(NodeError::NoSuchNic { .. })));
    machine.nmi().await.unwrap();
    let devices = machine.devices().await.unwrap();
    assert!(devices.iter().any(|device| device.id == "nic-lan" && device.vendor == 0x1af4), "{devices:?}");
    assert_eq!(machine.blocks().await.unwrap(), []);

    machine.reset().await.unwrap();
    bench
        .until("the reset", |known| matches!(known, Known::Reset { why } if *why == PowerCause::Power))
        .await;

    machine.power_off(PowerOff::Hard).await.unwrap();
    assert_eq!(machine.state().await, State::Off);
    assert_eq!(qemu_in(bench.path()), None);
    machine.power_off(PowerOff::Hard).await.unwrap();
    assert!(matches!(machine.reset().await, Err(NodeError::Off { .. })));
    assert!(matches!(machine.screenshot().await, Err(NodeError::Off { .. })));

    machine.power_on().await.unwrap();
    bench
        .until(
            "the second life",
            |known| matches!(known, Known::PoweredOff { why } if *why == PowerCause::Power),
        )
        .await;
    assert_eq!(machine.state().await, State::Running);
    machine.stop().await;
    let names = bench.names();
    assert_eq!(
        names,
        ["powered-on", "link-set", "link-set", "reset", "powered-off", "powered-on", "powered-off"],
        "{:#?}",
        bench.happened()
    );
    // The log has everything since the first power-on, and no FIFO without a reader is left.
    assert!(std::fs::metadata(bench.path().join("console.log")).unwrap().len() > 100);
    assert!(!bench.path().join("console.in").exists());
}

#[tokio::test]
async fn a_screen_is_read_while_the_machine_runs_and_known_after() {
    let bench = Bench::new();
    let machine = bench.start(&machine_plan(node())).await.unwrap();
    assert!(matches!(machine.screen().await, Err(NodeError::Off { .. })));
    machine.power_on().await.unwrap();
    let has = |known: &Known, text: &str| {
        let Known::ScreenShown { mode: ScreenMode::Text, columns: 80, lines, picture: None } = known else {
            return false;
        };
        lines.iter().any(|line| line.starts_with(text))
    };
    bench.until("SeaBIOS on the screen", |known| has(known, "SeaBIOS (version")).await;
    bench.until("the end of the boot", |known| has(known, "No bootable device.")).await;
    let sources = bench.events.lock().unwrap().clone();
    let of_screen = |event: &&Event| matches!(event.kind, Kind::Known(Known::ScreenShown { .. }));
    assert!(sources.iter().filter(of_screen).all(|event| event.source == Source::Screen));

    // At once, and without a stop that lasts.
    let shown = machine.screen().await.unwrap();
    assert!(shown.text.lines.iter().any(|line| line == "No bootable device."), "{shown:?}");
    assert!(!shown.off);
    assert_eq!(machine.state().await, State::Running);
    let left: Vec<_> =
        std::fs::read_dir(bench.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("vga")), "{left:?}");

    machine.power_off(PowerOff::Hard).await.unwrap();
    let last = machine.screen().await.unwrap();
    assert!(last.off);
    assert_eq!(last.text, shown.text);
    machine.stop().await;
}

#[tokio::test]
async fn a_machine_that_is_killed_died() {
    let bench = Bench::new();
    let machine = bench.start(&machine_plan(node())).await.unwrap();
    machine.power_on().await.unwrap();
    let pid = qemu_in(bench.path()).expect("it runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let died = bench.until("its death", |known| matches!(known, Known::MachineDied { .. })).await;
    let Known::MachineDied { status, stderr } = died else { unreachable!() };
    assert_eq!(status, "killed by signal 9 (SIGKILL)");
    assert!(stderr.len() < 5, "{stderr:?}");
    assert_eq!(machine.state().await, State::Off);
}

#[tokio::test]
async fn a_machine_that_cannot_start_says_why() {
    let bench = Bench::new();
    let mut plan = machine_plan(Node { disks: vec![disk("root", Bus::Virtio)], ..node() });
    let error = bench.start(&plan).await.err().expect("its disk is missing");
    let text = error.to_string();
    assert!(text.starts_with("QEMU for `node1` ended at once, exit code 1\n"), "{text}");
    assert!(text.contains("root.qcow2"), "{text}");
    assert_eq!(qemu_in(bench.path()), None);

    let NodeKind::Qemu(qemu) = &mut plan.kind;
    qemu.program = "/no/qemu".into();
    let error = bench.start(&plan).await.err().expect("there is no such program");
    assert_eq!(error.to_string(), "cannot start `/no/qemu`");
    assert_eq!(bench.names(), [""; 0]);
}

#[tokio::test]
async fn a_machine_without_a_handle_is_gone() {
    let bench = Bench::new();
    let machine = bench.start(&machine_plan(node())).await.unwrap();
    let clone = machine.clone();
    drop(machine);
    assert!(qemu_in(bench.path()).is_some());
    drop(clone);
    let deadline = Instant::now() + Duration::from_secs(5);
    while qemu_in(bench.path()).is_some() {
        assert!(Instant::now() < deadline, "QEMU is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_kind_of_machine_starts() {
    let disks =
        || vec![disk("a", Bus::Virtio), disk("b", Bus::Sata), disk("c", Bus::Scsi), disk("d", Bus::Nvme)];
    let models = [NicModel::Virtio, NicModel::E1000, NicModel::E1000e, NicModel::Rtl8139, NicModel::Vmxnet3];
    let nics = || -> Vec<Nic> {
        let nic = |(index, model): (usize, &NicModel)| Nic {
            name: NicName::new(&format!("n{index}")).unwrap(),
            mac: Mac([0x52, 0x54, 0, 0, 1, u8::try_from(index).unwrap()]),
            model: *model,
            ..node().nics[0].clone()
        };
        models.iter().enumerate().map(nic).collect()
    };
    let seed = Seed::NoCloud { user_data: None, network_config: None, users: Vec::new(), volume: true };
    for (firmware, machine, boot) in [
        (Firmware::Bios, Chipset::Q35, node().boot),
        (Firmware::Bios, Chipset::Pc, node().boot),
        (Firmware::Uefi, Chipset::Q35, Boot::Nvram),
        (Firmware::UefiSecure, Chipset::Q35, node().boot),
    ] {
        let bench = Bench::new();
        for disk in disks() {
            qemu_img(bench.path(), disk.name.as_str());
        }
        std::fs::write(bench.path().join("seed.img"), [0; 4096]).unwrap();
        std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", bench.path().join("vars.fd")).unwrap();
        let node =
            Node { firmware, machine, boot, disks: disks(), nics: nics(), seed: seed.clone(), ..node() };
        let machine = bench.start(&machine_plan(node)).await.unwrap();
        let names: Vec<String> =
            machine.blocks().await.unwrap().into_iter().map(|block| block.device).collect();
        for disk in ["disk-a", "disk-b", "disk-c", "disk-d", "seed"] {
            assert!(names.iter().any(|name| name == disk), "{firmware:?} {names:?}");
        }
        machine.stop().await;
        assert_eq!(bench.names(), [""; 0]);
    }
}

/// The lines of the console from the latest power-on or reset on.
fn latest_boot(bench: &Bench) -> Vec<String> {
    let mut lines = Vec::new();
    for known in bench.happened() {
        match known {
            Known::ConsoleLine { text } => lines.push(text),
            Known::PoweredOn {} | Known::Reset { why: PowerCause::Power } => lines.clear(),
            // SeaBIOS resets the machine itself.
            Known::Reset { .. } if !lines.iter().any(|line| line.contains("SeaBIOS")) => lines.clear(),
            _ => {}
        }
    }
    lines
}

/// Waits until a line of the latest boot contains a text.
async fn until_boot_says(bench: &Bench, text: &str) {
    let deadline = Instant::now() + BOOT;
    while !latest_boot(bench).iter().any(|line| line.contains(text)) {
        assert!(Instant::now() < deadline, "waited {BOOT:?} for {text}, saw {:#?}", latest_boot(bench));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_boot_override_is_for_one_start() {
    for (firmware, cd) in [(Firmware::Bios, "Booting from DVD/CD"), (Firmware::Uefi, "UEFI QEMU DVD-ROM")] {
        let bench = Bench::new();
        std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", bench.path().join("vars.fd")).unwrap();
        let image = bench.path().join("blank.iso");
        std::fs::write(&image, vec![0; 1 << 16]).unwrap();
        let machine = bench.start(&machine_plan(Node { firmware, ..node() })).await.unwrap();
        // It was started, paused, before it was told.
        assert_eq!(machine.set_boot(BootOverride::Once(BootTarget::Cd)).await.unwrap(), Effect::NextStart);
        assert_eq!(
            machine.insert(None, Some(MediaImage::File(image.clone()))).await.unwrap(),
            Effect::NextStart
        );
        machine.power_on().await.unwrap();
        until_boot_says(&bench, cd).await;
        // A medium that is not bootable is no end: the boot order follows.
        until_boot_says(&bench, "iPXE").await;

        machine.eject(None).await.unwrap();
        assert!(!machine.blocks().await.unwrap().iter().any(|block| block.device == "cd"));
        assert_eq!(machine.insert(None, Some(MediaImage::File(image.clone()))).await.unwrap(), Effect::Now);
        assert!(machine.blocks().await.unwrap().iter().any(|block| block.device == "cd" && block.read_only));

        machine.reset().await.unwrap();
        until_boot_says(&bench, "iPXE").await;
        let lines = latest_boot(&bench);
        assert!(!lines.iter().any(|line| line.contains(cd)), "{firmware:?}: {lines:#?}");

        // It is there at the next reset, over the resets of SeaBIOS itself, and gone at the one after.
        machine.set_boot(BootOverride::Once(BootTarget::Cd)).await.unwrap();
        machine.reset().await.unwrap();
        until_boot_says(&bench, cd).await;
        until_boot_says(&bench, "iPXE").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        machine.reset().await.unwrap();
        until_boot_says(&bench, "iPXE").await;
        let lines = latest_boot(&bench);
        assert!(!lines.iter().any(|line| line.contains(cd)), "{firmware:?}: {lines:#?}");

        // One for every start counts at any reset, until it is taken back.
        for boot in [BootOverride::Always(BootTarget::Cd), BootOverride::Default] {
            assert_eq!(machine.set_boot(boot).await.unwrap(), Effect::NextStart);
            assert_eq!(machine.set_boot(boot).await.unwrap(), Effect::Now);
            machine.reset().await.unwrap();
            until_boot_says(&bench, if boot == BootOverride::Default { "iPXE" } else { cd }).await;
        }
        let lines = latest_boot(&bench);
        assert!(!lines.iter().any(|line| line.contains(cd)), "{firmware:?}: {lines:#?}");
        machine.stop().await;
        let names = bench.names();
        // A UEFI that never saw the drive has no entry for it: its order gives way for one start and is restored. From
        // then on it has one, for BootNext.
        let expected = match firmware {
            Firmware::Bios => "powered-on reset reset reset reset reset powered-off",
            _ => {
                "powered-on powered-off powered-on powered-off powered-on powered-off powered-on powered-off \
                 powered-on reset powered-off"
            }
        };
        assert_eq!(names.join(" "), expected, "{firmware:?}: {:#?}", bench.happened());
    }
}

#[tokio::test]
async fn a_uefi_machine_keeps_the_boot_order_that_its_system_sets() {
    let bench = Bench::new();
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", bench.path().join("vars.fd")).unwrap();
    let image = bench.path().join("blank.iso");
    std::fs::write(&image, vec![0; 1 << 16]).unwrap();
    let install = DiskName::new("install").unwrap();
    qemu_img(bench.path(), "root");
    let node = Node {
        firmware: Firmware::Uefi,
        // A firmware that has tried its NICs goes on trying for minutes.
        nics: Vec::new(),
        disks: vec![disk("root", Bus::Sata)],
        cds: vec![CdDrive { name: install.clone(), medium: None }],
        boot: Boot::Order(vec![BootDevice::Disk, BootDevice::Cd]),
        ..node()
    };
    let machine = bench.start_with(&machine_plan(node), BTreeMap::from([(install, image)])).await.unwrap();
    let console = machine.attach();
    let shell = async |line: &str| {
        until_boot_says(&bench, "Shell>").await;
        // The shell loses what is typed faster.
        for byte in format!("{line}\r").into_bytes() {
            console.input.send(vec![byte].into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let starts = |known: &Known| matches!(known, Known::PoweredOn {} | Known::Reset { .. });
    let until_start = async |count: usize| {
        let deadline = Instant::now() + BOOT;
        while bench.happened().iter().filter(|known| starts(known)).count() < count {
            assert!(Instant::now() < deadline, "no start {count}: {:#?}", bench.happened());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // What the firmware tried in its latest start, in order.
    let tried = || {
        let happened = bench.happened();
        let from = happened.iter().rposition(starts).unwrap();
        let of = |known: &Known| match known {
            Known::ConsoleLine { text } if !text.contains("failed to load") => None,
            Known::ConsoleLine { text } if text.contains("HARDDISK") => Some("disk"),
            Known::ConsoleLine { text } if text.contains("DVD") => Some("cd"),
            _ => None,
        };
        happened[from..].iter().filter_map(of).collect::<Vec<_>>()
    };
    machine.power_on().await.unwrap();
    until_boot_says(&bench, "Shell>").await;
    assert_eq!(tried(), ["disk", "cd"]);

    // A reset by the system, which is the one start that was asked for.
    assert_eq!(machine.set_boot(BootOverride::Once(BootTarget::Cd)).await.unwrap(), Effect::NextStart);
    shell("reset").await;
    until_start(2).await;
    until_boot_says(&bench, "Shell>").await;
    assert_eq!(tried()[..2], ["cd", "disk"]);

    // The next is as before; then the system sets its own order, which stays over resets and power cycles.
    shell("reset").await;
    until_start(3).await;
    until_boot_says(&bench, "Shell>").await;
    assert_eq!(tried(), ["disk", "cd"]);
    shell("bcfg boot dump").await;
    let position = |lines: &[String]| {
        let cd = lines.iter().position(|line| line.contains("Desc") && line.contains("DVD-ROM"))?;
        let option = lines[..cd].iter().rev().find_map(|line| line.split("Option: ").nth(1))?;
        option.split('.').next().map(str::to_owned)
    };
    let deadline = Instant::now() + BOOT;
    let number = loop {
        if let Some(number) = position(&latest_boot(&bench)) {
            break number;
        }
        assert!(Instant::now() < deadline, "{:#?}", latest_boot(&bench));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    shell(&format!("bcfg boot mv {number} 00")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shell("reset").await;
    until_start(4).await;
    until_boot_says(&bench, "Shell>").await;
    assert_eq!(tried(), ["cd", "disk"]);
    machine.cycle().await.unwrap();
    until_boot_says(&bench, "Shell>").await;
    assert_eq!(tried(), ["cd", "disk"]);
    machine.stop().await;
    let names = bench.names();
    assert_eq!(names, ["powered-on", "powered-off", "powered-on", "powered-off"], "{:#?}", bench.happened());
}

#[tokio::test]
async fn media_are_changed_while_a_machine_runs() {
    let bench = Bench::new();
    let [own, other, iso] = ["own.img", "other.img", "blank.iso"].map(|name| bench.path().join(name));
    std::fs::write(&own, bootable_disk("from its own stick")).unwrap();
    std::fs::write(&other, bootable_disk("from another stick")).unwrap();
    std::fs::write(&iso, vec![0; 1 << 16]).unwrap();
    let convert = ["convert", "-O", "qcow2", "own.img", "key.qcow2"];
    assert!(Command::new("qemu-img").args(convert).current_dir(bench.path()).status().unwrap().success());
    let (key, install) = (DiskName::new("key").unwrap(), DiskName::new("install").unwrap());
    let boot = Boot::Order(vec![BootDevice::Cd, BootDevice::Usb, BootDevice::Network]);
    let cds = vec![CdDrive { name: install.clone(), medium: None }];
    let node = Node { boot, disks: vec![disk("key", Bus::Usb)], cds, ..node() };
    let media = BTreeMap::from([(install.clone(), iso.clone())]);
    let machine = bench.start_with(&machine_plan(node), media).await.unwrap();
    machine.power_on().await.unwrap();
    until_boot_says(&bench, "Booting from DVD/CD").await;
    until_boot_says(&bench, "from its own stick").await;

    assert!(matches!(machine.eject(None).await, Err(NodeError::NoSuchDrive { drive: None, .. })));
    machine.eject(Some(&key)).await.unwrap();
    machine.eject(Some(&key)).await.unwrap();
    machine.eject(Some(&install)).await.unwrap();
    machine.reset().await.unwrap();
    until_boot_says(&bench, "iPXE initialising devices").await;

    let now = Effect::Now;
    assert_eq!(machine.insert(Some(&key), Some(MediaImage::File(other.clone()))).await.unwrap(), now);
    assert_eq!(machine.insert(Some(&install), None).await.unwrap(), now);
    machine.reset().await.unwrap();
    until_boot_says(&bench, "from another stick").await;
    // It stays over a power cycle, and is replaced by the stick of the lab file.
    machine.cycle().await.unwrap();
    until_boot_says(&bench, "from another stick").await;
    assert_eq!(machine.insert(Some(&key), None).await.unwrap(), now);
    machine.set_boot(BootOverride::Always(BootTarget::Usb)).await.unwrap();
    machine.reset().await.unwrap();
    until_boot_says(&bench, "from its own stick").await;
    assert!(!latest_boot(&bench).iter().any(|line| line.contains("DVD")), "{:#?}", latest_boot(&bench));
    machine.stop().await;

    let media: Vec<String> = bench
        .happened()
        .iter()
        .filter(|known| matches!(known, Known::MediumSet { .. }))
        .map(|known| known.to_string().replace(bench.path().to_str().unwrap(), "FOLDER"))
        .collect();
    let expected = [
        "disk.key is empty",
        "disk.key is empty",
        "cd.install is empty",
        "FOLDER/other.img is in disk.key",
        "FOLDER/blank.iso is in cd.install",
        "key.qcow2 is in disk.key",
    ];
    assert_eq!(media, expected);
    let left = std::fs::read_dir(bench.path()).unwrap().flatten().map(|entry| entry.file_name());
    assert!(!left.into_iter().any(|name| name.to_str().unwrap().starts_with("key-")));
}

#[tokio::test]
async fn a_uefi_machine_opens_its_setup_menu_once() {
    let bench = Bench::new();
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", bench.path().join("vars.fd")).unwrap();
    // With its own boot order: this needs no boot index.
    let machine = Node { firmware: Firmware::Uefi, boot: Boot::Nvram, ..node() };
    let machine = bench.start(&machine_plan(machine)).await.unwrap();
    machine.set_boot(BootOverride::Once(BootTarget::Setup)).await.unwrap();
    machine.power_on().await.unwrap();
    until_boot_says(&bench, "Boot Maintenance Manager").await;
    machine.reset().await.unwrap();
    until_boot_says(&bench, "iPXE").await;
    assert!(!latest_boot(&bench).iter().any(|line| line.contains("Boot Maintenance Manager")));
    machine.stop().await;
}
