"""A place that every user may enter, and two processes that could be killed: one to ask for, and a bystander."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import victims


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bustd-hostile-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"leak") as process:
        yield process


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"bystander") as process:
        yield process
