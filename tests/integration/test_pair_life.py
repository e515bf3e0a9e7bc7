"""The pair as one: it starts whole or not at all, and when one half ends, the other ends too."""

import os
import re
import signal
import time

import pytest

from bustd_monitor.conditions.table import CONDITIONS
from bustd_shared import __version__
from tests.support import pair, victims
from tests.support.pair import ALWAYS, NEVER, PERMISSIVE

ALL = {f"conditions.{one.name}.available_percent": 0.1 for one in CONDITIONS}
ALL |= {"conditions.floor.available_percent": 100, "conditions.floor.available_mib": 77}
"""bustd.toml: every condition is on, and none of them fires while the machine can run a test."""

BROKEN = [
    ("bustd.toml", "[conditions.flor]\n", "conditions.flor: unknown key; nearest known key: conditions.floor"),
    ("bustd.toml", "verbose = 1\n", "verbose: expected true or false, found 1"),
    ("bustd.toml", "verbose = \n", "not TOML: Invalid value (at line 1, column 11)"),
    ("killer.toml", "[protect]\nnames = ['longer-than-comm']\n", "protect.names[0]: expected a glob that a process"),
    ("killer.toml", "[limit]\nminimum_mib = 1\n", "limit: unknown key; nearest known key: limits"),
]


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@pytest.mark.parametrize(("file", "text", "problem"), BROKEN)
def test_with_a_broken_file_the_pair_does_not_start_and_says_why_in_one_line(crew, place, file, text, problem):
    options = pair.files(place, ALWAYS, PERMISSIVE)
    (place / file).write_text(text)
    with crew.victim() as leak:
        result = pair.run(crew, "-n", *options, *pair.scope())
        assert (result.returncode, result.stdout) == (78, "")
        assert len(lines_of(result.stderr)) == 1, result.stderr
        assert result.stderr.startswith(f"bustd: {place}/{file}: {problem}")
        assert victims.is_alive(leak)


@pytest.mark.parametrize(("file", "text", "problem"), BROKEN)
def test_nor_does_the_daemon_that_the_file_is_for(crew, place, file, text, problem):
    (place / file).write_text(text)
    program = "bustd_killer" if file == "killer.toml" else "bustd_monitor"
    command = [*pair.daemon(program), "--config", f"{place}/{file}"]
    identity = crew.identity if program == "bustd_killer" else crew.monitor_identity
    options = ["--socket", f"{place}/killer.sock"] if program == "bustd_killer" else []
    with pair.started([*command, *options], identity, place / "log") as daemon:
        assert daemon.ends() == 78
        assert len(lines_of(daemon.log())) == 1, daemon.log()
        assert f"{place}/{file}: {problem}" in daemon.log()


def test_the_first_line_of_each_daemon_has_its_version_and_the_thresholds_in_force(crew, place):
    rules = {"limits.available_percent": 33, "limits.minimum_mib": 17}
    with pair.pair(crew, place, "-p", "41", monitor=ALL, killer=rules) as bustd:
        bustd.await_ready()
        monitor = bustd.monitor_pid()
        lines = bustd.log().splitlines()
        of_killer, of_monitor = (next(line for line in lines if name in line) for name in ("-killer: ", "-monitor: "))
        assert f"bustd-killer: bustd {__version__} kills at 33 % of available memory or less; " in of_killer
        assert "a victim holds at least 17 MiB" in of_killer
        found = re.match(rf".* bustd-monitor: bustd {__version__} acts when one of these is true: (.*)$", of_monitor)
        assert [demand.partition(": ")[0] for demand in found[1].split(" | ")] == [one.name for one in CONDITIONS]
        assert "floor: available at most 77 MiB" in of_monitor
        assert "PSI some avg10 at least 41 and as much in the last 2 s, " in of_monitor
        pair.write_policy(place / "bustd.toml", NEVER | {"conditions.floor.available_mib": 2})
        os.kill(monitor, signal.SIGHUP)
        again = r"the configuration has been read again: bustd \S+ acts when one of these is true: "
        bustd.await_line(rf"{again}floor: available at most 2 MiB[^|]*$")


def test_every_problem_of_both_files_has_a_line(crew, place):
    options = pair.files(place, {"a": 1, "sleep.longest_ms": 0}, {"b": 1})
    result = pair.run(crew, "-n", *options, *pair.scope())
    assert result.returncode == 78
    assert len(lines_of(result.stderr)) == 3
    assert "Traceback" not in result.stderr


def test_a_file_that_another_user_could_write_is_refused_by_the_killer(crew, place):
    options = pair.files(place, ALWAYS, PERMISSIVE)
    (place / "killer.toml").chmod(0o666)
    result = pair.run(crew, "-n", *options, *pair.scope())
    assert result.returncode == 78
    assert f"{place}/killer.toml: expected nobody but the owner to have write permission" in result.stderr


def test_when_the_killer_is_killed_the_monitor_goes(crew, place):
    with pair.pair(crew, place, monitor=NEVER) as bustd:
        bustd.await_ready()
        os.kill(bustd.pid, signal.SIGKILL)
        assert bustd.ends() == -signal.SIGKILL
        assert "Traceback" not in bustd.log()


def test_when_the_monitor_is_killed_the_killer_ends_with_70(crew, place):
    with pair.pair(crew, place, monitor=NEVER) as bustd:
        bustd.await_ready()
        os.kill(bustd.monitor_pid(), signal.SIGKILL)
        assert bustd.ends() == 70
        assert "Traceback" not in bustd.log()


def test_it_ends_after_the_kill_in_flight_and_not_before(crew, place):
    rules = {**PERMISSIVE, "grace.term_ms": 1000}
    with crew.victim(ignore_term=True) as leak, pair.pair(crew, place, killer=rules) as bustd:
        bustd.await_line("the killer: signalled 1 in")
        os.kill(bustd.monitor_pid(), signal.SIGKILL)
        assert victims.exits_within(leak, 15), bustd.log()
        assert bustd.ends() == 70
        assert leak.wait() == -signal.SIGKILL


def test_a_monitor_that_hangs_does_not_outlive_a_stop(crew, place):
    with pair.pair(crew, place, monitor=NEVER) as bustd:
        bustd.await_ready()
        os.kill(bustd.monitor_pid(), signal.SIGSTOP)
        assert bustd.stop() == 0


@pytest.mark.parametrize("line", ["", "Landlock", "serving the monitor"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_at_any_moment_of_its_start_it_leaves_nothing(crew, place, line, number):
    with pair.pair(crew, place, monitor=NEVER) as bustd:
        if line:
            bustd.await_line(f"bustd-killer: .*{line}")
        os.kill(bustd.pid, number)
        assert bustd.ends() in (0, -number)


def test_on_sighup_the_monitor_reads_its_file_again_and_keeps_the_old_one_if_the_new_is_wrong(crew, place):
    with crew.victim() as leak, pair.pair(crew, place, monitor=NEVER) as bustd:
        bustd.await_ready()
        monitor = bustd.monitor_pid()
        (place / "bustd.toml").write_text("conditions.floor.available_mib = 'much'\n")
        os.kill(monitor, signal.SIGHUP)
        bustd.await_line(
            rf"{place}/bustd.toml: conditions.floor.available_mib: expected a whole number from 1 to \d+, "
            r'found "much": the old configuration stays in force'
        )
        assert victims.is_alive(leak)
        pair.write_policy(place / "bustd.toml", ALWAYS)
        os.kill(bustd.pid, signal.SIGHUP)  # the killer ignores it
        os.kill(monitor, signal.SIGHUP)
        bustd.await_line("the configuration has been read again")
        assert victims.exits_within(leak, 15), bustd.log()
        bustd.await_line("the victim is gone")
        pair.write_policy(place / "bustd.toml", {**ALWAYS, "dry_run": True})
        os.kill(monitor, signal.SIGHUP)
        with crew.victim(name=b"spared") as spared:
            bustd.await_line(r"floor fires: .*\(spared\)")
            bustd.await_line("dry run: nothing is sent")
            assert victims.is_alive(spared)


def test_what_the_command_line_says_survives_a_sighup(crew, place):
    with crew.victim() as leak, pair.pair(crew, place, "-u", "leak", monitor=NEVER) as bustd:
        bustd.await_ready()
        pair.write_policy(place / "bustd.toml", ALWAYS)
        os.kill(bustd.monitor_pid(), signal.SIGHUP)
        bustd.await_line("NOBODY TO KILL")
        assert victims.is_alive(leak)


BUG = '''
import os
_real_read = Sensor.read


def _read(self, *how):
    """A bug that is there as long as the file is."""
    if os.path.exists({path!r}):
        raise ZeroDivisionError("planted")
    return _real_read(self, *how)


Sensor.read = _read
'''


def test_a_monitor_with_a_bug_starts_again_on_the_same_connection(crew, place):
    policy = {**NEVER, "sleep.longest_ms": 50, "sleep.watch_longest_ms": 50}
    bug = BUG.format(path=f"{place}/bug")
    with (
        pair.planted({"bustd_monitor/sensing/sensor.py": bug}) as python,
        pair.pair(crew, place, monitor=policy, python=python) as bustd,
    ):
        bustd.await_ready()
        monitor = bustd.monitor_pid()
        pair.write_policy(place / "bustd.toml", ALWAYS)
        (place / "bug").touch()
        said = bustd.await_line(r"a bug, please report it: ZeroDivisionError: planted at .*/sensor\.py:\d+$")
        (place / "bug").unlink()
        bustd.await_line(f"serving the monitor {monitor}, uid", after=said.end())
        with crew.victim() as leak:
            assert victims.exits_within(leak, 15), bustd.log()
        assert "Traceback" not in bustd.log()


@pytest.mark.parametrize("crew", pair.VARIANTS[-1:], indirect=True)
def test_a_monitor_with_a_bug_that_stays_does_not_spin(crew, place):
    bug = BUG.format(path=f"{place}/bug")
    (place / "bug").touch()
    with (
        pair.planted({"bustd_monitor/sensing/sensor.py": bug}) as python,
        pair.pair(crew, place, python=python) as bustd,
    ):
        first = bustd.await_line("a bug, please report it")
        seen = time.monotonic()
        bustd.await_line("a bug, please report it", after=first.end())
        assert 0.8 < time.monotonic() - seen < 5
