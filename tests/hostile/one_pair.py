"""What test_one_pair.py runs as process 1 of a PID namespace: `python -m tests.hostile.one_pair SCENARIO PLACE`.

There a pair that serves the whole machine sees no process but the scenario's own, and /run is the scenario's too. The
machine has the users of bustd. A scenario that fails raises.
"""

import os
import pwd
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support import install, pair, pid_namespace, victims
from tests.support.pair import NEVER, PERMISSIVE, Running

LOCK = Path("/run/bustd/lock")
USERS = {"bustd": 61001, "bustd-killer": 61002}
NOBODY = {"user": victims.NOBODY.pw_uid, "group": victims.NOBODY.pw_gid, "extra_groups": []}
KILLER_ALONE = ["setpriv", "--reuid=bustd-killer", "--regid=bustd-killer", "--clear-groups", "--inh-caps=-all,+kill"]
KILLER_ALONE += ["--ambient-caps=-all,+kill", "--bounding-set=-all,+kill"]

SCENARIOS: dict[str, Callable[[Path], None]] = {}


def scenario(function: Callable[[Path], None]) -> Callable[[Path], None]:
    SCENARIOS[function.__name__] = function
    return function


def bustd(place: Path, *words: str) -> list[str]:
    return install.bustd(*words, *pair.files(place, NEVER, PERMISSIVE), "--user", "bustd")


def foreground(place: Path, *words: str, log: str = "pair.log") -> AbstractContextManager[Running]:
    """`bustd -n`, for the whole machine unless the words restrict it."""
    return pair.started(bustd(place, "-n", *words), {}, place / log)


def of_the_units(place: Path) -> AbstractContextManager[Running]:
    """A killer as its unit starts it: not as root, and without a right to make the file of the lock."""
    os.chown(place, USERS["bustd-killer"], -1)
    rules = pair.write_policy(place / "killer.toml", {"peer.user": "bustd", **PERMISSIVE})
    command = [*KILLER_ALONE, *pair.daemon("bustd_killer"), "--config", str(rules), "--socket", f"{place}/killer.sock"]
    return pair.started(command, {}, place / "killer.log")


def refused(place: Path, *words: str, first: int) -> str:
    """What a second start says, which ends with 73."""
    ran = subprocess.run(bustd(place, *words), capture_output=True, text=True, timeout=20, cwd="/")
    assert ran.returncode == os.EX_CANTCREAT, ran
    assert ran.stderr.startswith(f"bustd: a pair protects this machine already, with the killer {first}: "), ran
    assert ran.stderr.count("\n") == 1, ran
    return ran.stderr


def descriptors(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


# --- who is first, and who is second


@scenario
def a_second_beside_one_in_the_foreground(place: Path) -> None:
    """`bustd -n` and `make run`. The first goes on."""
    with foreground(place) as first:
        first.await_ready()
        for words in (["-n"], []):
            said = refused(place, *words, first=first.pid)
            how = rf": `bustd -n` has started it( in \S+)?, and `kill {first.pid}` ends it$"
            assert re.search(how, said, re.MULTILINE), said
        assert victims.exits_within(first.process, 0) is False
        assert LOCK.stat().st_mode & 0o7777 == 0o660
        assert (LOCK.stat().st_uid, LOCK.stat().st_gid) == (0, USERS["bustd-killer"])


@scenario
def a_second_beside_one_in_the_background(place: Path) -> None:
    ran = subprocess.run(bustd(place), capture_output=True, text=True, timeout=20, cwd="/")
    first = int(re.search(r"in the background as process (\d+)", ran.stdout)[1])
    assert "`bustd` has started it in the background" in refused(place, "-n", first=first)
    os.kill(first, signal.SIGTERM)
    os.waitpid(first, 0)  # this is process 1: orphans become its children
    with foreground(place) as second:
        second.await_ready()


@scenario
def bustd_beside_the_units(place: Path) -> None:
    subprocess.run([*KILLER_ALONE, "sh", "-c", f"! test -e {LOCK}"], check=True)
    LOCK.parent.mkdir()
    os.mkfifo(LOCK)  # as tmpfiles.d says
    os.chown(LOCK, 0, USERS["bustd-killer"])
    LOCK.chmod(0o660)
    with of_the_units(place) as first:
        first.await_line("Landlock")
        refused(place, "-n", first=first.pid)
        refused(place, first=first.pid)


@scenario
def the_units_beside_bustd(place: Path) -> None:
    with foreground(place) as first:
        first.await_ready()
        with of_the_units(place) as second:
            assert second.ends() == os.EX_CANTCREAT
            assert f"NOT STARTED: a pair protects this machine already, with the killer {first.pid}: " in second.log()
            assert second.log().count("\n") == 2, second.log()  # the limits in force, and this
    with of_the_units(place) as alone:
        alone.await_line("Landlock")


@scenario
def without_the_file_the_units_protect_all_the_same(place: Path) -> None:
    with of_the_units(place) as alone:
        alone.await_line("warning: whether another pair protects this machine is not known: .*/run/bustd/lock")
        alone.await_line("Landlock")


@scenario
def the_next_after_a_killer_that_was_killed(place: Path) -> None:
    """The kernel gives the lock back with the process: the next start, which may be in the same moment, has it."""
    with foreground(place) as first:
        first.await_ready()
        os.kill(first.pid, signal.SIGKILL)
        assert first.process.wait(5) == -signal.SIGKILL
        with foreground(place, log="second.log") as second:
            second.await_ready()
        first.ends()


@scenario
def who_need_not_be_the_only_one(place: Path) -> None:
    """Pairs that are restricted or dry, and those of an ordinary user, beside one that is none of it."""
    os.chown(place, victims.NOBODY.pw_uid, -1)
    with foreground(place) as first:
        first.await_ready()
        mine = str(os.getpid())
        with (
            foreground(place, "--only-descendants-of", mine, log="restricted.log") as restricted,
            foreground(place, "--dry-run", log="dry.log") as dry,
            pair.started(bustd(place, "-n"), NOBODY, place / "nobodys.log") as nobodys,
        ):
            for one in (restricted, dry, nobodys):
                one.await_ready()
    with foreground(place, "--dry-run", log="dry.log") as dry, foreground(place, log="second.log") as second:
        dry.await_ready()
        second.await_ready()


@scenario
def a_dry_run_that_a_reload_can_end_takes_it(place: Path) -> None:
    """`dry_run` of bustd.toml, unlike --dry-run: after a SIGHUP this pair may kill, so it must be the only one."""
    command = install.bustd("-n", *pair.files(place, {"dry_run": True, **NEVER}, PERMISSIVE), "--user", "bustd")
    with pair.started(command, {}, place / "pair.log") as first:
        first.await_ready()
        refused(place, "-n", first=first.pid)


# --- attacks


@scenario
def an_ordinary_user_can_not_hold_it(place: Path) -> None:
    """An open descriptor would be enough: a shared lock keeps out an exclusive one."""
    with foreground(place) as first:
        first.await_ready()
    attempt = f"""
import fcntl, os
for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
    try: os.open({str(LOCK)!r}, flags | os.O_NONBLOCK)
    except PermissionError: pass
    else: print("opened", flags)
path = os.open({str(LOCK)!r}, os.O_PATH)
for way in (lambda: os.open(f"/proc/self/fd/{{path}}", os.O_RDONLY | os.O_NONBLOCK), lambda: fcntl.lockf(path, 6),
            lambda: fcntl.flock(path, 6), lambda: os.unlink({str(LOCK)!r}),
            lambda: os.rename({str(LOCK)!r}, "/tmp/lock"), lambda: os.mkfifo({str(LOCK.parent / "other")!r})):
    try: way()
    except OSError: pass
    else: print("done")
"""
    for user in (NOBODY, {**NOBODY, "user": USERS["bustd"], "group": USERS["bustd"]}):
        python = f"{sys.base_prefix}/bin/python3"  # a checkout may be where other users can't go
        ran = subprocess.run([python, "-I", "-c", attempt], capture_output=True, text=True, **user)
        assert (ran.returncode, ran.stdout) == (0, ""), ran
    with foreground(place) as again:
        again.await_ready()


@scenario
def the_monitor_does_not_have_it(place: Path) -> None:
    with foreground(place) as first:
        first.await_ready()
        assert str(LOCK) in descriptors(first.pid)
        assert str(LOCK) not in descriptors(first.monitor_pid())


@scenario
def a_child_of_a_captured_killer_does_not_keep_it(place: Path) -> None:
    """It inherits the descriptor, outlives its parent, and waits."""
    fork = """
_real = Server.serve
def _forking(self):
    if os.fork() == 0:
        os.write(2, f"the child {os.getpid()}\\n".encode())
        while True:
            time.sleep(60)
    return _real(self)
Server.serve = _forking
"""
    with pair.planted({"bustd_killer/server.py": fork}) as python:
        command = [python, *bustd(place, "-n")[1:]]
        with pair.started(command, {}, place / "pair.log") as captured:
            child = int(captured.await_line(r"the child (\d+)")[0].rpartition(" ")[2])
            captured.await_ready()
            assert str(LOCK) in descriptors(child)
            os.kill(captured.pid, signal.SIGKILL)
            captured.process.wait(5)
            with foreground(place, log="second.log") as second:
                second.await_ready()
                assert Path(f"/proc/{child}").exists()
            pidfd = os.pidfd_open(child)
            os.kill(child, signal.SIGKILL)
            assert select.select([pidfd], [], [], 5)[0]
            os.close(pidfd)


def furnish(place: Path) -> None:
    """A /run and a /var/log of its own, and the users that a package makes."""
    for directory in ("/run", "/var/log"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", directory], check=True)
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin"), ("group", "{0}:x:{1}:")):
        mine = place / f"{name}-of-the-machine"
        kept = [one for one in Path("/etc", name).read_text().splitlines() if one.partition(":")[0] not in USERS]
        mine.write_text("\n".join([*kept, *(line.format(*user) for user in USERS.items())]) + "\n")
        mine.chmod(0o644)
        subprocess.run(["mount", "--bind", mine, f"/etc/{name}"], check=True)
    assert pwd.getpwnam("bustd-killer").pw_uid == USERS["bustd-killer"]


if __name__ == "__main__":
    assert os.getpid() == 1, "these pairs serve the whole machine: only in a namespace"
    pid_namespace.use_the_installation_outside()
    furnish(Path(sys.argv[2]))
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
    print("done")
