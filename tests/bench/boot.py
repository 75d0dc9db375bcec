"""How fast a machine netboots through Dryrack, beside booting without a network and through stock servers.

The same QEMU arguments on every side, those of a machine that Dryrack has started; a machine is timed from the start of its
QEMU to its end, which is when tiny has printed its facts and powered off. All sides take turns.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import DRYRACK, TARGET, Place, Results, all_processes, dryrack, find_process, median, now, say
from common import Process, peers, serve_requests, tool

WORK = TARGET / "bench" / "boot"
SERVER = "10.84.0.1"
ADDRESS = "10.84.0.10"
ARGUMENTS = "console=ttyS0 dryrack.poweroff"
# A boot that takes longer hangs.
LONG = 180

LAB = """\
dryrack = 1
name = "bench"

[network.lan]
address = "{server}/24"
nat = false

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = {arguments}

{nodes}
"""

NODE = """\
[node.{name}]
firmware = "{firmware}"
memory = "512MiB"
profile = "tiny"
{count}
"""


def lab(name, *nodes):
    """Writes a lab file and returns it."""
    nodes = "".join(NODE.format(name=n, firmware=f, count=f"count = {c}" if c > 1 else "") for n, f, c in nodes)
    file = WORK / name / "lab.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LAB.format(server=SERVER, arguments=json.dumps(ARGUMENTS.split()), nodes=nodes))
    return file


def qemu(plan, node):
    return plan["nodes"][node]["kind"]["qemu"]


def steps(plan, kind):
    return [step[kind] for step in plan["steps"] if kind in step]


class Up:
    """A lab that is up until its machines have ended."""

    def __init__(self, file, uuids):
        before = all_processes()
        begin = now()
        log = open(file.with_name("dryrack.log"), "w")
        self.command = subprocess.Popen([DRYRACK, "up", file], stdout=log, stderr=log)
        self.machines = [find_process(lambda a, uuid=uuid: uuid in a, 30, before) for uuid in uuids]
        self.first = min(machine.started for machine in self.machines) + 0.01 - begin
        self.supervisor = find_process(lambda a: "@inner" in a, 5, before)

    def wait(self):
        """Waits for the machines; returns their lifetimes and the supervisor's peak memory."""
        lifetimes = [machine.wait(LONG) for machine in self.machines]
        peak = self.supervisor.peak()
        self.command.send_signal(signal.SIGINT)
        self.command.wait(30)
        return lifetimes, peak


class Inside:
    """The place of the peers: a bridge, stock dnsmasq and nginx, and one QEMU at a time."""

    def __init__(self, folder):
        self.folder = Path(folder)
        plan = json.loads((self.folder / "plan.json").read_text())
        self.tap = steps(plan, "tap")[0]["interface"]
        bridge = "bench0"
        for command in [
            "ip link set lo up",
            f"ip link add {bridge} type bridge stp_state 0 forward_delay 0",
            f"ip address add {SERVER}/24 dev {bridge}",
            f"ip link set {bridge} up",
            f"ip tuntap add {self.tap} mode tap vnet_hdr",
            f"ip link set {self.tap} master {bridge} up",
        ]:
            subprocess.run(command.split(), check=True)
        mac = steps(plan, "serve")[0]["hosts"][0]["mac"]
        (self.folder / "dnsmasq.conf").write_text(
            f"interface={bridge}\nbind-interfaces\nport=0\nno-ping\n"
            f"dhcp-range={SERVER},static\ndhcp-host={mac},{ADDRESS}\n"
            f"dhcp-leasefile={self.folder}/leases\npid-file=\n"
            f"dhcp-match=set:ipxe,175\ndhcp-boot=tag:ipxe,http://{SERVER}/boot.ipxe\n"
        )
        www = self.folder / "www"
        (self.folder / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\nuser root;\npid {self.folder}/nginx.pid;\nerror_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; sendfile on;\n"
            + "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in "client_body proxy fastcgi uwsgi scgi".split())
            + f"server {{ listen {SERVER}:80; root {www}; }} }}\n"
        )
        self.servers = [
            subprocess.Popen(command, env=peers(), stderr=open(self.folder / f"{Path(command[0]).name}.log", "w"))
            for command in (
                [tool("dnsmasq"), "--no-daemon", f"--conf-file={self.folder}/dnsmasq.conf"],
                [tool("nginx"), "-c", f"{self.folder}/nginx.conf", "-p", str(self.folder)],
            )
        ]
        time.sleep(0.5)
        for server in self.servers:
            if server.poll() is not None:
                raise SystemExit(f"{server.args[0]} ended with {server.returncode}")

    def boot(self, request):
        """Starts one machine, waits for its end and returns its lifetime."""
        folder = Path(request["folder"])
        console = folder / "console.log"
        console.unlink(missing_ok=True)
        with open(folder / "qemu.log", "w") as log:
            qemu = subprocess.Popen(request["argv"], cwd=folder, stdin=subprocess.DEVNULL, stderr=log)
        lifetime = Process(qemu.pid).wait(LONG)
        qemu.wait()
        if "DRYRACK node=" not in console.read_text(errors="replace"):
            raise SystemExit(f"the machine has not booted, see {console}")
        return lifetime


def without_us(command, folder):
    """Returns a machine's command line for a QEMU that nobody talks to: running at once, its console in a file."""
    argv = command[:1]
    arguments = iter(command[1:])
    for argument in arguments:
        if argument == "-S":
            continue
        if argument in ("-chardev", "-mon"):
            value = next(arguments)
            if argument == "-chardev" and "id=console" in value:
                argv += ["-chardev", f"file,id=console,path={folder}/console.log"]
            continue
        argv.append(argument)
    return argv


class Rehearsal:
    """One firmware's machine, started by Dryrack, directly, and among stock servers."""

    def __init__(self, firmware, kernel, initrd):
        self.firmware = firmware
        self.file = lab(firmware, (firmware, firmware, 1))
        self.folder = self.file.parent
        plan = json.loads(dryrack("plan", "--json", self.file))
        (self.folder / "plan.json").write_text(json.dumps(plan))
        machine = qemu(plan, firmware)
        self.templates = [step["template"] for step in steps(plan, "variables")]
        self.uuid = machine["identity"]["uuid"]
        up = Up(self.file, [self.uuid])
        self.argv = without_us(up.machines[0].arguments(), self.folder)
        up.wait()
        # Without the NIC's ROM: even where nothing boots from it, SeaBIOS shows its banner for two seconds.
        self.direct = [f"{argument},romfile=" if "netdev=" in argument else argument for argument in self.argv]
        self.direct += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", ARGUMENTS]
        for name, content in machine["files"].items():
            (self.folder / name).write_bytes(bytes(content))
        www = self.folder / "www"
        www.mkdir(exist_ok=True)
        (www / "kernel").write_bytes(kernel.read_bytes())
        (www / "initrd").write_bytes(initrd.read_bytes())
        (www / "boot.ipxe").write_text(
            f"#!ipxe\nkernel http://{SERVER}/kernel initrd=initrd0 {ARGUMENTS}\n"
            f"initrd --name initrd0 http://{SERVER}/initrd\nboot\n"
        )
        self.place = Place(__file__, self.folder)
        self.seconds = {"dryrack": [], "direct": [], "stock": []}
        self.first = []

    def without_dryrack(self, argv):
        for template in self.templates:
            (self.folder / "vars.fd").write_bytes(Path(template).read_bytes())
        return self.place.ask({"folder": str(self.folder), "argv": argv})

    def round(self):
        """Lets each side boot once."""
        up = Up(self.file, [self.uuid])
        self.first.append(up.first)
        self.seconds["dryrack"].append(up.wait()[0][0])
        self.seconds["direct"].append(self.without_dryrack(self.direct))
        self.seconds["stock"].append(self.without_dryrack(self.argv))
        last = ", ".join(f"{side} {seconds[-1]:.2f} s" for side, seconds in self.seconds.items())
        say(f"{self.firmware}: {last}; QEMU after {up.first:.2f} s")

    def judge(self, results, direct, stock):
        """Adds the figures, with the bars of the two ratios."""
        for side, seconds in self.seconds.items():
            results.add(f"{self.firmware}: {side}", median(seconds), "s")

        # Of each round by itself: what else the host does changes from round to round.
        def ratio(side):
            return median(ours / theirs for ours, theirs in zip(self.seconds["dryrack"], self.seconds[side]))

        results.add(f"{self.firmware}: dryrack / direct -kernel", ratio("direct"), "", direct)
        results.add(f"{self.firmware}: dryrack / dnsmasq + nginx", ratio("stock"), "", stock)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side boots")
    rounds = parser.parse_args().rounds

    subprocess.run([DRYRACK, "image", "build", "tiny"], check=True, stdout=sys.stderr)
    images = json.loads(dryrack("image", "list", "--json"))
    tiny = next(image["files"] for image in images if image["image"] == "tiny")
    kernel, initrd = (Path(tiny[file]["path"]) for file in ("kernel", "initrd"))

    # The first lab on a host also finds out whether KVM can be used; that answer is kept.
    three = lab("three", ("bios", "bios", 1), ("uefi", "uefi", 2))
    plan = json.loads(dryrack("plan", "--json", three))
    uuids = [qemu(plan, node)["identity"]["uuid"] for node in plan["nodes"]]
    say("three machines at once")
    _, peak = Up(three, uuids).wait()

    rehearsals = [Rehearsal(firmware, kernel, initrd) for firmware in ("bios", "uefi")]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for rehearsal in rehearsals:
            rehearsal.round()
    for rehearsal in rehearsals:
        rehearsal.place.close()

    results = Results("boot")
    bios, uefi = rehearsals
    bios.judge(results, direct=1.6, stock=0.2)
    uefi.judge(results, direct=1.3, stock=0.5)
    results.add("up until the first QEMU runs", median(bios.first + uefi.first), "s", 0.3)
    results.add("supervisor's peak memory, 3 nodes", peak / 1e6, "MB", 40)
    return results.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["@inside"]:
        serve_requests(Inside(sys.argv[2]).boot)
    else:
        sys.exit(main())
