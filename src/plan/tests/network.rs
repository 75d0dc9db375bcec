//! Subnets, uplinks, IPv6 and certificates of networks.

use super::*;
use crate::name::NetworkName;
use crate::plan::Reach;

#[test]
fn the_uplink_gets_an_unused_subnet() {
    let way = |facts: &HostFacts| {
        let plan = plan(&lab(PRIVATE), facts)?;
        Ok::<_, Refusal>(plan.steps.into_iter().find_map(|step| match step {
            Step::MakeNamespaces { uplink } => uplink.map(|way| way.address.to_string()),
            _ => None,
        }))
    };
    let taken = |nets: &[&str]| HostFacts {
        subnets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        ..facts()
    };
    assert_eq!(way(&facts()).unwrap().unwrap(), "192.0.2.2/24");
    assert_eq!(way(&taken(&["192.0.2.128/25"])).unwrap().unwrap(), "198.51.100.2/24");
    let everywhere = taken(&["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"]);
    assert_snapshot!(way(&everywhere).unwrap_err(), @"
    every subnet for the uplink is in use by the lab or the host

    hint: free one of 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 and 198.18.0.0/24
    ");
}

#[test]
fn a_subnet_of_the_host() {
    let facts = HostFacts { subnets: vec!["10.0.0.0/16".parse().unwrap()], ..facts() };
    assert_snapshot!(refused(&in_host(), &facts), @r#"
    network lan (10.0.2.1/24) overlaps with 10.0.0.0/16, which this host uses

    hint: give the network another address, or remove `isolation = "none"`
    "#);
    plan(&lab(PRIVATE), &facts).unwrap();
}

#[test]
fn a_prefix_of_the_host() {
    let facts = HostFacts { subnets: vec!["fd00:83::/48".parse().unwrap()], ..facts() };
    let with_ipv6 =
        |lab: &str| lab.replacen("[network.lan]", "[network.lan]\nipv6 = \"fd00:83:0:7::1/64\"", 1);
    assert_snapshot!(refused(&with_ipv6(&in_host()), &facts), @r#"
    network lan (fd00:83:0:7::1/64) overlaps with fd00:83::/48, which this host uses

    hint: give the network another address, or remove `isolation = "none"`
    "#);
    plan(&lab(&in_host()), &facts).unwrap();
    plan(&lab(&with_ipv6(PRIVATE)), &facts).unwrap();
}

#[test]
fn a_network_with_ipv6_has_names_for_it_and_no_uplink() {
    let plan =
        plan(&lab(&PRIVATE.replace("nat = true", "nat = true\nipv6 = \"fd00:83::1/64\"")), &facts()).unwrap();
    let mut text = String::new();
    for step in &plan.steps {
        match step {
            Step::Bridge(_) => writeln!(text, "{}", step.title()).unwrap(),
            Step::NameFiles { hosts, .. } => {
                let hosts: Vec<String> =
                    hosts.iter().map(|(address, name)| format!("{name} {address}")).collect();
                writeln!(text, "hosts: {}", hosts.join(", ")).unwrap();
            }
            Step::Firewall(firewall) => {
                writeln!(text, "masquerade: {:?}", firewall.masquerade[0].subnet).unwrap()
            }
            Step::Serve(service) => {
                let addresses = service.hosts.iter().filter_map(|host| host.ipv6);
                let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
                writeln!(text, "{}\n  addresses: {}", step.title(), addresses.join(", ")).unwrap();
                writeln!(text, "  reverse: {:?}", service.dns.reverse).unwrap();
            }
            _ => {}
        }
    }
    assert_snapshot!(text, @"
    hosts: localhost 127.0.0.1, a.lab 10.0.2.10, b.lab 10.0.2.11, c.lab 10.0.2.5, registry.example 10.0.2.1, registry.example fd00::1
    create bridge lan for network lan: 10.0.2.1/24, fd00:83::1/64, 52:54:00:91:a2:f6, mtu 1500
    create bridge storage for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 9000
    masquerade: 10.0.2.0/24
    serve network lan at 10.0.2.1 and fd00:83::1: dhcp, dhcpv6, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
      addresses: fd00:83::1:a, fd00:83::1:b, fd00:83::1:5
      reverse: [10.0.2.0/24, fd00:83::/64, 10.0.3.0/24]
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
      addresses: 
      reverse: [10.0.2.0/24, fd00:83::/64, 10.0.3.0/24]
    ");
}

#[test]
fn frames_are_captured_before_anything_speaks() {
    let captured = |text: &str| {
        let plan = plan(&lab(text), &facts()).unwrap();
        let at = |wanted: fn(&Step) -> bool| plan.steps.iter().position(wanted);
        let begin = at(|step| matches!(step, Step::Capture(_)));
        assert!(begin.is_none() || begin < at(|step| matches!(step, Step::Port(_) | Step::Serve(_))));
        plan.steps.into_iter().find_map(|step| match step {
            Step::Capture(capture) => Some(capture),
            _ => None,
        })
    };
    let capture = captured(PRIVATE).unwrap();
    let title = Step::Capture(capture.clone()).title();
    assert_eq!(
        title,
        "capture frames of lan, storage into capture.pcapng: up to 64MiB, without file contents"
    );
    assert!(capture.networks.iter().all(|network| network.stations.is_none()));
    let ports: Vec<usize> = capture.networks.iter().map(|network| network.ports.len()).collect();
    assert_eq!(ports, [3, 1], "one for each NIC");
    assert_eq!(captured(&format!("capture = \"off\"\n{PRIVATE}")), None);
    // Of a real segment only what concerns the lab.
    let rack = "dryrack = 1\nisolation = \"none\"\nnetwork.lan = { address = \"10.9.0.1/24\", interface = \"eth1\" }\n\
                node.a = { disk.root.size = \"1GiB\", nic.lan.mac = \"52:54:00:00:00:0a\" }\n";
    let lan = captured(rack).unwrap().networks.remove(0);
    let stations: Vec<String> = lan.stations.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(stations.len(), 2, "the node and the bridge");
    assert!(stations.contains(&"52:54:00:00:00:0a".to_owned()));
    assert_eq!((lan.ports.len(), lan.ports[0].as_str()), (2, "eth1"));
}

#[test]
fn a_certificate_is_for_every_name_of_the_server() {
    let lab = lab(r#"dryrack = 1
name = "names"
[network.lan]
address = "10.0.2.1/24"
ipv6 = "fd00:2::1/64"
https = true
dns.domain = "lan.lab"
dns.records = { "matchbox.local" = "10.0.2.1", "*.apps" = ["10.0.2.9", "fd00:2::1"], other = "10.0.2.7" }
dns.cname = { www = "web", web = "matchbox.local", elsewhere = "other" }
[network.plain]
address = "10.0.3.1/24"
dns.domain = "plain.lab"
dns.cname = { far = "ns.lan.lab" }
[profile.p]
kernel = "files/linux"
loader = "chainload"
via = "https"
[node.n]
firmware = "uefi"
profile = "p"
nic.lan = {}
nic.plain = {}
"#);
    let plan = plan(&lab, &facts()).unwrap();
    let services = plan.steps.iter().filter_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let lines: Vec<String> = services
        .map(|service| {
            let boot = service.hosts[0].boot.as_ref().unwrap();
            let files: Vec<&String> = service.files.keys().filter(|path| path.starts_with("ca.")).collect();
            format!("{}: {:?}\n{files:?} {:?}", service.network, service.https, boot.programs)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    lan: Some(HttpsPlan { addresses: [10.0.2.1, fd00:2::1], names: ["*.apps.lan.lab", "far.plain.lab", "lan.lab", "matchbox.local", "ns.lan.lab", "web.lan.lab", "www.lan.lab"] })
    ["ca.der", "ca.pem"] {0: "ipxe/undionly.kpxe", 7: "ipxe/snponly.efi"}
    plain: None
    [] {}
    "#);
}

#[test]
fn what_is_off_is_named_to_nobody() {
    let base = r#"dryrack = 1
name = "off"
network.lan.address = "10.0.2.1/24"
network.lan.ipv6 = "fd00:2::1/64"
network.next.address = "10.0.3.1/24"
profile.p.kernel = "files/linux"
node.a = { firmware = "uefi", profile = "p", nic.lan = { rom = false } }
"#;
    let told = |more: &str| {
        let plan = plan(&lab(&format!("{base}{more}")), &facts()).unwrap();
        let mut text = String::new();
        for step in &plan.steps {
            match step {
                Step::Serve(service) if service.network.as_str() == "lan" => {
                    writeln!(text, "{}", step.title()).unwrap();
                    if let Some(dhcp) = &service.dhcp {
                        let options: Vec<u8> = dhcp.options.keys().copied().collect();
                        writeln!(
                            text,
                            "dhcp: dns {:?}, domain {:?}, options {options:?}",
                            dhcp.nameserver, dhcp.domain
                        )
                        .unwrap();
                    }
                    if let Some(dhcp6) = &service.dhcp6 {
                        let Dhcp6Plan { nameserver, domain, ntp, .. } = dhcp6;
                        writeln!(text, "dhcpv6: dns {nameserver:?}, domain {domain:?}, ntp {ntp}").unwrap();
                    }
                    let script = service.hosts[0].boot.as_ref().and_then(|boot| boot.script.as_deref());
                    writeln!(text, "script: {script:?}").unwrap();
                }
                Step::NameFiles { nameserver, .. } => writeln!(text, "resolv.conf: {nameserver:?}").unwrap(),
                _ => {}
            }
        }
        writeln!(text, "asked: {:?}", plan.networks.values().map(|network| network.dns).collect::<Vec<_>>())
            .unwrap();
        text
    };
    assert_snapshot!(told(""), @r#"
    resolv.conf: Some(10.0.2.1)
    serve network lan at 10.0.2.1 and fd00:2::1: dhcp, dhcpv6, tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
    dhcp: dns Some(10.0.2.1), domain Some("lab"), options [7, 42, 119]
    dhcpv6: dns Some(fd00:2::1), domain Some("lab"), ntp true
    script: Some("http://10.0.2.1/boot/a.ipxe")
    asked: [Some(10.0.2.1:53), Some(10.0.3.1:53)]
    "#);
    assert_snapshot!(told("network.lan.dns = \"off\"\nnetwork.lan.ntp = \"off\"\nnetwork.lan.syslog = \"off\"\nnetwork.lan.ra = \"off\"\n"), @r#"
    resolv.conf: Some(10.0.3.1)
    serve network lan at 10.0.2.1 and fd00:2::1: dhcp, dhcpv6, tftp, http; 3 files, 1 text
    dhcp: dns None, domain None, options []
    dhcpv6: dns None, domain None, ntp false
    script: Some("http://10.0.2.1/boot/a.ipxe")
    asked: [None, Some(10.0.3.1:53)]
    "#);
    assert_snapshot!(told("network.lan.dns.port = 5353\nnetwork.lan.http.port = 8080\n"), @r#"
    resolv.conf: Some(10.0.3.1)
    serve network lan at 10.0.2.1 and fd00:2::1: dhcp, dhcpv6, tftp, http on port 8080, dns on port 5353, ntp, syslog, router advertisements; 3 files, 1 text
    dhcp: dns None, domain Some("lab"), options [7, 42, 119]
    dhcpv6: dns None, domain Some("lab"), ntp true
    script: Some("http://10.0.2.1:8080/boot/a.ipxe")
    asked: [Some(10.0.2.1:5353), Some(10.0.3.1:53)]
    "#);
    assert_snapshot!(told("network.lan.http = \"off\"\nnetwork.lan.matchbox.port = 8080\n"), @r#"
    resolv.conf: Some(10.0.2.1)
    serve network lan at 10.0.2.1 and fd00:2::1: dhcp, dhcpv6, tftp, matchbox on port 8080, dns, ntp, syslog, router advertisements; 3 files, 1 text
    dhcp: dns Some(10.0.2.1), domain Some("lab"), options [7, 42, 119]
    dhcpv6: dns Some(fd00:2::1), domain Some("lab"), ntp true
    script: Some("http://10.0.2.1:8080/boot/a.ipxe")
    asked: [Some(10.0.2.1:53), Some(10.0.3.1:53)]
    "#);
    assert_snapshot!(
        told("network.lan.services = \"off\"\nnetwork.next.services = \"off\"\nnetwork.lan.http = \"on\"\n\
              process.dnsmasq.run = \"dnsmasq\"\n"), @r#"
    resolv.conf: None
    serve network lan at 10.0.2.1 and fd00:2::1: http; 3 files, 1 text
    script: Some("http://10.0.2.1/boot/a.ipxe")
    asked: [None, None]
    "#
    );
}

#[test]
fn a_bridge_is_no_interface_of_the_host() {
    let named = |bridge: &str| {
        in_host().replacen("[network.lan]", &format!("[network.lan]\nbridge = \"{bridge}\""), 1)
    };
    assert_snapshot!(refused(&named("eth0"), &facts()), @r#"
    the bridge of network lan would be eth0, which is an interface of this host

    hint: set another name, as in network.lan.bridge = "br-eth0"
    "#);
    plan(&lab(&named("br0")), &facts()).unwrap();
    // A private lab has interfaces of its own.
    plan(&lab(&PRIVATE.replacen("[network.lan]", "[network.lan]\nbridge = \"eth0\"", 1)), &facts()).unwrap();
}

#[test]
fn a_switch_is_reached_from_its_host() {
    let text = r#"dryrack = 1
name = "switch"
network.rack = { subnet = "10.0.1.0/24", probe-from = "deploy" }
host.deploy.nic.rack.address = "10.0.1.2"
process.dnsmasq = { run = "dnsmasq", host = "deploy" }
node.a.nic.rack.address = "10.0.1.5"
node.a.disk.root.size = "1GiB"
"#;
    let plan = plan(&lab(text), &facts()).unwrap();
    let serves = |step: &&Step| matches!(step, Step::Serve(_));
    let steps: Vec<String> = plan.steps.iter().filter(serves).map(Step::title).collect();
    assert_eq!(
        steps,
        ["watch network rack, 10.0.1.0/24: nobody of Dryrack is on it, nodes are reached from host deploy"]
    );
    let deploy = crate::name::NodeName::new("deploy").unwrap();
    assert_eq!(plan.reach("10.0.1.5".parse().unwrap()), Reach::Host(&deploy));
    assert_eq!(plan.reach("10.0.2.5".parse().unwrap()), Reach::Bridge);
}

#[test]
fn nobody_of_ours_is_on_a_switch() {
    let text = r#"dryrack = 1
name = "switch"
network.far.subnet = "10.0.1.0/24"
network.near.address = "10.0.2.1/24"
node.a.nic = { far = { address = "10.0.1.5" }, near = { address = "10.0.2.5" } }
node.a.disk.root.size = "1GiB"
process.dnsmasq = { run = "dnsmasq", network = "far" }
"#;
    let plan = plan(&lab(text), &facts()).unwrap();
    let wanted = |step: &&Step| matches!(step, Step::Bridge(_) | Step::Serve(_) | Step::NameFiles { .. });
    let steps: Vec<String> = plan.steps.iter().filter(wanted).map(Step::title).collect();
    assert_snapshot!(steps.join("\n"), @"
    write hosts and resolv.conf, name server 10.0.2.1
    create bridge far for network far: no address, 52:54:00:50:08:ce, mtu 1500
    create bridge near for network near: 10.0.2.1/24, 52:54:00:d5:50:f6, mtu 1500
    watch network far, 10.0.1.0/24: nobody of Dryrack is on it
    serve network near at 10.0.2.1: dhcp, tftp, http, dns, ntp, syslog, router advertisements; 0 files, 0 texts
    ");
    let node = plan.nodes.values().next().unwrap();
    assert_eq!(node.address, Some("10.0.2.5".parse().unwrap()), "probes start from our address");
    let far = NetworkName::new("far").unwrap();
    assert_eq!(plan.reach("10.0.1.5".parse().unwrap()), Reach::Nobody(&far));
    assert_eq!(plan.reach("10.0.2.5".parse().unwrap()), Reach::Bridge);
    let process = plan.steps.iter().find_map(|step| match step {
        Step::Process(process) => Some(process.environment.clone()),
        _ => None,
    });
    assert!(!process.unwrap().contains_key("DRYRACK_SERVER"));
}

#[test]
fn a_relay_is_served_from_another_network() {
    let steps = |servers: &str, to: &str| {
        let text = format!(
            "dryrack = 1\nname = \"relay\"\nnetwork.rack = {{ address = \"10.1.0.1/24\", dhcp.relay = {to} }}\n\
             network.servers = {{ address = \"10.0.0.1/24\", {servers} }}\nprofile.p.kernel = \"files/linux\"\n\
             node.a = {{ profile = \"p\", nic.rack = {{}} }}\n"
        );
        let plan = plan(&lab(&text), &facts()).unwrap();
        let wanted = |step: &&Step| matches!(step, Step::Forward { .. } | Step::Serve(_));
        let lines = plan.steps.iter().filter(wanted).map(|step| {
            let more = match step {
                Step::Serve(service) => {
                    let relayed = service.relayed.iter().map(|relayed| {
                        let dhcp = relayed.dhcp.as_ref().unwrap();
                        let hosts =
                            relayed.hosts.iter().map(|host| format!("{} {:?}", host.node, host.address));
                        format!(
                            "\n  for {}: router {:?}, {}",
                            relayed.network,
                            dhcp.router,
                            hosts.collect::<String>()
                        )
                    });
                    relayed.collect::<String>()
                        + &service.relay.as_ref().map(|relay| format!("\n  {relay:?}")).unwrap_or_default()
                }
                _ => String::new(),
            };
            step.title() + &more
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(steps("nat = false", "\"servers\""), @"
    forward IPv4
    serve network rack at 10.1.0.1: dhcp relay to 10.0.0.1, tftp, http, dns, ntp, syslog, router advertisements; 1 file, 1 text
      RelayPlan { to: Server(10.0.0.1) }
    serve network servers at 10.0.0.1: dhcp also for rack, tftp, http, dns, ntp, syslog, router advertisements; 0 files, 0 texts
      for rack: router Some(10.1.0.1), a Some(10.1.0.10)
    ");
    assert_snapshot!(steps("nat = false", "{ to = \"servers\", agent = \"off\" }"), @"
    forward IPv4
    serve network rack at 10.1.0.1: tftp, http, dns, ntp, syslog, router advertisements; 1 file, 1 text
    serve network servers at 10.0.0.1: dhcp also for rack, tftp, http, dns, ntp, syslog, router advertisements; 0 files, 0 texts
      for rack: router Some(10.1.0.1), a Some(10.1.0.10)
    ");
    assert_snapshot!(steps("dhcp = \"off\"", "\"servers\""), @r#"
    forward IPv4
    serve network rack at 10.1.0.1: dhcp relay to servers, tftp, http, dns, ntp, syslog, router advertisements; 1 file, 1 text
      RelayPlan { to: Broadcast { network: NetworkName("servers"), interface: IfName("servers"), address: 10.0.0.1 } }
    serve network servers at 10.0.0.1: tftp, http, dns, ntp, syslog, router advertisements; 0 files, 0 texts
    "#);
}
