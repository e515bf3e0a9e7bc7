"""What `bustd explain` shows of a look, for people and for programs: on looks that the tests make."""

import json
import re

import pytest

from bustd_monitor.cli import explain_json, explain_text, look
from bustd_monitor.cli.look import Look
from bustd_monitor.cli.screen import Screen, width
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from bustd_monitor.ranking.order import Ranking
from bustd_monitor.ranking.rule_matches import RuleMatch, SingleRule
from bustd_monitor.ranking.settings import NOTHING
from bustd_monitor.ranking.what_may_die import Cause, Move, Shield, Spared
from bustd_monitor.reporting.one_process import Standing
from bustd_monitor.sensing.fill_rate import FillRate
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, conditions, process, reading

LONG = "x" * 300
UNIT = f"app-{LONG}.scope"


def looked(*, seen: Seen | None = None, settings=None, **changed: object) -> Look:
    """At a machine with much memory, unless something else is said."""
    seen = Seen(reading()) if seen is None else seen
    settings = conditions() if settings is None else settings
    found = findings(seen, settings)
    ordinary = Look(
        "watching the whole machine", False, settings, seen, found, "", (), 1000, 3 * GIB, "measured", (), (), ()
    )
    return ordinary._replace(**changed)


def shown(seen: Look, columns: int = 0, **how: bool) -> list[str]:
    return "\n".join(explain_text.lines(seen, Screen(columns, **how))).splitlines()


def crowded() -> Look:
    """Everything is as long as it can be."""
    runs = Move(Cause.RUNS_AWAY, 2 * GIB)
    preferred = Move(Cause.PREFERRED, GIB, f"command {LONG}")
    first = candidate(4194301, comm=b"\xff" * 15, unit=UNIT, gained_bytes=700 * MIB)._replace(moves=(runs, preferred))
    wide = candidate(4194303, comm="字字字字字".encode(), unit="字" * 90)
    spared = Spared(process(7, comm=b"kept", unit=UNIT), Shield.NEVER, f"name {LONG}")
    match = RuleMatch(SingleRule("victims.never.commands", LONG, NOTHING), 1, GIB, process(7, comm=b"kept"))
    return looked(candidates=(first, wide), left_out=(spared,), matches=(match,), warnings=(f"a warning {LONG}",))


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_nothing_is_wider_than_the_terminal_whatever_the_names_are(columns):
    lines = shown(crowded(), columns)
    assert max(width(line) for line in lines) <= columns
    assert any("…" in line for line in lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("columns", [80, 200])
def test_a_row_is_never_broken_and_the_next_line_is_that_of_its_reason(columns):
    lines = shown(crowded(), columns)
    (place,) = [number for number, line in enumerate(lines) if re.match(r" +1\. +4194301  ", line)]
    assert lines[place].endswith("…" if columns == 80 else "x…")
    assert lines[place + 1].startswith("      holds 1024 MiB, gained 700 MiB recently, runaway bonus +2048 MiB")
    assert re.match(r" +2\.  4194303  字字字字字", next(line for line in lines if " 2. " in line))


def test_in_a_pipe_everything_is_shown_whole():
    lines = shown(crowded())
    assert [line for line in lines if line.endswith(UNIT)]
    assert sum(LONG in line for line in lines) >= 4
    assert not any("…" in line for line in lines)


def test_colours_are_only_added():
    painted = "\n".join(explain_text.lines(crowded(), Screen(80, has_colours=True)))
    assert "\x1b[32mquiet\x1b[0m" in painted
    assert "\x1b[1mConditions:\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted).splitlines() == shown(crowded(), 80)


def test_a_condition_that_needs_psi_says_beside_its_line_that_there_is_none():
    blind = Seen(reading(pressure=None))
    lines = shown(looked(seen=blind, pressure_trouble="/proc/pressure/memory is missing"))
    unable = [line.split()[0] for line in lines if "can't fire: no PSI (/proc/pressure/memory is missing)" in line]
    assert unable == ["stall", "pressure", "emergency"]
    assert any(line.startswith("  floor     quiet: ") for line in lines)


def test_without_swap_and_without_refaults_emergency_says_that_it_cant_fire():
    scarce = reading(4 * GIB, free=GIB)
    why = "  emergency can't fire: there is no swap, and refaults can't be read"
    assert why in shown(looked(seen=Seen(scarce)))
    assert why not in shown(looked(seen=Seen(reading(4 * GIB, free=GIB, swap=(GIB, 0)))))
    assert why not in shown(looked()), "while memory is plentiful nothing is known of refaults"


def test_what_a_rule_leaves_out_comes_before_what_is_too_small_and_the_largest_first():
    small = Spared(process(1, held_bytes=20 * MIB), Shield.TOO_SMALL)
    rules = [
        Spared(process(pid, held_bytes=pid * MIB), shield)
        for pid, shield in ((2, Shield.NEVER), (5, Shield.KILLER_TOML), (3, Shield.OMIT))
    ]
    tiny = Spared(process(9, held_bytes=1000), Shield.NEVER)
    ordered = look.left_out_in_order(Ranking((), (small, *rules, tiny)))
    assert [left.process.pid for left in ordered] == [5, 3, 2, 1]


def test_a_dry_run_is_said():
    assert "Dry run: everything is decided and logged, nothing is ever killed" in shown(looked(dry_run=True))


def test_of_one_process_its_own_standing_is_shown_and_no_ranking():
    one = Standing(process(7), [], 16 * MIB, False, False, candidate=candidate(7), place=1, of=1)
    lines = shown(looked(pid=7, standing=one))
    assert any(line.startswith("It could not die now, because no condition fires.") for line in lines)
    (named,) = [line for line in lines if line.startswith("7 (")]
    assert " old" not in named, "the line below it says that, with what psutil knows"
    assert not any("most likely victims" in line for line in lines)
    assert not any("most likely victims" in line for line in shown(looked(pid=8)))


# --- for programs


def values(seen: Look) -> dict:
    return json.loads(explain_json.text(seen))


def test_json_has_every_part_and_names_that_are_no_utf_8_are_escaped():
    text = explain_json.text(crowded())
    assert text.isascii()
    found = json.loads(text)
    first, wide = found["candidates"]
    assert first["comm"] == r"\xff" * 15
    assert (wide["pid"], wide["comm"], wide["unit"]) == (4194303, "字字字字字", "字" * 90)
    assert first["moves"][0] == {"cause": "runs_away", "bytes": 2 * GIB, "rule": ""}
    assert found["left_out"][0]["by"] == "never"
    assert found["rules"][0] == {
        "key": "victims.never.commands",
        "rule": LONG,
        "matched": 1,
        "held_bytes": GIB,
        "largest_pid": 7,
        "unjudged": 0,
    }


def test_a_name_of_the_file_system_that_is_no_utf_8_is_escaped_too():
    one = candidate(unit="a\udcff.service")
    assert values(looked(candidates=(one,)))["candidates"][0]["unit"] == r"a\xff.service"


def test_json_names_the_state_of_each_condition_and_why_one_cant_fire():
    settings = conditions(floor={"enabled": False})
    found = {
        one["name"]: one for one in values(looked(seen=Seen(reading(pressure=None)), settings=settings))["conditions"]
    }
    assert found["floor"] == {"name": "floor", "state": "off"}
    assert (found["stall"]["state"], found["stall"]["unable"]) == ("unable", "no PSI")
    assert found["forecast"]["state"] == "quiet"
    short = {one["name"]: one["state"] for one in values(looked(seen=Seen(reading(MIB))))["conditions"]}
    assert (short["floor"], short["pressure"]) == ("fires", "scarce")


def test_json_of_one_process_says_whether_it_could_die():
    one = Standing(process(7), [], 16 * MIB, True, True, candidate=candidate(7), place=1, of=1)
    assert values(looked(pid=7, standing=one))["process"]["could_die"] is True
    for changed in ({"is_short": False}, {"is_worth_it": False}, {"candidate": None}):
        found = values(looked(pid=7, standing=one._replace(**changed)))
        assert (found["process"]["could_die"], "candidates" in found) == (False, False)


@pytest.mark.parametrize(
    ("seen", "configured_mib", "expected"),
    [
        (reading(), 0, (3 * GIB, "measured")),
        (reading(), 11, (11 * MIB, "set by sleep.fill_mib_per_second")),
        (reading(GIB), 0, (6 * GIB, "not measured while memory is short")),
        (reading(pressure=None), 0, (3 * GIB, "measured")),
        (reading(GIB, pressure=None), 0, (24 * GIB, "not measured while memory is short")),
    ],
)
def test_the_rate_that_sleeps_are_reckoned_with_is_measured_unless_memory_is_short(
    monkeypatch, seen, configured_mib, expected
):
    monkeypatch.setattr(look, "FillRate", lambda: FillRate(lambda: 3 * GIB))
    found = findings(Seen(seen), conditions())
    assert look._fill_rate(found, seen, DEFAULTS.sleep._replace(fill_mib_per_second=configured_mib)) == expected


def test_the_rate_is_shown_for_people_and_for_programs():
    assert "  programs fill memory by 3072 MiB a second at most (measured)" in shown(looked())
    assert json.loads(explain_json.text(looked()))["fill_bytes_per_second"] == 3 * GIB
