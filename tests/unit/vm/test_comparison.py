"""The page says what the lines of a run say, and what came of it where a stall was looked at again."""

import pytest

from tests.vm.comparison import DAEMONS, Results, lacking, page, sorted_out, to_repeat

from .test_judge import GOOD, SCENARIO, changed

SCENARIOS = {"one": SCENARIO, "two": SCENARIO._replace(name="two")}
LINE = {"daemon": "bustd", "name": "one", "verdict": "pass", "faults": [], "report": GOOD, "again": False}
NOHANG = LINE | {"daemon": "nohang"}
FAILED = {"verdict": "FAIL", "faults": ["leak lives"]}


def stalls(ms: float):
    return {"report": changed("program", "longest_stall_ms", value=ms)}


def made_of(*lines) -> Results:
    return sorted_out(list(lines), SCENARIOS)


def said_of_stalls(*lines) -> list[str]:
    return [line for line in page(made_of(*lines), SCENARIOS).splitlines() if "user's program waited" in line]


def test_the_page_has_a_row_for_each_daemon_and_names_what_bustd_loses():
    lost = LINE | {"verdict": "lost", "faults": ["leak lives"]}
    kernel = LINE | {"daemon": "kernel", "report": changed("probe", "kernel_oom_kills", value=3)}
    text = page(made_of(LINE, kernel), SCENARIOS)
    assert "| bustd | pass | name21 1.5 s, name30 1.5 s | 0 | 0.4 | 0.0 | 60 | 20 | 3 |" in text
    assert "| kernel | 1 | 1 | 3 |" in text
    assert "- **one**: leak lives. Because size.\n" in page(made_of(lost), {"one": SCENARIO._replace(lost="size")})
    hung = NOHANG | {"verdict": "FAIL", "faults": ["HUNG: boot"], "report": {"hung": "boot"}}
    assert "| nohang | **HUNG: boot** |" in page(made_of(hung), SCENARIOS)


def test_a_longer_stall_than_the_best_of_the_others_is_named_and_repeated_under_both():
    mine = LINE | stalls(90)
    oomd = LINE | {"daemon": "systemd-oomd"} | stalls(30)
    assert said_of_stalls(mine, NOHANG, oomd) == [
        "- **one**: the user's program waited 90 ms under bustd, 20 ms under nohang."
    ]
    others = [line | {"name": "two"} for line in (mine, oomd)]
    assert to_repeat(made_of(mine, NOHANG, oomd, *others)) == {
        "bustd": ["one", "two"],
        "nohang": ["one"],
        "systemd-oomd": ["two"],
    }


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (LINE, NOHANG),
        (LINE | stalls(50), NOHANG),
        (LINE | stalls(90), NOHANG | stalls(45)),
        (LINE | stalls(90), NOHANG | FAILED),
        (LINE | stalls(90), LINE | {"daemon": "kernel"}),
        (LINE | stalls(90) | {"again": True}, NOHANG | {"again": True}),
    ],
)
def test_no_stall_is_named_that_is_short_or_that_only_those_undercut_who_lose(mine, other):
    assert said_of_stalls(mine, other) == []
    assert to_repeat(made_of(mine, other)) == {}


def test_what_is_run_again_stands_beside_the_first_figures_and_is_no_row():
    first = [LINE | stalls(90), NOHANG]
    again = [LINE | stalls(ms) | {"again": True} for ms in (31, 19, 26)]
    again += [NOHANG | stalls(40) | {"again": True}, NOHANG | FAILED | {"again": True, "report": {"hung": "boot"}}]
    assert said_of_stalls(*first, *again) == [
        "- **one**: the user's program waited 90 ms under bustd, 20 ms under nohang. "
        "Again: 19, 26, 31 under bustd, the median 26; 40 under nohang, the median 40, 1 failed."
    ]
    text = page(made_of(*first, *again), SCENARIOS)
    assert text.count("| bustd | pass |") == 1
    assert "| nohang | 1 | 1 | 0 |" in text


def test_who_never_got_to_the_end_when_it_was_run_again_has_only_failed():
    again = LINE | FAILED | {"again": True, "report": {"hung": "boot"}}
    (said,) = said_of_stalls(LINE | stalls(90), NOHANG, again)
    assert said.endswith("Again: none under bustd, 1 failed.")


def test_scenarios_that_are_no_more_are_left_out():
    assert made_of(LINE | {"name": "three"}, LINE | {"name": "three", "again": True}) == Results({}, {})


def test_what_was_set_aside_is_in_no_row():
    assert made_of(LINE | {"verdict": "stood still"}) == Results({}, {})


def test_a_part_of_a_run_lacks_something_and_the_whole_of_it_nothing():
    whole = [LINE | {"daemon": daemon, "name": name} for daemon in DAEMONS for name in SCENARIOS]
    assert lacking(made_of(*whole), SCENARIOS) == []
    assert lacking(made_of(*whole[1:], LINE | {"again": True}), SCENARIOS) == ["one under bustd"]
    uncompared = {"one": SCENARIO._replace(compared=False), "two": SCENARIO}
    assert lacking(sorted_out(whole[1:], uncompared), uncompared) == []
