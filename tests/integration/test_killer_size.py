"""How small what serves is: stage 2 of the killer with everything that it loads, in the ordinary case."""

import pytest

from tests.support import footprint
from tests.support.footprint import Footprint

MOST_LINES, MOST_OWN_MODULES, MOST_MODULES, MOST_PRIVATE_KIB = 1527, 28, 83, 1840
"""What it is; memory a little rounded up. What issue 12 wants is in footprint."""


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
    gone = {"bustd_killer.start", "bustd_killer.stage1", "bustd_killer.watched", "bustd_killer.pair"}
    gone |= {f"bustd_protocol.{name}" for name in ("session", "connection", "reactions", "members")}
    gone |= {f"bustd_shared.daemon.{name}" for name in ("log", "memory_lock", "mrelease", "command_line", "forked")}
    kernel = ("ancestor", "cgroups", "cgroup_memory", "machine_lock", "pressure", "watched_group")
    gone |= {f"bustd_shared.kernel.{name}" for name in kernel}
    gone |= {"bustd_shared.rules.killer_toml", "prctl", "ctypes", "fcntl", "enum", "resource", "signal", "socket"}
    gone |= {"encodings.unicode_escape", "typing", "re", "argparse", "threading", "tomllib", "subprocess", "pwd"}
    assert not gone & set(serving.modules)
