"""HTTP: bytes a second beside nginx with sendfile, in one stream and in 64, and the processor time that they take."""

import os

from common import say
from rig import SERVER_END, WORK, run

SERVER = "10.91.0.1"
NETWORK = f"{SERVER}/24"
CLIENT = "10.91.0.2/24"
FOLDER = WORK / "http" / "files"
FILE, SIZE = "large", 512 << 20
STREAMS = 64
# Of each of the streams: the first bytes of the file.
PART = 128 << 20

LAB = f"""
[network.lan]
address = "{NETWORK}"
interface = "{SERVER_END}"
dhcp = "off"
root = "{FOLDER}"
"""

NGINX = """
daemon off;
worker_processes auto;
error_log stderr warn;
pid %(folder)s/pid;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path %(folder)s/body;
  proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  server { listen %(server)s:80; root %(root)s; }
}
"""


def nginx():
    folder = WORK / "http" / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "nginx.conf"
    settings.write_text(NGINX % {"folder": folder, "server": SERVER, "root": FOLDER})
    return ["nginx", "-p", folder, "-c", settings, "-e", "stderr"]


def listens(_server):
    return f"{SERVER}:80 " in run("ss", "-Hlnt")


def fetch(rig, server, streams, size):
    """Fetches the first bytes of the file in so many streams; returns gigabytes and the server's seconds a second and gigabyte."""
    command = ["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null"]
    part = ["--range", f"0-{size - 1}"] if size != SIZE else []
    before = server.usage.look().seconds
    took = rig.crowd(server, streams, [*command, *part, f"http://{SERVER}/{FILE}"])
    gigabytes = streams * size / 1e9
    return gigabytes / took, (server.usage.look().seconds - before) / gigabytes


def measure(rig, table, rounds):
    """Adds the rows of HTTP."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / FILE
    if not file.exists() or file.stat().st_size != SIZE:
        with open(file, "wb") as out:
            for _ in range(SIZE >> 20):
                out.write(os.urandom(1 << 20))
    rates, costs = {1: {}, STREAMS: {}}, {1: {}, STREAMS: {}}
    with rig.client_address(CLIENT):
        for number in range(rounds):
            for name in ("dryrack", "nginx"):
                say(f"http, round {number + 1} of {rounds}: {name}")
                with rig.side("http", name, LAB, NETWORK, {"nginx": nginx()}, listens) as server:
                    # Once beforehand, so that the file is in memory on every side.
                    fetch(rig, server, 1, SIZE)
                    for streams, size in ((1, SIZE), (STREAMS, PART)):
                        rate, cost = fetch(rig, server, streams, size)
                        say(f"  {streams} streams: {rate:.2f} GB/s, {cost * 1000:.0f} ms of the processor for a GB")
                        rates[streams].setdefault(name, []).append(rate)
                        costs[streams].setdefault(name, []).append(cost * 1000)
    for streams, work, most in ((1, "HTTP, one stream, 512 MB", None), (STREAMS, f"HTTP, {STREAMS} streams", 1.5)):
        table.row(work, "GB/s", rates[streams].pop("dryrack"), rates[streams], bar=0.8)
        table.row(f"{work}, processor time", "ms/GB", costs[streams].pop("dryrack"), costs[streams], most=most)
