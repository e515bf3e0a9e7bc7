"""PIDs that are reused at the worst moment, and hidden processes, in namespaces of the test's own."""

from pathlib import Path

import pytest

from tests.hostile.in_namespace import SCENARIOS
from tests.support import pid_namespace

pytestmark = pytest.mark.attack("chance, or a local user")


@pytest.mark.root
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_a_namespace(place: Path, scenario: str) -> None:
    if missing := pid_namespace.what_is_missing():
        pytest.skip(missing)
    ran = pid_namespace.run_inside("tests.hostile.in_namespace", scenario, str(place))
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
