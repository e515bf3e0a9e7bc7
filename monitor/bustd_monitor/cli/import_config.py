"""`bustd import-config earlyoom|nohang [FILE]`: another daemon's configuration as a bustd.toml, on standard output."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable

from bustd_shared.daemon.lines import printable
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.config_files import MOST_BYTES, Loaded, add, toml_values
from bustd_shared.rules.schema import Problem

from ..config import SCHEMA
from .importing import earlyoom, nohang
from .importing.draft import Draft, NotThat

STANDARD_INPUT = "-"


class Source(NamedTuple):
    """A daemon whose configuration can be read. `file`: where its package puts it."""

    file: str
    read: Callable[[str], Draft]


SOURCES = {
    "earlyoom": Source("/etc/default/earlyoom", earlyoom.read),
    "nohang": Source("/etc/nohang/nohang.conf", nohang.read),
}


def import_config(options: argparse.Namespace) -> int:
    """Exit code 0; 65 for a file that can't be read, or that is not what it should be: nothing is printed then."""
    source = SOURCES[options.daemon]
    path = source.file if options.file is None else options.file
    try:
        draft = source.read(_text(path))
    except (NotThat, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        sys.stderr.write(f"bustd: {printable(f'{path}: {reason}')}\n")
        return os.EX_DATAERR
    command = f"bustd import-config {options.daemon} {shlex.quote(path)}"
    text = draft.text(f"Made by `{command}`. To try it: `bustd check --config` and `bustd explain --config`.")
    result = examined(text)
    for problem in result.problems:
        sys.stderr.write(f"bustd: it can't be carried over: {problem.line()}\n")
    if result.problems:
        return os.EX_DATAERR
    print(text, end="")
    sys.stdout.flush()
    for warning in result.warnings:
        sys.stderr.write(f"bustd: warning: {warning.line()}\n")
    if draft.lost:
        sys.stderr.write(f"bustd: not carried over: {len(draft.lost)}; the comment at the top says what, and why\n")
    return os.EX_OK


def examined(text: str) -> Loaded:
    """What a bustd.toml of this text says, with every problem, as `bustd check` would find it."""
    nothing = Loaded({}, [], [], {})
    document = toml_values(text, "bustd.toml")
    if isinstance(document, Problem):
        return nothing._replace(problems=[document])
    return add(nothing, document, SCHEMA, "bustd.toml")


def _text(path: str) -> str:
    """Raises NotThat and OSError."""
    with open(0 if path == STANDARD_INPUT else path, "rb", closefd=path != STANDARD_INPUT) as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise NotThat(f"it has more than {MOST_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotThat(f"expected text in UTF-8, found the byte 0x{raw[error.start]:02x}") from None
