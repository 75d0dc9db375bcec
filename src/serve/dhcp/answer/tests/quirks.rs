//! Known quirky clients: how each reads a reply, and that it boots nevertheless.

use super::*;
use crate::wire::dhcp::Options;

/// A client with a quirk seen in the field.
struct Quirk {
    name: &'static str,
    /// What it sends.
    asks: fn() -> Ask,
    /// Whether its program was fetched before.
    runs_program: bool,
    /// How it reads a reply: from where it boots what; `None` if it gives up.
    reads: fn(&Reading<'_>) -> Option<(String, String)>,
    boots: (&'static str, &'static str),
}

/// A reply as a client reads it.
struct Reading<'a> {
    packet: &'a [u8],
    options: Options<'a>,
    /// The reply when it asks again at port 4011.
    again: &'a dyn Fn() -> Option<Vec<u8>>,
}

impl Reading<'_> {
    fn text(&self, code: u8) -> Option<String> {
        self.options.get(code).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    fn siaddr(&self) -> Option<String> {
        let bytes: [u8; 4] = self.packet[20..24].try_into().unwrap();
        Some(Ipv4Addr::from(bytes)).filter(|server| !server.is_unspecified()).map(|server| server.to_string())
    }

    fn header_file(&self) -> Option<String> {
        let field = &self.packet[108..236];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        Some(String::from_utf8_lossy(&field[..end]).into_owned()).filter(|file| !file.is_empty())
    }

    /// The range of the value of an option in the packet.
    fn position(&self, code: u8) -> Option<std::ops::Range<usize>> {
        let mut at = 240;
        while self.packet[at] != 255 {
            match self.packet[at] {
                0 => at += 1,
                found => {
                    let end = at + 2 + usize::from(self.packet[at + 1]);
                    if found == code {
                        return Some(at + 2..end);
                    }
                    at = end;
                }
            }
        }
        None
    }
}

/// Firmware that otherwise follows the RFCs.
fn rom() -> Ask {
    firmware(FAST, 0).with(97, &[0; 17])
}

fn http() -> Ask {
    ask(FAST, DISCOVER).with(60, b"HTTPClient:Arch:00016:UNDI:003001").with(93, &[0, 16])
}

const LOADER: (&str, &str) = ("10.0.0.1", "ipxe/undionly.kpxe");

const QUIRKS: &[Quirk] = &[
    Quirk {
        name: "reads option 67 up to a NUL, beyond its length (Intel UNDI 2.1; netboot.xyz issue 1198)",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let rest = &reply.packet[reply.position(67)?.start..];
            let end = rest.iter().position(|byte| *byte == 0)?;
            Some((reply.siaddr()?, String::from_utf8_lossy(&rest[..end]).into_owned()))
        },
        boots: LOADER,
    },
    Quirk {
        name: "takes one byte more than option 67 has, and asks TFTP for all of it",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let position = reply.position(67)?;
            let requested = &reply.packet[position.start..=position.end];
            // TFTP strips such bytes.
            let name = String::from_utf8_lossy(requested).trim_end_matches('\0').to_owned();
            Some((reply.siaddr()?, name))
        },
        boots: LOADER,
    },
    Quirk {
        name: "has no user class, though it is iPXE (FlexBoot; ipxe issue 913)",
        asks: || firmware(FAST, 7),
        runs_program: true,
        reads: |reply| Some((String::new(), reply.text(67)?)),
        boots: ("", "http://10.0.0.1/boot/fast.ipxe"),
    },
    Quirk {
        name: "has a user class of its own, though it is iPXE (pixiecore)",
        asks: || firmware(FAST, 7).with(77, b"pixiecore"),
        runs_program: false,
        reads: |reply| Some((String::new(), reply.text(67)?)),
        boots: ("", "http://10.0.0.1/boot/fast.ipxe"),
    },
    Quirk {
        name: "ignores option 66 and takes the next server of the header (rpi5-uefi issue 22)",
        asks: rom,
        runs_program: false,
        reads: |reply| Some((reply.siaddr()?, reply.text(67)?)),
        boots: LOADER,
    },
    Quirk {
        name: "reads option 66 and nothing of the header",
        asks: rom,
        runs_program: false,
        reads: |reply| Some((reply.text(66)?, reply.text(67)?)),
        boots: LOADER,
    },
    Quirk {
        name: "reads only the header (U-Boot, ONIE)",
        asks: rom,
        runs_program: false,
        reads: |reply| Some((reply.siaddr()?, reply.header_file()?)),
        boots: LOADER,
    },
    Quirk {
        name: "drops replies that do not repeat its UUID (pixiecore issue 21)",
        asks: || firmware(FAST, 0).with(97, b"\0ABCDEFGHIJKLMNOP"),
        runs_program: false,
        reads: |reply| {
            let same = reply.options.get(97) == Some(&b"\0ABCDEFGHIJKLMNOP"[..]);
            same.then(|| Some((reply.siaddr()?, reply.text(67)?)))?
        },
        boots: LOADER,
    },
    Quirk {
        name: "asks again at port 4011 where option 60 comes without 43 (EDK2)",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let pxe = reply.text(60)?.starts_with("PXEClient");
            // The reply says "use the boot file", so there is no second request.
            let listed = reply.options.get(43) == Some(&[6, 1, 8, 255][..]);
            (pxe && listed).then(|| Some((reply.siaddr()?, reply.text(67)?)))?
        },
        boots: LOADER,
    },
    Quirk {
        name: "asks again at port 4011 in any case (old Intel boot agents)",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let again = (reply.again)()?;
            let options = Options::split(&again);
            let read = Reading { packet: &again, options, again: reply.again };
            Some((read.siaddr()?, read.text(67)?))
        },
        boots: LOADER,
    },
    Quirk {
        name: "does not look for options in header fields (legacy PXE: E83)",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let plain = reply.options.get(52).is_none();
            plain.then(|| Some((reply.siaddr()?, reply.text(67)?)))?
        },
        boots: LOADER,
    },
    Quirk {
        name: "drops replies shorter than BOOTP's 300 bytes, and longer than 548",
        asks: rom,
        runs_program: false,
        reads: |reply| {
            let fits = (300..=548).contains(&reply.packet.len());
            fits.then(|| Some((reply.siaddr()?, reply.text(67)?)))?
        },
        boots: LOADER,
    },
    Quirk {
        name: "boots by HTTP only from an offer that says HTTPClient, with a whole URL (EDK2)",
        asks: http,
        runs_program: false,
        reads: |reply| {
            let http = reply.text(60)?.starts_with("HTTPClient") && reply.options.get(43).is_none();
            http.then(|| Some((String::new(), reply.text(67)?)))?
        },
        boots: ("", "http://10.0.0.1/ipxe/snponly.efi"),
    },
];

/// Returns what a quirky client boots.
fn outcome(quirk: &Quirk, plan: &ServicePlan) -> Option<(String, String)> {
    let mut handler = TestServer { runs_program: quirk.runs_program, ..TestServer::of(plan) };
    let offer = packet(handler.answer(&(quirk.asks)()).reply?);
    let asks_again = || {
        let arrival = Arrival::Proxy(Ipv4Addr::new(10, 0, 0, 11));
        let mut handler = TestServer { arrival, runs_program: quirk.runs_program, ..TestServer::of(plan) };
        let again = Ask { ciaddr: [10, 0, 0, 11], ..(quirk.asks)() };
        Some(packet(handler.answer(&again).reply?))
    };
    (quirk.reads)(&Reading { packet: &offer, options: Options::split(&offer), again: &asks_again })
}

#[test]
fn quirky_clients_boot_all_the_same() {
    for quirk in QUIRKS {
        let (server, file) = quirk.boots;
        let wanted = Some((server.to_owned(), file.to_owned()));
        assert_eq!(outcome(quirk, &plan()), wanted, "{}", quirk.name);
    }
}

#[test]
fn quirky_clients_boot_beside_another_server_too() {
    for quirk in QUIRKS {
        let (server, file) = quirk.boots;
        let mut proxy = proxy();
        proxy.dhcp.as_mut().unwrap().ipxe_classes = vec!["pixiecore".to_owned()];
        let found = outcome(quirk, &proxy);
        let found = found.as_ref().map(|(server, file)| (server.as_str(), file.as_str()));
        assert_eq!(found, Some((server, file)), "{}", quirk.name);
    }
}
