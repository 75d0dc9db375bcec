//! Processes and hosts of a lab: what they see, when they are ready, how they end.

#![expect(clippy::disallowed_methods, reason = "runs the program as a user would")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use common::{Home, build, run, stderr, stdout, wait_for};
use serde_json::Value;

/// A user without privileges.
const NOBODY: u32 = 65_534;

/// A home with labs, which are torn down whatever the result of the test is.
struct World {
    home: Home,
    /// Whether commands are run by a user without privileges and without subordinate IDs.
    as_nobody: bool,
}

impl World {
    fn new() -> Self {
        Self { home: Home::new(), as_nobody: false }
    }

    /// Creates a world of a user who is nobody, with a program of its own. Without root it is that of this user.
    fn of_nobody() -> Self {
        let home = Home::new();
        fs::copy(common::DRYRACK, home.path().join("dryrack")).expect("a copy");
        for folder in ["lab", "runs", "own"] {
            fs::create_dir(home.path().join(folder)).expect("a folder");
        }
        if nix::unistd::geteuid().is_root() {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(home.path(), open).expect("our folder");
            for folder in ["", "lab", "runs", "own"] {
                std::os::unix::fs::chown(home.path().join(folder), Some(NOBODY), Some(NOBODY))
                    .expect("root may");
            }
        }
        Self { home, as_nobody: true }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        if !self.as_nobody {
            return self.home.dryrack(args.iter().copied());
        }
        let mut command = self.home.command(self.home.path().join("dryrack").to_str().expect("text"));
        let own = self.home.path().join("own");
        command.args(args).env("HOME", &own).env("DRYRACK_CACHE", own.join("cache"));
        // Sockets are then in a folder that no session has made.
        command.env_remove("DRYRACK_RUNTIME").env_remove("XDG_RUNTIME_DIR");
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Writes a file of the lab.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join("lab").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// Writes the lab file.
    fn lab(&self, text: &str) {
        self.write(
            "lab.toml",
            &format!("dryrack = 1\naccel = \"tcg\"\nnetwork.lan.address = \"10.83.0.1/24\"\n{text}"),
        );
    }

    /// Runs a command and returns everything that it says, with an exit code other than 0.
    fn says(&self, args: &[&str]) -> String {
        let output = run(self.command(args).current_dir(self.home.path()));
        let code = output.status.code().expect("an exit code");
        let code = if code == 0 { String::new() } else { format!("--- exit code {code}\n") };
        stdout(&output) + &stderr(&output) + &code
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.says(&["down", "--all"]);
    }
}

#[test]
fn a_process_sees_the_files_that_it_is_given_and_nobody_else_does() {
    let world = World::new();
    world.write("given", "given\n");
    world.write("folder/kept", "old\n");
    world.write("mine/kept", "old\n");
    // /etc/dryrack-test does not exist on this machine, and must not afterwards.
    let check = "cat /etc/dryrack-test/given /etc/hostname\n\
                 (echo no > /etc/dryrack-test/given) 2>/dev/null && echo written\n\
                 echo new > /etc/dryrack-copy/kept; echo new > /etc/dryrack-write/kept; cat /etc/dryrack-*/kept\n\
                 test -s /etc/passwd && touch /etc/dryrack-copy/ready && sleep 1000";
    world.write("check.sh", check);
    world.lab(
        "[process.a]\nrun = \"sh check.sh\"\nready.file = \"/etc/dryrack-copy/ready\"\n[process.a.files]\n\
         \"/etc/dryrack-test/given\" = \"given\"\n\"/etc/hostname\" = \"given\"\n\
         \"/etc/dryrack-copy\" = { path = \"folder\", access = \"copy\" }\n\
         \"/etc/dryrack-write\" = { path = \"mine\", access = \"write\" }\n\
         [process.b]\nrun = \"ls -d /etc/dryrack-* 2>&1 | wc -l\"\nready.log = \"^[0-9]+$\"\n",
    );
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("--- exit code"), "{up}");
    let logs = world.says(&["logs", "a"]);
    let words: Vec<&str> =
        logs.lines().filter_map(|line| line.split_once("  a         ")).map(|(_, text)| text).collect();
    assert_eq!(words, ["given", "given", "new", "new"], "{logs}");
    assert!(world.says(&["logs", "b"]).trim_end().ends_with("  1"), "{}", world.says(&["logs", "b"]));
    let lab = world.home.path().join("lab");
    assert_eq!(fs::read_to_string(lab.join("folder/kept")).unwrap(), "old\n");
    assert_eq!(fs::read_to_string(lab.join("mine/kept")).unwrap(), "new\n");
    for path in ["/etc/dryrack-test", "/etc/dryrack-copy", "/ready"] {
        assert!(fs::symlink_metadata(path).is_err(), "{path} was made on this machine");
    }
    assert!(world.says(&["logs", "--events", "a"]).contains("a is ready: /etc/dryrack-copy/ready exists"));
}

#[test]
fn a_lab_says_what_was_not_ready_and_what_it_printed() {
    let world = World::new();
    world.lab("[process.server]\nrun = \"echo no configuration; exit 7\"\nready.tcp = 9\n");
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(up.contains("process `server` ended before it was ready: exit code 7"), "{up}");
    assert!(up.contains("no configuration"), "{up}");
    assert!(up.ends_with("--- exit code 1\n"), "{up}");
}

#[test]
fn a_process_is_started_again_as_its_lab_says() {
    let world = World::new();
    let count =
        "n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; test $n -ge 2 && exec sleep 1000; exit $1";
    world.write("count.sh", count);
    world.lab(
        "[process.fails]\nrun = \"cd a; sh ../count.sh 3\"\nrestart = \"on-failure\"\n\
         [process.ends]\nrun = \"cd b; sh ../count.sh 0\"\nrestart = \"always\"\n\
         [process.done]\nrun = \"cd c; sh ../count.sh 0\"\nrestart = \"on-failure\"\n\
         [process.killed]\nrun = \"cd d; n=$(cat n || echo 0); echo $((n+1)) > n; exec sleep 1000\"\nrestart = \"on-failure\"\n\
         [process.left]\nrun = \"sleep 999 & cd e; sh ../count.sh 3\"\nrestart = \"on-failure\"\n\
         [process.other]\nrun = \"exec sleep 1000\"\nready.tcp = 53\n",
    );
    let lab = world.home.path().join("lab");
    for folder in ["a", "b", "c", "d", "e"] {
        fs::create_dir_all(lab.join(folder)).expect("a folder");
    }
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(
        !up.contains("--- exit code"),
        "the lab's own DNS server is not the process, but it is bound: {up}"
    );
    let starts = |folder: &str, wanted: &str| {
        wait_for("the starts", Duration::from_secs(60), || {
            (fs::read_to_string(lab.join(folder).join("n")).ok()?.trim() == wanted).then_some(())
        });
    };
    starts("a", "3");
    starts("b", "3");
    starts("c", "1");
    starts("d", "1");
    starts("e", "3");
    // What its first starts left behind is gone.
    let count = "for p in /proc/[0-9]*; do (tr '\\0' ' ' < $p/cmdline) 2>/dev/null; echo; done | grep -c '^sleep 999 $'";
    assert_eq!(world.says(&["exec", "--lab", "lab", "sh", "-c", count]), "1\n");
    // `exec` joins the processes of the lab.
    let kill = "for p in /proc/[0-9]*; do (tr '\\0' ' ' < $p/environ) 2>/dev/null | grep -q DRYRACK_PROCESS=killed && kill -9 ${p#/proc/}; done; true";
    assert_eq!(world.says(&["exec", "--lab", "lab", "sh", "-c", kill]), "");
    starts("d", "2");
    let status: Value = serde_json::from_str(&world.says(&["status", "--json"])).expect("JSON");
    assert_eq!(status[0]["snapshot"]["processes"]["done"]["ended"]["exit"], 0);
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
}

/// A lab with a DHCP server of the user's on one host, and a client on another.
const SERVED: &str = r#"
network.lan.dhcp = "off"

[host.deploy]
nic.lan = { address = "10.83.0.2/24" }

[host.client]
nic.lan = { address = "dhcp", mac = "52:54:00:83:00:01", interface = "eth0" }

[process.dnsmasq]
host = "deploy"
run = "exec dnsmasq -k --log-dhcp"
files = { "/etc/dnsmasq.conf" = "dnsmasq.conf" }
ready.udp = 67

[process.web]
host = "deploy"
run = "cd /srv/www && exec busybox httpd -f -p 8080"
files = { "/srv/www" = { path = "www", access = "copy" } }
ready.http = { port = 8080, path = "/hello" }

[expect.web]
nodes = ["deploy"]
within = "1m"
that.http = { port = 8080, path = "/hello", body = "hello" }
"#;

const DNSMASQ: &str = "interface=lan\ndhcp-range=10.83.0.100,10.83.0.150,1h\ndhcp-host=52:54:00:83:00:01,10.83.0.111\n\
                       dhcp-option=option:router,10.83.0.2\naddress=/own.test/10.83.0.77\n";

impl World {
    /// Brings up a lab with the servers of [`SERVED`].
    fn serve(&self, more: &str) {
        self.write("dnsmasq.conf", DNSMASQ);
        self.write("www/hello", "hello\n");
        self.lab(&format!("{SERVED}{more}"));
        let up = self.says(&["up", "--detach", "lab"]);
        assert!(!up.contains("--- exit code"), "{up}");
    }

    fn on(&self, host: &str, command: &str) -> String {
        self.says(&["exec", "--lab", "lab", "--in", host, "--", "sh", "-c", command])
    }
}

#[test]
fn servers_of_the_user_serve_clients_of_the_lab() {
    let world = World::new();
    world.serve("");
    let waited = world.says(&["wait", "lab", "web"]);
    assert!(waited.contains("met"), "{waited}");
    // The client of the other host has what dnsmasq assigns, and uses it.
    wait_for("a lease", Duration::from_secs(60), || {
        let seen = world.on("client", "ip -4 -o address show dev eth0; ip route; cat /etc/resolv.conf");
        // The client sets the address, then the route, then the name server.
        let whole = ["10.83.0.111/24", "default via 10.83.0.2", "nameserver 10.83.0.2"];
        whole.iter().all(|part| seen.contains(part)).then_some(())
    });
    assert_eq!(world.on("client", "busybox wget -q -O - http://10.83.0.2:8080/hello"), "hello\n");
    assert!(world.on("client", "busybox nslookup own.test").contains("10.83.0.77"));
    // The lab knows hosts by name, and they know each other.
    assert_eq!(
        world.on("client", "hostname; getent hosts deploy.lab"),
        "client\n10.83.0.2       deploy.lab\n"
    );
    let logs = world.says(&["logs", "deploy"]);
    assert!(logs.contains("DHCPACK(lan) 10.83.0.111"), "what goes to syslog is there: {logs}");
    let status: Value = serde_json::from_str(&world.says(&["status", "--json"])).expect("JSON");
    assert_eq!(status[0]["snapshot"]["hosts"]["deploy"]["power"], "on");
    assert_eq!(status[0]["addresses"]["client"][0], "10.83.0.111");

    // A dead provisioner.
    assert_eq!(world.says(&["power", "off", "deploy"]), "deploy is off\n");
    assert!(world.on("client", "curl -sf -m 2 http://10.83.0.2:8080/hello").contains("--- exit code"));
    let off = world.on("deploy", "true");
    assert!(off.contains("error: host `deploy` is off") && off.contains("--- exit code 3"), "{off}");
    assert!(world.says(&["status"]).contains("  deploy  off"), "{}", world.says(&["status"]));
    assert_eq!(world.says(&["power", "on", "deploy"]), "deploy is on\n");
    wait_for("the web server", Duration::from_secs(60), || {
        (world.on("client", "curl -sf -m 2 http://10.83.0.2:8080/hello") == "hello\n").then_some(())
    });
    // A cable that is pulled.
    assert_eq!(world.says(&["link", "down", "deploy"]), "lan of deploy is down\n");
    assert!(world.on("deploy", "cat /sys/class/net/lan/operstate").contains("down"));
    assert_eq!(world.says(&["link", "up", "deploy"]), "lan of deploy is up\n");
    let none = world.says(&["console", "deploy"]);
    assert!(none.contains("--- exit code"), "{none}");
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
    // Servers of a host that was powered off did not fail.
    let report = world.says(&["report"]);
    assert!(!report.contains("failed") && !report.contains("died"), "{report}");
}

#[test]
fn processes_run_from_container_images() {
    build(&["dnsmasq-container"]);
    let world = World::new();
    world.write(
        "dnsmasq.conf",
        "interface=eth0\nbind-interfaces\nno-resolv\nhost-record=own.test,10.83.0.77\n",
    );
    world.lab(
        r#"
        host.deploy.nic.eth0 = { network = "lan", address = "10.83.0.2/24" }
        host.client.nic.lan.address = "10.83.0.3/24"

        # What the image starts, which becomes another user.
        [process.dnsmasq]
        host = "deploy"
        image = "image:dnsmasq-container/oci.tar"
        files = { "/etc/dnsmasq.conf" = "dnsmasq.conf" }
        ready.udp = 53

        # A second container on the same machine, and one where the bridges are.
        [process.look]
        host = "deploy"
        image = "image:dnsmasq-container/oci.tar"
        run = "echo deploy: $(cat /etc/hostname) $(ls /) $(ip -o address show eth0); logger said; touch /bin/new /run/looked; exec sleep 1000"
        ready.file = "/run/looked"

        [process.outside]
        image = "image:dnsmasq-container/oci.tar"
        run = "echo outside: $(ls /bin) $(ip -o address); exec sleep 1000"
        ready.log = "outside:"
        "#,
    );
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("exit code"), "{up}");
    assert!(world.on("client", "busybox nslookup own.test 10.83.0.2").contains("10.83.0.77"));
    let look = world.says(&["logs", "--events", "look"]);
    assert!(look.contains("deploy: deploy bin dev etc") && look.contains("inet 10.83.0.2/24"), "{look}");
    let log = world.says(&["logs", "deploy"]);
    assert!(log.contains("said"), "{log}");
    let outside = world.says(&["logs", "--events", "outside"]);
    assert!(
        outside.contains("busybox") && outside.contains("inet 10.83.0.1/24") && !outside.contains("new"),
        "the image stays as it is: {outside}"
    );
    assert!(world.on("deploy", "ps -eo comm,user").contains("dnsmasq"), "it is a process of its host");
    // Nothing of the image is on the host.
    assert!(
        world.on("deploy", "test -e /usr/sbin/nft && echo programs of this machine").contains("programs")
    );
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
    world.home.assert_clean("after the lab");
}

#[test]
fn links_and_power_of_hosts_fail_on_purpose() {
    let world = World::new();
    world.lab(
        r#"
        host.one.nic.lan.address = "10.83.0.2/24"
        host.two.nic.lan.address = "10.83.0.3/24"

        [fault.far]
        nodes = ["one"]
        do.link.delay = "60ms"

        [fault.cut]
        nodes = ["two"]
        after = "expect.pulled"
        do.machine = "power-cut"

        [expect.pulled]
        within = "5m"
        that = { command = { run = "test -e pulled" } }
        "#,
    );
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("exit code"), "{up}");
    let ping = |options: &str| world.on("two", &format!("busybox ping -c 1 -W 2 {options} 10.83.0.2"));
    let passes = |options: &str| !ping(options).contains("--- exit code");
    let took = |said: &str| -> Option<f64> {
        let time = said.split("time=").nth(1)?.split(' ').next()?;
        time.parse().ok()
    };
    // 60 ms there, and 60 ms back. While the link moves, frames are lost.
    let far = |took: &f64| *took >= 120.0;
    wait_for("a slow link", Duration::from_secs(20), || took(&ping("")).filter(far));
    assert!(world.says(&["status"]).contains("  fault far on one: link.delay = \"60ms\"\n"));
    assert_eq!(world.says(&["fault", "one", "--end"]), "one: over: far\n");
    assert_eq!(world.says(&["fault", "one", "--end"]), "one has no fault\n");
    // A link that is sound again has its old port.
    wait_for("a fast link", Duration::from_secs(20), || took(&ping("")).filter(|took| !far(took)));

    assert_eq!(
        world.says(&["fault", "one", "link.mtu=600"]),
        "one: link.mtu = 600 from now on (by-hand-1)\n"
    );
    let is_narrow = || passes("-s 100") && !passes("-s 1000");
    wait_for("a narrow link", Duration::from_secs(20), || is_narrow().then_some(()));
    assert_eq!(
        world.says(&["fault", "one", "link.loss=100"]),
        "one: link.loss = 100 from now on (by-hand-2)\n"
    );
    wait_for("a silent link", Duration::from_secs(20), || (!passes("")).then_some(()));
    assert_eq!(world.says(&["fault", "one", "--end"]), "one: over: by-hand-2, by-hand-1\n");
    wait_for("a link", Duration::from_secs(20), || passes("").then_some(()));
    // What would last for an hour ends with its fault.
    assert!(world.says(&["fault", "one", "link.silence=1h"]).contains("link.silence = \"1h\" from now on"));
    wait_for("silence", Duration::from_secs(20), || (!passes("")).then_some(()));
    world.says(&["fault", "one", "--end"]);
    wait_for("a link", Duration::from_secs(20), || passes("").then_some(()));
    assert_eq!(world.says(&["fault", "one", "link=down"]), "one: link = \"down\" from now on (by-hand-4)\n");
    wait_for("no link", Duration::from_secs(20), || (!passes("")).then_some(()));
    world.says(&["fault", "one", "--end"]);
    wait_for("a link", Duration::from_secs(20), || passes("").then_some(()));

    for (wrong, why) in [
        (&["fault", "one", "machine=no-rng"][..], "`one` is a host: it has no machine"),
        (&["fault", "one", "tls=expired"], "the lab has no server for `one` that could fail in this way"),
        (&["fault", "one", "link.loss=0"], "0 of a hundred frames is no share"),
        (&["fault", "one", "link=slow"], "`link` cannot be `slow`"),
        (&["fault", "three", "link=down"], "three"),
        (&["fault", "one"], "it is not said what goes wrong"),
        (&["fault", "link=down"], "no node is named"),
        (&["fault", "one", "link=down", "--after", "expect.nothing"], "there is no expectation `nothing`"),
    ] {
        let said = world.says(wrong);
        assert!(said.contains(why) && said.contains("--- exit code"), "{wrong:?}: {said}");
    }

    let after = ["fault", "one", "two", "link.mtu=1400", "--after", "pulled"];
    assert_eq!(
        world.says(&after),
        "one: link.mtu = 1400 after pulled (by-hand-5)\ntwo: link.mtu = 1400 after pulled (by-hand-6)\n"
    );
    // The power of a host fails once something has happened.
    let command = ["exec", "--", "touch", "pulled"];
    assert_eq!(world.says(&command), "");
    wait_for("a power cut", Duration::from_secs(30), || {
        world.says(&["status"]).contains("  two   off").then_some(())
    });
    let events = world.says(&["trace", "--events"]);
    for line in [
        "far: link.delay = \"60ms\" from now on",
        "far: over",
        "cut: machine = \"power-cut\"",
        "by-hand-5: link.mtu = 1400 from",
    ] {
        assert!(events.contains(line), "{line}: {events}");
    }
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
    let report = world.says(&["report"]);
    assert!(report.contains("fault        cut on two: machine = \"power-cut\", once"), "{report}");
    world.home.assert_clean("after the lab");
}

/// A registry on a host, one on the loopback interface with the same images, and a machine that pushes to them.
const REGISTRY: &str = r#"
host.registry.nic.lan.address = "10.83.0.2/24"
host.builder.nic.lan.address = "10.83.0.3/24"

[process.registry]
host = "registry"
run = "docker-registry serve /etc/docker/registry/config.yml"
files = { "/etc/docker/registry/config.yml" = "config.yml", "/var/lib/docker-registry" = { path = "storage", access = "write" } }
ready.tcp = 5000

[process.near]
run = "docker-registry serve config.yml"
files = { "/var/lib/docker-registry" = { path = "storage", access = "write" } }
ready.tcp = 5000

[process.builder]
host = "builder"
run = "echo ready; exec sleep 1000"
files = { "/srv/oci.tar" = "image:dnsmasq-container/oci.tar" }
ready.log = "ready"
"#;

#[test]
fn container_images_are_fetched_from_a_registry() {
    build(&["dnsmasq-container"]);
    let world = World::new();
    world.write(
        "config.yml",
        "version: 0.1\nstorage: { filesystem: { rootdirectory: /var/lib/docker-registry } }\nhttp: { addr: ':5000' }\n",
    );
    let storage = world.home.path().join("lab/storage");
    fs::create_dir(storage).expect("a folder");
    world.lab(REGISTRY);
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("--- exit code"), "{up}");

    let push = "skopeo --insecure-policy copy --quiet --dest-tls-verify=false";
    let to = "docker://registry.lab:5000/lab/dnsmasq:1";
    assert_eq!(world.on("builder", &format!("{push} oci-archive:/srv/oci.tar {to}")), "");

    // The user's own cache and configuration, as seen from within the lab.
    let own = world.home.path().join("own");
    fs::create_dir_all(own.join(".config/containers")).expect("a folder");
    let inside = |args: &[&str]| {
        let cache = format!("DRYRACK_CACHE={}", own.join("cache").display());
        let home = format!("HOME={}", own.display());
        let env =
            ["exec", "--lab", "lab", "--", "env", "-u", "XDG_CONFIG_HOME", &cache, &home, common::DRYRACK];
        world.says(&[&env[..], args].concat())
    };
    let digest = |image: &str| {
        let images: Value = serde_json::from_str(&inside(&["image", "list", "--json"])).expect("JSON");
        let images = images.as_array().expect("a list");
        let found = images.iter().find(|found| found["image"] == image).expect("the image is listed");
        found["digest"].as_str().expect("a digest").to_owned()
    };

    // Without TLS it is refused, unless the user allows it or it is on the loopback interface.
    let named = "oci:registry.lab:5000/lab/dnsmasq:1";
    let refused = inside(&["image", "build", named]);
    assert!(
        refused.contains("hint: the registry has no TLS") && refused.contains("--- exit code"),
        "{refused}"
    );
    let allowed = "[[registry]]\nlocation = \"registry.lab:5000\"\ninsecure = true\n";
    fs::write(own.join(".config/containers/registries.conf"), allowed).expect("a file");
    let fetched = inside(&["image", "build", named]);
    assert!(fetched.contains("fetched in") && !fetched.contains("--- exit code"), "{fetched}");
    let near = "oci:localhost:5000/lab/dnsmasq:1";
    let fetched = inside(&["image", "build", near]);
    assert!(!fetched.contains("--- exit code"), "{fetched}");
    let first = digest(named);
    assert_eq!(digest(near), first, "they have the same images");

    // The tag gets another image. It is noticed with --renew, and what is pinned stays.
    let change = "cd /tmp && skopeo --insecure-policy copy --quiet oci-archive:/srv/oci.tar oci:changed:image \
                  && umoci config --image changed:image --config.cmd --version";
    assert_eq!(world.on("builder", &format!("{change} && {push} oci:changed:image {to}")), "");
    assert!(inside(&["image", "build", named]).contains("is already fetched"));
    assert_eq!(digest(named), first);
    let renewed = inside(&["image", "build", "--renew", named]);
    assert!(!renewed.contains("--- exit code"), "{renewed}");
    assert_ne!(digest(named), first);
    let pinned = format!("oci:registry.lab:5000/lab/dnsmasq@{first}");
    let fetched = inside(&["image", "build", "--renew", &pinned]);
    assert!(!fetched.contains("--- exit code"), "{fetched}");
    assert_eq!(digest(&pinned), first);
    assert_eq!(world.says(&["down"]), "lab lab is down\n");

    // What was fetched runs without the registry.
    world.write(
        "dnsmasq.conf",
        "interface=eth0\nbind-interfaces\nno-resolv\nhost-record=own.test,10.83.0.77\n",
    );
    world.lab(&format!(
        "host.deploy.nic.eth0 = {{ network = \"lan\", address = \"10.83.0.2/24\" }}\n\
         [process.dnsmasq]\nhost = \"deploy\"\nimage = \"{pinned}\"\n\
         files = {{ \"/etc/dnsmasq.conf\" = \"dnsmasq.conf\" }}\nready.udp = 53\n"
    ));
    let up = run(world
        .command(&["up", "--detach", "lab"])
        .env("DRYRACK_CACHE", own.join("cache"))
        .current_dir(world.home.path()));
    assert!(up.status.success(), "{}", stderr(&up));
    assert!(
        world
            .says(&["exec", "--lab", "lab", "busybox", "nslookup", "own.test", "10.83.0.2"])
            .contains("10.83.0.77")
    );
}

/// Checks and an action on a host; of each check one that is met and one that never is.
const SYSTEM_CHECKS: &str = r#"
[expect.file]
nodes = ["server"]
that.file = { path = "/srv/page", content = "^theirs$", LOGIN }
[expect.no-file]
nodes = ["server"]
within = "3s"
never.file = { path = "/srv/page", content = "^ours$", LOGIN }
[expect.cmdline]
nodes = ["server"]
that.cmdline = { without = ["no.such.argument"], LOGIN }
[expect.no-cmdline]
nodes = ["server"]
within = "3s"
never.cmdline = { has = ["no.such.argument"], LOGIN }
[expect.nics]
nodes = ["server"]
that.nics = { names = { rack = "rack" }, LOGIN }
[expect.no-nics]
nodes = ["server"]
within = "3s"
never.nics = { names = { rack = "eth7" }, LOGIN }
[expect.clock]
nodes = ["server"]
that.clock = { offset = "5s", LOGIN }
[expect.unreachable]
nodes = ["server"]
that.unreachable = { tcp = "10.84.0.9:81", control = "none", LOGIN }
[expect.reachable]
nodes = ["server"]
within = "3s"
never.unreachable = { tcp = "10.84.0.9:80", LOGIN }
[expect.down]
nodes = ["server"]
within = "3s"
never.unreachable = { tcp = "10.84.0.9:81", LOGIN }
[expect.no-login]
nodes = ["server"]
within = "3s"
never.unreachable = { tcp = "10.84.0.9:81", control = "none", login = "nobody" }
[expect.here]
never.command = "test -e /srv/page"
within = "3s"
[expect.there]
that.command = { run = "cat /srv/page; echo unread >&2", in = "server", output = "^theirs$" }
[action.leave]
after = "there"
do.run = { command = "hostname > /tmp/left", in = "server" }
[expect.left]
after = "action.leave"
nodes = ["server"]
that.file = { path = "/tmp/left", content = "^server$", LOGIN }
"#;

#[test]
fn what_is_on_a_network_without_us_is_reached_from_a_host() {
    let world = World::new();
    world.write("page", "theirs\n");
    let key = world.home.path().join("lab/key");
    let mut made = std::process::Command::new("ssh-keygen");
    made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    assert!(made.status().expect("ssh-keygen").success());
    let sshd = "ssh-keygen -q -t ed25519 -N '' -f /run/key && mkdir -p /run/sshd && /usr/sbin/sshd -D -e -h /run/key \
                -o AuthorizedKeysFile=/etc/ssh/lab -o StrictModes=no -o PidFile=none";
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    world.lab(&format!(
        "network.rack = {{ subnet = \"10.84.0.0/24\", probe-from = \"deploy\" }}\n\
         publish.\"{port}\" = \"server:80\"\n\
         host.deploy.nic.rack.address = \"10.84.0.2\"\nhost.server.nic.rack.address = \"10.84.0.9\"\n\
         [process.web]\nhost = \"server\"\nrun = \"busybox httpd -f -h /srv\"\nready.tcp = 80\n\
         files = {{ \"/srv/page\" = \"page\" }}\n\
         [process.sshd]\nhost = \"server\"\nrun = \"\"\"{sshd}\"\"\"\nready.tcp = 22\n\
         files = {{ \"/etc/ssh/lab\" = \"key.pub\" }}\n\
         [expect]\n\
         open = {{ nodes = [\"server\"], that.tcp = 22, within = \"30s\" }}\n\
         page = {{ nodes = [\"server\"], that.http = {{ path = \"/page\", body = \"theirs\" }}, within = \"30s\" }}\n\
         login = {{ nodes = [\"server\"], that.ssh = {{ user = \"root\", key = {{ file = \"key\" }}, run = \"hostname\", \
         output = \"server\" }}, within = \"30s\" }}\n{}",
        SYSTEM_CHECKS.replace("LOGIN", "login = { user = \"root\", key = { file = \"key\" } }"),
    ));
    let up = world.says(&["up", "--detach", "lab"]) + &world.says(&["wait", "lab"]);
    assert!(!up.contains("--- exit code"), "{up}");
    let mut fetch = std::process::Command::new("curl");
    fetch.args(["-sS", "-m", "10", &format!("http://127.0.0.1:{port}/page")]);
    assert_eq!(stdout(&run(&mut fetch)), "theirs\n");
    // Nobody of ours is on the network.
    let refused = world.says(&["exec", "--lab", "lab", "--", "ping", "-c1", "-W1", "10.84.0.9"]);
    assert!(refused.contains("--- exit code"), "{refused}");
    let login = world.says(&["ssh", "--lab", "lab", "root@server", "hostname"]);
    assert_eq!(login, "server\n");
    let config = world.write("ssh_config", &world.says(&["ssh-config", "--lab", "lab"]));
    let mut login = std::process::Command::new("ssh");
    login.arg("-F").arg(config).args(["-l", "root", "server", "hostname"]);
    let output = login.env("HOME", world.home.path()).output().expect("ssh");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("server\n", ""));
    // Once the host is off, nothing is.
    let off = world.says(&["power", "--lab", "lab", "off", "deploy"]);
    assert!(!off.contains("--- exit code"), "{off}");
    let lost = world.says(&["ssh", "--lab", "lab", "root@server", "hostname"]);
    assert!(lost.contains("host `deploy` is off") && lost.contains("--- exit code"), "{lost}");
}

#[test]
fn a_host_changes_nothing_outside() {
    let world = World::new();
    for folder in ["new", "own"] {
        fs::create_dir_all(world.home.path().join("lab").join(folder)).expect("a folder");
    }
    world.serve(
        "[process.files]\nhost = \"deploy\"\nrun = \"exec sleep 1000\"\n[process.files.files]\n\
         \"/srv/new\" = { path = \"new\", access = \"write\" }\n\"/srv/new/conf\" = \"www/hello\"\n\
         \"/srv/own\" = { path = \"own\", access = \"copy\" }\n\"/srv/own/conf\" = \"www/hello\"\n",
    );
    let on = |command: &str| world.on("deploy", command);
    let outside = |path: &str| fs::symlink_metadata(path).is_ok();
    for folder in ["/etc", "/var/lib", "/run", "/tmp", "/home", "/root", "/srv", "/mnt"] {
        assert_eq!(on(&format!("touch {folder}/dryrack-test-file && echo made")), "made\n", "{folder}");
        assert!(!outside(&format!("{folder}/dryrack-test-file")), "{folder}");
    }
    for folder in ["/usr", "/usr/bin", "/opt"] {
        assert!(
            on(&format!("touch {folder}/dryrack-test-file")).contains("Read-only file system"),
            "{folder}"
        );
    }
    assert_eq!(on("ls /home /root | grep -v dryrack-test-file | grep -v : | tr -d '\\n'"), "");
    // Its own processes only, and no others of the lab.
    let processes = on("cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l");
    let (first, count) = processes.trim().split_once('\n').expect("two lines");
    assert!(first == "dryrack-init" && count.parse::<u32>().expect("a number") < 12, "{processes}");
    assert_eq!(on("echo changed > /srv/www/hello; cat /srv/www/hello"), "changed\n");
    let lab = world.home.path().join("lab");
    assert_eq!(fs::read_to_string(lab.join("www/hello")).unwrap(), "hello\n");
    assert!(on("echo x > /etc/dnsmasq.conf").contains("Read-only file system"));
    // What is read-only stays so, and settings of the whole machine are.
    for (change, why) in [
        (
            "busybox mount -o remount,bind,rw /etc/dnsmasq.conf; echo x > /etc/dnsmasq.conf",
            "Read-only file system",
        ),
        ("mount -o remount,bind,rw /usr; touch /usr/dryrack-test-file", "Read-only file system"),
        (
            "busybox mount -o remount,bind,rw /run/dryrack/dryrack; echo > /run/dryrack/dryrack",
            "Read-only file system",
        ),
        ("echo core > /proc/sys/kernel/core_pattern", "Read-only file system"),
    ] {
        let said = on(change);
        assert!(said.contains(why) && said.contains("--- exit code"), "{change}: {said}");
    }
    assert_eq!(on("mount -t tmpfs none /mnt && mount -o remount,ro /mnt && echo mounted"), "mounted\n");
    // A file in a folder that is given, and new ones beside it.
    assert_eq!(on("cat /srv/new/conf && echo new > /srv/new/other && cat /srv/own/conf"), "hello\nhello\n");
    assert_eq!(fs::read_to_string(lab.join("new/other")).unwrap(), "new\n");
    assert!(!lab.join("own/conf").exists(), "a copy is not the folder");
    // A terminal, raw sockets and settings of its network work as for root.
    assert_eq!(
        on(
            "id -u; cat /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward"
        ),
        "0\n0\n1\n"
    );
}

#[test]
fn a_router_forwards_between_networks() {
    let world = World::new();
    world.lab(
        "network.far.address = \"10.84.0.1/24\"\n\
         [host.router]\nrouter = true\nnic.lan = { address = \"10.83.0.2\" }\nnic.far = { address = \"10.84.0.2\" }\n\
         [host.near]\nnic.lan = { address = \"10.83.0.5/24\" }\n\
         [host.away]\nnic.far = { address = \"10.84.0.5/24\" }\n\
         [host.asks]\nnic.lan = \"dhcp\"\n\
         [process.web]\nhost = \"away\"\nrun = \"echo far > /tmp/name; exec busybox httpd -f -p 80 -h /tmp\"\nready.tcp = 80\n",
    );
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("--- exit code"), "{up}");
    assert_eq!(world.on("near", "curl -sf -m 5 http://10.84.0.5/name"), "far\n");
    // Our own server has reserved an address for a host that asks.
    let asks = || world.on("asks", "ip -4 -o address show dev lan");
    wait_for("a lease", Duration::from_secs(30), || asks().contains("inet 10.83.0.10/24").then_some(()));
    world.says(&["power", "off", "router"]);
    assert!(world.on("near", "curl -sf -m 2 http://10.84.0.5/name").contains("--- exit code"));
}

#[test]
fn the_death_of_a_server_is_told_and_leaves_nothing() {
    let world = World::new();
    world.serve("");
    assert_eq!(world.on("deploy", "kill -9 $(pidof dnsmasq)"), "");
    wait_for("the end of the process", Duration::from_secs(20), || {
        world.says(&["logs", "--events", "dnsmasq"]).contains("ended: signal: 9 (SIGKILL)").then_some(())
    });
    // The first process of a host, by its PID in the lab.
    let pid = fs::read_to_string(world.home.run_dir().join("host/client/pid")).expect("a PID");
    assert_eq!(world.says(&["exec", "--lab", "lab", "kill", "-9", pid.trim()]), "");
    wait_for("the end of the host", Duration::from_secs(20), || {
        world.says(&["status"]).contains("  client  died").then_some(())
    });
    let down = world.says(&["down"]);
    assert!(down.contains("lab lab is down"), "{down}");
    let report = world.says(&["report"]);
    assert!(report.contains("process `dnsmasq` failed") && report.contains("host `client` died"), "{report}");
    world.home.assert_clean("after the lab");
}

#[test]
fn a_lease_ends_and_its_name_servers_stay_on_the_host() {
    let world = World::new();
    let victim = world.write("victim", "kept\n");
    world.write(
        "udhcpd.conf",
        "interface lan\nstart 10.83.0.100\nend 10.83.0.110\noption lease 15\nmin_lease 15\n\
         option subnet 255.255.255.0\noption dns 10.83.0.9\nlease_file /tmp/leases\npidfile /tmp/pid\n",
    );
    world.lab(&format!(
        r#"
        network.lan.dhcp = "off"
        host.server.nic.lan = "10.83.0.2"
        host.client.nic.lan = "dhcp"

        [process.udhcpd]
        host = "server"
        run = "sleep 2; touch /tmp/leases; exec busybox udhcpd -f /etc/udhcpd.conf"
        files = {{ "/etc/udhcpd.conf" = "udhcpd.conf" }}

        [process.link]
        host = "client"
        run = "ln -sf {} /etc/resolv.conf; echo linked; exec sleep 1000"
        ready.log = "linked"
        "#,
        victim.display()
    ));
    let up = world.says(&["up", "--detach", "lab"]);
    assert!(!up.contains("--- exit code"), "{up}");
    let address = || world.on("client", "ip -4 -o address show dev lan");
    wait_for("a lease", Duration::from_secs(30), || address().contains("10.83.0.10").then_some(()));
    // The address comes first.
    wait_for("its name server", Duration::from_secs(30), || {
        let file = world.on("client", "cat /etc/resolv.conf; test -L /etc/resolv.conf || echo own");
        (file == "nameserver 10.83.0.9\nown\n").then_some(())
    });
    assert_eq!(fs::read_to_string(victim).unwrap(), "kept\n");
    assert_eq!(world.says(&["power", "off", "server"]), "server is off\n");
    wait_for("the end of the lease", Duration::from_secs(20), || address().is_empty().then_some(()));
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
}

#[test]
fn two_labs_have_the_same_hosts_at_once() {
    let (one, two) = (World::new(), World::new());
    one.serve("");
    two.serve("");
    for world in [&one, &two] {
        assert_eq!(world.on("deploy", "busybox wget -q -O - http://10.83.0.2:8080/hello"), "hello\n");
    }
    // However a supervisor ends, nothing of its lab is left.
    let ids: Value =
        serde_json::from_slice(&fs::read(one.home.run_dir().join("processes.json")).unwrap()).unwrap();
    let outer = ids["outer"]["pid"].as_i64().expect("a PID");
    let killed = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(outer).expect("a PID")),
        nix::sys::signal::Signal::SIGKILL,
    );
    killed.expect("the outer half runs");
    one.home.assert_clean("after the outer half was killed");
    assert_eq!(two.on("deploy", "busybox wget -q -O - http://10.83.0.2:8080/hello"), "hello\n");
}

/// Servers that bind ports below 1024 and become other users.
const SERVERS: &str = r#"
[process.nginx]
host = "deploy"
run = "exec nginx -c /etc/own-nginx.conf"
files = { "/etc/own-nginx.conf" = "nginx.conf" }
ready.tcp = 80

[process.tftpd]
host = "deploy"
run = "exec in.tftpd -L -s -u nobody /srv/tftp"
files = { "/srv/tftp" = "www" }
ready.udp = 69

[process.chronyd]
host = "deploy"
run = "exec chronyd -d -x -f /etc/own-chrony.conf"
files = { "/etc/own-chrony.conf" = "chrony.conf" }
ready.udp = 123
"#;

const NGINX: &str = "user www-data; worker_processes 2; daemon off; error_log stderr; events {}\n\
                     http { access_log off; server { listen 80; location / { return 200 nginx; } } }\n";

fn servers_run(world: &World) {
    world.write("nginx.conf", NGINX);
    world.write("chrony.conf", "local stratum 8\nallow\n");
    world.serve(SERVERS);
    wait_for("a lease", Duration::from_secs(60), || {
        world.on("client", "ip -4 -o address show dev eth0").contains("10.83.0.111/24").then_some(())
    });
    assert_eq!(world.on("client", "busybox wget -q -O - http://10.83.0.2/"), "nginx");
    assert_eq!(
        world.on("client", "cd /tmp && busybox tftp -g -r hello 10.83.0.2 2>/dev/null && cat hello"),
        "hello\n"
    );
    for process in ["dnsmasq", "web", "nginx", "tftpd", "chronyd"] {
        let events = world.says(&["logs", "--events", process]);
        assert!(events.contains(&format!("{process} is ready")) && !events.contains("ended"), "{events}");
    }
    let processes = world
        .on("deploy", "for p in /proc/[0-9]*; do echo $(cat $p/comm) $(grep Uid $p/status | cut -f 2); done");
    let user = |comm: &str| {
        let lines = processes.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(name, _)| *name == comm).map(|(_, uid)| uid.to_owned()).max()
    };
    let is_root = |comm: &str| user(comm).expect("a process") == "0";
    // Other users are real, or everything is root and nobody noticed.
    assert_eq!((is_root("nginx"), is_root("dnsmasq")), (world.as_nobody, world.as_nobody), "{processes}");
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
    world.home.assert_clean("after the lab");
}

#[test]
fn servers_become_other_users() {
    servers_run(&World::new());
}

#[test]
fn servers_run_without_other_users() {
    servers_run(&World::of_nobody());
}
