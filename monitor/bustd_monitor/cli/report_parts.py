"""The parts of a report. Each makes its lines from what it finds, and says so where it finds nothing."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata

from bustd_shared import __version__
from bustd_shared.daemon.log import printable
from bustd_shared.kernel import cgroups
from bustd_shared.rules import killer_toml
from bustd_shared.rules.config_files import Loaded
from bustd_shared.rules.schema import Key, Schema, Values, keys_of

from .. import config
from ..arguments import Arguments
from ..sensing.sensor import Unreadable
from . import explain_text, nameless
from .daemonize import CannotDaemonize, places
from .entries import BrokenEntry, Entry, entries
from .look import look
from .options import Settings
from .screen import Screen

_UNITS = ("bustd-killer.socket", "bustd-killer.service", "bustd-monitor.service")
_PROPERTIES = (
    *("Id", "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "ExecMainCode"),
    *("ExecMainStatus", "MemoryCurrent", "CPUUsageNSec", "StatusText", "DropInPaths"),
)
_ENTRIES, _LINES = 500, 500
_PLAIN = re.compile(r"[\w .:~+-]{0,40}")
_ANSWER_S = 20
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_TIME_LENGTH = len("2026-01-31 12:00:00")


def system() -> Iterator[str]:
    """Versions. The kernel's release is the one text in a report that somebody may have chosen."""
    installed = ", ".join(f"{name} {_version_of(name)}" for name in ("msgpack", "psutil", "python-prctl"))
    yield f"bustd {__version__}, Python {platform.python_version()}, {installed}"
    yield f"{_distribution()}, {_systemd()}"
    yield f"Linux {printable(os.uname().release)} {os.uname().machine}, {os.cpu_count()} processors"
    hierarchy = cgroups.hierarchy()
    controllers = _text(f"{hierarchy}/cgroup.controllers").split() if hierarchy else []
    yield f"control groups: {'version 2' if hierarchy else 'version 1 or none'}, memory: {'memory' in controllers}"
    yield f"uid {'0' if os.geteuid() == 0 else 'of an ordinary user'}"


def memory() -> Iterator[str]:
    """Files of the kernel that have numbers in them, and no names."""
    for path in ("/proc/meminfo", "/proc/pressure/memory"):
        yield f"{path}:"
        yield from _text(path).splitlines() or ["  can't be read"]
    for line in _text("/proc/swaps").splitlines()[1:]:
        yield f"swap: {' '.join(line.split()[-4:])} (kind, size, used, priority)"
    for name in ("swappiness", "overcommit_memory", "min_free_kbytes"):
        yield f"vm.{name}: {_text(f'/proc/sys/vm/{name}').strip()}"


def configuration(monitor: Loaded, killer: Loaded, *, names: bool) -> Iterator[str]:
    """Every key that is set. Without names a rule is only counted."""
    for file, loaded, schema in (("bustd.toml", monitor, config.SCHEMA), ("killer.toml", killer, killer_toml.SCHEMA)):
        yield f"{file}: {len(loaded.files)} files read"
        known = dict(keys_of(schema))
        for problem in loaded.problems:
            where = problem.key.partition("[")[0]
            what = f"{where if where in known else nameless.LEFT_OUT}: expected {problem.expected or 'a known key'}"
            yield f"  problem: {problem.line() if names else what}"
        for warning in loaded.warnings:
            where = warning.key.partition("[")[0]
            yield f"  in doubt: {warning.line() if names else where if where in known else nameless.LEFT_OUT}"
        for dotted, key in known.items():
            value = _given(loaded.values, schema, dotted)
            if value is not None:
                yield f"  {dotted} = {_shown(value, key, names=names)}"


def units(*, names: bool) -> Iterator[str]:
    """What systemd says of our units."""
    said = _said(["systemctl", "show", *_UNITS, "-p", ",".join(_PROPERTIES)])
    if not said.strip():
        yield "systemd does not answer, or is not there"
    for line in said.splitlines():
        name, _, value = line.partition("=")
        if name == "DropInPaths":
            yield line if names else f"{name}: {len(value.split())}"
        elif name:
            yield printable(line) if names else f"{name}={nameless.masked(value) if name == 'StatusText' else value}"
        else:
            yield ""


def history(*, names: bool) -> Iterator[str]:
    """The last entries of the journal, and the last lines of the log of a pair without systemd."""
    said = _answer(["journalctl", "-q", "--no-pager", "-o", "export", f"-n{_ENTRIES}", *_of_our_units()])
    count = 0
    try:
        for entry in entries(io.BytesIO(said)):
            count += 1
            yield _entry(entry, names=names)
    except BrokenEntry as error:
        yield f"the journal is broken: {error}"
    yield f"{count} entries of the journal" if count else "no entry of the journal can be read (as root?)"
    for line in _log().splitlines()[-_LINES:]:
        when, rest = line[:_TIME_LENGTH], line[_TIME_LENGTH:]
        is_time = _TIME.fullmatch(when) is not None
        yield printable(line) if names else when + nameless.masked(rest) if is_time else nameless.masked(line)


def now(arguments: Arguments, monitor: Loaded, killer: Loaded, *, names: bool) -> Iterator[str]:
    """What `bustd explain` shows."""
    if monitor.problems or killer.problems:
        yield "the configuration has problems, so nothing is decided"
        return
    settings = Settings(config.config_of(monitor.values), killer_toml.config_of(killer.values), arguments)
    try:
        seen = look(settings, None)
    except Unreadable as error:
        yield printable(str(error)) if names else nameless.masked(str(error))
        return
    shown = seen if names else nameless.without_names(seen)
    yield from explain_text.lines(shown, Screen(), with_descriptions=names)


def _of_our_units() -> list[str]:
    return [word for unit in _UNITS for word in ("-u", unit)]


def _log() -> str:
    try:
        return _text(places().log)
    except CannotDaemonize:
        return ""


def _entry(entry: Entry, *, names: bool) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.time_us // 1_000_000))
    program = entry.text("SYSLOG_IDENTIFIER")
    message = printable(entry.message)
    if not names:
        program, message = nameless.masked(program), nameless.masked(message)
    return f"{at} {printable(program)}: {message}"


def _given(values: Values, schema: Schema, dotted: str) -> object:
    """What the file says of this key, None if nothing."""
    found: object = values
    for part in dotted.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _shown(value: object, key: Key, *, names: bool) -> str:
    if names:
        return json.dumps(value, default=lambda raw: raw.decode("utf-8", "backslashreplace"))
    if isinstance(value, list):
        return f"{len(value)} of them"
    is_ours = key.kind in ("bool", "int", "number") or value in key.choices
    return json.dumps(value) if is_ours else nameless.LEFT_OUT


def _version_of(package: str) -> str:
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of an unknown version"
    return found if _PLAIN.fullmatch(found) else nameless.LEFT_OUT


def _distribution() -> str:
    """ID and version of os-release(5)."""
    found = dict(line.split("=", 1) for line in _text("/etc/os-release").splitlines() if "=" in line)
    words = [found.get(name, "").strip('"') for name in ("ID", "VERSION_ID")]
    return " ".join(word for word in words if _PLAIN.fullmatch(word)) or "a distribution that does not say which"


def _systemd() -> str:
    words = _said(["systemctl", "--version"]).split()[:2]
    return " ".join(words) if words[:1] == ["systemd"] and words[-1].isdecimal() else "no systemd"


def _said(command: list[str]) -> str:
    return _answer(command).decode("utf-8", "backslashreplace")


def _answer(command: list[str]) -> bytes:
    """What a command prints; nothing if it is not there, fails or hangs."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_S, env=environment
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""


def _text(path: str) -> str:
    """A file's text; nothing if it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read()
    except OSError:
        return ""
