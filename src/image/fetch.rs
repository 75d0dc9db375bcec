//! Downloads by URL and digest: resumed after an interruption, kept only if the digest matches.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Progress;
use super::digest::{self, lock};
use super::error::{BuildError, Doing};

/// How often an interrupted transfer is resumed before it fails.
const ATTEMPTS: u32 = 4;

/// Downloads a file unless the cache has it, and returns its path.
pub(super) fn fetch(
    url: &str,
    sha256: &str,
    downloads: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, BuildError> {
    fs::create_dir_all(downloads).doing("create", downloads)?;
    let kept = downloads.join(sha256);
    let part = downloads.join(format!("{sha256}.part"));
    let _lock = lock(&downloads.join("lock"), &mut || {
        progress(Progress::Step("waiting for another download".to_owned()))
    })?;
    if kept.exists() {
        return Ok(kept);
    }
    progress(Progress::Step(format!("downloading {url}")));
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .new_agent();
    for attempt in 1.. {
        match transfer(&agent, url, &part, progress) {
            Ok(()) => break,
            Err(error) if attempt < ATTEMPTS && broken_off(error.as_ref()) => {}
            Err(source) => return Err(BuildError::Download { url: url.to_owned(), source }),
        }
    }
    let (_, found) = digest::of_file(&part).doing("read", &part)?;
    if found != sha256 {
        fs::remove_file(&part).doing("remove", &part)?;
        return Err(BuildError::Digest { what: url.to_owned(), expected: sha256.to_owned(), found });
    }
    fs::rename(&part, &kept).doing("move", &part)?;
    Ok(kept)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn transfer(
    agent: &ureq::Agent,
    url: &str,
    part: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Failure> {
    let mut file = OpenOptions::new().create(true).append(true).open(part)?;
    let mut have = file.metadata()?.len();
    // Transparent compression would make lengths and ranges meaningless.
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        // The partial file is complete or too long: verify its digest, or start again.
        Err(ureq::Error::StatusCode(416)) => {
            file.set_len(0)?;
            have = 0;
            agent.get(url).header("Accept-Encoding", "identity").call()?
        }
        response => response?,
    };
    if response.status() != 206 {
        file.set_len(0)?;
        file.rewind()?;
        have = 0;
    }
    let rest =
        response.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let total = rest.map(|rest| have + rest);
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 17];
    let mut reported = None;
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])?;
        have += count as u64;
        let percent = total.map(|total| have * 100 / total.max(1));
        if percent != reported {
            reported = percent;
            progress(Progress::Percent(
                percent.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(100),
            ));
        }
    }
    if total.is_some_and(|total| have < total) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

/// Distinguishes an interrupted transfer from a refused one.
fn broken_off(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Io(_) | ureq::Error::Timeout(_)) => true,
        Some(_) => false,
        None => {
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() != io::ErrorKind::StorageFull)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;
    use std::thread;

    use insta::assert_snapshot;
    use sha2::{Digest, Sha256};

    use super::*;

    const FILE: &[u8] = b"0123456789abcdefghij";

    /// Serves FILE; the first answers are cut after `cut` bytes. Returns the URL; the thread returns the requested
    /// ranges.
    fn server(answers: usize, cut: usize) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/file", listener.local_addr().expect("bound"));
        let serve = move || {
            let mut ranges = Vec::new();
            for answer in 1..=answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let lines =
                    io::BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let range = head
                    .iter()
                    .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let start: usize = range
                    .as_deref()
                    .map_or(0, |range| range.trim_end_matches('-').parse().expect("a number"));
                let rest = &FILE[start..];
                let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
                let end = if answer < answers { cut.min(rest.len()) } else { rest.len() };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    rest.len()
                );
                stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&rest[..end]))
                    .expect("a client that reads");
                ranges.push(range.unwrap_or_else(|| "all".to_owned()));
            }
            ranges
        };
        (url, thread::spawn(serve))
    }

    #[test]
    fn a_transfer_that_breaks_off_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let digest = digest::hex(&Sha256::digest(FILE));
        let (url, server) = server(3, 7);
        let file = fetch(&url, &digest, folder.path(), &mut |_| {}).expect("the file");
        assert_eq!(fs::read(file).expect("readable"), FILE);
        assert_snapshot!(server.join().expect("served").join(" "), @"all 7- 14-");
        // A complete file is not requested again: the server is gone.
        fetch(&url, &digest, folder.path(), &mut |_| {}).expect("the kept file");
    }

    #[test]
    fn a_wrong_digest_keeps_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (url, server) = server(1, 0);
        let error =
            fetch(&url, &"0".repeat(64), folder.path(), &mut |_| {}).expect_err("a wrong file").to_string();
        assert_snapshot!(error.replace(&url, "URL"), @"URL has the wrong digest: expected 0000000000000000000000000000000000000000000000000000000000000000, found 6bc14bdc4517a7a682c6910de2e2946eb8e1ecd04090728fef6d092a7ceb62c5");
        server.join().expect("served");
        let left: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .filter_map(Result::ok)
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}
