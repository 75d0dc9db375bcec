//! Processes of a lab.

use insta::assert_snapshot;

use super::{check_more, lab};

#[test]
fn a_process_has_a_command_and_waits_for_what_there_is() {
    assert_snapshot!(check_more("process.a = {}\nprocess.b.run = \" \"\nprocess.c = { run = \"true\", network = \"wan\", after = \"up\" }\n"), @r#"
    error[L011]: `run` is missing here
     --> lab.toml:5:9
      |
    5 | process.a = {}
      |         ^
      |
      = help: it has no default: add run = "terraform apply -auto-approve"

    error[L009]: the command is empty
     --> lab.toml:6:17
      |
    6 | process.b.run = " "
      |                 ^^^
      |
      = help: set a shell command

    error[L114]: there is no network `wan`
     --> lab.toml:7:39
      |
    7 | process.c = { run = "true", network = "wan", after = "up" }
      |                                       ^^^^^
      |
      = help: did you mean `lan`?

    3 errors; for more, run `dryrack explain L011`
    "#);
}

#[test]
fn a_process_does_not_wait_for_its_own_end() {
    let waits = "process.a = { run = \"true\", after = \"later\" }\n\
                 expect.ended.that.process = \"a\"\n\
                 expect.later = { after = \"ended\", that.stage = \"os\" }\n";
    assert_snapshot!(check_more(waits), @r#"
    error[L404]: `a` is started after `later`, which waits for it to exit
     --> lab.toml:5:37
      |
    5 | process.a = { run = "true", after = "later" }
      |                                     ^^^^^^^
      |
      = help: use another expectation

    1 error; for more, run `dryrack explain L404`
    "#);
}

#[test]
fn the_end_of_a_process_is_expected_of_one_that_there_is() {
    assert_snapshot!(check_more("process.apply.run = \"true\"\nexpect.a = { nodes = [\"a\"], that.process = \"aply\" }\n"), @r#"
    error[L408]: this is checked once for the whole lab, not for nodes
     --> lab.toml:6:22
      |
    6 | expect.a = { nodes = ["a"], that.process = "aply" }
      |                      ^^^^^
      |
      = help: remove `nodes`

    error[L021]: there is no process `aply`
     --> lab.toml:6:44
      |
    6 | expect.a = { nodes = ["a"], that.process = "aply" }
      |                                            ^^^^^^
      |
      = help: did you mean `apply`?

    2 errors; for more, run `dryrack explain L408`
    "#);
}

#[test]
fn the_only_network_is_that_of_a_process() {
    let lab = lab(&format!("{}process.a.run = \"true\"\n", super::BASE));
    let process = lab.processes.into_values().next().unwrap();
    assert_eq!(process.network.unwrap().as_str(), "lan");
}
