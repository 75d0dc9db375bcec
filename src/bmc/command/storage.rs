//! Commands of storage: FRU inventory, repository of sensors, event log (IPMI 2.0, sections 31, 33 and 34).

use super::{Answer, bytes};
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::log::{CAPACITY, Logged};
use crate::bmc::{Bmc, Now};

/// The version of the repository and of the log, 1.5 as in IPMI 2.0.
const VERSION: u8 = 0x51;
/// When the repository was written: it never changes, and clients keep it as long as this stays.
const WRITTEN: [u8; 4] = [0, 0, 0, 0x60];
/// "CLR" and "erase", "erase, and say how far".
const CLEAR: [u8; 3] = *b"CLR";

pub(super) fn answer(bmc: &mut Bmc, now: Now, command: u8, data: &[u8]) -> Answer {
    match command {
        0x10 => {
            fru(data)?;
            let size = u16::try_from(bmc.interface.inventory.len()).unwrap_or(u16::MAX);
            Ok([&size.to_le_bytes()[..], &[0]].concat())
        }
        0x11 => read_fru(bmc, data),
        0x20 => {
            let count = u16::try_from(bmc.interface.repository.len()).unwrap_or(u16::MAX);
            let [low, high] = count.to_le_bytes();
            // Modal updates unsupported, reservations supported.
            Ok([&[VERSION, low, high, 0, 0][..], &WRITTEN, &WRITTEN, &[0x22]].concat())
        }
        // Allocation info: one unit for each record, none free.
        0x21 => {
            let [low, high] = u16::try_from(bmc.interface.repository.len()).unwrap_or(u16::MAX).to_le_bytes();
            Ok(vec![low, high, 64, 0, 0, 0, 0, 0, 1])
        }
        0x22 => {
            bmc.interface.reservations.0 = next(bmc.interface.reservations.0);
            Ok(bmc.interface.reservations.0.to_le_bytes().to_vec())
        }
        0x23 => read_sensor_record(bmc, data),
        // Time of the repository and of the log.
        0x28 | 0x48 => Ok(now.unix.to_le_bytes().to_vec()),
        // Its time is that of the lab: accepted, and without effect.
        0x49 => bytes::<4>(data).map(|_| Vec::new()),
        0x40 => Ok(log_info(bmc)),
        0x41 => Ok(vec![0, 2, 16, 0, 0, 2, 0, 2, 1]),
        0x42 => {
            bmc.interface.reservations.1 = next(bmc.interface.reservations.1);
            Ok(bmc.interface.reservations.1.to_le_bytes().to_vec())
        }
        0x43 => read_entry(bmc, data),
        0x44 => add_entry(bmc, now, data),
        0x46 => {
            let [a, b, c, d] = bytes(data)?;
            reserved([a, b], bmc.interface.reservations.1, false)?;
            let id = u16::from_le_bytes([c, d]);
            let id = bmc.log.get(id).ok_or(Code::NotPresent)?.0.id;
            bmc.log.remove(now.unix, id);
            Ok(id.to_le_bytes().to_vec())
        }
        0x47 => {
            let [a, b, c, d, e, what] = bytes(data)?;
            reserved([a, b], bmc.interface.reservations.1, false)?;
            match ([c, d, e], what) {
                (CLEAR, 0xAA) => {
                    bmc.log.clear(now.unix);
                    Ok(vec![0x01])
                }
                (CLEAR, 0x00) => Ok(vec![0x01]),
                _ => Err(Code::InvalidField),
            }
        }
        // UTC offset: none.
        0x5C => Ok(vec![0, 0]),
        _ => Err(Code::InvalidCommand),
    }
}

fn next(reservation: u16) -> u16 {
    reservation.checked_add(1).unwrap_or(1)
}

/// Checks a reservation; a read from the start may do without.
fn reserved(given: [u8; 2], current: u16, may_be_none: bool) -> Result<(), Code> {
    match u16::from_le_bytes(given) {
        0 if may_be_none => Ok(()),
        given if given == current => Ok(()),
        _ => Err(Code::ReservationCancelled),
    }
}

fn fru(data: &[u8]) -> Result<(), Code> {
    match bytes(data)? {
        [0u8] => Ok(()),
        [_] => Err(Code::NotPresent),
    }
}

/// Read FRU Data (section 34.2).
fn read_fru(bmc: &Bmc, data: &[u8]) -> Answer {
    fru(data)?;
    let [_, low, high, count] = bytes(data)?;
    let offset = usize::from(u16::from_le_bytes([low, high]));
    let rest = bmc.interface.inventory.get(offset..).ok_or(Code::OutOfRange)?;
    let part = &rest[..rest.len().min(count.into())];
    let length = u8::try_from(part.len()).unwrap_or(u8::MAX);
    Ok([&[length][..], part].concat())
}

/// A part of a record, up to its end; FFh is the rest. A read that begins beyond the end is refused.
fn part(record: &[u8], offset: u8, count: u8) -> Result<&[u8], Code> {
    let rest = record.get(usize::from(offset)..).ok_or(Code::OutOfRange)?;
    match count {
        0xFF => Ok(rest),
        count => Ok(&rest[..rest.len().min(count.into())]),
    }
}

/// Get SDR (section 33.12).
fn read_sensor_record(bmc: &Bmc, data: &[u8]) -> Answer {
    let [a, b, c, d, offset, count] = bytes(data)?;
    reserved([a, b], bmc.interface.reservations.0, offset == 0)?;
    let records = &bmc.interface.repository;
    let index = match u16::from_le_bytes([c, d]) {
        0 => 0,
        0xFFFF => records.len().saturating_sub(1),
        id => usize::from(id) - 1,
    };
    let record = records.get(index).ok_or(Code::NotPresent)?;
    let following =
        if index + 1 < records.len() { u16::try_from(index + 2).unwrap_or(0xFFFF) } else { 0xFFFF };
    Ok([&following.to_le_bytes()[..], part(record, offset, count)?].concat())
}

/// Get SEL Info (section 31.2).
fn log_info(bmc: &Bmc) -> Vec<u8> {
    let count = u16::try_from(bmc.log.len()).unwrap_or(u16::MAX);
    let free = u16::try_from((CAPACITY - bmc.log.len().min(CAPACITY)) * 16).unwrap_or(u16::MAX);
    let (added, cleared) = bmc.log.changed();
    // Delete, reserve and allocation are supported.
    let support = 0x0B | u8::from(bmc.log.is_overflown()) << 7;
    let mut info = vec![VERSION];
    info.extend(count.to_le_bytes());
    info.extend(free.to_le_bytes());
    info.extend(added.to_le_bytes());
    info.extend(cleared.to_le_bytes());
    info.push(support);
    info
}

/// Get SEL Entry (section 31.5).
fn read_entry(bmc: &Bmc, data: &[u8]) -> Answer {
    let [a, b, c, d, offset, count] = bytes(data)?;
    reserved([a, b], bmc.interface.reservations.1, offset == 0)?;
    let (entry, following) = bmc.log.get(u16::from_le_bytes([c, d])).ok_or(Code::NotPresent)?;
    Ok([&following.to_le_bytes()[..], part(&entry.record(), offset, count)?].concat())
}

/// Add SEL Entry (section 31.6): time and number are ours.
fn add_entry(bmc: &mut Bmc, now: Now, data: &[u8]) -> Answer {
    let record: [u8; 16] = bytes(data)?;
    let kind = record[2];
    let mut data = [0; 13];
    data.copy_from_slice(&record[3..]);
    // Types from E0h on have no time.
    if kind < 0xE0 {
        data[..4].copy_from_slice(&now.unix.to_le_bytes());
    }
    Ok(bmc.log.add(now.unix, Logged::Foreign { kind, data }).to_le_bytes().to_vec())
}
