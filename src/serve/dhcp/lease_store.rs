//! Leases on disk: `leases.jsonl`, which survives the supervisor.
//!
//! A lease is written before the client gets the reply; written but not synced, so
//! it survives `kill -9`. Each line holds the whole state of an address, and the
//! last line of an address counts. An incomplete line is ignored.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Change, Holder, Lease, Lessee, State};
use crate::event::UnixSeconds;
use crate::lab::options::Octets;
use crate::name::Mac;
use crate::system::process::open_log;

/// Files with fewer lines are never rewritten.
const FEW: usize = 1000;

/// The state of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    address: Ipv4Addr,
    /// 0 for an address that is free again.
    until: UnixSeconds,
    /// The client; `None` while a foreign host uses the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    /// The client identifier, where several clients share the MAC address; empty if this one sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<Octets>,
}

/// The file with the leases of one network.
#[derive(Debug)]
pub(super) struct LeaseStore {
    path: PathBuf,
    file: File,
    /// Length of the complete lines.
    length: u64,
    lines: usize,
    /// From this many lines on, a rewrite may pay. Counting the leases is expensive, so it is done seldom.
    worth_a_look: usize,
    /// Lines to be written.
    waiting: Vec<u8>,
    waiting_lines: usize,
}

impl LeaseStore {
    /// Opens the file in a folder, loads its leases, and drops outdated lines.
    pub(super) fn open(folder: &Path, state: &mut State) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("leases.jsonl");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                state.apply(line.change());
            }
        }
        let (file, length, lines) = rewrite(&path, state)?;
        Ok(Self {
            path,
            file,
            length,
            lines,
            worth_a_look: FEW.max(2 * lines),
            waiting: Vec::new(),
            waiting_lines: 0,
        })
    }

    /// Records a change; it is on disk after the next [`flush`](Self::flush).
    pub(super) fn note(&mut self, change: &Change) {
        let Some(line) = Line::of(change) else { return };
        write_line(&mut self.waiting, &line);
        self.waiting_lines += 1;
    }

    /// Tells whether recorded changes are not on disk yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes the recorded changes, all of them or none.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let (text, lines) = (&self.waiting, self.waiting_lines);
        let written = self.file.write_all(text);
        let more = text.len() as u64;
        self.waiting.clear();
        self.waiting_lines = 0;
        if let Err(error) = written {
            // A line appended to half a line would be lost with it.
            self.file.set_len(self.length).ok();
            return Err(error);
        }
        self.length += more;
        self.lines += lines;
        Ok(())
    }

    /// Drops outdated lines, if they are most of the file.
    pub(super) fn compact(&mut self, state: &State) -> io::Result<()> {
        if self.lines < self.worth_a_look {
            return Ok(());
        }
        let needed = state.lasting().count();
        self.worth_a_look = FEW.max(2 * needed);
        if self.lines >= self.worth_a_look {
            (self.file, self.length, self.lines) = rewrite(&self.path, state)?;
        }
        Ok(())
    }
}

impl Line {
    fn of(change: &Change) -> Option<Self> {
        match change {
            &Change::Hold(Lease { address, ref holder, until }) => match holder {
                // An offer is not binding: after a restart it is made again.
                Holder::Offered(_) => None,
                Holder::Lent(Lessee { mac, client_id }) => {
                    let client_id = client_id.as_ref().map(|id| Octets(id.to_vec()));
                    Some(Self { address, until, mac: Some(*mac), client_id })
                }
                Holder::InUse => Some(Self { address, until, mac: None, client_id: None }),
            },
            &Change::Free(address) => {
                Some(Self { address, until: UnixSeconds(0), mac: None, client_id: None })
            }
            Change::None => None,
        }
    }

    fn change(self) -> Change {
        let Self { address, until, mac, client_id } = self;
        match (until, mac) {
            (UnixSeconds(0), _) => Change::Free(address),
            (_, Some(mac)) => {
                let client = Lessee { mac, client_id: client_id.map(|Octets(id)| id.into()) };
                Change::Hold(Lease { address, holder: Holder::Lent(client), until })
            }
            (_, None) => Change::Hold(Lease { address, holder: Holder::InUse, until }),
        }
    }
}

fn write_line(text: &mut Vec<u8>, line: &Line) {
    serde_json::to_writer(&mut *text, line).expect("a lease is JSON, and memory takes it");
    text.push(b'\n');
}

/// Replaces a file atomically by a temporary file.
fn rewrite(path: &Path, state: &State) -> io::Result<(File, u64, usize)> {
    let mut text = Vec::new();
    let lines: Vec<Line> =
        state.lasting().filter_map(|lease| Line::of(&Change::Hold(lease.clone()))).collect();
    lines.iter().for_each(|line| write_line(&mut text, line));
    let beside = path.with_extension("new");
    fs::write(&beside, &text)?;
    fs::rename(&beside, path)?;
    Ok((open_log(path)?, text.len() as u64, lines.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::dhcp::free::Free;

    const POOL: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 255, 255, 254)];

    fn state() -> State {
        State::new(Free::new(POOL[0], POOL[1]))
    }

    fn lent(number: u32, until: u64) -> Change {
        let [_, a, b, c] = number.to_be_bytes();
        let (address, mac) = (Ipv4Addr::new(10, a, b, c), Mac([2, 0, 0, a, b, c]));
        let holder = Holder::Lent(Lessee::machine(mac));
        Change::Hold(Lease { address, holder, until: UnixSeconds(until) })
    }

    fn write(lease_store: &mut LeaseStore, state: &mut State, change: Change) {
        lease_store.note(&change);
        state.apply(change);
        lease_store.flush().unwrap();
    }

    #[test]
    fn what_was_written_is_read_back_without_its_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, mut again) = (state(), state());
        let mut lease_store = LeaseStore::open(folder.path(), &mut state).unwrap();
        write(&mut lease_store, &mut state, lent(1, 500));
        write(&mut lease_store, &mut state, lent(2, 500));
        write(&mut lease_store, &mut state, Change::Free(Ipv4Addr::new(10, 0, 0, 1)));
        let aside =
            Lease { address: Ipv4Addr::new(10, 0, 0, 3), holder: Holder::InUse, until: UnixSeconds(700) };
        write(&mut lease_store, &mut state, Change::Hold(aside));
        for (last, id) in [(6, &b"pod"[..]), (7, b"")] {
            let client = Lessee { mac: Mac([2; 6]), client_id: Some(id.into()) };
            let address = Ipv4Addr::new(10, 0, 0, last);
            let lease = Lease { address, holder: Holder::Lent(client), until: UnixSeconds(500) };
            write(&mut lease_store, &mut state, Change::Hold(lease));
        }
        let offer = Lease {
            holder: Holder::Offered(Lessee::machine(Mac([2; 6]))),
            address: Ipv4Addr::new(10, 0, 0, 4),
            until: UnixSeconds(60),
        };
        write(&mut lease_store, &mut state, Change::Hold(offer));
        // Killed while writing.
        lease_store.file.write_all(br#"{"address":"10.0.0.9","until":9"#).unwrap();

        let mut lease_store = LeaseStore::open(folder.path(), &mut again).unwrap();
        state.expire(UnixSeconds(60));
        assert_eq!(again, state);
        let text = fs::read_to_string(folder.path().join("leases.jsonl")).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"address":"10.0.0.2","until":500,"mac":"02:00:00:00:00:02"}
        {"address":"10.0.0.3","until":700}
        {"address":"10.0.0.6","until":500,"mac":"02:02:02:02:02:02","client-id":"706f64"}
        {"address":"10.0.0.7","until":500,"mac":"02:02:02:02:02:02","client-id":""}
        "#);
        // Lines written from now on are complete.
        write(&mut lease_store, &mut again, lent(5, 500));
        let mut third = super::tests::state();
        LeaseStore::open(folder.path(), &mut third).unwrap();
        assert_eq!(third, again);
    }

    #[test]
    fn the_file_does_not_grow_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = state();
        let mut lease_store = LeaseStore::open(folder.path(), &mut state).unwrap();
        for round in 0..10 {
            for client in 0..500 {
                write(&mut lease_store, &mut state, lent(client, 500 + round));
            }
            lease_store.compact(&state).unwrap();
        }
        let text = fs::read_to_string(folder.path().join("leases.jsonl")).unwrap();
        assert!(text.lines().count() <= FEW, "{} lines", text.lines().count());
        let mut again = super::tests::state();
        LeaseStore::open(folder.path(), &mut again).unwrap();
        assert_eq!(again, state);
    }

    #[test]
    fn lines_that_nobody_understands_cost_themselves_only() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            b"garbage\n{\"address\":\"10.0.0.2\",\"until\":5,\"mac\":\"02:00:00:00:00:02\"}\n\xff\n{}\n";
        fs::write(folder.path().join("leases.jsonl"), text).unwrap();
        let mut state = state();
        LeaseStore::open(folder.path(), &mut state).unwrap();
        assert_eq!(state.lasting().count(), 1);
    }
}
