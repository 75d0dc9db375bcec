//! Checks that URLs can be reached, as far as the lab alone can tell.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::lab::{Lab, Network, Upstream};

/// Returns the problem of the URL in an argument, and its fix; `None` if it can be reached, or if that is unknown.
pub(super) fn dead(
    word: &str,
    lab: &Lab,
    network: &Network,
    existing: &dyn Fn(&Path) -> bool,
) -> Option<(String, String)> {
    let matchbox = network.matchbox.as_ref()?;
    // A path without a host refers to the server of matchbox.
    if let Some(path) = word.strip_prefix("/assets/") {
        return missing(path, network, matchbox.assets.as_deref(), existing);
    }
    let at = word.find("http://").or_else(|| word.find("https://"))?;
    let (scheme, rest) = word[at..].split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Variables of loaders are expanded later.
    if authority.is_empty() || authority.contains('$') {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok()?),
        _ if scheme == "https" => (authority, 443),
        _ => (authority, 80),
    };
    let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => BTreeSet::from([address]),
        Err(_) => addresses(lab, &host.to_ascii_lowercase()),
    };
    let server = IpAddr::from(network.server()?);
    if addresses.contains(&server) {
        let listens = Some(port) == network.http
            || port == matchbox.port
            || network.https && port == 443
            || matchbox.rpc.as_ref().is_some_and(|rpc| rpc.port == port);
        if !listens {
            let what = format!("no service of the lab listens on port {port} of {host}");
            return Some((what, format!("matchbox listens on port {}", matchbox.port)));
        }
        let asset = path.split(['?', '#']).next().and_then(|path| path.strip_prefix("assets/"));
        return asset.and_then(|path| missing(path, network, matchbox.assets.as_deref(), existing));
    }
    let has_upstream = !matches!(network.dns.upstream, Upstream::None);
    if addresses.is_empty() && host.parse::<IpAddr>().is_err() && !has_upstream {
        let what = format!("`{host}` does not resolve: the lab's DNS does not have it and has no forwarder");
        let help = format!("add it: network.{}.dns.records.\"{host}\" = \"{server}\"", network.name);
        return Some((what, help));
    }
    let ours = |address: &IpAddr| {
        lab.networks.values().any(|network| match address {
            IpAddr::V4(address) => network.subnet.contains(address),
            IpAddr::V6(address) => network.ipv6.is_some_and(|net| net.contains(address)),
        })
    };
    if !network.nat && !addresses.is_empty() && !addresses.iter().any(ours) {
        let what = format!("{host} is outside the lab, and the network has no NAT");
        return Some((what, format!("add network.{}.nat = true", network.name)));
    }
    None
}

/// Reports an asset that does not exist. Variables of loaders are expanded later.
fn missing(
    path: &str,
    network: &Network,
    assets: Option<&Path>,
    existing: &dyn Fn(&Path) -> bool,
) -> Option<(String, String)> {
    let path = path.split(['?', '#', ' ']).next().unwrap_or(path);
    // A file that the network itself serves takes precedence over folders.
    if path.contains('$') || network.files.contains_key(&format!("assets/{path}")) {
        return None;
    }
    let Some(assets) = assets else {
        let what = "this network has no assets folder".to_owned();
        return Some((what, "set matchbox.assets, or create `assets` in the data directory".to_owned()));
    };
    let file = assets.join(path);
    if existing(&file) {
        return None;
    }
    Some((format!("there is no asset `{path}`"), format!("it would be {}", file.display())))
}

/// Returns the addresses of a name of the lab.
fn addresses(lab: &Lab, name: &str) -> BTreeSet<IpAddr> {
    let mut name = name.trim_end_matches('.').to_owned();
    let dns = || lab.networks.values().map(|network| &network.dns);
    // An alias may point to another alias; cycles are reported elsewhere.
    for _ in 0..8 {
        match dns().find_map(|dns| dns.aliases.get(&name)) {
            Some(target) => name.clone_from(target),
            None => break,
        }
    }
    let mut addresses = BTreeSet::new();
    for network in lab.networks.values() {
        let domain = &network.dns.domain;
        if name == format!("ns.{domain}") || name == *domain {
            addresses.extend(network.server().map(IpAddr::from));
        }
        for node in lab.nodes.values() {
            let here = node.nics.iter().filter(|nic| nic.network == network.name);
            if name == format!("{}.{domain}", node.name) || name == node.name.as_str() {
                addresses.extend(here.filter_map(|nic| nic.address).map(IpAddr::from));
            }
        }
        addresses.extend(network.dns.records.get(&name).into_iter().flatten());
        let wildcards =
            network.dns.records.iter().filter_map(|(record, of)| Some((record.strip_prefix("*.")?, of)));
        for (below, of) in wildcards {
            if name.strip_suffix(below).is_some_and(|head| head.ends_with('.')) {
                addresses.extend(of);
            }
        }
    }
    addresses
}
