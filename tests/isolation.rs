//! Private isolation: what a lab can reach, what the host sees of it, and its network.
//!
//! As root, tests have a host of their own: a network namespace connected to another one that stands in for the
//! internet, so that outgoing traffic can be observed. Other users test on the real host, without the internet.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixSocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Home, run, stderr, stdout, wait, wait_for};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// Addresses of the link to the internet: the host's end and the other one.
const HOST_END: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const FAR_END: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The address that the far resolver returns for every name.
const FAR_NAME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// A host with a simulated internet, or the real one without it.
struct World {
    home: Home,
    internet: Option<Internet>,
}

/// The network namespace of the simulated internet.
struct Internet {
    name: String,
    /// The file that `ip netns exec` mounts over the host's `resolv.conf`.
    resolv: PathBuf,
}

impl Drop for Internet {
    fn drop(&mut self) {
        run(Command::new("ip").args(["netns", "del", &self.name]));
        fs::remove_dir_all(&self.resolv).ok();
    }
}

impl World {
    fn new() -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self { home: Home::new(), internet: None };
        }
        let home = Home::with_host();
        let host = format!("{}-host", home.path().file_name().unwrap().to_string_lossy());
        let name = host.replace("-host", "-far");
        let resolv = Path::new("/etc/netns").join(&host);
        fs::create_dir_all(&resolv).unwrap();
        fs::write(resolv.join("resolv.conf"), format!("nameserver {FAR_END}\n")).unwrap();
        let internet = Internet { name, resolv };
        let far = internet.name.as_str();
        let ip = |text: &str| {
            let done = run(Command::new("ip").args(text.split(' ')));
            assert!(done.status.success(), "ip {text}: {}", stderr(&done));
        };
        ip(&format!("netns add {far}"));
        ip(&format!("-n {host} link add wire type veth peer name wire netns {far}"));
        for (netns, address) in [(host.as_str(), HOST_END), (far, FAR_END)] {
            ip(&format!("-n {netns} address add {address}/24 dev wire"));
            ip(&format!("-n {netns} link set wire up"));
            ip(&format!("-n {netns} link set lo up"));
        }
        ip(&format!("-n {host} route replace default via {FAR_END}"));
        let world = Self { home, internet: Some(internet) };
        serve_names(world.far_away(|| UdpSocket::bind((FAR_END, 53)).unwrap()));
        world
    }

    /// Runs a closure in the host's network namespace.
    fn on_host<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        match &self.internet {
            None => what(),
            Some(internet) => inside(&internet.name.replace("-far", "-host"), what),
        }
    }

    /// Runs a closure in the simulated internet.
    fn far_away<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        inside(&self.internet.as_ref().expect("root has an internet").name, what)
    }

    fn up(&self, lab: &Path) -> Lab<'_> {
        let up = run(&mut self.home.dryrack(["up", "--detach", lab.to_str().unwrap()]));
        assert!(up.status.success(), "{}", stderr(&up));
        Lab { world: self, file: lab.to_str().unwrap().to_owned(), run_dir: self.home.run_dir() }
    }
}

/// Runs a closure in a network namespace.
fn inside<T: Send>(netns: &str, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let netns = fs::File::open(Path::new("/run/netns").join(netns)).unwrap();
            setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
            what()
        });
        thread.join().unwrap()
    })
}

/// A lab that is up; torn down on drop.
struct Lab<'a> {
    world: &'a World,
    file: String,
    run_dir: PathBuf,
}

impl Lab<'_> {
    fn exec(&self, script: &str) -> std::process::Output {
        run(&mut self.command(&["sh", "-c", script]))
    }

    /// Returns the output of a script that must succeed.
    fn says(&self, script: &str) -> String {
        let done = self.exec(script);
        assert!(done.status.success(), "{script}: {}{}", stdout(&done), stderr(&done));
        stdout(&done).trim().to_owned()
    }

    fn command(&self, argv: &[&str]) -> Command {
        let mut command = self.world.home.dryrack(["exec", "--lab", &self.file, "--"]);
        command.args(argv);
        command
    }

    fn json(&self, script: &str) -> Value {
        serde_json::from_str(&self.says(script)).unwrap()
    }

    fn down(&self) {
        let down = run(&mut self.world.home.dryrack(["down", &self.file]));
        assert!(down.status.success(), "{}", stderr(&down));
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        run(&mut self.world.home.dryrack(["down", &self.file]));
    }
}

/// A lab with one machine, which is powered off unless `start` is `lab`.
fn text(name: &str, start: &str, more: &str) -> String {
    format!(
        r#"
        dryrack = 1
        name = "{name}"
        accel = "tcg"

        [network.lan]
        address = "10.66.0.1/24"
        nat = true
        mtu = 1400
        dns = {{ domain = "{name}.test", records = {{ "door.elsewhere.test" = "10.66.0.99" }} }}

        [profile.tiny]
        kernel = "image:tiny/kernel"
        initrd = "image:tiny/initrd"
        args = ["console=ttyS0", "no_timer_check"]

        [node.one]
        memory = "256MiB"
        profile = "tiny"
        start = "{start}"
        nic.lan = {{ address = "10.66.0.10" }}
        {more}
        "#
    )
}

/// Listeners on the host that record every connection.
struct Trap {
    tcp: SocketAddr,
    udp: SocketAddr,
    caught: Arc<Mutex<Vec<String>>>,
}

impl Trap {
    fn on(world: &World, address: IpAddr) -> Self {
        let (tcp, udp) = world
            .on_host(|| (TcpListener::bind((address, 0)).unwrap(), UdpSocket::bind((address, 0)).unwrap()));
        let caught = Arc::new(Mutex::new(Vec::new()));
        let trap = Self { tcp: tcp.local_addr().unwrap(), udp: udp.local_addr().unwrap(), caught };
        let caught = Arc::clone(&trap.caught);
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                caught.lock().unwrap().push(format!("TCP {stream:?}"));
            }
        });
        let caught = Arc::clone(&trap.caught);
        std::thread::spawn(move || {
            let mut bytes = [0; 100];
            while let Ok((_, from)) = udp.recv_from(&mut bytes) {
                caught.lock().unwrap().push(format!("UDP from {from}"));
            }
        });
        trap
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.caught.lock().unwrap())
    }
}

/// Connects to every address and port by TCP and UDP at once.
const CALL: &str = r#"
import socket, sys, threading
hosts, tcp, udp, name = [argument.split() for argument in sys.argv[1:]]
def call(host, port):
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(1.5)
            s.connect(socket.getaddrinfo(host, port)[0][4])
            print(f"open {host} {port}\n", end="")
    except OSError as error:
        print(f"shut {host} {port} {error}\n", end="")
def send(host, port):
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.sendto(b"hello", socket.getaddrinfo(host, port)[0][4])
    except OSError as error:
        print(f"shut {host} {port} {error}\n", end="")
threads = [threading.Thread(target=call, args=(h, int(p))) for h in hosts for p in tcp]
threads += [threading.Thread(target=send, args=(h, int(p))) for h in hosts for p in udp]
for thread in threads: thread.start()
for thread in threads: thread.join()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    try:
        s.sendto(b"hello", "\0" + name[0])
        print("open", name[0])
    except OSError as error:
        print("shut", name[0], error)
"#;

#[test]
fn nothing_on_the_hosts_loopback_is_reachable() {
    common::build(&["tiny"]);
    let world = World::new();
    let file = world.home.lab("lo", &text("lo", "manual", ""));
    let traps: Vec<Trap> = ["127.0.0.1", "127.0.0.53", "::1"]
        .iter()
        .map(|address| Trap::on(&world, address.parse().unwrap()))
        .collect();
    let name = format!("dryrack-test-{}", std::process::id());
    let abstract_name = UnixSocketAddr::from_abstract_name(&name).unwrap();
    let unix = world.on_host(|| UnixDatagram::bind_addr(&abstract_name).unwrap());
    unix.set_nonblocking(true).unwrap();
    let ports = |of: fn(&Trap) -> SocketAddr| {
        traps.iter().map(|trap| of(trap).port().to_string()).collect::<Vec<_>>().join(" ")
    };
    let (tcp, udp) = (ports(|trap| trap.tcp), ports(|trap| trap.udp));
    let caught = || traps.iter().flat_map(Trap::take).collect::<Vec<_>>();

    // From the host itself all of them must be received, or this test would prove nothing.
    let called = world.home.host("python3", &["-c", CALL, "127.0.0.1 127.0.0.53 ::1", &tcp, &udp, &name]);
    assert!(called.status.success(), "{}", stderr(&called));
    wait_for("all traps to be heard", Duration::from_secs(5), || {
        let all: usize = traps.iter().map(|trap| trap.caught.lock().unwrap().len()).sum();
        (all == 2 * traps.len()).then_some(())
    });
    caught();
    assert!(unix.recv(&mut [0; 100]).is_ok());

    let lab = world.up(&file);
    let plan: Value = serde_json::from_slice(&fs::read(lab.run_dir.join("plan.json")).unwrap()).unwrap();
    let uplink = plan["steps"][0]["make-namespaces"]["uplink"].clone();
    let uplink = |key: &str| uplink[key].as_str().unwrap().split('/').next().unwrap().to_owned();
    let mut targets: Vec<String> =
        ["127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.66.0.1"]
            .map(str::to_owned)
            .into();
    targets.extend(["address", "gateway", "resolver"].map(uplink));
    // The host's own addresses, at which services on its loopback interface must not answer either.
    targets.extend(stdout(&world.home.host("hostname", &["-I"])).split_whitespace().map(str::to_owned));
    let targets = targets.join(" ");
    let called = run(&mut lab.command(&["python3", "-c", CALL, &targets, &tcp, &udp, &name]));
    assert!(called.status.success(), "{}", stderr(&called));
    let said = stdout(&called);
    assert!(said.contains("shut 127.0.0.1"), "{said}");
    assert!(said.contains(&format!("shut {name}")), "an abstract socket of the host is reachable: {said}");
    // Time for packets that pasta still holds back.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(caught(), Vec::<String>::new(), "{said}");
    assert!(unix.recv(&mut [0; 100]).is_err());
    if world.internet.is_some() {
        assert!(!said.contains("open"), "{said}");
    }
}

/// Lists the listening sockets of the host, without the queues.
fn listening(world: &World) -> BTreeSet<String> {
    let listed = world.home.host("ss", &["-ltnuH"]);
    let columns = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", words[0], words[4])
    };
    stdout(&listed).lines().map(columns).collect()
}

fn free_port(world: &World) -> u16 {
    world.on_host(|| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
}

fn get(from: SocketAddr, within: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&from, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn the_host_sees_the_published_ports_and_no_others() {
    common::build(&["tiny"]);
    let world = World::new();
    let port = free_port(&world);
    let file =
        world.home.lab("ports", &text("ports", "auto", &format!("[publish]\n\"{port}\" = \"one:80\"")));
    let before = listening(&world);
    let lab = world.up(&file);
    // Another server in the lab, on all addresses.
    let mut server = lab
        .command(&["python3", "-m", "http.server", "8000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the server in the lab", Duration::from_secs(10), || {
        lab.exec("ss -ltnH | grep -q :8000").status.success().then_some(())
    });

    let page = wait_for("the node behind its port", Duration::from_secs(120), || {
        world
            .on_host(|| get(([127, 0, 0, 1], port).into(), Duration::from_secs(2)))
            .ok()
            .filter(|page| !page.is_empty())
    });
    assert!(page.contains("node=one"), "{page}");
    // Checked now, after there was enough time to forward the lab's ports.
    let published = format!("tcp 127.0.0.1:{port}");
    let new: BTreeSet<String> = listening(&world).difference(&before).cloned().collect();
    if world.internet.is_some() {
        assert_eq!(new, BTreeSet::from([published]));
    } else {
        // Other programs may start to listen on a real host meanwhile, but not on the lab's ports.
        assert!(new.contains(&published), "{new:?}");
        let ours = [":53", ":67", ":69", ":80", ":4011", ":8000"];
        assert!(!new.iter().any(|line| ours.iter().any(|port| line.ends_with(port))), "{new:?}");
    }
    // Neither the node nor the bridge is reachable from the host.
    if world.internet.is_some() {
        let direct = world.on_host(|| get(([10, 66, 0, 10], 80).into(), Duration::from_secs(1)));
        assert!(direct.is_err(), "{direct:?}");
        for port in [53, 80, 8000] {
            let bridge = world.on_host(|| get(([10, 66, 0, 1], port).into(), Duration::from_secs(1)));
            assert!(bridge.is_err(), "{port}: {bridge:?}");
        }
    }
    lab.down();
    assert!(wait(&mut server, Duration::from_secs(2)).is_some(), "what was started in the lab died with it");
    assert!(world.on_host(|| TcpListener::bind(("127.0.0.1", port))).is_ok());
}

/// Answers every HTTP request with a word, and records the source addresses.
fn serve_a_word(listener: TcpListener, word: &'static str) -> Arc<Mutex<Vec<IpAddr>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let clients = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            clients.lock().unwrap().push(stream.peer_addr().unwrap().ip());
            let mut request = [0; 1000];
            if stream.read(&mut request).is_ok_and(|count| count > 0) {
                let length = word.len();
                write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{word}").ok();
            }
        }
    });
    seen
}

/// Answers every DNS query with one address.
fn serve_names(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            // Header, then the question's name, type and class; any EDNS record is dropped.
            let name = bytes[12..length].iter().position(|byte| *byte == 0).unwrap_or(0);
            let question = bytes[12..12 + name + 5].to_vec();
            let mut answer = bytes[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend(question);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(FAR_NAME.octets());
            socket.send_to(&answer, from).ok();
        }
    });
}

#[test]
fn a_node_reaches_the_internet_through_the_uplink() {
    let world = World::new();
    if world.internet.is_none() {
        // Only root can create an internet; for other users the path is the same up to here.
        return the_lab_of_a_user_has_a_uplink(&world);
    }
    common::build(&["tiny"]);
    let web = world.far_away(|| TcpListener::bind((FAR_END, 8080)).unwrap());
    let clients = serve_a_word(web, "far-and-wide");
    let file = world.home.lab("out", &text("out", "auto", ""));
    let lab = world.up(&file);

    // The lab itself, and external names through the host's resolver.
    assert_eq!(lab.says(&format!("curl -sS -m 5 http://{FAR_END}:8080/")), "far-and-wide");
    assert_eq!(lab.says("dig +short +time=20 +tries=2 @10.66.0.1 outside.example A"), FAR_NAME.to_string());
    assert_eq!(
        lab.says("dig +tcp +short +time=20 +tries=2 @10.66.0.1 elsewhere.example A"),
        FAR_NAME.to_string()
    );
    clients.lock().unwrap().clear();

    // A node behind the bridge, through its console.
    type_on_console(
        &lab,
        &lab.run_dir.join("node/one/console.log"),
        &[
            (&format!("wget -q -O - http://{FAR_END}:8080/ && echo"), "far-and-wide"),
            ("nslookup outside.example", "203.0.113.77"),
        ],
    );
    // The internet sees only the host's address.
    assert_eq!(*clients.lock().unwrap(), [IpAddr::from(HOST_END)]);
}

#[test]
fn a_lab_on_the_host_gets_through_a_firewall_that_drops_and_leaves_it_as_it_was() {
    let world = World::new();
    let on_host = |start: &str| format!("isolation = \"none\"\n{}", text("onhost", start, ""));
    if world.internet.is_none() {
        let file = world.home.lab("onhost", &on_host("manual"));
        let up = run(&mut world.home.dryrack(["up", "--detach", file.to_str().unwrap()]));
        assert_eq!(up.status.code(), Some(3), "{}", stderr(&up));
        let said = stdout(&up);
        assert!(said.contains("hint: ") && said.contains("needs root"), "{said}{}", stderr(&up));
        return world_is_clean(&world);
    }
    common::build(&["tiny"]);
    let web = world.far_away(|| TcpListener::bind((FAR_END, 8080)).unwrap());
    let clients = serve_a_word(web, "far-and-wide");
    // As with Docker: a policy that drops, and a chain for rules of others.
    for rule in [
        "add table ip filter",
        "add chain ip filter DOCKER-USER",
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
        "add rule ip filter FORWARD jump DOCKER-USER",
    ] {
        let done = world.home.host("nft", &[rule]);
        assert!(done.status.success(), "{rule}: {}", stderr(&done));
    }
    let state = || {
        let ruleset = stdout(&world.home.host("nft", &["list", "ruleset"]));
        ruleset + &stdout(&world.home.host("cat", &["/proc/sys/net/ipv4/ip_forward"]))
    };
    let before = state();
    assert!(before.ends_with("0\n"), "{before}");

    let lab = world.up(&world.home.lab("onhost", &on_host("auto")));
    let during = state();
    assert!(during.contains("accept comment \"dryrack_") && during.ends_with("1\n"), "{during}");
    let log = lab.run_dir.join("node/one/console.log");
    type_on_console(&lab, &log, &[(&format!("wget -q -O - http://{FAR_END}:8080/ && echo"), "far-and-wide")]);
    assert_eq!(*clients.lock().unwrap(), [IpAddr::from(HOST_END)]);
    lab.down();
    assert_eq!(state(), before);
}

/// Types lines on a node's console, each after the expected output of the one before it.
fn type_on_console(lab: &Lab<'_>, log: &Path, lines: &[(&str, &str)]) {
    let shows = |word: &str| fs::read_to_string(log).unwrap_or_default().contains(word);
    wait_for("the prompt of the node", Duration::from_secs(120), || shows("type help").then_some(()));
    let mut console = lab.world.home.dryrack(["console", "one", "--lab", &lab.file]);
    console.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut console = console.spawn().unwrap();
    let mut typed = console.stdin.take().unwrap();
    for (line, answer) in lines {
        writeln!(typed, "{line}").unwrap();
        wait_for(answer, Duration::from_secs(20), || shows(answer).then_some(()));
    }
    // Ctrl-] detaches.
    typed.write_all(b"\x1d").unwrap();
    assert!(wait(&mut console, Duration::from_secs(5)).is_some_and(|status| status.success()));
}

fn the_lab_of_a_user_has_a_uplink(world: &World) {
    let file = world.home.lab("out", &text("out", "manual", ""));
    let lab = world.up(&file);
    let route = lab.json("ip -j route show default");
    assert_eq!(route[0]["dev"], "wan", "{route}");
    assert_eq!(lab.json("ip -j addr show dev wan")[0]["addr_info"][0]["family"], "inet");
}

#[test]
fn names_of_the_lab_are_known_in_it() {
    common::build(&["tiny"]);
    let world = World::new();
    let file = world.home.lab("names", &text("names", "manual", ""));
    let lab = world.up(&file);
    let dig = |what: &str| lab.says(&format!("dig +short +time=20 +tries=1 {what}"));
    assert_eq!(dig("@10.66.0.1 one.names.test"), "10.66.0.10");
    assert_eq!(dig("+tcp @10.66.0.1 one.names.test"), "10.66.0.10");
    assert_eq!(dig("@10.66.0.1 -x 10.66.0.10"), "one.names.test.");
    assert_eq!(dig("@10.66.0.1 door.elsewhere.test"), "10.66.0.99");
    assert_eq!(dig("@10.66.0.1 nobody.names.test"), "");
    // Without an explicit server: through the namespace's own resolv.conf and hosts file.
    assert_eq!(dig("one.names.test"), "10.66.0.10");
    assert_eq!(dig("+search one"), "10.66.0.10");
    assert_eq!(lab.says("getent ahostsv4 one.names.test | head -n 1 | cut -d' ' -f1"), "10.66.0.10");
    assert_eq!(lab.says("getent ahostsv4 one | head -n 1 | cut -d' ' -f1"), "10.66.0.10");
}

#[test]
fn the_bridge_forwards_from_its_first_instant() {
    common::build(&["tiny"]);
    let world = World::new();
    let file = world.home.lab("bridge", &text("bridge", "manual", ""));
    let lab = world.up(&file);
    // Checked at once: addresses would be tentative for a second.
    let addresses = lab.json("ip -j addr");
    let links = lab.json("ip -d -j link");
    let ports = lab.json("bridge -j link");
    let of = |list: &Value, kind: &str| -> Value {
        let is = |link: &&Value| {
            link["linkinfo"]["info_kind"] == kind && link["master"].is_string() == (kind == "tun")
        };
        list.as_array().unwrap().iter().find(is).unwrap_or_else(|| panic!("no {kind} in {list}")).clone()
    };
    let bridge = of(&links, "bridge");
    let data = &bridge["linkinfo"]["info_data"];
    assert_eq!(
        (&data["stp_state"], &data["forward_delay"], &data["mcast_snooping"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(bridge["inet6_addr_gen_mode"], "none", "{bridge}");
    assert_eq!(bridge["mtu"], 1400);
    let tap = of(&links, "tun");
    assert_eq!((&tap["master"], &tap["mtu"]), (&bridge["ifname"], &1400.into()), "{tap}");
    assert_eq!(tap["inet6_addr_gen_mode"], "none", "{tap}");
    assert_eq!(ports[0]["state"], "forwarding", "{ports}");

    let ours = addresses.as_array().unwrap().iter().find(|link| link["ifname"] == bridge["ifname"]).unwrap();
    let ours: Vec<String> = ours["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| {
            assert!(address["tentative"].is_null() && address["dadfailed"].is_null(), "{address}");
            format!(
                "{}/{} {}",
                address["local"].as_str().unwrap(),
                address["prefixlen"],
                address["scope"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    assert_eq!(ours[0], "10.66.0.1/24 global");
    assert!(ours[1].starts_with("fe80::") && ours[1].ends_with("/64 link"), "{ours:?}");
    // The node's TAP must have no address through which the host could send on the segment.
    let tap = addresses.as_array().unwrap().iter().find(|link| link["ifname"] == tap["ifname"]).unwrap();
    assert_eq!(tap["addr_info"].as_array().unwrap().len(), 0, "{tap}");
}

#[test]
fn two_labs_use_one_subnet_at_once() {
    common::build(&["tiny"]);
    let world = World::new();
    let (first, second) = (text("first", "manual", ""), text("second", "manual", ""));
    let first = world.up(&world.home.lab("first", &first));
    let second = world.up(&world.home.lab("second", &second));
    for (lab, ours, theirs) in [(&first, "first", "second"), (&second, "second", "first")] {
        let dig = |name: &str| lab.says(&format!("dig +short +time=20 +tries=1 @10.66.0.1 one.{name}.test"));
        assert_eq!(dig(ours), "10.66.0.10");
        // Whatever the host's resolver answers, it is not the node of the other lab.
        let foreign = lab.exec(&format!("dig +short +time=1 +tries=1 @10.66.0.1 one.{theirs}.test"));
        assert_ne!(stdout(&foreign).trim(), "10.66.0.10");
        assert_eq!(lab.json("ip -j link show type bridge").as_array().unwrap().len(), 1);
    }
    first.down();
    // The end of one lab does not affect the other.
    assert_eq!(second.says("dig +short +time=20 +tries=1 @10.66.0.1 one.second.test"), "10.66.0.10");
}

#[test]
fn exec_looks_like_the_caller_and_dies_with_the_lab() {
    common::build(&["tiny"]);
    let world = World::new();
    let file = world.home.lab("exec", &text("exec", "manual", ""));
    let lab = world.up(&file);
    let here = fs::canonicalize(world.home.path()).unwrap();
    let at_home = |script: &str| {
        let mut command = lab.command(&["sh", "-c", script]);
        let done = run(command.current_dir(&here).env("HOME", "/where/i/live").env("MARK", "kept"));
        assert!(done.status.success(), "{}", stderr(&done));
        stdout(&done).trim().to_owned()
    };
    let ids = format!("{} {}", nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!(
        at_home("echo $(id -u) $(id -g); pwd -P; echo $HOME $MARK"),
        format!("{ids}\n{}\n/where/i/live kept", here.display())
    );
    // Files that it writes belong to the caller.
    at_home("echo hello > written");
    let written = fs::metadata(here.join("written")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&written), nix::unistd::geteuid().as_raw());

    assert_eq!(lab.exec("exit 7").status.code(), Some(7));
    assert_eq!(lab.exec("kill -9 $$").status.code(), Some(128 + 9));
    assert_eq!(run(&mut lab.command(&["/no/such/program"])).status.code(), Some(3));
    let mut echo = lab.command(&["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    echo.stdin.take().unwrap().write_all(b"both ways").unwrap();
    assert_eq!(stdout(&echo.wait_with_output().unwrap()), "both ways");

    let mut sleeper = lab.command(&["sh", "-c", "sleep 1000 & wait"]).spawn().unwrap();
    wait_for("the sleeper", Duration::from_secs(5), || {
        lab.exec("pgrep -x sleep").status.success().then_some(())
    });
    lab.down();
    assert!(wait(&mut sleeper, Duration::from_secs(2)).is_some_and(|status| !status.success()));
    world_is_clean(&world);
}

#[test]
fn a_process_of_a_lab_finds_it_by_its_environment() {
    common::build(&["tiny"]);
    let home = Home::new();
    let dryrack = |args: &[&str]| {
        let mut command = home.command(common::DRYRACK);
        // Neither the environment nor the UID tells a process where the lab is: only what the lab adds.
        for variable in ["DRYRACK_STATE", "DRYRACK_RUNTIME", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        command.arg("--state").arg(home.path()).arg("--runtime").arg(home.path().join("r")).args(args);
        run(&mut command)
    };
    // A command without `--lab` must not mean this one.
    let other = home.lab("other", "dryrack = 1\nname = \"other\"\nnetwork.lan.address = \"10.66.1.1/24\"\n");
    let up = dryrack(&["up", "--detach", other.to_str().unwrap()]);
    assert!(up.status.success(), "{}", stderr(&up));
    // It is torn down from within another lab, which waits for its end although it sees none of its processes.
    let next = home.lab("next", "dryrack = 1\nname = \"next\"\nnetwork.lan.address = \"10.66.2.1/24\"\n");
    let up = dryrack(&["up", "--detach", next.to_str().unwrap()]);
    assert!(up.status.success(), "{}", stderr(&up));
    let lab = r#"
        dryrack = 1
        name = "own"
        accel = "tcg"
        network.lan.address = "10.66.0.1/24"

        [profile.tiny]
        kernel = "image:tiny/kernel"
        initrd = "image:tiny/initrd"

        [node.one]
        memory = "128MiB"
        profile = "tiny"
        start = "manual"

        [process.inside]
        run = """
            set -eux
            DRYRACK status --json | grep '"lab": *"own"'
            DRYRACK power on one
            DRYRACK link down one lan
            printf '\\035' | DRYRACK console one
            DRYRACK logs --events one
            DRYRACK runs
            test "$(DRYRACK exec cat /proc/net/dev)" = "$(cat /proc/net/dev)"
            code=0; DRYRACK exec sh -c 'DRYRACK exec sh -c "exit 7"' || code=$?
            test $code = 7
            DRYRACK ssh one -o ConnectTimeout=1 true 2>&1 | grep 'port 22: '
            DRYRACK power off --force one
            DRYRACK down --lab next
            ls "$DRYRACK_RUNTIME"
            test "$(ls "$DRYRACK_RUNTIME" | grep -c 'lock$')" = 2
        """

        [expect.done]
        within = "2m"
        that = { process = "inside" }

        [expect.checks-too]
        within = "2m"
        that = { command = "DRYRACK exec true" }
    "#;
    let own = home.lab("own", &lab.replace("DRYRACK ", &format!("{} ", common::DRYRACK)));
    let tested = dryrack(&["test", own.to_str().unwrap()]);
    let said = stdout(&tested) + &stderr(&tested) + &stdout(&dryrack(&["logs", "--events", "--lab", "own"]));
    assert!(tested.status.success(), "{said}");
    let down = dryrack(&["down", other.to_str().unwrap()]);
    assert!(down.status.success(), "{}", stderr(&down));
    home.assert_clean("after both labs");
}

#[test]
fn a_server_in_a_lab_may_give_up_its_privileges() {
    let home = Home::new();
    let lab = r#"
        dryrack = 1
        name = "drops"
        network.lan.address = "10.66.0.1/24"

        [process.server]
        run = """
            set -eux
            mkdir "$DRYRACK_RUN/data"
            cd "$DRYRACK_RUN/data"
            chown 7:8 .
            setpriv --reuid 7 --regid 8 --groups 9 sh -c '
                test "$(id -u) $(id -g) $(id -G)" = "7 8 8 9"
                mkdir leases
                echo lease >leases/one
            '
        """

        [expect.done]
        that = { process = "server" }
    "#;
    let file = home.lab("drops", lab);
    let tested = run(&mut home.dryrack(["test", file.to_str().unwrap()]));
    let said = stdout(&run(&mut home.dryrack(["logs", "--events"])));
    assert!(tested.status.success(), "{}{}{said}", stdout(&tested), stderr(&tested));
    // Its files belong to the other user, and go away with the run all the same.
    let run_dir = home.run_dir();
    let made = fs::symlink_metadata(run_dir.join("data")).unwrap();
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&made), nix::unistd::geteuid().as_raw());
    let pruned = run(&mut home.dryrack(["runs", "prune", "--keep", "0"]));
    assert!(pruned.status.success() && !run_dir.exists(), "{}", stderr(&pruned));
}

/// Checks that nothing of the lab is left; the link to the internet belongs to the test.
fn world_is_clean(world: &World) {
    wait_for("a clean host", Duration::from_secs(2), || {
        let traces: Vec<String> =
            world.home.traces().into_iter().filter(|trace| !trace.contains(": wire@")).collect();
        traces.is_empty().then_some(())
    });
}
