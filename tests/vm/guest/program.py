"""A stand-in for the user's own program: every 50 ms it touches 24 MiB of its memory and 8 MiB of a file. Not locked.

Usage: program.py RESULT. On SIGTERM it writes how long its rounds took beyond the pause, as JSON.
"""

import json
import mmap
import signal
import sys
import time
from pathlib import Path

import machine

_MEMORY = 24 << 20
_PAUSE_S = 0.05


def main(result):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    own = mmap.mmap(-1, _MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with machine.PROGRAM_FILE.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    touch = bytes(_MEMORY // mmap.PAGESIZE)
    rounds_ms = []
    own[:: mmap.PAGESIZE] = touch
    sum(mapped[:: mmap.PAGESIZE])
    machine.ready()
    while not stopping:
        started = time.monotonic()
        time.sleep(_PAUSE_S)
        own[:: mmap.PAGESIZE] = touch
        sum(mapped[:: mmap.PAGESIZE])
        rounds_ms.append((time.monotonic() - started - _PAUSE_S) * 1000)
    rounds_ms.sort()
    summary = {
        "rounds": len(rounds_ms),
        "median_ms": round(rounds_ms[len(rounds_ms) // 2], 1) if rounds_ms else None,
        "p99_ms": round(rounds_ms[int(len(rounds_ms) * 0.99)], 1) if rounds_ms else None,
        "longest_stall_ms": round(rounds_ms[-1], 1) if rounds_ms else None,
    }
    Path(result).write_text(json.dumps(summary))


if __name__ == "__main__":
    main(sys.argv[1])
