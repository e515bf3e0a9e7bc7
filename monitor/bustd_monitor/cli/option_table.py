"""Every option of `bustd`: how it is typed, what it means, and which daemon it is passed on to, and as what."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from bustd_shared.kernel.watched_group import plain
from bustd_shared.rules.schema import keys_of

from ..arguments import DEFAULT_CONFIG, DEFAULT_KILLER_CONFIG, KEYS
from ..config import SCHEMA


class Value(NamedTuple):
    """What follows an option. `expected` describes it in the message about any other value.

    `reads` raises ValueError for such a value. `passed` makes of the value what a daemon gets.
    """

    metavar: str
    expected: str
    reads: Callable[[str], Any] = str
    passed: Callable[[Any], Any] = lambda value: value

    def __call__(self, text: str) -> Any:
        """The value of a word, as argparse wants it."""
        try:
            return self.reads(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {self.expected}, found {text!r}") from None


class CommandOption(NamedTuple):
    """One option; the last of its names is the long one. `value` None: a switch, whose value is `switches_to`.

    `monitor`: the field of the monitor's Arguments that gets the value; `killer`: the killer's option that does.
    `repeats`: each one counts, and the value is a list; else the last one counts. `default`: the value of one that is
    not given, None for that of the configuration. `dest`: see `attribute`.
    """

    names: tuple[str, ...]
    help: str
    value: Value | None = None
    monitor: str = ""
    killer: str = ""
    repeats: bool = False
    switches_to: object = True
    default: object = None
    dest: str = ""

    @property
    def attribute(self) -> str:
        """The name of its value among the options of a command."""
        return self.dest or self.names[-1].lstrip("-").replace("-", "_")

    def passed(self, options: argparse.Namespace) -> Any:
        """What a daemon gets of it; None if it is not given, or the command has no such option."""
        value = getattr(options, self.attribute, None)
        if value is None or value is False:
            return None
        return value if self.value is None else self.value.passed(value)

    @property
    def typed(self) -> str:
        """Its names, for a person."""
        return "/".join(self.names)


def _file(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _globs(text: str) -> list[str]:
    return [glob for glob in text.split("|") if glob]


def _joined(lists: list[list[str]]) -> tuple[str, ...]:
    return tuple(glob for globs in lists for glob in globs)


def _positive(text: str) -> int:
    """Not 0, nor empty: a script without a value must not end up with no limit at all."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError
    return int(text)


def _group(text: str) -> str:
    """A script whose variable is empty must not end up with a pair that watches the whole machine."""
    path = plain(text)
    if not path:
        raise ValueError
    return path


_PSI = dict(keys_of(SCHEMA))[KEYS["psi"]]

NUMBER = Value("N", f"a number from {_PSI.low:g} to {_PSI.high:g}", float)
AMOUNT = Value("N", "a whole number above 0", _positive)
MEBIBYTES = Value("MIB", "a whole number above 0", _positive)
FILE = Value("FILE", "the name of a file", _file, os.path.abspath)
GLOBS = Value("GLOBS", "globs with | between them", _globs, _joined)
USER = Value("NAME", "the name of a user")
PID = Value("PID", "the PID of a process", _positive)
GROUP = Value("PATH", "the path of a control group", _group)
STORY = Value("N", "the number of a story", _positive)
DIRECTORY_NAME = Value("DIR", "the name of a directory", _file)

# --- what the pair is started with

VERBOSE = CommandOption(("-V", "--verbose"), "log every reading and every sleep", monitor="verbose")
NO_DAEMON = CommandOption(("-n", "--no-daemon"), "stay in the foreground")
KILL_PGROUP = CommandOption(
    ("-g", "--kill-pgroup"), "kill the victim's whole process group", monitor="scope", switches_to="group"
)
PSI = CommandOption(
    ("-p", "--psi"), f"PSI some avg10 that fires `pressure` (default {_PSI.default})", NUMBER, monitor="psi"
)
UNKILLABLES = CommandOption(
    ("-u", "--unkillables"),
    "never kill these names: 'glob|glob'",
    GLOBS,
    monitor="unkillables",
    killer="--protect-name",
    repeats=True,
)
DRY_RUN = CommandOption(("--dry-run",), "decide and log, and never kill", monitor="dry_run", killer="--dry-run")
CONFIG = CommandOption(("--config",), f"read FILE instead of {DEFAULT_CONFIG}", FILE, monitor="config")
KILLER_CONFIG = CommandOption(
    ("--killer-config",),
    f"read FILE instead of {DEFAULT_KILLER_CONFIG}",
    FILE,
    monitor="killer_config",
    killer="--config",
)
MONITOR_USER = CommandOption(("--user",), "the user that the monitor runs as (default bustd)", USER, default="bustd")
ONLY_DESCENDANTS_OF = CommandOption(
    ("--only-descendants-of",),
    "nothing outside of this process's subtree may die",
    PID,
    monitor="only_descendants_of",
    killer="--only-descendants-of",
)
CGROUP = CommandOption(
    ("--cgroup",),
    "watch this control group, and nothing outside of it may die",
    GROUP,
    monitor="cgroup",
    killer="--cgroup",
)

PASSED_ON = (
    VERBOSE,
    KILL_PGROUP,
    PSI,
    UNKILLABLES,
    DRY_RUN,
    CONFIG,
    KILLER_CONFIG,
    ONLY_DESCENDANTS_OF,
    CGROUP,
)
"""Those that a daemon gets."""

# --- of one command

JSON_LINES = CommandOption(("--json",), "print a JSON object on each line")
NEW = CommandOption(("--new",), "leave out what happened before, and show what happens from now on")
STANDALONE = CommandOption(("--standalone",), "test the pair as `bustd run` starts it, and not the units")
SECONDS = CommandOption(("--seconds",), "end after this many seconds", AMOUNT)
LIMIT = CommandOption(("--limit",), "end when the file has this size, in MiB (default 64)", MEBIBYTES, default=64)
COMMAND_LINES = CommandOption(("--commands",), "write command lines too, which may hold passwords (default: none)")
RECORDED_DESCENDANTS = CommandOption(("--only-descendants-of",), "write only processes of this process's subtree", PID)
RECORDED_CGROUP = CommandOption(("--cgroup",), "record this control group instead of the machine", GROUP)
CONFIGS = CommandOption(
    ("--config",),
    f"read FILE instead of {DEFAULT_CONFIG}; twice: compare two",
    FILE,
    repeats=True,
    dest="configs",
)
QUIET = CommandOption(("-q", "--quiet"), "print only what is wrong or in doubt")
OUTPUT = CommandOption(("-o", "--output"), "write to FILE, in the place of what it was", FILE)
JSON = CommandOption(("--json",), "print one object of JSON; bustd(1) has its keys")
DIRECTORY = CommandOption(("--directory",), "read the journal in DIR, of another machine", DIRECTORY_NAME)
CSV = CommandOption(("--csv",), "FILE is a table, whatever its name ends in")
NEW_FILE = CommandOption(("-o", "--output"), "write to this new file, and not to standard output", FILE)
WITH_NAMES = CommandOption(("--names",), "leave names, rules and command lines in, which may hold passwords")
CHANGES = CommandOption(("-V", "--verbose"), "show when memory was watched, too", monitor="verbose")
