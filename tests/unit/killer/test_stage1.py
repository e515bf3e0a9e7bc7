"""All of stage 1, one after the other, then the execve: what the kernel lets each half do, and what no longer."""

import contextlib
import os
import platform
import select
import socket

import pytest

from bustd_killer.stage1 import identity, landlock, libc, seccomp
from bustd_killer.stage1.identity import Identity
from bustd_killer.stage1.system_calls import AUDIT_ARCH
from tests.support import install, victims
from tests.unit.killer.execution import executed
from tests.unit.killer.test_identity import ALL_SETS, FREE, KILL, STATUS, VICTIMS, sleeping

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
MONITOR = Identity(FREE + 7, FREE + 7, (), "a test")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() not in AUDIT_ARCH, reason=f"there is no filter for {platform.machine()}"),
]


def has_landlock(version: int) -> bool:
    try:
        return landlock.abi_version() >= version
    except OSError:
        return False


def killer() -> list[str]:
    """As the start of the killer does it. The last step: what comes after it is what serves."""
    chosen = identity.choose(MONITOR.uid)
    return [identity.become(chosen), landlock.confine_killer(install.python()), seccomp.filter_killer()]


def monitor() -> list[str]:
    """As the launcher does it in the child, after the descriptors are in their places."""
    os.setgroups([])
    os.setresgid(MONITOR.gid, MONITOR.gid, MONITOR.gid)
    os.setresuid(MONITOR.uid, MONITOR.uid, MONITOR.uid)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(PR_SET_PDEATHSIG, 15)
    return [landlock.confine_monitor(install.python()), seccomp.filter_monitor()]


@pytest.mark.parametrize("which", VICTIMS)
def test_the_killer_kills(which):
    with sleeping(VICTIMS[which]) as pid:
        pidfd = os.pidfd_open(pid)
        try:
            assert executed(killer, KILL, str(pid))[1] == ["done"]
            assert select.select([pidfd], [], [], 5)[0]
        finally:
            os.close(pidfd)


def test_the_killer_is_a_user_of_its_own_with_cap_kill_in_every_set_and_says_what_was_done():
    said, found = executed(killer, STATUS)
    assert found["sets"] == ALL_SETS
    assert len(set(found["Uid"])) == 1
    assert not {int(uid) for uid in (*found["Uid"], *found["Gid"])} & {0, MONITOR.uid, 65534}
    assert (found["Groups"], found["NoNewPrivs"]) == ([], ["1"])
    assert said[0].startswith("the killer serves as uid ")
    assert said[0].endswith(", with CAP_KILL alone")
    assert said[2].startswith("seccomp permits ")


ATTEMPTS = """
import _ctypes, _socket
libc = _ctypes.dlopen(None, 0)
def call(name, *arguments):
    return _ctypes.call_function(_ctypes.dlsym(libc, name), arguments)
def socket_to(family, address):
    _socket.socket(family, _socket.SOCK_STREAM).connect(address)
place, name, port, victim = words
pidfd = os.pidfd_open(int(victim))
result = {
    "chmod": outcome(os.chmod, f"{place}/there", 0o777),
    "read what is root's": outcome(open, "/etc/shadow"),
    "write": outcome(open, f"{place}/open-to-all", "r+"),
    "create": outcome(open, f"{place}/made", "w"),
    "truncate": outcome(os.truncate, f"{place}/open-to-all", 0),
    "rename": outcome(os.rename, f"{place}/open-to-all", f"{place}/made"),
    "link": outcome(os.link, f"{place}/open-to-all", f"{place}/made"),
    "mkdir": outcome(os.mkdir, f"{place}/made"),
    "unlink": outcome(os.unlink, f"{place}/open-to-all"),
    "execute": outcome(os.execv, "/bin/true", ["true"]),
    "tcp": outcome(socket_to, _socket.AF_INET, ("127.0.0.1", int(port))),
    "abstract": outcome(socket_to, _socket.AF_UNIX, "\\0" + name),
    "become root": outcome(os.setuid, 0),
    "kill": outcome(os.kill, int(victim), 0),
    "kill itself": outcome(os.kill, os.getpid(), 0),
    "stop": outcome(signal.pidfd_send_signal, pidfd, signal.SIGSTOP),
    "user signal": outcome(signal.pidfd_send_signal, pidfd, signal.SIGUSR1),
    "ask whether it lives": outcome(signal.pidfd_send_signal, pidfd, 0),
    "ptrace": call("ptrace", 0, 0, 0, 0),
    "setns": call("setns", pidfd, 0x20000),
    "unshare": call("unshare", 0x10000000),
    "priority": outcome(os.setpriority, os.PRIO_PROCESS, int(victim), 19),
}
"""


@pytest.fixture
def place(tmp_path_factory):
    """A directory that every user may write to, with a file of root's and one that is open to all."""
    place = tmp_path_factory.mktemp("place")
    for above in (place.parent, place.parent.parent):
        above.chmod(0o755)
    place.chmod(0o777)
    for name, mode in (("there", 0o644), ("open-to-all", 0o666)):
        (place / name).write_text("as it was")
        (place / name).chmod(mode)
    return place


@pytest.fixture
def attempts(place):
    """What becomes of each attempt in a half: a function of its preparation."""
    name = f"bustd-test-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{name}")
        abstract.listen()
        victim = stack.enter_context(victims.victim(1))
        yield lambda half: executed(half, ATTEMPTS, str(place), name, str(server.getsockname()[1]), str(victim.pid))[1]
        assert victims.is_alive(victim)
        assert sorted(path.name for path in place.iterdir()) == ["open-to-all", "there"]
        assert {path.read_text() for path in place.iterdir()} == {"as it was"}
        assert (place / "there").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("half", [killer, monitor])
def test_what_a_captured_half_tries_is_refused(half, attempts):
    found = attempts(half)
    assert (found.pop("ask whether it lives") == "done") == (half is killer)
    denied = {name for name, became in found.items() if became in ("EPERM", "EACCES", -1)}
    if not has_landlock(6):
        pytest.skip(f"this kernel's Landlock is too old for all of it; denied: {sorted(denied)}")
    assert denied == set(found), found


def test_the_two_halves_do_not_trace_or_signal_each_other():
    """Each is of a user of its own; by its uid alone the monitor is refused already."""
    look = "result = [outcome(os.kill, int(words[0]), 0), outcome(open, f'/proc/{words[0]}/maps')]"
    with sleeping(VICTIMS["root's"]) as pid:
        assert executed(monitor, look, str(pid))[1] == ["EPERM", "EACCES"]


def test_the_monitor_has_no_capability_and_executes_itself_again_with_its_descriptors():
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    program = f"{STATUS}\nresult = [result['sets']['CapPrm'], result['NoNewPrivs'], len(words)]\n" + (
        "os.write(int(words[0]), b'x')\nif len(words) < 2:\n    os.execv(sys.executable, [*sys.orig_argv, 'again'])"
    )
    said, found = executed(monitor, program, str(writer))
    os.close(writer)
    assert (found, os.read(reader, 10)) == ([0, ["1"], 2], b"xx")
    os.close(reader)
    assert said[1].startswith("seccomp permits ")


def test_the_monitor_may_call_process_mrelease():
    """It needs no privilege. EINVAL: the process has no SIGKILL yet."""
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(448, os.pidfd_open(int(words[0])), 0)
result = errno.errorcode[ctypes.get_errno()]
"""
    with victims.victim(1) as victim:
        assert executed(monitor, program, str(victim.pid))[1] in ("EINVAL", "ENOSYS")
        assert executed(killer, program, str(victim.pid))[1] == "EPERM"
