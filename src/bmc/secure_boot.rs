//! Secure Boot as a BMC controls it: what runs, what is wanted, and which keys the next start enrols.

use super::inventory::SecureBootStart;

/// What is done to the keys at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyReset {
    /// All keys are those of the template.
    Default,
    /// All keys are removed.
    Delete,
    /// The platform key is removed, which ends the enforcement.
    DeletePlatformKey,
}

/// Whether keys are enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMode {
    /// No platform key: anybody may enrol keys, nothing is checked.
    Setup,
    /// There is one.
    User,
}

/// What the next start changes in the variables of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureBootChange {
    /// What is done to the keys, first.
    pub keys: Option<KeyReset>,
    /// Whether signatures are to be checked.
    pub enable: bool,
}

/// Secure Boot of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureBoot {
    /// Whether it is wanted.
    wanted: bool,
    /// What the firmware was told last.
    told: bool,
    /// Whether the last start checked signatures.
    current: bool,
    mode: KeyMode,
    keys: Option<KeyReset>,
}

impl SecureBoot {
    /// Creates the state of a new machine.
    pub fn new(start: SecureBootStart) -> Self {
        let (wanted, mode) = match start {
            SecureBootStart::Enabled => (true, KeyMode::User),
            SecureBootStart::Disabled => (false, KeyMode::User),
            SecureBootStart::Setup => (false, KeyMode::Setup),
        };
        Self { wanted, told: wanted, current: wanted, mode, keys: None }
    }

    /// Returns whether the next start is to check signatures.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Returns whether the last start checked signatures.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// Returns whether keys are enrolled.
    pub fn mode(&self) -> KeyMode {
        self.mode
    }

    /// Says what the next start is to do.
    pub fn want(&mut self, enable: bool) {
        self.wanted = enable;
    }

    /// Says what the next start does to the keys.
    pub fn reset_keys(&mut self, keys: KeyReset) {
        self.keys = Some(keys);
    }

    /// The machine starts; returns what has to be changed before that.
    pub fn start(&mut self) -> Option<SecureBootChange> {
        let keys = self.keys.take();
        match keys {
            Some(KeyReset::Default) => self.mode = KeyMode::User,
            Some(KeyReset::Delete | KeyReset::DeletePlatformKey) => self.mode = KeyMode::Setup,
            None => {}
        }
        let has_changed = keys.is_some() || self.told != self.wanted;
        self.told = self.wanted;
        self.current = self.wanted && self.mode == KeyMode::User;
        has_changed.then_some(SecureBootChange { keys, enable: self.wanted })
    }

    /// Learns what the variables of the firmware say: the system or a person may have changed them.
    pub fn learned(&mut self, enabled: bool, mode: KeyMode) {
        // What a client wants meanwhile is for the next start.
        if self.wanted == self.told {
            self.wanted = enabled;
        }
        (self.told, self.mode) = (enabled, mode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_runs_from_the_next_start() {
        let mut secure = SecureBoot::new(SecureBootStart::Enabled);
        assert_eq!(secure.start(), None);
        secure.want(false);
        assert!(secure.is_current());
        assert_eq!(secure.start(), Some(SecureBootChange { keys: None, enable: false }));
        assert!(!secure.is_current());
        assert_eq!(secure.start(), None);
    }

    #[test]
    fn what_the_variables_say_does_not_end_what_is_wanted() {
        let mut secure = SecureBoot::new(SecureBootStart::Enabled);
        secure.want(false);
        secure.learned(true, KeyMode::User);
        assert!(!secure.is_wanted());
        assert_eq!(secure.start(), Some(SecureBootChange { keys: None, enable: false }));
        secure.learned(true, KeyMode::Setup);
        assert_eq!((secure.is_wanted(), secure.mode()), (true, KeyMode::Setup));
    }

    #[test]
    fn without_a_platform_key_nothing_is_checked() {
        let mut secure = SecureBoot::new(SecureBootStart::Enabled);
        secure.reset_keys(KeyReset::DeletePlatformKey);
        secure.start().unwrap();
        assert_eq!((secure.is_current(), secure.is_wanted(), secure.mode()), (false, true, KeyMode::Setup));
        secure.reset_keys(KeyReset::Default);
        secure.start().unwrap();
        assert_eq!((secure.is_current(), secure.mode()), (true, KeyMode::User));
    }
}
