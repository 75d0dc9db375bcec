//! Leases survive the server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use dryrack::lab::FileRef;
use dryrack::name::Mac;
use dryrack::plan::ServicePlan;
use dryrack::serve::{Addresses, Boots, Resources, serve};
use dryrack::system::sockets;
use tokio_util::sync::CancellationToken;

use super::dhcp::Lease;
use crate::rack::{Log, Rack, alone};
use crate::{LAB, kernel};

/// Set in a process of the test that is a server: its folder.
const SERVER: &str = "DRYRACK_TEST_SERVER";

/// The services of a network in their own process, which can be killed.
pub(crate) struct Server(Child);

impl Server {
    /// Serves the plan in a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "services::dhcp_leases::leases_survive_every_kill", "--nocapture"])
            .env(SERVER, folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Returns its process.
    pub(crate) fn process(&self) -> u32 {
        self.0.id()
    }

    /// Kills it with SIGKILL.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Serves the plan of a folder until it is killed.
async fn serve_for_ever(folder: PathBuf) {
    let plan: ServicePlan =
        serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    let resources = Resources {
        resolve: Arc::new(|_: &FileRef| None),
        ssh_public_key: String::new(),
        addresses: Addresses::default(),
        folder,
        boots: Boots::default(),
        faults: dryrack::fault::Faults::none(),
        identity: None,
        key_ring: None,
    };
    let sockets = sockets::bind(&plan).unwrap();
    serve(sockets, plan, resources, Log::default().emitter(), CancellationToken::new()).await;
}

#[test]
fn leases_survive_every_kill() {
    if let Some(folder) = std::env::var_os(SERVER) {
        tokio::runtime::Runtime::new().unwrap().block_on(serve_for_ever(folder.into()));
        return;
    }
    alone(async || {
        let lab = LAB.replace("[\"10.0.0.30\", \"10.0.0.32\"]", "[\"10.0.0.30\", \"10.0.0.60\"]");
        let rack = Rack::of(&lab, kernel).await;
        let plan = rack.service().clone();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.json"), serde_json::to_vec(&plan).unwrap()).unwrap();
        let rack = rack.without_services().await;
        let leases = folder.path().join("network/lan/leases.jsonl");

        let mac = |number: u8| Mac([2, 0, 0, 0, 7, number]);
        let mut server = Server::start(folder.path());
        for number in 0..12 {
            let client = rack.client(mac(number));
            // The client starts before the server is ready, and retries.
            let lease = Lease::ask(&rack, &client, &[]).expect("a lease");
            // The next free address: no earlier lease was forgotten.
            assert_eq!(lease.get("ip"), format!("10.0.0.{}", 30 + number), "client {number}");
            server.kill();
            let text = std::fs::read_to_string(&leases).unwrap();
            let line = format!("\"mac\":\"{}\"", mac(number));
            assert!(text.contains(&line), "{line} was promised and is not in\n{text}");
            // It may also be killed in the middle of a line.
            let mut file = std::fs::File::options().append(true).open(&leases).unwrap();
            write!(file, "{{\"address\":\"10.0.0.{}\",\"unt", 40 + number).unwrap();
            server = Server::start(folder.path());
        }
        // Existing leases are kept.
        let client = rack.client(mac(5));
        let lease = Lease::ask(&rack, &client, &[]).expect("a lease");
        assert_eq!(lease.get("ip"), "10.0.0.35");
    });
}
