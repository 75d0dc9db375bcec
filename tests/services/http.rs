//! HTTP, asked by curl.

use dryrack::event::Known;

use crate::rack::{Rack, alone};
use crate::{LAB, kernel, numbers};

pub(crate) const KERNEL: &str = "http://10.0.0.1/profile/install/kernel";

#[test]
fn curl_fetches_whole_in_pieces_and_on() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let curl = |options: &[&str]| {
            let output = one.run_in(folder.path(), "curl", &[&["-sS", "-m", "20"], options].concat());
            assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let all = numbers(1 << 20);

        curl(&["-o", "out", KERNEL]);
        assert_eq!(std::fs::read(&file).unwrap(), all);
        let head = String::from_utf8(curl(&["-I", KERNEL])).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(
            head.contains("content-length: 1048576\r\n") && head.contains("accept-ranges: bytes\r\n"),
            "{head}"
        );
        assert_eq!(curl(&["-r", "1000-1999", KERNEL]), all[1000..2000]);
        assert_eq!(curl(&["-r", "-10", KERNEL]), all[(1 << 20) - 10..]);
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", "-r", "2000000-", KERNEL]), b"416");

        // A download that broke off goes on where it ended.
        std::fs::write(&file, &all[..300_000]).unwrap();
        curl(&["-C", "-", "-o", "out", KERNEL]);
        assert_eq!(std::fs::read(&file).unwrap(), all);
        let resumed = |known: &Known| {
            matches!(known, Known::HttpServed { status: 206, bytes: 748_576, complete: true, .. })
        };
        rack.log.until("the rest in the log", 5, resumed).await;

        // Two on one connection, as firmware does.
        let script = "http://10.0.0.1/boot/one.ipxe";
        let both = String::from_utf8(curl(&[script, script, "-w", "%{num_connects}\n"])).unwrap();
        assert!(both.starts_with("#!ipxe\nkernel /profile/install/kernel"), "{both}");
        assert!(both.contains("boot\n1\n#!ipxe") && both.ends_with("boot\n0\n"), "{both}");
        for (path, status) in [("/../../etc/passwd", "404"), ("/%2e%2e/etc/passwd", "404"), ("/", "404")] {
            let url = format!("http://10.0.0.1{path}");
            let text = curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            assert_eq!(String::from_utf8(text).unwrap(), status, "{path}");
        }
        assert_eq!(curl(&["-X", "PUT", "-d", "x", "-o", "/dev/null", "-w", "%{http_code}", KERNEL]), b"405");

        // One that leaves in the middle is told as such, and nobody else notices. Socket buffers take megabytes.
        let big = std::fs::File::options().write(true).open(rack.folder.path().join("kernel")).unwrap();
        big.set_len(64 << 20).unwrap();
        let output = one.run_in(
            folder.path(),
            "curl",
            &["-sS", "--limit-rate", "100K", "-m", "1", "-o", "cut", KERNEL],
        );
        assert!(!output.status.success());
        rack.log
            .until("the broken download", 5, |known| {
                matches!(known, Known::HttpServed { status: 200, complete: false, role, .. } if role == "kernel")
            })
            .await;
        assert_eq!(curl(&["-r", "0-3", KERNEL]), all[..4]);
    });
}
