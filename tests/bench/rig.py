"""Two network namespaces joined by a cable: servers in one of them, public clients in the other.

Ours is `dryrack up` of a lab in the host's own network, whose host is the server namespace: the cable's end is a
port of the lab's bridge. A peer has that end for itself. Only one of them is up at a time, and all take turns.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import DRYRACK, TARGET, median, now, peers, say, tool

WORK = TARGET / "bench" / "services"
SERVER_END = "srv0"
CLIENT_END = "cli0"
INSIDE = "@inside"


def enter(script, arguments):
    """Runs a script again in namespaces of its own, where it is root and its processes end with it."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run([*command, sys.executable, script, INSIDE, *arguments], check=False).returncode


def run(*command):
    """Runs a command that succeeds, and returns what it prints."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout


def ip(words):
    return run("ip", *words.split())


def children(pid):
    """Returns a process with all that it started."""
    found = [pid]
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == pid:
                found += children(int(entry))
    return found


class Usage:
    """Processor seconds and peak memory of a server's processes."""

    def __init__(self, pids):
        self.pids = pids
        self.seconds = 0.0
        self.peak = 0

    def look(self):
        """Reads the figures; those of a process that has ended stay as they were."""
        seconds, peak = 0.0, 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                seconds += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        peak += int(line.split()[1]) * 1024
        self.seconds, self.peak = max(self.seconds, seconds), max(self.peak, peak)
        return self


class Server:
    """A server that is up. `usage.look()` says what it has taken so far."""

    def __init__(self, side, process, pids, folder):
        self.side = side
        self.process = process
        self.folder = folder
        self.usage = Usage(pids)


class Rig:
    """The two namespaces, and what the servers in one of them take."""

    def __init__(self):
        WORK.mkdir(parents=True, exist_ok=True)
        ip("link set lo up")
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.client_namespace = f"/proc/{self.holder.pid}/ns/net"
        while os.readlink(self.client_namespace) == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        ip(f"link add {SERVER_END} type veth peer name {CLIENT_END} netns {self.holder.pid}")
        self.client_ip("link set lo up")
        self.client_ip(f"link set {CLIENT_END} up")
        # Side to service to the most memory that it had.
        self.memory = {}

    def close(self):
        self.holder.kill()
        self.holder.wait()

    def client_command(self, command):
        return ["nsenter", f"--net={self.client_namespace}", "--", *map(str, command)]

    def client(self, *command, **options):
        """Runs a program in the client namespace to its end."""
        return subprocess.run(self.client_command(command), **{"check": False, "text": True, **options})

    def start_client(self, *command, **options):
        """Starts a program in the client namespace."""
        return subprocess.Popen(self.client_command(command), **options)

    def crowd(self, server, clients, command):
        """Runs a program of a server's so many times at once in the client namespace; returns how long all took."""
        words = " ".join(shlex.quote(str(word)) for word in command)
        script = f'for i in $(seq {clients}); do {words} & all="$all $!"; done; for one in $all; do wait $one || exit 1; done'
        begun = now()
        done = self.client("sh", "-c", script, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{words} failed for {server.side}: {done.stderr[-500:]}")
        return now() - begun

    def client_ip(self, words):
        if self.client("ip", *words.split()).returncode != 0:
            raise SystemExit(f"ip {words} failed in the client namespace")

    @contextlib.contextmanager
    def client_address(self, address):
        """Gives the client an address while the block runs."""
        self.client_ip(f"address add {address} dev {CLIENT_END}")
        try:
            yield
        finally:
            self.client_ip(f"address flush dev {CLIENT_END}")

    @contextlib.contextmanager
    def peer(self, service, name, command, address, ready, environment=None):
        """Somebody else's server, up while the block runs. `ready(server)` tells when it can be asked."""
        folder = WORK / service / name
        folder.mkdir(parents=True, exist_ok=True)
        ip(f"address add {address} broadcast + dev {SERVER_END}")
        ip(f"link set {SERVER_END} up")
        wait_for("the cable", lambda: "state UP" in ip(f"-o link show dev {SERVER_END}"), 5)
        program = command[0] if os.sep in str(command[0]) else tool(command[0])
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                [program, *map(str, command[1:])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**peers(), **(environment or {})},
                cwd=folder,
            )
        server = Server(name, process, [process.pid], folder)
        try:
            wait_for(f"{name} to be ready", lambda: alive(server) and ready(server), 20)
            server.usage.pids = children(process.pid)
            yield server
        finally:
            self.remember(service, server)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            ip(f"address flush dev {SERVER_END}")
            ip(f"link set {SERVER_END} down")

    @contextlib.contextmanager
    def ours(self, service, lab):
        """A lab of ours, up while the block runs. `lab` is its file without what the rig adds."""
        folder = WORK / service / "ours"
        # Runs are kept, and those of a benchmark are large.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        file = folder / "lab.toml"
        file.write_text(f'dryrack = 1\nname = "bench"\nisolation = "none"\naccel = "tcg"\n{lab}')
        state, runtime = folder / "state", folder / "run"
        for entry in (state, runtime):
            entry.mkdir(mode=0o700, exist_ok=True)
        environment = {**os.environ, "DRYRACK_STATE": str(state), "DRYRACK_RUNTIME": str(runtime)}
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                [DRYRACK, "up", file], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        server = Server("dryrack", process, [process.pid], folder)

        def is_up():
            for events in (state / "runs").glob("*/events.jsonl"):
                server.run = events.parent
                if '"kind":"lab-up"' in events.read_text():
                    return True
            return False

        try:
            wait_for("the lab to be up", lambda: alive(server) and is_up(), 30)
            server.usage.pids = [pid for pid in running() if is_dryrack(pid)]
            yield server
        finally:
            self.remember(service, server)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def side(self, service, name, lab, network, commands, ready):
        """Ours with a lab, or the peer of that name with its command; up while the block runs."""
        if name == "dryrack":
            with self.ours(service, lab) as server:
                yield server
        else:
            with self.peer(service, name, commands[name], network, ready) as server:
                yield server

    def remember(self, service, server):
        peak = server.usage.look().peak
        of_side = self.memory.setdefault(server.side, {})
        of_side[service] = max(of_side.get(service, 0), peak)


def running():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_dryrack(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == os.path.realpath(DRYRACK)
    return False


def alive(server):
    if server.process.poll() is not None:
        words = (server.folder / "log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{server.side} ended with {server.process.returncode}:\n{words}")
    return True


def wait_for(what, is_so, seconds):
    deadline = now() + seconds
    while not is_so():
        if now() > deadline:
            raise SystemExit(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Table:
    """Rows of ours beside peers, each with a ratio and the bar that it has to reach, if it has one."""

    def __init__(self):
        self.rows = []

    def row(self, work, unit, ours, of_peers, bar=None, most=None, note=""):
        """Adds a row. `ours` and each of `of_peers` are the figures of the rounds, in the same order.

        `bar` is the least that ours may be of the best peer, `most` the most. The best peer is the one with the
        highest figure; where less is better (`most`, and times) it is the one with the lowest.
        """
        best, ratio = None, None
        if of_peers:
            less = most is not None or unit in ("ms", "µs", "s")
            best = (min if less else max)(of_peers, key=lambda peer: median(of_peers[peer]))
            # Of each round by itself: what else the host does changes from round to round.
            ratio = median(a / b if b else float("inf") for a, b in zip(ours, of_peers[best]))
        ok = (bar is None or ratio >= bar) and (most is None or ratio <= most)
        self.rows.append(
            {
                "work": work,
                "unit": unit,
                "ours": median(ours),
                "peers": {peer: median(figures) for peer, figures in of_peers.items()},
                "best": best,
                "ratio": ratio,
                "bar": bar,
                "most": most,
                "ok": ok,
                "rounds": len(ours),
                "note": note,
            }
        )
        say(f"{work}: {figure(median(ours))} {unit}" + (f", {ratio:.2f} × {best}" if best else ""))

    def finish(self, name):
        """Prints the table, writes target/bench/NAME.json and NAME.md; returns 1 where a bar is missed."""
        lines = ["| work | ours | peers | ratio | bar | |", "|---|---|---|---|---|---|"]
        for row in self.rows:
            of_peers = ", ".join(f"{peer} {figure(value)}" for peer, value in row["peers"].items())
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} ×"
            bar = "" if row["bar"] is None else f"≥ {row['bar']:g} ×"
            bar = bar if row["most"] is None else f"≤ {row['most']:g} ×"
            verdict = "" if not bar else "ok" if row["ok"] else "MISSED"
            verdict = "; ".join(word for word in (verdict, row["note"]) if word)
            ours = f"{figure(row['ours'])} {row['unit']}"
            lines.append(f"| {row['work']} | {ours} | {of_peers} | {ratio} | {bar} | {verdict} |")
        text = "\n".join(lines) + "\n"
        folder = TARGET / "bench"
        (folder / f"{name}.json").write_text(json.dumps(self.rows, indent=2) + "\n")
        (folder / f"{name}.md").write_text(text)
        print(text)
        print(f"written to {folder / name}.json and {folder / name}.md")
        return 0 if all(row["ok"] for row in self.rows) else 1


def figure(value):
    """Writes a figure with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
