"""TFTP: bytes a second beside tftpd-hpa and dnsmasq, to one client and to 200 at once.

Each client asks every side for the same; a server that does not know `windowsize` leaves it out (RFC 7440,
section 3), and of its figures with and without the better one counts.
"""

import contextlib
import os
import subprocess

from common import now, say
from rig import WORK, run, SERVER_END

SERVER = "10.90.0.1"
NETWORK = f"{SERVER}/24"
CLIENT = "10.90.0.2/24"
FOLDER = WORK / "tftp" / "files"
# Name to bytes.
LARGE, SMALL = ("large", 64 << 20), ("small", 10 << 20)
CLIENTS = 200

LAB = f"""
[network.lan]
address = "{NETWORK}"
interface = "{SERVER_END}"
dhcp = "off"
root = "{FOLDER}"
"""


def tftpd_hpa():
    return ["in.tftpd", "--foreground", "--secure", "--address", f"{SERVER}:69", FOLDER]


def dnsmasq():
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--pid-file=",
        "--port=0",
        "--enable-tftp",
        f"--tftp-root={FOLDER}",
        # It has a limit of 50.
        f"--tftp-max={2 * CLIENTS}",
        f"--listen-address={SERVER}",
        "--bind-interfaces",
    ]


def listens(_server):
    return f"{SERVER}:69 " in run("ss", "-Hlnu")


@contextlib.contextmanager
def side(rig, name):
    """One of the three, up while the block runs."""
    if name == "dryrack":
        with rig.ours("tftp", LAB) as server:
            yield server
        return
    command = {"tftpd-hpa": tftpd_hpa, "dnsmasq": dnsmasq}[name]()
    with rig.peer("tftp", name, command, NETWORK, listens) as server:
        yield server


def curl(file):
    """A client that asks for blocks of 1468 bytes, one at a time."""
    return ["curl", "--silent", "--show-error", "--output", "/dev/null", "--tftp-blksize", "1468", f"tftp://{SERVER}/{file}"]


def atftp(file):
    """A client that asks for blocks of 1468 bytes, 16 of them before it answers."""
    options = ["--option", "blksize 1468", "--option", "windowsize 16"]
    return ["atftp", "--get", *options, "--remote-file", file, "--local-file", "/dev/null", SERVER]


def one(rig, command, size):
    """Fetches a file once; returns megabytes a second."""
    begun = now()
    done = rig.client(*command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return size / (now() - begun) / 1e6


def many(rig, server, command, size):
    """Fetches a file by many clients at once; returns megabytes a second in total, and seconds of the server."""
    script = f"for i in $(seq {CLIENTS}); do {' '.join(quoted(command))} & all=\"$all $!\"; done; " + (
        "for one in $all; do wait $one || exit 1; done"
    )
    before, begun = server.usage.look().seconds, now()
    done = rig.client("sh", "-c", script, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"a client of {server.side} failed: {done.stderr[-500:]}")
    return CLIENTS * size / (now() - begun) / 1e6, server.usage.look().seconds - before


def quoted(command):
    return [f"'{word}'" for word in command]


def measure(rig, table, rounds):
    """Adds the rows of TFTP."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, size in (LARGE, SMALL):
        if not (FOLDER / name).exists() or (FOLDER / name).stat().st_size != size:
            (FOLDER / name).write_bytes(os.urandom(size))
    figures = {what: {} for what in ("single", "window", "crowd")}
    with rig.client_address(CLIENT):
        for number in range(rounds):
            for name in ("dryrack", "tftpd-hpa", "dnsmasq"):
                say(f"tftp, round {number + 1} of {rounds}: {name}")
                with side(rig, name) as server:
                    single = one(rig, curl(LARGE[0]), LARGE[1])
                    window = one(rig, atftp(LARGE[0]), LARGE[1])
                    crowd, _ = many(rig, server, atftp(SMALL[0]), SMALL[1])
                say(f"  {single:.0f}, {window:.0f}, {crowd:.0f} MB/s")
                best = max(single, window) if name != "dryrack" else window
                for what, value in (("single", single), ("window", best), ("crowd", crowd)):
                    figures[what].setdefault(name, []).append(value)
    rows = (
        ("single", "TFTP, one client, blksize 1468", 1.5),
        ("window", "TFTP, one client, blksize 1468, windowsize 16", 4),
        ("crowd", f"TFTP, {CLIENTS} clients of a 10 MB file at once", 2),
    )
    for what, work, bar in rows:
        ours = figures[what].pop("dryrack")
        table.row(work, "MB/s", ours, figures[what], bar=bar)
