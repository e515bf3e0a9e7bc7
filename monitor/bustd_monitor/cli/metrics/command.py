"""`bustd metrics`: looks once, and prints or writes what a Prometheus server may be told."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from typing import NamedTuple

from ..daemons import arguments_of
from ..memory_now import memory_now
from ..status import looked
from . import counters, gauges
from .exposition import Samples, samples_in, text
from .journal import JournalSince, read_since

_READINGS = 21
"""Two seconds: a rate that has held for so long is trusted for any time."""
_LONGEST_BYTES = 1 << 20
_COUNTED = "bustd has counted the journal up to "
"""What the comment begins with that has the cursor (systemd.journal-fields(7))."""
_CURSOR = re.compile(rf"^# {_COUNTED}([a-z]=[0-9a-f]+(?:;[a-z]=[0-9a-f]+)*)$", re.MULTILINE)


class Counted(NamedTuple):
    """The counts so far, and up to where in the journal. `counts` None: nothing could be counted."""

    counts: Samples | None = None
    cursor: str = ""


def metrics(options: argparse.Namespace) -> int:
    """Exit code 0; 73 where FILE can't be written."""
    memory = memory_now(arguments_of(options), _READINGS)
    before = counted_in(_content(options.output)) if options.output else Counted()
    now = further(before, read_since(before.cursor))
    families = gauges.families(looked(memory).protection, memory)
    if now.counts is not None:
        families += counters.families(now.counts)
    written = text(families, [f"{_COUNTED}{now.cursor}"] if now.cursor else [])
    if not options.output:
        sys.stdout.write(written)
        return os.EX_OK
    try:
        replace(options.output, written)
    except OSError as error:
        sys.stderr.write(f"bustd: {options.output}: {error.strerror}\n")
        return os.EX_CANTCREAT
    return os.EX_OK


def counted_in(content: str) -> Counted:
    """What a FILE of the last time says. Without a cursor that journalctl understands it says nothing."""
    found = _CURSOR.search(content)
    return Counted(samples_in(content), found[1]) if found else Counted()


def further(before: Counted, journal: JournalSince) -> Counted:
    """What was counted before, and what the journal has had since then; as it was where the journal can't be read."""
    if journal.entries is None:
        return Counted(counters.counted((), before.counts), before.cursor) if before.cursor else Counted()
    return Counted(counters.counted(journal.entries, before.counts), journal.cursor)


def replace(path: str, content: str) -> None:
    """Put a whole file in the place of the old one, readable by everybody: nobody sees half of it. Raises OSError."""
    directory, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f"{name}.", suffix=".new", dir=directory)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _content(path: str) -> str:
    """The file as it is, "" if there is none, or none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_BYTES)
    except OSError:
        return ""
