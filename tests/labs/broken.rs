//! Labs that fail, each with its cause in it: the diagnosis names it, by what the run shows and by its capture alone.
//!
//! `ci/bench diagnosis` runs all of them, and healthy ones.

use super::*;

/// Labs that take seconds: the machines of most have a BIOS.
const TEN: [&str; 10] = [
    "bios-loader-on-uefi",
    "dhcp-pool-empty",
    "http-not-found",
    "ipxe-no-boot-file",
    "loader-unsigned",
    "no-boot-rom",
    "no-dhcp-answer",
    "pxe-boot-file-is-a-url",
    "tftp-not-found",
    "tftp-wrong-server",
];

/// Those whose failure is not on the wire, or looks like another one there.
const NOT_ON_THE_WIRE: [&str; 3] = ["dhcp-pool-empty", "loader-unsigned", "no-boot-rom"];

#[test]
fn ten_failures_are_named() {
    build(&["tiny", "ipxe"]);
    let home = Home::new();
    let files = TEN.map(|name| labs().join(format!("broken/{name}.toml")).display().to_string());
    let words = ["test", "--jobs", "2"].into_iter().chain(files.iter().map(String::as_str));
    let tried = run(home.dryrack(words));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    // Whoever looks at the terminal sees it as well.
    let shown = stderr(&tried);
    assert!(shown.contains("finding: PXE firmware was given a URL (pxe-boot-file-is-a-url)"), "{shown}");
    let runs = fs::read_dir(home.path().join("runs")).expect("runs").flatten().map(|entry| entry.path());
    let mut seen = 0;
    for folder in runs.filter(|folder| folder.join("capture.pcapng").exists()) {
        let name = TEN.iter().find(|name| folder.display().to_string().ends_with(&format!("-{name}")));
        let name = name.unwrap_or_else(|| panic!("{}", folder.display()));
        let capture = folder.join("capture.pcapng");
        let explained = stdout(&run(home.dryrack(["explain-pcap", path(&capture)])));
        let is_named = explained.contains(&format!("({name})"));
        assert_eq!(is_named, !NOT_ON_THE_WIRE.contains(name), "{name}: {explained}");
        seen += 1;
    }
    assert_eq!(seen, TEN.len());
    home.assert_clean(GRACE, "the labs that fail");
}
