//! Serial over LAN where it is hard: packets are lost, a break, and a port that is not 623.

use std::fs;
use std::time::Duration;

use regex::Regex;

use crate::common::dialogue::Dialogue;
use crate::common::wait_for;
use crate::terminal::{BOOT, LEAVES, Terminal};

/// The BMC of node `noisy`.
const BMC: &str = "10.91.1.52";

/// What node `noisy` prints when it takes commands.
const PROMPT: &str = "noisy> ";

/// The numbers of lines of 64 bytes, 1 MiB in all: the first, and the last.
const LINES: (u32, u32) = (10_001, 26_384);

/// What is in each line after its number.
const FILLER: &str = "the quick brown fox jumps over the lazy dog and over....";

/// Which of 100 packets are lost: one in twenty, and twice two in a row. Chance would lose as many, but at some time
/// so many in a row that the BMC gives up, as it must after seven repetitions.
const LOST: &str = "numgen inc mod 100 { 3, 17, 18, 61, 62 } counter drop";

fn of_noisy(command: &str) -> String {
    format!("ipmitool -I lanplus -H {BMC} -U admin -E {command}")
}

/// Returns a line as the machine prints it.
fn line(number: u32) -> String {
    format!("{number} {FILLER}\r\n")
}

/// Lets the machine print 1 MiB to a client while packets are lost. At the end the machine is done, and the client is
/// not.
pub(crate) fn starts_to_print(terminal: &Terminal) -> Dialogue {
    terminal.until_printed("noisy", PROMPT, 1);
    // A client that a busy host does not schedule is not gone: a packet is repeated for 1.6 s, and not for 0.8 s.
    assert_eq!(terminal.ask(&of_noisy("sol set retry-interval 20")).code, 0);
    let mut console = terminal.activate(&of_noisy("sol activate"));
    lose(terminal);
    // No message of the kernel comes between the lines.
    console.type_in(&format!("dmesg -n 1; seq {} {} | sed 's/$/ {FILLER}/'\r", LINES.0, LINES.1));
    let last = line(LINES.1);
    terminal.until_printed("noisy", &last, 1);
    // What happens to other machines is told after what this one printed.
    wait_for("the events of what it printed", BOOT, || {
        std::thread::sleep(Duration::from_millis(100));
        let events = fs::read(terminal.file("events.jsonl")).expect("events");
        String::from_utf8_lossy(&events).contains(last.trim_end()).then_some(())
    });
    console
}

/// Loses packets of the BMC as they come to the client, and of the client as they leave.
fn lose(terminal: &Terminal) {
    for (hook, packets) in
        [("input", format!("saddr {BMC} udp sport")), ("output", format!("daddr {BMC} udp dport"))]
    {
        let rules = format!(
            "add table bridge loss; add chain bridge loss {hook} {{ type filter hook {hook} priority 0; }}; \
             add rule bridge loss {hook} ip {packets} 623 {LOST}"
        );
        let done = terminal.ask(&format!("nft '{rules}'"));
        assert_eq!(done.code, 0, "{rules}: {}", done.said);
    }
}

/// Everything has arrived, once, and in order.
pub(crate) fn arrives_whole(terminal: &Terminal, console: Dialogue) {
    let last = line(LINES.1);
    console.until(&last);
    let rules = terminal.ask("nft list table bridge loss; nft delete table bridge loss");
    assert_eq!(rules.code, 0, "{}", rules.said);
    let lost: Vec<usize> = Regex::new("counter packets ([0-9]+)")
        .expect("a pattern")
        .captures_iter(&rules.said)
        .map(|found| found[1].parse().expect("a number"))
        .collect();
    // Without repetitions there would be one packet for 251 bytes.
    assert!(lost.len() == 2 && lost.iter().all(|lost| *lost > (1 << 20) / 251 / 20), "{lost:?}");
    let wanted: String = (LINES.0..=LINES.1).map(line).collect();
    assert_eq!(wanted.len(), 1 << 20);
    let written = fs::read(terminal.file("node/noisy/console.log")).expect("a log");
    assert!(String::from_utf8_lossy(&written).contains(&wanted), "the machine has written something else");
    let printed = console.printed();
    let (_, printed) = printed.split_once(&line(LINES.0)).expect("the first line");
    let printed = format!("{}{printed}", line(LINES.0));
    let same = wanted.bytes().zip(printed.bytes()).take_while(|(one, other)| one == other).count();
    assert!(same == wanted.len(), "the client has printed something else from byte {same} on");
    console.end(LEAVES);
}

/// Linux takes a break and a letter for an order.
pub(crate) fn sends_breaks(terminal: &Terminal) {
    let mut console = terminal.activate(&of_noisy("sol activate"));
    let prompts = terminal.printed("noisy", PROMPT);
    // At the begin of a line.
    console.type_in("\r");
    terminal.until_printed("noisy", PROMPT, prompts + 1);
    console.type_in("~B");
    console.type_in("h");
    terminal.until_printed("noisy", "sysrq: HELP", 1);
    console.end(LEAVES);
}

/// Whoever reaches a BMC at another port, by a forward, has Serial over LAN as soon as the BMC knows of that.
pub(crate) fn works_behind_a_forward(terminal: &mut Terminal) {
    let forward = "add table ip forward; add chain ip forward output { type nat hook output priority -100; }; \
                   add rule ip forward output ip daddr 10.91.1.52 udp dport 6230 dnat to 10.91.1.52:623";
    let done = terminal.ask(&format!("nft '{forward}'"));
    assert_eq!(done.code, 0, "{}", done.said);
    assert_eq!(terminal.succeeds(&of_noisy("-p 6230 power status")), "Chassis Power is on\n");
    let refused = terminal.types(&of_noisy("-p 6230 sol activate </dev/null"));
    assert!(refused.said.contains("BMC requests SOL session on different port"), "{refused:?}");
    // Parameter 8: port 6230.
    terminal.succeeds(&of_noisy("-p 6230 raw 0x0c 0x21 1 8 0x56 0x18"));
    let mut console = terminal.activate(&of_noisy("-p 6230 sol activate"));
    console.type_in("\recho a$((40+3))b\r");
    console.until("a43b\r\n");
    console.end(LEAVES);
    let mut console = terminal
        .talk_to(&format!("script -qec \"ipmiconsole -h {BMC}:6230 -u admin -p $PASSWORD\" /dev/null"));
    console.until("[SOL established]");
    console.type_in("echo a$((40+4))b\r");
    console.until("a44b\r\n");
    console.end("&.");
    terminal.succeeds(&of_noisy("raw 0x0c 0x21 1 8 0x6f 0x02"));
    let done = terminal.ask("nft delete table ip forward");
    assert_eq!(done.code, 0, "{}", done.said);
}
