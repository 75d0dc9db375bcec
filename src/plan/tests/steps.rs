//! Every step has an undo, and depends only on earlier steps.

use super::*;

/// Formats the steps, each with its undo.
fn undone(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let undo: Vec<_> = step.undo().iter().map(ToString::to_string).collect();
        let undo = if undo.is_empty() { "nothing".to_owned() } else { undo.join(", ") };
        writeln!(text, "{}\n    undo: {undo}", step.title()).unwrap();
    }
    text
}

#[test]
fn every_step_in_a_private_place_has_its_undo() {
    assert_snapshot!(undone(&plan(&lab(PRIVATE), &facts()).unwrap()), @"
    build image debian
        undo: nothing
    build image ipxe
        undo: nothing
    build image tiny
        undo: nothing
    create namespaces, with uplink wan 192.0.2.2/24 (pasta)
        undo: nothing
    write hosts and resolv.conf, name server 10.0.2.1
        undo: nothing
    publish c: 127.0.0.1:2222 to 10.0.2.5:22
        undo: nothing
    create bridge lan for network lan: 10.0.2.1/24, 52:54:00:91:a2:f6, mtu 1500
        undo: delete link lan
    create bridge storage for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 9000
        undo: delete link storage
    capture frames of lan, storage into capture.pcapng: up to 64MiB, without file contents
        undo: nothing
    forward IPv4
        undo: set IPv4 forwarding off
    load nftables table ip dryrack_c3672989: masquerade 10.0.2.0/24
        undo: delete nftables table ip dryrack_c3672989
    serve network lan at 10.0.2.1: dhcp, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
        undo: nothing
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
        undo: nothing
    create disk root of a: 1GiB, blank
        undo: delete node/a/root.qcow2
    create tap drtdf201528 for a's lan on lan
        undo: delete link drtdf201528
    create tap drtd2f95d3e for a's storage on storage
        undo: delete link drtd2f95d3e
    start machine a, paused
        undo: stop machine a
    copy firmware variables of b from /usr/share/OVMF/OVMF_VARS_4M.fd
        undo: delete node/b/vars.fd
    create tap drt5121e257 for b's lan on lan
        undo: delete link drt5121e257
    start machine b, paused
        undo: stop machine b
    create disk root of c: 4GiB over image:debian/disk
        undo: delete node/c/root.qcow2
    copy firmware variables of c from /usr/share/OVMF/OVMF_VARS_4M.ms.fd
        undo: delete node/c/vars.fd
    write cloud-init seed of c: meta-data, user-data
        undo: delete node/c/seed.img
    create tap drta155eb92 for c's lan on lan
        undo: delete link drta155eb92
    start machine c, paused
        undo: stop machine c
    start process apply: terraform apply
        undo: stop process apply
    power on a
        undo: nothing
    power on c
        undo: nothing
    ");
}

#[test]
fn every_step_in_the_hosts_network_has_its_undo() {
    assert_snapshot!(undone(&plan(&lab(&in_host()), &guarded()).unwrap()), @"
    build image debian
        undo: nothing
    build image ipxe
        undo: nothing
    build image tiny
        undo: nothing
    create bridge drb35e0fe84 for network lan: 10.0.2.1/24, 52:54:00:91:a2:f6, mtu 1500
        undo: delete link drb35e0fe84
    create bridge drbc432bc5e for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 1500
        undo: delete link drbc432bc5e
    capture frames of lan, storage into capture.pcapng: up to 64MiB, without file contents
        undo: nothing
    attach host interface eth1 to network storage, bridge drbc432bc5e
        undo: detach eth1 from drbc432bc5e, set it down
    forward IPv4
        undo: set IPv4 forwarding off
    load nftables table ip dryrack_01bb8843: masquerade 10.0.2.0/24
        undo: delete nftables table ip dryrack_01bb8843
    accept traffic of drb35e0fe84 in docker's nftables chain ip filter DOCKER-USER
        undo: delete the rule of the lab from nftables chain ip filter DOCKER-USER
    accept traffic of drb35e0fe84 in fence's nftables chain ip fence forward
        undo: delete the rule of the lab from nftables chain ip fence forward
    serve network lan at 10.0.2.1: dhcp, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
        undo: nothing
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
        undo: nothing
    create disk root of a: 1GiB, blank
        undo: delete node/a/root.qcow2
    create tap drtdf851e1e for a's lan on drb35e0fe84
        undo: delete link drtdf851e1e
    create tap drtd4981464 for a's storage on drbc432bc5e
        undo: delete link drtd4981464
    start machine a, paused
        undo: stop machine a
    copy firmware variables of b from /usr/share/OVMF/OVMF_VARS_4M.fd
        undo: delete node/b/vars.fd
    create tap drt498a4527 for b's lan on drb35e0fe84
        undo: delete link drt498a4527
    start machine b, paused
        undo: stop machine b
    create disk root of c: 4GiB over image:debian/disk
        undo: delete node/c/root.qcow2
    copy firmware variables of c from /usr/share/OVMF/OVMF_VARS_4M.ms.fd
        undo: delete node/c/vars.fd
    write cloud-init seed of c: meta-data, user-data
        undo: delete node/c/seed.img
    create tap drte05ad932 for c's lan on drb35e0fe84
        undo: delete link drte05ad932
    start machine c, paused
        undo: stop machine c
    start process apply: terraform apply
        undo: stop process apply
    power on a
        undo: nothing
    power on c
        undo: nothing
    ");
}

#[test]
fn an_undo_reverses_what_its_step_made_and_nothing_else() {
    for text in [PRIVATE, &in_host()] {
        for step in plan(&lab(text), &guarded()).unwrap().steps {
            let wanted = match &step {
                Step::Bridge(bridge) => vec![Undo::DeleteLink(bridge.interface.clone())],
                Step::Tap(tap) => vec![Undo::DeleteLink(tap.interface.clone())],
                Step::Port(port) => {
                    let (interface, bridge) = (port.interface.clone(), port.bridge.clone());
                    vec![Undo::Unplug { interface, bridge, up: port.was_up }]
                }
                Step::Forward { was } => vec![Undo::SetForwarding(*was)],
                Step::Firewall(firewall) => vec![Undo::DeleteTable(firewall.table.clone())],
                Step::ForeignAccept(accept) => vec![Undo::DeleteForeignRule(accept.clone())],
                Step::Disk(disk) => vec![Undo::DeleteFile(disk.path.clone())],
                Step::Variables { path, .. } => vec![Undo::DeleteFile(path.clone())],
                Step::Seed(seed) => vec![Undo::DeleteFile(seed.path.clone())],
                Step::Bmc { port, .. } => vec![Undo::DeleteLink(port.clone())],
                Step::Machine { node } => vec![Undo::EndMachine(node.clone())],
                Step::Host { host, ports } => {
                    let ports = ports.iter().map(|port| Undo::DeleteLink(port.clone()));
                    ports.chain([Undo::EndHost(host.clone())]).collect()
                }
                Step::Process(process) => vec![Undo::EndProcess(process.process.clone())],
                // Their effect ends with the processes of the lab, or is permanent (an image).
                Step::BuildImage { .. }
                | Step::Download { .. }
                | Step::Medium(_)
                | Step::MakeNamespaces { .. }
                | Step::Publish { .. }
                | Step::NameFiles { .. }
                | Step::Capture(_)
                | Step::Serve(_)
                | Step::Ready { .. }
                | Step::PowerOn { .. } => Vec::new(),
            };
            assert_eq!(step.undo(), wanted, "{}", step.title());
        }
    }
}

#[test]
fn what_is_made_has_names_of_its_own() {
    for text in [PRIVATE, &in_host()] {
        let plan = plan(&lab(text), &guarded()).unwrap();
        let undos: Vec<Undo> = plan.steps.iter().flat_map(Step::undo).collect();
        for (index, undo) in undos.iter().enumerate() {
            assert!(!undos[..index].contains(undo), "{undo} is there twice");
        }
    }
}

#[test]
fn nothing_is_used_before_it_is_made() {
    for text in [PRIVATE, &in_host()] {
        let (mut bridges, mut taps, mut files, mut machines) = (vec![], vec![], vec![], vec![]);
        let mut processes = vec![];
        let plan = plan(&lab(text), &facts()).unwrap();
        for step in plan.steps {
            match step {
                Step::Bridge(bridge) => bridges.push(bridge.interface),
                Step::Capture(capture) => {
                    assert!(capture.networks.iter().all(|network| bridges.contains(&network.interface)));
                }
                Step::Port(port) => assert!(bridges.contains(&port.bridge)),
                Step::Serve(service) => assert!(bridges.contains(&service.interface)),
                Step::Tap(tap) => {
                    assert!(bridges.contains(&tap.bridge));
                    taps.push(tap.interface);
                }
                Step::Disk(disk) => files.push(disk.path),
                Step::Variables { path, .. } => files.push(path),
                Step::Seed(seed) => files.push(seed.path),
                Step::Machine { node } => {
                    let planned = &plan.nodes[&node];
                    let made = |nic: &NicPlan| matches!(&nic.link, LinkPlan::Tap { interface } if taps.contains(interface));
                    assert!(planned.nics.iter().all(made));
                    let NodeKind::Qemu(qemu) = &planned.kind;
                    let arguments = qemu.arguments(planned, &StartOptions::default());
                    let folder = format!("node/{node}");
                    for file in files.iter().filter(|file| file.starts_with(&folder)) {
                        let name = file.file_name().unwrap().to_string_lossy();
                        let named = arguments.iter().any(|argument| argument.contains(&*name));
                        assert!(named, "{} is made for {node} and not used", file.display());
                    }
                    machines.push(node);
                }
                Step::Bmc { node, port, .. } => {
                    let bmc = plan.nodes[&node].bmc.as_ref().unwrap();
                    assert!(bridges.contains(&bmc.nic.bridge) && bmc.nic.port == port);
                    assert!(!machines.contains(&node));
                }
                Step::PowerOn { node, after: _ } => assert!(machines.contains(&node)),
                Step::Host { host, ports: _ } => {
                    assert!(plan.hosts[&host].nics.iter().all(|nic| bridges.contains(&nic.bridge)));
                    machines.push(host);
                }
                Step::Process(process) => {
                    assert!(process.host.iter().all(|host| machines.contains(host)));
                    processes.push(process.process);
                }
                Step::Ready { process, .. } => assert!(processes.contains(&process)),
                Step::Medium(medium) => assert!(!machines.contains(&medium.node)),
                Step::BuildImage { .. }
                | Step::Download { .. }
                | Step::MakeNamespaces { .. }
                | Step::Publish { .. }
                | Step::NameFiles { .. }
                | Step::Forward { .. }
                | Step::Firewall(_)
                | Step::ForeignAccept(_) => {}
            }
        }
    }
}

#[test]
fn what_is_built_is_not_built_again() {
    let built = HostFacts { built: vec![ImageName::new("tiny").unwrap()], ..facts() };
    let plan = plan(&lab(PRIVATE), &built).unwrap();
    let builds = |step: &Step| matches!(step, Step::BuildImage { .. });
    assert_eq!(
        plan.steps.iter().filter(|step| builds(step)).map(Step::title).collect::<Vec<_>>(),
        ["build image debian", "build image ipxe"]
    );
}

#[test]
fn a_plan_says_what_waits_for_what() {
    let text = r#"
        dryrack = 1
        name = "waits"
        parallel-boots = 2
        [network.lan]
        address = "10.0.2.1/24"
        [profile.tiny]
        kernel = "image:tiny/kernel"
        initrd = "image:tiny/initrd"
        args = ["console=ttyS0"]
        [node.a]
        profile = "tiny"
        [node.b]
        profile = "tiny"
        start = { after = "up" }
        [node.c]
        profile = "tiny"
        start = "manual"
        [process.apply]
        after = "up"
        run = "true"
        [expect.up]
        within = "1m"
        nodes = ["a"]
        that = { stage = "os" }
        [expect.applied]
        after = "up"
        within = "1m"
        that = { process = "apply" }
    "#;
    let waits = plan(&lab(text), &facts()).unwrap().waits();
    assert_snapshot!(serde_json::to_string(&waits).unwrap(), @r#"{"parallel-boots":2,"nodes":{"b":"up","c":null},"processes":{"apply":"up"},"expectations":{"applied":"up"}}"#);
    assert!(plan(&lab(PRIVATE), &facts()).unwrap().waits().processes.is_empty());
}

#[test]
fn nodes_wait_until_every_process_of_the_start_is_ready() {
    let text = format!(
        "{PRIVATE}\n[process.dhcp]\nhost = \"deploy\"\nrun = \"exec dnsmasq -k\"\nready.udp = 67\n\
         [host.deploy]\nrouter = true\nnic.lan = {{ address = \"10.0.2.7/24\" }}\n[host.manual]\nstart = \"manual\"\n\
         [process.idle]\nhost = \"manual\"\nrun = \"true\"\nready.tcp = 2\n\
         [process.web]\nrun = \"nginx\"\nready = \"http\"\nrestart = \"always\"\n\
         [process.later]\nrun = \"true\"\nready.tcp = 1\nafter = \"up\"\n[expect.up]\nthat.stage = \"os\"\n"
    );
    let steps = plan(&lab(&text), &facts()).unwrap().steps;
    let titles: Vec<String> = steps.iter().map(Step::title).collect();
    let first = titles.iter().position(|title| title.starts_with("prepare host")).unwrap();
    insta::assert_snapshot!(titles[first..].join("\n"), @r##"
    prepare host deploy, with drh93925dcd
    prepare host manual
    power on deploy
    start process apply: terraform apply
    start process dhcp on deploy: exec dnsmasq -k
    start process idle on manual: true
    start process web: nginx
    wait until process dhcp is ready, at most 120 s: UDP port 67 is bound
    wait until process web is ready, at most 120 s: GET / on port 80 answers 200
    power on a
    power on c
    start process later once `up` is met: true
    "##);
}
