"""`bustd` without -n: it goes into the background, with a PID file that is true, and a log."""

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import install, pair, victims
from tests.support.pair import ALWAYS, NEVER, PERMISSIVE

MOUNTS = 'mount --bind "$0/run" /run && mount --bind "$0/log" /var/log'


@contextmanager
def background(crew, place, *, monitor=ALWAYS, apart=()) -> Iterator[tuple[subprocess.CompletedProcess[str], int]]:
    """`bustd` as a user types it, and the PID of the daemon. At the end that daemon and its monitor are ended."""
    result = start(crew, place, monitor=monitor, apart=apart)
    match = re.search(r"bustd runs in the background as process (\d+); its log is (\S+)\n$", result.stdout)
    assert match is not None, result
    pid = int(match[1])
    pidfd = os.pidfd_open(pid)
    session = os.getsid(pid)
    try:
        yield result, pid
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        assert select.select([pidfd], [], [], 10)[0], "it does not stop"
    finally:
        os.close(pidfd)
        left = pair.end_session(session)
    assert left == []


def start(crew, place, *, monitor=ALWAYS, runtime: str | None = None, apart=()) -> subprocess.CompletedProcess[str]:
    words = [*pair.files(place, monitor, PERMISSIVE), *pair.scope()]
    if crew.is_root:
        words += ["--user", "nobody"]
    environment = {"PATH": os.defpath, "XDG_RUNTIME_DIR": str(place) if runtime is None else runtime}
    command = [*apart, *install.bustd(*words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, cwd="/", **crew.identity
    )


@pytest.fixture(params=["nobody" if os.geteuid() == 0 else "own"])
def crew(request):
    """An ordinary user, unless the test says otherwise: root's PID file and log have fixed places on the machine."""
    return pair.CREWS[request.param]


def test_it_runs_in_the_background_kills_and_leaves_a_pid_file_and_a_log(crew, place):
    with crew.victim() as leak, background(crew, place) as (result, pid):
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(f"bustd on Linux {os.uname().release}\n")
        assert (place / "bustd.pid").read_text() == f"{pid}\n"
        assert victims.exits_within(leak, 15)
        pair.await_line(place / "bustd.log", pid, rf"bustd-monitor: floor fires: .*SIGTERM for {leak.pid}")
        assert os.getsid(pid) != os.getsid(0)
        (monitor,) = set(pair.session_members(os.getsid(pid))) - {pid}
        assert Path(f"/proc/{monitor}/cwd").readlink() == Path("/")
        assert (place / "bustd.log").stat().st_mode & 0o077 == 0o040


def test_a_second_start_is_refused_with_the_pid_of_the_first(crew, place):
    with background(crew, place, monitor=NEVER) as (_, pid):
        second = start(crew, place, monitor=NEVER)
        assert second.returncode == 73
        assert second.stderr == f"bustd: bustd is running already, as process {pid} ({place}/bustd.pid)\n"
        assert (place / "bustd.pid").read_text() == f"{pid}\n"


def test_a_stale_pid_file_is_no_obstacle_even_when_that_pid_runs(crew, place):
    stale = place / "bustd.pid"
    stale.write_text(f"{os.getpid()} and more than a new one will write\n")
    os.chown(stale, crew.monitor_uid, -1)
    with background(crew, place, monitor=NEVER) as (_, pid):
        assert stale.read_text() == f"{pid}\n"


def test_the_monitor_does_not_have_the_pid_file_open(crew, place):
    """The lock belongs to the killer. A monitor could unlock it, or write another PID for root to kill."""
    with background(crew, place, monitor=NEVER) as (_, pid):
        (monitor,) = set(pair.session_members(os.getsid(pid))) - {pid}
        opened = [str(entry.readlink()) for entry in Path(f"/proc/{monitor}/fd").iterdir()]
        assert f"{place}/bustd.pid" not in opened


def test_a_killed_daemon_whose_monitor_hangs_is_no_obstacle(crew, place):
    with background(crew, place, monitor=NEVER) as (_, pid):
        (monitor,) = set(pair.session_members(os.getsid(pid))) - {pid}
        os.kill(monitor, signal.SIGSTOP)
        pidfd = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            assert select.select([pidfd], [], [], 5)[0]
            with background(crew, place, monitor=NEVER) as (_, second):
                assert (place / "bustd.pid").read_text() == f"{second}\n"
                os.kill(monitor, signal.SIGKILL)  # or it would count as left over by this one
        finally:
            os.close(pidfd)


@pytest.mark.parametrize(
    ("runtime", "sentence"),
    [
        ("", "XDG_RUNTIME_DIR is not set: use --no-daemon, or log in through the login manager"),
        ("/nonexistent", "/nonexistent/bustd.pid: No such file or directory"),
        ("/proc", "/proc/bustd.pid: "),
    ],
)
def test_without_a_place_for_them_it_says_so_and_does_not_start(crew, place, runtime, sentence):
    result = start(crew, place, runtime=runtime)
    assert result.returncode == 73
    assert result.stderr.startswith(f"bustd: {sentence}")
    assert result.stderr.count("\n") == 1


def test_a_link_in_the_place_of_the_pid_file_is_not_followed(crew, place):
    (place / "elsewhere").write_text("")
    (place / "bustd.pid").symlink_to(place / "elsewhere")
    result = start(crew, place, monitor=NEVER)
    assert result.returncode == 73
    assert (place / "elsewhere").read_text() == ""


def test_a_daemon_that_does_not_come_up_is_said_where_it_was_started(crew, place):
    with pair.planted({"bustd_killer/serving.py": "\nraise OSError('planted')\n"}) as python:
        words = install.bustd(*pair.files(place, NEVER, PERMISSIVE), *pair.scope())[1:]
        environment = {"PATH": os.defpath, "XDG_RUNTIME_DIR": str(place)}
        result = subprocess.run(
            [python, *words], capture_output=True, text=True, timeout=30, env=environment, **crew.identity
        )
    assert result.returncode == 70
    assert f"did not start; the reason is at the end of {place}/bustd.log" in result.stderr
    assert "planted" in (place / "bustd.log").read_text()


@pytest.mark.root
@pytest.mark.parametrize("crew", ["root"], indirect=True)
def test_as_root_the_pid_file_is_in_run_and_the_log_in_var_log(crew, place):
    """In a mount namespace with a /run and a /var/log of its own, because those of the machine may be in use."""
    for directory in ("run", "log"):
        (place / directory).mkdir()
    apart = ["unshare", "--mount", "sh", "-c", f'{MOUNTS} && exec "$@"', str(place)]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be had here")
    pid_file, log = place / "run" / "bustd.pid", place / "log" / "bustd.log"
    with crew.victim() as leak, background(crew, place, apart=apart) as (result, pid):
        assert result.stdout.endswith(f"as process {pid}; its log is /var/log/bustd.log\n")
        assert pid_file.read_text() == f"{pid}\n"
        assert victims.exits_within(leak, 15)
        pair.await_line(log, pid, rf"bustd-monitor: floor fires: .*SIGTERM for {leak.pid}")
        assert log.stat().st_mode & 0o777 == 0o640
        assert os.getpriority(os.PRIO_PROCESS, pid) == -20
        autogroup = Path(f"/proc/{pid}/autogroup")
        if autogroup.exists():
            assert autogroup.read_text().endswith(" nice -20\n"), "it computes no sooner than other sessions"
        second = start(crew, place, apart=apart)
        assert second.stderr == f"bustd: bustd is running already, as process {pid} (/run/bustd.pid)\n"
