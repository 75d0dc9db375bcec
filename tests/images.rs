//! Builds the images that need nothing but packages, as a user of this host would.
//!
//! `DRYRACK_CACHE` names a cache to share; without it one below the target folder is used,
//! so that packages are downloaded once.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

use std::fs;
use std::path::PathBuf;

use dryrack::image::{Freshness, Library, Progress};
use dryrack::name::ImageName;

fn library() -> Library {
    let shared = std::env::var_os("DRYRACK_CACHE").map(PathBuf::from);
    Library::new(
        shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")),
        Vec::new(),
    )
}

fn build(name: &str) -> dryrack::image::Built {
    let image = ImageName::new(name).expect("a name");
    let mut said = Vec::new();
    let mut progress = |progress| match progress {
        Progress::Step(line) | Progress::Line(line) => said.push(line),
        Progress::Percent(_) => {}
    };
    match library().build(&image, Freshness::Reuse, &mut progress) {
        Ok(built) => built,
        Err(error) => panic!("{error}\n{said:#?}"),
    }
}

#[test]
fn tiny_is_a_kernel_and_an_initramfs() {
    let built = build("tiny");
    assert_eq!(built.files.keys().collect::<Vec<_>>(), ["initrd", "kernel"]);
    let kernel = fs::read(&built.files["kernel"].path).expect("a kernel");
    assert_eq!(&kernel[0x202..0x206], b"HdrS", "the boot protocol's mark");

    let initrd = fs::File::open(&built.files["initrd"].path).expect("an initramfs");
    let mut names = Vec::new();
    let mut reader = cpio::newc::Reader::new(initrd).expect("an archive");
    while !reader.entry().is_trailer() {
        let entry = reader.entry();
        assert_eq!((entry.uid(), entry.gid()), (0, 0), "{} belongs to root, whoever built it", entry.name());
        names.push(entry.name().trim_start_matches("./").to_owned());
        reader = cpio::newc::Reader::new(reader.finish().expect("an entry")).expect("an archive");
    }
    for name in ["init", "bin/busybox", "bin/udhcpc", "etc/facts", "lib/modules/virtio_net.ko", "www/facts"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing in {names:?}");
    }

    // Once built, nothing is asked of the network: the same image comes back at once.
    assert_eq!(library().built(&ImageName::new("tiny").expect("a name")), Some(built));
}

#[test]
fn etcd_fits_over_the_wire() {
    let built = build("etcd");
    assert!(built.files["initrd"].size < 25 << 20, "{} bytes", built.files["initrd"].size);
    assert!(built.files["initrd"].size > 10 << 20, "{} bytes: etcd is not in it", built.files["initrd"].size);
}

#[test]
fn ipxe_is_a_program_for_each_firmware() {
    let built = build("ipxe");
    let starts = |file: &str| fs::read(&built.files[file].path).expect("a program")[..2].to_vec();
    assert_eq!(starts("snponly.efi"), b"MZ");
    assert_eq!(starts("ipxe.efi"), b"MZ");
    assert!(built.files.contains_key("undionly.kpxe"));
}

#[test]
fn debian_is_a_disk_that_firmware_can_start() {
    let built = build("debian");
    let disk = fs::read(&built.files["disk"].path).expect("a disk");
    assert_eq!(&disk[..4], b"QFI\xfb", "the mark of qcow2");
    assert_eq!(&disk[24..32], (2_u64 << 30).to_be_bytes(), "the virtual size");
}
