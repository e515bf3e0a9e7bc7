"""What fills memory and is held by no process, in words."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_shared.daemon.log import printable

from ..conditions.filled import Filled, Unheld
from ..deciding.still_deaths import RECENT_MS, Again
from ..sensing.reading import Reading

_WHO = ("tmpfs and shared memory", "huge pages", "the kernel", "drivers or a balloon")
_HOLD = ("hold", "hold", "holds", "hold")
_TOOK = (*(f"{who} took" for who in _WHO), "RAM is smaller by", "swap is smaller by")
_TOOK_UNREAD = (*_TOOK[:2], "the kernel took", "the kernel, drivers or a balloon took", *_TOOK[4:])
"""Where the kernel's own memory was not read."""
_GIVE_BACK = (
    "delete files of a tmpfs (df -t tmpfs)",
    "reserve fewer huge pages (vm.nr_hugepages)",
    "see what the kernel holds (/proc/slabinfo)",
    "give this machine more memory, or unload the driver",
    "give this machine its memory back",
    "switch swap on again (swapon)",
)
_LEAST, _LEAST_PART = 64 * 2**20, 64
"""Less, or a smaller part of RAM, comes and goes at any time."""
_MUCH_PART = 8


def grew(unheld: Unheld) -> str:
    """A clause that names what grew in the last minute, the most first; "" where nothing of this kind did."""
    took = _took(unheld)
    return f"no process grows: in the last minute {took}" if took else ""


def fills(unheld: Unheld) -> str:
    """A clause that names what grew, and what holds an eighth of RAM or more; "" where there is neither."""
    amounts = sorted(zip(unheld.held, _WHO, _HOLD, strict=False), reverse=True)
    held = [f"{who} {hold} {size(amount)}" for amount, who, hold in amounts if amount * _MUCH_PART >= unheld.ram > 0]
    took = _took(unheld)
    parts = [*([f"in the last minute {took}"] if took else []), *([f"{', '.join(held)} of RAM"] if held else [])]
    return f"no process grows: {'; '.join(parts)}" if parts else ""


def not_again(again: Again, unheld: Unheld, largest_bytes: int, reading: Reading) -> str:
    """Why no more processes die, after those that died for what fills memory; and what a person can do."""
    if not again.is_filled:
        return "a process died for this within the last minute and did not grow either"
    died = "a process" if again.deaths == 1 else f"{again.deaths} processes"
    took = ", ".join(f"{what} {size(amount)}" for amount, what in _most_first(again.filled, _words(unheld)) if amount)
    since = "in the last minute" if again.elapsed_ms < RECENT_MS else "since"
    return (
        f"{died} that did not grow died for this, the last {_span(again.elapsed_ms)} ago, and {took} {since}: no more "
        "are killed for it, unless memory is all but gone, and one holds half of what is missing, which would last for "
        f"{_span(again.must_last_ms)} (what the largest holds: {_span(again.lasts_ms(largest_bytes))}); "
        f"{_give_back(again.filled, reading)}"
    )


def _span(ms: int) -> str:
    """In a unit that is easy to read."""
    seconds = ms // 1000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _give_back(filled: Filled, reading: Reading) -> str:
    """What a person can do about the most of it."""
    words = _most_first(filled, _GIVE_BACK)[0][1]
    if words != _GIVE_BACK[0]:
        return words
    if 0 < reading.tmpfs * 2 < reading.shared:
        return "most of the shared memory is in no file of a tmpfs: a graphics driver, memfd_create(2) or shmget(2)"
    return f"{words}: the fullest is {printable(reading.fullest_tmpfs)}" if reading.fullest_tmpfs else words


def _took(unheld: Unheld) -> str:
    least = min(_LEAST, max(unheld.ram // _LEAST_PART, 1))
    amounts = _most_first(unheld.grown, _words(unheld))
    return ", ".join(f"{name} {size(amount)}" for amount, name in amounts if amount >= least)


def _words(unheld: Unheld) -> tuple[str, ...]:
    return _TOOK if unheld.held.kernel else _TOOK_UNREAD


def _most_first(amounts: Filled, words: tuple[str, ...]) -> list[tuple[int, str]]:
    return sorted(zip(amounts, words, strict=True), reverse=True)


def swap_went(before: int, now: int) -> str:
    """Swap was switched off."""
    left = f"{size(now)} of {size(before)} are left" if now else f"all {size(before)} of it are gone"
    return f"swap went away (swapoff): {left}, and what was in it must be in memory now"


def kernel_killed(count: int) -> str:
    """The kernel's own OOM killer was faster."""
    what = "a process" if count == 1 else f"{count} processes"
    return (
        f"THE KERNEL HAS KILLED {what} for want of memory before bustd did, or at the own limit of a control group "
        "(oom_kill of /proc/vmstat); its log says which (journalctl -k)"
    )


def node_is_full(node: int, available: int, bound: list[str] | None) -> str:
    """A NUMA node has no memory left, and the machine has. `bound`: the largest that are bound to it by a cpuset."""
    named = ""
    if bound is not None:
        largest = f"the largest bound by cpuset.mems: {', '.join(bound)}"
        named = f"; {largest}" if bound else "; none of the largest processes is bound by cpuset.mems"
    return (
        f"NUMA node {node} is full, and {size(available)} are available on the whole machine: the kernel may kill what "
        f"is bound to that node (cpuset.mems, numactl){named}. bustd judges all nodes together: let it use others too"
    )
