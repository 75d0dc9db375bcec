"""How fast `dryrack explain-pcap` reads: a capture of 1 GB, made of a real boot over and over, with whole frames
and with headers only. Memory must not grow with the size.
"""

import gzip
import os
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

from common import DRYRACK, ROOT, Results, say

BOOT = ROOT / "tests/captures/bios-ipxe-dnsmasq.pcap.gz"
WHOLE, SMALL = 1_000_000_000, 100_000_000
# Of MB/s, and of MiB.
LEAST, MOST = 200, 64


def packets():
    """Returns the header of the capture, and each packet: seconds, fraction, length, captured bytes."""
    data = gzip.decompress(BOOT.read_bytes())
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, at)
        found.append((seconds, fraction, length, data[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return data[:24], found


def make(file, size, whole):
    """Writes the boot again and again, each time later, with zeros for what was cut off if `whole`."""
    header, found = packets()
    span = found[-1][0] - found[0][0] + 60
    with open(file, "wb", 1 << 20) as out:
        out.write(header)
        turn = 0
        while out.tell() < size:
            for seconds, fraction, length, data in found:
                if whole:
                    data = data.ljust(length, b"\0")
                out.write(struct.pack("<IIII", seconds + turn * span, fraction, len(data), length) + data)
            turn += 1


def explain(file):
    """Returns the seconds that it takes, and its peak memory in MiB."""
    begin = time.monotonic()
    child = os.posix_spawn(
        DRYRACK,
        [str(DRYRACK), "explain-pcap", str(file)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    assert status == 0, status
    return time.monotonic() - begin, usage.ru_maxrss / 1024


def main():
    results = Results("explain")
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/tmp")))
    try:
        file = folder / "capture.pcap"
        for size, whole, name in (
            (SMALL, True, "100 MB, whole frames"),
            (WHOLE, True, "1 GB, whole frames"),
            (WHOLE, False, "1 GB, contents cut off"),
        ):
            say(f"making {name}")
            make(file, size, whole)
            size = file.stat().st_size
            # Read once, so that the page cache has it.
            shutil.copyfileobj(open(file, "rb"), open(os.devnull, "wb"), 1 << 20)
            seconds, memory = explain(file)
            bar = LEAST if whole else None
            results.add(f"{name}: speed", size / 1e6 / seconds, "MB/s", least=bar)
            results.add(f"{name}: peak memory", memory, "MiB", bar=MOST)
    finally:
        shutil.rmtree(folder)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
