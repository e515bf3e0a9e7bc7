"""Where the counts come from: what the monitor's unit has told the journal.

Counting goes on where the last time has ended. So a journal that drops its oldest entries takes nothing away from a
count, and a kill just before a reboot is counted after it.
"""

from __future__ import annotations

import glob
import os
import subprocess
from io import BytesIO
from typing import NamedTuple

from ..entries import BrokenEntry, Entry, entries
from ..unit_copies import MONITOR

PATH = "/usr/bin:/bin:/run/current-system/sw/bin"
"""Where journalctl is. The caller's PATH may name another program."""
ROOTS = ("/var/log/journal", "/run/log/journal")
"""Where the files are (systemd-journald(8))."""
_PATIENCE_S = 20
_UNIT = "_SYSTEMD_UNIT"
_FIELDS = (
    *("MESSAGE_ID", _UNIT, "_SOURCE_REALTIME_TIMESTAMP"),
    *(f"BUSTD_{name}" for name in ("CONDITION", "SIGNAL", "OUTCOME", "REASON", "VICTIM_PID", "DECIDED_US")),
)
_CURSOR = "__CURSOR"


class JournalSince(NamedTuple):
    """`entries` None: it can't be read. `cursor`: where to go on the next time, "" if nothing was there yet."""

    entries: tuple[Entry, ...] | None
    cursor: str = ""


NO_JOURNAL = JournalSince(None)


def read_since(cursor: str) -> JournalSince:
    """What the monitor has told since then, or since this boot if that is "". Nobody else's entries count.

    It waits for 20 seconds at most.
    """
    if is_closed():
        return NO_JOURNAL
    since = [f"--after-cursor={cursor}"] if cursor else ["--boot"]
    words = ["--quiet", "--no-pager", "--priority=info", "--output=export", f"--output-fields={','.join(_FIELDS)}"]
    try:
        said = subprocess.run(
            ["journalctl", *words, *since, f"{_UNIT}={MONITOR}"],
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=True,
        )
        found = tuple(one for one in entries(BytesIO(said.stdout)) if one.text(_UNIT) == MONITOR)
    except (OSError, subprocess.SubprocessError, BrokenEntry):
        return NO_JOURNAL
    return JournalSince(found, found[-1].text(_CURSOR) if found else cursor)


def is_closed() -> bool:
    """Whether this user may not read the system's own journal, or there is none.

    journalctl would then read what there is of the user's own, which has nothing of the monitor's, and not complain.
    """
    files = [path for root in ROOTS for path in glob.glob(f"{root}/*/system.journal")]
    return not any(os.access(path, os.R_OK) for path in files)
