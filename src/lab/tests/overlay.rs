//! Overlays (`--on`), single keys (`--set`), `remove` and `count`.

use insta::assert_snapshot;

use super::{BASE, check_over, lab_with};
use crate::lab::{Check, Dhcp, Firmware, Lab, Polarity, ProbedCheck};
use crate::name::NodeName;

fn memory(lab: &Lab, node: &str) -> String {
    lab.nodes[&NodeName::new(node).unwrap()].memory.to_string()
}

const GROUP: &str = r#"dryrack = 1
network.lan.address = "10.0.0.1/24"
profile.tiny.kernel = "image:tiny/kernel"

[node.worker]
count = 2
profile = "tiny"

[node.worker-2]
memory = "1GiB"

[expect.up]
within = "5m"
that = { stage = "os" }

[expect.no-panic]
never = { console = "panic" }
"#;

#[test]
fn tables_merge_and_values_replace() {
    let overlay = "[node.a]\nmemory = \"2GiB\"\n[node.b]\nprofile = \"tiny\"\n";
    let lab = lab_with(BASE, &[overlay], &[]);
    assert_eq!((memory(&lab, "a"), memory(&lab, "b")), ("2GiB".into(), "512MiB".into()));
    assert!(lab.nodes.values().all(|node| node.profile.is_some()));
}

#[test]
fn later_layers_win() {
    let lab = lab_with(
        BASE,
        &["node.a.memory = \"1GiB\"", "node.a.memory = \"2GiB\""],
        &["node.a.cpus=2", "node.a.memory=3GiB"],
    );
    assert_eq!(memory(&lab, "a"), "3GiB");
}

#[test]
fn tagged_values_replace() {
    let overlay =
        "network.lan.dhcp = \"off\"\nprocess.dnsmasq.run = \"dnsmasq\"\nexpect.up.that = { tcp = 22 }\n";
    let lab = lab_with(GROUP, &[overlay], &[]);
    assert_eq!(lab.networks.values().next().unwrap().dhcp, Dhcp::Off);
    let up = lab.expectations.values().find(|expectation| expectation.name.as_str() == "up").unwrap();
    assert!(matches!(up.check, Check::Probed(ProbedCheck::Tcp { port: 22 })));
    assert_eq!(up.within.unwrap().as_secs(), 300, "what was not replaced stays");
}

#[test]
fn that_replaces_never() {
    let lab = lab_with(GROUP, &["expect.no-panic.that.console = \"login:\""], &[]);
    assert!(lab.expectations.values().all(|expectation| expectation.sense == Polarity::Must));
}

#[test]
fn a_set_goes_on_inside_a_tagged_value() {
    let base = format!("{BASE}expect.page.that.http = {{ path = \"/x\", port = 8080 }}\n");
    let lab = lab_with(&base, &[], &["expect.page.that.http.port=8081"]);
    let page = lab.expectations.values().next().unwrap();
    assert!(
        matches!(&page.check, Check::Probed(ProbedCheck::Http(check)) if check.port == 8081 && check.path == "/x"),
        "{page:?}"
    );
}

#[test]
fn groups_are_expanded_before_they_are_refined() {
    let lab = lab_with(GROUP, &["node.worker.memory = \"768MiB\"\nnode.worker-1.firmware = \"uefi\"\n"], &[]);
    assert_eq!((memory(&lab, "worker-1"), memory(&lab, "worker-2")), ("768MiB".into(), "768MiB".into()));
    assert_eq!(
        lab.nodes.values().map(|node| node.firmware).collect::<Vec<_>>(),
        [Firmware::Uefi, Firmware::Bios]
    );
}

#[test]
fn a_group_grows_and_shrinks() {
    let names = |lab: &Lab| lab.nodes.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&lab_with(GROUP, &[], &["node.worker.count=4"])), "worker-1 worker-2 worker-3 worker-4");
    assert_eq!(names(&lab_with(GROUP, &[], &["node.worker.count=1"])), "worker-1");
    // A new member gets the settings of the group, from any layer.
    let grown = lab_with(GROUP, &["node.worker.memory = \"768MiB\""], &["node.worker.count=3"]);
    assert_eq!(memory(&grown, "worker-3"), "768MiB");
}

#[test]
fn a_node_becomes_a_group() {
    let base = format!("{BASE}node.a.memory = \"1GiB\"");
    let lab = lab_with(&base, &["node.b = { count = 2, profile = \"tiny\" }"], &["node.a.count=2"]);
    assert_eq!(lab.nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["a-1", "a-2", "b-1", "b-2"]);
    assert_eq!((memory(&lab, "a-2"), memory(&lab, "b-2")), ("1GiB".into(), "512MiB".into()));
}

#[test]
fn remove_takes_entries_out() {
    let lab = lab_with(GROUP, &["remove = [\"expect.no-panic\", \"node.worker-2\"]"], &[]);
    assert_eq!((lab.nodes.len(), lab.expectations.len()), (1, 1));
    let lab = lab_with(GROUP, &["remove = [\"node.worker\"]\nnode.a.profile = \"tiny\""], &[]);
    assert_eq!(lab.nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn remove_and_write_anew_in_one_file() {
    let overlay = "remove = [\"expect.up\"]\nexpect.up.that.tcp = 22\n";
    let lab = lab_with(GROUP, &[overlay], &[]);
    let up = lab.expectations.values().find(|expectation| expectation.name.as_str() == "up").unwrap();
    assert_eq!(up.within.unwrap().as_secs(), 300, "the default");
    assert!(matches!(up.check, Check::Probed(ProbedCheck::Tcp { port: 22 })));
}

#[test]
fn remove_by_set() {
    let lab = lab_with(GROUP, &[], &["remove=[\"expect.no-panic\"]"]);
    assert_eq!(lab.expectations.len(), 1);
}

#[test]
fn texts_need_no_quotes_in_a_set() {
    let sets =
        ["name=other", "node.a.memory=1GiB", "node.a.cpus=2", "profile.tiny.args=[\"console=ttyS0\", \"x\"]"];
    let lab = lab_with(BASE, &[], &sets);
    assert_eq!((lab.name.as_str(), memory(&lab, "a")), ("other", "1GiB".into()));
    assert_eq!(lab.profiles.values().next().unwrap().args, ["console=ttyS0", "x"]);
}

#[test]
fn quoted_keys_in_a_set() {
    let lab = lab_with(BASE, &[], &["publish.\"2222\"=a:22", "publish.8080=a:80"]);
    assert_eq!(lab.publish.iter().map(|publish| publish.port).collect::<Vec<_>>(), [2222, 8080]);
}

#[test]
fn remove_names_nothing() {
    let overlay = r#"remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]"#;
    assert_snapshot!(check_over(GROUP, &[overlay], &[]), @r#"
    error[L014]: `expect.no-panik` does not exist, so it cannot be removed
     --> overlay.toml:1:11
      |
    1 | remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]
      |           ^^^^^^^^^^^^^^^^^
      |
      = help: did you mean "expect.no-panic"?

    error[L014]: `node.worker-9` does not exist, so it cannot be removed
     --> overlay.toml:1:30
      |
    1 | remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]
      |                              ^^^^^^^^^^^^^^^
      |
      = help: did you mean "node.worker-1"?

    error[L014]: `disk` does not exist, so it cannot be removed
     --> overlay.toml:1:47
      |
    1 | remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]
      |                                               ^^^^^^
      |
      = help: there is `dryrack`, `network`, `profile`, `expect`, `node`

    error[L014]: `node..a` does not exist, so it cannot be removed
     --> overlay.toml:1:55
      |
    1 | remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]
      |                                                       ^^^^^^^^^
      |
      = help: write the path of an entry, such as "expect.kubelet"

    error[L014]: `network.wan` does not exist, so it cannot be removed
     --> overlay.toml:1:66
      |
    1 | remove = ["expect.no-panik", "node.worker-9", "disk", "node..a", "network.wan"]
      |                                                                  ^^^^^^^^^^^^^
      |
      = help: did you mean "network.lan"?

    5 errors; for more, run `dryrack explain L014`
    "#);
}

#[test]
fn remove_in_the_lab_itself() {
    assert_snapshot!(check_over(&format!("remove = [\"expect.up\"]\n{GROUP}"), &[], &[]), @r#"
    error[L014]: `remove` is not allowed in the lab file itself
     --> lab.toml:1:1
      |
    1 | remove = ["expect.up"]
      | ^^^^^^
      |
      = help: use it in an overlay (`--on`) to remove entries of the lab file

    1 error; for more, run `dryrack explain L014`
    "#);
}

#[test]
fn remove_that_is_no_list_of_texts() {
    assert_snapshot!(check_over(GROUP, &["remove = \"expect.up\"", "remove = [1, [\"expect.up\"]]"], &[]), @r#"
    error[L008]: `remove` must be a list of strings, not a string
     --> overlay.toml:1:10
      |
    1 | remove = "expect.up"
      |          ^^^^^^^^^^^
      |
      = help: write the paths of entries, such as ["expect.kubelet"]

    error[L008]: `remove` must be a list of strings, not a list with a number
     --> overlay.toml:1:11
      |
    1 | remove = [1, ["expect.up"]]
      |           ^
      |
      = help: write the paths of entries, such as ["expect.kubelet"]

    error[L008]: `remove` must be a list of strings, not a list with a list
     --> overlay.toml:1:14
      |
    1 | remove = [1, ["expect.up"]]
      |              ^^^^^^^^^^^^^
      |
      = help: write the paths of entries, such as ["expect.kubelet"]

    3 errors; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn sets_that_are_none() {
    let sets =
        ["", "memory", "=1GiB", "node a=1", "node.a.memory=", "node.a.cpus=[1", "node.a.profile=\"tiny"];
    assert_snapshot!(check_over(BASE, &[], &sets), @r#"
    error[L015]: this is not KEY=VALUE
     --> --set:1:1
      |
    1 |
      | ^
      |
      = help: expected a path and a value, such as node.a.memory=2GiB

    error[L015]: this is not KEY=VALUE
     --> --set:1:1
      |
    1 | memory
      | ^^^^^^
      |
      = help: expected a path and a value, such as node.a.memory=2GiB

    error[L015]: this is not KEY=VALUE
     --> --set:1:1
      |
    1 | =1GiB
      | ^^^^^
      |
      = help: expected a path and a value, such as node.a.memory=2GiB

    error[L015]: this is not KEY=VALUE
     --> --set:1:1
      |
    1 | node a=1
      | ^^^^^^^^
      |
      = help: expected a path and a value, such as node.a.memory=2GiB

    error[L009]: `memory` must be a size like "512MiB" or "4GiB", not the string ""
     --> --set:1:15
      |
    1 | node.a.memory=
      |               ^

    error[L001]: unclosed array, expected `]`
     --> --set:1:15
      |
    1 | node.a.cpus=[1
      |               ^
      |
      = help: a list ends with `]`

    error[L001]: invalid basic string, expected `"`
     --> --set:1:21
      |
    1 | node.a.profile="tiny
      |                     ^
      |
      = help: a string ends on the same line with the quote that it begins with; """ begins a multi-line string

    7 errors; for more, run `dryrack explain L015`
    "#);
}

#[test]
fn diagnostics_name_the_text_they_come_from() {
    let overlay = "[node.a]\nmemroy = \"1GiB\"\nnic.lan = { address = \"10.0.0.1\" }\n";
    assert_snapshot!(check_over(BASE, &[overlay], &["node.a.cpus=0", "node.a.firmwar=uefi"]), @r#"
    error[L007]: unknown key `memroy`
     --> overlay.toml:2:1
      |
    2 | memroy = "1GiB"
      | ^^^^^^
      |
      = help: did you mean `memory`?

    error[L104]: 10.0.0.1 is the bridge's own address on network `lan`
     --> overlay.toml:3:23
      |
    3 | nic.lan = { address = "10.0.0.1" }
      |                       ^^^^^^^^^^
      |
     ::: lab.toml:2:23
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L203]: a node cannot have 0 CPUs
     --> --set:1:13
      |
    1 | node.a.cpus=0
      |             ^
      |
      = help: a node has 1 to 64 CPUs

    error[L007]: unknown key `firmwar`
     --> --set:1:8
      |
    1 | node.a.firmwar=uefi
      |        ^^^^^^^
      |
      = help: did you mean `firmware`?

    4 errors; for more, run `dryrack explain L007`
    "#);
}

#[test]
fn claims_of_two_files() {
    let base = format!("{BASE}node.b = {{ profile = \"tiny\", nic.lan = {{ address = \"10.0.0.5\" }} }}\n");
    let overlay = "node.a.nic.lan = { address = \"10.0.0.5\" }\n";
    assert_snapshot!(check_over(&base, &[overlay], &[]), @r#"
    error[L105]: 10.0.0.5 is already the address of `a`
     --> lab.toml:5:52
      |
    5 | node.b = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
      |                                                    ^^^^^^^^^^
      |
     ::: overlay.toml:1:30
      |
    1 | node.a.nic.lan = { address = "10.0.0.5" }
      |                              ---------- first used here
      |
      = help: give each NIC its own address, or remove `address`

    1 error; for more, run `dryrack explain L105`
    "#);
}

#[test]
fn an_overlay_breaks_what_the_lab_refers_to() {
    assert_snapshot!(check_over(BASE, &["remove = [\"profile.tiny\"]"], &[]), @r#"
    error[L304]: there is no profile `tiny`
     --> lab.toml:4:18
      |
    4 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: the lab has no profile

    1 error; for more, run `dryrack explain L304`
    "#);
}

#[test]
fn a_broken_overlay() {
    assert_snapshot!(check_over(BASE, &["[node.a\n"], &[]), @"
    error[L001]: unclosed table, expected `]`
     --> overlay.toml:1:8
      |
    1 | [node.a
      |        ^
      |
      = help: a table header ends with `]` on the same line

    1 error; for more, run `dryrack explain L001`
    ");
}

#[test]
fn an_empty_overlay_is_none() {
    assert_snapshot!(check_over(BASE, &[""], &[]), @"");
}

#[test]
fn a_set_through_a_value() {
    assert_snapshot!(check_over(BASE, &[], &["node.a.profile.kernel=x", "network=5"]), @"
    error[L008]: `profile` must be a string, not a table
     --> --set:1:16
      |
    1 | node.a.profile.kernel=x
      |                ^^^^^^

    error[L008]: `network` must be a table, not the number 5
     --> --set:1:9
      |
    1 | network=5
      |         ^

    2 errors; for more, run `dryrack explain L008`
    ");
}

#[test]
fn a_count_laid_over() {
    assert_snapshot!(check_over(GROUP, &["node.worker.count = \"3\""], &["node.worker.count=0"]), @r#"
    error[L008]: `count` must be an integer, not a string
     --> overlay.toml:1:21
      |
    1 | node.worker.count = "3"
      |                     ^^^
      |
      = help: a group has 1 to 250 nodes

    error[L013]: a group cannot have 0 nodes
     --> --set:1:19
      |
    1 | node.worker.count=0
      |                   ^
      |
      = help: a group has 1 to 250 nodes

    2 errors; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn a_member_that_is_gone() {
    assert_snapshot!(check_over(&format!("{GROUP}[expect.two]\nnodes = [\"worker-2\"]\nthat.tcp = 22\n"), &[], &["node.worker.count=1"]), @r#"
    error[L020]: there is no node `worker-2`
      --> lab.toml:19:10
       |
    19 | nodes = ["worker-2"]
       |          ^^^^^^^^^^
       |
       = help: did you mean `worker-1`?

    1 error; for more, run `dryrack explain L020`
    "#);
}
