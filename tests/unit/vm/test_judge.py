"""A report that is as it should be passes, and every single thing that is wrong in it is a fault."""

import copy

import pytest

from tests.vm.judge import faults, pause, promise_faults, reaction_faults, reaction_ms, stood_still
from tests.vm.outcome import reactions, verdict_of
from tests.vm.performing import keep_trace
from tests.vm.scenarios import Scenario, Work


def work(unit: str, fate: str, dead: int = 0, alive: int = 0) -> Work:
    return Work(unit, ["leak"], fate, dead, alive, "alice", [], 0)


SCENARIO = Scenario(
    name="one",
    title="a leak",
    why="it happens",
    core="",
    boot="ordinary",
    seconds=60,
    swap="none",
    swap_mib=0,
    prepare=[],
    settings="",
    blow="",
    blow_available_percent=15,
    available_falls_to=15,
    free_falls_to=100,
    swap_takes_mib=30,
    pressure_lasts_ms=200,
    says=["not obeyed"],
    says_once=["STUCK"],
    compared=True,
    lost="",
    lost_as=[],
    unavoidable="",
    work=[work("bystander", "lives"), work("family", "some", dead=1, alive=1), work("leak", "dies")],
)


def fate(main_pid: int, alive: int = 1, dead: tuple[int, ...] = (), code: int = 0, status: int = 0) -> dict:
    ended = [{"pid": pid, "name": f"name{pid}", "seconds": 1.5} for pid in dead]
    return {"alive": alive, "dead": ended, "main_pid": main_pid, "main_code": code, "main_status": status}


GOOD = {
    "seconds": 9.0,
    "units": {
        "bystander": fate(10),
        "family": fate(20, dead=(21,)),
        "leak": fate(30, alive=0, dead=(30,), code=2, status=15),
        "program": fate(40),
    },
    "others_dead": {},
    "blow": None,
    "restarts": {"bustd-killer.service": 0, "bustd-monitor.service": 0},
    "inactive_before": "",
    "inactive_after": "",
    "signalled": [21, 30],
    "said": {"not obeyed": 2, "STUCK": 1},
    "probe": {
        "samples": 400,
        "kernel_oom_kills": 0,
        "ms_below_10_percent": 400,
        "ms_below_2_percent": 0,
        "lowest_available_mib": 60.5,
        "lowest_available_percent": 6.5,
        "lowest_free_percent": 9.0,
        "most_swapped_mib": 30.5,
        "psi_some_ms": 200,
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
    assert faults(SCENARIO, GOOD, "bustd") == []


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        (changed("units", "leak", "alive", value=1), "leak lives"),
        (changed("units", "leak", "dead", value=[]), "leak lives"),
        (changed("units", "leak", "main_code", value=1), "leak ended by itself (code 1, status 15)"),
        (changed("units", "leak", "main_status", value=11), "leak ended by itself (code 2, status 11)"),
        (changed("units", "bystander", value=fate(10, dead=(11,))), "bystander lost 1 of its processes"),
        (changed("units", "bystander", "alive", value=0), "bystander lost 0 of its processes"),
        (changed("units", "family", "dead", value=[]), "family: 0 died and 1 live"),
        (changed("units", "family", "alive", value=2), "family: 1 died and 2 live"),
        (changed("units", "program", value=fate(40, dead=(40,))), "the user's program died"),
        (changed("units", "program", "alive", value=0), "the user's program died"),
        (changed("program", value=None), "the user's program died"),
        (changed("others_dead", value={"dbus.service": [77]}), "dbus.service lost process 77"),
        (changed("probe", "kernel_oom_kills", value=2), "the kernel killed 2"),
        (changed("probe", "samples", value=20), "the probe has 20 samples of 9.0 s"),
        (
            changed("probe", "lowest_available_percent", value=40.0),
            "available memory never fell to 15 %, only to 40 %",
        ),
        (changed("probe", value=None), "the probe has no result"),
        (changed("inactive_before", value="it is failed"), "before the scenario: it is failed"),
        (changed("inactive_after", value="it is failed"), "after the scenario: it is failed"),
        (changed("signalled", value=[21]), "30 of leak was not ended by the killer"),
        (changed("signalled", value=[30]), "21 of family was not ended by the killer"),
        (changed("probe", "most_swapped_mib", value=29.5), "only 29.5 MiB went to swap"),
        (changed("probe", "psi_some_ms", value=199), "pressure lasted only 199 ms"),
        (changed("said", "not obeyed", value=0), "bustd did not say: not obeyed"),
        (changed("said", "STUCK", value=0), "bustd said 0 times: STUCK"),
        (changed("said", "STUCK", value=2), "bustd said 2 times: STUCK"),
        ({"error": "Traceback\nOSError: no"}, "the scenario could not be performed: OSError: no"),
    ],
)
def test_each_thing_that_is_wrong_is_a_fault(report, fault):
    assert faults(SCENARIO, report, "bustd") == [fault]


def test_a_parent_that_died_instead_of_its_child_is_a_fault():
    report = changed("units", "family", value=fate(20, dead=(20,)))
    assert faults(SCENARIO, report | {"signalled": [20, 30]}, "bustd") == [
        "family: 1 died and 1 live, the first is dead"
    ]


@pytest.mark.parametrize(
    ("taken_ms", "stood_ms", "blow", "found"),
    [
        (1000, 0, "", []),
        (1001, 0, "", ["the first signal came 1001 ms after memory was short"]),
        (1050, 50, "", []),
        (3000, 0, "kill-killer", []),
        (None, 0, "", []),
    ],
)
def test_a_slow_first_signal_is_a_fault_unless_the_machine_stood_or_bustd_was_struck(taken_ms, stood_ms, blow, found):
    report = GOOD | {"reaction_ms": taken_ms, "stood_ms": stood_ms}
    if blow:
        report |= {"blow": {"pid": 5}, "others_dead": {"bustd-killer.service": [5]}}
        report["restarts"] = GOOD["restarts"] | {"bustd-killer.service": 1}
    assert faults(SCENARIO._replace(blow=blow), report, "bustd") == found


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({}, ""),
        ({"stood_still_ms": 999, "stood_ms": 999.9}, ""),
        ({"stood_still_ms": 1000}, "the machine stood still for 1000 ms"),
        ({"stood_still_ms": 1000, "stood_ms": 1500.0}, "the machine stood still for 1000 ms"),
        (
            {"stood_still_ms": 400, "stood_ms": 1000.0},
            "the machine stood still for 1000 ms in all after memory was short",
        ),
    ],
)
def test_the_machine_stood_still_where_the_probe_got_no_turn_for_a_second_at_once_or_while_bustd_should_have_acted(
    times, words
):
    assert stood_still(times) == bool(words)
    assert not words or pause(times) == words


@pytest.mark.parametrize(
    ("reactions_ms", "found"),
    [
        ([60, 70, 150, 900, 900], []),
        ([60, 70, 151, 900, 900], ["the median reaction is 151 ms"]),
        ([900, 900, 900, 900], []),
        ([], []),
    ],
)
def test_a_run_of_which_the_half_is_late_fails(reactions_ms, found):
    assert reaction_faults({str(number): ms for number, ms in enumerate(reactions_ms)}) == found


def test_what_is_later_than_promised_is_named():
    assert reactions({"one": 40, "two": 150, "three": 151}) == (
        "first signal after memory was below floor, in 3 scenarios: median 150 ms, slowest 151 ms; "
        "more than 150 ms: three 151 ms"
    )
    assert reactions({"one": 40}).endswith("more than 150 ms: none")
    assert reaction_ms(SCENARIO, GOOD | {"reaction_ms": 90.5, "stood_ms": 20.0}) == 70.5


def test_another_daemon_is_not_asked_for_the_words_of_bustd():
    silent = {name: value for name, value in GOOD.items() if name not in ("signalled", "said")}
    assert faults(SCENARIO, silent, "earlyoom") == []


def test_a_file_that_wants_free_memory_to_fall_is_held_to_it():
    assert faults(SCENARIO._replace(free_falls_to=5), GOOD, "bustd") == ["free memory never fell to 5 %, only to 9 %"]


def test_a_blow_excuses_the_process_that_it_falls_on_and_nobody_else():
    scenario = SCENARIO._replace(blow="kill-killer")
    once = {"bustd-killer.service": 1, "bustd-monitor.service": 0}
    struck = {"blow": {"pid": 7, "seconds": 3.0}, "restarts": once}
    dead = {"bustd-killer.service": [7]}
    assert faults(scenario, GOOD | struck | {"others_dead": dead}, "bustd") == []
    assert faults(scenario, GOOD | struck, "bustd") == [
        "the blow kill-killer ended nobody",
        "bustd-killer.service was started anew 1 times",
    ]
    for count in (0, 2):
        restarts = {"restarts": once | {"bustd-killer.service": count}}
        assert faults(scenario, GOOD | struck | {"others_dead": dead} | restarts, "bustd") == [
            f"bustd-killer.service was started anew {count} times"
        ]
    assert faults(scenario, GOOD, "bustd") == ["the blow kill-killer ended nobody"]
    twice = {"bustd-killer.service": [7, 8]}
    assert faults(scenario, GOOD | struck | {"others_dead": twice}, "bustd") == ["bustd-killer.service lost process 8"]


def test_a_kernel_kill_is_excused_where_the_scenario_says_why():
    scenario = SCENARIO._replace(unavoidable="nobody watches")
    report = changed("probe", "kernel_oom_kills", value=1) | {"signalled": []}
    assert faults(scenario, report, "bustd") == []
    assert faults(scenario, GOOD | {"signalled": []}, "bustd") != []


def one_work(fate_name: str, report: dict, dead: int = 0, signalled: tuple[int, ...] = ()) -> list[str]:
    scenario = SCENARIO._replace(work=[work("it", fate_name, dead=dead)])
    units = {"it": report, "program": GOOD["units"]["program"]}
    return faults(scenario, GOOD | {"units": units, "signalled": list(signalled)}, "bustd")


def test_a_build_is_thinned_when_a_few_were_killed_and_it_ended_by_itself():
    ended = fate(20, alive=0, dead=(20, 21, 22, 23), code=1, status=2)
    assert one_work("thinned", ended, 2, (21, 22)) == []
    assert one_work("thinned", ended, 1, (21, 22)) == ["it: 2 were killed"]
    assert one_work("thinned", ended, 2, (21,)) == ["it: not all of the 2 were ended by the killer"]
    assert one_work("thinned", ended | {"main_status": 0}, 2) == ["it: 0 were killed"]
    assert one_work("thinned", ended | {"alive": 1}, 2, (21, 22)) == ["it did not end by itself (code 1, 1 live)"]
    killed = ended | {"main_code": 2}
    assert one_work("thinned", killed, 2, (21, 22)) == ["it did not end by itself (code 2, 0 live)"]


def test_what_is_stuck_has_been_signalled_and_is_there_all_the_same():
    assert one_work("stuck", fate(20), signalled=(20,)) == []
    assert one_work("stuck", fate(20)) == ["it was never signalled"]
    assert one_work("stuck", fate(20, alive=0, dead=(20,)), signalled=(20,)) == ["it is not stuck"]


def test_any_fate_is_no_fault():
    assert one_work("any", fate(20)) == one_work("any", fate(20, alive=0, dead=(20,))) == []


def test_nobody_may_die_where_all_live():
    assert one_work("lives", fate(20)) == []
    assert one_work("lives", fate(20, dead=(21,)), signalled=(21,)) == ["it lost 1 of its processes"]


def test_lost_excuses_exactly_the_faults_that_it_names():
    lost = SCENARIO._replace(lost="size", lost_as=["bystander lost 1 of its processes"])
    assert verdict_of(["bystander lost 1 of its processes"], lost) == "lost"
    assert verdict_of(["bystander lost 1 of its processes", "the kernel killed 1"], lost) == "FAIL"
    assert verdict_of(["HUNG: no"], lost) == "FAIL"
    assert verdict_of([], lost) == "FAIL", "it is not lost any more"
    assert (verdict_of([], SCENARIO), verdict_of(["x"], SCENARIO)) == ("pass", "FAIL")
    assert (verdict_of([], None), verdict_of(["x"], None)) == ("pass", "FAIL")


def test_a_promise_says_itself_what_is_wrong():
    assert promise_faults({"faults": []}) == []
    assert promise_faults({"faults": ["no"]}) == ["no"]
    assert promise_faults({"error": "Traceback\nOSError: no"}) == ["OSError: no"]
    with pytest.raises(KeyError):
        promise_faults({})


def test_a_trace_becomes_a_file_and_no_part_of_the_results(tmp_path):
    report = {"seconds": 9.0, "trace": "AAEC"}
    keep_trace(report, tmp_path / "traces", "one")
    assert report == {"seconds": 9.0}
    assert (tmp_path / "traces" / "one.trace").read_bytes() == b"\0\1\2"
    keep_trace(report, tmp_path / "traces", "two")
    keep_trace({"trace": "AAEC"}, None, "three")
    assert [path.name for path in (tmp_path / "traces").iterdir()] == ["one.trace"]
