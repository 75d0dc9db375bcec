"""What 200 BMCs in one supervisor take, each asked once a second by Redfish and by IPMI, and how fast they answer.

All of it is one run of one lab: the load over connections that are kept; one client of Redfish alone; ipmitool beside
ipmi_sim, in turns; a serial console whose machine prints more than 500 numbered lines a second. The clients run in the
network of the lab. A node that waits for its power has a QEMU that is stopped, so this needs about 9 GB of memory.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bmc_client import LINES
from common import DRYRACK, TARGET, TICK, Results, all_processes, find_process, now, peers, say, tool

WORK = TARGET / "bench" / "bmc"
CLIENT = Path(__file__).with_name("bmc_client.py")
BMCS = 200
SECONDS = 30
# What 200 BMCs may take: share of one core in percent, memory in megabytes.
CPU, MEMORY = 25, 120
# Most milliseconds of `ipmitool power status` and of a Redfish request; least lines a second on a serial console.
IPMITOOL, REDFISH, LINES_A_SECOND = 60, 1, 500

LAB = f"""\
dryrack = 1
name = "bench"
accel = "tcg"
network.mgmt = {{ address = "10.91.0.1/23", dhcp = "off", bmc = {{}} }}

[node.quiet]
count = {BMCS - 1}
memory = "64MiB"
start = "manual"

[node.prints]
memory = "64MiB"
start = "manual"
disk.root = {{ size = "1MiB", source = "disk.img" }}
"""

# A boot sector. It waits for a key (the BIOS has it from the serial line), and then writes 32 lines to the serial line
# at each of the 18.2 ticks a second, with four digits from A to P and the text behind it:
#   start: xor ax,ax; mov ds,ax; cld; int 16h; xor bx,bx
#   tick:  mov ax,[46ch]
#   again: hlt; cmp ax,[46ch]; je again; mov cx,32
#   line:  push cx; mov cx,4
#   digit: rol bx,4; mov al,bl; and al,0fh; add al,'A'; call put; loop digit; mov si,text
#   char:  lodsb; test al,al; jz next; call put; jmp char
#   next:  pop cx; inc bx; cmp bx,LINES; je end; loop line; jmp tick
#   put:   push ax; mov dx,3fdh
#   full:  in al,dx; test al,20h; jz full; pop ax; mov dl,0f8h; out dx,al; ret
#   end:   hlt; jmp end
PROGRAM = (
    "31c08ed8fccd1631dba16c04f43b066c0474f9b9200051b90400c1c304"
    "88d8240f0441e81b00e2f2be527cac84c07405e80e00ebf6594381fb{lines}"
    "7412e2d7ebc850bafd03eca82074fb58b2f8eec3f4ebfd"
)
TEXT = b" line of the bench, as long as one that a kernel prints\r\n\0"


def disk():
    program = bytes.fromhex(PROGRAM.format(lines=LINES.to_bytes(2, "little").hex())) + TEXT
    return (program.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")


class Lab:
    """The lab, up until it is closed."""

    def __init__(self):
        # Runs are kept, and this one has 200 folders of machines.
        shutil.rmtree(WORK, ignore_errors=True)
        for folder in ("state", "run"):
            (WORK / folder).mkdir(mode=0o700, parents=True)
        (WORK / "lab.toml").write_text(LAB)
        (WORK / "disk.img").write_bytes(disk())
        self.environment = {
            **os.environ,
            "DRYRACK_STATE": str(WORK / "state"),
            "DRYRACK_RUNTIME": str(WORK / "run"),
        }
        before, begin = all_processes(), now()
        with open(WORK / "log", "w") as log:
            self.command = subprocess.Popen(
                [DRYRACK, "up", WORK / "lab.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        run_folder = str(WORK / "state" / "runs")
        self.supervisor = find_process(
            lambda a: "@inner" in a and any(word.startswith(run_folder) for word in a), 30, before
        )
        while not self.is_up():
            if self.command.poll() is not None or now() - begin > 300:
                raise SystemExit(f"the lab does not come up, see {WORK / 'log'}")
            time.sleep(0.1)
        self.took = now() - begin

    def is_up(self):
        logs = (WORK / "state" / "runs").glob("*/events.jsonl")
        return any('"kind":"lab-up"' in log.read_text() for log in logs)

    def addresses(self):
        """Returns the addresses of all BMCs, that of the node that prints last."""
        (plan,) = (WORK / "state" / "runs").glob("*/plan.json")
        nodes = json.loads(plan.read_text())["nodes"]
        address = lambda name: nodes[name]["bmc"]["address"].partition("/")[0]
        return [address(name) for name in nodes if name != "prints"] + [address("prints")]

    def start(self, *words):
        """Starts a client in the network of the lab."""
        command = [DRYRACK, "exec", "--lab", "bench", "--", sys.executable, CLIENT, *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)

    def run(self, *words):
        """Runs a client to its end and returns its figures."""
        return figures(self.start(*words))

    def cpu(self):
        """Returns the seconds of CPU that the supervisor has taken, without its children."""
        stat = Path(f"/proc/{self.supervisor.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * TICK

    def resident(self):
        """Returns its memory in megabytes: all that is resident, and that part which is not a file."""
        kilobytes = {}
        for line in Path(f"/proc/{self.supervisor.pid}/status").read_text().splitlines():
            with contextlib.suppress(ValueError, IndexError):
                kilobytes[line.partition(":")[0]] = int(line.split()[1])
        return kilobytes["VmHWM"] / 1000, kilobytes["RssAnon"] / 1000

    def close(self):
        self.command.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.command.wait(60)
            return
        self.command.kill()
        raise SystemExit("the lab does not come down")


def figures(client):
    """Reads the last line that a client prints."""
    said = client.communicate()[0]
    if client.returncode != 0:
        raise SystemExit(f"a client failed: {said}")
    return json.loads(said.splitlines()[-1])


def measure_load(lab, results):
    addresses = lab.addresses()
    rested, begin = lab.cpu(), now()
    time.sleep(10)
    results.add(f"CPU of {BMCS} BMCs that nobody asks", 100 * (lab.cpu() - rested) / (now() - begin), "%")
    client = lab.start("load", SECONDS, *addresses)
    if client.stdout.readline() != "connected\n":
        raise SystemExit("the clients did not log in")
    before, begin = lab.cpu(), now()
    load = figures(client)
    share = 100 * (lab.cpu() - before) / (now() - begin)
    asked = BMCS * SECONDS
    if load["redfish"]["count"] != asked or load["ipmi"]["count"] != asked:
        raise SystemExit("not every request was answered")
    results.add(f"CPU of {BMCS} BMCs, each asked once a second by Redfish and IPMI", share, "%", bar=CPU)
    most, anonymous = lab.resident()
    results.add("its memory at most", most, "MB", bar=MEMORY)
    results.add("of this, not a file", anonymous, "MB")
    for kind, name in (("redfish", "Redfish"), ("ipmi", "IPMI")):
        results.add(f"{name} under this load, median", load[kind]["median"] * 1e3, "ms")
        results.add(f"{name} under this load, 99th percentile", load[kind]["late"] * 1e3, "ms")


def main(arguments):
    parser = argparse.ArgumentParser(prog="ci/bench bmc", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="how often ipmitool asks each side; the median counts")
    rounds = parser.parse_args(arguments).rounds
    results = Results("bmc")
    say(f"starting {BMCS} nodes")
    lab = Lab()
    try:
        results.add(f"{BMCS} nodes are up after", lab.took, "s")
        say("load")
        measure_load(lab, results)
        *_, quiet, prints = lab.addresses()
        say("Redfish")
        alone = lab.run("system", 2000, quiet)
        results.add("Redfish Systems/1, one client, median", alone["median"] * 1e3, "ms", bar=REDFISH)
        results.add("Redfish Systems/1, one client, 99th percentile", alone["late"] * 1e3, "ms")
        say("ipmitool")
        simulator = (WORK / "sim", tool("ipmi_sim"), peers()["LD_LIBRARY_PATH"])
        taken = lab.run("status", rounds, quiet, *simulator)
        status = {side: times["median"] * 1e3 for side, times in taken.items()}
        results.add("ipmitool power status", status["ours"], "ms", bar=IPMITOOL)
        results.add("ipmitool power status, suite 3", status["ours, suite 3"], "ms", bar=IPMITOOL)
        results.add("ipmitool power status of ipmi_sim, suite 3", status["ipmi_sim, suite 3"], "ms")
        ratio = status["ours, suite 3"] / status["ipmi_sim, suite 3"]
        results.add("ipmitool power status, suite 3, ours to ipmi_sim", ratio, "")
        say("serial console")
        console = lab.run("console", prints)
        results.add("lines a second over SOL", console["rate"], "/s", least=LINES_A_SECOND)
        results.add(f"of {LINES} lines, lost", console["lost"], "", bar=0)
        if console["lost"] == 0 and not console["in order"]:
            raise SystemExit("lines came twice, or not in their order")
    finally:
        lab.close()
    return results.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
