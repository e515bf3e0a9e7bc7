"""Every case of the table, on machines of its sizes."""

import pytest

from .running import Simulation, simulated
from .shortages import CASES as SHORTAGES
from .table import CASES, SIZES, Case, long_enough


def rows():
    for case in (*CASES, *SHORTAGES):
        for size in case.sizes:
            reason = case.fails.get(size) or case.fails.get("")
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            yield pytest.param(case, SIZES[size], id=f"{case.name}, {size}", marks=marks)


def faults(case: Case, run: Simulation) -> list[str]:
    """What is not as it must be."""
    killed, machine = run.killed, run.machine
    found = [f"{name} died" for name in case.spares if name in killed]
    if machine.kernel_kills:
        found.append("the kernel was first")
    if case.dies and not set(killed) <= set(case.dies):
        found.append(f"{', '.join(sorted(set(killed) - set(case.dies)))} died")
    if case.dies and not set(case.dies) & set(killed):
        found.append("none of those that must die has died")
    if len(killed) > case.most:
        found.append(f"{len(killed)} died")
    log = "\n".join(line for _, line in run.said)
    found += [f"the log does not say {word}" for word in case.says if word not in log]
    return found


@pytest.mark.parametrize(("case", "ram"), list(rows()))
def test_what_must_die_dies_and_what_must_live_lives(case, ram):
    machine = case.build(ram)
    with simulated(machine) as run:
        run.run(long_enough(ram))
    assert not faults(case, run), f"{faults(case, run)}\n{run.report()}"
