//! The boot options of IPMI (2.0, section 28.12): what a machine is told to boot, and for how long that is valid.
//!
//! The override itself is that of the machine, which every way of setting one changes: IPMI, Redfish, `dryrack boot`.
//! The parameters keep what IPMI says besides.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ipmi::boot_flags::{BootFlags, BootMode, BootSelector, Lifetime};

/// How long boot flags are valid without a power command (section 28.13, table 28-14, parameter 3).
pub const VALID: Duration = Duration::from_secs(60);

/// What a machine boots from at its next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootDevice {
    /// A NIC, by PXE.
    Pxe,
    /// A disk.
    Disk,
    /// A CD drive, also a virtual one.
    Cd,
    /// A USB stick, also a virtual one.
    Usb,
    /// The setup menu of the firmware.
    Setup,
    /// A NIC, by HTTP (UEFI 2.10, section 24.7). IPMI has no flag for it.
    Http,
    /// The boot option of UEFI with this number. IPMI has no flag for it.
    Option(u16),
}

/// An override of the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The device.
    pub device: BootDevice,
    /// Whether it applies to every start, and not only to the next one.
    pub is_persistent: bool,
}

/// Parameter 5, first byte: the flags are valid.
const FLAGS_VALID: u8 = 0x80;
/// Parameter 3: boot flags stay valid without a power command.
const KEEP_WITHOUT_CONTROL: u8 = 0x08;

/// A parameter of the boot options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError {
    /// No such parameter (80h).
    Unsupported,
    /// Another client is setting parameters (81h).
    InProgress,
    /// Too few bytes (C7h).
    Length,
}

/// The parameters of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOptions {
    in_progress: bool,
    partition: u8,
    scan: u8,
    keep: u8,
    acknowledged: [u8; 2],
    /// As written; its validity and its device are those of the override while there is one.
    flags: [u8; 5],
    initiator: [u8; 9],
    mailbox: Vec<u8>,
    /// Flags without an override of the machine, such as "none" and "diagnostic partition": valid until then or for ever.
    is_bare: bool,
    /// When the flags end.
    ends: Option<Duration>,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            in_progress: false,
            partition: 0,
            scan: 0,
            keep: 0,
            acknowledged: [0; 2],
            flags: [0; 5],
            initiator: [0; 9],
            mailbox: vec![0; 80],
            is_bare: false,
            ends: None,
        }
    }
}

/// What a parameter that was set asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// Its override is to be this.
    Override(Option<Override>),
}

impl BootOptions {
    /// Sets a parameter.
    ///
    /// Flags for a device that the machine does not have are kept, and ask for nothing.
    pub fn set(
        &mut self,
        now: Duration,
        parameter: u8,
        data: &[u8],
        devices: &BTreeSet<BootDevice>,
    ) -> Result<Wanted, SetError> {
        fn bytes<const N: usize>(data: &[u8]) -> Result<[u8; N], SetError> {
            data.first_chunk().copied().ok_or(SetError::Length)
        }
        match parameter & 0x7F {
            0 => {
                let [value] = bytes(data)?;
                if value & 3 == 1 && self.in_progress {
                    return Err(SetError::InProgress);
                }
                self.in_progress = value & 3 == 1;
            }
            1 => [self.partition] = bytes(data)?,
            2 => [self.scan] = bytes(data)?,
            3 => {
                [self.keep] = bytes(data)?;
                if self.keep & KEEP_WITHOUT_CONTROL != 0 {
                    self.ends = None;
                }
            }
            4 => {
                let [mask, value] = bytes(data)?;
                let kept = self.acknowledged[1] & !mask;
                self.acknowledged = [0, kept | (value & mask)];
            }
            5 => {
                self.flags = bytes(data)?;
                return Ok(Wanted::Override(self.begin(now, devices)));
            }
            6 => self.initiator = bytes(data)?,
            7 => {
                let (selector, block) = data.split_first().ok_or(SetError::Length)?;
                let start = usize::from(*selector) * 16;
                let room = self.mailbox.get_mut(start..).filter(|room| room.len() >= block.len());
                let room = room.filter(|_| block.len() <= 16).ok_or(SetError::Length)?;
                room[..block.len()].copy_from_slice(block);
            }
            _ => return Err(SetError::Unsupported),
        }
        Ok(Wanted::Nothing)
    }

    fn begin(&mut self, now: Duration, devices: &BTreeSet<BootDevice>) -> Option<Override> {
        let over = self.written().filter(|over| devices.contains(&over.device));
        self.is_bare = over.is_none() && self.flags[0] & FLAGS_VALID != 0;
        let is_limited = self.flags[0] & FLAGS_VALID != 0 && self.keep & KEEP_WITHOUT_CONTROL == 0;
        self.ends = is_limited.then_some(now + VALID);
        over
    }

    /// The override that the flags ask for.
    fn written(&self) -> Option<Override> {
        let flags = BootFlags::parse([self.flags[0], self.flags[1]]);
        let device = match flags.device.filter(|_| flags.valid)? {
            BootSelector::Pxe => BootDevice::Pxe,
            BootSelector::Disk | BootSelector::DiskSafe => BootDevice::Disk,
            BootSelector::Cd | BootSelector::RemoteCd => BootDevice::Cd,
            BootSelector::Setup => BootDevice::Setup,
            BootSelector::Floppy | BootSelector::RemoteFloppy => BootDevice::Usb,
            // Devices of no machine of ours.
            BootSelector::None
            | BootSelector::Diagnostic
            | BootSelector::RemotePrimary
            | BootSelector::RemoteDisk => return None,
        };
        Some(Override { device, is_persistent: flags.lifetime == Lifetime::Persistent })
    }

    /// Returns whether the flags are for a boot with UEFI.
    pub fn is_for_efi(&self) -> bool {
        BootFlags::parse([self.flags[0], self.flags[1]]).mode == BootMode::Efi
    }

    /// Reads a parameter; `over` is the override of the machine now.
    pub fn get(&self, parameter: u8, selector: u8, over: Option<Override>) -> Option<Vec<u8>> {
        Some(match parameter & 0x7F {
            0 => vec![u8::from(self.in_progress)],
            1 => vec![self.partition],
            2 => vec![self.scan],
            3 => vec![self.keep],
            4 => self.acknowledged.to_vec(),
            5 => self.shown(over).to_vec(),
            6 => self.initiator.to_vec(),
            7 => {
                let block = self.mailbox.chunks(16).nth(usize::from(selector))?;
                [&[selector][..], block].concat()
            }
            _ => return None,
        })
    }

    /// The flags as they are now.
    fn shown(&self, over: Option<Override>) -> [u8; 5] {
        let mut flags = self.flags;
        flags[0] &= !FLAGS_VALID;
        let Some(over) = over else {
            if self.is_bare {
                flags[0] |= FLAGS_VALID;
            }
            return flags;
        };
        if self.written() != Some(over) {
            // Set in another way than by IPMI.
            let device = match over.device {
                BootDevice::Pxe => BootSelector::Pxe,
                BootDevice::Disk => BootSelector::Disk,
                BootDevice::Cd => BootSelector::Cd,
                BootDevice::Setup => BootSelector::Setup,
                BootDevice::Usb => BootSelector::Floppy,
                BootDevice::Http => BootSelector::Pxe,
                BootDevice::Option(_) => BootSelector::None,
            };
            let lifetime = if over.is_persistent { Lifetime::Persistent } else { Lifetime::Once };
            return BootFlags::new(device, BootFlags::parse([flags[0], flags[1]]).mode, lifetime).bytes();
        }
        flags[0] |= FLAGS_VALID;
        flags
    }

    /// A power command: the time of the flags begins again.
    pub fn controlled(&mut self, now: Duration) {
        if let Some(ends) = &mut self.ends {
            *ends = now + VALID;
        }
    }

    /// The override of the machine has been used, or set in another way than by IPMI.
    pub fn overtaken(&mut self) {
        self.ends = None;
        self.is_bare = false;
    }

    /// Returns when the flags end.
    pub fn ends(&self) -> Option<Duration> {
        self.ends
    }

    /// Ends flags whose time is over; returns whether the override of the machine ends with them.
    pub fn expire(&mut self, now: Duration) -> bool {
        let is_over = self.ends.is_some_and(|ends| ends <= now);
        if is_over {
            self.ends = None;
            return !std::mem::take(&mut self.is_bare);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PXE: Override = Override { device: BootDevice::Pxe, is_persistent: false };

    fn all() -> BTreeSet<BootDevice> {
        [BootDevice::Pxe, BootDevice::Disk, BootDevice::Cd, BootDevice::Usb, BootDevice::Setup].into()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn flags_are_shown_as_they_were_written_while_the_machine_has_the_override() {
        let mut options = BootOptions::default();
        let wanted = options.set(at(0), 5, &[0xA0, 0x04, 0, 0, 0], &all());
        assert_eq!(wanted, Ok(Wanted::Override(Some(PXE))));
        assert_eq!(options.get(5, 0, Some(PXE)), Some(vec![0xA0, 0x04, 0, 0, 0]));
        // It booted, and the flags are void.
        assert_eq!(options.get(5, 0, None), Some(vec![0x20, 0x04, 0, 0, 0]));
        // Set by Redfish.
        let disk = Override { device: BootDevice::Disk, is_persistent: true };
        assert_eq!(options.get(5, 0, Some(disk)), Some(vec![0xE0, 0x08, 0, 0, 0]));
    }

    #[test]
    fn flags_end_after_a_minute_unless_parameter_3_says_otherwise() {
        let mut options = BootOptions::default();
        options.set(at(0), 5, &[0x80, 0x04, 0, 0, 0], &all()).unwrap();
        assert!(!options.expire(at(59)));
        options.controlled(at(59));
        assert!(!options.expire(at(118)));
        assert!(options.expire(at(119)));
        options.set(at(200), 3, &[0x08], &all()).unwrap();
        options.set(at(200), 5, &[0x80, 0x04, 0, 0, 0], &all()).unwrap();
        assert!(!options.expire(at(10_000)));
    }

    #[test]
    fn a_device_that_no_machine_has_is_kept_and_is_no_override() {
        let mut options = BootOptions::default();
        let wanted = options.set(at(0), 5, &[0x80, 0, 0, 0, 0], &all());
        assert_eq!(wanted, Ok(Wanted::Override(None)));
        assert_eq!(options.get(5, 0, None), Some(vec![0x80, 0, 0, 0, 0]));
        assert!(!options.expire(at(61)));
        assert_eq!(options.get(5, 0, None), Some(vec![0, 0, 0, 0, 0]));
    }

    #[test]
    fn two_clients_cannot_set_at_once() {
        let mut options = BootOptions::default();
        options.set(at(0), 0, &[1], &all()).unwrap();
        assert_eq!(options.set(at(0), 0, &[1], &all()), Err(SetError::InProgress));
        options.set(at(0), 0, &[0], &all()).unwrap();
        options.set(at(0), 0, &[1], &all()).unwrap();
        assert_eq!(options.set(at(0), 9, &[1], &all()), Err(SetError::Unsupported));
        assert_eq!(options.set(at(0), 5, &[1], &all()), Err(SetError::Length));
    }

    proptest! {
        #[test]
        fn anything_can_be_set_and_read(parameter: u8, selector: u8, data in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut options = BootOptions::default();
            let set = options.set(at(0), parameter, &data, &all());
            let read = options.get(parameter, selector, None);
            prop_assert!(set.is_err() || read.is_some() || parameter & 0x7F == 7);
        }
    }
}
