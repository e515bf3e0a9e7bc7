"""The journal, read by journalctl(1).

Any user can write an entry with our MESSAGE_ID. So what counts is _SYSTEMD_UNIT, which journald alone sets: journalctl
is asked for it, and what it prints is looked at again.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from io import BytesIO
from typing import NamedTuple

from ..entries import BrokenEntry, Entry, entries
from . import boots
from .lines import KILLER, MONITOR, completed

PATH = "/usr/bin:/bin:/run/current-system/sw/bin"
"""Where journalctl is. The caller's PATH may name another program."""
PATIENCE_S = 8.0
MOST_ENTRIES = 10_000
"""As many are read and joined in less than a second."""
MORE = f"only the last {MOST_ENTRIES} entries of bustd were read: the journal has older ones"
ROOTS = ("/var/log/journal", "/run/log/journal")
"""Where the files are (systemd-journald(8)). What is under the second is gone after a boot."""
PROGRAMS = {f"{program}.service": program for program in (MONITOR, KILLER)}

OWN_FIELDS = (
    *("CONDITION", "SIGNAL", "VICTIM_PID", "VICTIM_COMM", "VICTIM_UNIT", "VICTIM_UID"),
    *("VICTIM_BYTES", "AVAILABLE_BYTES", "TOTAL_BYTES", "CANDIDATE", "DECIDED_US", "OUTCOME", "REASON", "ELAPSED_MS"),
    *("CAME_BACK_BYTES", "KILLED"),
)
"""Those that a story tells, without BUSTD_."""
_OF_OURS = ("MESSAGE", "MESSAGE_ID", "_SYSTEMD_UNIT", *(f"BUSTD_{name}" for name in OWN_FIELDS))
_OF_A_MARK = ("MESSAGE_ID", "UNIT", "_SYSTEMD_UNIT", "_TRANSPORT", "_PID")


class JournalTrouble(Exception):
    """Nothing could be read; the sentence says why."""


class Read(NamedTuple):
    """Entries in the order of the journal, and what went wrong with the rest of them ("": nothing)."""

    entries: list[Entry]
    trouble: str = ""


class Journal:
    """That of this machine, or of another in a `directory`."""

    def __init__(self, directory: str = "") -> None:
        self._where = [f"--directory={directory}"] if directory else []

    def own(self) -> Read:
        """The last entries of bustd's two units, those of `verbose` left out. Raises JournalTrouble."""
        units = [f"_SYSTEMD_UNIT={unit}" for unit in PROGRAMS]
        read = self._read(_OF_OURS, [f"--lines={MOST_ENTRIES}", "--priority=info", *units])
        trouble = read.trouble or (MORE if len(read.entries) >= MOST_ENTRIES else "")
        return Read([whole for entry in read.entries if (whole := of_ours(entry)) is not None], trouble)

    def has_entries(self) -> bool:
        """Whether it has any entry that can be read. journalctl says nothing of a file that is cut off."""
        return bool(self._read(("MESSAGE_ID",), ["--lines=1"]).entries)

    def marks(self) -> Read:
        """What says how boots have ended: see `boots`. Raises JournalTrouble."""
        return self._read(_OF_A_MARK, [f"--lines={MOST_ENTRIES}", *boots.MATCHES])

    def last_us(self, boot: str) -> int:
        """When the last entry of this boot was written, of any program; 0 if there is none. Raises JournalTrouble."""
        read = self._read(("MESSAGE_ID",), ["--lines=1", f"_BOOT_ID={boot}"])
        return read.entries[-1].time_us if read.entries else 0

    def _read(self, fields: tuple[str, ...], words: list[str]) -> Read:
        """The entries that these words ask for. Their times and their boot come with any fields."""
        program = program_path()
        command = [program, "--quiet", "--no-pager", "--output=export", f"--output-fields={','.join(fields)}"]
        command += [*self._where, *words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE_S,
                env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise JournalTrouble(f"journalctl has not answered within {PATIENCE_S:g} s") from None
        except OSError as error:
            raise JournalTrouble(f"{program}: {error.strerror}") from None
        trouble = f"journalctl has failed: {_first_line(done.stderr)}" if done.returncode else ""
        found: list[Entry] = []
        try:
            found.extend(entries(BytesIO(done.stdout)))
        except BrokenEntry as error:
            trouble = trouble or f"journalctl has printed what can't be read: {error}"
        if trouble and not found:
            raise JournalTrouble(trouble)
        return Read(found, trouble)


def program_path() -> str:
    """The path of journalctl. Raises JournalTrouble."""
    found = shutil.which("journalctl", path=PATH)
    if found is None:
        raise JournalTrouble("there is no journalctl")
    return found


def of_ours(entry: Entry) -> Entry | None:
    """The entry, if one of bustd's units wrote it; a line with the fields that it says for certain."""
    units = entry.fields.get("_SYSTEMD_UNIT", [])
    program = PROGRAMS.get(units[0].decode("utf-8", "replace")) if len(units) == 1 else None
    return completed(entry, program) if program is not None else None


def files() -> list[str]:
    """The files of the system's own journal that can be seen."""
    return [path for root in ROOTS for path in glob.glob(f"{root}/*/system.journal")]


def files_in(directory: str) -> list[str]:
    """The files of every journal in a directory, and in those folders of it that have the number of a machine."""
    folder = glob.escape(directory)
    return [path for place in (folder, f"{folder}/{'[0-9a-f]' * 32}") for path in glob.glob(f"{place}/*.journal*")]


def is_closed() -> bool:
    """Whether there is a journal and this user may not read the system's own.

    journalctl would then read the user's own, which has nothing of bustd's, and not complain.
    """
    found = files()
    folders = [root for root in ROOTS if os.path.isdir(root) and not os.access(root, os.R_OK | os.X_OK)]
    return bool(found or folders) and not any(os.access(path, os.R_OK) for path in found)


def is_kept() -> bool:
    """Whether the journal outlives a boot."""
    return any(path.startswith(ROOTS[0]) for path in files())


def _first_line(said: bytes) -> str:
    return (said.decode("utf-8", "backslashreplace").strip().splitlines() or ["it does not say why"])[0]
