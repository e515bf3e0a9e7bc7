"""The images of the virtual machine: each built once, kept outside the tree, built again when their recipe changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

RECIPE = Path(__file__).parent / "recipe.sh"
SUITE = "trixie"
"""Debian's, for every run that does not name one: its figures are compared with earlier ones."""


class Image(NamedTuple):
    """What QEMU is given: a root file system, and its kernel and initrd beside it."""

    disk: Path
    kernel: Path
    initrd: Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/bustd-vm, or ~/.cache/bustd-vm."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "bustd-vm"


@contextmanager
def image(suite: str = SUITE) -> Iterator[Image]:
    """The image of a suite for the recipe as it stands, which nobody replaces during the block.

    Images of other recipes are removed. Raises CalledProcessError.
    """
    key = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:16]
    folder = cache_folder()
    place = folder / f"{suite}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    made = Image(place / "disk.img", place / "vmlinuz", place / "initrd.img")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not all(path.exists() for path in made):
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for whoever uses another one
            for old in superseded(folder, place, key):
                shutil.rmtree(old)
            _build(suite, place, folder / "build.log")
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield made


def superseded(folder: Path, place: Path, key: str) -> list[Path]:
    """What is in the way of a new image: those of other recipes, and what an interrupted build left of this one."""
    return [path for path in folder.iterdir() if path.is_dir() and (path == place or not path.name.endswith(f"-{key}"))]


def _build(suite: str, place: Path, log: Path) -> None:
    place.mkdir()
    print(f"building the virtual machine's image ({place.name}); the next run finds it", flush=True)
    with log.open("wb") as output:
        done = subprocess.run(["sh", RECIPE, suite, place], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if done.returncode:
        said = re.sub(r"\w+://\S+", "(address)", log.read_text(errors="replace"))
        print("\n".join(said.splitlines()[-20:]))
        raise subprocess.CalledProcessError(done.returncode, "recipe.sh")
