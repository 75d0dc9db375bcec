"""DHCP: four-way exchanges a second beside Kea, leases on disk, driven by perfdhcp.

perfdhcp speaks as a relay. Its rate is raised until more than one exchange in a hundred stays unfinished; what
counts is the highest rate at which none of a server's runs did.
"""

import contextlib
import json
import re
import subprocess
import time

from common import DRYRACK, median, now, say, tool
from rig import SERVER_END, WORK, run

SERVER = "10.86.0.1"
NETWORK = f"{SERVER}/15"
# perfdhcp speaks as a relay of this address.
CLIENT = "10.87.255.2/15"
POOL = ("10.86.1.0", "10.87.200.0")
# Fewer than the pool has addresses, so that it does not run out.
CLIENTS = 100_000
# The most that may be left without an answer.
DROPS = 0.01
# Seconds of one run.
PERIOD = 4
LEAST, MOST = 1_000, 64_000
# Rates are found to so many parts of themselves.
NEAR = 1.08

RESERVATIONS = (10, 100, 1_000, 10_000)
# Exchanges a second while the cost of reservations is measured: no server's limit.
EASY = 2_000
NODES = (1, 10, 100)

LAB = f"""
[network.lan]
address = "{NETWORK}"
interface = "{SERVER_END}"

[network.lan.dhcp.server]
authoritative = true
unknown-clients = "answer"
pool = ["{POOL[0]}", "{POOL[1]}"]
"""


def kea(folder, reservations=()):
    """Kea's command and surroundings: leases in a file, as it comes, written and not synced."""
    folder.mkdir(parents=True, exist_ok=True)
    leases = folder / "leases.csv"
    # A run that was killed also leaves a process id, which another process has in the next namespace.
    for file in [*folder.glob("leases.csv*"), *folder.glob("*.pid")]:
        file.unlink()
    subnet = {"subnet": NETWORK.replace(SERVER, "10.86.0.0"), "pools": [{"pool": " - ".join(POOL)}]}
    if reservations:
        subnet["reservations"] = [{"hw-address": mac, "ip-address": address} for mac, address in reservations]
    settings = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": [SERVER_END], "re-detect": False},
            "lease-database": {"type": "memfile", "persist": True, "name": str(leases), "lfc-interval": 0},
            "valid-lifetime": 3600,
            "subnet4": [subnet],
            "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": "stderr"}]}],
        }
    }
    file = folder / "kea.conf"
    file.write_text(json.dumps(settings))
    # Where it puts what it would put into the system.
    surroundings = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
    return [tool("kea-dhcp4"), "-c", str(file)], surroundings


def listens(server):
    return ":67 " in run("ss", "-Hlnu")


@contextlib.contextmanager
def side(rig, name, reservations=()):
    """One of the two, up while the block runs."""
    if name == "kea":
        command, surroundings = kea(WORK / "dhcp" / "kea", reservations)
        with rig.peer("dhcp", "kea", command, NETWORK, listens, surroundings) as server:
            yield server
        return
    lab = LAB
    if reservations:
        lab += "[network.lan.dhcp.server.reservations]\n"
        lab += "".join(f'"{mac}" = "{address}"\n' for mac, address in reservations)
    with rig.ours("dhcp", lab) as server:
        yield server


def drive(rig, rate, seconds=PERIOD, clients=("-R", CLIENTS)):
    """Offers exchanges at a rate; returns those that were completed a second, and the part that was not."""
    # With two threads it is slower where there are two cores.
    command = ["-4", "-g", "single", "-r", rate, "-p", seconds, "-W", 1_000_000, *clients, SERVER]
    done = rig.client(tool("perfdhcp"), *command, capture_output=True)
    sent = [int(number) for number in re.findall(r"^sent packets: (\d+)", done.stdout, re.M)]
    received = [int(number) for number in re.findall(r"^received packets: (\d+)", done.stdout, re.M)]
    if len(sent) != 2 or len(received) != 2 or not sent[0]:
        raise SystemExit(f"perfdhcp ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return received[1] / seconds, 1 - received[1] / sent[0]


def highest(rig):
    """Finds the most exchanges a second with so few drops."""

    def clean(rate):
        # Once more, where something else on this host came between.
        for _ in range(2):
            done, drops = drive(rig, rate)
            say(f"  {rate}/s offered: {done:.0f}/s, {100 * drops:.2f} % dropped")
            if drops < DROPS:
                return done
        return None

    # The first clients are strangers; later ones renew.
    drive(rig, LEAST, 2)
    low, high, best = LEAST, MOST, 0
    rate = 8_000
    while high / low > NEAR:
        done = clean(rate)
        if done is None:
            high = rate
        else:
            low, best = rate, max(best, done)
            # Beyond what the client itself can offer nothing is learnt.
            if done < 0.9 * rate:
                break
        rate = min(2 * low, high) if high == MOST else int((low * high) ** 0.5)
        if rate in (low, high):
            break
    return best


def throughput(rig, table, rounds):
    figures, seconds = {"dryrack": [], "kea": []}, {"dryrack": [], "kea": []}
    for number in range(rounds):
        for name in figures:
            say(f"dhcp, round {number + 1} of {rounds}: {name}")
            with side(rig, name) as server:
                figures[name].append(highest(rig))
                before = server.usage.look().seconds
                done, _ = drive(rig, EASY)
                seconds[name].append((server.usage.look().seconds - before) / (done * PERIOD) * 1e6)
    work = "DHCP exchanges/s with < 1 % drops, leases on disk"
    table.row(work, "/s", figures["dryrack"], {"kea": figures["kea"]}, bar=1.0)
    table.row("DHCP, processor time of one exchange", "µs", seconds["dryrack"], {"kea": seconds["kea"]})


def reserved(count):
    """MAC addresses with an address each, outside of the pool's range."""
    mac = lambda number: "52:54:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(4, "big"))
    address = lambda number: f"10.87.{201 + number // 250}.{1 + number % 250}"
    return [(mac(number), address(number)) for number in range(count)]


def growth(rig, table, rounds):
    """What more reservations cost."""
    for count in RESERVATIONS:
        reservations = reserved(count)
        macs = WORK / "dhcp" / "macs"
        macs.write_text("".join(f"{mac}\n" for mac, _ in reservations))
        cost, begin = {"dryrack": [], "kea": []}, {"dryrack": [], "kea": []}
        for _ in range(rounds):
            for name in cost:
                started = now()
                with side(rig, name, reservations) as server:
                    begin[name].append((now() - started) * 1000)
                    before = server.usage.look().seconds
                    done, drops = drive(rig, EASY, clients=("-M", macs))
                    used = server.usage.look().seconds - before
                    if drops >= DROPS:
                        raise SystemExit(f"{name} with {count} reservations dropped {100 * drops:.1f} % of {EASY}/s")
                    cost[name].append(used / (done * PERIOD) * 1e6)
        table.row(f"DHCP, {count} reservations, processor time of one exchange", "µs", cost["dryrack"], {"kea": cost["kea"]})
        table.row(f"DHCP, {count} reservations, until it answers", "ms", begin["dryrack"], {"kea": begin["kea"]})


def plans(table, rounds):
    """What more nodes cost before anything runs."""
    folder = WORK / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    for count in NODES:
        file = folder / "lab.toml"
        file.write_text(
            'dryrack = 1\nname = "bench"\naccel = "tcg"\n[network.lan]\naddress = "10.86.0.1/16"\n'
            '[profile.tiny]\nkernel = "image:tiny/kernel"\ninitrd = "image:tiny/initrd"\n'
            f'[node.n]\ncount = {count}\nmemory = "64MiB"\nprofile = "tiny"\nstart = "manual"\n'
        )
        took = []
        for _ in range(max(rounds, 3)):
            begin = time.perf_counter()
            subprocess.run([DRYRACK, "plan", "--json", file], check=True, stdout=subprocess.DEVNULL)
            took.append((time.perf_counter() - begin) * 1000)
        table.row(f"`dryrack plan` of {count} node{'s' if count > 1 else ''}", "ms", [median(took)], {})


def measure(rig, table, rounds):
    """Adds the rows of DHCP, and those of plans."""
    with rig.client_address(CLIENT):
        throughput(rig, table, rounds)
        growth(rig, table, rounds)
    plans(table, rounds)
