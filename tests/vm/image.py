"""The image of the virtual machine: built once, kept outside the tree, built again when its recipe changes."""

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
def image() -> Iterator[Image]:
    """The image for the recipe as it stands, which nobody replaces during the block. Raises CalledProcessError.

    Images of other recipes are removed.
    """
    key = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:16]
    folder = cache_folder()
    place = folder / key
    folder.mkdir(parents=True, exist_ok=True)
    made = Image(place / "disk.img", place / "vmlinuz", place / "initrd.img")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not all(path.exists() for path in made):
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for whoever uses another one
            _build(folder, place)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield made


def _build(folder: Path, place: Path) -> None:
    for old in [path for path in folder.iterdir() if path.is_dir()]:
        shutil.rmtree(old)
    place.mkdir()
    print(f"building the virtual machine's image ({place.name}); the next run finds it", flush=True)
    log = folder / "build.log"
    with log.open("wb") as output:
        done = subprocess.run(["sh", RECIPE, place], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if done.returncode:
        said = re.sub(r"\w+://\S+", "(address)", log.read_text(errors="replace"))
        print("\n".join(said.splitlines()[-20:]))
        raise subprocess.CalledProcessError(done.returncode, "recipe.sh")
