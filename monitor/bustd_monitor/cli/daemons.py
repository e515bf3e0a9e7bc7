"""The daemons' command lines, made of the options of a command by what option_table.py says of each."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from bustd_shared.kernel import ancestor

from ..arguments import OPTIONS, Arguments
from .option_table import ONLY_DESCENDANTS_OF, PASSED_ON


def arguments_of(options: argparse.Namespace) -> Arguments:
    """What the monitor is told. A command that has no such option tells it nothing of it."""
    given = {
        option.monitor: value
        for option in PASSED_ON
        if option.monitor and (value := option.passed(options)) is not None
    }
    return Arguments(
        **given, only_uid=os.geteuid() if os.geteuid() != 0 else -1, ancestor_ticks=_ancestor_ticks(options)
    )


def monitor_words(arguments: Arguments) -> list[str]:
    """The monitor's command line, which it reads as these arguments."""
    words, nothing = [], Arguments()
    for name, option in OPTIONS.items():
        value = getattr(arguments, option.field)
        if value != getattr(nothing, option.field):
            words += _words(name, value, is_switch=option.reads is None)
    return words


def killer_words(options: argparse.Namespace) -> list[str]:
    """The killer's command line, without the plan of a monitor.

    The killer holds to `-u`, `--cgroup` and `--only-descendants-of` too: the monitor is not to be trusted with them.
    """
    words = []
    for option in PASSED_ON:
        if option.killer and (value := option.passed(options)) is not None:
            words += _words(option.killer, value, is_switch=option.value is None)
    ticks = _ancestor_ticks(options)
    return [*words, "--ancestor-ticks", str(ticks)] if ticks else words


def _ancestor_ticks(options: argparse.Namespace) -> int:
    """When the process was started whose descendants alone may die: its number alone may soon be another's."""
    pid = ONLY_DESCENDANTS_OF.passed(options)
    return ancestor.start_ticks(pid) if pid else 0


def pair_command(
    options: argparse.Namespace,
    identity: tuple[int, int],
    psi: list[tuple[str, int]],
    pid_file: int | None = None,
    events: str = "",
) -> list[str]:
    """The command line of the killer of a pair, with the monitor as its child.

    `identity`: the monitor's uid and gid, -1 where they stay. `psi`: the PSI files that it gets, open, by their names.
    `pid_file`: the descriptor of a daemon's; None in the foreground, where the log goes to the terminal alone.
    `events`: where readers of its events are to connect, "" for nowhere.
    """
    words = [] if pid_file is None else ["--syslog", "--pid-file", f"{pid_file}"]
    for name, descriptor in psi:
        words += ["--psi", f"{name}:{descriptor}"]
    words += ["--events", events] if events else []
    words += ["--monitor", f"{identity[0]}:{identity[1]}"]
    monitor = [*program("bustd_monitor"), *monitor_words(arguments_of(options))]
    return [sys.executable, "-I", *program("bustd_killer"), *killer_words(options), *words, "--", *monitor]


def program(package: str) -> list[str]:
    """What Python is given to run a daemon: its file, and -S where all that it imports lies beside its package.

    Without site no .pth file of other packages runs in a daemon, and 0.3 MB less are resident. In an editable
    installation the packages are found through such files: there site is needed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    directory = spec.submodule_search_locations[0]
    file, beside = os.path.join(directory, "__main__.py"), os.listdir(os.path.dirname(directory))
    is_whole = {"bustd_shared", "bustd_protocol", "msgpack", "prctl.py"} <= set(beside)
    return ["-S", file] if is_whole else [file]


def _words(name: str, value: object, *, is_switch: bool) -> list[str]:
    if is_switch:
        return [name]
    return [word for one in (value if isinstance(value, tuple) else [value]) for word in (name, str(one))]
