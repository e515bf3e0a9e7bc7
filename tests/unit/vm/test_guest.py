"""What the guest makes of its probe and of the kernel's trace: its pure parts, imported as the guest imports them."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import prctl
import pytest

from tests.vm import scenarios

GUEST = Path(scenarios.__file__).parent / "guest"
EVENTS = """# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
         python3-412     [001] d..1.   123.456789: signal_generate: sig=15 errno=0 code=0 comm=leak pid=900 grp=1 res=0
 a-7 b] [0] c: d-99      [000] d..2.   124.000001: signal_generate: sig=9 errno=0 code=128 comm= pid=1 pid=9 grp=1 res=0
          <idle>-0       [000] d..2.   125.000000: sched_switch: prev_comm=x
"""


@pytest.fixture
def guest(monkeypatch):
    """Modules of the guest by name; none of them stays imported."""
    monkeypatch.syspath_prepend(str(GUEST))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if str(GUEST) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def test_the_kernel_says_who_signalled_whom_whatever_they_are_called(guest):
    assert guest("signals").parse(EVENTS) == [(123.456789, 412, 15, 900), (124.000001, 99, 9, 9)]


def test_what_systemd_does_not_know_in_a_unit_is_a_fault_as_old_and_new_ones_say_it(guest):
    old = "/lib/systemd/system/bustd-killer.service:25: Unknown key name 'OpenFile' in section 'Service', ignoring."
    new = "/usr/lib/systemd/system/bustd.slice:9: Unknown key 'Memory' in section [Slice], ignoring."
    said = f"Started bustd-killer.service - bustd's killer.\n{old}\n{new}\nReached target multi-user.target.\n"
    assert guest("system").complaints(said) == [old, new]


def series(*available: int, anonymous: int = 800 << 10, swap_free: int = 0, swap_total: int = 0) -> dict:
    """Samples 20 ms apart; what is available in MiB."""
    count = len(available)
    return {
        "ns": [20_000_000 * n for n in range(count)],
        "available": [mib << 10 for mib in available],
        "anonymous": [anonymous] * count,
        "swap_free": [swap_free] * count,
        "swap_total": swap_total,
    }


@pytest.mark.parametrize(
    ("samples", "signal_ms", "expected_ms"),
    [
        (series(200, 100, 80, 70), 65, 25.0),
        (series(80, 200, 80, 70), 65, 25.0),
        (series(80, 80, 80, 70), 65, 65.0),
        (series(200, 100, 100, 100), 65, None),
        (series(200, 100, 100, 80), 55, None),
        (series(200, 80, swap_free=60, swap_total=512), 30, None),
        (series(200, 80, swap_free=51, swap_total=512), 30, 10.0),
        (series(200, 1500, anonymous=64 << 20), 30, None),
        (series(200, 1000, anonymous=64 << 20), 30, 30.0),
    ],
)
def test_a_reaction_counts_from_where_the_last_row_below_the_floor_began(guest, samples, signal_ms, expected_ms):
    found = guest("reaction").reaction(samples, signal_ms * 1_000_000)
    assert found["reaction_ms"] == expected_ms


def test_a_reaction_says_what_was_available_at_the_signal(guest):
    reaction = guest("reaction").reaction
    assert reaction(series(200, 100, 80), 39 * 1_000_000)["available_at_signal_mib"] == 100
    assert reaction(series(), 5) == {"reaction_ms": None, "stood_ms": 0, "available_at_signal_mib": None}


def test_a_reaction_tells_how_long_the_machine_itself_stood_still_meanwhile(guest):
    samples = series(200, 200, 80, 80, 80)
    samples["ns"] = [number * 1_000_000 for number in (0, 900, 920, 1020, 1060)]
    found = guest("reaction").reaction(samples, 1160 * 1_000_000)
    assert (found["reaction_ms"], found["stood_ms"]) == (240, 60 + 60)


# --- how long the user's program waited


def test_the_longest_stall_is_known_with_its_time_and_less_the_pause(guest):
    rounds = [(100.0, 100.06), (100.06, 100.41), (100.41, 100.47), (100.47, 100.54)]
    assert guest("stall").summary(rounds, 99.0, 101.0) == {
        "rounds": 4,
        "median_ms": 20.0,
        "p99_ms": 300.0,
        "longest_stall_ms": 300.0,
        "longest_stall_seconds": 1.41,
    }


def test_what_a_scenario_prepares_and_takes_down_again_is_no_stall(guest):
    rounds = [(99.9, 100.0), (100.0, 103.0), (103.0, 103.06), (103.06, 109.0), (109.0, 112.0)]
    found = guest("stall").summary(rounds, 102.98, 103.15)
    assert (found["rounds"], found["longest_stall_ms"], found["longest_stall_seconds"]) == (3, 40.0, 0.17)


def test_a_stall_that_lasts_until_the_end_counts_as_far_as_it_got(guest):
    assert guest("stall").summary([(100.0, 130.0)], 101.0, 111.05)["longest_stall_ms"] == 10_000.0


def test_without_a_round_nothing_is_known_of_stalls(guest):
    assert guest("stall").summary([], 0.0, 60.0) is None
    assert guest("stall").summary([(100.0, 100.06)], 0.0, 60.0) is None


def test_the_machine_stood_still_for_as_long_as_the_probe_did_not_run_while_it_mattered(guest):
    samples = [int(seconds * 1e9) for seconds in (90, 100.02, 100.04, 101.34, 101.36, 102, 120)]
    stood_still_ms = guest("stall").stood_still_ms
    assert stood_still_ms(samples, 100.0, 101.4) == 1300
    assert stood_still_ms(samples, 101.35, 110.0) == 8000
    assert stood_still_ms(samples, 101.35, 101.37) == 10
    assert stood_still_ms([], 100.0, 101.0) == 1000


def test_a_shortage_is_what_is_available_and_what_went_to_swap(guest, monkeypatch):
    machine = guest("machine")
    amounts = {"MemTotal": 1000, "MemAvailable": 150, "SwapTotal": 512 << 20, "SwapFree": 500 << 20}
    monkeypatch.setattr(machine, "meminfo", lambda: amounts)
    assert machine.shortage() == (15.0, 12)


# --- when a scenario is over


def time_by(clock: list[float]) -> SimpleNamespace:
    """The module `time` of a guest whose clock only goes on while it sleeps, or as the test moves it."""
    return SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))


class Herd:
    """A victim that dies at `dies_at_s`; the clock is the test's."""

    def __init__(self, clock: list[float], dies_at_s: float) -> None:
        self.clock, self.dies_at_s = clock, dies_at_s

    def look(self) -> None:
        pass

    notice_deaths = look

    def alive(self, unit: str) -> int:
        return int(self.clock[0] < self.dies_at_s)

    @property
    def dead(self) -> dict[str, list[int]]:
        return {} if self.alive("leak") else {"leak": [1]}


@pytest.mark.parametrize(
    ("fate", "falls_at_s", "rises_at_s", "swapped_at_s", "dies_at_s", "over_s"),
    [
        ("dies", 0, 999, 0, 999, 60),
        ("dies", 50, 999, 0, 999, 110),
        ("dies", 50, 55, 0, 999, 110),
        ("dies", 90, 999, 0, 999, 120),
        ("dies", 999, 999, 0, 999, 120),
        ("dies", 10, 11, 0, 11, 17),
        ("dies", 50, 101, 0, 101, 107),
        ("dies", 50, 999, 0, 108, 110),
        ("lives", 10, 999, 0, 999, 70),
        ("lives", 10, 12, 40, 999, 100),
        ("lives", 40, 999, 10, 999, 100),
        ("lives", 10, 999, 999, 999, 120),
    ],
)
def test_the_time_of_a_scenario_begins_when_memory_is_low_and_swap_is_used(
    guest, monkeypatch, fate, falls_at_s, rises_at_s, swapped_at_s, dies_at_s, over_s
):
    scenario, machine, clock = guest("scenario"), guest("machine"), [0.0]

    def shortage() -> tuple[int, int]:
        available_percent = 20 if falls_at_s <= clock[0] < rises_at_s else 90
        return available_percent, 350 if swapped_at_s <= clock[0] < swapped_at_s + 1 else 0

    monkeypatch.setattr(machine, "shortage", shortage)
    monkeypatch.setattr(scenario, "time", time_by(clock))
    limits = {"seconds": 60, "available_falls_to": 20, "swap_takes_mib": 350 if swapped_at_s else 0}
    described = limits | {"blow": "", "work": [{"unit": "leak", "fate": fate}]}
    herd = Herd(clock, dies_at_s)
    assert scenario._watch(described, herd, herd, 0.0) is None
    assert clock[0] == pytest.approx(over_s, abs=0.11)


# --- what a leak takes


def test_a_leak_does_not_take_at_once_what_it_could_not_take_while_the_machine_stood_still(guest, monkeypatch):
    """100 MiB a second, 4 MiB each time; the machine stands still for 10 s after the second time."""
    workload, clock, taken_at = guest("workload"), [0.0], []

    def take(_size, _kind):
        taken_at.append(round(clock[0], 2))
        if len(taken_at) == 2:
            clock[0] += 10

    monkeypatch.setattr(workload, "take", take)
    monkeypatch.setattr(workload, "time", time_by(clock))
    workload.grow(100, 8 * (4 << 20))
    assert taken_at == [0, 0.04, 10.04, 10.04, 10.04, 10.06, 10.1, 10.14]


@pytest.mark.parametrize("chosen", ["core", "all", "promise: a wrong killer.toml", ""])
def test_the_core_set_has_promises_of_the_sandbox_the_system_the_units_and_the_package(guest, monkeypatch, chosen):
    main = guest("main")
    performed = []
    monkeypatch.setattr(main.machine, "make_program_file", lambda: None)
    monkeypatch.setattr(main.package, "everything", set)
    monkeypatch.setattr(main.daemons, "start", lambda daemon: None)
    job = {"daemon": "bustd", "deb": "one.deb", "scenarios": [], "promises": [chosen] if chosen else []}
    main._perform(job, lambda name, seconds, step: performed.append(name))
    rooms = ("sandbox", "system", "selftests", "one_pair", "promises")
    of_the_units = [step for room in rooms for step in guest(room).all_of()]
    everything = [*of_the_units, *guest("package").all_of({"deb": ""}, set())]
    names = {"core": [name for name, core, _ in everything if core], "all": [name for name, _, _ in everything], "": []}
    assert performed == ["install", *names.get(chosen, [chosen])]
    assert len(names["all"]) > len(names["core"]) > 0
    assert {name.partition(":")[0] for name in names["core"]} == {"sandbox", "system", "selftest", "promise", "package"}


def test_a_step_says_how_long_it_took_and_the_machine_stood_still_even_where_it_fails(guest, monkeypatch):
    main = guest("main")
    said = []
    monkeypatch.setattr(main.machine, "emit", lambda kind, **fields: said.append((kind, fields)))
    heartbeat = SimpleNamespace(begin=lambda: None, stood_still_ms=lambda: 1200)
    main._told(heartbeat, "promise", 5, lambda: {"faults": []})
    main._told(heartbeat, "scenario", 5, lambda: {"stood_still_ms": 7})
    main._told(heartbeat, "broken", 5, lambda: 1 / 0)
    assert [fields["report"]["stood_still_ms"] for kind, fields in said if kind == "report"] == [1200, 7, 1200]
    assert all(fields["report"]["took_s"] >= 0 for kind, fields in said if kind == "report")
    assert "ZeroDivisionError" in said[-1][1]["report"]["error"]


@pytest.mark.parametrize(
    ("begun", "beats", "now", "longest"),
    [
        (100, [110, 120, 150, 160], 165, 30),
        (100, [110, 120, 150], 195, 45),
        (100, [60, 130], 131, 30),
        (100, [], 175, 75),
    ],
)
def test_the_longest_time_without_a_beat_counts_from_the_beginning_of_a_step_and_up_to_now(
    guest, begun, beats, now, longest
):
    heartbeat = guest("heartbeat")
    shared = [begun, 50, 0]
    for ns in beats:
        heartbeat.beat(shared, ns)
    assert heartbeat.longest_ns(shared, now) == longest


# --- who was there


@pytest.mark.parametrize(("renamed", "is_missed"), [("(udev-worker)", False), ("", True)])
def test_who_comes_and_goes_may_also_where_it_was_held_before_it_had_its_name(guest, monkeypatch, renamed, is_missed):
    herd = guest("herd")
    go_on, may_go_on = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go_on, 1)
        if renamed:
            prctl.set_name(renamed)
        os.write(tell, b"x")
        os.read(go_on, 1)
        os._exit(0)
    monkeypatch.setattr(herd.machine, "processes_of", lambda _cgroup: [pid])
    seen = herd.Herd({"systemd-udevd.service": ""})
    seen.look()
    os.write(may_go_on, b"x")
    os.read(told, 1)
    seen.look()
    os.write(may_go_on, b"x")
    os.waitpid(pid, 0)
    seen.notice_deaths()
    assert [dead[0][0] for dead in seen.dead.values()] == ([pid] if is_missed else [])
    seen.close()
    for descriptor in (go_on, may_go_on, told, tell):
        os.close(descriptor)
