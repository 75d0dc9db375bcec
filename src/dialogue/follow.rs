//! Follows a boot along the usual dialogues.

use std::net::IpAddr;

use super::Divergence;
use super::catalogue::{CLIENTS, OFTEN_ABSENT, PROGRAMS, Step, Usual};
use super::facts::{Asker, By, Client, Fact, Outcome, Told, Version};
use crate::event::{DhcpMessage, DnsCode, RunTime, Service};

/// How often a boot program may be given to itself: iPXE in a ROM is often given a newer one.
const AGAIN: usize = 2;

/// Returns the first step that did not come.
pub(super) fn first_missing(facts: &[Fact]) -> Option<Divergence> {
    if let Some(divergence) = one_direction(facts) {
        return Some(divergence);
    }
    let mut begun: Vec<Asker> = Vec::new();
    // Firmware tries one way after the other: the one that came farthest counts.
    let mut farthest: Option<Walk<'_>> = None;
    let mut system = None;
    for (index, fact) in facts.iter().enumerate() {
        let Told::Asked { asker, request } = &fact.told else { continue };
        if begun.contains(asker) || !begins(request) {
            continue;
        }
        begun.push(*asker);
        let Some(usual) = usual(*asker) else { continue };
        let mut walk = Walk::new(facts, index);
        walk.dialogue(usual, Some(*asker));
        if asker.client == Client::System {
            system = system.or(walk.missing);
        } else if farthest.as_ref().is_none_or(|farthest| farthest.is_behind(&walk)) {
            farthest = Some(walk);
        }
    }
    farthest.and_then(|walk| walk.missing).or(system)
}

/// Recognises a capture of one direction: the machine went on as if it was answered, and no answer is there. Of a
/// transfer by TFTP, what the machine acknowledges is known without the server.
pub(super) fn one_direction(facts: &[Fact]) -> Option<Divergence> {
    if facts.iter().any(|fact| fact.told.is_answer()) {
        return None;
    }
    let went_on = facts.iter().find(|fact| match &fact.told {
        Told::Asked { request, .. } => *request == DhcpMessage::Request,
        Told::Silence { service, .. } => is_fetching(service),
        Told::File { .. } => true,
        _ => false,
    })?;
    let asked = facts.iter().any(|fact| matches!(fact.told, Told::Asked { .. }));
    let missing =
        "every answer: the machine went on as if it was answered, so only one direction was captured";
    let divergence = Divergence { after: went_on.at, dialogue: "capture", missing: missing.to_owned() };
    asked.then_some(divergence)
}

fn begins(request: &DhcpMessage) -> bool {
    matches!(
        request,
        DhcpMessage::Discover | DhcpMessage::Solicit | DhcpMessage::Bootp | DhcpMessage::Request
    )
}

fn usual(asker: Asker) -> Option<&'static Usual> {
    let Asker { client, version } = asker;
    CLIENTS.iter().find(|(known, of, _)| (*known, *of) == (client, version)).map(|(.., usual)| usual)
}

/// Returns what a boot program does, by its name.
fn program(path: &str) -> Option<&'static Usual> {
    let name = file_name(path);
    // A script of iPXE is no iPXE.
    let script = name.ends_with(".ipxe");
    PROGRAMS.iter().find(|(names, _)| !script && contains(&name, names)).map(|(_, usual)| usual)
}

/// The last part of a path or URL, in lower case.
fn file_name(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase()
}

fn contains(path: &str, names: &[&str]) -> bool {
    let path = path.to_ascii_lowercase();
    names.iter().any(|name| path.contains(&name.to_ascii_lowercase()))
}

fn is_fetching(service: &Service) -> bool {
    matches!(service, Service::Tftp | Service::Http | Service::Https | Service::Dns | Service::Tcp)
}

/// A walk along dialogues, one leading to the next.
struct Walk<'a> {
    facts: &'a [Fact],
    /// Where the DHCP dialogue began; its replies are searched from here.
    begun: usize,
    /// What comes next is searched from here.
    from: usize,
    /// When the last step came.
    after: RunTime,
    steps: usize,
    /// The program that runs, if it was fetched.
    runs: Option<&'a str>,
    missing: Option<Divergence>,
}

impl<'a> Walk<'a> {
    fn new(facts: &'a [Fact], from: usize) -> Self {
        Self { facts, begun: from, from, after: facts[from].at, steps: 0, runs: None, missing: None }
    }

    /// Tells whether another walk came farther; one that is complete came farthest.
    fn is_behind(&self, other: &Self) -> bool {
        self.missing.is_some() && (other.missing.is_none() || other.steps > self.steps)
    }

    /// Walks along a dialogue, and along those that it leads to. Without an asker, a boot program has an address.
    fn dialogue(&mut self, usual: &'static Usual, asker: Option<Asker>) {
        let (mut usual, mut asker) = (usual, asker);
        // Each dialogue begins behind the one before, so it ends.
        loop {
            let next = usual.steps.iter().find_map(|step| match self.step(usual, *step, asker) {
                Ok(next) => {
                    self.steps += 1;
                    next.map(Ok)
                }
                Err(missing) => Some(Err(missing)),
            });
            match next {
                None => return,
                Some(Ok(next)) => (usual, asker) = next,
                Some(Err(missing)) => {
                    self.missing = Some(Divergence { after: self.after, dialogue: usual.name, missing });
                    return;
                }
            }
        }
    }

    /// Finds a step, and the dialogue that it leads to; or says what is missing.
    fn step(&mut self, usual: &Usual, step: Step, asker: Option<Asker>) -> Result<Next, String> {
        match (step, asker) {
            (Step::Router, _) => self.router()?,
            (Step::Offer, Some(asker)) => self.offer(asker)?,
            (Step::BootFile, Some(asker)) => self.boot_file(asker)?,
            (Step::Lease, Some(asker)) => self.lease(asker)?,
            (Step::Program, asker) => return self.program(asker),
            (Step::IpxeAsks, _) => return self.ipxe_asks(),
            (Step::File { what, names }, _) => self.file(usual, what, names, true)?,
            (Step::FileIfAsked { what, names }, _) => self.file(usual, what, names, false)?,
            (Step::Rest, _) => self.rest()?,
            // Only a DHCP client has these.
            (Step::Offer | Step::BootFile | Step::Lease, None) => {}
        }
        Ok(None)
    }

    /// Goes on behind a fact.
    fn reach(&mut self, index: usize) {
        self.from = index + 1;
        self.after = self.facts[index].at;
    }

    fn ahead(&self) -> impl Iterator<Item = (usize, &'a Told)> + Clone + use<'a> {
        let from = self.from;
        self.facts.iter().enumerate().skip(from).map(|(index, fact)| (index, &fact.told))
    }

    fn replies(&self, asker: Asker) -> impl Iterator<Item = (usize, &'a Told)> + use<'a> {
        let facts = self.facts.iter().enumerate().skip(self.begun).map(|(index, fact)| (index, &fact.told));
        facts.filter(move |(_, told)| match told {
            Told::Replied { asker: of, .. } => asker.client.takes(of.client) && asker.version == of.version,
            _ => false,
        })
    }

    /// Tells whether a client was answered after a fact.
    fn is_answered(&self, index: usize, asker: Asker) -> bool {
        self.facts[index..].iter().any(|fact| match &fact.told {
            Told::Replied { asker: of, .. } => asker.client.takes(of.client) && asker.version == of.version,
            _ => false,
        })
    }

    /// Tells whether the machine went on to fetch something.
    fn fetches(&self) -> bool {
        self.ahead().any(|(_, told)| match told {
            Told::File { .. } => true,
            Told::Silence { service, .. } => is_fetching(service),
            _ => false,
        })
    }

    fn router(&mut self) -> Result<(), String> {
        // Routers often tell of themselves before anybody asks.
        let told = self.facts.iter().any(|fact| fact.told == Told::Advertised);
        let solicited = self.facts.iter().filter(|fact| fact.told == Told::Solicited).count();
        let went_on = self.ahead().any(|(_, told)| matches!(told, Told::Replied { .. }));
        match told || solicited == 0 || went_on {
            true => Ok(()),
            false => Err(format!(
                "a router advertisement: a router was solicited {}, none answered",
                times(solicited as u64)
            )),
        }
    }

    fn offer(&mut self, asker: Asker) -> Result<(), String> {
        if let Some((index, _)) = self.replies(asker).next() {
            self.after = self.facts[index].at;
            return Ok(());
        }
        let went_on = self.ahead().any(|(_, told)| match told {
            Told::Asked { asker: of, request } => *of == asker && *request == DhcpMessage::Request,
            _ => false,
        });
        if went_on && asker.version == Version::V4 && self.first_request(asker) != Some(&DhcpMessage::Request)
        {
            return Ok(());
        }
        let first = self.first_request(asker).cloned().unwrap_or(DhcpMessage::Discover);
        let silent = self.ahead().filter_map(|(_, told)| match told {
            Told::Silence { service: Service::Dhcp | Service::Dhcpv6, what, times, .. } => {
                (contains(what, &[first.as_str()])).then_some(*times)
            }
            _ => None,
        });
        let asked = self.ahead().filter(
            |(_, told)| matches!(told, Told::Asked { asker: of, request } if *of == asker && *request == first),
        );
        let count = silent.sum::<u64>().max(asked.count() as u64);
        let message = first.as_str().to_ascii_uppercase();
        Err(format!(
            "an answer to {} DHCP request: {message} was sent {}, nobody answered",
            whose(asker),
            times(count)
        ))
    }

    fn first_request(&self, asker: Asker) -> Option<&'a DhcpMessage> {
        self.ahead().find_map(|(_, told)| match told {
            Told::Asked { asker: of, request } if *of == asker => Some(request),
            _ => None,
        })
    }

    fn boot_file(&mut self, asker: Asker) -> Result<(), String> {
        if self.fetches() {
            return Ok(());
        }
        let named = |of: Option<IpAddr>| {
            self.replies(asker).any(|(_, told)| match told {
                // Beside the server of addresses, ProxyDHCP names boot files.
                Told::Replied { boot_file: Some(_), address, server, .. } => {
                    of.is_none() || !address || *server == of
                }
                _ => false,
            })
        };
        let taken = self.replies(asker).find_map(|(_, told)| match told {
            Told::Replied { reply, address: true, server, .. } if reply.gives_address() => *server,
            _ => None,
        });
        if named(taken) {
            return Ok(());
        }
        if named(None) {
            return Err(format!(
                "a boot file: {}, whose address it took, named none in its answer to {} DHCP request, and another \
                 server did",
                who(taken),
                whose(asker)
            ));
        }
        let option = match asker.version {
            Version::V4 => "option 67 / file field was empty",
            Version::V6 => "option 59 was absent",
        };
        Err(format!("the server's answer to {} DHCP request for a boot file ({option})", whose(asker)))
    }

    fn lease(&mut self, asker: Asker) -> Result<(), String> {
        let gives = |told: &Told| match told {
            Told::Replied { reply, address, .. } => {
                *address && (reply.gives_address() || *reply == DhcpMessage::Bootp)
            }
            _ => false,
        };
        if let Some((index, _)) = self.replies(asker).find(|(_, told)| gives(told)) {
            self.reach(index);
            return Ok(());
        }
        if self.fetches() {
            return Ok(());
        }
        let refused = self.replies(asker).find_map(|(_, told)| match told {
            Told::Replied { reply: DhcpMessage::Nak, server, .. } => Some(*server),
            _ => None,
        });
        if let Some(server) = refused {
            return Err(format!("an address: {} refused the requested one (NAK)", who(server)));
        }
        let requests = self.ahead().filter(|(_, told)| match told {
            Told::Asked { asker: of, request } => *of == asker && *request == DhcpMessage::Request,
            _ => false,
        });
        match requests.count() {
            0 => {
                let offers = self.replies(asker).count() as u64;
                let plural = if offers == 1 { "" } else { "s" };
                Err(format!(
                    "{} DHCP request for an offered address: it took none of {offers} offer{plural}",
                    whose(asker)
                ))
            }
            _ => Err(format!("the server's acknowledgement of {} DHCP request for an address", whose(asker))),
        }
    }

    fn program(&mut self, asker: Option<Asker>) -> Result<Next, String> {
        let named = asker.and_then(|asker| {
            let files = self.replies(asker).filter_map(|(_, told)| match told {
                Told::Replied { boot_file, .. } => boot_file.as_deref(),
                _ => None,
            });
            files.last()
        });
        let whole = self.ahead().find_map(|(index, told)| match told {
            Told::File { path, outcome: Outcome::Whole, .. } => Some((index, path.as_str())),
            _ => None,
        });
        if let Some((index, path)) = whole {
            let before = self.facts[..index].iter().filter(|fact| is_whole(&fact.told, path)).count();
            let next = program(path);
            self.reach(index);
            self.runs = Some(path);
            let by_ipxe = asker.is_some_and(|asker| asker.client == Client::Ipxe);
            if by_ipxe && before >= AGAIN && next.is_some_and(|next| next.steps == [Step::IpxeAsks]) {
                let count = self.facts.iter().filter(|fact| is_whole(&fact.told, path)).count();
                return Err(format!(
                    "a boot script: iPXE was given the boot program `{path}` {} in all",
                    times(count as u64)
                ));
            }
            return match next {
                Some(next) => Ok(Some((next, None))),
                None => self.rest().map(|()| None),
            };
        }
        if let Some(trouble) = self.ahead().find_map(|(_, told)| trouble(told, true)) {
            return Err(trouble);
        }
        let file = named.map_or("its boot file".to_owned(), |file| format!("`{file}`"));
        let sized = self.ahead().any(|(_, told)| matches!(told, Told::File { outcome: Outcome::Size, .. }));
        let so_far = if sized { "it asked for the size only" } else { "it never came" };
        let asker = asker.map_or("the machine's", whose);
        Err(format!("{asker} request for {file}: {so_far}"))
    }

    fn ipxe_asks(&mut self) -> Result<Next, String> {
        let mut asks = self.ahead().filter_map(|(index, told)| match told {
            Told::Asked { asker, .. } if asker.client == Client::Ipxe => Some((index, *asker)),
            _ => None,
        });
        let first = asks.clone().next();
        // It asks by DHCPv4 and by DHCPv6, and goes on with what is answered.
        match asks.find(|(index, asker)| self.is_answered(*index, *asker)).or(first) {
            Some((index, asker)) => {
                (self.begun, self.from) = (index, index);
                self.after = self.facts[index].at;
                Ok(usual(asker).map(|usual| (usual, Some(asker))))
            }
            // It may have an embedded script.
            None if self.ahead().any(|(_, told)| matches!(told, Told::File { .. })) => {
                self.rest().map(|()| None)
            }
            None => {
                Err(format!("iPXE's DHCP request: nothing came of it after {} was fetched", self.running()))
            }
        }
    }

    fn running(&self) -> String {
        self.runs.map_or("its program".to_owned(), |path| format!("`{path}`"))
    }

    fn file(&mut self, usual: &Usual, what: &str, names: &[&str], needed: bool) -> Result<(), String> {
        let matching = |told: &Told| matches!(told, Told::File { path, .. } if contains(path, names));
        let whole = self
            .ahead()
            .find(|(_, told)| matching(told) && matches!(told, Told::File { outcome: Outcome::Whole, .. }));
        if let Some((index, _)) = whole {
            self.reach(index);
            return Ok(());
        }
        let refused: Vec<&Told> = self.ahead().map(|(_, told)| told).filter(|told| matching(told)).collect();
        match refused[..] {
            [] => {}
            [only] => return Err(trouble(only, true).unwrap_or_else(|| format!("{what} of {}", usual.name))),
            [first, .., last] => {
                let (Told::File { path: first, server, .. }, Told::File { path: last, .. }) = (first, last)
                else {
                    return Ok(());
                };
                return Err(format!(
                    "{what} of {}: {} has none of the {} files that were asked for, from `{first}` to `{last}`",
                    usual.name,
                    who(*server),
                    refused.len(),
                ));
            }
        }
        let asked = self.ahead().find_map(|(_, told)| match told {
            Told::Silence { what, .. } if contains(what, names) => trouble(told, true),
            _ => None,
        });
        if let Some(asked) = asked {
            return Err(asked);
        }
        // Its configuration may be inside the program.
        let goes_on = self.ahead().any(|(_, told)| matches!(told, Told::File { .. }));
        if !needed || goes_on {
            return Ok(());
        }
        if let Some(trouble) = self.ahead().find_map(|(_, told)| trouble(told, true)) {
            return Err(trouble);
        }
        match self.runs {
            Some(_) => Err(format!(
                "{}'s request for {what}: nothing was asked for after {} was fetched",
                usual.name,
                self.running()
            )),
            None => Err(format!("{}'s request for {what}: it never came", usual.name)),
        }
    }

    /// Finds the first request of the rest that failed for good.
    fn rest(&mut self) -> Result<(), String> {
        let mut after = self.after;
        for (index, told) in self.ahead() {
            let failed = match told {
                Told::File { path, outcome: Outcome::No(_) | Outcome::Broken(_), .. } => {
                    let later = self.facts[index..].iter().any(|fact| is_whole(&fact.told, path));
                    !later && !contains(path, OFTEN_ABSENT)
                }
                Told::Silence { service, what, server, .. } => {
                    let came = |fact: &Fact| {
                        is_whole(&fact.told, what)
                            || is_known(&fact.told, what)
                            // A connection has no name: the server answered on another one.
                            || (*service == Service::Tcp && is_from(&fact.told, *server))
                    };
                    is_fetching(service) && !self.facts.iter().any(came) && !contains(what, OFTEN_ABSENT)
                }
                Told::Name { name, code } => {
                    let other = self.facts.iter().any(|fact| is_known(&fact.told, name));
                    let goes_on =
                        self.facts[index..].iter().any(|fact| matches!(fact.told, Told::File { .. }));
                    *code != DnsCode::NoError && !other && !goes_on
                }
                Told::Refused { .. } => {
                    !self.facts[index..].iter().any(|fact| matches!(fact.told, Told::File { .. }))
                }
                Told::Asked { .. }
                | Told::Replied { .. }
                | Told::File { .. }
                | Told::Solicited
                | Told::Advertised => false,
            };
            if failed && let Some(trouble) = trouble(told, true) {
                self.after = after;
                return Err(trouble);
            }
            after = self.facts[index].at;
        }
        Ok(())
    }
}

/// The dialogue that a step leads to, and who has it.
type Next = Option<(&'static Usual, Option<Asker>)>;

fn is_whole(told: &Told, wanted: &str) -> bool {
    matches!(told, Told::File { path, outcome: Outcome::Whole | Outcome::Size, .. } if path == wanted)
}

fn is_from(told: &Told, wanted: Option<IpAddr>) -> bool {
    matches!(told, Told::File { by: By::Http, server, .. } if *server == wanted)
}

fn is_known(told: &Told, wanted: &str) -> bool {
    matches!(told, Told::Name { name, code: DnsCode::NoError } if name == wanted)
}

/// Says what failed, if something did.
fn trouble(told: &Told, neighbours: bool) -> Option<String> {
    match told {
        Told::File { path, by, outcome, server, .. } => match outcome {
            Outcome::Whole | Outcome::Size => None,
            Outcome::No(reason) => Some(format!(
                "{}: `{path}` was asked of {}, which answered: {reason}",
                protocol(*by),
                who(*server)
            )),
            Outcome::Broken(reason) => Some(format!("{}: the rest of `{path}`: {reason}", protocol(*by))),
        },
        Told::Name { name, code } if *code != DnsCode::NoError => {
            Some(format!("DNS: the address of `{name}`: the answer was {code}"))
        }
        Told::Silence { service, what, server, times: count } => {
            let of = server.map(|server| format!(" of {server}")).unwrap_or_default();
            let count = times(*count);
            match service {
                Service::Tftp => Some(format!("TFTP: `{what}` was asked{of} {count}, nobody answered")),
                Service::Http | Service::Https => {
                    Some(format!("HTTP: `{what}` was asked{of} {count}, nobody answered"))
                }
                Service::Dns => Some(format!("DNS: `{what}` was asked{of} {count}, nobody answered")),
                Service::Tcp => {
                    Some(format!("TCP: a connection to {what} was tried {count}, nobody answered"))
                }
                Service::Arp | Service::Ndp if neighbours => {
                    Some(format!("{what} was searched for on the network {count}, nobody answered"))
                }
                _ => None,
            }
        }
        Told::Refused { destination, by, why } => {
            Some(format!("{destination} was asked, and {by} answered: {why}"))
        }
        Told::Name { .. }
        | Told::Asked { .. }
        | Told::Replied { .. }
        | Told::Solicited
        | Told::Advertised => None,
    }
}

fn protocol(by: By) -> &'static str {
    match by {
        By::Tftp => "TFTP",
        By::Http => "HTTP",
    }
}

fn who(server: Option<IpAddr>) -> String {
    server.map_or("the server".to_owned(), |server| server.to_string())
}

fn whose(asker: Asker) -> &'static str {
    match asker.client {
        Client::BiosPxe | Client::Pxe | Client::HttpBoot | Client::RaspberryPi => "the firmware's",
        Client::Ipxe => "iPXE's",
        Client::UBoot => "U-Boot's",
        Client::System => "the system's",
    }
}

fn times(count: u64) -> String {
    match count {
        0 | 1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}
