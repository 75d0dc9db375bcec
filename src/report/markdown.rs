//! A report as Markdown: for the summary page of a CI system and for READMEs.

use std::fmt::Write;

use super::text::{on_screen, summary_line, way_up};
use super::{Report, exit};
use crate::event::Finding;
use crate::expect::Outcome;

/// Returns reports as Markdown: for each run the outcome, a table of nodes, and the unmet expectations.
pub fn markdown(reports: &[Report]) -> String {
    reports.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(report: &Report) -> String {
    let mut text = format!("**{}**: {}\n", report.lab, summary_line(report));
    if !report.nodes.is_empty() {
        text += "\n| node | boot path | boots | stages reached |\n|---|---|---|---|\n";
        for (name, node) in &report.nodes {
            let way = node.way.as_deref().unwrap_or_default();
            let row = [name.to_string(), way.to_owned(), node.boots.to_string(), way_up(node)];
            writeln!(text, "| {} |", row.map(|cell| cell_of(&cell)).join(" | "))
                .expect("a string takes everything");
        }
    }
    let open = report.verdicts.iter().filter(|verdict| !verdict.outcome.is_met());
    let open = open.map(|verdict| {
        let on = verdict.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let at = verdict.outcome.at().unwrap_or(report.ended);
        let Outcome::Pending { .. } = verdict.outcome else {
            let because = verdict.because.as_ref().map(|because| format!("; because: {because}"));
            let why = verdict.outcome.explain(at) + &because.unwrap_or_default();
            let text = format!("{}{on}: {}: {why}", verdict.expect, verdict.what);
            return (verdict.outcome.word(), text, verdict.outcome.output());
        };
        ("pending", format!("{}{on}: {}", verdict.expect, verdict.what), &[][..])
    });
    let run_errors = report.run_errors.iter().map(|error| ("error", error.to_string(), &error.output[..]));
    let leaks = report.leaks.iter().map(|leak| ("cleanup incomplete", leak.to_string(), &[][..]));
    let items: Vec<String> = open
        .chain(run_errors)
        .chain(leaks)
        .map(|(word, rest, output)| format!("* {word}: {}\n{}", cell_of(&rest), quoted(output)))
        .collect();
    if !items.is_empty() {
        text += "\n";
        text += &items.concat();
    }
    for (name, node) in &report.nodes {
        for Finding { id, title, cause, fix, .. } in &node.findings {
            let fix = fix.iter().map(|fix| format!("  * {}\n", cell_of(fix))).collect::<String>();
            writeln!(
                text,
                "\n**{name}: {}** (`{id}`)\n\n{}\n\n{}",
                cell_of(title),
                cell_of(cause),
                fix.trim_end()
            )
            .expect("a string takes everything");
        }
    }
    let screens = report.nodes.iter().filter_map(|(name, node)| Some((name, node.screen.as_ref()?)));
    for (name, shown) in screens.filter(|_| report.exit != exit::MET) {
        writeln!(text, "\n{name}, {}\n", cell_of(&on_screen(shown))).expect("a string takes everything");
        for line in &shown.lines {
            // A block of code by its indent, which no line can end.
            let line = format!("    {}", line.replace(char::is_control, " "));
            writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
        }
    }
    text
}

/// Returns the lines of a program's output as a block inside a list item.
fn quoted(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    // The fence is longer than any in the output.
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut block = format!("  {fence}text\n");
    for line in lines {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(block, "{}", format!("  {line}").trim_end()).expect("a string takes everything");
    }
    block + "  " + &fence + "\n"
}

/// Escapes a text for one cell: guest output must not become markup.
fn cell_of(text: &str) -> String {
    let mut cell = String::new();
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' => cell.extend(['\\', c]),
            c if c.is_control() => cell.push(' '),
            c => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::examples;

    #[test]
    fn output_cannot_leave_its_block() {
        let lines = ["```", "a ```` b", "\u{1b}[31mred"].map(str::to_owned);
        insta::assert_snapshot!(quoted(&lines), @"
        `````text
        ```
        a ```` b
         [31mred
        `````
        ");
        assert_eq!(quoted(&[]), "");
    }

    #[test]
    fn runs_one_after_another() {
        insta::assert_snapshot!(markdown(&[examples::met(), examples::missed(), examples::broken()]), @r"
        **etcd**: all 3 expectations met; 9.8s under tcg (run 20261121-093403-etcd, exit code 0)

        | node | boot path | boots | stages reached |
        |---|---|---|---|
        | node1 | BIOS, iPXE in the NIC's ROM | 1 | network: firmware 0.5s, dhcp 1.7s, loader 1.8s, kernel 2.1s, os 6.4s |
        | node2 | BIOS, iPXE in the NIC's ROM | 1 | network: firmware 0.5s, dhcp 1.7s, loader 1.8s, kernel 2.1s, os 6.4s |

        **etcd**: 3 of 8 expectations met, 3 missed, 1 not reached, 1 pending; 3m 07s under tcg (run 20261121-093403-etcd, exit code 1)

        | node | boot path | boots | stages reached |
        |---|---|---|---|
        | node1 | BIOS, iPXE in the NIC's ROM | 1 | network: firmware 0.5s, dhcp 1.7s, loader 1.8s, kernel 2.1s, os 6.4s |
        | node2 | BIOS, iPXE in the NIC's ROM | 1 | network: firmware 0.5s, dhcp 1.7s, loader 1.8s, kernel 2.1s, os 6.4s |
        | node3 | BIOS, iPXE in the NIC's ROM | 2 | network: firmware 0.5s, dhcp 1.7s, nbp 1.8s, loader 2.1s, kernel 2.5s; then disk: firmware 20s, kernel 21s, os 1m 30s |
        | node4 | BIOS, iPXE in the NIC's ROM | 1 | firmware 0.5s |

        * missed: healthy: etcd with 3 healthy members and one leader within 3m: not met within 3m; last probe saw 2 of 3 members healthy, node3: no route to host, 6.4s ago; node3: last seen: console line \`etcd: cannot resolve  \[31mnode4.lan \[0m & \<retry\>\`, 2m 54s ago
        * not reached: stays: command etcdctl endpoint health for 10s: \`healthy\` was missed
        * missed: applied: process apply: \`apply\` ended: exit code 1, \`  on main.tf line 3\`
          ```text
           [31mError: no such profile

            on main.tf line 3
            wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide
          ```
        * pending: later: tcp 22
        * missed: up on node4: stage os within 2m: os was not reached within 2m (it is at firmware); because: No DHCP server answered (no-dhcp-answer)

        **node4: No DHCP server answered** (`no-dhcp-answer`)

        Nobody answered.

          * Start a DHCP server.

        **etcd**: no expectations; 9.8s under tcg (run 20261121-093403-etcd, exit code 4)

        | node | boot path | boots | stages reached |
        |---|---|---|---|
        | node1 | BIOS, iPXE in the NIC's ROM | 1 | firmware 0.5s, dhcp 9.5s |
        | node2 | BIOS, iPXE in the NIC's ROM | 0 | never powered on |

        * error: cannot start machine \`node1\`: qemu-system-x86\_64 ended with exit status 1:   could not open '/run/x': No space left on device
        * error: process \`apply\` failed: apply ended: exit code 1
          ```text
           [31mError: no such profile

            on main.tf line 3
            wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide wide
          ```
        * error: a service ended
        * cleanup incomplete: cannot delete link drt1f0c7d2a: Device or resource busy (os error 16)

        node1, on its screen at 9.6s:

            PXELINUX 6.04 PXE

            Failed to load ldlinux.c32
            Boot failed: press a key to retry
        ");
    }
}
