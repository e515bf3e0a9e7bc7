"""The log file of a pair without systemd. Its lines have a time, a program and a sentence, and no fields."""

from __future__ import annotations

import os
import re
import time

from ..daemonize import CannotDaemonize, places
from ..entries import Entry
from .lines import KILLER, MONITOR, completed

SYSTEM_LOG = "/var/log/bustd.log"
MOST_BYTES = 4 * 2**20
"""As much of its end is read."""
_LINE = re.compile(rf"(\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d) ({MONITOR}|{KILLER}): (.*)")


def paths() -> list[str]:
    """Where it may be: root's, and this user's own."""
    try:
        return list(dict.fromkeys((SYSTEM_LOG, places().log)))
    except CannotDaemonize:
        return [SYSTEM_LOG]


def read(path: str) -> list[Entry]:
    """The entries that the end of this file has. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return parsed(os.pread(descriptor, MOST_BYTES, max(os.fstat(descriptor).st_size - MOST_BYTES, 0)))
    finally:
        os.close(descriptor)


def parsed(log: bytes) -> list[Entry]:
    """Of each line that a daemon has written. The first may lack its beginning."""
    found = []
    for line in log.split(b"\n"):
        match = _LINE.fullmatch(line.decode("utf-8", "backslashreplace"))
        time_us = _time_us(match[1]) if match else None
        if match and time_us is not None:
            fields = {"__REALTIME_TIMESTAMP": time_us, "SYSLOG_IDENTIFIER": match[2], "MESSAGE": match[3]}
            entry = Entry({name: [value.encode()] for name, value in fields.items()})
            found.append(completed(entry, match[2]))
    return found


def _time_us(text: str) -> str | None:
    """Microseconds since 1970 of a local time; of the hour that comes twice in autumn, either."""
    try:
        return str(int(time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))) * 1_000_000)
    except (ValueError, OverflowError):
        return None
