//! The example network for the tests of all services.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::content::ContentStore;
use super::{Addresses, Boots, Resources};
use crate::event::{Emitter, Event, Instant, Kind, Known, RunTime};
use crate::lab::{DhcpOptions, FileRef, TftpBackend, UnknownClients};
use crate::name::{IfName, ImageName, Mac, NetworkName, NodeName};
use crate::plan::{
    BootPlan, DhcpPlan, DhcpRole, DnsPlan, HostPlan, SSH_KEY, ServedFile, ServedText, ServicePlan,
};

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Netboots with address 10.0.0.11.
pub(super) const FAST: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
/// Netboots with the delays of real firmware, without a reservation.
pub(super) const REAL: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
/// Boots from disk, with an address within the pool.
pub(super) const DISK: Mac = Mac([0x52, 0x54, 0, 0, 0, 3]);
/// Not a node of the lab.
pub(super) const STRANGER: Mac = Mac([0x02, 0, 0, 0, 0, 9]);

/// Three nodes, a pool of four addresses, a kernel that exists and an initrd that does not.
pub(super) fn plan() -> ServicePlan {
    let host = |name: &str, mac: Mac, address: Option<[u8; 4]>, netboots: bool, skip_delays: bool| HostPlan {
        node: NodeName::new(name).unwrap(),
        mac,
        address: address.map(Ipv4Addr::from),
        ipv6: None,
        boot: netboots.then(|| BootPlan {
            script: Some(format!("http://{SERVER}/boot/{name}.ipxe")),
            rom_chains: false,
            via: None,
            programs: BTreeMap::from([
                (0, "ipxe/undionly.kpxe".to_owned()),
                (7, "ipxe/snponly.efi".to_owned()),
            ]),
        }),
        client_id: None,
        uuid: uuid::Uuid::from_u128(u128::from(mac.0[5])),
        options: DhcpOptions::new(),
        skip_delays,
    };
    let file = |file: &str| {
        let source = FileRef::Image { image: ImageName::new("tiny").unwrap(), file: file.to_owned() };
        ServedFile { source, role: file.into() }
    };
    let text = |body: &str, role: &str| ServedText { body: body.to_owned(), role: role.into() };
    ServicePlan {
        network: NetworkName::new("lan").unwrap(),
        interface: IfName::new("br0").unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        address: Some("10.0.0.1/24".parse().unwrap()),
        subnet: "10.0.0.0/24".parse().unwrap(),
        probe_from: None,
        ipv6: None,
        link_local: Mac([2, 0, 0, 0, 0, 1]).link_local(),
        mtu: 1500,
        hosts: vec![
            host("fast", FAST, Some([10, 0, 0, 11]), true, true),
            host("real", REAL, None, true, false),
            host("disk", DISK, Some([10, 0, 0, 31]), false, true),
        ],
        dhcp: Some(DhcpPlan {
            role: DhcpRole::Server,
            authoritative: true,
            probe: false,
            unknown_clients: UnknownClients::Answer,
            identity: None,
            pool: Some((Ipv4Addr::new(10, 0, 0, 30), Ipv4Addr::new(10, 0, 0, 33))),
            lease_seconds: 3600,
            router: Some(SERVER),
            nameserver: Some(SERVER),
            domain: Some("lab.test".to_owned()),
            options: DhcpOptions::new(),
            ipxe_classes: vec!["pixiecore".to_owned()],
            reserve: BTreeMap::new(),
        }),
        relay: None,
        beside_relays: false,
        relayed: Vec::new(),
        ipv6_unknown_clients: UnknownClients::Answer,
        ra: true,
        dhcp6: None,
        tftp: TftpBackend::Builtin,
        http: Some(80),
        ntp: true,
        syslog: true,
        https: None,
        matchbox: None,
        root: None,
        dns: DnsPlan { port: Some(53), domain: "lab.test".to_owned(), ..DnsPlan::default() },
        clock: 0,
        files: BTreeMap::from([
            ("profile/tiny/kernel".to_owned(), file("kernel")),
            ("profile/tiny/initrd0".to_owned(), file("initrd")),
        ]),
        texts: BTreeMap::from([
            ("boot/fast.ipxe".to_owned(), text("#!ipxe\nboot\n", "script")),
            ("nocloud/fast/user-data".to_owned(), text(&format!("key: {SSH_KEY}\n"), "seed")),
        ]),
    }
}

/// The content of the example plan, with image files in a folder.
pub(super) fn content(folder: &Path) -> ContentStore {
    content_of(&plan(), folder)
}

/// The content of a plan, with image files in a folder.
pub(super) fn content_of(plan: &ServicePlan, folder: &Path) -> ContentStore {
    let images = folder.to_owned();
    let resolve = Arc::new(move |file: &FileRef| match file {
        FileRef::Image { image: _, file } => Some(images.join(file)),
        FileRef::Path(path) => Some(path.clone()),
        FileRef::Lab(file) => Some(images.join(file.as_str())),
        FileRef::Url { .. } => None,
    });
    let ssh_public_key = "ssh-ed25519 KEY".to_owned();
    let folder = folder.to_owned();
    let (addresses, boots) = (Addresses::default(), Boots::default());
    ContentStore::new(
        plan,
        Resources {
            resolve,
            ssh_public_key,
            addresses,
            folder,
            boots,
            faults: super::Faults::none(),
            identity: None,
            key_ring: None,
        },
    )
}

/// Records events, with a clock that a test sets.
#[derive(Clone, Default)]
pub(super) struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    now: Arc<AtomicU64>,
}

impl Log {
    pub(super) fn emitter(&self) -> Emitter {
        let (events, now) = (Arc::clone(&self.events), Arc::clone(&self.now));
        let clock = move || Instant {
            at: RunTime::from_nanos(now.load(Ordering::Relaxed)),
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        Emitter::new(clock, move |event| events.lock().unwrap().push(event))
    }

    /// Like [`Log::emitter`], with a clock that advances by itself.
    pub(super) fn ticking(&self) -> Emitter {
        let events = Arc::clone(&self.events);
        let begin = std::time::Instant::now();
        let clock = move || Instant { at: begin.elapsed().into(), wall: jiff::Timestamp::UNIX_EPOCH };
        Emitter::new(clock, move |event| events.lock().unwrap().push(event))
    }

    pub(super) fn has_any(&self) -> bool {
        !self.events.lock().unwrap().is_empty()
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }

    /// Returns the events since the last call, each with its node.
    pub(super) fn take(&self) -> Vec<(Option<String>, Known)> {
        let taken = std::mem::take(&mut *self.events.lock().unwrap());
        let known = |event: Event| match event.kind {
            Kind::Known(known) => (event.node.map(|node| node.to_string()), known),
            Kind::Unknown { kind, fields: _ } => panic!("the kind `{kind}` is unknown"),
        };
        taken.into_iter().map(known).collect()
    }
}
