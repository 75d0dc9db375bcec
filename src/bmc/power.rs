//! The power of a machine as its BMC controls and reports it.
//!
//! ```text
//!        On                          guest or command ends it
//! Off ───────▶ On ──────────────────────────────────────▶ Off
//!              ▲│ Reset, Cycle, Nmi, Soft
//!              └┘
//! ```
//!
//! A command changes the state at once, because a real BMC switches the power itself; what happened to the machine
//! corrects it.

use std::fmt;
use std::time::Duration;

/// Resets by the machine itself within this time belong to the boot that is running: SeaBIOS answers a reset with
/// another one.
const ONE_BOOT: Duration = Duration::from_secs(2);

/// A power command, by IPMI's Chassis Control (2.0, section 28.3) or Redfish's `ComputerSystem.Reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Power on.
    On,
    /// Power off at once.
    Off,
    /// Power off at once, and on again after a second.
    Cycle,
    /// Hard reset.
    Reset,
    /// Diagnostic interrupt.
    Nmi,
    /// Press of the power button: the system shuts down, if one listens (ACPI).
    Soft,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::On, Self::Off, Self::Cycle, Self::Reset, Self::Nmi, Self::Soft];

    /// Returns IPMI's number of it.
    pub fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::Cycle => 2,
            Self::Reset => 3,
            Self::Nmi => 4,
            Self::Soft => 5,
        }
    }

    /// Returns the command of a number.
    pub fn parse(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|control| control.number() == number)
    }
}

/// What happened to the machine, whoever caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was powered on.
    PoweredOn,
    /// It is off: powered off, or shut down by its system.
    PoweredOff {
        /// Whether its system did that.
        by_guest: bool,
    },
    /// It was reset.
    Reset {
        /// Whether its system or firmware did that.
        by_guest: bool,
    },
}

/// Why a machine started last (IPMI 2.0, section 28.11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartCause {
    /// Nobody knows.
    #[default]
    Unknown,
    /// A power command of a client of the BMC.
    Command,
    /// The power button: a command of Dryrack itself.
    Button,
    /// The watchdog expired.
    Watchdog,
    /// The system restarted itself.
    Soft,
}

impl RestartCause {
    /// Returns IPMI's number of it.
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Command => 1,
            Self::Button => 3,
            Self::Watchdog => 4,
            Self::Soft => 0x0A,
        }
    }
}

impl fmt::Display for RestartCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "an unknown cause",
            Self::Command => "a command to the BMC",
            Self::Button => "the power button",
            Self::Watchdog => "the watchdog",
            Self::Soft => "the system itself",
        })
    }
}

/// What a machine does when the power comes back (IPMI 2.0, section 28.8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestorePolicy {
    /// It stays off.
    #[default]
    Off,
    /// It is on if it was on.
    Previous,
    /// It is on.
    On,
}

impl RestorePolicy {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Off, Self::Previous, Self::On];

    /// Returns IPMI's number of it.
    pub fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Previous => 1,
            Self::On => 2,
        }
    }

    /// Returns the policy of a number; 3 is an unknown one.
    pub fn parse(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.number() == number)
    }
}

/// A command that does not fit the state of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine is off")]
pub struct IsOff;

/// The power of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Power {
    on: bool,
    /// Whether the machine is on as far as it has told, which a command that fails falls back to.
    is_running: bool,
    /// Who began the start that a happening will confirm.
    expected: Option<RestartCause>,
    /// How many times commands will still power the machine off; until then it tells of starts before them.
    ending: u8,
    /// Whether the last power-on was by a command of the BMC.
    by_command: bool,
    cause: RestartCause,
    /// When it was powered on, and for how long it was on before that.
    since: Option<Duration>,
    before: Duration,
    /// When it began to boot last.
    booted: Option<Duration>,
    /// What it does when the power comes back.
    pub policy: RestorePolicy,
}

impl Power {
    /// Returns whether the machine is on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Returns whether it was powered on by a command of the BMC.
    pub fn is_on_by_command(&self) -> bool {
        self.by_command
    }

    /// Returns why it started last.
    pub fn restart_cause(&self) -> RestartCause {
        self.cause
    }

    /// Returns for how long it has been on, in all.
    pub fn hours(&self, now: Duration) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Applies a command; the second value says whether the machine has to be told.
    ///
    /// An off machine cannot be reset or interrupted (IPMI: D5h); a power cycle of one is refused, too, because nothing
    /// would be cycled.
    pub fn control(
        &mut self,
        now: Duration,
        control: Control,
        cause: RestartCause,
    ) -> Result<Option<Control>, IsOff> {
        match (self.on, control) {
            (false, Control::On) => {
                self.begin(now);
                self.by_command = cause == RestartCause::Command;
                (self.cause, self.expected) = (cause, Some(cause));
                Ok(Some(Control::On))
            }
            (true, Control::On) | (false, Control::Off | Control::Soft) => Ok(None),
            (false, Control::Cycle | Control::Reset | Control::Nmi) => Err(IsOff),
            (true, Control::Off) => {
                self.end(now);
                self.ending = self.ending.saturating_add(1);
                Ok(Some(Control::Off))
            }
            (true, Control::Cycle | Control::Reset) => {
                (self.cause, self.expected) = (cause, Some(cause));
                self.ending = self.ending.saturating_add(u8::from(control == Control::Cycle));
                Ok(Some(control))
            }
            (true, Control::Nmi | Control::Soft) => Ok(Some(control)),
        }
    }

    /// Learns what happened to the machine; returns whether it begins to boot.
    pub fn happened(&mut self, now: Duration, happening: Happening) -> bool {
        self.is_running = !matches!(happening, Happening::PoweredOff { .. });
        if let Happening::PoweredOff { by_guest } = happening {
            // There is nothing left to power off for a command that comes after the system did.
            self.ending = if by_guest { 0 } else { self.ending.saturating_sub(1) };
        }
        match happening {
            Happening::PoweredOn | Happening::Reset { .. } if self.ending > 0 => false,
            Happening::PoweredOn => {
                if !self.on {
                    self.begin(now);
                    self.by_command = false;
                }
                self.boot(now, RestartCause::Button)
            }
            // The off half of a power cycle.
            Happening::PoweredOff { by_guest: false } if self.expected.is_some() => false,
            Happening::PoweredOff { .. } => {
                self.end(now);
                false
            }
            Happening::Reset { by_guest: false } => self.boot(now, RestartCause::Button),
            Happening::Reset { by_guest: true } => {
                let is_same = self.booted.is_some_and(|booted| now.saturating_sub(booted) < ONE_BOOT);
                !is_same && self.boot(now, RestartCause::Soft)
            }
        }
    }

    fn boot(&mut self, now: Duration, otherwise: RestartCause) -> bool {
        self.cause = self.expected.take().unwrap_or(otherwise);
        self.booted = Some(now);
        true
    }

    /// A command that the machine could not carry out: it is in the state that it told last.
    pub fn failed(&mut self, now: Duration) {
        (self.expected, self.ending) = (None, 0);
        match (self.on, self.is_running) {
            (true, false) => self.end(now),
            (false, true) => self.begin(now),
            (true, true) | (false, false) => {}
        }
    }

    fn begin(&mut self, now: Duration) {
        self.on = true;
        self.since = Some(now);
    }

    fn end(&mut self, now: Duration) {
        self.before = self.hours(now);
        (self.on, self.since, self.expected, self.by_command) = (false, None, None, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input() -> impl Strategy<Value = Result<Control, Happening>> {
        prop_oneof![
            prop::sample::select(Control::ALL.to_vec()).prop_map(Ok),
            prop::sample::select(vec![
                Happening::PoweredOn,
                Happening::PoweredOff { by_guest: false },
                Happening::PoweredOff { by_guest: true },
                Happening::Reset { by_guest: false },
                Happening::Reset { by_guest: true },
            ])
            .prop_map(Err),
        ]
    }

    /// A machine that does what it is told and says so.
    fn obeys(power: &mut Power, now: Duration, order: Option<Control>) {
        let happenings: &[Happening] = match order {
            Some(Control::On) => &[Happening::PoweredOn],
            Some(Control::Off) => &[Happening::PoweredOff { by_guest: false }],
            Some(Control::Cycle) => &[Happening::PoweredOff { by_guest: false }, Happening::PoweredOn],
            Some(Control::Reset) => {
                &[Happening::Reset { by_guest: false }, Happening::Reset { by_guest: true }]
            }
            Some(Control::Soft) => &[Happening::PoweredOff { by_guest: true }],
            Some(Control::Nmi) | None => &[],
        };
        for &happening in happenings {
            power.happened(now, happening);
        }
    }

    proptest! {
        #[test]
        fn a_machine_that_obeys_is_as_its_bmc_says(controls in prop::collection::vec(
            prop::sample::select(Control::ALL.to_vec()), 0..40,
        )) {
            let (mut power, mut on) = (Power::default(), false);
            for (second, control) in (0..).zip(controls) {
                let now = Duration::from_secs(second);
                let result = power.control(now, control, RestartCause::Command);
                let refused = !on && matches!(control, Control::Reset | Control::Cycle | Control::Nmi);
                prop_assert_eq!(result.is_err(), refused);
                obeys(&mut power, now, result.ok().flatten());
                on = match control {
                    Control::On => true,
                    Control::Off | Control::Soft => false,
                    Control::Cycle | Control::Reset | Control::Nmi => on,
                };
                prop_assert_eq!(power.is_on(), on);
            }
        }

        #[test]
        fn what_happens_decides_in_the_end(inputs in prop::collection::vec(input(), 0..40)) {
            let mut power = Power::default();
            for (second, input) in (0..).zip(inputs) {
                let now = Duration::from_secs(second);
                match input {
                    Ok(control) => drop(power.control(now, control, RestartCause::Command)),
                    Err(happening) => drop(power.happened(now, happening)),
                }
                prop_assert!(power.hours(now) <= now);
            }
            power.happened(Duration::from_secs(50), Happening::PoweredOff { by_guest: true });
            prop_assert!(!power.is_on());
            power.happened(Duration::from_secs(51), Happening::PoweredOn);
            prop_assert!(power.is_on());
        }
    }

    #[test]
    fn a_machine_that_was_told_to_be_off_does_not_seem_on_again() {
        let (mut power, now) = (Power::default(), Duration::from_secs(1));
        let tell = |power: &mut Power, control| power.control(now, control, RestartCause::Command).unwrap();
        // The commands come faster than the machine carries them out.
        tell(&mut power, Control::On);
        tell(&mut power, Control::Off);
        assert!(!power.happened(now, Happening::PoweredOn) && !power.is_on());
        assert!(!power.happened(now, Happening::PoweredOff { by_guest: false }) && !power.is_on());
        tell(&mut power, Control::On);
        tell(&mut power, Control::Cycle);
        tell(&mut power, Control::Off);
        tell(&mut power, Control::On);
        for happening in [
            Happening::PoweredOn,
            Happening::PoweredOff { by_guest: false },
            Happening::PoweredOn,
            Happening::PoweredOff { by_guest: false },
        ] {
            assert!(!power.happened(now, happening) && power.is_on(), "{happening:?}");
        }
        assert!(power.happened(now, Happening::PoweredOn));
        assert_eq!((power.is_on(), power.restart_cause()), (true, RestartCause::Command));
    }

    #[test]
    fn a_command_that_fails_leaves_the_machine_as_it_is() {
        let (mut power, now) = (Power::default(), Duration::from_secs(1));
        power.control(now, Control::On, RestartCause::Command).unwrap();
        power.failed(now);
        assert!(!power.is_on(), "it never started");
        power.happened(now, Happening::PoweredOn);
        power.control(now, Control::Reset, RestartCause::Command).unwrap();
        power.happened(now, Happening::PoweredOff { by_guest: true });
        power.failed(now);
        assert!(!power.is_on(), "it shut down before it was reset");
        power.happened(now, Happening::PoweredOn);
        power.control(now, Control::Soft, RestartCause::Command).unwrap();
        power.failed(now);
        assert!(power.is_on(), "it does not listen to the button");
    }

    #[test]
    fn the_cause_of_a_start_is_who_began_it() {
        let mut power = Power::default();
        let now = Duration::from_secs(1);
        power.control(now, Control::On, RestartCause::Command).unwrap();
        power.happened(now, Happening::PoweredOn);
        assert_eq!((power.restart_cause(), power.is_on_by_command()), (RestartCause::Command, true));
        // SeaBIOS restarts itself at once.
        assert!(!power.happened(now + Duration::from_millis(80), Happening::Reset { by_guest: true }));
        assert_eq!(power.restart_cause(), RestartCause::Command);
        let now = Duration::from_secs(60);
        assert!(power.happened(now, Happening::Reset { by_guest: true }));
        assert_eq!(power.restart_cause(), RestartCause::Soft);
        power.happened(now, Happening::PoweredOff { by_guest: true });
        power.happened(now, Happening::PoweredOn);
        assert_eq!((power.restart_cause(), power.is_on_by_command()), (RestartCause::Button, false));
    }
}
