"""Whether a document is what its schema says, and if not, what is wrong with which key.

Pure, except that it looks up user names. Only a child process (`forked`) or a command imports this module: what it
imports in turn would cost a resident daemon memory.
"""

from __future__ import annotations

import difflib
import pwd
from collections.abc import Callable, Iterator
from typing import Any

from bustd_shared.daemon.record import NamedTuple

from ..kernel.watched_group import plain
from .globs import COMM_BYTES as COMM_BYTES
from .globs import least_bytes
from .schema import OBSOLETE, Key, Problem, Schema, Values
from .suspicious import Rule, suspicion

SOCKET_PATH_BYTES = 107
"""The bytes that fit into sun_path before its NUL (unix(7))."""

UID_MAX = 2**32 - 2
"""2**32 - 1 means "no user" to the kernel."""

TABLES = {
    "bustd.toml": (
        *("dry_run", "verbose", "conditions", "sleep", "victims", "killer"),
        *("conditions.pressure", "conditions.floor", "conditions.stall", "conditions.forecast"),
        "conditions.emergency",
        *("victims.prefer", "victims.avoid", "victims.never", "victims.only", "victims.grace"),
    ),
    "killer.toml": ("peer", "protect", "limits", "rate", "grace"),
}
"""What only one of the two files has. The killer must not import the schema of the monitor, so the names stand here."""

_NO_TABLES = ("dry_run", "verbose")

_LONGEST_SHOWN = 60
_LEAST_LIKENESS = 0.45
_SAME_TABLE = 0.2


class _Unfit(Exception):
    """A value that its key can't hold: what was expected, and what else there is to say of it ("": nothing)."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.hint = hint


class _Review(NamedTuple):
    """What one walk through a document needs, and the problems that it has found."""

    file: str
    schema: Schema
    problems: list[Problem]


def validate(document: Values, schema: Schema, file: str) -> tuple[Values, list[Problem]]:
    """The values that `document` gives, without defaults and without the wrong ones; and what is wrong."""
    review = _Review(file, schema, [])
    return _table(document, schema, "", review), review.problems


def above(values: Values, origins: dict[str, str], key: str, limit: str) -> list[Problem]:
    """The Problem that `key` is above the key `limit`, in the file that gave one of them. `values` is complete."""
    value, highest = _at(values, key), _at(values, limit)
    if value <= highest:
        return []
    file = origins.get(key) or origins[limit]
    return [Problem(file, key, shown(value), f"at most {limit} ({shown(highest)})")]


def nearest_key(unknown: str, schema: Schema) -> str:
    """The known table or key that is most like the dotted `unknown`; "" if none is.

    Mostly the last part decides, so that a key in the wrong table is found as well; a table in common adds to it.
    """
    table, _, name = unknown.rpartition(".")
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(name[:_LONGEST_SHOWN])
    best, best_score = "", _LEAST_LIKENESS
    for known in _tables_and_keys(schema):
        if unknown.startswith(f"{known}."):
            continue
        known_table, _, known_name = known.rpartition(".")
        matcher.set_seq1(known_name)
        score = matcher.ratio() + (_SAME_TABLE if known_table == table else 0)
        if score > best_score:
            best, best_score = known, score
    return best


def _in_the_other_file(unknown: str, schema: Schema) -> str:
    """Where the dotted `unknown` belongs, if that is the other of the two files; "" if it is not."""
    name, known = unknown.rpartition(".")[2], set(_tables_and_keys(schema))
    for file, tables in TABLES.items():
        for table in tables:
            if table not in known and table.rpartition(".")[2] == name:
                return f"{table if table in _NO_TABLES else f'[{table}]'} belongs in {file}"
    return ""


def shown(value: object) -> str:
    """A value from a file as a person would write it there, in at most one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_shortened(value)}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"  # str() of a very long one is a ValueError
    if isinstance(value, int | float):
        return str(value)
    return f"a {type(value).__name__}"


def uid_of(user: str) -> int | None:
    """The uid of a user by name, as getpwnam(3) has it; None if there is no such user here."""
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, OSError):
        return None


def _at(values: Values, key: str) -> Any:
    """The value of a dotted key."""
    for name in key.split("."):
        values = values[name]
    return values


def _tables_and_keys(schema: Schema, prefix: str = "") -> Iterator[str]:
    for name, spec in schema.items():
        if isinstance(spec, Key) and spec.kind == OBSOLETE:
            continue
        yield prefix + name
        if not isinstance(spec, Key):
            yield from _tables_and_keys(spec, f"{prefix}{name}.")


def _table(document: Values, schema: Schema, prefix: str, review: _Review) -> Values:
    values: Values = {}
    for name, found in document.items():
        key = prefix + name
        spec = schema.get(name)
        if spec is None:
            elsewhere = _in_the_other_file(key, review.schema)
            nearest = "" if elsewhere else nearest_key(key, review.schema)
            unknown = Problem(review.file, _shortened(key), "unknown key", nearest=nearest, hint=elsewhere)
            review.problems.append(unknown)
        elif isinstance(spec, Key) and spec.kind == OBSOLETE:
            continue
        elif isinstance(spec, Key):
            fitted = _list_fitted if spec.kind in _ITEMS else _fitted
            values.update((name, value) for value in fitted(spec, found, key, review))
        elif isinstance(found, dict):
            values[name] = _table(found, spec, f"{key}.", review)
        else:
            review.problems.append(Problem(review.file, key, shown(found), "a table"))
    return values


def _list_fitted(spec: Key, found: object, key: str, review: _Review) -> list[object]:
    if not isinstance(found, list | tuple):
        review.problems.append(Problem(review.file, key, shown(found), f"a list {_LISTS[spec.kind]}"))
        return []
    return [[value for n, item in enumerate(found) for value in _fitted(spec, item, f"{key}[{n}]", review)]]


def _fitted(spec: Key, found: object, key: str, review: _Review) -> list[object]:
    """The value, alone in a list; or no value and a Problem more."""
    fit = _ITEMS[spec.kind] if spec.kind in _ITEMS else _SINGLE[spec.kind]
    try:
        return [fit(spec, found)]
    except _Unfit as unfit:
        review.problems.append(Problem(review.file, key, shown(found), str(unfit), hint=unfit.hint))
        return []


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _bool(_spec: Key, found: object) -> bool:
    if type(found) is not bool:
        raise _Unfit("true or false")
    return found


def _int(spec: Key, found: object) -> int:
    # type() and not isinstance(): true is an int to isinstance.
    if type(found) is not int or not spec.low <= found <= spec.high:
        raise _Unfit(f"a whole number from {spec.low} to {spec.high}")
    return found


def _number(spec: Key, found: object) -> int | float:
    # Any comparison with nan is false: written this way, nan is refused.
    if not (type(found) is int or type(found) is float) or not spec.low <= found <= spec.high:
        raise _Unfit(f"a number from {spec.low} to {spec.high}")
    return found


def _text(found: object, expected: str) -> str:
    """A text that can be passed to the kernel and written to a file: it has no NUL, and UTF-8 can encode it."""
    if type(found) is not str or not found or "\0" in found or any("\ud800" <= c <= "\udfff" for c in found):
        raise _Unfit(expected)
    return found


def _string(spec: Key, found: object) -> str:
    if spec.choices:
        if found not in spec.choices:
            raise _Unfit("one of " + ", ".join(shown(choice) for choice in spec.choices))
        return str(found)
    return _text(found, "a text")


def _path(_spec: Key, found: object) -> str:
    expected = f"an absolute path of at most {SOCKET_PATH_BYTES} bytes"
    path = _text(found, expected)
    if not path.startswith("/") or len(path.encode()) > SOCKET_PATH_BYTES:
        raise _Unfit(expected)
    return path


def _cgroup(_spec: Key, found: object) -> str:
    """The path in the hierarchy, from its root or from its mount point."""
    expected = 'the path of a control group, or ""'
    path = plain(_text(found, expected)) if found != "" else ""
    if path is None:
        raise _Unfit(expected)
    return path


def _glob(_spec: Key, found: object) -> str:
    glob = _text(found, "a glob (text)")
    try:
        least_bytes(glob)
    except ValueError:
        raise _Unfit("a glob with a ] for each [") from None
    return glob


def _name(_spec: Key, found: object) -> bytes:
    """A glob on comm. From the command line it need not be UTF-8, as comm need not be either."""
    raw = found.encode("utf-8", "surrogateescape") if type(found) is str else b""
    glob = _glob(_spec, raw.decode("utf-8", "replace"))
    if least_bytes(glob) > COMM_BYTES:
        expected = f"a glob that a process name can match (comm has at most {COMM_BYTES} bytes)"
        raise _Unfit(expected, hint=f"it {suspicion(Rule('names', glob))}")
    return raw


def _user(spec: Key, found: object) -> int | str:
    """The uid. The default user may be missing on this machine: then its name stays, and the caller decides."""
    if type(found) is int and 0 <= found <= UID_MAX:
        return found
    expected = "the name of a user of this machine, or a uid (a number, not in quotes)"
    name = _text(found, expected)
    uid = uid_of(name)
    if uid is not None:
        return uid
    if name == spec.default:
        return name
    raise _Unfit(expected)


_SINGLE: dict[str, Callable[[Key, object], object]] = {
    "bool": _bool,
    "int": _int,
    "number": _number,
    "string": _string,
    "path": _path,
    "cgroup": _cgroup,
    "user": _user,
}
_ITEMS: dict[str, Callable[[Key, object], object]] = {
    "strings": _string,
    "globs": _glob,
    "names": _name,
    "users": _user,
}
_LISTS = {
    "strings": "of texts",
    "globs": "of globs, each a text",
    "names": "of globs on process names, each a text",
    "users": "of user names and uids",
}
