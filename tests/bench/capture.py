"""What the capture of frames costs, and what it loses: labs with it and without it take turns.

Loss and memory are measured in network namespaces of their own, at the end of a cable into the lab's bridge; the share
of a netboot's time with machines that boot from the lab.
"""

import argparse
import json
import struct
import subprocess
import sys
import time

from boot import Up, lab, qemu
from common import DRYRACK, TARGET, Results, dryrack, median, say
from rig import CLIENT_END, INSIDE, SERVER_END, Rig, enter

FIGURES = TARGET / "bench" / "capture.figures.json"
RATE = 50_000
SECONDS = 10
# Small packets, and those of a transfer.
SIZES = (100, 1400)
ADDRESS = "10.85.0.1"
LAB = """\
{capture}
[network.lan]
address = "10.85.0.1/24"
interface = "{interface}"
dhcp.server.authoritative = true
"""

# Sends numbered packets of UDP to the discard port: rate, seconds, size, hardware address of the bridge.
SENDER = """
import socket, struct, sys, time
device, rate, seconds, size, mac = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
sender.bind((device, 0))
length = size - 14
ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 17, 0, bytes([10, 85, 0, 77]), bytes([10, 85, 0, 1]))
total = sum(struct.unpack(">10H", ip))
total = (total & 0xffff) + (total >> 16)
ip = ip[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xffff) + ip[12:]
head = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000077") + b"\\x08\\x00" + ip
frame = head + struct.pack(">HHHH", 4000, 9, length - 20, 0) + bytes(length - 28)
begun, sent, all = time.monotonic(), 0, rate * seconds
while sent < all:
    due = min(all, int((time.monotonic() - begun) * rate))
    for _ in range(due - sent):
        sender.send(frame)
    sent = max(sent, due)
    time.sleep(0.001)
print(sent, time.monotonic() - begun)
"""


def blocks(file):
    """Yields type and body of every block of a pcapng file."""
    with open(file, "rb") as content:
        while head := content.read(8):
            kind, length = struct.unpack("<II", head)
            body = content.read(length - 8)
            if len(body) < length - 8:
                return
            yield kind, body[:-4]


def kept(file):
    """Counts the packets of the sender in a file."""
    is_ours = lambda body: body[20 + 12 : 20 + 14] == b"\x08\x00" and body[20 + 36 : 20 + 38] == b"\x00\x09"
    return sum(1 for kind, body in blocks(file) if kind == 6 and is_ours(body))


def reported(folder):
    """Returns how many frames the run says it lost."""
    lost = 0
    for line in (folder / "events.jsonl").read_text().splitlines()[1:]:
        event = json.loads(line)
        if event["kind"] == "capture-incomplete":
            lost += event["fields"].get("lost", 0)
    return lost


def load(rig, capture):
    """Sends packets into a lab; returns those of each size that are not in its file, and its peak memory."""
    missing = {}
    for size in SIZES:
        with rig.ours("capture", LAB.format(capture=capture, interface=SERVER_END)) as server:
            bridge = next(
                step["bridge"]["mac"] for step in json.loads((server.run / "plan.json").read_text())["steps"] if "bridge" in step
            )
            command = [sys.executable, "-c", SENDER, CLIENT_END, RATE, SECONDS, size, bridge]
            done = rig.client(*command, stdout=subprocess.PIPE)
            if done.returncode != 0:
                raise SystemExit("the sender failed")
            sent, seconds = done.stdout.split()
            time.sleep(1)
            peak = server.usage.look().peak
            run = server.run
        if "off" not in capture:
            missing[size] = {
                "sent": int(sent),
                "rate": int(sent) / float(seconds),
                "missing": int(sent) - kept(run / "capture.pcapng"),
                "lost": reported(run),
            }
    return missing, peak


def inside():
    """Measures loss and memory."""
    rig = Rig()
    say(f"{RATE} packets per second, without a capture")
    _, without = load(rig, 'capture = "off"')
    say(f"{RATE} packets per second, with a capture")
    missing, peak = load(rig, 'capture = { size = "2GiB" }')
    rig.close()
    FIGURES.write_text(json.dumps({"loss": missing, "memory": peak - without}))
    return 0


def machines(rounds):
    """Boots a machine with and without a capture, in turn; returns the seconds of each."""
    subprocess.run([DRYRACK, "image", "build", "tiny"], check=True, stdout=sys.stderr)
    seconds = {"with": [], "without": []}
    files = {side: lab(f"capture-{side}", ("bios", "bios", 1)) for side in seconds}
    text = files["without"].read_text()
    files["without"].write_text(text.replace('name = "bench"\n', 'name = "bench"\ncapture = "off"\n', 1))
    uuids = {}
    for side, file in files.items():
        plan = json.loads(dryrack("plan", "--json", file))
        uuids[side] = [qemu(plan, node)["identity"]["uuid"] for node in plan["nodes"]]
    for number in range(rounds):
        # The first of a round has a colder cache.
        for side in sorted(files, reverse=number % 2 == 1):
            seconds[side].append(Up(files[side], uuids[side]).wait()[0][0])
        say(f"round {number + 1} of {rounds}: with {seconds['with'][-1]:.2f} s, without {seconds['without'][-1]:.2f} s")
    return seconds


def main():
    parser = argparse.ArgumentParser(prog="ci/bench capture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often a machine boots on each side")
    rounds = parser.parse_args().rounds
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    code = enter(__file__, [])
    if code != 0:
        return code
    figures = json.loads(FIGURES.read_text())
    seconds = machines(rounds)

    results = Results("capture")
    for size, of_size in figures["loss"].items():
        results.add(f"packets of {size} bytes, sent", of_size["sent"], "")
        results.add(f"packets of {size} bytes, per second", of_size["rate"], "1/s", least=0.95 * RATE)
        results.add(f"packets of {size} bytes, missing in the file", of_size["missing"], "", 0)
        results.add(f"packets of {size} bytes, reported as lost", of_size["lost"], "", 0)
    results.add("memory of the capture", figures["memory"] / 1e6, "MB", 20)
    for side, of_side in seconds.items():
        results.add(f"netboot {side} a capture", median(of_side), "s")
    # Of each round by itself: what else the host does changes from round to round.
    ratio = median(a / b for a, b in zip(seconds["with"], seconds["without"]))
    results.add("netboot with / without a capture", ratio, "", 1.05)
    return results.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        sys.exit(inside())
    sys.exit(main())
