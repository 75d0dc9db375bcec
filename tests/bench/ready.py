"""How long each step in the life of labs/etcd takes: until it is up and healthy, until the loss of its leader is overcome.

The times are those of the report of a run; no bar is set, because they depend on the accelerator.
"""

import json
import subprocess
import sys

from common import DRYRACK, ROOT, Results, dryrack, say


def main():
    results = Results("ready")
    say("running labs/etcd")
    done = subprocess.run([DRYRACK, "test", ROOT / "labs" / "etcd"], stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise SystemExit(f"labs/etcd ended with {done.returncode}")
    report = json.loads(dryrack("report", "--json", "etcd"))
    steps = {}
    for verdict in report["verdicts"]:
        if verdict["since"] is not None and not verdict["what"].startswith("never"):
            began, ended = seconds(verdict["since"]), seconds(verdict["at"])
            # An expectation takes as long as the last of its nodes.
            _, before = steps.get(verdict["expect"], (began, ended))
            steps[verdict["expect"]] = (began, max(before, ended))
    for action in report["actions"]:
        steps[f"action {action['action']}"] = (seconds(action["started"]), seconds(action["ended"]))
    for name, (began, ended) in sorted(steps.items(), key=lambda step: step[1]):
        results.add(name, ended - began, "s")
    return results.finish()


def seconds(time):
    return time / 1e9


if __name__ == "__main__":
    sys.exit(main())
