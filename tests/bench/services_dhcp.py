"""DHCP: four-way exchanges a second beside Kea, leases on disk, driven by perfdhcp."""

import json
import re

from common import say, tool
from rig import CLIENT_END, SERVER_END

SERVER = "10.86.0.1"
NETWORK = f"{SERVER}/15"
# perfdhcp speaks as a relay of this address.
CLIENT = "10.87.255.2/15"
POOL = ("10.86.1.0", "10.87.200.0")
# The most that may be left without an answer.
DROPS = 0.01

LAB = f"""
[network.lan]
address = "{NETWORK}"
interface = "{SERVER_END}"
dhcp.server.pool = ["{POOL[0]}", "{POOL[1]}"]
"""


def kea(folder):
    """Kea's settings: leases in a file, as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    leases = folder / "leases.csv"
    leases.unlink(missing_ok=True)
    settings = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": [SERVER_END], "re-detect": False},
            "lease-database": {"type": "memfile", "persist": True, "name": str(leases), "lfc-interval": 0},
            "valid-lifetime": 3600,
            "subnet4": [{"subnet": NETWORK.replace(SERVER, "10.86.0.0"), "pools": [{"pool": " - ".join(POOL)}]}],
            "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": "stderr"}]}],
        }
    }
    file = folder / "kea.conf"
    file.write_text(json.dumps(settings, indent=2))
    return [tool("kea-dhcp4"), "-c", str(file)]


def environment(folder):
    """Where Kea puts what it would put into the system."""
    return {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}


def drive(rig, rate, seconds):
    """Offers exchanges at a rate; returns those that were completed a second, and the part that was not."""
    command = ["perfdhcp", "-4", "-r", rate, "-p", seconds, "-R", 1_000_000, "-l", CLIENT_END, SERVER]
    done = rig.client(tool(command[0]), *command[1:], capture_output=True)
    sent = [int(number) for number in re.findall(r"sent packets: (\d+)", done.stdout)]
    received = [int(number) for number in re.findall(r"received packets: (\d+)", done.stdout)]
    if len(sent) != 2 or len(received) != 2 or not sent[0]:
        raise SystemExit(f"perfdhcp ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return received[1] / seconds, 1 - received[1] / sent[0]


def measure(rig, table, rounds):
    """Adds the rows of DHCP."""
    say("dhcp: not measured yet")
