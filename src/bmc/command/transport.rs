//! Parameters of LAN and of Serial over LAN (IPMI 2.0, sections 23 and 26).

use std::time::Duration;

use super::{Answer, bytes};
use crate::bmc::Bmc;
use crate::bmc::ipmi::PORT;
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::ipmi::privilege::Privilege;
use crate::bmc::ipmi::server::SolTerms;

/// The revision of the parameters, the oldest that is compatible.
const REVISION: u8 = 0x11;

/// What clients set; the address comes from the lab file and cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bmc) struct LanSettings {
    in_progress: u8,
    community: [u8; 18],
}

impl Default for LanSettings {
    fn default() -> Self {
        let mut community = [0; 18];
        community[..6].copy_from_slice(b"public");
        Self { in_progress: 0, community }
    }
}

/// The parameters of Serial over LAN, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bmc) struct SolSettings {
    in_progress: u8,
    is_enabled: u8,
    authentication: u8,
    accumulate: [u8; 2],
    retry: [u8; 2],
    rates: [u8; 2],
    port: [u8; 2],
}

impl Default for SolSettings {
    fn default() -> Self {
        // 10 ms or 200 characters; 7 retries every 100 ms; 115200 baud; encrypted and authenticated, for users.
        Self {
            in_progress: 0,
            is_enabled: 1,
            authentication: 0xC2,
            accumulate: [2, 200],
            retry: [7, 10],
            rates: [0x0A, 0x0A],
            port: PORT.to_le_bytes(),
        }
    }
}

impl SolSettings {
    /// Returns them as the server of sessions takes them.
    pub(in crate::bmc) fn terms(&self) -> SolTerms {
        SolTerms {
            enabled: self.is_enabled & 1 != 0,
            privilege: Privilege::parse(self.authentication & 0x0F).unwrap_or(Privilege::User),
            force_encryption: self.authentication & 0x80 != 0,
            accumulate: Duration::from_millis(5 * u64::from(self.accumulate[0])),
            threshold: self.accumulate[1].into(),
            retries: self.retry[0] & 7,
            retry_interval: Duration::from_millis(10 * u64::from(self.retry[1])),
            port: u16::from_le_bytes(self.port),
        }
    }
}

pub(super) fn answer(bmc: &mut Bmc, command: u8, data: &[u8]) -> Answer {
    match command {
        0x01 => set_lan(bmc, data),
        0x02 => {
            let [channel, parameter, _, _] = bytes(data)?;
            // Only the revision.
            if channel & 0x80 != 0 {
                return Ok(vec![REVISION]);
            }
            let value = lan(bmc, parameter).ok_or(Code::Other(0x80))?;
            Ok([&[REVISION][..], &value].concat())
        }
        0x21 | 0x22 if !bmc.has_sol() => Err(Code::InvalidCommand),
        0x21 => set_sol(bmc, data),
        0x22 => {
            let [channel, parameter, _, _] = bytes(data)?;
            if channel & 0x80 != 0 {
                return Ok(vec![REVISION]);
            }
            let value = sol(bmc, parameter).ok_or(Code::Other(0x80))?;
            Ok([&[REVISION][..], &value].concat())
        }
        _ => Err(Code::InvalidCommand),
    }
}

/// Get LAN Configuration Parameters (section 23.2, table 23-4).
fn lan(bmc: &Bmc, parameter: u8) -> Option<Vec<u8>> {
    let place = bmc.identity.lan;
    Some(match parameter {
        0 => vec![bmc.interface.lan.in_progress],
        // No authentication of IPMI 1.5: no session of that kind is possible.
        1 => vec![0x00],
        2 => vec![0x00; 5],
        3 => place.address.octets().to_vec(),
        // Static.
        4 => vec![0x01],
        5 => place.mac.0.to_vec(),
        6 => place.mask.octets().to_vec(),
        // Time to live, flags, precedence.
        7 => vec![0x40, 0x40, 0x10],
        // No ARP of its own, interval 2 s.
        10 => vec![0x00],
        11 => vec![0x03],
        12 => place.gateway.octets().to_vec(),
        13 | 15 => vec![0; 6],
        14 => vec![0; 4],
        16 => bmc.interface.lan.community.to_vec(),
        17 => vec![0x00],
        18 => vec![0, 0, 0, 0],
        19 => vec![0; 13],
        20 => vec![0, 0],
        21 => vec![0],
        // The suites, each up to ADMINISTRATOR.
        22 => vec![u8::try_from(bmc.ipmi_settings().offered.len()).unwrap_or(16)],
        23 => [0].into_iter().chain(bmc.ipmi_settings().offered.iter().map(|suite| suite.id)).collect(),
        // By place in the list for some clients, by number for others.
        24 => vec![0x00, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44],
        25 => vec![0; 4],
        26 => vec![0; 6],
        _ => return None,
    })
}

/// Set LAN Configuration Parameters: the place of the BMC belongs to the lab file.
fn set_lan(bmc: &mut Bmc, data: &[u8]) -> Answer {
    let [_, parameter, value] = bytes(data)?;
    let value_of = data.get(2..).unwrap_or(&[]);
    match parameter {
        0 => {
            if value & 3 == 1 && bmc.interface.lan.in_progress == 1 {
                return Err(Code::Other(0x81));
            }
            bmc.interface.lan.in_progress = value & 3 & 1;
        }
        16 => bmc.interface.lan.community = bytes(value_of)?,
        // What it is already.
        parameter if lan(bmc, parameter).is_some_and(|now| now == value_of) => {}
        // Read-only.
        parameter if lan(bmc, parameter).is_some() => return Err(Code::Other(0x82)),
        _ => return Err(Code::Other(0x80)),
    }
    Ok(Vec::new())
}

/// Get SOL Configuration Parameters (section 26.3).
fn sol(bmc: &Bmc, parameter: u8) -> Option<Vec<u8>> {
    let settings = &bmc.interface.sol;
    Some(match parameter {
        0 => vec![settings.in_progress],
        1 => vec![settings.is_enabled],
        2 => vec![settings.authentication],
        3 => settings.accumulate.to_vec(),
        4 => settings.retry.to_vec(),
        5 => vec![settings.rates[0]],
        6 => vec![settings.rates[1]],
        7 => vec![1],
        8 => settings.port.to_vec(),
        _ => return None,
    })
}

fn set_sol(bmc: &mut Bmc, data: &[u8]) -> Answer {
    let [_, parameter, value] = bytes(data)?;
    let value_of = data.get(2..).unwrap_or(&[]);
    let settings = &mut bmc.interface.sol;
    match parameter {
        0 if value & 3 == 1 && settings.in_progress == 1 => return Err(Code::Other(0x81)),
        0 => settings.in_progress = value & 1,
        1 => settings.is_enabled = value & 1,
        2 => settings.authentication = value,
        3 => settings.accumulate = bytes(value_of)?,
        4 => settings.retry = bytes(value_of)?,
        5 => settings.rates[0] = value & 0x0F,
        6 => settings.rates[1] = value & 0x0F,
        7 => return Err(Code::Other(0x82)),
        // Behind a forward: clients leave if the port is not the one that they send to.
        8 => match bytes(value_of)? {
            [0, 0] => return Err(Code::InvalidField),
            port => settings.port = port,
        },
        _ => return Err(Code::Other(0x80)),
    }
    Ok(Vec::new())
}
