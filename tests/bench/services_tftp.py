"""TFTP: bytes a second beside tftpd-hpa and dnsmasq, to one client and to 200 at once.

Each client asks every side for the same; a server that does not know `windowsize` leaves it out (RFC 7440,
section 3), and of its figures with and without the better one counts.
"""

import os

from common import median, say
from rig import SERVER_END, WORK, run

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


def curl(file):
    """A client that asks for blocks of 1468 bytes, one at a time."""
    return ["curl", "--silent", "--show-error", "--output", "/dev/null", "--tftp-blksize", "1468", f"tftp://{SERVER}/{file}"]


def atftp(file):
    """A client that asks for blocks of 1468 bytes, 16 of them before it answers."""
    options = ["--option", "blksize 1468", "--option", "windowsize 16"]
    return ["atftp", "--get", *options, "--remote-file", file, "--local-file", "/dev/null", SERVER]


def rate(rig, server, clients, command, size):
    """Fetches a file by so many clients at once; returns megabytes a second in total."""
    return clients * size / rig.crowd(server, clients, command) / 1e6


def measure(rig, table, rounds):
    """Adds the rows of TFTP."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, size in (LARGE, SMALL):
        if not (FOLDER / name).exists() or (FOLDER / name).stat().st_size != size:
            (FOLDER / name).write_bytes(os.urandom(size))
    figures = {what: {} for what in ("single", "window", "crowd")}
    peers = {"tftpd-hpa": tftpd_hpa(), "dnsmasq": dnsmasq()}
    with rig.client_address(CLIENT):
        for number in range(rounds):
            for name in ("dryrack", *peers):
                say(f"tftp, round {number + 1} of {rounds}: {name}")
                with rig.side("tftp", name, LAB, NETWORK, peers, listens) as server:
                    single = median(rate(rig, server, 1, curl(LARGE[0]), LARGE[1]) for _ in range(3))
                    window = median(rate(rig, server, 1, atftp(LARGE[0]), LARGE[1]) for _ in range(3))
                    crowd = rate(rig, server, CLIENTS, atftp(SMALL[0]), SMALL[1])
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
