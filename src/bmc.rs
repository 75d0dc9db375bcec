//! A BMC: the controller that powers a machine on and off, says what it boots, and tells what happened to it.
//!
//! ```text
//! IPMI over LAN ──┬──▶ command ──▶ Bmc ──▶ orders to the machine
//! in-band IPMI ───┘                 ▲
//!                 what happened to the machine
//! ```
//!
//! One state for every way in. It has no clock, no socket and no machine: time is an argument, and what is to be done to
//! the machine is a list of orders.

pub mod boot;
pub mod command;
pub mod fault;
pub mod firmware;
pub mod fru;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod identity;
pub mod in_band;
pub mod inventory;
pub mod ipmi;
pub mod lan;
pub mod lockout;
pub mod log;
pub mod media;
pub mod personality;
pub mod power;
pub mod redfish;
pub mod secure_boot;
pub mod sensors;
pub mod session;
pub mod subscription;
pub mod task;
#[cfg(test)]
mod tests;
pub mod users;
pub mod watchdog;

use std::collections::VecDeque;
use std::time::Duration;

use boot::{BootDevice, BootOptions, Override, Wanted};
use fault::Faults;
use firmware::Firmware;
use identity::Identity;
use inventory::Link;
use log::{Log, Logged, WatchdogAction};
use media::{Image, Media, Slot, Ticket};
use personality::{EfiBit, FlagsWhenOff, Ipmi, Personality, Traits};
use power::{Control, Happening, IsOff, Power, RestartCause};
use secure_boot::{SecureBoot, SecureBootChange};
use users::Users;
use watchdog::Watchdog;

/// How far apart the begin of a boot and the end of the override that it uses may be told.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long a system may take to shut down for a graceful restart. One that ignores the request and shuts down later
/// stays off.
const SHUTDOWN: Duration = Duration::from_secs(300);

/// How many power commands wait while the BMC is slow; later ones are lost.
const WAITING: usize = 16;

/// An instant, on two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the start of the BMC; never goes back.
    pub up: Duration,
    /// Seconds since 1970.
    pub unix: u32,
}

/// What is to be done to the machine, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Its power.
    Power(Control),
    /// The override of its boot order; `None` for no override.
    Boot(Option<Override>),
    /// What an override to [`BootDevice::Http`] loads; `None` for what DHCP says. Comes before the override.
    HttpBoot(Option<String>),
    /// An image is to be in a slot of virtual media.
    Insert(Slot, Image),
    /// The image of a slot is to be removed, even if the machine has locked the drive.
    Eject(Slot),
    /// All settings of the firmware, some of which change. The machine is off then, or the power order that follows is a cycle.
    Firmware(firmware::Values),
    /// Variables of Secure Boot that change; as with settings, the machine is off then.
    SecureBoot(SecureBootChange),
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
    /// The settings of the machine's firmware.
    pub firmware: Firmware,
    /// Secure Boot, if the firmware has it.
    pub secure_boot: Option<SecureBoot>,
    /// What only its Redfish service has.
    pub redfish: redfish::State,
    power: Power,
    /// The command that ordered the start that the machine has not told of yet.
    asked: Option<Control>,
    /// Until when the machine is powered on again if its system shuts down.
    restarts: Option<Duration>,
    boot: BootOptions,
    /// The override of the machine, whoever set it.
    over: Option<Override>,
    /// What an override to HTTP loads.
    http_boot: Option<String>,
    media: Media,
    /// The one before, which a boot has used, and when.
    used: Option<(Override, Duration)>,
    /// Whether the machine was not told of the override.
    is_lost: bool,
    watchdog: Watchdog,
    interface: command::Interface,
    orders: Vec<Order>,
    /// What is different about its IPMI.
    traits: Ipmi,
    faults: Faults,
    /// Users whose sessions of IPMI are to be ended.
    ended: Vec<u8>,
    /// Power commands of a slow BMC, and when they have their effect.
    slow: VecDeque<(Duration, Slow)>,
}

/// A power command that has its effect later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    Control(Control, RestartCause),
    RestartGracefully,
}

impl Bmc {
    /// Creates a BMC of a machine that is off.
    pub fn new(identity: Identity, users: Users) -> Self {
        Self {
            interface: command::Interface::new(&identity),
            firmware: Firmware::new(&identity.inventory),
            secure_boot: identity.inventory.secure_boot.map(SecureBoot::new),
            redfish: redfish::State::default(),
            identity,
            users,
            log: Log::default(),
            power: Power::default(),
            asked: None,
            restarts: None,
            boot: BootOptions::default(),
            over: None,
            http_boot: None,
            media: Media::default(),
            used: None,
            is_lost: false,
            watchdog: Watchdog::default(),
            orders: Vec::new(),
            traits: Personality::default().traits().ipmi,
            faults: Faults::default(),
            ended: Vec::new(),
            slow: VecDeque::new(),
        }
    }

    /// Returns it as a BMC of that kind, before anybody uses it.
    pub fn made_as(mut self, personality: Personality) -> Self {
        let Traits { redfish, ipmi, machine } = personality.traits();
        if let Some((maker, product)) = machine {
            maker.clone_into(&mut self.identity.manufacturer);
            product.clone_into(&mut self.identity.product);
            self.interface = command::Interface::new(&self.identity);
        }
        // Without TLS or with: that belongs to the lab, not to the maker.
        self.redfish.settings = redfish::Settings { plain: self.redfish.settings.plain, ..redfish };
        self.traits = ipmi;
        self
    }

    /// Returns the power of the machine.
    pub fn power(&self) -> &Power {
        &self.power
    }

    /// Returns how Serial over LAN is configured.
    pub(super) fn sol(&self) -> ipmi::server::SolTerms {
        let terms = self.interface.sol.terms();
        ipmi::server::SolTerms { enabled: terms.enabled && self.has_sol(), ..terms }
    }

    /// Returns whether there is Serial over LAN.
    fn has_sol(&self) -> bool {
        !self.faults.has_no_sol()
    }

    /// Returns the override of the boot order.
    pub fn boot_override(&self) -> Option<Override> {
        self.over
    }

    /// Returns what an override to HTTP loads.
    pub fn http_boot(&self) -> Option<&str> {
        self.http_boot.as_deref()
    }

    /// Returns the virtual media.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// Takes a power command. It is executed at once, unless the BMC is slow.
    pub fn control(&mut self, now: Now, control: Control, cause: RestartCause) -> Result<(), IsOff> {
        if let Some(delay) = self.slowness() {
            // A command that is refused is refused at once.
            self.power.clone().control(now.up, control, cause)?;
            self.delay(now.up, delay, Slow::Control(control, cause));
            return Ok(());
        }
        self.execute(self.faults.clock(now), control, cause)
    }

    /// Returns how much later a power command has its effect. None overtakes those that wait.
    fn slowness(&self) -> Option<Duration> {
        self.faults.power_delay().or((!self.slow.is_empty()).then_some(Duration::ZERO))
    }

    fn delay(&mut self, now: Duration, delay: Duration, command: Slow) {
        let last = self.slow.back().map_or(Duration::ZERO, |(due, _)| *due);
        let due = (now + delay).max(last);
        // The flags wait for the command.
        self.boot.controlled(due);
        if self.slow.len() < WAITING {
            self.slow.push_back((due, command));
        }
    }

    /// Executes a power command.
    fn execute(&mut self, now: Now, control: Control, cause: RestartCause) -> Result<(), IsOff> {
        self.order_power(now, control, cause, false)
    }

    /// Orders what a power command needs. `for_settings`: nobody gave it, settings come into force with it.
    fn order_power(
        &mut self,
        now: Now,
        control: Control,
        cause: RestartCause,
        for_settings: bool,
    ) -> Result<(), IsOff> {
        let was_on = self.power.is_on();
        let starts = match control {
            Control::On => !was_on,
            Control::Cycle | Control::Reset => was_on,
            Control::Off | Control::Soft | Control::Nmi => false,
        };
        // The variables of a firmware cannot be written while it runs.
        let asked = control;
        let control = match control {
            Control::Reset if starts && self.apply(now) => Control::Cycle,
            Control::On | Control::Cycle if starts => {
                self.apply(now);
                control
            }
            control => control,
        };
        let order = self.power.control(now.up, control, cause)?;
        self.boot.controlled(now.up);
        if control != Control::Nmi {
            self.restarts = None;
        }
        if was_on && !self.power.is_on() {
            self.went_off(now);
        }
        if starts {
            self.asked = Some(asked);
        }
        if starts && asked == Control::Cycle {
            self.log.add(now.unix, Logged::PowerCycle { for_settings });
        }
        self.orders.extend(order.map(Order::Power));
        Ok(())
    }

    /// Asks the system to shut down, and powers the machine on again once it has.
    pub fn restart_gracefully(&mut self, now: Now) -> Result<(), IsOff> {
        if !self.power.is_on() {
            return Err(IsOff);
        }
        if let Some(delay) = self.slowness() {
            self.delay(now.up, delay, Slow::RestartGracefully);
            return Ok(());
        }
        self.execute_restart(self.faults.clock(now))
    }

    fn execute_restart(&mut self, now: Now) -> Result<(), IsOff> {
        self.execute(now, Control::Soft, RestartCause::Command)?;
        self.restarts = self.power.is_on().then_some(now.up + SHUTDOWN);
        Ok(())
    }

    /// Orders what waits for the next start; returns whether there was something.
    fn apply(&mut self, now: Now) -> bool {
        let before = self.orders.len();
        let values = self.firmware.start(now.unix).cloned();
        self.orders.extend(values.map(Order::Firmware));
        let change = self.secure_boot.as_mut().and_then(SecureBoot::start);
        self.orders.extend(change.map(Order::SecureBoot));
        self.orders.len() > before
    }

    /// Sets what an override to HTTP loads; `None` for what DHCP says.
    pub fn set_http_boot(&mut self, url: Option<String>) {
        if self.http_boot != url {
            self.http_boot.clone_from(&url);
            self.orders.push(Order::HttpBoot(url));
        }
    }

    /// Puts an image into a slot that is reserved for it; returns whether the reservation is in force.
    pub fn insert(&mut self, slot: Slot, ticket: Ticket, image: Image) -> bool {
        let is_valid = self.media.settle(slot, ticket, Some(image.clone()));
        if is_valid {
            self.orders.push(Order::Insert(slot, image));
        }
        is_valid
    }

    /// Takes the image out of a slot; returns whether there was one.
    pub fn eject(&mut self, slot: Slot) -> bool {
        let was_inserted = self.media.eject(slot).is_some();
        if was_inserted {
            self.orders.push(Order::Eject(slot));
        }
        was_inserted
    }

    /// Overrides the boot order, by Redfish or a command of Dryrack.
    pub fn set_override(&mut self, over: Option<Override>) {
        self.boot.overtaken();
        self.want(over, false);
    }

    /// Changes the override. `is_lost`: it has no effect, for a reason of its own.
    fn want(&mut self, over: Option<Override>, is_lost: bool) {
        let is_lost = over.is_some_and(|over| is_lost || self.faults.loses(over));
        if self.over == over && self.is_lost == is_lost {
            return;
        }
        let told = self.over.filter(|_| !self.is_lost);
        (self.over, self.is_lost) = (over, is_lost);
        let order = over.filter(|_| !is_lost);
        if order != told || over.is_none() {
            self.orders.push(Order::Boot(order));
        }
    }

    /// Sets a parameter of IPMI's boot options.
    fn set_boot_option(&mut self, now: Now, parameter: u8, data: &[u8]) -> Result<(), boot::SetError> {
        match self.boot.set(now.up, parameter, data, &self.identity.devices)? {
            Wanted::Nothing => {}
            Wanted::Override(over) => {
                let is_pxe = over.is_some_and(|over| over.device == BootDevice::Pxe);
                let is_other = self.boot.is_for_efi() != self.identity.inventory.is_uefi();
                let is_lost = match self.traits.efi_bit {
                    EfiBit::Any => false,
                    EfiBit::AsFirmware => is_pxe && is_other,
                };
                self.want(over, is_lost);
            }
        }
        Ok(())
    }

    /// Learns the override of the machine as it is now: used by a boot, or set in another way.
    pub fn overridden(&mut self, now: Now, over: Option<Override>) {
        // A machine that was not told of an override has none.
        if self.over != over && (over.is_some() || !self.is_lost) {
            self.used = self.over.filter(|_| over.is_none()).map(|used| (used, now.up));
            self.over = over;
            self.is_lost = false;
            self.boot.overtaken();
        }
    }

    /// Learns what happened to the power of the machine.
    pub fn happened(&mut self, now: Now, happening: Happening) {
        let now = self.faults.clock(now);
        let was_on = self.power.is_on();
        let boots = self.power.happened(now.up, happening);
        if was_on && !self.power.is_on() {
            if self.restarts.take().is_some_and(|until| now.up < until) {
                // This off is a part of a restart.
                self.ended_boot(now);
                // An off machine can always be powered on.
                self.execute(now, Control::On, RestartCause::Command).ok();
            } else {
                self.went_off(now);
            }
        }
        if boots {
            if let Happening::Reset { .. } = happening {
                // Its system has restarted in its own way. A power-on may be told after the restart was asked for.
                self.restarts = None;
            }
            self.redfish.booted = Some(now.up);
            let cause = self.power.restart_cause();
            // The log has what was asked for, also if the machine had to be powered off and on for it.
            let is_reset = matches!(happening, Happening::Reset { .. });
            let asked = self.asked.take();
            if is_reset || asked == Some(Control::Reset) {
                self.log.add(now.unix, Logged::Restarted { cause, by_cycle: !is_reset });
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
            // The BMC believes that the boot has used it.
            if self.is_lost && self.over.is_some_and(|over| !over.is_persistent) {
                (self.over, self.is_lost) = (None, false);
                self.boot.overtaken();
            }
            // Settings come into force with any start. One that was not ordered here knew nothing of them, and the
            // variables of a firmware cannot be written while it runs.
            let was_ordered = matches!(cause, RestartCause::Command | RestartCause::Watchdog);
            if !was_ordered && self.apply(now) {
                self.order_power(now, Control::Cycle, cause, true).ok();
            }
        }
    }

    /// Learns that a slot of virtual media is empty.
    pub fn emptied(&mut self, now: Now, slot: Slot) {
        // A reservation stays: it is for an image that comes.
        if self.media.get(slot).is_some() {
            self.media.eject(slot);
            redfish::medium_changed(self, now, slot);
        }
    }

    /// Learns that a slot of virtual media has an image, by whomever it was inserted.
    pub fn inserted(&mut self, now: Now, slot: Slot, url: String) {
        // One that was inserted here is known with all that was said of it.
        if self.media.get(slot).is_none_or(|image| image.url != url) {
            let is_write_protected = slot == Slot::Cd;
            let image = Image { url, credentials: None, verifies_certificate: true, is_write_protected };
            self.media.put(slot, image);
            redfish::medium_changed(self, now, slot);
        }
    }

    /// Learns whether a NIC has a carrier.
    pub fn linked(&mut self, nic: &str, is_up: bool) {
        let link = if is_up { Link::Up } else { Link::Down };
        for nic in self.identity.inventory.nics.iter_mut().filter(|known| known.name == nic) {
            nic.link = link;
        }
    }

    /// Learns how a boot went.
    pub fn learned(&mut self, now: Now, learned: Learned) {
        let now = self.faults.clock(now);
        let what = match learned {
            Learned::Booted(from) => Logged::Booted(from),
            Learned::BootFailed(why) => Logged::BootFailed(why),
        };
        self.log.add(now.unix, what);
    }

    /// Learns that a power command could not be carried out.
    pub fn failed(&mut self, now: Now) {
        self.asked = None;
        self.power.failed(now.up);
    }

    fn ended_boot(&mut self, now: Now) {
        self.asked = None;
        self.watchdog.stop();
        self.log.add(now.unix, Logged::PowerOff);
    }

    fn went_off(&mut self, now: Now) {
        self.ended_boot(now);
        let is_void = self.traits.flags_when_off == FlagsWhenOff::Void;
        if is_void && self.over.is_some_and(|over| !over.is_persistent) {
            self.boot.overtaken();
            self.want(None, false);
        }
    }

    /// Does what is due; returns when it wants to be asked again.
    pub fn tick(&mut self, now: Now) -> Option<Duration> {
        let now = self.faults.clock(now);
        while let Some((_, command)) = self.slow.pop_front_if(|(due, _)| *due <= now.up) {
            // The machine may have gone off meanwhile, and then there is nothing to do.
            match command {
                Slow::Control(control, cause) => self.execute(now, control, cause).ok(),
                Slow::RestartGracefully => self.execute_restart(now).ok(),
            };
        }
        if self.boot.expire(now.up) {
            self.want(None, false);
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
                self.execute(now, control, RestartCause::Watchdog).ok();
            }
        }
        self.interface.tick(now);
        let slow = self.slow.front().map(|(due, _)| *due);
        [self.boot.ends(), self.watchdog.ends(), self.interface.ends(), slow].into_iter().flatten().min()
    }

    /// Takes the users whose sessions of IPMI are to be ended: those who are gone, or may not do any more what they could.
    pub fn take_ended(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ended)
    }

    /// Takes the orders that are due.
    pub fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }
}
