"""A root-owned installation of bustd that every user may execute, as `make run` would make it, in a temporary place.

A checkout is often in a directory that other users can't enter, and so is a Python in a home directory.
"""

from __future__ import annotations

import compileall
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("protocol/bustd_protocol", "protocol/bustd_shared", "killer/bustd_killer", "monitor/bustd_monitor")
_DEPENDENCIES = ("msgpack", "prctl.py", "_prctl*", "psutil")


def _make() -> Path:
    home = Path(tempfile.mkdtemp(prefix="bustd-test-install-"))
    home.chmod(0o755)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([base, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    for source in _SOURCES:
        shutil.copytree(ROOT / source, site / Path(source).name, ignore=shutil.ignore_patterns("__pycache__"))
    installed = Path(sysconfig.get_path("platlib"))
    for pattern in _DEPENDENCIES:
        (dependency,) = installed.glob(pattern)
        if dependency.is_dir():
            shutil.copytree(dependency, site / dependency.name)
        else:
            shutil.copy(dependency, site)
    compileall.compile_dir(site, quiet=2)
    for path in home.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() or os.access(path, os.X_OK) else 0))
    return home


@functools.cache
def home() -> Path:
    """The installation, made once per run. `remove` deletes it at the end of the session (tests/conftest.py)."""
    return _make()


def python() -> str:
    """The installation's interpreter."""
    return str(home() / "bin" / "python3")


def program(package: str) -> str:
    """The file to run for a daemon."""
    (path,) = home().glob(f"lib/python*/site-packages/{package}/__main__.py")
    return str(path)


def bustd(*words: str) -> list[str]:
    """The command line of `bustd` in the installation."""
    return [python(), "-I", "-m", "bustd_monitor.cli.main", *words]


def remove() -> None:
    """Delete the installation if there is one."""
    if home.cache_info().currsize:
        shutil.rmtree(home())
        home.cache_clear()
