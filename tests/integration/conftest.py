from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import install, pair


@pytest.fixture(params=pair.VARIANTS)
def crew(request: pytest.FixtureRequest) -> pair.Crew:
    """Root's killer with the monitor of `nobody`; and the whole pair as one ordinary user, which kills its own only."""
    return pair.CREWS[request.param]


@pytest.fixture
def place(crew: pair.Crew) -> Iterator[Path]:
    """A directory for the crew."""
    with pair.place_for(crew) as path:
        yield path


@pytest.fixture(autouse=True, scope="session")
def no_installation_left_behind() -> Iterator[None]:
    yield
    install.remove()
