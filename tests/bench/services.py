"""How fast the boot services are beside stock servers, driven by the same public clients in one run.

A module of its own measures each service: `services_NAME.py` with `measure(rig, table, rounds)`.
"""

import argparse
import importlib
import sys

from common import ROOT
from rig import INSIDE, Rig, Table, enter

SERVICES = ("dhcp", "tftp", "http", "dns")


def there():
    """Returns the services that have a module."""
    folder = ROOT / "tests" / "bench"
    return [service for service in SERVICES if (folder / f"services_{service}.py").exists()]


def main(arguments):
    parser = argparse.ArgumentParser(prog="ci/bench services", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side takes its turn")
    parser.add_argument("--only", choices=there(), action="append", help="leave the others out")
    arguments = parser.parse_args(arguments)

    rig, table = Rig(), Table()
    for service in arguments.only or there():
        importlib.import_module(f"services_{service}").measure(rig, table, arguments.rounds)
    rig.close()
    ours = max(rig.memory.pop("dryrack", {"": 0}).values())
    of_peers = sum(max(services.values()) for services in rig.memory.values())
    # "All of this" is not said of a part.
    if not arguments.only:
        table.row("resident memory under all of this", "MB", [ours / 1e6], {"all peers": [of_peers / 1e6]}, most=1)
    return table.finish("services")


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        sys.exit(main(sys.argv[2:]))
    sys.exit(enter(__file__, sys.argv[1:]))
