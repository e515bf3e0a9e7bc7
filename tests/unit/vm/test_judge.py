"""A report that is as it should be passes, and every single thing that is wrong in it is a fault."""

import copy

import pytest

from tests.vm.comparison import page
from tests.vm.judge import faults, promise_faults
from tests.vm.scenarios import Scenario, Work


def work(unit: str, fate: str) -> Work:
    return Work(unit, ["leak"], fate, "alice", [])


SCENARIO = Scenario(
    name="one",
    title="a leak",
    why="it happens",
    boot="ordinary",
    seconds=60,
    swap="none",
    swap_mib=0,
    prepare=[],
    settings="",
    blow="",
    blow_available_percent=15,
    compared=True,
    lost="",
    unavoidable="",
    work=[work("bystander", "lives"), work("family", "some"), work("leak", "dies")],
)
ALIVE = {"alive": 1, "dead": [], "main_code": 0, "main_status": 0, "result": "success"}
GOOD = {
    "seconds": 9.0,
    "units": {
        "bystander": dict(ALIVE),
        "family": ALIVE | {"dead": [["child", 2.0]]},
        "leak": ALIVE | {"alive": 0, "dead": [["leak", 1.5]]},
        "program": dict(ALIVE),
    },
    "others_dead": {},
    "blow_s": None,
    "probe": {
        "kernel_oom_kills": 0,
        "ms_below_10_percent": 400,
        "ms_below_2_percent": 0,
        "lowest_available_mib": 60.5,
    },
    "program": {"longest_stall_ms": 20.0, "p99_ms": 3.0},
}


def changed(*path: object, value: object) -> dict:
    report = copy.deepcopy(GOOD)
    place = report
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return report


def test_as_it_should_be_is_a_pass():
    assert faults(SCENARIO, GOOD) == []


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        (changed("units", "leak", "alive", value=1), "leak lives"),
        (changed("units", "leak", "dead", value=[]), "leak lives"),
        (changed("units", "bystander", "dead", value=[["x", 1.0]]), "bystander lost 1 of its processes"),
        (changed("units", "bystander", "alive", value=0), "bystander lost 0 of its processes"),
        (changed("units", "family", "dead", value=[]), "family: 0 died and 1 live"),
        (changed("units", "family", "alive", value=0), "family: 1 died and 0 live"),
        (changed("units", "program", "dead", value=[["x", 1.0]]), "the user's program died"),
        (changed("units", "program", "alive", value=0), "the user's program died"),
        (changed("others_dead", value={"dbus.service": ["dbus-daemon"]}), "dbus.service lost dbus-daemon"),
        (changed("probe", "kernel_oom_kills", value=2), "the kernel killed 2"),
        (changed("probe", value=None), "the probe has no result"),
        ({"error": "Traceback\nOSError: no"}, "the scenario could not be performed: OSError: no"),
    ],
)
def test_each_thing_that_is_wrong_is_a_fault(report, fault):
    assert faults(SCENARIO, report) == [fault]


def test_a_blow_excuses_the_daemon_that_it_falls_on_and_nobody_else():
    scenario = SCENARIO._replace(blow="kill-killer")
    dead = {"bustd-killer.service": ["bustd-killer"]}
    assert faults(scenario, changed("others_dead", value=dead) | {"blow_s": 3.0}) == []
    assert faults(scenario, changed("others_dead", value=dead)) == ["the blow kill-killer never fell"]
    dead = {"bustd-monitor.service": ["bustd-monitor"]}
    assert faults(scenario, changed("others_dead", value=dead) | {"blow_s": 3.0}) != []


def test_a_kernel_kill_is_excused_where_the_scenario_says_why():
    scenario = SCENARIO._replace(unavoidable="nobody watches")
    assert faults(scenario, changed("probe", "kernel_oom_kills", value=1)) == []


def test_a_promise_says_itself_what_is_wrong():
    assert promise_faults({"faults": []}) == []
    assert promise_faults({"faults": ["no"]}) == ["no"]
    assert promise_faults({"error": "Traceback\nOSError: no"}) == ["OSError: no"]


def test_the_page_has_a_row_for_each_daemon_and_names_what_bustd_loses():
    line = {"daemon": "bustd", "name": "one", "verdict": "pass", "faults": [], "report": GOOD}
    lost = line | {"verdict": "lost", "faults": ["leak lives"]}
    text = page(
        [line, line | {"daemon": "kernel", "report": changed("probe", "kernel_oom_kills", value=3)}], {"one": SCENARIO}
    )
    assert "| bustd | pass | child 2.0 s, leak 1.5 s | 0 | 0.4 | 0.0 | 60 | 20 | 3 |" in text
    assert "| kernel | 1 | 1 | 3 |" in text
    assert "- **one**: leak lives. Because size.\n" in page([lost], {"one": SCENARIO._replace(lost="size")})
    hung = line | {"daemon": "nohang", "verdict": "FAIL", "faults": ["HUNG: boot"], "report": {"hung": "boot"}}
    assert "| nohang | **HUNG: boot** |" in page([hung], {"one": SCENARIO})
