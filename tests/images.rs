//! Builds the images that need only packages, as a normal user of this host would.
//!
//! `DRYRACK_CACHE` names a shared cache; without it, one below the target folder is used,
//! so that packages are downloaded only once.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

use std::fs;
use std::path::PathBuf;

use dryrack::image::{Freshness, Library, Progress, UnpackedImage};
use dryrack::lab::ContainerImage;
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

    // After a build the network is not needed: the same image is returned at once.
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
#[ignore = "takes minutes: ci/nightly slow/debian_is_a_disk_that_firmware_can_start"]
fn debian_is_a_disk_that_firmware_can_start() {
    let built = build("debian");
    let disk = fs::read(&built.files["disk"].path).expect("a disk");
    assert_eq!(&disk[..4], b"QFI\xfb", "the mark of qcow2");
    assert_eq!(&disk[24..32], (1_u64 << 30).to_be_bytes(), "the virtual size");
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/kubernetes_is_compiled_from_source"]
fn kubernetes_is_compiled_from_source() {
    let built = build("kubernetes");
    let answer = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(&built.files[program].path).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    for program in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"] {
        assert_eq!(answer(program, &["--version"]), "Kubernetes v1.20.2", "{program}");
    }
    assert_eq!(answer("kubeadm", &["version", "-o", "short"]), "v1.20.2");
    assert_eq!(answer("kubectl", &["version", "--client", "--short"]), "Client Version: v1.20.2");
    let size = |file: &str| built.files[file].size;
    assert!(size("initrd") > size("worker") + (50 << 20), "the control plane is not in it");
}

#[test]
fn tiny_disk_is_small_whole_and_packed() {
    let built = build("tiny-disk");
    let disk = fs::read(&built.files["disk.raw"].path).expect("a disk");
    assert_eq!(
        (disk.len(), &disk[510..512], &disk[512..520]),
        (64 << 20, &[0x55, 0xaa][..], &b"EFI PART"[..])
    );
    let packed = [("gz", &[0x1f, 0x8b][..]), ("xz", b"\xfd7zXZ\0"), ("zst", &[0x28, 0xb5, 0x2f, 0xfd])];
    for (kind, mark) in packed {
        let bytes = fs::read(&built.files[&format!("disk.raw.{kind}")].path).expect("a packed disk");
        assert!(bytes.starts_with(mark) && bytes.len() < 32 << 20, "{kind}: {} bytes", bytes.len());
    }
    let sums = &built.files["SHA256SUMS"].path;
    let mut check = std::process::Command::new("sha256sum");
    let checked = check.args(["--check", "--strict"]).arg(sums).current_dir(sums.parent().expect("a folder"));
    assert!(checked.output().expect("sha256sum").status.success(), "the digests are those of the files");
}

#[test]
fn the_installer_brings_ignition_and_what_it_calls() {
    let built = build("installer");
    assert_eq!(built.files.keys().collect::<Vec<_>>(), ["initrd", "kernel"]);
    let tiny = build("tiny").files["initrd"].size;
    assert!(built.files["initrd"].size > tiny + (5 << 20), "Ignition is not in it");
}

#[test]
fn debian_installer_is_signed_and_complete() {
    let built = build("debian-installer");
    let starts = |file: &str, mark: &[u8]| {
        let bytes = fs::read(&built.files[file].path).expect("a file");
        assert_eq!(&bytes[..mark.len()], mark, "{file}");
    };
    starts("bootnetx64.efi", b"MZ");
    starts("grubx64.efi", b"MZ");
    starts("initrd.gz", &[0x1f, 0x8b]);
    assert!(built.files["linux"].size > 5 << 20);
}

/// Every loader of a profile, and the magic bytes of its files, without which no firmware runs it.
#[test]
fn loaders_are_programs_of_their_firmware() {
    let starts = |image: &str, file: &str, mark: &[u8]| {
        let bytes = fs::read(&build(image).files[file].path).expect("a program");
        assert_eq!(&bytes[..mark.len()], mark, "image:{image}/{file}");
        bytes
    };
    for (image, file) in
        [("grub", "core.efi"), ("shim", "shimx64.efi"), ("shim", "grubx64.efi"), ("uki", "tiny.efi")]
    {
        starts(image, file, b"MZ");
    }
    // Programs for BIOS begin with code; they must not be EFI programs.
    for (image, file) in [("pxelinux", "pxelinux.0"), ("grub", "core.0")] {
        let program = starts(image, file, b"");
        assert!(!program.starts_with(b"MZ") && program.len() < 500 << 10, "{image} fits below 640 KiB");
    }
    let unified = starts("uki", "tiny.efi", b"MZ");
    for section in [&b".linux"[..], b".initrd", b".cmdline"] {
        let head = &unified[..4096];
        assert!(head.windows(section.len()).any(|name| name == section), "{}", section.escape_ascii());
    }
}

#[test]
fn dnsmasq_brings_its_libraries() {
    let built = build("dnsmasq");
    assert_eq!(built.files.keys().collect::<Vec<_>>(), ["initrd", "kernel"]);
    let packed = fs::read(&built.files["initrd"].path).expect("an initramfs");
    assert_eq!(&packed[..2], [0x1f, 0x8b], "it is worth packing");
}

#[test]
fn dnsmasq_starts_from_its_container_image() {
    let built = build("dnsmasq-container");
    let archive = ContainerImage::Local { path: built.files["oci.tar"].path.clone(), tag: None };
    let UnpackedImage { digest, root } =
        library().fetch(&archive, Freshness::Reuse, &mut |_| {}).expect("an image");
    assert!(digest.starts_with("sha256:") && root.container.args == ["dnsmasq", "--keep-in-foreground"]);
    // The image alone has all libraries; to start, dnsmasq needs /dev/urandom as well.
    let mut inside = std::process::Command::new("unshare");
    let loader = ["/lib64/ld-linux-x86-64.so.2", "--list", "/usr/sbin/dnsmasq"];
    let output =
        inside.arg("--map-root-user").arg("--root").arg(&root.lower).args(loader).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("libnettle"), "{said}{output:?}");
}

#[test]
fn metal_starts_from_the_network_and_from_media() {
    let built = build("metal");
    let tiny = build("tiny").files["initrd"].size;
    assert!(built.files["initrd"].size > tiny + (2 << 20), "the drivers are not in it");
    let live = build("live");
    let disc = fs::read(&live.files["live.iso"].path).expect("an image");
    // A boot sector for sticks, a volume for CDs, and its label.
    assert_eq!((&disc[510..512], &disc[0x8001..0x8006]), (&[0x55, 0xaa][..], &b"CD001"[..]));
    assert!(disc[0x8028..0x8048].starts_with(b"DRYRACK_LIVE"), "the boot programs look for the label");
}
