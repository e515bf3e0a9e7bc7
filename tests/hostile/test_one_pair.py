"""One pair serves the whole machine: the second says who is first, and nobody else can hold the lock."""

from pathlib import Path

import pytest

from tests.hostile.one_pair import SCENARIOS
from tests.support import pid_namespace

pytestmark = pytest.mark.attack("a local user, or a mistake")


@pytest.mark.root
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_a_namespace(place: Path, scenario: str) -> None:
    if missing := pid_namespace.what_is_missing():
        pytest.skip(missing)
    ran = pid_namespace.run_inside("tests.hostile.one_pair", scenario, str(place))
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
