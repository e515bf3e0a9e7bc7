"""How each boot has ended: by a shutdown, or with whatever its journal had by then. Pure.

journald says when it starts and when it stops (sd-messages(3)); it is among the last to stop, and says so unless its
files are on a file system that is unmounted before. Then logind and PID 1 have said that the machine shuts down. If
the last word of a boot is a start, nobody has shut it down: power was cut, it crashed, or it hung.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..entries import Entry

JOURNAL_STARTED = "f77379a8490b408bbe5f6940505a777b"
JOURNAL_STOPPED = "d93fb3c9c24d451a97cea615ce59c00b"
SHUTTING_DOWN = "98268866d1d54a499c4e98921d93bc40"
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
LOGIND, SHUTDOWN_TARGET = "systemd-logind.service", "shutdown.target"

MATCHES = (
    *("_TRANSPORT=driver", f"MESSAGE_ID={JOURNAL_STARTED}", f"MESSAGE_ID={JOURNAL_STOPPED}", "+"),
    *(f"_SYSTEMD_UNIT={LOGIND}", f"MESSAGE_ID={SHUTTING_DOWN}", "+"),
    *("_PID=1", f"UNIT={SHUTDOWN_TARGET}", f"MESSAGE_ID={UNIT_STARTED}"),
)
"""What journalctl(1) is asked for. Each has a field that journald alone can set: anybody can write a MESSAGE_ID."""


class BootEnd(NamedTuple):
    """A boot without a shutdown.

    `last_us`: when its last entry was written, in microseconds since 1970. `is_of_all`: the last of any program, and
    not only of bustd's.
    """

    last_us: int
    is_of_all: bool = False


def shut_down(marks: Iterable[Entry]) -> frozenset[str]:
    """The boots (_BOOT_ID) that ended by a shutdown, by the entries that `MATCHES` finds."""
    last: dict[str, tuple[int, bool]] = {}
    for mark in marks:
        means = _means_shutdown(mark)
        if means is not None:
            at = mark.number("__MONOTONIC_TIMESTAMP") or 0, means
            boot = mark.text("_BOOT_ID")
            last[boot] = max(last.get(boot, at), at)
    return frozenset(boot for boot, (_, means) in last.items() if means)


def _means_shutdown(mark: Entry) -> bool | None:
    """True: the boot ends here. False: it goes on from here. None: it says nothing, whatever it claims."""
    said = mark.text("MESSAGE_ID")
    if mark.text("_TRANSPORT") == "driver" and said in (JOURNAL_STARTED, JOURNAL_STOPPED):
        return said == JOURNAL_STOPPED
    is_logind = mark.text("_SYSTEMD_UNIT") == LOGIND and said == SHUTTING_DOWN
    is_pid_1 = mark.text("_PID") == "1" and mark.text("UNIT") == SHUTDOWN_TARGET and said == UNIT_STARTED
    return True if is_logind or is_pid_1 else None
