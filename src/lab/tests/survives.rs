//! `survives`: what it adds to a lab, and errors in it.

use insta::assert_snapshot;

use super::{BASE, check_more, lab};
use crate::lab::{Check, Lab, ProbedCheck};

/// The actions and expectations of a lab, each with what it comes after.
fn life(lab: &Lab) -> String {
    let after = |after: &Option<crate::name::Trigger>| {
        after.as_ref().map(|after| format!(" after {after}")).unwrap_or_default()
    };
    let actions = lab.actions.values().map(|action| {
        format!("action {}{}: {:?} of {:?}\n", action.name, after(&action.after), action.deed, action.nodes)
    });
    let expectations = lab.expectations.values().map(|expect| {
        let nodes: Vec<_> = expect.nodes.iter().map(ToString::to_string).collect();
        let healthy = match &expect.check {
            Check::Probed(ProbedCheck::Etcd { members, healthy, .. }) => {
                format!(", {healthy:?} of {members}")
            }
            _ => String::new(),
        };
        format!("expect {}{}: {}{healthy}\n", expect.name, after(&expect.after), nodes.join(" "))
    });
    actions.chain(expectations).collect()
}

#[test]
fn each_node_goes_and_comes_back_in_turn() {
    let more = r#"node.b.profile = "tiny"
expect.page = { survives = { power-off = "each" }, that = { tcp = 80 } }
"#;
    assert_snapshot!(life(&lab(&format!("{BASE}{more}"))));
}

#[test]
fn what_comes_after_waits_for_the_last_return() {
    let more = r#"expect.page = { survives = { power-off = ["a", "a"] }, that = { tcp = 80 } }
expect.later = { after = "page", that = { tcp = 81 } }
action.then = { after = "page", nodes = ["a"], do = { power = "reset" } }
"#;
    assert_snapshot!(life(&lab(&format!("{BASE}node.b.profile = \"tiny\"\n{more}"))));
}

#[test]
fn etcd_has_a_healthy_member_less() {
    let more = r#"expect.three = { survives = { power-off = ["a"] }, that = { etcd = { members = 3 } } }"#;
    assert_snapshot!(life(&lab(&format!("{BASE}{more}"))));
}

#[test]
fn what_cannot_survive_is_refused() {
    assert_snapshot!(check_more(
        r#"node.b.profile = "tiny"
expect.up = { survives = { power-off = "each" }, that = { stage = "os" } }
expect.one = { nodes = ["a"], survives = { power-off = "each" }, that = { tcp = 80 } }
expect.never = { survives = { power-off = "each" }, never = { tcp = 80 } }
expect.none = { survives = { power-off = [] }, that = { tcp = 80 } }
expect.stranger = { survives = { power-off = ["c"] }, that = { tcp = 80 } }
expect.page = { survives = { power-off = ["b"] }, that = { tcp = 80 } }
expect.page-without-b = { that = { tcp = 81 } }
expect.a-name-that-is-just-short-enough-to-be-one-of-an-expectation = { survives = { power-off = "each" }, that = { tcp = 80 } }
"#
    ));
}

#[test]
fn progress_that_limits_nothing_is_reported() {
    assert_snapshot!(check_more(
        r#"expect.never = { progress = "2m", never = { console = "panic" } }
expect.etcd = { progress = "2m", that = { etcd = { members = 3 } } }
expect.some = { progress = "2m", quorum = 1, that = { tcp = 80 } }
expect.short = { progress = "2m", within = "1m", that = { tcp = 80 } }
expect.zero = { progress = "0s", that = { tcp = 80 } }
host.deploy.nic.lan.address = "10.0.0.9"
expect.host = { nodes = ["deploy"], progress = "2m", that = { tcp = 80 } }
"#
    ));
}
