"""Forty small children that grow, beside an older and larger program, at whatever pace and whenever they came."""

from __future__ import annotations

import pytest

from .machine import Machine
from .memory import MIB
from .processes import Plan, ramp
from .programs import forks
from .running import simulated
from .table import beside

_CHILDREN = 40


def hands(each_mib: int, mib_per_s: float, older_mib: int, parent_mib: int, apart_s: float) -> Machine:
    """A GiB less what the kernel keeps. The older program comes `apart_s` before the parent of the children."""
    machine = beside(960 * MIB)
    machine.start(Plan("older", older_mib * MIB, starts_s=1.0))
    child = Plan("children", ramp(mib_per_s * MIB / _CHILDREN, start=each_mib * MIB), busy=0.1)
    group = "/work.slice/hands.service"
    parent = Plan("children", parent_mib * MIB, group=group, starts_s=1.0 + apart_s, busy=0.1)
    machine.start(parent._replace(does=forks(child, _CHILDREN)))
    return machine


@pytest.mark.parametrize("apart_s", [0.5, 12.0])
@pytest.mark.parametrize("parent_mib", [3, 8])
@pytest.mark.parametrize("older_mib", [150, 250])
@pytest.mark.parametrize(("each_mib", "mib_per_s"), [(1, 120), (6, 30), (10, 40), (12, 30)])
def test_the_older_program_lives_and_memory_is_back_within_two_seconds(
    each_mib, mib_per_s, older_mib, parent_mib, apart_s
):
    machine = hands(each_mib, mib_per_s, older_mib, parent_mib, apart_s)
    with simulated(machine) as run:
        run.run(50)
    assert "older" not in run.killed, run.report()
    assert machine.kernel_kills == 0, run.report()
    assert set(run.killed) == {"children"}, run.report()
    below_s = [death.at_s for death in machine.deaths]
    assert max(below_s) - min(below_s) < 2, run.report()
