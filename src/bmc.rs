//! A BMC: the controller that powers a machine on and off, says what it boots, and tells what happened to it.
//!
//! ```text
//! IPMI over LAN ──▶ command ──▶ Bmc ──▶ orders to the machine
//!                                ▲
//!              what happened to the machine
//! ```
//!
//! One state for every way in. It has no clock, no socket and no machine: time is an argument, and what is to be done to
//! the machine is a list of orders.

pub mod boot;
pub mod command;
pub mod fru;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod identity;
pub mod ipmi;
pub mod lan;
pub mod log;
pub mod power;
pub mod sensors;
pub mod users;
pub mod watchdog;

use std::time::Duration;

use boot::{BootDevice, BootOptions, Override, Wanted};
use identity::Identity;
use log::{Log, Logged, WatchdogAction};
use power::{Control, Happening, IsOff, Power, RestartCause};
use users::Users;
use watchdog::Watchdog;

/// How far apart the begin of a boot and the end of the override that it uses may be told.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An instant, on two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the start of the BMC; never goes back.
    pub up: Duration,
    /// Seconds since 1970.
    pub unix: u32,
}

/// What is to be done to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Its power.
    Power(Control),
    /// The override of its boot order; `None` for no override.
    Boot(Option<Override>),
}

/// Something that the BMC learns of the machine besides its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// An operating system was loaded.
    Booted(log::Loaded),
    /// A boot failed.
    BootFailed(log::BootFailure),
}

/// The state of one BMC.
#[derive(Debug, Clone)]
pub struct Bmc {
    /// What it is.
    pub identity: Identity,
    /// Who may use it.
    pub users: Users,
    /// Its system event log.
    pub log: Log,
    power: Power,
    boot: BootOptions,
    /// The override of the machine, whoever set it.
    over: Option<Override>,
    /// The one before, which a boot has used, and when.
    used: Option<(Override, Duration)>,
    watchdog: Watchdog,
    interface: command::Interface,
    orders: Vec<Order>,
}

impl Bmc {
    /// Creates a BMC of a machine that is off.
    pub fn new(identity: Identity, users: Users) -> Self {
        Self {
            interface: command::Interface::new(&identity),
            identity,
            users,
            log: Log::default(),
            power: Power::default(),
            boot: BootOptions::default(),
            over: None,
            used: None,
            watchdog: Watchdog::default(),
            orders: Vec::new(),
        }
    }

    /// Returns the power of the machine.
    pub fn power(&self) -> &Power {
        &self.power
    }

    /// Returns how Serial over LAN is configured.
    pub(super) fn sol(&self) -> ipmi::server::SolTerms {
        self.interface.sol.terms()
    }

    /// Returns the override of the boot order.
    pub fn boot_override(&self) -> Option<Override> {
        self.over
    }

    /// Executes a power command.
    pub fn control(&mut self, now: Now, control: Control, cause: RestartCause) -> Result<(), IsOff> {
        let was_on = self.power.is_on();
        let order = self.power.control(now.up, control, cause)?;
        self.boot.controlled(now.up);
        if was_on && !self.power.is_on() {
            self.went_off(now);
        }
        self.orders.extend(order.map(Order::Power));
        Ok(())
    }

    /// Overrides the boot order, by Redfish or a command of Dryrack.
    pub fn set_override(&mut self, over: Option<Override>) {
        self.boot.overtaken();
        self.want(over);
    }

    fn want(&mut self, over: Option<Override>) {
        if self.over != over {
            self.over = over;
            self.orders.push(Order::Boot(over));
        }
    }

    /// Sets a parameter of IPMI's boot options.
    fn set_boot_option(&mut self, now: Now, parameter: u8, data: &[u8]) -> Result<(), boot::SetError> {
        match self.boot.set(now.up, parameter, data, &self.identity.devices)? {
            Wanted::Nothing => {}
            Wanted::Override(over) => self.want(over),
        }
        Ok(())
    }

    /// Learns the override of the machine as it is now: used by a boot, or set in another way.
    pub fn overridden(&mut self, now: Now, over: Option<Override>) {
        if self.over != over {
            self.used = self.over.filter(|_| over.is_none()).map(|used| (used, now.up));
            self.over = over;
            self.boot.overtaken();
        }
    }

    /// Learns what happened to the power of the machine.
    pub fn happened(&mut self, now: Now, happening: Happening) {
        let was_on = self.power.is_on();
        let boots = self.power.happened(now.up, happening);
        if was_on && !self.power.is_on() {
            self.went_off(now);
        }
        if boots {
            let cause = self.power.restart_cause();
            if let Happening::Reset { .. } = happening {
                self.log.add(now.unix, Logged::Restarted(cause));
            } else {
                self.log.add(now.unix, Logged::PowerOn);
                self.log.add(now.unix, Logged::PoweredUp(cause));
            }
            // A firmware may have used the override before the boot is told.
            let used = self.used.take().filter(|(_, at)| now.up.saturating_sub(*at) < AT_ONCE);
            let over = self.over.or(used.map(|(over, _)| over));
            if over.is_some_and(|over| over.device == BootDevice::Pxe) {
                self.log.add(now.unix, Logged::PxeRequested);
            }
        }
    }

    /// Learns how a boot went.
    pub fn learned(&mut self, now: Now, learned: Learned) {
        let what = match learned {
            Learned::Booted(from) => Logged::Booted(from),
            Learned::BootFailed(why) => Logged::BootFailed(why),
        };
        self.log.add(now.unix, what);
    }

    /// Learns that a power command could not be carried out.
    pub fn failed(&mut self, now: Now) {
        self.power.failed(now.up);
    }

    fn went_off(&mut self, now: Now) {
        self.watchdog.stop();
        self.log.add(now.unix, Logged::PowerOff);
    }

    /// Does what is due; returns when it wants to be asked again.
    pub fn tick(&mut self, now: Now) -> Option<Duration> {
        if self.boot.expire(now.up) {
            self.want(None);
        }
        if let Some((action, is_logged)) = self.watchdog.expire(now.up) {
            if is_logged {
                self.log.add(now.unix, Logged::Watchdog(action));
            }
            let control = match action {
                WatchdogAction::Nothing => None,
                WatchdogAction::Reset => Some(Control::Reset),
                WatchdogAction::Off => Some(Control::Off),
                WatchdogAction::Cycle => Some(Control::Cycle),
            };
            if let Some(control) = control {
                // A machine that is off is not watched.
                self.control(now, control, RestartCause::Watchdog).ok();
            }
        }
        self.interface.tick(now);
        [self.boot.ends(), self.watchdog.ends(), self.interface.ends()].into_iter().flatten().min()
    }

    /// Takes the orders that are due.
    pub fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }
}
