//! Errors in actions, and in what comes after what.

use insta::assert_snapshot;

use super::{BASE, check_more, lab};
use crate::lab::Seed;

#[test]
fn what_comes_after_is_resolved_by_its_prefix() {
    assert_snapshot!(check_more(
        r#"node.a.start = { after = "action.cut" }
action.cut = { after = "process.web", nodes = ["b"], do = { power = "off" } }
process.web = { run = "serve", ready = { tcp = 80 }, after = "expect.up" }
expect.up = { nodes = ["b"], that = { stage = "os" } }
expect.a = { after = "up", that = { stage = "os" } }
node.b.profile = "tiny"
"#
    ));
}

#[test]
fn unknown_triggers_have_a_nearest_name() {
    assert_snapshot!(check_more(
        r#"expect.a = { after = "action.cutt", that = { stage = "os" } }
expect.b = { after = "process.wob", that = { stage = "os" } }
expect.c = { after = "expect.d", that = { stage = "os" } }
expect.e = { after = "host.d", that = { stage = "os" } }
action.cut = { nodes = ["a"], do = { power = "off" } }
process.web = { run = "serve" }
"#
    ));
}

#[test]
fn a_cycle_goes_through_expectations_actions_and_processes() {
    assert_snapshot!(check_more(
        r#"expect.up = { after = "action.cut", that = { stage = "os" } }
action.cut = { after = "process.web", nodes = ["a"], do = { power = "off" } }
process.web = { run = "serve", ready = { tcp = 80 }, after = "up" }
"#
    ));
}

#[test]
fn a_node_cannot_start_after_what_needs_it() {
    assert_snapshot!(check_more(
        r#"node.a.start = { after = "action.cut" }
node.b.profile = "tiny"
action.cut = { after = "up", nodes = ["b"], do = { power = "off" } }
expect.up = { that = { stage = "os" } }
"#
    ));
}

#[test]
fn a_process_without_ready_starts_nothing() {
    assert_snapshot!(check_more(
        r#"process.web = { run = "serve" }
expect.up = { after = "process.web", that = { stage = "os" } }
"#
    ));
}

#[test]
fn actions_that_cannot_be_done() {
    assert_snapshot!(check_more(
        r#"node.a.nic = { x = { network = "lan" }, y = { network = "lan" } }
node.b.disk.d = { size = "1GiB", keep = true }
host.h.nic.lan = { address = "10.0.0.9" }
expect.up = { nodes = ["a"], that = { stage = "os" } }
action.none = { do = { power = "off" } }
action.empty = { nodes = [], do = { power = "off" } }
action.both = { nodes = { any = 1, leader = "up" }, do = { power = "off" } }
action.leader = { nodes = { leader = "up" }, do = { power = "off" } }
action.many = { nodes = { any = 3 }, do = { power = "off" } }
action.nic = { nodes = ["a"], do = { link = { state = "down" } } }
action.nic-2 = { nodes = ["a"], do = { link = { nic = "z", state = "down" } } }
action.host = { nodes = ["h"], do = { boot-next = "disk" } }
action.kept = { nodes = ["b"], do = { reinstall = { wipe = true } } }
action.run = { do = { run = {} } }
action.idle = { nodes = ["a"], do = { run = { command = "true" } } }
action.nothing = { nodes = ["a"] }
"#
    ));
}

#[test]
fn more_members_cannot_be_healthy_than_there_are() {
    assert_snapshot!(check_more(
        r#"expect.e.that.etcd = { members = 3, healthy = 4 }
"#
    ));
}

#[test]
fn a_seed_lets_in_whom_actions_log_in_as() {
    let lab = lab(&format!(
        r#"{BASE}node.a.seed = {{ nocloud = {{}} }}
node.b = {{ profile = "tiny", seed = {{ nocloud = {{}} }} }}
expect.up = {{ nodes = ["a", "b"], that.ssh.user = "core" }}
action.one = {{ nodes = ["a"], do.run.ssh = {{ user = "ops", run = "true" }} }}
action.any = {{ nodes.any = 1, do.run.ssh = {{ user = "core", run = "true" }} }}
action.own = {{ nodes = ["b"], do.run.ssh = {{ user = "own", run = "true", key.env = "KEY" }} }}
"#
    ));
    let users = lab.nodes.values().map(|node| match &node.seed {
        Seed::NoCloud { users, .. } => users.join(" "),
        Seed::None => "no seed".to_owned(),
    });
    assert_eq!(users.collect::<Vec<_>>(), ["core ops", "core"]);
}
