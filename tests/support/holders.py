"""Programs that hold memory elsewhere than in private pages: page tables, shared memory, copies. For `start_program`.

Each gives itself a name, and prints a line when it holds what it was asked to hold.
"""

from __future__ import annotations

_NAMED = """
import ctypes, mmap, os, sys, time
open("/proc/self/comm", "wb").write({name!r})
"""
_WAITS = """
print("ready", flush=True)
time.sleep(120)
"""


def private(mib: int, name: bytes = b"innocent") -> str:
    """Private memory, as most programs have it."""
    return f"{_NAMED.format(name=name)}\nkept = bytes([1]) * ({mib} << 20)\n{_WAITS}"


def page_tables(mib: int, name: bytes = b"tables") -> str:
    """One byte is read in each 2 MiB of untouched memory: the zero page is nobody's memory, each page table 4 KiB."""
    return f"""{_NAMED.format(name=name)}
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
length = {mib} * 256 * (2 << 20)
at = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, -1, 0)  # NORESERVE
assert at not in (None, ctypes.c_void_p(-1).value), "mmap"
libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(length), 15)  # MADV_NOHUGEPAGE
for offset in range(0, length, 2 << 20):
    ctypes.c_ubyte.from_address(at + offset).value
{_WAITS}"""


_MAPPED = """
if {of_memfd}:
    descriptor = os.memfd_create("heap")
    os.ftruncate(descriptor, {mib} << 20)
    shared = mmap.mmap(descriptor, {mib} << 20)
else:
    shared = mmap.mmap(-1, {mib} << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
def fill(mapping):
    for at in range(0, len(mapping), 1 << 20):
        mapping[at : at + (1 << 20)] = bytes([1]) * (1 << 20)
"""


def shared(mib: int, name: bytes = b"shared", *, of_memfd: bool = False) -> str:
    """Shared memory that no other process maps: anonymous, or of a memfd."""
    return f"{_NAMED.format(name=name)}{_MAPPED.format(mib=mib, of_memfd=of_memfd)}\nfill(shared)\n{_WAITS}"


def server_with_shared_buffers(mib: int, workers: int, name: bytes = b"server") -> str:
    """A parent and its workers, which all map and touch the same shared memory, and end when the parent does."""
    return f"""{_NAMED.format(name=name)}{_MAPPED.format(mib=mib, of_memfd=False)}
alive, held = os.pipe()
ready, done = os.pipe()
fill(shared)
for _ in range({workers}):
    if os.fork() == 0:
        os.close(held)
        fill(shared)
        os.write(done, b"1")
        os.read(alive, 1)  # until the parent is dead
        os._exit(0)
for _ in range({workers}):
    os.read(ready, 1)
{_WAITS}"""
