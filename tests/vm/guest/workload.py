"""The programs that a scenario runs, each as the main process of a unit: workload.py KIND [--OPTION VALUE]...

It tells systemd that it is ready (sd_notify(3)) once it has what it needs, or, if it leaks, just before the first byte.
"""

import argparse
import ctypes
import mmap
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from machine import FROZEN, TMPFS, meminfo, ready, show

_CHUNK = 4 << 20
_FAST_CHUNK = 32 << 20
_MOST_BEHIND_SECONDS = 0.1
_PAGE_CACHE_FILE = Path("/var/tmp/vm-pages")
_kept = []


def take(size, kind=mmap.MAP_PRIVATE):
    """`size` bytes of anonymous memory, in huge pages if possible: written with something that compresses to half."""
    block = mmap.mmap(-1, size, flags=kind | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    noise = b"".join(os.urandom(mmap.PAGESIZE // 2) + bytes(mmap.PAGESIZE // 2) for _ in range(64))
    for start in range(0, size, len(noise)):
        block[start : start + len(noise)] = noise[: size - start]
    _kept.append(block)


def grow(rate, most=None, kind=mmap.MAP_PRIVATE):
    """By `rate` MiB a second, 0: as fast as can be; for ever, or until it has taken `most` bytes.

    After a pause of the machine it goes on as before: of what it could not take meanwhile it takes no more at once
    than a tenth of a second's worth.
    """
    due, taken = time.monotonic(), 0
    chunk = min(_CHUNK, rate << 20) if rate else _FAST_CHUNK
    while most is None or taken < most:
        take(chunk, kind)
        taken += chunk
        if rate:
            now = time.monotonic()
            due = max(due + chunk / (rate << 20), now - _MOST_BEHIND_SECONDS)
            time.sleep(max(due - now, 0))


def leak(options):
    """Have `mib` MiB already, and grow for ever."""
    if options.mib:
        take(options.mib << 20)
    ready()
    grow(options.rate, kind=mmap.MAP_SHARED if options.shared else mmap.MAP_PRIVATE)


def leak_once(options):
    """Leak, but not after systemd has started this unit again: then hold `mib` MiB."""
    restarts = show(options.unit, "NRestarts")["NRestarts"]
    (hold if int(restarts) else leak)(options)


def copies(options):
    """Have `mib` MiB, and fork `count` children that have them too: no page is copied as long as nobody writes."""
    take(options.mib << 20)
    for _ in range(options.count):
        if os.fork() == 0:
            signal.pause()
    ready()
    signal.pause()


def hold(options):
    """Have `mib` MiB, and do nothing; `early`: be there before it has them."""
    if options.early:
        ready()
    if options.mib:
        take(options.mib << 20)
    ready()
    signal.pause()


def newborn(options):
    """Take all but `leave` MiB of what is available, in one call to the kernel, and do nothing."""
    ready()
    size = meminfo()["MemAvailable"] - (options.leave << 20)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    _kept.append(mmap.mmap(-1, size, flags=flags))
    signal.pause()


def touch(options):
    """Write to one page of `mib` MiB after another, at random: no part of it is not in use, and none is used next."""
    ready()
    take(options.mib << 20)
    (block,) = _kept
    while True:
        block[random.randrange(options.mib << 20)] = 1


def build(options):
    """`count` compilers at once, each with `mib` MiB in the end. Exits with the number of those that were killed."""
    ready()
    for _ in range(options.count):
        if os.fork() == 0:
            _compile(options)
    sys.exit(sum(os.WIFSIGNALED(os.wait()[1]) for _ in range(options.count)))


def _compile(options):
    """Grow, write out what came of it for `every` seconds, and end."""
    grow(options.rate, options.mib << 20)
    time.sleep(options.every)
    os._exit(0)


def children(options):
    """`count` children; they leak with `rate`, or only wait. The parent reaps whoever dies."""
    for _ in range(options.count):
        if os.fork() == 0:
            signal.pause() if options.waiting else grow(options.rate)
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
            grow(options.rate)
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
    """Write `mib` MiB into a tmpfs, which is nobody's memory, or all but `leave` MiB of what is available; and wait."""
    block, written = os.urandom(1 << 20), 0
    ready()
    with Path(TMPFS, "filling").open("wb", buffering=0) as file:
        while written < options.mib or options.leave << 20 < meminfo()["MemAvailable"]:
            file.write(block)
            written += 1
    signal.pause()


def stuck(options):
    """Have `mib` MiB, and write to a file system that is frozen: no signal reaches it there."""
    take(options.mib << 20)
    ready()
    Path(FROZEN, "file").write_bytes(b"x")


def stuck_locked(options):
    """Like `stuck`, in a page fault, while another thread waits to unmap that page: nobody gets at the address space.

    Whoever reads the command line waits with it, and process_mrelease(2) until SIGKILL has ended that other wait.
    """
    libc = ctypes.CDLL(None)
    Path(FROZEN, "file").stat()  # a look-up for writing would wait for the thaw, here already
    with Path(FROZEN, "file").open("r+b") as file:
        libc.mmap.restype = ctypes.c_void_p
        page = ctypes.c_void_p(libc.mmap(None, mmap.PAGESIZE, mmap.PROT_WRITE, mmap.MAP_SHARED, file.fileno(), 0))
    take(options.mib << 20)
    ready()
    threading.Thread(target=libc.memset, args=(page, 1, 1)).start()
    time.sleep(0.5)
    libc.munmap(page, mmap.PAGESIZE)


def swap_off(_options):
    """Be swapoff(8): what was swapped out comes back to memory as long as it runs."""
    ready()
    os.execv("/usr/sbin/swapoff", ["swapoff", "/var/vm-swap"])


def leave_leader(options):
    """The main thread exits, another one leaks: the process is a zombie with living threads."""
    ready()
    threading.Thread(target=grow, args=(options.rate,)).start()
    ctypes.CDLL(None).syscall(60, 0)  # exit(2), of this thread alone


KINDS = {
    "leak": leak,
    "leak-once": leak_once,
    "copies": copies,
    "hold": hold,
    "newborn": newborn,
    "touch": touch,
    "build": build,
    "children": children,
    "litter": litter,
    "read": read,
    "map": map_pages,
    "fill": fill,
    "stuck": stuck,
    "stuck-locked": stuck_locked,
    "leave-leader": leave_leader,
    "swap-off": swap_off,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--mib", type=int, default=0)
    parser.add_argument("--leave", type=int, default=1 << 20)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--unit", default="")
    parser.add_argument("--early", action="store_true")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--every", type=float, default=2)
    parser.add_argument("--name", default="")
    parser.add_argument("--waiting", action="store_true")
    parser.add_argument("--ignore-term", action="store_true")
    options = parser.parse_args()
    Path("/proc/self/comm").write_text(options.name or options.kind)
    if options.ignore_term:
        signal.signal(signal.SIGTERM, lambda *_: None)  # one that the kernel ignores gets SIGKILL at once
    if options.kind == "litter":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    KINDS[options.kind](options)


if __name__ == "__main__":
    sys.exit(main())
