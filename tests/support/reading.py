"""A real pair whose events can be read, at a socket of its own."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bustd_monitor.cli.daemons import arguments_of, killer_words, monitor_words
from bustd_monitor.cli.entries import Entry
from bustd_monitor.cli.events_socket import next_event
from bustd_monitor.cli.parser import parsed

from . import install, pair

_PATIENCE_S = 20


@contextmanager
def pair_with_readers(
    crew: pair.Crew, place: Path, *options: str, monitor: pair.Policy = pair.ALWAYS, killer: pair.Policy | None = None
) -> Iterator[tuple[pair.Running, Path]]:
    """As `pair.pair`, with a socket for readers; that is where the second value says."""
    path = place / "run" / "events"
    words = parsed([*pair.files(place, monitor, killer or pair.PERMISSIVE), *pair.scope(), *options])
    arguments = arguments_of(words)._replace(only_uid=-1 if crew.is_root else crew.monitor_uid)
    uid, gid = (crew.monitor_identity["user"], crew.monitor_identity["group"]) if crew.is_root else (-1, -1)
    command = [*pair.daemon("bustd_killer"), *killer_words(words), "--events", str(path), "--monitor", f"{uid}:{gid}"]
    command += ["--", "-S", install.program("bustd_monitor"), *monitor_words(arguments)]
    with pair.started(command, crew.identity, place / "pair.log") as running:
        running.await_line("bustd .* acts when")
        yield running, path


@contextmanager
def reader(path: Path) -> Iterator[socket.socket]:
    """A connection that is there once the monitor has accepted it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(_PATIENCE_S)
        link.connect(str(path))
        yield link


def events_until(link: socket.socket, message: str, patience_s: float = _PATIENCE_S) -> list[Entry]:
    """What a reader is told, up to one with these words in its message."""
    found: list[Entry] = []
    deadline_s = time.monotonic() + patience_s
    while not any(message in one.message for one in found):
        assert time.monotonic() < deadline_s, [one.message for one in found]
        if select.select([link], [], [], 0.1)[0]:
            entry = next_event(link)
            assert entry is not None, f"the monitor has hung up after {[one.message for one in found]}"
            found.append(entry)
    return found


def monitor_of(bustd: pair.Running) -> int:
    """The PID of the pair's monitor."""
    return next(pid for pid in pair.session_members(bustd.pid) if b"bustd_monitor/" in _first_words(pid))


def _first_words(pid: int) -> bytes:
    return b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4])
