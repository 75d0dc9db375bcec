//! What a booting machine asks for: DHCP and DHCPv6, TFTP, HTTP, DNS, router advertisements.
//!
//! Each service is a pure answer and a thin loop around it that receives, answers,
//! sends and emits. Sockets come in bound, so no service knows in which namespace
//! it runs; none ends because of a packet.

mod arch;
mod clients;
mod dhcp;
mod dhcp6;
mod dns;
#[cfg(test)]
mod example;
mod http;
mod labels;
mod ntp;
mod ra;
mod shelf;
mod syslog;
mod tally;
mod tftp;
mod transfer;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::clients::Addresses;
use self::clients::Clients;
use self::dhcp::Dhcp;
use self::dhcp6::Dhcp6;
use self::shelf::Shelf;
use self::trouble::failed;
use crate::event::Emitter;
use crate::host::sockets::Sockets;
use crate::lab::FileRef;
use crate::plan::ServicePlan;

/// Finds the file on this host that a plan names; `None` if there is none.
pub type Resolve = Arc<dyn Fn(&FileRef) -> Option<PathBuf> + Send + Sync>;

/// What services need and no plan holds.
#[derive(Clone)]
pub struct Resources {
    /// Finds the files that the plan names.
    pub resolve: Resolve,
    /// The run's public ssh key, as a line of `authorized_keys` without line end.
    pub ssh_public_key: String,
    /// Who has which address: one for all networks of a lab, so that each can name the nodes of the others.
    pub addresses: Addresses,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resources")
    }
}

/// Runs the boot services of one network until `stop` is cancelled. Errors of theirs are events.
pub async fn serve(
    sockets: Sockets,
    plan: ServicePlan,
    resources: Resources,
    events: Emitter,
    stop: CancellationToken,
) {
    let Sockets { dhcp, dhcp6, tftp, http, dns, dns_tcp, solicitations, ntp, syslog, missing } = sockets;
    let addresses = resources.addresses.clone();
    let clients = Clients::among(&plan, addresses.clone());
    let shelf = Shelf::new(&plan, resources);
    let mut services = JoinSet::new();

    match Dhcp::new(dhcp, &plan, clients.clone(), events.clone()) {
        Ok(Some(dhcp)) => drop(services.spawn(dhcp.run())),
        Ok(None) => {}
        Err(error) => failed(&events, "dhcp", &error.to_string()),
    }
    match Dhcp6::new(dhcp6, &plan, clients.clone(), events.clone()) {
        Ok(Some(dhcp6)) => drop(services.spawn(dhcp6.run())),
        Ok(None) => {}
        Err(error) => failed(&events, "dhcpv6", &error.to_string()),
    }
    services.spawn(ra::run(solicitations, ra::Router::new(&plan), events.clone()));
    // One of each for every address of the bridge.
    for http in http {
        services.spawn(http::run(http, shelf.clone(), clients.clone(), events.clone()));
    }
    let zones = dns::Zones::new(&plan, addresses);
    let (of_names, told, ended) = (clients.clone(), events.clone(), stop.clone());
    services.spawn_blocking(move || {
        apart(&told, &ended, "dns", || dns::run(dns, dns_tcp, zones, of_names, told.clone()));
    });
    services.spawn(ntp::run(ntp, plan.clock, clients.clone(), events.clone()));
    services.spawn(syslog::run(syslog, clients.clone(), events.clone()));
    for error in missing {
        failed(&events, &error.service().to_lowercase(), &error.in_full());
    }
    let (backend, mtu, ends) = (plan.tftp, plan.mtu, stop.clone());
    services.spawn_blocking(move || tftp::run(tftp, backend, mtu, shelf, clients, events, ends));

    stop.cancelled().await;
    services.shutdown().await;
}

/// Runs a service on this thread until `stop` is cancelled, with a runtime of its own: no other thread has to be woken
/// for a packet, which is most of the time that a small answer takes.
fn apart<F: Future<Output = ()>>(
    events: &Emitter,
    stop: &CancellationToken,
    service: &str,
    run: impl FnOnce() -> F,
) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        // Sockets are registered with the runtime in which they are made.
        Ok(runtime) => drop(runtime.block_on(async { stop.run_until_cancelled(run()).await })),
        Err(error) => failed(events, service, &error.to_string()),
    }
}
