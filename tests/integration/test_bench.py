import json
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]

DAEMONS = ("killer", "monitor", "earlyoom", "nohang")
KEYS = {
    "tick_calm",
    "tick_watch",
    "tick_cold",
    *("serving_lines", "serving_modules", "serving_private"),
    "look_cold_free",
    "look_cold_available",
    "kill_latency",
    "kill_latency_undisturbed",
    "kill_round_trip",
    "kill_first_latency",
    "kill_latency_batch",
    "decision_100",
    "unprepared_100",
    "watch_100",
    *(f"first_{what}_100_10" for what in ("look", "walk", "share")),
    *(f"idle_{kind}_empty_{name}" for kind in ("cpu", "each", "wake_ups") for name in ("killer", "monitor", "pair")),
    *(f"idle_cpu_empty_{name}" for name in ("earlyoom", "nohang")),
    "idle_share_full",
    *(f"memory_{name}_{kind}" for name in DAEMONS for kind in ("resident", "proportional", "private")),
    "memory_pair_proportional",
}
ALONE = {
    *("memory_pair_alone", "memory_nohang_alone", "earlyoom_100", "share_100", "idle_share_empty"),
    *(f"idle_{kind}_empty_{name}" for kind in ("each", "wake_ups") for name in ("earlyoom", "nohang")),
}
"""Figures that are left out where they can't be measured."""
MAY_BE_MISSING = ("earlyoom", "nohang", "memory_", "undisturbed", "full", "look_cold_free")
"""A peer that is not installed; as an ordinary user, the memory of a killer that is not dumpable; a busy machine; the
full page cache, which a quick bench has not; a look at free memory where the page cache is full.
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done, json.loads(path.read_text())


def test_a_quick_bench_writes_every_figure_as_json(run):
    _, whole = run
    assert set(whole["figures"]) - ALONE == KEYS
    assert {"kernel", "cores", "memory", "python", "load before", "load after"} <= set(whole["machine"])


def test_a_quick_bench_measures_everything_that_bustd_itself_does(run):
    _, whole = run
    missing = {key: figure["why_not"] for key, figure in whole["figures"].items() if figure["why_not"]}
    assert [key for key in missing if not any(word in key for word in MAY_BE_MISSING)] == []


def test_a_quick_bench_prints_a_line_for_each_figure_and_says_in_its_exit_code_whether_all_were_measured(run):
    done, whole = run
    for figure in whole["figures"].values():
        assert figure["what"] in done.stdout
    assert done.returncode == (1 if any(figure["why_not"] for figure in whole["figures"].values()) else 0)
