"""A directory that every user may enter. Those of pytest are not: another run of it sets their modes again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def place_for_all() -> Iterator[Path]:
    """It is there until the end of the block."""
    path = Path(tempfile.mkdtemp(prefix="bustd-hostile-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
