//! The virtual media of a BMC: images that it shows to its machine as a CD or a USB stick.

use std::fmt;

/// A slot for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// A CD drive.
    Cd,
    /// A USB stick.
    Usb,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cd, Self::Usb];
}

/// An image to be shown to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where it is: HTTP or HTTPS, without user and password.
    pub url: String,
    /// Who asks for it.
    pub credentials: Option<Credentials>,
    /// Whether the certificate of its server is verified.
    pub verifies_certificate: bool,
    /// Whether the machine may not write; what it writes goes nowhere else than into the run.
    pub is_write_protected: bool,
}

/// User and password of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text, for who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The slots of a BMC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    cd: Held,
    usb: Held,
    last: u32,
}

/// The right to put an image into a slot; void once something else happened to the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u32);

/// What a slot holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    image: Option<Image>,
    /// What it held before.
    last: Option<Image>,
    /// The ticket of an image that is being checked.
    pending: Option<Ticket>,
    /// Whether certificates are not verified.
    trusts_all: bool,
}

impl Media {
    fn held(&self, slot: Slot) -> &Held {
        match slot {
            Slot::Cd => &self.cd,
            Slot::Usb => &self.usb,
        }
    }

    fn held_mut(&mut self, slot: Slot) -> &mut Held {
        match slot {
            Slot::Cd => &mut self.cd,
            Slot::Usb => &mut self.usb,
        }
    }

    /// Returns the image of a slot.
    pub fn get(&self, slot: Slot) -> Option<&Image> {
        self.held(slot).image.as_ref()
    }

    /// Reserves a slot for an image that is being checked; `None` if it is not free.
    pub fn reserve(&mut self, slot: Slot) -> Option<Ticket> {
        let held = self.held(slot);
        if held.image.is_some() || held.pending.is_some() {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let ticket = Ticket(self.last);
        self.held_mut(slot).pending = Some(ticket);
        Some(ticket)
    }

    /// Returns whether a reservation is still in force.
    pub fn is_reserved(&self, slot: Slot, ticket: Ticket) -> bool {
        self.held(slot).pending == Some(ticket)
    }

    /// Ends the reservation of a slot with an image, or without one; returns whether it was still in force.
    pub fn settle(&mut self, slot: Slot, ticket: Ticket, image: Option<Image>) -> bool {
        let is_valid = self.is_reserved(slot, ticket);
        let held = self.held_mut(slot);
        if is_valid {
            (held.image, held.pending) = (image, None);
        }
        is_valid
    }

    /// Puts an image into a slot, whether or not it was reserved.
    pub fn put(&mut self, slot: Slot, image: Image) {
        let held = self.held_mut(slot);
        (held.image, held.pending) = (Some(image), None);
    }

    /// Takes the image out of a slot. An image that is being checked will not come into it any more.
    pub fn eject(&mut self, slot: Slot) -> Option<Image> {
        let held = self.held_mut(slot);
        held.pending = None;
        let image = held.image.take()?;
        held.last = Some(image.clone());
        Some(image)
    }

    /// Returns what a slot held before it was ejected.
    pub fn last(&self, slot: Slot) -> Option<&Image> {
        self.held(slot).last.as_ref()
    }

    /// Returns whether certificates are verified.
    pub fn verifies(&self, slot: Slot) -> bool {
        !self.held(slot).trusts_all
    }

    /// Says whether certificates are verified.
    pub fn verify(&mut self, slot: Slot, verifies: bool) {
        self.held_mut(slot).trusts_all = !verifies;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            url: "http://10.0.0.1/a.iso".to_owned(),
            credentials: Some(Credentials { user: "u".to_owned(), password: Secret::new("hidden") }),
            verifies_certificate: true,
            is_write_protected: true,
        }
    }

    #[test]
    fn a_slot_is_taken_once() {
        let mut media = Media::default();
        let cd = media.reserve(Slot::Cd).unwrap();
        assert_eq!(media.reserve(Slot::Cd), None);
        let usb = media.reserve(Slot::Usb).unwrap();
        assert!(media.settle(Slot::Cd, cd, Some(image())));
        assert!(media.settle(Slot::Usb, usb, None));
        assert_eq!(media.reserve(Slot::Cd), None);
        assert_eq!(media.eject(Slot::Cd), Some(image()));
        assert!(media.reserve(Slot::Cd).is_some());
    }

    #[test]
    fn ejecting_ends_a_reservation() {
        let mut media = Media::default();
        let late = media.reserve(Slot::Cd).unwrap();
        assert_eq!(media.eject(Slot::Cd), None);
        let next = media.reserve(Slot::Cd).unwrap();
        assert!(!media.settle(Slot::Cd, late, Some(image())));
        assert!(media.settle(Slot::Cd, next, Some(image())));
        assert_eq!(media.get(Slot::Cd), Some(&image()));
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", image()).contains("hidden"));
    }
}
