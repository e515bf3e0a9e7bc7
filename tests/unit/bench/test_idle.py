"""What becomes of the times of idle daemons."""

from tests.bench import idle
from tests.bench.idle import Run, Spent

RUNS = [
    Run(120.0, {"killer": Spent(0, 0, 0), "monitor": Spent(ns, 1, 30), "pair": Spent(ns, 1, 30), "earlyoom": peer})
    for ns, peer in (
        (6_000_000, Spent(12_000_000, 1, 120)),
        (9_000_000, Spent(10_000_000, 1, 120)),
        (3_000_000, Spent(12_000_000, 1, 120)),
    )
]


def by_key(runs: list[Run], **missing: str) -> dict[str, idle.Figure]:
    return {figure.key: figure for figure in idle.figures("full", runs, {"nohang": "no", **missing}, "a note")}


def test_the_median_run_counts_and_each_is_said():
    share = by_key(RUNS)["idle_share_full"]
    assert (share.value, share.most, share.is_met) == (0.5, 0.9, True)
    assert share.note == "runs: 0.50, 0.90, 0.25; a note"


def test_more_than_half_of_what_earlyoom_uses_misses_the_target():
    assert by_key([*RUNS[1:2], *RUNS[1:]])["idle_share_full"].is_met is False


def test_processor_time_is_told_by_the_minute_and_by_the_wake_up():
    figures = by_key(RUNS)
    assert figures["idle_cpu_full_monitor"].value == 3.0
    assert figures["idle_each_full_monitor"].value == 200.0
    assert figures["idle_wake_ups_full_monitor"].value == 0.25
    assert figures["idle_each_full_killer"].value == 0.0, "it never woke"


def test_without_earlyoom_there_is_no_share_and_the_line_says_why():
    figures = by_key(RUNS, earlyoom="not installed")
    assert "idle_share_full" not in figures
    assert figures["idle_cpu_full_earlyoom"].why_not == "not installed"
    assert figures["idle_cpu_full_nohang"].why_not == "no"
