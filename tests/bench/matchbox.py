"""How fast `dryrack matchbox` answers: by wrk with 16 connections, with 6, 2,000 and 20,000 groups, and its assets.

The bars are what the real server does with six groups, or more; with 2,000 it answers 68 requests a second, because it
reads every group for each.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from common import DRYRACK, TARGET, Results, median, say

WORK = TARGET / "bench" / "matchbox"
CONNECTIONS = 16
SECONDS = 4
ADDRESS = "127.0.0.1:18080"
# What the real server does on a machine of this kind, and what is asked of this one.
IPXE_SIX, IGNITION, IPXE_MANY, LATENCY, ASSETS = 13_500, 5_000, 10_000, 5.0, 3.0
SIZE = 2 << 30

STATIC = {
    "ignition": {"version": "3.3.0"},
    "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA"]}]},
    "storage": {
        "files": [
            {"path": f"/etc/file{at}", "mode": 420, "contents": {"source": f"data:,{at}"}} for at in range(20)
        ]
    },
    "systemd": {"units": [{"name": f"u{at}.service", "enabled": True, "contents": "[Unit]\n"} for at in range(10)]},
}

BUTANE = """variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: ["{{.key}}"]
systemd:
  units:
    - name: etcd.service
      enabled: true
      contents: |
        [Service]
        Environment=NAME={{.name}} MAC={{.mac}}
storage:
  files:
    - path: /etc/hostname
      mode: 0644
      contents:
        inline: {{.name}}
    - path: /etc/query
      mode: 0644
      contents:
        inline: "{{.request.raw_query}}"
"""

# Every request is for another machine.
LUA = """
local paths = {}
for at = 0, %(count)d - 1 do
  paths[at] = string.format("%(path)s?uuid=x&mac=52-54-00-%%02x-%%02x-%%02x&domain=lab&hostname=n%%d&arch=x86_64",
    math.floor(at / 65536), math.floor(at / 256) %% 256, at %% 256, at)
end
local next = 0
request = function()
  next = (next + 7919) %% %(count)d
  return wrk.format("GET", paths[next])
end
done = function(summary, latency, requests)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(99), summary.errors.status, summary.errors.read + summary.errors.timeout + summary.errors.connect))
end
"""


def mac(at):
    return f"52:54:00:{at // 65536:02x}:{at // 256 % 256:02x}:{at % 256:02x}"


def data(groups):
    """Makes a data directory with so many groups, each for one machine."""
    folder = WORK / str(groups)
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("groups", "profiles", "ignition", "generic", "cloud", "assets"):
        (folder / kind).mkdir(parents=True)
    for at in range(groups):
        profile = "butane" if at % 2 else "static"
        group = {"id": f"g{at}", "profile": profile, "selector": {"mac": mac(at)}}
        group["metadata"] = {"name": f"node{at}", "key": "ssh-ed25519 AAAA"}
        (folder / "groups" / f"g{at}.json").write_text(json.dumps(group))
    for profile, config in (("static", "i.ign"), ("butane", "i.yaml")):
        boot = {"kernel": "/assets/k", "initrd": ["/assets/i"], "args": ["console=ttyS0", "initrd=i", "a=b"]}
        (folder / "profiles" / f"{profile}.json").write_text(json.dumps({"id": profile, "boot": boot, "ignition_id": config}))
    (folder / "ignition" / "i.ign").write_text(json.dumps(STATIC))
    (folder / "ignition" / "i.yaml").write_text(BUTANE)
    (folder / "complete").touch()
    return folder


class Server:
    """The server under test, on the loopback."""

    def __init__(self, folder, assets):
        log = open(WORK / "log", "w")
        command = [DRYRACK, "matchbox", "-address", ADDRESS, "-data-path", folder, f"-assets-path={assets}"]
        self.process = subprocess.Popen(command, stderr=log)
        for _ in range(400):
            if subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://{ADDRESS}/"], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("it does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait(20) != 0:
            raise SystemExit("it did not end as it was told")


def crowd(path, count, seconds=SECONDS):
    """Asks for a path of so many machines in turn; returns requests a second, and the 99th percentile in milliseconds."""
    script = WORK / "machines.lua"
    script.write_text(LUA % {"count": count, "path": path})
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script, f"http://{ADDRESS}/"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if not found or int(found[4]) or int(found[5]):
        raise SystemExit(f"not every request was answered:\n{done.stdout}")
    return int(found[1]) / (int(found[2]) / 1e6), int(found[3]) / 1e3


def is_ignition(server_path):
    """Makes sure that what is measured is what is meant."""
    done = subprocess.run(["curl", "-sf", f"http://{ADDRESS}{server_path}"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["ignition"]["version"] == "3.4.0"


def only(folder, profile):
    """Has every group of a small data directory use one profile."""
    for file in (folder / "groups").iterdir():
        group = json.loads(file.read_text())
        group["profile"] = profile
        file.write_text(json.dumps(group))


def stream():
    """Returns gigabytes a second of one stream, read by a client that does nothing else (curl is slower than that)."""
    host, port = ADDRESS.split(":")
    buffer = bytearray(1 << 20)
    begin = time.monotonic()
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET /assets/large HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n".encode())
        received = 0
        while count := client.recv_into(buffer):
            received += count
    if received < SIZE:
        raise SystemExit(f"the stream broke off after {received} bytes")
    return received / 1e9 / (time.monotonic() - begin)


def main(arguments):
    parser = argparse.ArgumentParser(prog="ci/bench matchbox", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    rounds = parser.parse_args(arguments).rounds
    WORK.mkdir(parents=True, exist_ok=True)
    results = Results("matchbox")

    def measure(name, path, count, least):
        figures = []
        for _ in range(rounds):
            figures.append(crowd(path, count))
            say(f"{name}: {figures[-1][0]:.0f}/s, 99% within {figures[-1][1]:.2f} ms")
        results.add(name, median([rate for rate, _ in figures]), "/s", least=least)
        results.add(f"{name}, 99th percentile", median([late for _, late in figures]), "ms", bar=LATENCY)

    for groups in (6, 2_000, 20_000):
        folder = data(groups)
        with Server(folder, ""):
            measure(f"/ipxe, {groups} groups", "/ipxe", groups, IPXE_SIX if groups == 6 else IPXE_MANY)
    folder = data(6)
    for profile, what in (("static", "a static .ign"), ("butane", "a Butane template")):
        only(folder, profile)
        with Server(folder, ""):
            if not is_ignition(f"/ignition?mac={mac(1)}"):
                raise SystemExit(f"{what} is not served")
            measure(f"/ignition, {what}", "/ignition", 6, IGNITION)
    assets = data(6) / "assets"
    large = assets / "large"
    if not large.exists() or large.stat().st_size != SIZE:
        with open(large, "wb") as out:
            for _ in range(SIZE >> 20):
                out.write(os.urandom(1 << 20))
    with Server(data(6), assets):
        # Once beforehand, so that the file is in memory.
        stream()
        rates = [stream() for _ in range(rounds)]
        results.add("/assets/, one stream of 2 GiB", median(rates), "GB/s", least=ASSETS)
    large.unlink()
    return results.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
