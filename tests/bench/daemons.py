"""The pair as it is installed, and its peers, all idle at the same time. None of them can kill anything here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..support import install, pair
from .peers import Peer

_ENVIRONMENT = {"PATH": os.defpath}
_NO_THRESHOLD = {"soft_threshold_min_mem": "0 %", "hard_threshold_min_mem": "0 %"}


class EndedByItself(Exception):
    """A daemon did not last for as long as it was measured."""


def give_interpreter_of_their_own() -> None:
    """Make the installation's interpreter a file that only these daemons map.

    Otherwise each test run and editor on this machine that uses the same Python would make their share of it smaller.
    """
    link = Path(install.python())
    real = link.resolve()
    if link.is_symlink():
        link.unlink()
        shutil.copy2(real, link)


@contextmanager
def idle_pair(place: Path) -> Iterator[dict[str, int]]:
    """The installed pair with its default configuration, in a dry run: {"killer": PID, "monitor": PID}."""
    place.mkdir()
    place.chmod(0o755)
    crew = pair.CREWS["root" if os.geteuid() == 0 else "own"]
    with pair.pair(crew, place, "--dry-run", monitor={}, killer={}) as running:
        running.await_ready()
        yield {"killer": running.pid, "monitor": running.monitor_pid()}


@contextmanager
def earlyoom(peer: Peer) -> Iterator[dict[str, int]]:
    """earlyoom as Debian's service starts it (a report every 3,600 s), in a dry run."""
    with _started([str(peer.program), "--dryrun", "-r", "3600"]) as process:
        yield {"earlyoom": process.pid}


@contextmanager
def nohang(peer: Peer, directory: Path) -> Iterator[dict[str, int]]:
    """nohang with Debian's configuration, but for its thresholds: at 0 % it has nothing to do, ever.

    It runs on the pair's own interpreter, so that what three processes share counts alike for all.
    """
    lines = (peer.root / "etc/nohang/nohang.conf").read_text().splitlines()
    for number, line in enumerate(lines):
        key = line.partition("=")[0].strip()
        if key in _NO_THRESHOLD:
            lines[number] = f"{key} = {_NO_THRESHOLD[key]}"
    config = directory / "nohang.conf"
    config.write_text("\n".join(lines) + "\n")
    command = [install.python(), str(peer.program), "--monitor", "--config", str(config)]
    with _started(command) as process:
        yield {"nohang": process.pid}


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run it, and end it by its PID. A daemon that has ended before is an error: its figures would be of nothing."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd="/",
        process_group=0,
    )
    try:
        yield process
        if process.poll() is not None:
            raise EndedByItself(f"{command[0]} ended by itself with {process.returncode}")
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
