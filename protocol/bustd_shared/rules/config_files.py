"""From a configuration file and its drop-ins to values and problems; nothing in them raises an exception.

`FILE` comes first, then `FILE.d/*.toml` in the order of their names: a later file overrides single values and appends
to lists. Only a child process (`forked`) or a command imports this module: the parser would cost a daemon memory.
"""

from __future__ import annotations

import os
import stat
import tomllib

from bustd_shared.daemon.record import NamedTuple

from .obsolete import obsolete
from .schema import Problem, Schema, Values
from .suspicious import suspicions
from .validation import validate

MOST_BYTES = 2**20
"""A longer file can't be a configuration, and to parse it would take memory that the machine may not have."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Editors of other systems write it, and TOML does not allow it: nobody sees what the parser complains of."""

_DEV_NULL = os.makedev(1, 3)
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Loaded(NamedTuple):
    """What the files say. `origins` has the last file that gave each dotted key.

    `warnings` are about rules that are valid and yet can hardly be meant so (see suspicious).
    """

    values: Values
    problems: list[Problem]
    files: list[str]
    origins: dict[str, str]
    warnings: tuple[Problem, ...] = ()


def read(path: str | os.PathLike[str], schema: Schema, *, required: bool = False, trusted: bool = False) -> Loaded:
    """Read the file and its drop-ins. A file that is missing gives the defaults, unless it is `required`.

    `trusted`: each file, and the directory of the drop-ins, must belong to root (or to this process's own user, if
    that is not root), and no other user may write it. A link to /dev/null masks a file.
    """
    main = os.fspath(path)
    drop_ins, problems = _drop_ins(f"{main}.d", trusted)
    whole = Loaded({}, problems, [], {})
    for file in [main, *drop_ins]:
        try:
            text = _text_of(file, trusted)
        except FileNotFoundError:
            if file == main and not required and not _is_there(main):
                continue
            whole.problems.append(Problem(file, "", "no such file"))
            continue
        except OSError as error:
            whole.problems.append(Problem(file, "", f"can't be read: {error.strerror}"))
            continue
        whole.files.append(file)
        document = toml_values(text, file) if isinstance(text, str) else text
        if isinstance(document, Problem):
            whole.problems.append(document)
        else:
            whole = add(whole, document, schema, file)
    return whole


def add(reading: Loaded, document: Values, schema: Schema, file: str) -> Loaded:
    """The reading with one more document on top, validated under the name `file`."""
    values, problems = validate(document, schema, file)
    return Loaded(
        merged(reading.values, values),
        reading.problems + problems,
        reading.files,
        reading.origins | dict.fromkeys(_dotted(values), file),
        (*reading.warnings, *obsolete(document, schema, file), *suspicions(values, schema, file)),
    )


def merged(earlier: Values, later: Values) -> Values:
    """Both together: the later one overrides single values, and its lists are appended."""
    both = dict(earlier)
    for name, value in later.items():
        if isinstance(value, dict):
            both[name] = merged(earlier.get(name, {}), value)
        elif isinstance(value, list):
            both[name] = earlier.get(name, []) + value
        else:
            both[name] = value
    return both


def toml_values(text: str, file: str) -> Values | Problem:
    """The values of the TOML text, or the Problem with it, with line and column."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what int() says of a number with thousands of digits
        return Problem(file, "", f"not TOML: {error}")
    except RecursionError:
        return Problem(file, "", "not TOML that can be read: it is nested too deeply")


def _text_of(file: str, trusted: bool) -> str | Problem:
    """The text of a file, or why it can't be used or, where `trusted` is asked for, trusted. Raises OSError.

    It is opened without blocking, so that a FIFO can't stop the daemon, and judged by its descriptor, not by its name.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEV_NULL:
            return ""
        if not stat.S_ISREG(status.st_mode):
            return Problem(file, "", _kind_of(status.st_mode), "a file")
        if trusted and (problem := _distrust(file, status)):
            return problem
        raw = b""
        while len(raw) <= MOST_BYTES and (chunk := os.read(descriptor, MOST_BYTES + 1 - len(raw))):
            raw += chunk
    finally:
        os.close(descriptor)
    if len(raw) > MOST_BYTES:
        return Problem(file, "", "more", f"at most {MOST_BYTES} bytes")
    if raw.startswith(_BYTE_ORDER_MARK):
        return Problem(file, "", "a byte order mark before the first line", "text in UTF-8 without one")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return Problem(file, "", f"the byte 0x{raw[error.start]:02x} in line {line}", "text in UTF-8")


def _drop_ins(directory: str, trusted: bool) -> tuple[list[str], list[Problem]]:
    """The drop-ins in the order in which they are read. A directory that does not exist has none."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(".toml") and not e.name.startswith("."))
        problem = _distrust(directory, os.stat(directory)) if trusted else None
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [Problem(directory, "", f"can't be read: {error.strerror}")]
    return ([], [problem]) if problem else ([f"{directory}/{name}" for name in names], [])


def _distrust(file: str, status: os.stat_result) -> Problem | None:
    """Why another user could have written this; None if only root or this process's user could."""
    own = os.geteuid()
    if status.st_uid not in (0, own):
        return Problem(file, "", f"owner uid {status.st_uid}", "owner root" if own == 0 else f"owner root or uid {own}")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        return Problem(
            file, "", f"mode {mode:04o}", f"nobody but the owner to have write permission (chmod go-w {file})"
        )
    return None


def _is_there(path: str) -> bool:
    """Whether the name exists, also as a link to nothing: then a file was meant."""
    try:
        os.lstat(path)
    except OSError:
        return False
    return True


def _kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a device"


def _dotted(values: Values, prefix: str = "") -> list[str]:
    keys = []
    for name, value in values.items():
        keys.extend(_dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name])
    return keys
