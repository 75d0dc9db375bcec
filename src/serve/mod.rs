//! The services for booting machines: DHCP, DHCPv6, TFTP, HTTP, DNS, router advertisements.
//!
//! Each service consists of a pure answer and a thin loop around it that receives, answers, sends and emits. Sockets
//! are passed in bound, so no service knows its network namespace; no packet can end a service.

mod allowed_sources;
mod arch;
#[cfg(not(fuzzing))]
pub mod bmc;
mod boots;
mod clients;
mod connection_limit;
mod content;
mod context;
mod dhcp;
mod dhcp6;
mod dns;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look at events"))]
mod example;
mod failure;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grpc;
mod http;
mod labels;
mod matchbox;
#[cfg(not(fuzzing))]
pub(crate) mod nbd;
mod neighbours;
mod ntp;
mod payload;
mod ra;
mod repeats;
mod segments;
mod syslog;
mod tftp;
mod tls;
mod transfer;
mod windows;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::boots::Boots;
pub use self::clients::Addresses;
use self::clients::Clients;
use self::content::ContentStore;
use self::context::Context;
use self::dhcp::{Dhcp, Relay};
pub use self::dhcp::{LookError, OtherServer};
use self::dhcp6::Dhcp6;
use self::failure::failed;
use self::matchbox::Matchbox;
pub use self::matchbox::{
    KeyRing, KeyRingError, Secure, Standalone, StandaloneError, Store, serve_standalone,
};
pub use self::tls::Identity;
use crate::event::{Emitter, Service, Source};
use crate::fault::Faults;
use crate::lab::FileRef;
use crate::plan::ServicePlan;
use crate::system::sockets::Sockets;

/// Finds the host file of a reference in the plan; `None` if there is none.
pub type Resolve = Arc<dyn Fn(&FileRef) -> Option<PathBuf> + Send + Sync>;

/// The inputs of services besides the plan.
#[derive(Clone)]
pub struct Resources {
    /// Resolves the files of the plan.
    pub resolve: Resolve,
    /// The public SSH key of the run, as a line of `authorized_keys` without newline.
    pub ssh_public_key: String,
    /// The addresses of nodes: shared by all networks of a lab, so that each can name the nodes of the others.
    pub addresses: Addresses,
    /// The run folder, where services store persistent data in `network/NAME`.
    pub folder: PathBuf,
    /// The number of boots of each machine.
    pub boots: Boots,
    /// Decides what goes wrong on purpose.
    pub faults: Faults,
    /// The certificate of HTTPS, if planned.
    pub identity: Option<Identity>,
    /// The signing key of matchbox, if planned.
    pub key_ring: Option<Arc<KeyRing>>,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resources")
    }
}

/// Checks that no other DHCP server is active on a network, if the plan says so.
pub async fn look_for_others(sockets: &mut Sockets, plan: &ServicePlan) -> Result<(), LookError> {
    match sockets.dhcp.as_mut().and_then(|dhcp| dhcp.probe.take()) {
        Some(probe) => dhcp::look_for_others(probe, plan).await,
        None => Ok(()),
    }
}

/// Runs the boot services of one network until `stop` is cancelled. Their errors become events.
pub async fn serve(
    sockets: Sockets,
    plan: ServicePlan,
    resources: Resources,
    events: Emitter,
    stop: CancellationToken,
) {
    let Sockets {
        dhcp,
        relay,
        dhcp6,
        tftp,
        http,
        https,
        matchbox,
        rpc,
        dns,
        dns_tcp,
        solicitations,
        neighbours,
        ntp,
        syslog,
        missing,
    } = sockets;
    let events = events.of(Source::Service);
    let identity = resources.identity.clone();
    let key_ring = resources.key_ring.clone();
    let addresses = resources.addresses.clone();
    let boots = resources.boots.clone();
    let clients = Clients::among(&plan, addresses.clone(), boots.clone());
    let faults = resources.faults.clone();
    let context = Context { faults: faults.clone(), ..Context::new(clients, events.clone()) };
    let folder = resources.folder.join("network").join(plan.network.as_str());
    let content = ContentStore::new(&plan, resources);
    let writing = plan.matchbox.as_ref().and_then(|matchbox| grpc::methods(matchbox, &folder));
    let mut services = JoinSet::new();

    match Relay::new(relay, &plan, &events) {
        Ok(Some(relay)) => drop(services.spawn(relay.run())),
        Ok(None) => {}
        Err(error) => failed(&events, Service::Dhcp, &error.to_string()),
    }
    let of_relayed = |relayed: &ServicePlan| {
        let clients = Clients::among(relayed, addresses.clone(), boots.clone());
        Context { faults: faults.clone(), ..Context::new(clients, events.clone()) }
    };
    let dhcp = match Dhcp::new(dhcp, &plan, &folder, context.clone(), of_relayed) {
        Ok(dhcp) => dhcp,
        Err(error) => {
            failed(&events, Service::Dhcp, &error.to_string());
            None
        }
    };
    let dhcp = dhcp.map(|dhcp| {
        let stopper = dhcp.stopper();
        services.spawn_blocking(move || dhcp.run());
        stopper
    });
    let mut transient_route = None;
    if plan.ra {
        match ra::Advertiser::new(solicitations, ra::Router::new(&plan)) {
            Ok(advertiser) => {
                transient_route = Some(advertiser.transient_route());
                services.spawn(ra::run(advertiser, events.clone()));
            }
            Err(error) => failed(&events, Service::Ra, &error),
        }
    }
    match Dhcp6::new(dhcp6, &plan, context.clone(), transient_route) {
        Ok(Some(dhcp6)) => drop(services.spawn(dhcp6.run())),
        Ok(None) => {}
        Err(error) => failed(&events, Service::Dhcpv6, &error.to_string()),
    }
    // One socket for every address of the bridge.
    let handler = http::HttpHandler {
        content: content.clone(),
        context: context.clone(),
        matchbox: plan.matchbox.as_ref().map(|plan| Matchbox::of(plan, &folder, key_ring)),
        ending: CancellationToken::new(),
        patience: http::PATIENCE,
    };
    // If matchbox has its own port, the one of HTTP serves only the files of the lab.
    let plain = match matchbox.is_empty() {
        true => handler.clone(),
        false => http::HttpHandler { matchbox: None, ..handler.clone() },
    };
    let acceptor = identity
        .map(|identity| tls::Acceptors::new(identity, tls::Sessions::Kept))
        .transpose()
        .unwrap_or_else(|error| {
            failed(&events, Service::Https, &error.to_string());
            None
        });
    let http = http.into_iter().map(|listener| (listener, plain.clone(), None));
    let matchbox = matchbox.into_iter().map(|listener| (listener, handler.clone(), None));
    let https =
        https.into_iter().filter_map(|listener| Some((listener, handler.clone(), Some(acceptor.clone()?))));
    let listeners: Vec<_> = http.chain(matchbox).chain(https).collect();
    let (reporter, ended) = (events.clone(), stop.clone());
    services.spawn_blocking(move || {
        apart(&reporter, &ended, Service::Http, Threads::Several, || async move {
            let of = |(listener, handler, tls)| http::run(listener, handler, tls);
            let mut running: JoinSet<()> = listeners.into_iter().map(of).collect();
            while running.join_next().await.is_some() {}
        });
    });
    match writing.transpose() {
        Ok(None) => {}
        Ok(Some(methods)) => {
            let (reporter, ended) = (events.clone(), stop.clone());
            services.spawn_blocking(move || {
                apart(&reporter, &ended, Service::Grpc, Threads::One, || {
                    methods.answer(rpc, reporter.clone())
                });
            });
        }
        Err(error) => failed(&events, Service::Grpc, &error),
    }
    let zones = dns::Zones::new(&plan, addresses);
    let (for_dns, reporter, ended) = (context.clone(), events.clone(), stop.clone());
    services.spawn_blocking(move || {
        apart(&reporter, &ended, Service::Dns, Threads::One, || dns::run(dns, dns_tcp, zones, for_dns));
    });
    let watch = neighbours::Watch::new(&plan, context.clone());
    services.spawn(neighbours::run(neighbours, watch));
    services.spawn(ntp::run(ntp, plan.clock, context.clone()));
    services.spawn(syslog::run(syslog, context.clone()));
    for error in missing {
        failed(&events, error.service().to_lowercase().as_str().into(), &error.in_full());
    }
    let (backend, mtu, ends) = (plan.tftp, plan.mtu, stop.clone());
    services.spawn_blocking(move || tftp::run(tftp, backend, mtu, content, context, ends));

    stop.cancelled().await;
    drop(dhcp);
    services.shutdown().await;
}

/// The number of threads of a service.
enum Threads {
    /// The current thread: no other has to be woken for a packet, which takes most of the time of a small answer.
    One,
    /// One per CPU, up to four: sending large files keeps all of them busy.
    Several,
}

/// Runs a service on this thread until `stop` is cancelled, with its own runtime, so that services do not wait for each
/// other.
fn apart<F: Future<Output = ()>>(
    events: &Emitter,
    stop: &CancellationToken,
    service: Service,
    threads: Threads,
    run: impl FnOnce() -> F,
) {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Several => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Threads::Several = threads {
        builder
            .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)));
    }
    match builder.enable_all().build() {
        // Sockets are registered with the runtime in which they are created.
        Ok(runtime) => drop(runtime.block_on(async { stop.run_until_cancelled(run()).await })),
        Err(error) => failed(events, service, &error.to_string()),
    }
}
