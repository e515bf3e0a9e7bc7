"""`bustd notify` as a process, with a real bus, a server of the test's own, and events on a real socket."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from bustd_monitor.reporting import events
from bustd_monitor.sensing.preferences import NO_USER, asking_user
from tests.support.cgroups import groups_at, put, writable_hierarchy
from tests.support.notifications import (
    PATIENCE_S,
    EventSource,
    FakeServer,
    agent,
    candidate,
    export,
    private_bus,
    start_ticks,
    warning,
)

NEVER_BACK = 64 * 2**40
"""More than any machine has: with so much available at the warning, memory is not back before an event says so."""
UNIT = "user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"


@pytest.fixture
def bus():
    with private_bus() as address:
        yield address


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "bustd"
    folder.mkdir(mode=0o755)
    with EventSource(folder / "events") as listening:
        yield listening


@pytest.fixture
def victim():
    """A process that the test may lose."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        if process.poll() is None:
            process.kill()


@contextmanager
def session(bus, source, tmp_path, **server):
    """An agent that listens, and its server."""
    with FakeServer(bus, **server) as shows, agent(bus, source.path, tmp_path) as running:
        source.accept()
        yield shows, running


def will_be_short(*candidates: bytes) -> bytes:
    return warning(*candidates, available=NEVER_BACK)


def ended(pid: int, name: bytes, uid: int, kind=events.ENDED) -> bytes:
    return export(
        kind,
        CONDITION="floor",
        VICTIM_PID=pid,
        VICTIM_COMM=name,
        VICTIM_UID=uid,
        AVAILABLE_BYTES=3 * 2**30,
        TOTAL_BYTES=16 * 2**30,
    )


# --- the user chooses


def test_a_button_ends_the_very_process_that_it_names(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(will_be_short(candidate(victim.pid, b"leak")))
        shown = server.next()
        assert (shown.summary, shown.urgency) == ("Memory is running out", 2)
        assert list(shown.buttons) == ["End leak"]
        server.press(shown.note_id, shown.buttons["End leak"])
        assert victim.wait(PATIENCE_S) == -signal.SIGTERM
        assert server.closed.get(timeout=PATIENCE_S) == shown.note_id
        answer = server.next()
        assert answer.body.startswith("leak was asked to end.")
        assert answer.replaces_id == 0


def test_a_process_that_has_gone_before_the_button_is_pressed_is_not_taken_for_another(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(will_be_short(candidate(victim.pid, b"leak")))
        shown = server.next()
        victim.kill()
        victim.wait()
        server.press(shown.note_id, shown.buttons["End leak"])
        assert server.next().body.startswith("leak was not asked to end: it is gone.")


def test_what_is_not_the_users_or_not_the_same_process_has_no_button(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        another_uid = candidate(victim.pid, b"root's", uid=os.getuid() + 1)
        reused = candidate(victim.pid, b"reused", ticks=start_ticks(victim.pid) - 1)
        compositor = candidate(victim.pid, b"gnome-shell")
        source.tell(will_be_short(another_uid, reused, compositor, candidate(victim.pid, b"leak")))
        assert list(server.next().buttons) == ["End leak"]
        assert victim.poll() is None


def test_a_key_that_was_not_offered_and_a_button_pressed_by_another_program_end_nothing(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(will_be_short(candidate(victim.pid, b"leak")))
        shown = server.next()
        server.press_as_another(shown.note_id, shown.buttons["End leak"])
        server.press(shown.note_id, f"end {os.getpid()} {start_ticks(os.getpid())}")
        assert server.closed.get(timeout=PATIENCE_S) == shown.note_id, "the second was read, and the first before it"
        assert victim.poll() is None


@contextmanager
def unit_with(process):
    root = writable_hierarchy()
    with groups_at(root, UNIT) as (group,):
        try:
            os.setxattr(group, "user.bustd_test", b"1")
        except OSError:
            pytest.skip("this kernel (before 5.7) has no user attributes on control groups")
        put(process.pid, group)
        yield lambda: asking_user(str(root), f"/{group.relative_to(root)}")


def spare(server, source, victim):
    """Press the button, and wait for the answer."""
    source.tell(will_be_short(candidate(victim.pid, b"leak")))
    shown = server.next()
    server.press(shown.note_id, shown.buttons["Not this one"])
    assert "rather end another program of yours than leak" in server.next().body


def test_not_this_one_marks_the_control_group_until_the_agent_ends(bus, source, tmp_path, victim):
    with unit_with(victim) as asking:
        with session(bus, source, tmp_path) as (server, _):
            spare(server, source, victim)
            assert asking() == os.getuid()
        assert asking() == NO_USER
        assert victim.poll() is None


def test_the_mark_of_an_agent_that_is_killed_is_taken_back_by_the_next(bus, source, tmp_path, victim):
    with unit_with(victim) as asking, FakeServer(bus) as server:
        with agent(bus, source.path, tmp_path) as running:
            source.accept()
            spare(server, source, victim)
            running.kill()
            running.wait()
        assert asking() == os.getuid()
        source.hang_up()
        with agent(bus, source.path, tmp_path):
            source.accept()
            assert asking() == NO_USER


# --- what is shown


def test_after_a_kill_it_says_what_died_why_and_what_came_back_and_the_warning_goes(bus, source, tmp_path):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(will_be_short())
        warned = server.next()
        source.tell(export(events.DECIDED, VICTIM_PID=4711, VICTIM_BYTES=2 * 2**30))
        source.tell(ended(4711, b"leak <i>\n", os.getuid()))
        died = server.next()
        assert server.closed.get(timeout=PATIENCE_S) == warned.note_id
        assert (died.summary, died.urgency, died.actions) == ("bustd ended leak <i>\\n", 1, [])
        assert died.body == (
            "leak &lt;i&gt;\\n was ended because memory was short (condition floor). It held 2048 MiB.\n"
            "Now 3072 MiB of 16.0 GiB are available."
        )
        source.tell(ended(4712, b"postgres", os.getuid() + 1))
        both = server.next()
        assert both.replaces_id == died.note_id
        assert "postgres, of another user, was ended because memory was short." in both.body


def test_a_warning_that_the_user_closes_does_not_come_back_and_bustd_chooses(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(will_be_short(candidate(victim.pid, b"leak")))
        server.dismiss(server.next().note_id)
        source.tell(will_be_short())
        source.tell(ended(4711, b"leak", os.getuid()))
        assert server.next().summary == "bustd ended leak", "and not the warning again"


def test_a_server_without_actions_and_markup_gets_neither(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path, capabilities=("body",)) as (server, _):
        source.tell(will_be_short(candidate(victim.pid, b"<b>")))
        shown = server.next()
        assert shown.actions == []
        assert "Then bustd will end <b>, which holds" in shown.body


def test_after_the_monitor_has_started_again_nothing_is_told_twice(bus, source, tmp_path):
    with session(bus, source, tmp_path) as (server, _):
        first = ended(4711, b"one", os.getuid())
        source.tell(first)
        assert server.next().summary == "bustd ended one"
        source.hang_up()
        source.accept()
        source.tell(first)
        source.tell(ended(4712, b"two", os.getuid()))
        assert server.next().summary == "bustd ended one and 1 more"


def test_a_flood_of_events_shows_a_few_notifications(bus, source, tmp_path):
    with session(bus, source, tmp_path) as (server, _):
        for pid in range(2, 400):
            source.tell(will_be_short(candidate(pid, b"leak", ticks=1, uid=0)))
        source.tell(ended(4711, b"leak", os.getuid()))
        summaries = []
        while not summaries or summaries[-1] != "bustd ended leak":
            summaries.append(server.next().summary)
        assert len(summaries) <= 4


# --- what is missing, or hangs


def test_a_server_that_hangs_gets_one_call_and_when_it_wakes_up_the_last_word(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path, hangs=True) as (server, running):
        for number in range(300):
            source.tell(will_be_short(candidate(victim.pid, b"leak%d" % number)))
        source.tell(will_be_short(candidate(victim.pid, b"last")))
        source.tell(ended(4711, b"gone", os.getuid()))
        source.hang_up()
        source.accept()  # so all of it was read
        assert running.poll() is None
        server.wake_up()
        assert server.next().summary == "bustd ended gone"
        assert server.shown.empty()


def test_while_a_server_hangs_the_agent_can_be_stopped(bus, source, tmp_path):
    with session(bus, source, tmp_path, hangs=True) as (_, running):
        source.tell(will_be_short())
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 0


def test_without_a_server_it_says_so_once_and_shows_it_when_one_comes(bus, source, tmp_path):
    with agent(bus, source.path, tmp_path) as running:
        source.accept()
        source.tell(ended(4711, b"leak", os.getuid()))
        assert "no notification can be shown: org.freedesktop.DBus.Error" in running.stderr.readline()
        with FakeServer(bus) as server:
            assert server.next().summary == "bustd ended leak"


def test_without_a_monitor_it_waits_and_says_nothing(bus, tmp_path):
    with agent(bus, str(tmp_path / "bustd" / "events"), tmp_path) as running:
        with FakeServer(bus) as server:
            (tmp_path / "bustd").mkdir(mode=0o755)
            with EventSource(tmp_path / "bustd" / "events") as source:
                source.accept()
                source.tell(ended(4711, b"leak", os.getuid()))
                assert server.next().summary == "bustd ended leak"
        running.send_signal(signal.SIGTERM)
        assert (running.wait(PATIENCE_S), running.stderr.read(), running.stdout.read()) == (0, "", "")


def test_a_second_agent_of_the_session_ends_at_once(bus, source, tmp_path):
    with agent(bus, source.path, tmp_path):
        source.accept()
        with agent(bus, source.path, tmp_path) as second:
            assert second.wait(PATIENCE_S) == 0
            assert second.stdout.read() == "bustd notify: an agent runs already in this session\n"


def test_it_ends_with_the_session(source, tmp_path):
    with ExitStack() as outliving:
        with private_bus() as bus:
            running = outliving.enter_context(agent(bus, source.path, tmp_path))
            source.accept()
        assert running.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("address", ["", "unix:path=/nonexistent/bus", "nonsense", "tcp:host=localhost,port=1"])
def test_without_a_bus_it_says_so(source, tmp_path, address):
    with agent(address, source.path, tmp_path) as running:
        assert running.wait(PATIENCE_S) == os.EX_UNAVAILABLE
        said = running.stderr.read()
        assert said.startswith("bustd notify: ") and "session bus" in said
        assert len(said.splitlines()) == 1


def test_without_jeepney_it_says_how_to_get_it(tmp_path):
    program = "import sys; sys.modules['jeepney'] = None; from bustd_monitor.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, "notify"], capture_output=True, text=True, check=False)
    assert done.returncode == os.EX_UNAVAILABLE
    assert "python3-jeepney" in done.stderr
    assert len(done.stderr.splitlines()) == 1
