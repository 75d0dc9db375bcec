//! Odd input: for any content of a file there are diagnostics, quickly, and never a panic.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::{drawn, outcome};
use crate::config::Source;
use crate::diag::to_json;

/// The maximum size of a file.
const LARGE: usize = 1 << 20;

/// CPU time in milliseconds that is always acceptable.
const MOMENT: i64 = 500;

/// Returns the CPU budget of a file in milliseconds: four times that of a valid file of maximum size, per byte. It is
/// measured now, so that a slow or busy host makes no difference.
fn budget() -> i64 {
    const ROUNDS: usize = 20;
    let good = super::good::EVERYTHING;
    let before = milliseconds();
    for _ in 0..ROUNDS {
        outcome(&Source::new("lab.toml", good), &[], &[]);
    }
    let share = i64::try_from(LARGE / (ROUNDS * good.len())).unwrap();
    4 * share * (milliseconds() - before)
}

/// CPU time of this thread in milliseconds, which does not depend on other tests.
fn milliseconds() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    (usage.user_time() + usage.system_time()).num_milliseconds()
}

/// Checks a file, formats its diagnostics in both ways, and returns them.
fn digest(bytes: impl Into<Vec<u8>>, sets: &[&str]) -> String {
    let before = milliseconds();
    let outcome = outcome(&Source::new("lab.toml", bytes), &[], sets);
    let text = drawn(&outcome);
    let json = to_json(&outcome.diagnostics, &outcome.sources).to_string();
    let spent = milliseconds() - before;
    let head: String = text.chars().take(500).collect();
    assert!(!outcome.diagnostics.is_empty() && outcome.lab.is_none(), "nothing is wrong with it");
    assert!(spent < MOMENT || spent < budget(), "{spent} ms: {head}");
    assert!(text.len() < 200_000 && json.len() < 1_000_000, "{} and {}: {head}", text.len(), json.len());
    assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{head}");
    text
}

/// Writes a file of maximum size.
fn fill(head: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for line in (0..).map(line) {
        if text.len() + line.len() > LARGE {
            break;
        }
        text += &line;
    }
    text
}

/// Writes a list with many items.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

#[test]
fn no_text() {
    for bytes in [
        b"\0".as_slice(),
        b"\xff\xfe",
        b"\xff\xfed\0r\0",
        b"\xfe\xff\0d\0r",
        b"\x7fELF\x02\x01\x01\0",
        b"dryrack = 1\n\xc3",
        b"dryrack = 1\nname = \"caf\xe9\"\n",
        b"dryrack = 1\nname = \"\xed\xa0\x80\"\n",
        b"dryrack = 1\n# \xf0\x9f\x92\n",
        b"dryrack = 1\0",
        &[0x80; 4096],
    ] {
        assert!(digest(bytes, &[]).starts_with("error[L002]"));
    }
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(LARGE).collect();
    assert!(digest(every_byte, &[]).starts_with("error[L002]"));
    assert!(digest(vec![0; 10 << 20], &[]).starts_with("error[L004]"));
}

#[test]
fn torn_texts() {
    let whole = super::good::EVERYTHING;
    // Not at every byte: the text is long, and is read from its start each time.
    for end in (0..whole.len()).step_by(5) {
        // A truncated lab may be valid if only its end is missing.
        let bytes = whole.as_bytes()[..end].to_vec();
        drawn(&outcome(&Source::new("lab.toml", bytes), &[], &[]));
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    digest("dryrack = 1\n\u{1b}[31mred = 1\n", &[]);
    digest("dryrack = 1\n\"\\u001b[31mred\" = 1\n", &[]);
    digest("dryrack = 1\nname = \"\\u001b]0;title\\u0007\"\n", &[]);
    digest("dryrack = 1\nname = \"\u{202e}\u{7f}\u{9b}31m\"\n", &[]);
    digest("dryrack = 1", &["na\u{1b}[31mme=x", "name=\u{1b}[31m"]);
    digest("\rdryrack = 1\rname = 1\r", &[]);
    digest("\u{feff}\u{feff}dryrack = 1", &[]);
    digest("dryrack = 1\r\nname = \"\r\n", &[]);
}

#[test]
fn numbers_out_of_every_range() {
    for number in [
        "9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807",
        "-9223372036854775808",
        "0xffffffffffffffffff",
        "1e999",
        "-inf",
        "nan",
        "0.1",
        "1_0__0",
        "00",
        "+-1",
        "4294967296",
        "65536",
        "-1",
    ] {
        for key in [
            "dryrack",
            "node.a.count",
            "node.a.cpus",
            "network.lan.mtu",
            "expect.e.that.tcp",
            "expect.e.that.http.status",
            "expect.e.that.etcd.members",
        ] {
            digest(format!("{key} = {number}\nnode.b = {{}}\n"), &[]);
            digest("dryrack = 1\nnode.b = {}", &[&format!("{key}={number}")]);
        }
        for size in ["TiB", "B", " KiB"] {
            digest(format!("dryrack = 1\nnode.a.memory = \"{number}{size}\"\n"), &[]);
            digest(format!("dryrack = 1\nnetwork.lan.dhcp.server.lease-time = \"{number}d\"\n"), &[]);
        }
    }
    digest(format!("dryrack = {}", "1".repeat(LARGE - 10)), &[]);
    digest(format!("dryrack = 1.{}", "1".repeat(LARGE - 12)), &[]);
}

#[test]
fn deep_nesting() {
    let half = LARGE / 2 - 20;
    for text in [
        "[".repeat(LARGE),
        format!("a = {}", "[".repeat(LARGE - 4)),
        format!("a = {}{}", "[".repeat(half), "]".repeat(half)),
        format!("a = {}", "{a=".repeat(LARGE / 3 - 2)),
        format!("{}a = 1", "a.".repeat(half)),
        format!("[{}a]", "a.".repeat(half)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(half)),
        format!("dryrack = 1\nnode.a.boot = {}{}", "[".repeat(30), "]".repeat(30)),
        format!("dryrack = 1\nexpect.e.that = {}1{}", "{http=".repeat(30), "}".repeat(30)),
        format!("dryrack = 1\nnode.a = {{}}\nexpect.e.that.console = '{}'", "(".repeat(LARGE - 100)),
    ] {
        digest(text, &[]);
    }
    digest(
        "dryrack = 1",
        &[&format!("{}=1", "a.".repeat(50_000) + "a"), &format!("name={}", "[".repeat(50_000))],
    );
}

#[test]
fn large_and_wrong() {
    let repeat = |text: &str| text.repeat(LARGE / text.len());
    for text in [
        repeat("\n"),
        repeat("\""),
        repeat("="),
        repeat("x\n"),
        repeat("a b\n"),
        repeat("a=1\n"),
        repeat("[a]\n"),
        repeat("[[a]]\n"),
        format!("#{}", "a".repeat(LARGE - 1)),
        format!("{} = 1", "a".repeat(LARGE - 4)),
        format!("dryrack = 1\nname = \"{}\"", "a".repeat(LARGE - 30)),
        format!("dryrack = 1\nnode.a.firmware = \"{}\"", "a".repeat(LARGE - 50)),
        fill("", |n| format!("k{n} = \n")),
        fill("", |n| format!("k{n} = 1\n")),
        fill("", |n| format!("[t{n}]\n")),
    ] {
        digest(text, &[]);
    }
    digest(format!("dryrack = 1\nnode.a = {{ {} }}", list(90_000, |n| format!("k{n} = 1"))), &[]);
}

#[test]
fn large_and_nearly_right() {
    for text in [
        fill("dryrack = 1\n", |n| format!("network.n{n}.address = \"10.0.0.1/24\"\n")),
        fill("dryrack = 1\n", |n| format!("network.lan.dns.records.r{n} = \"10.0.0.1\"\n")),
        fill("dryrack = 1\n", |n| format!("profile.p{n}.kernel = \"file{n}\"\n")),
        fill("dryrack = 1\n", |n| format!("node.n{n} = {{}}\n")),
        fill("dryrack = 1\n", |n| format!("node.n{n} = {{ count = 250 }}\n")),
        fill("dryrack = 1\n", |n| format!("node.n{n}.count = 1\n")),
        fill("dryrack = 1\n", |n| format!("node.a.nic.n{n} = {{}}\n")),
        fill("dryrack = 1\n", |n| format!("node.a.disk.d{n} = {{ size = \"1GiB\", serial = \"x\" }}\n")),
        fill("dryrack = 1\n", |n| format!("publish.{n} = \"a:1\"\n")),
        fill("dryrack = 1\n", |n| format!("expect.e{n} = {{ after = \"e{}\", that.tcp = 1 }}\n", n + 1)),
        fill("dryrack = 1\n", |n| format!("expect.e{n}.that.console = '\\w{{1000}}'\n")),
    ] {
        digest(text, &[]);
    }
    let lists = [
        format!("dryrack = 1\nnode.a.boot = [{}]", list(100_000, |_| "\"disc\"".into())),
        format!(
            "dryrack = 1\nnode.a = {{}}\nexpect.e = {{ that.tcp = 1, nodes = [{}] }}",
            list(90_000, |n| format!("\"n{n}\""))
        ),
        format!("dryrack = 1\nnode.a = {{}}\nexpect.e.that.console = '{}'", "a|".repeat(LARGE / 2 - 50)),
    ];
    for text in lists {
        digest(text, &[]);
    }
}

#[test]
fn as_large_as_can_be() {
    // A whole /8 with a thousand nodes on many networks, each with the maximum of NICs.
    let networks: String =
        (0..32).map(|n| format!("network.n{n}.address = \"{}.0.0.1/8\"\n", n + 1)).collect();
    let nics: String = (0..32).map(|n| format!("nic.n{n} = {{}}\n")).collect();
    let groups: String = (0..4)
        .map(|n| format!("[node.g{n}]\ncount = 250\nprofile = \"p\"\nstart = \"manual\"\n{nics}"))
        .collect();
    let text = format!("dryrack = 1\nprofile.p.kernel = \"image:tiny/kernel\"\n{networks}{groups}");
    let before = milliseconds();
    let lab = super::lab(&text);
    let spent = milliseconds() - before;
    assert_eq!(lab.nodes.values().map(|node| node.nics.len()).sum::<usize>(), 32_000);
    assert!(spent < 2 * budget(), "{spent} ms");
}
