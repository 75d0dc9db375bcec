//! Labs that fail, each with its cause in it: the diagnosis names it, by what the run shows and by its capture alone.
//!
//! `ci/bench diagnosis` runs all of them, and healthy ones.

use super::*;

/// Labs that take seconds, with their findings, and whether the capture alone shows them: the failure is on the wire,
/// and looks like no other one there. The machines of most have a BIOS. The cause is a server of others, or a fault.
const TEN: [(&str, &str, bool); 10] = [
    ("bios-loader-on-uefi", "bios-loader-on-uefi", true),
    ("dhcp-drop", "no-dhcp-answer", true),
    ("initrd-not-found", "http-not-found", true),
    ("ipxe-no-boot-file", "ipxe-no-boot-file", true),
    ("loader-unsigned", "loader-unsigned", false),
    ("no-boot-rom", "no-boot-rom", false),
    ("pool-empty", "dhcp-pool-empty", false),
    ("pxe-boot-file-is-a-url", "pxe-boot-file-is-a-url", true),
    ("tftp-missing", "tftp-not-found", true),
    ("web-server-error", "http-server-error", true),
];

#[test]
fn ten_failures_are_named() {
    build(&["tiny", "ipxe"]);
    let home = Home::new();
    let files = TEN.map(|(name, ..)| labs().join(format!("broken/{name}.toml")).display().to_string());
    let words = ["test", "--jobs", "2"].into_iter().chain(files.iter().map(String::as_str));
    let tried = run(home.dryrack(words));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    // Whoever looks at the terminal sees it as well.
    let shown = stderr(&tried);
    assert!(shown.contains("finding: PXE firmware was given a URL (pxe-boot-file-is-a-url)"), "{shown}");
    let runs = fs::read_dir(home.path().join("runs")).expect("runs").flatten().map(|entry| entry.path());
    let mut seen = 0;
    for folder in runs.filter(|folder| folder.join("capture.pcapng").exists()) {
        let is_of = |name: &str| folder.display().to_string().ends_with(&format!("-{name}"));
        let it = TEN.iter().find(|(name, ..)| is_of(name));
        let (name, finding, on_the_wire) = it.unwrap_or_else(|| panic!("{}", folder.display()));
        let capture = folder.join("capture.pcapng");
        let explained = stdout(&run(home.dryrack(["explain-pcap", path(&capture)])));
        let is_named = explained.contains(&format!("({finding})"));
        assert_eq!(is_named, *on_the_wire, "{name}: {explained}");
        seen += 1;
    }
    assert_eq!(seen, TEN.len());
    home.assert_clean("the labs that fail");
}
