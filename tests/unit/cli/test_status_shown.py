"""The level, the first line and the rest of `bustd status`."""

from __future__ import annotations

import json
import re

import pytest

from bustd_monitor.cli.daemons_running import Daemon, Running
from bustd_monitor.cli.json_text import document
from bustd_monitor.cli.kills import ToldKill
from bustd_monitor.cli.memory_now import MemoryNow
from bustd_monitor.cli.protection import ProtectionNow
from bustd_monitor.cli.status_shown import SHOWN_KILLS, MachineStatus, Severity, first_line, level, lines, values
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from tests.support.told import BEGAN_US
from tests.unit.monitor.making import DEFAULTS, GIB, reading

WELL = ProtectionNow("watching; the killer 812 answers", True, BEGAN_US)
LOST = ProtectionNow("NOT PROTECTED: lost the killer", False, BEGAN_US, advice="look at the log")
DRY = ProtectionNow("dry run: no process is killed", False, BEGAN_US, dry_run=True)
UNTOLD = ProtectionNow("the monitor 600 runs and can't be asked", None)
HOSTILE = "a|b\n\x1b[31m\u202egpj.exe"
KILL = ToldKill(BEGAN_US, "floor", "KILL", "gone", 71, "leak", 1000, "leak.service", 5 * GIB, 26)


def memory(available: float = 8 * GIB) -> MemoryNow:
    seen = Seen(reading(available))
    return MemoryNow(seen, DEFAULTS.conditions, findings(seen, DEFAULTS.conditions))


def status(protection: ProtectionNow = WELL, **changed: object) -> MachineStatus:
    return MachineStatus(protection, memory(), (), Running((600,)))._replace(**changed)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (status(), Severity.OK),
        (status(LOST), Severity.CRITICAL),
        (status(LOST, memory=memory(GIB / 8)), Severity.CRITICAL),
        (status(UNTOLD), Severity.UNKNOWN),
        (status(DRY), Severity.WARNING),
        (status(memory=memory(GIB / 8)), Severity.WARNING),
        (status(memory=MemoryNow(trouble="the configuration has 1 problem")), Severity.WARNING),
        (status(running=Running((600,), (Daemon("earlyoom", 9),))), Severity.WARNING),
        (status(running=Running((600, 601))), Severity.WARNING),
        (status(memory=memory(4 * GIB)), Severity.OK),
    ],
)
def test_the_exit_code_is_that_of_a_monitoring_plugin(found, expected):
    assert level(found) is expected
    assert first_line(found).startswith(f"BUSTD {expected.name}: {found.protection.line}")
    assert values(found)["exit_code"] == int(expected)


def test_the_levels_are_those_of_plugins():
    assert [(one.name, one.value) for one in Severity] == [("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)]


def test_the_first_line_has_everything():
    found = first_line(status(running=Running((600,), (Daemon("earlyoom", 9),))))
    assert re.fullmatch(
        r"BUSTD WARNING: watching; the killer 812 answers, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; earlyoom \(9\) runs "
        r"beside it, and neither knows of the other's kills; 50\.0 % of memory available; `floor` is 7168 MiB away",
        found,
    )


def test_emergency_being_scarce_is_no_reason_to_look():
    found = status(memory=memory(0.3 * 16 * GIB))
    assert any(one.name == "emergency" and one.is_scarce and not one.fires for one in found.memory.found)
    assert level(found) is Severity.OK


def test_below_it_are_what_to_do_the_conditions_and_the_last_kills():
    many = tuple(KILL._replace(pid=pid) for pid in range(100, 100 + SHOWN_KILLS + 2))
    shown = lines(status(LOST, kills=many))
    assert shown[1] == "What to do: look at the log"
    text = "\n".join(shown)
    for name in DEFAULTS.conditions._fields:
        assert re.search(rf"^  {name} +(quiet|scarce|FIRES)", text, re.MULTILINE)
    assert "leak (106), unit leak.service, holding 5120 MiB: SIGKILL for floor; gone after 26 ms" in text
    assert "(102)" in text and "(101)" not in text


def test_that_nothing_was_killed_is_said_only_where_that_is_known():
    assert "The last kills: none since the monitor has started" in lines(status())
    assert not any("kills" in line for line in lines(status(UNTOLD))[1:])


@pytest.mark.parametrize("where", ["comm", "unit", "line"])
def test_no_name_disturbs_a_terminal_or_forges_a_line(where):
    if where == "line":
        found = status(ProtectionNow(f"NOT PROTECTED: {HOSTILE}", False))
    else:
        found = status(kills=(KILL._replace(**{where: HOSTILE}),))
    shown = lines(found)
    assert all(line.isprintable() for line in shown)
    assert "|" not in shown[0], "what follows it would be a plugin's numbers"
    written = document(values(found))
    assert written.isascii() and json.loads(written)
    assert "\\u202e" in written


def test_json_has_the_same(tmp_path):
    found = json.loads(document(values(status(kills=(KILL,), running=Running((600,), (Daemon("nohang", 9),))))))
    assert (found["level"], found["protected"], found["why"]) == ("WARNING", True, "watching; the killer 812 answers")
    assert found["since"] == "2023-11-14T22:13:20.000+00:00"
    assert found["beside"] == [{"name": "nohang", "pid": 9}]
    assert {one["name"]: one["state"] for one in found["conditions"]} == dict.fromkeys(
        DEFAULTS.conditions._fields, "quiet"
    )
    (kill,) = found["kills"]
    assert (kill["pid"], kill["outcome"], kill["held_bytes"]) == (71, "gone", 5 * GIB)
    unseen = json.loads(document(values(status(UNTOLD, memory=MemoryNow(trouble="x")))))
    assert (unseen["protected"], unseen["since"], unseen["available_bytes"]) == (None, None, None)
