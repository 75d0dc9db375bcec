"""DNS: questions a second beside dnsmasq, names of its own and names of others that it knows by now, by dnsperf."""

import re
import sys
from contextlib import contextmanager

from common import now
from rig import SERVER_END, WORK, wait_for

SERVER = "10.88.0.1"
CLIENT = "10.88.0.2"
NETWORK = f"{SERVER}/24"
NAMES = 1000
SECONDS = 5
# The most that may be left without an answer.
LOST = 0.01

# Answers everything with one address that holds for a day.
OTHER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    packet, client = server.recvfrom(4096)
    end = packet.index(0, 12) + 5
    record = bytes([0xC0, 12, 0, 1, 0, 1, 0, 1, 0x51, 0x80, 0, 4, 192, 0, 2, 7])
    server.sendto(packet[:2] + bytes([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]) + packet[12:end] + record, client)
"""


def address(number):
    return f"10.89.{number // 200}.{number % 200 + 1}"


def own_questions():
    """A rack's: mostly addresses, some of the other family, some names that are not there, some pointers."""
    for number in range(NAMES):
        name = f"node-{number}.lab.test"
        yield f"{name} A"
        if number % 5 == 0:
            yield f"{name} AAAA"
        if number % 10 == 0:
            yield f"nobody-{number}.lab.test A"
            yield ".".join(reversed(address(number).split("."))) + ".in-addr.arpa PTR"


def other_questions():
    return (f"host-{number}.example A" for number in range(NAMES))


def lab():
    records = "\n".join(f'node-{number} = "{address(number)}"' for number in range(NAMES))
    return f"""
[network.lan]
address = "{NETWORK}"
interface = "{SERVER_END}"
dhcp = "off"
dns.domain = "lab.test"
dns.upstream = ["{CLIENT}"]
[network.lan.dns.records]
{records}
"""


def dnsmasq(folder):
    folder.mkdir(parents=True, exist_ok=True)
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{address(number)} node-{number}.lab.test\n" for number in range(NAMES)))
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        f"--addn-hosts={hosts}",
        "--local=/lab.test/",
        f"--server={CLIENT}",
        f"--listen-address={SERVER}",
        "--bind-interfaces",
        # The most that it takes, so that it answers from its cache too.
        "--cache-size=10000",
    ]


def ask(rig, file, seconds=None):
    """Asks what is in a file, once or for some time; returns answers a second and the part that was lost."""
    length = ["-l", seconds] if seconds else ["-n", 1]
    command = ["dnsperf", "-s", SERVER, "-d", file, "-t", 2, *length]
    done = rig.client(*command, capture_output=True)
    rate = re.search(r"Queries per second:\s+([0-9.]+)", done.stdout)
    lost = re.search(r"Queries lost:\s+\d+ \(([0-9.]+)%\)", done.stdout)
    if done.returncode != 0 or not rate or not lost:
        raise SystemExit(f"dnsperf ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return float(rate[1]), float(lost[1]) / 100


@contextmanager
def other(rig):
    """The name server that both sides ask."""
    process = rig.start_client(sys.executable, "-c", OTHER, CLIENT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def answers(rig, name):
    done = rig.client("dig", f"@{SERVER}", "+short", "+tries=1", "+time=1", name, capture_output=True)
    return done.stdout.strip()


def take_turn(rig, files, figures, server):
    """Measures one side."""
    for what, file in files.items():
        # Both know the answers before the clock starts.
        ask(rig, file)
        before, begun = server.usage.look().seconds, now()
        rate, lost = ask(rig, file, SECONDS)
        busy = (server.usage.look().seconds - before) / (now() - begun)
        if lost > LOST:
            raise SystemExit(f"{server.side} left {lost:.1%} of the questions without an answer")
        figures[what].setdefault(server.side, []).append((rate, busy / rate * 1e6))


def measure(rig, table, rounds):
    """Adds the rows of DNS."""
    folder = WORK / "dns"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for what, questions in (("names of the lab", own_questions()), ("names of others, known by now", other_questions())):
        files[what] = folder / f"{what.split(',')[0].replace(' ', '-')}.txt"
        files[what].write_text("\n".join(questions) + "\n")
    figures = {what: {} for what in files}
    expected = {"node-7.lab.test": address(7), "host-7.example": "192.0.2.7"}

    def ready(_server):
        return all(answers(rig, name) == address for name, address in expected.items())

    for _ in range(rounds):
        with rig.client_address(f"{CLIENT}/24"), other(rig):
            with rig.peer("dns", "dnsmasq", dnsmasq(folder / "dnsmasq"), NETWORK, ready) as server:
                take_turn(rig, files, figures, server)
            with rig.ours("dns", lab()) as server:
                wait_for("ours to answer", lambda: ready(server), 20)
                take_turn(rig, files, figures, server)
    for what, sides in figures.items():
        rates = {side: [rate for rate, _ in taken] for side, taken in sides.items()}
        costs = {side: sum(cost for _, cost in taken) / len(taken) for side, taken in sides.items()}
        note = ", ".join(f"{side} {cost:.1f} µs of CPU each" for side, cost in costs.items())
        ours = rates.pop("dryrack")
        # Answers of others are bytes from a cache on both sides: no bar.
        bar = 1.5 if "lab" in what else None
        table.row(f"DNS by UDP, {what}", "questions/s", ours, rates, bar=bar, note=note)
