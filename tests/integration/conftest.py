import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pair

_VARIANTS = ["root", "nobody"] if os.geteuid() == 0 else [pytest.param("root", marks=pytest.mark.root), "own"]


@pytest.fixture(params=_VARIANTS)
def crew(request: pytest.FixtureRequest) -> pair.Crew:
    """Root's killer with nobody's monitor; and the whole pair as one ordinary user, who may kill his own only."""
    return pair.CREWS[request.param]


@pytest.fixture
def place(crew: pair.Crew) -> Iterator[Path]:
    """A directory that everybody may enter and the killer's user may write to."""
    with tempfile.TemporaryDirectory(prefix="bustd-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        if "user" in crew.identity:
            os.chown(path, crew.identity["user"], crew.identity["group"])
        yield path
