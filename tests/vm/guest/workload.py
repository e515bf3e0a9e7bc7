"""The programs that a scenario runs, each as the main process of a unit: workload.py KIND [--OPTION VALUE]...

It tells systemd that it is ready (sd_notify(3)) once it has what it needs, or, if it leaks, just before the first byte.
"""

import argparse
import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path

from machine import ready

_CHUNK = 4 << 20
_FAST_CHUNK = 32 << 20
_PAGE_CACHE_FILE = Path("/var/tmp/vm-pages")
_kept = []


def take(size):
    """`size` bytes of anonymous memory, in huge pages if possible: written with something that compresses to half."""
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    noise = b"".join(os.urandom(mmap.PAGESIZE // 2) + bytes(mmap.PAGESIZE // 2) for _ in range(64))
    for start in range(0, size, len(noise)):
        block[start : start + len(noise)] = noise[: size - start]
    _kept.append(block)


def leak(options):
    """For ever, at `rate` MiB a second; 0: as fast as can be."""
    started, taken, chunk = time.monotonic(), 0, _CHUNK if options.rate else _FAST_CHUNK
    while True:
        take(chunk)
        taken += chunk
        if options.rate:
            ahead = taken / (options.rate << 20) - (time.monotonic() - started)
            time.sleep(max(ahead, 0))


def hold(options):
    """Have `mib` MiB, and do nothing."""
    if options.mib:
        take(options.mib << 20)
    ready()
    signal.pause()


def children(options):
    """`count` children; they leak with `rate`, or only wait. The parent reaps whoever dies."""
    for _ in range(options.count):
        if os.fork() == 0:
            signal.pause() if options.waiting else leak(options)
    ready()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


def litter(options):
    """A new leaking child every `every` seconds, `count` in all."""
    ready()
    for _ in range(options.count):
        if os.fork() == 0:
            leak(options)
        deadline = time.monotonic() + options.every
        while (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait([signal.SIGCHLD], left)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
    signal.pause()


def read(options):
    """Read a file of `mib` MiB over and over, `count` processes of which each starts somewhere else."""
    size = options.mib << 20
    for number in range(1, options.count):
        if os.fork() == 0:
            _read_for_ever(size, size * number // options.count)
    ready()
    _read_for_ever(size, 0)


def _read_for_ever(size, place):
    with _PAGE_CACHE_FILE.open("rb", buffering=0) as file:
        while True:
            os.pread(file.fileno(), _CHUNK, place)
            place = (place + _CHUNK) % size


def map_pages(options):
    """Map a file on disk, and keep touching all of it: file pages that the kernel can drop and read again."""
    with _PAGE_CACHE_FILE.open("rb") as file:
        pages = mmap.mmap(file.fileno(), options.mib << 20, prot=mmap.PROT_READ)
    ready()
    while True:
        sum(pages[:: mmap.PAGESIZE])
        time.sleep(0.5)


def fill(options):
    """Write `mib` MiB into a tmpfs, which is nobody's memory, and wait."""
    block = os.urandom(1 << 20)
    with Path("/run/vm-tmpfs/filling").open("wb", buffering=0) as file:
        for _ in range(options.mib):
            file.write(block)
    ready()
    signal.pause()


def leave_leader(options):
    """The main thread exits, another one leaks: the process is a zombie with living threads."""
    ready()
    threading.Thread(target=leak, args=(options,)).start()
    ctypes.CDLL(None).syscall(60, 0)  # exit(2), of this thread alone


KINDS = {
    "leak": lambda options: (ready(), leak(options)),
    "hold": hold,
    "children": children,
    "litter": litter,
    "read": read,
    "map": map_pages,
    "fill": fill,
    "leave-leader": leave_leader,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--mib", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--every", type=float, default=2)
    parser.add_argument("--name", default="")
    parser.add_argument("--waiting", action="store_true")
    parser.add_argument("--ignore-term", action="store_true")
    options = parser.parse_args()
    Path("/proc/self/comm").write_text(options.name or options.kind)
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.kind == "litter":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    KINDS[options.kind](options)


if __name__ == "__main__":
    sys.exit(main())
