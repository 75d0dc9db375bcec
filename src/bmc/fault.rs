//! What goes wrong with a BMC on purpose, while it lasts.
//!
//! The BMC is told all that is wrong now, whenever that changes. What a fault does to IPMI is part of the settings of
//! its server ([`Bmc::ipmi_settings`]), what it does to Redfish is part of the answers; what it does to certificates and ports
//! the shell asks for: [`Bmc::has_tls`] and [`Bmc::has_wrong_certificate_name`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::boot::Override;
use super::ipmi::server::{self, HighestPrivilege};
use super::ipmi::suite::Cipher;
use super::redfish::settings::Plain;
use super::users::User;
use super::{Bmc, Now};

/// Something that is wrong with a BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A device for one boot is taken and shown, and the machine boots as always.
    IgnoresBootOnce,
    /// Power commands have their effect that much later.
    SlowPower(Duration),
    /// Sessions end after so many commands or requests.
    DropsSessions(u32),
    /// Redfish refuses every request (503); clients are to wait that long.
    Busy(Duration),
    /// The certificate of Redfish is for another name.
    WrongCertificateName,
    /// Redfish is served without TLS only.
    HttpOnly,
    /// There is no Serial over LAN.
    NoSol,
    /// The only cipher suite is 3.
    OnlySuite3,
    /// Open Session echoes the privilege 0.
    EchoesPrivilege,
    /// There is no user of this name any more.
    ForgetsUser(String),
    /// The clock began in 1970, with the BMC.
    Clock1970,
}

/// All that is wrong with a BMC.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    standing: Vec<Fault>,
    /// The users who were forgotten, by name, with their numbers.
    forgotten: BTreeMap<String, (u8, User)>,
}

impl Faults {
    fn has(&self, fault: &Fault) -> bool {
        self.standing.contains(fault)
    }

    /// Returns what a fault brings with it. The first one counts.
    fn find<T>(&self, what: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.standing.iter().find_map(what)
    }

    /// Returns how much later a power command has its effect.
    pub(super) fn power_delay(&self) -> Option<Duration> {
        self.find(|fault| match fault {
            Fault::SlowPower(delay) => Some(*delay),
            _ => None,
        })
    }

    /// Returns whether the machine is told nothing of an override.
    pub(super) fn loses(&self, over: Override) -> bool {
        !over.is_persistent && self.has(&Fault::IgnoresBootOnce)
    }

    /// Returns whether there is no Serial over LAN.
    pub(super) fn has_no_sol(&self) -> bool {
        self.has(&Fault::NoSol)
    }

    /// Returns the instant as the clock of the BMC shows it.
    pub(super) fn clock(&self, now: Now) -> Now {
        match self.has(&Fault::Clock1970) {
            true => Now { unix: u32::try_from(now.up.as_secs()).unwrap_or(u32::MAX), ..now },
            false => now,
        }
    }

    /// Changes the settings of the server of IPMI.
    pub(super) fn spoil(&self, settings: &mut server::Settings) {
        for fault in &self.standing {
            match fault {
                Fault::DropsSessions(commands) => settings.commands_per_session = Some(*commands),
                Fault::NoSol => settings.sol = None,
                Fault::OnlySuite3 => {
                    settings.offered = vec![Cipher::Sha1.suite()];
                    settings.accepted = vec![Cipher::Sha1];
                }
                Fault::EchoesPrivilege => settings.highest_privilege = HighestPrivilege::Echoed,
                Fault::IgnoresBootOnce
                | Fault::SlowPower(_)
                | Fault::Busy(_)
                | Fault::WrongCertificateName
                | Fault::HttpOnly
                | Fault::ForgetsUser(_)
                | Fault::Clock1970 => {}
            }
        }
    }
}

impl Bmc {
    /// Learns all that is wrong with it from now on. The server of IPMI is to be given [`Bmc::ipmi_settings`] then.
    pub fn set_faults(&mut self, faults: Vec<Fault>) {
        self.faults.standing = faults;
        self.redfish.settings.busy = self.faults.find(|fault| match fault {
            Fault::Busy(time) => Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)),
            _ => None,
        });
        self.redfish.settings.drops_session_every = self.faults.find(|fault| match fault {
            Fault::DropsSessions(requests) => Some(*requests),
            _ => None,
        });
        self.remember();
        self.forget();
    }

    /// Gives back the users whom no fault forgets any more, unless somebody else has their place or name.
    fn remember(&mut self) {
        let standing = &self.faults.standing;
        let is_back = |name: &String| !standing.contains(&Fault::ForgetsUser(name.clone()));
        let back: Vec<String> = self.faults.forgotten.keys().filter(|name| is_back(name)).cloned().collect();
        for name in back {
            let Some((id, user)) = self.faults.forgotten.remove(&name) else { continue };
            let is_known = self.users.named(name.as_bytes()).is_some();
            if let Some(place) = self.users.get_mut(id).filter(|place| !is_known && place.name.is_empty()) {
                *place = user;
            }
        }
    }

    /// Forgets users once; who is created again under the same name stays.
    fn forget(&mut self) {
        for fault in &self.faults.standing {
            let Fault::ForgetsUser(name) = fault else { continue };
            let Some((id, user)) = self.users.named(name.as_bytes()) else { continue };
            if self.faults.forgotten.contains_key(name) {
                continue;
            }
            self.faults.forgotten.insert(name.clone(), (id, user.clone()));
            self.users.remove(id);
            self.redfish.sessions.close_of(id);
            self.ended.push(id);
        }
    }

    /// Returns the settings for the server of IPMI.
    pub fn ipmi_settings(&self) -> server::Settings {
        let suites = self.traits.suites;
        let mut settings = server::Settings {
            offered: suites.iter().rev().map(|cipher| cipher.suite()).collect(),
            accepted: suites.to_vec(),
            sol_order: self.traits.sol_order,
            ..server::Settings::default()
        };
        self.faults.spoil(&mut settings);
        settings
    }

    /// Returns whether Redfish is served with TLS. If it is not, nothing listens at the port of HTTPS.
    pub fn has_tls(&self) -> bool {
        !self.faults.has(&Fault::HttpOnly)
    }

    /// Returns whether Redfish answers requests without TLS; else they are redirected.
    pub fn serves_plain(&self) -> bool {
        !self.has_tls() || self.redfish.settings.plain == Plain::Serve
    }

    /// Returns whether the certificate of Redfish is to be one for another name.
    pub fn has_wrong_certificate_name(&self) -> bool {
        self.faults.has(&Fault::WrongCertificateName)
    }
}
