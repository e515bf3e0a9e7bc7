"""A real pair whose events are read: what a reader is told of a kill, and `bustd watch` as monitors come and go."""

import json
import os
import select
import signal
import stat
import subprocess
import time

import pytest

from bustd_monitor.reporting.events import ANSWERED, DECIDED, ENDED, READ_AGAIN, READY, STARTED, VERBOSE
from tests.support import install, victims
from tests.support.pair import NEVER
from tests.support.reading import events_until, monitor_of, pair_with_readers, reader

HOSTILE = b"a) R 1\n\xff\x1b"
SECRET = "--password=hunter2"


def test_a_reader_is_told_of_the_start_the_kill_and_what_came_of_it(crew, place):
    with crew.victim(name=HOSTILE) as leak, pair_with_readers(crew, place) as (_, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with reader(path) as link, reader(path) as other:
            told = events_until(link, "the victim is gone")
            events_until(other, "the victim is gone")
        assert victims.exits_within(leak, 15)
    by_kind = {one.kind: one for one in told}
    assert {STARTED, READY, DECIDED, ANSWERED, ENDED} <= set(by_kind)
    assert told[0].kind is STARTED, "what holds comes first"
    decision = by_kind[DECIDED]
    assert (decision.own("CONDITION"), decision.own_number("VICTIM_PID")) == ("floor", leak.pid)
    assert decision.fields["BUSTD_VICTIM_COMM"] == [HOSTILE]
    assert abs(decision.time_us / 1e6 - time.time()) < 60
    stamps = [one.number("__MONOTONIC_TIMESTAMP") for one in told]
    assert stamps == sorted(stamps)


def test_a_late_reader_is_told_what_has_happened_and_that_it_is_protected(crew, place):
    with crew.victim() as leak, pair_with_readers(crew, place) as (bustd, path):
        assert victims.exits_within(leak, 15)
        bustd.await_line("the victim is gone")
        with reader(path) as link:
            told = events_until(link, "the victim is gone")
    assert {STARTED, READY, DECIDED, ENDED} <= {one.kind for one in told}


def test_no_reader_is_told_a_command_line(crew, place):
    program = f"x = b'x' * (50 << 20); print('ready', flush=True); import time; time.sleep(60)  # {SECRET}"
    with crew.program(program), pair_with_readers(crew, place) as (bustd, path):
        with reader(path) as link:
            told = events_until(link, "the victim is gone")
        assert SECRET in bustd.log(), "root's log has it"
    assert not [one for one in told if SECRET in repr(one.fields)]


def test_with_verbose_readings_go_to_readers_and_a_new_configuration_is_told(crew, place):
    with pair_with_readers(crew, place, "-V", monitor=NEVER) as (bustd, path):
        bustd.await_ready()
        with reader(path) as link:
            told = events_until(link, "adaptive-sleep")
            assert told[-1].kind is VERBOSE
            if crew.is_root:
                os.kill(monitor_of(bustd), signal.SIGHUP)
                assert events_until(link, "read again")[-1].kind is READ_AGAIN


def test_a_place_where_no_socket_can_be_made_does_not_keep_the_pair_from_starting(crew, place):
    (place / "run").write_text("a file\n")
    with crew.victim() as leak, pair_with_readers(crew, place) as (bustd, path):
        assert victims.exits_within(leak, 15)
        assert f"no socket for readers of events: {path}: " in bustd.log()


# --- bustd watch


def _heed_sigint() -> None:
    """A shell starts what is in the background with SIGINT ignored, and these tests may be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def watch(place):
    """`bustd watch` on the socket of the place."""
    started = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        code = (
            "import sys; from bustd_monitor.cli import main, watch, events_socket\n"
            f"watch.watch.__defaults__ = ({str(place / 'run' / 'events')!r},)\n"
            f"sys.argv[1:] = ['watch', *{words!r}]\n"
            "sys.exit(main.main())"
        )
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
        command = [install.python(), "-I", "-c", code]
        started.append(subprocess.Popen(command, env={"PATH": os.defpath}, preexec_fn=_heed_sigint, **pipes))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def line_of(stream, patience_s: float = 20) -> bytes:
    assert select.select([stream], [], [], patience_s)[0], "it says nothing"
    return stream.readline()


def kinds_until(watching, last: str) -> list[str]:
    """The kinds of the events that it shows, up to this one."""
    kinds: list[str] = []
    while last not in kinds:
        kinds.append(json.loads(line_of(watching.stdout))["kind"])
    return kinds


def test_watch_shows_events_of_one_monitor_after_the_other_and_ends_quietly(crew, place, watch):
    with pair_with_readers(crew, place, monitor=NEVER) as (bustd, _):
        bustd.await_ready()
        watching = watch("--json")
        assert kinds_until(watching, "ready")[0] == "started"
    assert b"the monitor has hung up" in line_of(watching.stderr)
    with pair_with_readers(crew, place, monitor=NEVER):
        assert "ready" not in kinds_until(watching, "started"), "what happened before is not shown twice"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130
        assert b"Traceback" not in watching.stderr.read()


def test_watch_ends_quietly_when_what_it_is_piped_into_does(crew, place, watch):
    with pair_with_readers(crew, place, monitor=NEVER) as (bustd, _):
        bustd.await_ready()
        watching = watch()
        assert b" notice   bustd " in line_of(watching.stdout)
        watching.stdout.close()
        assert watching.wait(20) == 0
        assert watching.stderr.read() == b""
