"""How small what serves is: stage 2 of the killer with everything that it loads, in the ordinary case."""

import pytest

from tests.support import footprint
from tests.support.footprint import Footprint

MOST_LINES, MOST_OWN_MODULES, MOST_MODULES, MOST_PRIVATE_KIB = 2041, 32, 93, 2300
"""What it is; memory a little rounded up. What issue 12 wants is less: see footprint, and docs/open.md."""


@pytest.fixture(scope="module")
def serving() -> Footprint:
    return footprint.measure()


def test_how_large_what_serves_is(serving: Footprint, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{serving}")
        print(", ".join(f"{name} {count}" for name, count in serving.lines.items() if count))
    assert sum(serving.lines.values()) <= MOST_LINES
    assert len(serving.lines) <= MOST_OWN_MODULES
    assert len(serving.modules) <= MOST_MODULES
    assert serving.private_kib <= MOST_PRIVATE_KIB


def test_nothing_of_the_start_is_loaded_by_what_serves(serving: Footprint) -> None:
    gone = {"bustd_killer.start", "bustd_killer.stage1", "bustd_shared.rules.killer_toml", "prctl", "ctypes", "fcntl"}
    gone |= {"bustd_shared.kernel.cgroups", "bustd_shared.kernel.cgroup_memory", "bustd_shared.kernel.watched_group"}
    gone |= {"bustd_protocol.session", "bustd_protocol.connection", "bustd_shared.daemon.log", "bustd_killer.watched"}
    gone |= {"bustd_shared.daemon.memory_lock", "enum", "resource", "encodings.unicode_escape"}
    gone |= {"typing", "re", "argparse", "socket", "signal", "threading", "tomllib", "subprocess", "pwd"}
    assert not gone & set(serving.modules)
