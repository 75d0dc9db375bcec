"""Whether the diagnosis names the failure of each lab of labs/broken, first or among the first three; whether the
capture of the run alone does; how soon; and that it says nothing of healthy boots.

`ci/bench diagnosis [NAME]...` runs only these labs of labs/broken, and no healthy boots.
DRYRACK names another program than the release build.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import DRYRACK, ROOT, Results, say

PROGRAM = os.environ.get("DRYRACK", DRYRACK)
# Machines at once.
AT_ONCE = 2
# What comes a little later may be said instead of what was said first.
HOLDS = "5s"
# Labs whose machines all come up, and whether their firmware waits as long as it does on metal.
HEALTHY = [
    ("paths", False),
    ("paths", True),
    ("dnsmasq", False),
    ("dnsmasq", True),
    ("kea", False),
    ("quickstart", False),
    ("https", False),
    ("grub", False),
    # Their disks are blank, and first in the boot order.
    ("image", False),
]


def run(state, *words):
    env = {**os.environ, "DRYRACK_STATE": str(state), "NO_COLOR": "1"}
    return subprocess.run([str(PROGRAM), *map(str, words)], env=env, capture_output=True, text=True, check=False)


def test(lab, options):
    """Runs a lab; returns its report, its run folder and its output."""
    state = Path(tempfile.mkdtemp(prefix="dryrack-diagnosis-"))
    done = run(state, "test", *options, lab)
    folders = sorted((state / "runs").glob("2*")) if (state / "runs").exists() else []
    if not folders or not (folders[-1] / "report.json").exists():
        raise SystemExit(f"{lab}: no report\n{done.stdout}{done.stderr}")
    report = json.loads((folders[-1] / "report.json").read_text())
    return report, folders[-1], done.stdout


def expected(lab):
    """Returns the name of the finding that a lab expects."""
    words = [line.split('"')[1] for line in lab.read_text().splitlines() if line.startswith("that = { finding = ")]
    assert len(words) == 1, lab
    return words[0]


def broken(lab):
    wanted = expected(lab)
    report, folder, _ = test(lab, ["--set", f'expect.finding.holds="{HOLDS}"'])
    found = [finding for node in report["nodes"].values() for finding in node.get("findings", [])]
    seen = run(folder, "explain-pcap", folder / "capture.pcapng", "--json")
    machines = json.loads(seen.stdout)["machines"].values() if seen.returncode == 0 else []
    captured = [finding["id"] for machine in machines for finding in machine.get("findings", [])]
    delays = [
        (event["at"] - max(evidence["at"] for evidence in event["fields"]["finding"]["evidence"])) / 1e9
        for event in events(folder)
        if event["kind"] == "diagnosed"
        and event["fields"]["finding"]["id"] == wanted
        and event["fields"]["finding"]["certainty"] == "sure"
    ]
    names = [finding["id"] for finding in found]
    sure = any(finding["id"] == wanted and finding["certainty"] == "sure" for finding in found)
    say(f"{lab.stem}: {', '.join(names) or 'nothing'}; capture: {', '.join(captured) or 'nothing'}")
    return {
        "lab": lab.stem,
        "wanted": wanted,
        "found": names,
        "sure": sure,
        "captured": captured,
        "delay": min(delays, default=None),
    }


def events(folder):
    lines = (folder / "events.jsonl").read_text().splitlines()[1:]
    return (json.loads(line) for line in lines if line.endswith("}"))


def healthy(lab, waits):
    path, options = ROOT / "labs" / lab, []
    if waits:
        with tempfile.TemporaryDirectory() as state:
            plan = json.loads(run(state, "plan", "--json", path).stdout)
        options = [word for node in plan["nodes"] for word in ("--set", f'node.{node}.firmware-delays="keep"')]
    report, _, output = test(path, options)
    if report["exit"] != 0:
        raise SystemExit(f"{lab} ended with {report['exit']}\n{output}")
    up = {name: node for name, node in report["nodes"].items() if node["stage"] == "os"}
    alarms = {name: [finding["id"] for finding in node.get("findings", [])] for name, node in up.items()}
    alarms = {name: found for name, found in alarms.items() if found}
    say(f"{lab}: {len(up)} boots, alarms: {alarms or 'none'}")
    return len(up), alarms


def main():
    results = Results("diagnosis")
    chosen = sys.argv[1:]
    labs = sorted((ROOT / "labs" / "broken").glob("*.toml"))
    labs = [lab for lab in labs if not chosen or lab.stem in chosen]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(broken, labs))
    first = [row for row in rows if row["found"][:1] == [row["wanted"]]]
    three = [row for row in rows if row["wanted"] in row["found"][:3]]
    captured = [row for row in rows if row["wanted"] in row["captured"]]
    delays = [row["delay"] for row in rows if row["delay"] is not None]
    print(f"{'lab':<28} {'expected':<26} {'':<8} {'found':<40} capture")
    for row in rows:
        how = "sure" if row["sure"] else "possible" if row["wanted"] in row["found"] else "MISSED"
        found = ", ".join(row["found"][:3]) or "-"
        print(f"{row['lab']:<28} {row['wanted']:<26} {how:<8} {found:<40} {', '.join(row['captured']) or '-'}")
    results.add("labs", len(rows), "")
    results.add("first", 100 * len(first) / len(rows), "%", least=92)
    results.add("among three", 100 * len(three) / len(rows), "%", least=98)
    results.add("by the capture alone", 100 * len(captured) / len(rows), "%")
    results.add("sure", 100 * sum(row["sure"] for row in rows) / len(rows), "%")
    if delays:
        results.add("evidence to finding, longest", max(delays), "s", bar=2)
    if not chosen:
        boots, alarms = 0, 0
        for lab, waits in HEALTHY:
            up, wrong = healthy(lab, waits)
            boots, alarms = boots + up, alarms + len(wrong)
        results.add("healthy boots", boots, "", least=30)
        results.add("false alarms", alarms, "", bar=0)
    results.add("time", time.monotonic() - began, "s")
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
