"""Puts the man pages into bustd's wheel and source archive: hatchling calls this while it builds one of them.

A wheel has them as data files in share/man, where pip, pipx and the tools of distributions install them. The source
archive has them too, so that a wheel can be made from it without scdoc. Where they can't be made, a wheel has none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
RENDERED = "packaging/man/rendered"  # in a source archive; build.sh falls back to it


class ManPages(BuildHookInterface):
    """Renders the pages into a temporary directory, and has hatchling take them from there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before an archive is written; `version` is "editable" where the tree itself is to be installed."""
        self._scratch = TemporaryDirectory()
        if version == "editable" or (self.target_name == "sdist" and Path(self.root, RENDERED).exists()):
            return
        data = f"bustd-{self.metadata.version}.data/data/share/man"
        for page in rendered(Path(self._scratch.name)):
            folder = RENDERED if self.target_name == "sdist" else f"{data}/man{page.suffix[1:]}"
            build_data["force_include"][str(page)] = f"{folder}/{page.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After the archive was written."""
        self._scratch.cleanup()


def rendered(directory: Path) -> list[Path]:
    """The pages, made in the directory; none where scdoc is missing, which build.sh says."""
    ended = subprocess.run(["sh", HERE / "build.sh", directory], env=os.environ | {"PYTHON": sys.executable})
    if ended.returncode not in (0, os.EX_UNAVAILABLE):
        ended.check_returncode()
    return sorted(directory.iterdir())
