"""What every benchmark needs: a table of results with bars, processes seen from outside, a place for peers.

Only the standard library and public tools: what is measured is seen from outside, the same way on every side.
"""

import json
import os
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
DRYRACK = TARGET / "release" / "dryrack"
TICK = 1 / os.sysconf("SC_CLK_TCK")


def now():
    """Seconds on the clock that the kernel dates processes with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(text):
    """Progress goes to standard error; standard output carries the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Results:
    """The figures of one benchmark, each with the bar that it has to stay below, or reach, if it has one."""

    def __init__(self, name):
        self.name = name
        self.rows = []

    def add(self, name, value, unit, bar=None, least=None):
        ok = (bar is None or value <= bar) and (least is None or value >= least)
        self.rows.append(
            {"name": name, "value": round(value, 4), "unit": unit, "bar": bar, "least": least, "ok": ok}
        )

    def finish(self):
        """Prints the table, writes target/bench/NAME.json; returns the exit code: 1 where a bar is missed."""
        file = TARGET / "bench" / f"{self.name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.rows, indent=2) + "\n")
        width = max(len(row["name"]) for row in self.rows)
        for row in self.rows:
            bar = "" if row["bar"] is None else f"≤ {row['bar']:g}"
            bar = bar if row["least"] is None else f"≥ {row['least']:g}"
            verdict = "" if not bar else "ok" if row["ok"] else "MISSED"
            print(f"{row['name']:<{width}}  {row['value']:>9.3f} {row['unit']:<3} {bar:>8}  {verdict}".rstrip())
        print(f"written to {file}")
        return 0 if all(row["ok"] for row in self.rows) else 1


def median(values):
    return statistics.median(values)


class Process:
    """A process that somebody else may have started."""

    def __init__(self, pid):
        self.pid = pid
        self.fd = os.pidfd_open(pid)
        # After the name in parentheses come the fields from the third on; the 22nd is the start.
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.started = int(stat[19]) * TICK

    def wait(self, seconds):
        """Waits for its end and returns its lifetime."""
        if not select.select([self.fd], [], [], seconds)[0]:
            raise SystemExit(f"process {self.pid} has not ended after {seconds} s")
        lifetime = now() - self.started
        os.close(self.fd)
        return lifetime

    def arguments(self):
        """Returns its command line."""
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().decode().split("\0")[:-1]

    def peak(self):
        """Returns the most memory that it had, in bytes; None if it is gone."""
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            pass
        return None


def find_process(matches, seconds, known=()):
    """Waits for a process whose arguments match, and returns it."""
    seen = set(known)
    deadline = now() + seconds
    while now() < deadline:
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or entry in seen:
                continue
            try:
                arguments = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
                if matches(arguments):
                    return Process(int(entry))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                seen.add(entry)
        time.sleep(0.002)
    raise SystemExit(f"waited {seconds} s for a process that never came")


def all_processes():
    return {entry for entry in os.listdir("/proc") if entry.isdigit()}


def dryrack(*arguments):
    """Runs a verb to its end and returns what it prints."""
    done = subprocess.run([DRYRACK, *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"dryrack {' '.join(map(str, arguments))} ended with {done.returncode}")
    return done.stdout


def tool(name):
    """Returns a program of the host, or of the packages that ci/bench has unpacked."""
    folders = os.environ["PATH"].split(":") + ["/usr/sbin", "/sbin"]
    unpacked = TARGET / "bench" / "peers" / "usr"
    for folder in [Path(folder) for folder in folders] + [unpacked / "sbin", unpacked / "bin"]:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    raise SystemExit(f"there is no {name}; ci/bench gets it")


def peers():
    """Returns an environment in which the programs that ci/bench has unpacked find their libraries."""
    libraries = TARGET / "bench" / "peers" / "usr" / "lib" / "x86_64-linux-gnu"
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries)}


class Place:
    """Namespaces of our own, with a process inside that carries out one request a line."""

    def __init__(self, script, *arguments):
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.process = subprocess.Popen(
            ["unshare", *own, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            + [sys.executable, script, "@inside", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the place of the peers broke down")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def serve_requests(carry_out):
    """The inner side of a Place: says that it is ready, then answers until its input ends."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)
