//! Errors in expectations.

use insta::assert_snapshot;

use super::{check, check_more};

#[test]
fn neither_that_nor_never() {
    assert_snapshot!(check_more("[expect.up]\nwithin = \"5m\"\n"), @r#"
    error[L401]: this expectation has neither `that` nor `never`
     --> lab.toml:5:9
      |
    5 | [expect.up]
      |         ^^
      |
      = help: set one of them, such as that = { stage = "os" }

    1 error; for more, run `dryrack explain L401`
    "#);
}

#[test]
fn both_that_and_never() {
    let more = r#"
[expect.up]
that = { stage = "os" }
never = { console = "Kernel panic" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L401]: this expectation has both `that` and `never`
     --> lab.toml:8:9
      |
    8 | never = { console = "Kernel panic" }
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: set one of them, such as that = { stage = "os" }

    1 error; for more, run `dryrack explain L401`
    "#);
}

#[test]
fn not_a_regular_expression() {
    let more = r#"
expect.a.that.console = "*login:"
expect.b.that.console = "(debian"
expect.c.that.http = { body = "[", header = { Server = "{" } }
expect.d.that.command = { run = "true", output = '\p{nothing}' }
expect.e.that.ssh = { user = "root", run = "true", output = "(?<!x)y" }
expect.f.that.console = '\w{1000}{1000}'
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L402]: invalid regular expression: repetition operator missing expression
     --> lab.toml:6:25
      |
    6 | expect.a.that.console = "*login:"
      |                         ^^^^^^^^^
      |
      = help: a regular expression matches anywhere in a line: no leading `*` is needed

    error[L402]: invalid regular expression: unclosed group
     --> lab.toml:7:25
      |
    7 | expect.b.that.console = "(debian"
      |                         ^^^^^^^^^
      |
      = help: escape literal ( ) [ ] { } . * + ? with a backslash, in '…' quotes

    error[L402]: invalid regular expression: unclosed character class
     --> lab.toml:8:31
      |
    8 | expect.c.that.http = { body = "[", header = { Server = "{" } }
      |                               ^^^
      |
      = help: escape literal ( ) [ ] { } . * + ? with a backslash, in '…' quotes

    error[L402]: invalid regular expression: repetition operator missing expression
     --> lab.toml:8:56
      |
    8 | expect.c.that.http = { body = "[", header = { Server = "{" } }
      |                                                        ^^^
      |
      = help: escape literal ( ) [ ] { } . * + ? with a backslash, in '…' quotes

    error[L402]: invalid regular expression: Unicode property not found
     --> lab.toml:9:50
      |
    9 | expect.d.that.command = { run = "true", output = '\p{nothing}' }
      |                                                  ^^^^^^^^^^^^^
      |
      = help: Unicode classes are written \p{Greek}, \pL or \d

    error[L402]: invalid regular expression: look-around, including look-ahead and look-behind, is not supported
      --> lab.toml:10:61
       |
    10 | expect.e.that.ssh = { user = "root", run = "true", output = "(?<!x)y" }
       |                                                             ^^^^^^^^^
       |
       = help: look-around is not supported: match the text itself

    error[L402]: invalid regular expression: it is too large
      --> lab.toml:11:25
       |
    11 | expect.f.that.console = '\w{1000}{1000}'
       |                         ^^^^^^^^^^^^^^^^
       |
       = help: use fewer repetitions: each `{1000}` makes it a thousand times larger

    7 errors; for more, run `dryrack explain L402`
    "#);
}

#[test]
fn unknown_expectations() {
    let more = r#"
expect.up.that.stage = "os"
expect.ssh = { after = "upp", that.tcp = 22 }
expect.http = { after = "kubelet", that = "http" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L403]: there is no expectation `upp`
     --> lab.toml:7:24
      |
    7 | expect.ssh = { after = "upp", that.tcp = 22 }
      |                        ^^^^^
      |
      = help: did you mean `up`?

    error[L403]: there is no expectation `kubelet`
     --> lab.toml:8:25
      |
    8 | expect.http = { after = "kubelet", that = "http" }
      |                         ^^^^^^^^^
      |
      = help: the lab has `up`, `ssh`, `http`

    2 errors; for more, run `dryrack explain L403`
    "#);
}

#[test]
fn expectations_that_wait_for_each_other() {
    let more = r#"
expect.a = { after = "b", that.stage = "os" }
expect.b = { after = "c", that.stage = "os" }
expect.c = { after = "a", that.stage = "os" }
expect.d = { after = "a", that.stage = "os" }
expect.e = { after = "e", that.stage = "os" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L404]: `a` waits for `b`, which waits for `c`, which waits for `a`
     --> lab.toml:6:22
      |
    6 | expect.a = { after = "b", that.stage = "os" }
      |                      ^^^
    7 | expect.b = { after = "c", that.stage = "os" }
      |                      --- `b` waits
    8 | expect.c = { after = "a", that.stage = "os" }
      |                      --- `c` waits
      |
      = help: remove one `after`

    error[L404]: `e` waits for itself
      --> lab.toml:10:22
       |
    10 | expect.e = { after = "e", that.stage = "os" }
       |                      ^^^
       |
       = help: remove one `after`

    2 errors; for more, run `dryrack explain L404`
    "#);
}

#[test]
fn after_what_never_happens() {
    let more = r#"
expect.no-panic.never.console = "Kernel panic"
expect.up = { after = "no-panic", that.stage = "os" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L405]: `no-panic` has `never`, so nothing can come after it
     --> lab.toml:7:23
      |
    6 | expect.no-panic.never.console = "Kernel panic"
      |                 ----- it has `never`
    7 | expect.up = { after = "no-panic", that.stage = "os" }
      |                       ^^^^^^^^^^
      |
      = help: use an expectation with `that`

    1 error; for more, run `dryrack explain L405`
    "#);
}

#[test]
fn about_no_node() {
    assert_snapshot!(check_more("expect.up = { nodes = [], that.stage = \"os\" }\n"), @r#"
    error[L406]: this expectation applies to no node
     --> lab.toml:5:23
      |
    5 | expect.up = { nodes = [], that.stage = "os" }
      |                       ^^
      |
      = help: list nodes in `nodes`, or remove it to apply to all nodes (the lab needs at least one)

    1 error; for more, run `dryrack explain L406`
    "#);
}

#[test]
fn about_all_nodes_of_none() {
    let lab = "dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\nexpect.up.that.stage = \"os\"\n";
    assert_snapshot!(check(lab), @r#"
    error[L406]: this expectation applies to no node
     --> lab.toml:3:8
      |
    3 | expect.up.that.stage = "os"
      |        ^^
      |
      = help: list nodes in `nodes`, or remove it to apply to all nodes (the lab needs at least one)

    1 error; for more, run `dryrack explain L406`
    "#);
}

#[test]
fn checks_that_never_succeed() {
    let more = r#"
expect.a = { within = "0s", that.stage = "os" }
expect.b.that.tcp = 0
expect.c.that.http = { port = 0, path = "health", status = 99 }
expect.d.that.http = { path = "/a b", header = { "Content Type" = "text" } }
expect.e.that.etcd = { members = 0 }
expect.f.never.stage = "off"
expect.g.that.tcp = 70000
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L407]: this timeout is zero
     --> lab.toml:6:23
      |
    6 | expect.a = { within = "0s", that.stage = "os" }
      |                       ^^^^
      |
      = help: set a timeout such as "90s"

    error[L407]: 0 is not a valid port
     --> lab.toml:7:21
      |
    7 | expect.b.that.tcp = 0
      |                     ^
      |
      = help: use a port from 1 to 65535

    error[L407]: 0 is not a valid port
     --> lab.toml:8:31
      |
    8 | expect.c.that.http = { port = 0, path = "health", status = 99 }
      |                               ^
      |
      = help: use a port from 1 to 65535

    error[L407]: `health` is not the path of a URL
     --> lab.toml:8:41
      |
    8 | expect.c.that.http = { port = 0, path = "health", status = 99 }
      |                                         ^^^^^^^^
      |
      = help: it begins with a slash and has no spaces: "/health?full=1"

    error[L407]: 99 is not an HTTP status
     --> lab.toml:8:60
      |
    8 | expect.c.that.http = { port = 0, path = "health", status = 99 }
      |                                                            ^^
      |
      = help: use a status from 100 to 599

    error[L407]: `/a b` is not the path of a URL
     --> lab.toml:9:31
      |
    9 | expect.d.that.http = { path = "/a b", header = { "Content Type" = "text" } }
      |                               ^^^^^^
      |
      = help: it begins with a slash and has no spaces: "/health?full=1"

    error[L407]: `Content Type` is not the name of a header
     --> lab.toml:9:50
      |
    9 | expect.d.that.http = { path = "/a b", header = { "Content Type" = "text" } }
      |                                                  ^^^^^^^^^^^^^^
      |
      = help: a header has a name such as content-type

    error[L407]: a cluster has at least one member
      --> lab.toml:10:34
       |
    10 | expect.e.that.etcd = { members = 0 }
       |                                  ^
       |
       = help: remove it to expect one on each node

    error[L407]: every node has reached at least stage `off`, so this fails immediately
      --> lab.toml:11:10
       |
    11 | expect.f.never.stage = "off"
       |          ^^^^^
       |
       = help: set the stage that a node must not reach, such as "os"

    error[L009]: `tcp` must be an integer from 0 to 65535, not the number 70000
      --> lab.toml:12:21
       |
    12 | expect.g.that.tcp = 70000
       |                     ^^^^^

    10 errors; for more, run `dryrack explain L407`
    "#);
}

#[test]
fn settings_without_effect() {
    let more = r#"
expect.a = { holds = "5s", never.console = "panic" }
expect.b = { nodes = ["a"], that.command = "true" }
expect.c.that.ssh = { user = "root", exit = 1 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L408]: `holds` has no effect with `never`
     --> lab.toml:6:22
      |
    6 | expect.a = { holds = "5s", never.console = "panic" }
      |                      ^^^^
      |
      = help: remove `holds`

    error[L408]: this is checked once for the whole lab, not for nodes
     --> lab.toml:7:22
      |
    7 | expect.b = { nodes = ["a"], that.command = "true" }
      |                      ^^^^^
      |
      = help: remove `nodes`

    error[L408]: without `run` there is no exit code and no output
     --> lab.toml:8:45
      |
    8 | expect.c.that.ssh = { user = "root", exit = 1 }
      |                                             ^
      |
      = help: add run = "…"

    3 errors; for more, run `dryrack explain L408`
    "#);
}

#[test]
fn secrets_that_are_written_out_are_not_shown() {
    let more = r#"
expect.a.that.ssh = { user = "root", key = { env = "hunter2 is my password" } }
expect.b.that.ssh = { user = "root", key = "hunter2" }
expect.c.that.ssh = { user = "root", key = { password = "hunter2" } }
expect.d.that.ssh = { user = "root", key = { env = ["hunter2"] } }
expect.e.that.ssh = { user = "root", key = { file = "-----BEGIN KEY-----\nhunter2" } }
expect.f.that.ssh = { user = "root", key = { file = """
hunter2
""" } }
"#;
    let drawn = check_more(more);
    assert!(!drawn.contains("hunter2"), "{drawn}");
    assert_snapshot!(drawn, @r#"
    error[L009]: this is not the name of an environment variable
     --> lab.toml:6:52
      |
    6 | expect.a.that.ssh = { user = "root", key = { env = ************************ } }
      |                                                    ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: set the variable that contains the secret, such as { env = "RACK1" }

    error[L008]: `key` does not name a secret
     --> lab.toml:7:44
      |
    7 | expect.b.that.ssh = { user = "root", key = ********* }
      |                                            ^^^^^^^^^
      |
      = help: a lab file names secrets and never holds them: { env = "VARIABLE" } or { file = "PATH" }

    error[L008]: `key` does not name a secret
     --> lab.toml:8:44
      |
    8 | expect.c.that.ssh = { user = "root", key = ************************ }
      |                                            ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a lab file names secrets and never holds them: { env = "VARIABLE" } or { file = "PATH" }

    error[L008]: `key` does not name a secret
     --> lab.toml:9:44
      |
    9 | expect.d.that.ssh = { user = "root", key = ********************* }
      |                                            ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a lab file names secrets and never holds them: { env = "VARIABLE" } or { file = "PATH" }

    error[L009]: this is not the path of a file
      --> lab.toml:10:53
       |
    10 | expect.e.that.ssh = { user = "root", key = { file = ****************************** } }
       |                                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: set the file that contains the secret, such as { file = "id_ed25519" }

    error[L009]: this is not the path of a file
      --> lab.toml:11:53
       |
    11 | expect.f.that.ssh = { user = "root", key = { file = ***
       |                                                     ^^^
       |
       = help: set the file that contains the secret, such as { file = "id_ed25519" }

    6 errors; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn a_user_that_is_none() {
    let more = r#"
expect.a.that.ssh = { user = "-oProxyCommand=evil" }
node.b = { profile = "tiny", seed.nocloud.users = ["root:x"] }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L009]: `-oProxyCommand=evil` is not a valid user name
     --> lab.toml:6:30
      |
    6 | expect.a.that.ssh = { user = "-oProxyCommand=evil" }
      |                              ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: use at most 32 letters, digits, dots, dashes and underscores

    error[L009]: `root:x` is not a valid user name
     --> lab.toml:7:52
      |
    7 | node.b = { profile = "tiny", seed.nocloud.users = ["root:x"] }
      |                                                    ^^^^^^^^
      |
      = help: use at most 32 letters, digits, dots, dashes and underscores

    2 errors; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn a_node_waits_for_what_waits_for_it() {
    let more = r#"
[node.b]
profile = "tiny"
start = { after = "late" }

[node.c]
profile = "tiny"
start = { after = "nothing" }

[expect.early]
nodes = ["b"]
that = { stage = "os" }

[expect.late]
nodes = ["a"]
after = "early"
that = { stage = "os" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L404]: `b` is powered on after `late`, which waits for `b`
     --> lab.toml:8:19
      |
    8 | start = { after = "late" }
      |                   ^^^^^^
      |
      = help: use an expectation of other nodes, or remove this node from its `nodes`

    error[L403]: there is no expectation `nothing`
      --> lab.toml:12:19
       |
    12 | start = { after = "nothing" }
       |                   ^^^^^^^^^
       |
       = help: the lab has `early`, `late`

    2 errors; for more, run `dryrack explain L404`
    "#);
}

#[test]
fn counts_that_say_nothing_or_never_come() {
    let more = r#"

expect.a.that.boots = []
expect.b.that.boots = { times = 0 }
expect.c.that.boots = { network = 0 }
expect.d.that.boots = { times = 3, network = 1, disk = 1 }
expect.e.that.boots = { order = ["disk"], times = 1 }
expect.f.that.fetched = { path = "x", times = 0 }
expect.g.that.fetched = { path = "x", times = 1, at-least = 1, method = "GET /", status = 99 }
expect.h.that.fetched = { times = 1 }
expect.i.that = "installed"
expect.j.that.installed = { disk = "data", partitions = 0 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L407]: this check has no condition
     --> lab.toml:7:10
      |
    7 | expect.a.that.boots = []
      |          ^^^^
      |
      = help: set what it booted from, as in ["network", "disk"], or how often, as in { network = 1 }

    error[L407]: a node cannot start without a boot
     --> lab.toml:8:33
      |
    8 | expect.b.that.boots = { times = 0 }
      |                                 ^
      |
      = help: set what it booted from, as in ["network", "disk"], or how often, as in { network = 1 }

    error[L407]: this is already true before the first boot
     --> lab.toml:9:10
      |
    9 | expect.c.that.boots = { network = 0 }
      |          ^^^^
      |
      = help: add the total, as in { times = 2, network = 0 }, or use `never`

    error[L407]: 1 boots from the network plus 1 from disk are not 3
      --> lab.toml:10:33
       |
    10 | expect.d.that.boots = { times = 3, network = 1, disk = 1 }
       |                                 ^
       |
       = help: remove one of the three

    error[L408]: the list already gives the number of boots
      --> lab.toml:11:51
       |
    11 | expect.e.that.boots = { order = ["disk"], times = 1 }
       |                                                   ^
       |
       = help: remove the number

    error[L407]: this is already true before anything is fetched
      --> lab.toml:12:47
       |
    12 | expect.f.that.fetched = { path = "x", times = 0 }
       |                                               ^
       |
       = help: use `never = { fetched = … }` for a path that must not be fetched

    error[L408]: `times` is already an exact number
      --> lab.toml:13:61
       |
    13 | expect.g.that.fetched = { path = "x", times = 1, at-least = 1, method = "GET /", status = 99 }
       |                                                             ^
       |
       = help: remove `at-least`

    error[L407]: `GET /` is not an HTTP method
      --> lab.toml:13:73
       |
    13 | expect.g.that.fetched = { path = "x", times = 1, at-least = 1, method = "GET /", status = 99 }
       |                                                                         ^^^^^^^
       |
       = help: methods are GET, HEAD, POST, …

    error[L011]: `path` is missing here
      --> lab.toml:14:10
       |
    14 | expect.h.that.fetched = { times = 1 }
       |          ^^^^
       |
       = help: it has no default: add path = "/assets/.*"

    error[L407]: `a` has no disk to install to
      --> lab.toml:15:17
       |
    15 | expect.i.that = "installed"
       |                 ^^^^^^^^^^^
       |
       = help: add one, such as disk.root = { size = "10GiB" }, or list only `nodes` that have one

    error[L407]: `a` has no disk `data`
      --> lab.toml:16:36
       |
    16 | expect.j.that.installed = { disk = "data", partitions = 0 }
       |                                    ^^^^^^
       |
       = help: add one, such as disk.root = { size = "10GiB" }, or list only `nodes` that have one

    error[L407]: no bootable disk has 0 partitions
      --> lab.toml:16:57
       |
    16 | expect.j.that.installed = { disk = "data", partitions = 0 }
       |                                                         ^
       |
       = help: use 1 to 128

    12 errors; for more, run `dryrack explain L407`
    "#);
}

#[test]
fn what_a_check_on_a_node_cannot_mean_is_told_at_its_place() {
    let more = r#"
expect.a.that.http = { json = { "$.members[" = true } }
expect.b.that.command = { run = "true", json = { "members.up" = true } }
expect.c = { quorum = 9, that.tcp = 22 }
expect.d = { quorum = 1, that = "etcd" }
expect.e.that.cmdline = { login = "core" }
expect.f.that.nics = { names = { no-such = "eth0" } }
expect.g.that.clock = "0s"
expect.h.that.file = "etc/motd"
expect.i.that.file = { path = "/etc/motd", mode = "999" }
expect.j.that.file = { path = "/etc/motd", exists = false, owner = "root" }
expect.k.that.unreachable = { login = "core" }
expect.l.that.unreachable = { tcp = "10.0.9.5:623", url = "http://10.0.9.5/" }
expect.m.that.unreachable = { url = "ftp://10.0.9.5/" }
expect.n.that.units = { login = "-x" }
"#;
    let said = check_more(more);
    let lines: Vec<&str> = said.lines().collect();
    for (at, what) in [
        ("6:33", "`$.members[` is not a JSONPath: at position 9, parser error"),
        ("7:50", "`members.up` is neither a JSON Pointer nor a JSONPath"),
        ("8:23", "9 of "),
        ("9:23", "`etcd` judges all its nodes together"),
        ("10:10", "this check has no condition"),
        ("11:34", "has no NIC `no-such`"),
        ("12:23", "no measurement is exact"),
        ("13:22", "`etc/motd` is not an absolute path"),
        ("14:51", "`999` is not the mode of a file"),
        ("15:68", "a file that does not exist has neither content nor owner nor mode"),
        ("16:10", "this check has neither `tcp` nor `url`"),
        ("17:59", "this check has both `tcp` and `url`"),
        ("18:37", "`ftp://10.0.9.5/` is not a URL of HTTP"),
        ("19:33", "`-x` is not a valid user name"),
    ] {
        let place = format!("--> lab.toml:{at}");
        let found = lines.windows(2).any(|two| two[0].contains(what) && two[1].contains(&place));
        assert!(found, "{what} at {at}:\n{said}");
    }
}

#[test]
fn a_check_of_kubernetes_names_what_there_is() {
    let more = r#"
[process.tool]
run = "true"
image = "oci:docker.io/library/tool:1"
[expect.a.that]
kubernetes = "nobody"
[expect.b.that]
kubernetes = { on = "a", version = "latest", pods = { Kube = "ready" } }
[expect.c.that]
kubernetes = { on = "a", nodes = [], kubeconfig = { file = "" } }
[expect.d.that]
kubernetes = { on = "a", nodes = ["a", "nobody"], kubeconfig.ssh = { user = "core", path = "admin.conf" } }
[expect.e.that]
kubernetes = { on = "a", kubeconfig.process = { name = "tool", path = "/config" } }
[expect.f]
quorum = 1
that.kubernetes = { on = "a", exec-plugins = true }
[expect.g.that]
kubernetes = { on = "a", kubeconfig = "admin.conf" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L020]: there is no node `nobody`
      --> lab.toml:10:14
       |
    10 | kubernetes = "nobody"
       |              ^^^^^^^^
       |
       = help: the lab has `a`

    error[L407]: `latest` is not a version of Kubernetes
      --> lab.toml:12:36
       |
    12 | kubernetes = { on = "a", version = "latest", pods = { Kube = "ready" } }
       |                                    ^^^^^^^^
       |
       = help: use its start, such as "1.31" or "1.31.2"

    error[L407]: `Kube` is not the name of a namespace
      --> lab.toml:12:55
       |
    12 | kubernetes = { on = "a", version = "latest", pods = { Kube = "ready" } }
       |                                                       ^^^^
       |
       = help: use lower-case letters, digits and dashes

    error[L407]: a cluster has at least one node
      --> lab.toml:14:34
       |
    14 | kubernetes = { on = "a", nodes = [], kubeconfig = { file = "" } }
       |                                  ^^
       |
       = help: list its nodes, or use "lab"

    error[L407]: this is not the path of a file
      --> lab.toml:14:60
       |
    14 | kubernetes = { on = "a", nodes = [], kubeconfig = { file = "" } }
       |                                                            ^^
       |
       = help: set the file that holds the kubeconfig

    error[L020]: there is no node `nobody`
      --> lab.toml:16:40
       |
    16 | kubernetes = { on = "a", nodes = ["a", "nobody"], kubeconfig.ssh = { user = "core", path = "admin.conf" } }
       |                                        ^^^^^^^^
       |
       = help: the lab has `a`

    error[L407]: `admin.conf` is not an absolute path
      --> lab.toml:16:92
       |
    16 | kubernetes = { on = "a", nodes = ["a", "nobody"], kubeconfig.ssh = { user = "core", path = "admin.conf" } }
       |                                                                                            ^^^^^^^^^^^^
       |
       = help: it begins with a slash: "/etc/hostname"

    error[L407]: the files of `tool` are those of its image, and end with it
      --> lab.toml:18:56
       |
     8 | image = "oci:docker.io/library/tool:1"
       |         ------------------------------ the image
    ...
    18 | kubernetes = { on = "a", kubeconfig.process = { name = "tool", path = "/config" } }
       |                                                        ^^^^^^
       |
       = help: let a command print the kubeconfig: { command = "…" }

    error[L408]: `kubernetes` judges the whole cluster
      --> lab.toml:20:10
       |
    20 | quorum = 1
       |          ^
       |
       = help: remove `quorum`

    error[L408]: no kubeconfig is needed here
      --> lab.toml:21:46
       |
    21 | that.kubernetes = { on = "a", exec-plugins = true }
       |                                              ^^^^
       |
       = help: remove `exec-plugins`, or add `nodes = "lab"`

    error[L010]: `kubeconfig` cannot be `admin.conf`
      --> lab.toml:23:39
       |
    23 | kubernetes = { on = "a", kubeconfig = "admin.conf" }
       |                                       ^^^^^^^^^^^^
       |
       = help: expected one of `file`, `process`, `command`, `ssh`

    11 errors; for more, run `dryrack explain L020`
    "#);
}

#[test]
fn certificates_and_files_on_disks_that_cannot_be() {
    assert_snapshot!(check_more(
        r#"node.a.disk.root.size = "1GiB"
node.b.profile = "tiny"
expect.good = { that = "certificate" }
expect.cert = { that.certificate = { port = 0, names = ["*.lab", "a b"], issuer = "(", valid-for = "1y" } }
expect.file = { that.file = { path = "/etc/motd", disk = "root" } }
expect.login = { nodes = ["a"], that.file = { path = "/motd", disk = "root", owner = "root", login = "root" } }
"#
    ));
}

#[test]
fn a_finding_that_nobody_knows_is_refused() {
    assert_snapshot!(check_more(
        r#"expect.a.that.finding = "no-dhcp-anser"
expect.b.that.finding = "gremlins"
host.deploy.nic.lan.address = "10.0.0.9"
expect.c = { nodes = ["deploy"], that.finding = "no-dhcp-answer" }
expect.d.never.finding = "no-dhcp-answer"
"#
    ));
}
