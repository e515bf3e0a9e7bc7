"""Where the history comes from: the journal, or else the log file, or else what the running monitor still knows."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..entries import Entry
from ..events_socket import EVENTS_SOCKET, NoEvents, read_events
from . import journal, log_file
from .boots import BootEnd, shut_down
from .journal import Journal, JournalTrouble
from .stories import by_boot

_QUIET_S, _AT_MOST_S, _MOST_EVENTS = 0.2, 1.0, 10_000
_MOST_ENDS_LOOKED_UP = 5
_BOOT_ID = "/proc/sys/kernel/random/boot_id"

CLOSED = (
    "you may not read the system's journal: run `sudo bustd history`, or have root add you to the group "
    "systemd-journal (or adm), and log in again"
)
NOT_KEPT = "the journal of this machine is not kept over a boot; mkdir /var/log/journal keeps it (journald.conf(5))"
LINES_ONLY = "this is from the lines of {path}: they do not say which process would have been next"
SOCKET_ONLY = "this is what the running monitor still knows, and nothing before its start"


class Known(NamedTuple):
    """What was found, and where. `notes`: what a reader should know of it. `unclean`: the boots without a shutdown."""

    source: str
    entries: list[Entry]
    notes: tuple[str, ...]
    unclean: dict[str, BootEnd]


class NothingKnown(Exception):
    """No source could be read; the sentence says what was tried."""


def of_directory(directory: str) -> Known:
    """The journal of another machine. Raises JournalTrouble."""
    if not journal.files_in(directory):
        raise JournalTrouble(f"there is no journal in {directory}")
    return _of_journal(Journal(directory))


def of_this_machine() -> Known:
    """The first source that has anything. Raises NothingKnown."""
    notes: list[str] = []
    empty = None
    try:
        if journal.is_closed():
            raise JournalTrouble(CLOSED)
        if not journal.files():
            raise JournalTrouble("there is no journal on this machine")
        known = _of_journal(Journal())
        if not journal.is_kept():
            known = known._replace(notes=(*known.notes, NOT_KEPT))
        if known.entries:
            return known
        empty = known
    except JournalTrouble as error:
        notes.append(str(error))
    for path in log_file.paths():
        try:
            entries = log_file.read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            notes.append(f"{path}: {error.strerror}")
            continue
        if entries:
            return Known("log file", entries, (*notes, LINES_ONLY.format(path=path)), {})
        empty = empty or Known("log file", [], tuple(notes), {})
    entries, trouble = of_socket(EVENTS_SOCKET)
    if entries:
        return Known("events socket", entries, (*notes, SOCKET_ONLY), {})
    if empty is not None:
        return empty
    raise NothingKnown("; ".join([*notes, trouble]))


def of_socket(path: str) -> tuple[list[Entry], str]:
    """What the running monitor still knows, after a second at most; and why that is nothing."""
    found: list[Entry] = []
    until_s = time.monotonic() + _AT_MOST_S
    try:
        for entry in read_events(path, _QUIET_S):
            found.append(entry)
            if len(found) >= _MOST_EVENTS or time.monotonic() > until_s:
                break
    except NoEvents as error:
        return found, str(error)
    return found, "" if found else f"the monitor at {path} tells nothing"


def _of_journal(its: Journal) -> Known:
    read = its.own()
    if not read.entries and not its.has_entries():
        raise JournalTrouble("the journal has no entry that can be read")
    notes = [read.trouble] if read.trouble else []
    unclean: dict[str, BootEnd] = {}
    try:
        unclean = _without_shutdown(its, read.entries)
    except JournalTrouble as error:
        notes.append(f"how each boot ended is not known: {error}")
    return Known("journal", read.entries, tuple(notes), unclean)


def _without_shutdown(its: Journal, entries: list[Entry]) -> dict[str, BootEnd]:
    """The boots in which bustd ran and that ended without a shutdown, with their last entry. Raises JournalTrouble."""
    boots = by_boot(entries)
    ended = shut_down(its.marks().entries) if boots else frozenset()
    left = [boot for boot in boots if boot not in ended and boot != _this_boot()]
    found = {}
    for number, boot in enumerate(reversed(left)):
        last_us = its.last_us(boot) if number < _MOST_ENDS_LOOKED_UP else 0
        own_us = boots[boot][-1].entry.time_us
        found[boot] = BootEnd(last_us or own_us, bool(last_us))
    return found


def _this_boot() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip().replace("-", "")
    except OSError:
        return ""
