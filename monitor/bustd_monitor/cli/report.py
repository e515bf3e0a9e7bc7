"""`bustd report`: what a maintainer needs to know of a machine on which something went wrong, as one text."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from . import report_parts as parts
from .daemons import arguments_of
from .options import examine

_HEAD = "A report of bustd. It is text: read it before you send it."
_WITHOUT = (
    "Left out are the names of programs, units, control groups, users, files and of this machine, rules, and command "
    "lines: … stands for them."
)
_WITH = "It has names of programs, units and users in it, rules, and command lines, which may hold passwords."


def report(options: argparse.Namespace) -> int:
    """Exit code 0; 73 where FILE can't be created. A part that can't be made says so in its place."""
    descriptor = 1
    if options.output is not None:
        try:
            # Readable for its owner alone, and no other file is replaced.
            descriptor = os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            sys.stderr.write(f"bustd: {options.output}: {error.strerror}\n")
            return os.EX_CANTCREAT
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=descriptor != 1) as file:
        for line in lines(options):
            file.write(f"{line}\n")
    if options.output is not None:
        print(f"bustd: {options.output} is written. It is text: read it before you send it.")
    return os.EX_OK


def lines(options: argparse.Namespace) -> Iterator[str]:
    """The whole report."""
    names, arguments = options.names, arguments_of(options)
    monitor, killer = examine(arguments)
    yield f"{_HEAD} {_WITH if names else _WITHOUT}"
    for title, made in (
        ("Version and system", parts.system),
        ("Memory", parts.memory),
        ("Configuration", lambda: parts.configuration(monitor, killer, names=names)),
        ("Units", lambda: parts.units(names=names)),
        ("History", lambda: parts.history(names=names)),
        ("Now", lambda: parts.now(arguments, monitor, killer, names=names)),
    ):
        yield f"\n## {title}\n"
        yield from made()
