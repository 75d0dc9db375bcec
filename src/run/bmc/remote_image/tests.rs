use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::run::bmc::peer::{Asked, Names, Peer, Said, image, part, status};
use crate::serve::nbd::serve_nbd;
use crate::system::folder_socket::listen;

/// An image of a server, with its surroundings.
struct Bench {
    peer: Peer,
    image: Arc<RemoteImage>,
    reports: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
    _names: Names,
}

impl Bench {
    async fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let (peer, names, folder) =
            (Peer::start(answer).await, Names::start().await, tempfile::tempdir().unwrap());
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reports);
        let report = Box::new(move |why| told.lock().unwrap().push(why));
        let client = names.client(Path::new("/nonexistent"));
        let image = RemoteImage::open(client, image(&peer.url("a.iso")), folder.path(), report).await;
        Self { peer, image: Arc::new(image.unwrap()), reports, folder, _names: names }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Bytes, String> {
        self.image.read(offset, length).await.map_err(|error| error.to_string())
    }

    /// Returns the ranges that were fetched, in chunks.
    fn ranges(&self) -> Vec<(u64, u64)> {
        let asked = self.peer.asked.lock().unwrap();
        let ranges = asked.iter().skip(1).map(Asked::range);
        ranges.map(|(first, last)| (first as u64 / CHUNK, (last as u64 + 1).div_ceil(CHUNK))).collect()
    }
}

/// Returns the content of an image in which all places differ.
fn content(size: usize) -> Vec<u8> {
    (0..size.div_ceil(4))
        .flat_map(|word| (word as u32).wrapping_mul(2_654_435_761).to_le_bytes())
        .take(size)
        .collect()
}

const CHUNK_SIZE: usize = CHUNK as usize;

/// The default export at a socket in the working directory.
const URL: &str = "nbd+unix:///?socket=it.sock";

#[tokio::test]
async fn only_what_is_read_is_fetched_and_only_once() {
    let file = Arc::new(content(100 * CHUNK_SIZE + 1234));
    let served = Arc::clone(&file);
    let bench = Bench::start(move |asked| part(&served, "1", asked)).await;
    assert_eq!(bench.image.size(), file.len() as u64);
    // The last bytes, across two chunks, and again.
    let at = 100 * CHUNK_SIZE - 10;
    for _ in 0..2 {
        assert_eq!(bench.read(at as u64, 1244).await.unwrap(), &file[at..]);
    }
    assert_eq!(bench.ranges(), [(99, 100), (100, 101)]);
    assert_eq!(bench.read(5 * CHUNK, 1).await.unwrap(), &file[5 * CHUNK_SIZE..=5 * CHUNK_SIZE]);
    assert_eq!(bench.read(5 * CHUNK, 0).await.unwrap().len(), 0);
    assert_eq!(bench.image.kept_bytes(), 3 * CHUNK);
    // The file of what is kept has no name.
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn sequential_reads_fetch_larger_and_larger_parts() {
    let file = Arc::new(content(100 * CHUNK_SIZE));
    let served = Arc::clone(&file);
    let bench = Bench::start(move |asked| part(&served, "1", asked)).await;
    let mut whole = Vec::new();
    for offset in (0..100 * CHUNK).step_by(1 << 16) {
        whole.extend(bench.read(offset, 1 << 16).await.unwrap());
    }
    assert!(whole == *file);
    assert_eq!(bench.ranges(), [(0, 2), (2, 6), (6, 14), (14, 30), (30, 62), (62, 94), (94, 100)]);
    let connections = bench.peer.asked.lock().unwrap().len();
    assert_eq!(connections, 8);
}

#[tokio::test]
async fn readers_of_the_same_place_share_what_is_fetched() {
    let file = Arc::new(content(8 * CHUNK_SIZE));
    let served = Arc::clone(&file);
    let bench = Bench::start(move |asked| part(&served, "1", asked)).await;
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let image = Arc::clone(&bench.image);
        readers.spawn(async move { image.read(3 * CHUNK, 4096).await.unwrap() });
    }
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), &file[3 * CHUNK_SIZE..][..4096]);
    }
    assert_eq!(bench.ranges(), [(3, 4)]);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_where_it_was_cut() {
    let file = Arc::new(content(8 * CHUNK_SIZE));
    let served = Arc::clone(&file);
    // Each other answer ends in the middle of its second chunk.
    let bench = Bench::start(move |asked| {
        let cut = (asked.before % 2 == 1).then_some(CHUNK_SIZE + 100);
        let said = part(&served, "1", asked);
        Said { cut: cut.filter(|cut| *cut < said.body.len()), ..said }
    })
    .await;
    let whole = bench.read(0, 8 * CHUNK as u32).await.unwrap();
    assert!(whole == file.as_slice());
    assert_eq!(bench.ranges()[..2], [(0, 2), (1, 5)]);
    assert!(bench.reports.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_fails_for_a_moment_is_asked_again() {
    let file = Arc::new(content(2 * CHUNK_SIZE));
    let served = Arc::clone(&file);
    let bench = Bench::start(move |asked| match asked.before {
        1 | 2 => status("503 Service Unavailable"),
        _ => part(&served, "1", asked),
    })
    .await;
    assert_eq!(bench.read(0, 10).await.unwrap(), &file[..10]);
    assert_eq!(bench.ranges().len(), 3);
}

#[tokio::test]
async fn an_image_that_vanishes_or_changes_cannot_be_read() {
    let file = content(8 * CHUNK_SIZE);
    let state = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&state);
    let bench = Bench::start(move |asked| match now.load(Ordering::SeqCst) {
        0 => part(&file, "1", asked),
        1 => status("404 Not Found"),
        2 => part(&file, "2", asked),
        _ => part(&file[..10], "1", asked),
    })
    .await;
    bench.read(0, 10).await.unwrap();
    state.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(bench.read(5 * CHUNK, 10).await.unwrap_err(), "its server answers with status 404");
    }
    // What was fetched is still that of the image.
    bench.read(0, 10).await.unwrap();
    state.store(0, Ordering::SeqCst);
    bench.read(5 * CHUNK, 10).await.unwrap();
    state.store(2, Ordering::SeqCst);
    let changed = "it was changed on its server since it was inserted";
    assert_eq!(bench.read(7 * CHUNK, 10).await.unwrap_err(), changed);
    state.store(0, Ordering::SeqCst);
    assert_eq!(bench.read(0, 10).await.unwrap_err(), changed);
    let url = bench.peer.url("a.iso");
    let reports = [format!("{url}: its server answers with status 404"), format!("{url}: {changed}")];
    assert_eq!(*bench.reports.lock().unwrap(), reports);
}

#[tokio::test]
async fn an_image_that_becomes_shorter_has_changed() {
    let file = content(8 * CHUNK_SIZE);
    let bench = Bench::start(move |asked| match asked.before {
        0 => part(&file, "1", asked),
        _ => part(&file[..10], "1", asked),
    })
    .await;
    let changed = "it was changed on its server since it was inserted";
    assert_eq!(bench.read(7 * CHUNK, 10).await.unwrap_err(), changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_nbd_read_an_image_and_cannot_write() {
    let file = Arc::new(content(20 * CHUNK_SIZE + 4096));
    let served = Arc::clone(&file);
    let bench = Bench::start(move |asked| part(&served, "1", asked)).await;
    let folder = tempfile::tempdir().unwrap();
    let listener = listen(folder.path(), "it.sock").unwrap();
    let image: Arc<dyn DiskSource> = bench.image.clone();
    let mut server = JoinSet::new();
    server.spawn(async move { drop(serve_nbd(listener, "a.iso".to_owned(), image).await) });
    let run = async |program: &'static str, args: &'static [&'static str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(folder.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.into_owned())
    };
    let (done, text) = run("qemu-img", &["info", "--output=json", "nbd+unix:///a.iso?socket=it.sock"]).await;
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(done && info["virtual-size"] == file.len(), "{text}");
    let (done, text) = run("qemu-img", &["convert", "-O", "raw", "-m", "16", "-W", URL, "copy.img"]).await;
    assert!(done, "{text}");
    assert!(std::fs::read(folder.path().join("copy.img")).unwrap() == *file);
    let (done, text) = run("qemu-img", &["info", "nbd+unix:///other?socket=it.sock"]).await;
    assert!(!done && text.contains("other"), "{text}");
    // The export says that it is read-only, so QEMU does not even try.
    let (done, text) = run("qemu-io", &["-f", "raw", "-c", "write 0 512", URL]).await;
    assert!(!done && text.contains("Permission denied"), "{text}");
}
