"""`bustd watch`: the events of the monitor as they come, a line each, for people and for pipes."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import select
import socket
import sys
import time
from typing import Any

from bustd_shared.daemon.lines import CRITICAL, DEBUG, INFO, NOTICE, WARNING
from bustd_shared.daemon.log import printable

from .entries import Entry
from .events_socket import EVENTS_SOCKET, NoEvents, connected, next_event

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1, 60
_WORDS = {CRITICAL: "critical", WARNING: "warning", NOTICE: "notice", INFO: "info", DEBUG: "debug"}
_COLOURS = {CRITICAL: "1;31", WARNING: "33", DEBUG: "2"}
"""SGR parameters (console_codes(4)); the others are as the terminal has them."""
_LAST_SECOND = 253_402_300_799
"""Of the year 9999, the last that a date can have."""
_NUMBERS = ("PID", "UID", "BYTES", "MS", "US", "TICKS", "KILLED")
"""How the name of a field ends whose value is a number. The value itself says nothing: a program may be called 12."""
_LISTS = ("CANDIDATE",)


def watch(options: argparse.Namespace, path: str = EVENTS_SOCKET) -> int:
    """Until it is interrupted, or whatever reads the output is gone: 0. 69: there are no events to read."""
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown_us = time.monotonic_ns() // 1000 if options.new else -1
    pause_s = _FIRST_PAUSE_S
    try:
        link = connected(path)
        while _is_read(link):
            entry = next_event(link)
            if entry is None:
                link.close()
                link = _connected_again(path, pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            told_us = entry.number("__MONOTONIC_TIMESTAMP") or 0
            if told_us > shown_us:  # after another connection the last events come once more
                shown_us = told_us
                print(as_json(entry) if options.json else as_line(entry, is_coloured=is_coloured), flush=True)
        link.close()
    except NoEvents as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_UNAVAILABLE
    return os.EX_OK


def as_line(entry: Entry, *, is_coloured: bool = False) -> str:
    """Time, priority and message, without a character that could disturb a terminal."""
    level = entry.number("PRIORITY")
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_seconds(entry)))
    word = f"{_WORDS.get(INFO if level is None else level, 'info'):8}"
    if is_coloured and level in _COLOURS:
        word = f"\x1b[{_COLOURS[level]}m{word}\x1b[0m"
    return f"{at} {word} {printable(entry.message)}"


def as_json(entry: Entry) -> str:
    """One JSON object: time, kind (null if it is not known here), level, message, and fields without BUSTD_."""
    moment = datetime.datetime.fromtimestamp(_seconds(entry), datetime.UTC)
    return json.dumps(
        {
            "time": moment.replace(microsecond=entry.time_us % 1_000_000).isoformat(timespec="microseconds"),
            "kind": entry.kind.name if entry.kind else None,
            "level": entry.number("PRIORITY"),
            "message": entry.message,
            "fields": {name.lower(): _value(entry, name) for name in _own_names(entry)},
        }
    )


def _own_names(entry: Entry) -> list[str]:
    return [name.removeprefix("BUSTD_") for name in entry.fields if name.startswith("BUSTD_")]


def _value(entry: Entry, name: str) -> Any:
    """A list if there may be several; a number, or null for what should be one; else text."""
    if name in _LISTS:
        return entry.all_own(name)
    return entry.own_number(name) if name.rpartition("_")[2] in _NUMBERS else entry.own(name)


def _seconds(entry: Entry) -> int:
    return min(entry.time_us // 1_000_000, _LAST_SECOND)


def _is_read(link: socket.socket) -> bool:
    """Wait for the next event. False: whatever reads the output is gone, and no event will be wanted."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(sys.stdout.fileno(), 0)  # nothing but that it has hung up
    return sys.stdout.fileno() not in dict(poll.poll())


def _connected_again(path: str, pause_s: int) -> socket.socket:
    """The next connection, after growing pauses. Each is said: a pipe that waits must not look like a quiet machine."""
    why = "the monitor has hung up: it has ended, has 16 readers, or this one was too slow"
    while True:
        sys.stderr.write(f"bustd: {why}; connecting again in {pause_s} s\n")
        time.sleep(pause_s)
        try:
            return connected(path)
        except NoEvents as error:
            why, pause_s = str(error), min(2 * pause_s, _LONGEST_PAUSE_S)
