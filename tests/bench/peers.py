"""The daemons that bustd is compared with, as Debian packages them. Nothing is installed: that would start services."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_PROGRAMS = {"earlyoom": "usr/bin/earlyoom", "nohang": "usr/sbin/nohang"}


class Peer(NamedTuple):
    """A package: where its files are ("/" if it is installed)."""

    name: str
    root: Path

    @property
    def program(self) -> Path:
        return self.root / _PROGRAMS[self.name]


class Missing(Exception):
    """The package is not available, with the reason."""


def find(name: str, directory: Path, *, may_download: bool) -> Peer:
    """The package as it is installed, or unpacked into `directory` and kept there. Raises Missing."""
    home = directory / name
    for found in (Peer(name, Path("/")), Peer(name, home)):
        if os.access(found.program, os.X_OK):
            return found
    if not may_download or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Missing("not installed")
    home.mkdir(exist_ok=True)  # what an attempt that failed has left there does no harm
    try:
        _quietly(["apt-get", "-qq", "download", name], home)
        (package,) = home.glob("*.deb")
        _quietly(["dpkg-deb", "-x", str(package), str(home)], home)
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        raise Missing(f"not installed, and apt-get download {name} does not work here (apt-get update?)") from error
    return Peer(name, home)


def _quietly(command: list[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
