use futures_util::AsyncReadExt;

use super::super::example::{Log, plan, shelf};
use super::*;

const KERNEL: &[u8] = b"0123456789";

struct Bench {
    counter: Counter,
    log: Log,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), KERNEL).unwrap();
    let log = Log::default();
    let counter =
        Counter { shelf: shelf(folder.path()), clients: Clients::new(&plan()), events: log.emitter() };
    Bench { counter, log, _folder: folder }
}

impl Bench {
    fn open(&self, path: &str) -> Result<(Outgoing, u64), Missing> {
        self.counter.open("10.0.0.11".parse().unwrap(), path)
    }

    /// Asks for a path, reads it to its end, and says what was told of it.
    async fn line(&self, path: &str) -> String {
        let read = match self.open(path) {
            Err(missing) => missing.to_string(),
            Ok((mut outgoing, size)) => {
                let mut text = String::new();
                outgoing.read_to_string(&mut text).await.unwrap();
                assert_eq!(text.len() as u64, size);
                format!("{text:?}")
            }
        };
        format!("{read}\n{}", self.told())
    }

    fn told(&self) -> String {
        let line = |(node, known): (Option<String>, Known)| match known {
            Known::TftpServed { path: _, outcome, bytes, ms, role } => {
                assert_eq!(node.as_deref(), Some("fast"));
                format!("  {outcome} {bytes} bytes in {ms} ms {role}")
            }
            Known::ServiceFailed { service, error } => format!("  {service} failed: {error}"),
            other => panic!("{other:?}"),
        };
        self.log.take().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn requests_and_answers() {
    let bench = bench();
    let table = [
        "profile/tiny/kernel",
        "/profile/tiny/kernel",
        r"profile\tiny\kernel",
        "boot/fast.ipxe",
        "profile/tiny/initrd0",
        "revocations_sku.efi",
        "../../etc/passwd",
        "/etc/passwd",
    ];
    let mut lines = Vec::new();
    for path in table {
        lines.push(format!("{path}: {}", bench.line(path).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @r##"
    profile/tiny/kernel: "0123456789"
      sent 10 bytes in 0 ms kernel
    /profile/tiny/kernel: "0123456789"
      sent 10 bytes in 0 ms kernel
    profile\tiny\kernel: "0123456789"
      sent 10 bytes in 0 ms kernel
    boot/fast.ipxe: "#!ipxe\nboot\n"
      sent 12 bytes in 0 ms script
    profile/tiny/initrd0: `image:tiny/initrd` does not exist
      tftp failed: profile/tiny/initrd0: `image:tiny/initrd` does not exist
      not-found 0 bytes in 0 ms 
    revocations_sku.efi: nothing is served under this path
      not-found 0 bytes in 0 ms 
    ../../etc/passwd: the path leads elsewhere
      refused 0 bytes in 0 ms 
    /etc/passwd: nothing is served under this path
      not-found 0 bytes in 0 ms
    "##);
}

#[tokio::test]
async fn a_transfer_that_is_given_up_is_aborted() {
    let bench = bench();
    // UEFI asks for the size alone, then asks again.
    drop(bench.open("profile/tiny/kernel").unwrap());
    assert_eq!(bench.told(), "  aborted 0 bytes in 0 ms kernel");

    let (mut outgoing, _) = bench.open("profile/tiny/kernel").unwrap();
    let mut buffer = [0; 4];
    assert_eq!(outgoing.read(&mut buffer).await.unwrap(), 4);
    drop(outgoing);
    assert_eq!(bench.told(), "  aborted 4 bytes in 0 ms kernel");

    // All was sent, but the last block was never acknowledged: the engine drops it after its last try.
    let (mut outgoing, _) = bench.open("profile/tiny/kernel").unwrap();
    outgoing.read_to_end(&mut Vec::new()).await.unwrap();
    bench.log.pass(5);
    drop(outgoing);
    assert_eq!(bench.told(), "  aborted 10 bytes in 5000 ms kernel");
}

#[tokio::test]
async fn a_long_transfer_tells_how_far_it_is() {
    let bench = bench();
    let (mut outgoing, _) = bench.open("profile/tiny/kernel").unwrap();
    let mut buffer = [0; 4];
    for _ in 0..2 {
        bench.log.pass(1);
        assert_eq!(outgoing.read(&mut buffer).await.unwrap(), 4);
    }
    let bytes: Vec<u64> = bench
        .log
        .take()
        .iter()
        .map(|(_, known)| match known {
            Known::Fetching { bytes, total: Some(10), .. } => *bytes,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bytes, [4, 8]);
}

#[tokio::test]
async fn nothing_is_written() {
    let mut bench = bench();
    let client = "10.0.0.11:1234".parse().unwrap();
    let refused = bench.counter.write_req_open(&client, Path::new("profile/tiny/kernel"), None).await;
    assert!(matches!(refused, Err(packet::Error::PermissionDenied)));
    assert_eq!(bench.told(), "  refused 0 bytes in 0 ms ");
}
