from collections.abc import Iterator

import pytest

from tests.support import install


@pytest.fixture(autouse=True, scope="session")
def no_installation_left_behind() -> Iterator[None]:
    """Victims are started from an installation (tests/support/install.py)."""
    yield
    install.remove()
