//! The events of a run: from its record, and as they happen.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::output::Stop;
use crate::event::{self, Event, Header, Kind, Known, Recorded};
use crate::hint::{Hint, chain};
use crate::report::exit;
use crate::run::RegisteredLab;
use crate::run::client::Client;

/// Reads the events of a run.
pub(super) fn recorded(folder: &Path) -> Result<Recorded, Stop> {
    let path = path(folder);
    let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
    event::read(BufReader::new(file)).map_err(|error| unreadable(&path, &error))
}

/// Reads the first line of a record that is being written.
pub(super) fn header(folder: &Path) -> Result<Header, Stop> {
    let path = path(folder);
    let mut line = Vec::new();
    let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
    BufReader::new(file).read_until(b'\n', &mut line).map_err(|error| unreadable(&path, &error))?;
    event::read(line.as_slice()).map(|recorded| recorded.header).map_err(|error| unreadable(&path, &error))
}

/// Shows the events of a run that is up, from its start until it has ended.
pub(super) async fn follow(
    up: &RegisteredLab,
    mut show: impl FnMut(&Event) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut events = Client::new(&up.socket).events(None).await.map_err(|error| Stop::host(&error))?;
    let (mut shown, mut is_whole) = (0, false);
    while let Some(event) = events.next().await {
        show(&event)?;
        shown += 1;
        is_whole = matches!(event.kind, Kind::Known(Known::RunEnded { .. }));
    }
    if !is_whole {
        // A run that ends waits only a moment for those who follow it, and one that is killed not at all.
        recorded(&up.run_dir)?.events.iter().skip(shown).try_for_each(show)?;
    }
    Ok(())
}

fn path(folder: &Path) -> PathBuf {
    folder.join("events.jsonl")
}

fn unreadable(path: &Path, error: &dyn Hint) -> Stop {
    Stop::new(exit::WRONG, format!("{}: {}", path.display(), chain(error)), error.hint())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::runtime::block_on;
    use crate::event::examples::{console, event};
    use crate::name::LabName;

    #[test]
    fn a_stream_that_breaks_off_is_completed_from_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let events = [
            event(0, None, Known::LabUp {}),
            event(5, Some("a"), console("one")),
            event(9, Some("a"), console("two")),
        ];
        let lines: Vec<String> =
            events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        let header =
            Header { dryrack_events: event::SCHEMA, version: "0.1.0".to_owned(), started: events[0].wall };
        let header = serde_json::to_string(&header).unwrap() + "\n";
        std::fs::write(path(folder.path()), header + &lines.concat()).unwrap();

        let socket = folder.path().join("control");
        let listener = UnixListener::bind(&socket).unwrap();
        let sent = lines[..2].concat();
        // It is killed in the middle of the third line.
        let sent = format!("{sent}{}", &lines[2][..20]);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            write!(stream, "{head}{:x}\r\n{sent}\r\n", sent.len()).unwrap();
        });
        let up = RegisteredLab {
            lab: LabName::new("lab").unwrap(),
            file: folder.path().join("lab.toml"),
            run_dir: folder.path().to_owned(),
            socket,
        };
        let mut shown = Vec::new();
        block_on(follow(&up, |event| {
            shown.push(event.clone());
            Ok(())
        }))
        .unwrap()
        .unwrap();
        server.join().unwrap();
        assert_eq!(shown, events);
    }
}
