use super::*;
use crate::event::examples::{event, http, tftp};
use crate::event::{DnsCode, Exchange, Known, Service, Transport, UnreachableCause};
use crate::name::{Mac, NetworkName};

const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

fn lan() -> NetworkName {
    NetworkName::new("lan").unwrap()
}

fn asked(client: &str, request: &str, architecture: u16, class: &str) -> Known {
    Known::DhcpAsked {
        network: lan(),
        mac: MAC,
        request: request.into(),
        client: client.into(),
        architecture: Some(architecture),
        vendor_class: Some(class.to_owned()),
        relay: None,
    }
}

fn replied(client: &str, reply: &str, file: &str) -> Known {
    Known::DhcpReplied {
        network: lan(),
        mac: MAC,
        request: if reply == "offer" { "discover" } else { "request" }.into(),
        reply: reply.into(),
        address: (reply != "nak").then_some([10, 0, 0, 10].into()),
        boot_file: (!file.is_empty()).then(|| file.to_owned()),
        client: client.into(),
        rule: String::new(),
        server: Some([10, 0, 0, 1].into()),
        bytes: 300,
        us: 100,
    }
}

fn silence(service: Service, what: &str, times: u64) -> Known {
    let server = (service == Service::Tftp).then_some([10, 0, 0, 1].into());
    Known::Unanswered { network: lan(), service, what: what.to_owned(), server, times }
}

/// What UEFI firmware does until it has an address.
fn uefi(file: &str) -> Vec<Known> {
    vec![
        asked("firmware", "discover", 7, "PXEClient:Arch:00007"),
        replied("firmware", "offer", file),
        asked("firmware", "request", 7, "PXEClient:Arch:00007"),
        replied("firmware", "ack", file),
    ]
}

/// What iPXE does until it has an address.
fn ipxe(file: &str) -> Vec<Known> {
    vec![
        asked("ipxe", "discover", 0, "PXEClient:Arch:00000"),
        replied("ipxe", "offer", file),
        asked("ipxe", "request", 0, "PXEClient:Arch:00000"),
        replied("ipxe", "ack", file),
    ]
}

fn web(path: &str, status: u16) -> Known {
    let Known::HttpServed { method, bytes, ms, rule, .. } = http("script", status, true) else {
        unreachable!("it is one")
    };
    let (path, server) = (path.to_owned(), Some("10.0.0.1:80".parse().unwrap()));
    Known::HttpServed {
        method,
        path,
        status,
        bytes,
        complete: true,
        ms,
        role: None,
        format: None,
        rule,
        range: None,
        tls: None,
        server,
    }
}

/// Returns what is missing, and after which second.
fn check(parts: impl IntoIterator<Item = Vec<Known>>) -> String {
    let mut dialogue = Dialogue::default();
    for (second, known) in parts.into_iter().flatten().enumerate() {
        dialogue.apply(&event(second as u64 * 1000, Some("a"), known));
    }
    match dialogue.first_missing() {
        Some(Divergence { after, dialogue, missing }) => {
            format!("{} {dialogue}: {missing}", after.elapsed().as_secs())
        }
        None => "nothing".to_owned(),
    }
}

#[test]
fn a_dialogue_that_is_complete_has_no_divergence() {
    let firmware = || uefi("snponly.efi");
    let kernel = || vec![web("/boot.ipxe", 200), web("/vmlinuz", 200), web("/initrd", 200)];
    assert_eq!(
        check([
            firmware(),
            vec![tftp("snponly.efi", "probed"), tftp("snponly.efi", "sent")],
            ipxe("http://10.0.0.1/boot.ipxe"),
            kernel()
        ]),
        "nothing"
    );
    assert_eq!(check([ipxe("http://10.0.0.1/boot.ipxe"), kernel()]), "nothing");
    // Firmware that has tried another way first.
    let sixth = vec![
        Known::RouterSolicited { network: lan() },
        asked("firmware", "discover", 7, "HTTPClient"),
        silence(Service::Dhcp, "discover", 4),
    ];
    assert_eq!(check([sixth, firmware(), vec![tftp("kernel.uki", "sent")]]), "nothing");
    assert_eq!(check([vec![web("/index.html", 404)]]), "nothing");
}

#[test]
fn what_dhcp_did_not_answer_is_missing() {
    let discover = || asked("firmware", "discover", 7, "PXEClient:Arch:00007");
    assert_eq!(
        check([vec![discover(), silence(Service::Dhcp, "discover", 4)]]),
        "0 UEFI PXE over IPv4: an answer to the firmware's DHCP request: DISCOVER was sent 4 times, nobody answered"
    );
    assert_eq!(
        check([uefi("")]),
        "1 UEFI PXE over IPv4: the server's answer to the firmware's DHCP request for a boot file (option 67 / file \
         field was empty)"
    );
    assert_eq!(
        check([vec![discover(), replied("firmware", "offer", "a.efi"), replied("firmware", "offer", "")]]),
        "1 UEFI PXE over IPv4: the firmware's DHCP request for an offered address: it took none of 2 offers"
    );
    let elsewhere = |mut known: Known| {
        if let Known::DhcpReplied { server, .. } = &mut known {
            *server = Some([10, 0, 0, 2].into());
        }
        known
    };
    let two = vec![
        asked("ipxe", "discover", 0, ""),
        replied("ipxe", "offer", "a.ipxe"),
        elsewhere(replied("ipxe", "offer", "")),
        asked("ipxe", "request", 0, ""),
        elsewhere(replied("ipxe", "ack", "")),
    ];
    assert_eq!(
        check([two]),
        "4 iPXE: a boot file: 10.0.0.2, whose address it took, named none in its answer to iPXE's DHCP request, and \
         another server did"
    );
    let request = asked("os", "request", 0, "udhcp 1.35");
    let system = vec![
        asked("os", "discover", 0, "udhcp 1.35"),
        replied("os", "offer", ""),
        request,
        replied("os", "nak", ""),
    ];
    assert_eq!(check([system]), "1 operating system: an address: 10.0.0.1 refused the requested one (NAK)");
}

#[test]
fn a_boot_file_that_does_not_come_is_missing() {
    let check = |known: Known| check([uefi("snponly.efi"), vec![known]]);
    assert_eq!(
        check(silence(Service::Tftp, "snponly.efi", 6)),
        "3 UEFI PXE over IPv4: TFTP: `snponly.efi` was asked of 10.0.0.1 6 times, nobody answered"
    );
    assert_eq!(
        check(tftp("snponly.efi", "not-found")),
        "3 UEFI PXE over IPv4: TFTP: `snponly.efi` was asked of the server, which answered: no such file"
    );
    assert_eq!(
        check(tftp("snponly.efi", "probed")),
        "3 UEFI PXE over IPv4: the firmware's request for `snponly.efi`: it asked for the size only"
    );
    assert_eq!(
        check(silence(Service::Arp, "10.0.9.9", 3)),
        "3 UEFI PXE over IPv4: 10.0.9.9 was searched for on the network 3 times, nobody answered"
    );
    let refused = Known::Unreachable {
        network: lan(),
        protocol: Transport::Udp,
        destination: "10.0.0.1:69".parse().unwrap(),
        by: [10, 0, 0, 1].into(),
        why: UnreachableCause::Port,
        mtu: None,
    };
    assert_eq!(
        check(refused),
        "3 UEFI PXE over IPv4: 10.0.0.1:69 was asked, and 10.0.0.1 answered: port unreachable"
    );
    let unknown = Known::DnsAnswered {
        name: "boot.example".to_owned(),
        record: "A".to_owned(),
        code: DnsCode::NxDomain,
        rule: String::new(),
        answer: Vec::new(),
        bytes: 50,
        us: 10,
        count: None,
        server: None,
    };
    assert_eq!(
        check(unknown),
        "3 UEFI PXE over IPv4: DNS: the address of `boot.example`: the answer was NXDOMAIN"
    );
}

#[test]
fn what_a_boot_program_did_not_get_is_missing() {
    let runs = |file: &str, then: Vec<Known>| check([uefi(file), vec![tftp(file, "sent")], then]);
    assert_eq!(
        runs("undionly.kpxe", vec![]),
        "4 iPXE: iPXE's DHCP request: nothing came of it after `undionly.kpxe` was fetched"
    );
    assert_eq!(
        runs("grubx64.efi", vec![]),
        "4 GRUB: GRUB's request for a configuration: nothing was asked for after `grubx64.efi` was fetched"
    );
    let names = ["pxelinux.cfg/01-52-54-00-00-00-01", "pxelinux.cfg/0A00000A", "pxelinux.cfg/default"];
    let search = || names.iter().map(|name| tftp(name, "not-found")).collect::<Vec<_>>();
    let module = vec![tftp("ldlinux.c32", "sent")];
    assert_eq!(
        runs("pxelinux.0", [module.clone(), search()].concat()),
        "5 PXELINUX: a configuration of PXELINUX: the server has none of the 3 files that were asked for, from \
         `pxelinux.cfg/01-52-54-00-00-00-01` to `pxelinux.cfg/default`"
    );
    let found = vec![tftp("pxelinux.cfg/default", "sent"), tftp("vmlinuz", "not-found")];
    assert_eq!(
        runs("pxelinux.0", [module, search()[..2].to_vec(), found].concat()),
        "8 PXELINUX: TFTP: `vmlinuz` was asked of the server, which answered: no such file"
    );
    let optional = vec![tftp("grub/x86_64-efi/command.lst", "not-found"), tftp("grub/grub.cfg", "sent")];
    assert_eq!(runs("grubx64.efi", optional), "nothing");
}

#[test]
fn what_ipxe_did_not_get_is_missing() {
    assert_eq!(
        check([ipxe("http://10.0.0.1/boot.ipxe"), vec![web("/boot.ipxe", 200), web("/vmlinuz", 404)]]),
        "4 iPXE: HTTP: `/vmlinuz` was asked of 10.0.0.1, which answered: status 404"
    );
    let again = || [ipxe("undionly.kpxe"), vec![tftp("undionly.kpxe", "sent")]].concat();
    assert_eq!(check([again(), ipxe("http://10.0.0.1/a"), vec![web("/a", 200)]]), "nothing");
    assert_eq!(
        check([again(), again(), again(), again()]),
        "14 iPXE: a boot script: iPXE was given the boot program `undionly.kpxe` 4 times in all"
    );
}

#[test]
fn a_capture_of_one_direction_is_recognised() {
    let half = vec![
        asked("firmware", "discover", 7, ""),
        asked("firmware", "request", 7, ""),
        silence(Service::Tftp, "snponly.efi", 90),
    ];
    assert_eq!(
        check([half]),
        "1 capture: every answer: the machine went on as if it was answered, so only one direction was captured"
    );
}

#[test]
fn ipv6_begins_with_a_router() {
    let solicited = Known::RouterSolicited { network: lan() };
    let mut dialogue = Dialogue::default();
    let exchange = Some(Exchange::dhcpv6("fe80::1".parse().unwrap(), [1, 2, 3]));
    let solicit = asked("firmware", "solicit", 7, "");
    dialogue.apply(&event(0, Some("a"), solicited));
    dialogue.apply(&crate::event::Event { exchange, ..event(1, Some("a"), solicit) });
    let missing = dialogue.first_missing().map(|divergence| divergence.missing);
    assert_eq!(
        missing.as_deref(),
        Some("a router advertisement: a router was solicited once, none answered")
    );
}

proptest::proptest! {
    /// Whatever happens, there is an answer.
    #[test]
    fn any_events_are_followed(events in proptest::collection::vec(crate::event::examples::any_event(), 0..40)) {
        let mut dialogue = Dialogue::default();
        events.iter().for_each(|event| dialogue.apply(event));
        let missing = dialogue.first_missing();
        proptest::prop_assert!(missing.is_none_or(|divergence| !divergence.missing.is_empty()));
    }
}
