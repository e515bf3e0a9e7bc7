"""What is performed on which machine. They are fakes: a real one neither hangs nor stands still at will."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.vm import judge, performing
from tests.vm.image import Image
from tests.vm.outcome import Outcome
from tests.vm.qemu import Hung

from .test_judge import GOOD, SCENARIO, changed

SCENARIOS = [SCENARIO._replace(name=name) for name in ("one", "two", "three")]
STOOD = GOOD | {"stood_still_ms": 1000}
FAILED = changed("units", "leak", "dead", value=[])
FAILED_AND_STOOD = FAILED | {"stood_still_ms": 1000}
FAILED_AND_RAN = FAILED | {"stood_still_ms": 999}
ASIDE = "stood still"
HANGS = "hangs"


class Machines:
    """Each boot takes the next of `reports`, by scenario; who has none in it is never reached."""

    def __init__(self, monkeypatch, folder: Path, *reports: dict) -> None:
        self.jobs: list[list[str]] = []
        self.promises: list[list[str]] = []
        self._reports = list(reports)
        self._results = folder / "results.jsonl"
        monkeypatch.setattr(performing, "booted", self._booted)

    @contextmanager
    def _booted(self, made, boot, job, files):
        self.jobs.append([scenario["name"] for scenario in job["scenarios"]])
        self.promises.append(job["promises"])
        self._now = self._reports.pop(0)
        yield self

    def reports(self):
        if "boot" in self._now:
            raise Hung("boot", "the machine ended (status 0)", self._now["boot"])
        for name in [*self.jobs[-1], *(name for name in self._now if name.startswith("promise"))]:
            if self._now[name] == HANGS:
                raise Hung(name, "it took too long", "the console")
            yield name, dict(self._now[name])

    def performed(self, *scenarios, daemon: str = "bustd", promises: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        """The verdicts."""
        plan = performing.Plan("ordinary", list(scenarios), daemon, None, list(promises))
        self.outcome = Outcome(self._results)
        performing.perform(plan, Image(*[Path()] * len(Image._fields)), self.outcome)
        lines = [json.loads(line) for line in self._results.read_text().splitlines()]
        return [(line["name"], line["verdict"]) for line in lines]


def test_all_scenarios_of_a_kind_share_a_machine(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": GOOD, "two": FAILED, "three": GOOD})
    assert machines.performed(*SCENARIOS) == [("one", "pass"), ("two", "FAIL"), ("three", "pass")]
    assert machines.jobs == [["one", "two", "three"]]


PANIC = {"boot": "Oops: int3\nKernel panic - not syncing: Fatal exception in interrupt"}


def test_a_kernel_that_fails_before_anything_of_ours_has_run_is_booted_again_twice_at_most(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, PANIC, PANIC, {"one": GOOD})
    assert machines.performed(SCENARIOS[0]) == [("one", "pass")]
    machines = Machines(monkeypatch, tmp_path / "again", PANIC, PANIC, PANIC)
    (tmp_path / "again").mkdir()
    assert machines.performed(SCENARIOS[0]) == [("boot", "FAIL"), ("one", "FAIL")]


def test_a_machine_that_ends_before_it_began_without_a_panic_has_failed(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"boot": "systemd: no"}, {"one": GOOD})
    assert machines.performed(SCENARIOS[0]) == [("boot", "FAIL"), ("one", "FAIL")]


@pytest.mark.parametrize(
    ("second", "verdict"),
    [(GOOD, "pass"), (FAILED, "FAIL"), (FAILED_AND_RAN, "FAIL"), (FAILED_AND_STOOD, "NOT DECIDED")],
)
def test_what_failed_while_the_machine_stood_still_is_performed_once_more_and_that_counts(
    monkeypatch, tmp_path, second, verdict
):
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD, "two": GOOD}, {"one": second})
    assert machines.performed(*SCENARIOS[:2]) == [("one", ASIDE), ("two", "pass"), ("one", verdict)]
    assert machines.jobs == [["one", "two"], ["one"]]


def test_promises_are_kept_on_the_first_machine_alone(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD}, {"one": GOOD})
    machines.performed(SCENARIOS[0], promises=("all",))
    assert machines.promises == [["all"], []]


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ({"faults": []}, "pass"),
        ({"faults": ["no"], "stood_still_ms": 999}, "FAIL"),
        ({"error": "Traceback\nTimeoutError: no", "stood_still_ms": 1000}, "NOT DECIDED"),
    ],
)
def test_a_promise_that_was_broken_while_the_machine_stood_still_is_kept_once_more_by_itself(
    monkeypatch, tmp_path, second, verdict
):
    broken = {"faults": ["no"], "stood_still_ms": 1000}
    machines = Machines(
        monkeypatch, tmp_path, {"promise 1": broken, "promise 2": {"faults": []}}, {"promise 1": second}
    )
    assert machines.performed(promises=("core",)) == [
        ("promise 1", ASIDE),
        ("promise 2", "pass"),
        ("promise 1", verdict),
    ]
    assert machines.promises == [["core"], ["promise 1"]]


@pytest.mark.parametrize(("boot", "is_story"), [("story", True), ("ordinary", False)])
def test_the_machine_of_the_story_is_told_that_it_is_one(boot, is_story):
    assert performing.Plan(boot, [], "bustd", None, ["story: a leak"]).job([])["is_story"] is is_story


def test_another_daemon_has_failed_what_it_failed_twice(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD}, {"one": FAILED_AND_STOOD})
    assert machines.performed(SCENARIOS[0], daemon="earlyoom") == [("one", ASIDE), ("one", "FAIL")]


def test_a_reaction_on_a_machine_that_stood_still_is_said_and_does_not_count(monkeypatch, tmp_path, capsys):
    slow = {"reaction_ms": 900.0, "stood_ms": 0.0}
    machines = Machines(monkeypatch, tmp_path, {"one": GOOD | slow, "two": STOOD | slow})
    assert machines.performed(*SCENARIOS[:2]) == [("one", "pass"), ("two", "pass")]
    assert machines.outcome.reactions_ms == {"one": 900.0}
    assert "first signal after 900 ms: not counted, the machine stood still for 1000 ms" in capsys.readouterr().out


def test_what_is_lost_as_expected_needs_no_second_chance(monkeypatch, tmp_path):
    faults = judge.faults(SCENARIOS[0], FAILED_AND_STOOD, "bustd")
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD})
    assert machines.performed(SCENARIOS[0]._replace(lost="size", lost_as=faults)) == [("one", "lost")]


def test_what_bustd_is_expected_to_lose_excuses_no_other_daemon(monkeypatch, tmp_path):
    lost = SCENARIOS[0]._replace(lost="size", lost_as=judge.faults(SCENARIOS[0], FAILED, "earlyoom"))
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD}, {"one": FAILED})
    assert machines.performed(lost, daemon="earlyoom") == [("one", ASIDE), ("one", "FAIL")]


def test_without_a_daemon_there_is_no_second_chance(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD})
    assert machines.performed(SCENARIOS[0], daemon="kernel") == [("one", "FAIL")]


@pytest.mark.parametrize("report", [STOOD, FAILED_AND_RAN, {"error": "Traceback\nOSError: no"}])
def test_nothing_else_gets_a_second_chance(monkeypatch, tmp_path, report):
    machines = Machines(monkeypatch, tmp_path, {"one": report})
    assert machines.performed(SCENARIOS[0]) == [("one", "pass" if report is STOOD else "FAIL")]
    assert machines.jobs == [["one"]]


def test_another_machine_goes_on_after_one_that_hung(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": FAILED_AND_STOOD, "two": HANGS}, {"three": GOOD}, {"one": GOOD})
    assert machines.performed(*SCENARIOS) == [
        ("one", ASIDE),
        ("two", "FAIL"),
        ("three", "pass"),
        ("one", "pass"),
    ]
    assert machines.jobs == [["one", "two", "three"], ["three"], ["one"]]


def test_who_is_never_reached_has_failed(monkeypatch, tmp_path):
    machines = Machines(monkeypatch, tmp_path, {"one": GOOD})
    monkeypatch.setattr(machines, "reports", lambda: iter([("one", dict(GOOD))]))
    assert machines.performed(*SCENARIOS[:2]) == [("one", "pass"), ("two", "FAIL")]
