"""A stand-in for the user's own program: every 50 ms it touches 24 MiB of its memory and 8 MiB of a file. Not locked.

Usage: program.py RESULT. On SIGTERM it writes its rounds as JSON: when each began and ended, in monotonic seconds.
"""

import json
import mmap
import signal
import sys
import time
from pathlib import Path

import machine

PAUSE_S = 0.05
_MEMORY = 24 << 20


def main(result):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    own = mmap.mmap(-1, _MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with machine.PROGRAM_FILE.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    touch = bytes(_MEMORY // mmap.PAGESIZE)
    rounds = []
    own[:: mmap.PAGESIZE] = touch
    sum(mapped[:: mmap.PAGESIZE])
    machine.ready()
    while not stopping:
        began = time.monotonic()
        time.sleep(PAUSE_S)
        own[:: mmap.PAGESIZE] = touch
        sum(mapped[:: mmap.PAGESIZE])
        rounds.append((began, time.monotonic()))
    Path(result).write_text(json.dumps(rounds))


if __name__ == "__main__":
    main(sys.argv[1])
