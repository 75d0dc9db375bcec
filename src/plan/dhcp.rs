//! The DHCP configuration of a network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{DhcpPlan, DhcpRole, RelayPlan, RelayTarget};
use crate::lab::options::{
    CLASSLESS_ROUTES, DOMAIN_SEARCH, LOG_SERVERS, MS_CLASSLESS_ROUTES, NTP_SERVERS, Octets, OptionType,
    Written, has_default_route,
};
use crate::lab::{Dhcp, DhcpOptions, DhcpRelay, DhcpServer, Network, RelayAgent, RelayTo, UnknownClients};
use crate::name::{IfName, NetworkName};

/// Returns the relay agent of a network, if the lab has it. `bridge` names the bridge of a network.
pub(super) fn relay(
    network: &Network,
    networks: &BTreeMap<NetworkName, Network>,
    bridge: impl Fn(&NetworkName) -> IfName,
) -> Option<RelayPlan> {
    let Dhcp::Relay(DhcpRelay { to, agent: RelayAgent::Builtin, server: _ }) = &network.dhcp else {
        return None;
    };
    let to = match to {
        RelayTo::Server(server) => RelayTarget::Server(*server),
        RelayTo::Network(name) => {
            let target = networks.get(name)?;
            let address = target.server()?;
            match target.leases() {
                Some(_) => RelayTarget::Server(address),
                None => RelayTarget::Broadcast { network: name.clone(), interface: bridge(name), address },
            }
        }
    };
    Some(RelayPlan { to })
}

/// Returns the DHCP configuration of a network, whichever network the server is on; `None` if another server answers.
pub(super) fn dhcp(network: &Network) -> Option<DhcpPlan> {
    let address = network.server()?;
    let plan = DhcpPlan {
        role: DhcpRole::Proxy,
        authoritative: false,
        probe: false,
        unknown_clients: UnknownClients::Ignore,
        identity: None,
        pool: None,
        lease_seconds: 0,
        router: router(network),
        nameserver: network.name_server(),
        domain: network.dns.port.map(|_| network.dns.domain.clone()),
        options: DhcpOptions::new(),
        ipxe_classes: Vec::new(),
        reserve: Default::default(),
    };
    match &network.dhcp {
        Dhcp::Off | Dhcp::Relay(DhcpRelay { server: None, .. }) => None,
        Dhcp::Proxy => Some(plan),
        Dhcp::Server(server) | Dhcp::Relay(DhcpRelay { server: Some(server), .. }) => {
            let DhcpServer {
                pool,
                lease_time,
                authoritative,
                unknown_clients,
                identity,
                ipxe_classes,
                reservations,
            } = server;
            Some(DhcpPlan {
                role: DhcpRole::Server,
                authoritative: *authoritative,
                probe: network.interface.is_some() && !authoritative,
                unknown_clients: *unknown_clients,
                identity: *identity,
                pool: *pool,
                lease_seconds: u32::try_from(lease_time.as_secs()).unwrap_or(u32::MAX),
                options: network_options(network, address),
                ipxe_classes: ipxe_classes.clone(),
                reserve: reservations.clone(),
                ..plan
            })
        }
    }
}

fn router(network: &Network) -> Option<Ipv4Addr> {
    // Behind a relay, clients renew at the server itself, which is on another network.
    network.server().filter(|_| network.nat || matches!(network.dhcp, Dhcp::Relay(_)))
}

/// Returns the options of a network: defaults for its own services, overridden by the lab.
fn network_options(network: &Network, server: Ipv4Addr) -> DhcpOptions {
    let here = Octets(server.octets().to_vec());
    let mut options = DhcpOptions::new();
    options.extend(network.syslog.then(|| (LOG_SERVERS, here.clone())));
    options.extend(network.ntp.then_some((NTP_SERVERS, here)));
    let search =
        network.dns.port.and_then(|_| OptionType::Domains.encode(&[Written::Text(&network.dns.domain)]));
    options.extend(search.map(|search| (DOMAIN_SEARCH, Octets(search))));
    options.extend(own_options(network, &network.options));
    options
}

/// Returns the options of the lab, with the default route added to classless routes: clients that get them ignore the
/// router option (RFC 3442).
pub(super) fn own_options(network: &Network, options: &DhcpOptions) -> DhcpOptions {
    let mut options = options.clone();
    for code in [CLASSLESS_ROUTES, MS_CLASSLESS_ROUTES] {
        if let (Some(Octets(routes)), Some(router)) = (options.get_mut(&code), router(network))
            && !has_default_route(routes)
        {
            routes.push(0);
            routes.extend(router.octets());
        }
    }
    options
}
