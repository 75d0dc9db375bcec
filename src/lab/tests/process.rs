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
fn a_container_image_is_a_file_or_has_a_host() {
    let images = "process.a.image = \"oci:files/server.tar:web:1\"\n\
                  process.b.image = \"oci:registry.lab:5000/web:1\"\n\
                  process.c.image = \"oci:web:1\"\n\
                  process.d.image = \"web\"\n\
                  process.e.image = \"image:tiny/web\"\n";
    assert_snapshot!(check_more(images), @r#"
    error[L017]: there is no file `/labs/my-lab/web`
     --> lab.toml:7:19
      |
    7 | process.c.image = "oci:web:1"
      |                   ^^^^^^^^^^^
      |
      = help: an image in a registry is named with the registry's host, as in "oci:docker.io/library/nginx:1.25"

    error[L009]: `web` is not a container image: it does not begin with `oci:`
     --> lab.toml:8:19
      |
    8 | process.d.image = "web"
      |                   ^^^^^
      |
      = help: use `oci:` with an archive, the folder of a layout, or a name with the host of a registry, as in "oci:docker.io/library/nginx:1.25"

    error[L019]: image `tiny` has no file `web`
     --> lab.toml:9:19
      |
    9 | process.e.image = "image:tiny/web"
      |                   ^^^^^^^^^^^^^^^^
      |
      = help: it has `initrd`, `kernel`

    3 errors; for more, run `dryrack explain L017`
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

#[test]
fn a_process_is_given_files_at_paths_that_are_not_of_the_kernel() {
    let files = "process.a = { run = \"true\", files = { \"etc/a\" = \"a\", \"/\" = \"a\", \"/etc/../a\" = \"a\", \"/proc/a\" = \"a\", \"/a\" = {}, \"/b\" = \"none\", \"/c/\" = \"a\", \"/c\" = \"a\" } }\n";
    assert_snapshot!(check_more(files), @r##"
    error[L009]: `etc/a` is not the path of a file or folder
     --> lab.toml:5:39
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                       ^^^^^^^
      |
      = help: use an absolute path, as in "/etc/dnsmasq.conf"

    error[L017]: there is no file `a`
     --> lab.toml:5:49
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                 ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L009]: `/` is not the path of a file or folder
     --> lab.toml:5:54
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                      ^^^
      |
      = help: use an absolute path, as in "/etc/dnsmasq.conf"

    error[L017]: there is no file `a`
     --> lab.toml:5:60
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                            ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L009]: `/etc/../a` is not the path of a file or folder
     --> lab.toml:5:65
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                 ^^^^^^^^^^^
      |
      = help: use an absolute path, as in "/etc/dnsmasq.conf"

    error[L017]: there is no file `a`
     --> lab.toml:5:79
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                               ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L009]: `/proc/a` is in /proc, which belongs to the kernel
     --> lab.toml:5:84
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                                    ^^^^^^^^^
      |
      = help: use a path such as /etc, /srv or /var/lib

    error[L017]: there is no file `a`
     --> lab.toml:5:96
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                                                ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L011]: `path` is missing here
     --> lab.toml:5:101
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                                                     ^^^^
      |
      = help: it has no default: add path = "dnsmasq.conf"

    error[L017]: there is no file `none`
     --> lab.toml:5:119
      |
    5 | process.a = { run = "true", files = { "etc/a" = "a", "/" = "a", "/etc/../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" =...
      |                                                                                                                       ^^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L017]: there is no file `a`
     --> lab.toml:5:135
      |
    5 | ..../a" = "a", "/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" = "a", "/c" = "a" } }
      |                                                                   ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    error[L017]: there is no file `a`
     --> lab.toml:5:147
      |
    5 | ..."/proc/a" = "a", "/a" = {}, "/b" = "none", "/c/" = "a", "/c" = "a" } }
      |                                                                   ^^^
      |
      = help: paths are relative to `/labs/my-lab`

    12 errors; for more, run `dryrack explain L009`
    "##);
}

#[test]
fn what_shows_that_a_process_is_ready_is_possible() {
    let ready = "process.a = { run = \"true\", ready.udp = 0 }\nprocess.b = { run = \"true\", ready.log = \"(\" }\n\
                 process.c = { run = \"true\", ready.file = \"run/c\" }\nprocess.d = { run = \"true\", ready = \"tcp\" }\n\
                 process.e = { run = \"true\", ready.http.status = 99, restart = \"sometimes\" }\n";
    assert_snapshot!(check_more(ready), @r##"
    error[L407]: 0 is not a valid port
     --> lab.toml:5:41
      |
    5 | process.a = { run = "true", ready.udp = 0 }
      |                                         ^
      |
      = help: use a port from 1 to 65535

    error[L402]: invalid regular expression: unclosed group
     --> lab.toml:6:41
      |
    6 | process.b = { run = "true", ready.log = "(" }
      |                                         ^^^
      |
      = help: escape literal ( ) [ ] { } . * + ? with a backslash, in '…' quotes

    error[L009]: `run/c` is not the path of a file or folder
     --> lab.toml:7:42
      |
    7 | process.c = { run = "true", ready.file = "run/c" }
      |                                          ^^^^^^^
      |
      = help: use an absolute path, as in "/etc/dnsmasq.conf"

    error[L008]: `tcp` requires settings
     --> lab.toml:8:37
      |
    8 | process.d = { run = "true", ready = "tcp" }
      |                                     ^^^^^
      |
      = help: write { tcp = … }

    error[L407]: 99 is not an HTTP status
     --> lab.toml:9:49
      |
    9 | process.e = { run = "true", ready.http.status = 99, restart = "sometimes" }
      |                                                 ^^
      |
      = help: use a status from 100 to 599

    error[L010]: `restart` cannot be `sometimes`
     --> lab.toml:9:63
      |
    9 | process.e = { run = "true", ready.http.status = 99, restart = "sometimes" }
      |                                                               ^^^^^^^^^^^
      |
      = help: expected one of `never`, `on-failure`, `always`

    6 errors; for more, run `dryrack explain L407`
    "##);
}
