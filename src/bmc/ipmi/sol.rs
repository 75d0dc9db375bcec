//! Serial over LAN: the serial line of a machine in packets of a session (section 15).
//!
//! Both ends send one packet at a time and wait for its acknowledgement; [`bmc`] and [`console`] are the two ends.
//!
//! ```text
//! sequence  acknowledged sequence  accepted characters  operation or status  characters …
//! ```

pub mod packet;
mod sender;

pub mod bmc;
pub mod console;

#[cfg(test)]
mod tests;
