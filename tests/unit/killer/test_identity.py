"""The user that the killer serves as: the choice, and in forked children and after an execve what became of it."""

import contextlib
import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer.stage1 import identity, proc_mount
from bustd_killer.stage1.identity import Identity
from bustd_killer.stage1.proc_mount import ProcMount
from tests.unit.killer.execution import executed
from tests.unit.shared.forked import in_child

LIBC = ctypes.CDLL(None)
CLONE_NEWUSER = 0x10000000
CAP_KILL = 1 << 5
MONITOR = 60999
FREE = 61184
ALL_SETS = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), CAP_KILL)

STATUS = """
lines = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
result = {name: lines[name].split() for name in ("Uid", "Gid", "Groups", "NoNewPrivs")}
result["sets"] = {name: int(text, 16) for name, text in lines.items() if name.startswith("Cap")}
"""


@pytest.fixture
def accounts(monkeypatch) -> dict[str, tuple[int, int]]:
    """/etc/passwd as the test says: uid and gid by name."""
    known: dict[str, tuple[int, int]] = {"nobody": (65534, 65534)}

    def record(name: str) -> pwd.struct_passwd:
        uid, gid = known[name]
        return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/false"))

    def by_uid(wanted: int) -> pwd.struct_passwd:
        return record({uid: name for name, (uid, _) in known.items()}[wanted])

    monkeypatch.setattr(identity.pwd, "getpwnam", record)
    monkeypatch.setattr(identity.pwd, "getpwuid", by_uid)
    monkeypatch.setattr(proc_mount, "of_this_process", ProcMount)
    return known


def processes(place: Path, *uids: str) -> str:
    """A /proc with one process for each line of uids, and one that ends while it is read."""
    for pid, line in enumerate(uids, start=10):
        (place / str(pid)).mkdir()
        (place / str(pid) / "status").write_text(f"Name:\tx\nUid:\t{line}\nGid:\t0\t0\t0\t0\n")
    (place / "9").mkdir()
    (place / "self").mkdir()
    return str(place)


# The choice


@pytest.mark.root
def test_the_user_bustd_killer_is_taken_where_it_exists(accounts, tmp_path):
    accounts["bustd-killer"] = (970, 971)
    assert identity.choose(MONITOR, processes(tmp_path)) == Identity(970, 971, (), "user bustd-killer")


@pytest.mark.root
def test_without_that_user_the_lowest_number_that_no_account_group_or_process_has_is_taken(
    accounts, monkeypatch, tmp_path
):
    accounts["dynamic"] = (FREE, 5)
    monkeypatch.setattr(identity.grp, "getgrgid", lambda gid: {FREE + 1: "a group"}[gid])
    proc = processes(tmp_path, f"0\t0\t{FREE + 2}\t0", f"{FREE + 3}\t0\t0\t0", f"0\t0\t0\t{FREE + 4}")
    chosen = identity.choose(FREE + 5, proc)
    assert chosen[:3] == (FREE + 6, FREE + 6, ())
    assert chosen.why == "a free number, because user bustd-killer does not exist"


@pytest.mark.root
@pytest.mark.parametrize(
    ("uid", "gid", "flaw"),
    [
        (0, 970, "is root, or in root's group"),
        (970, 0, "is root, or in root's group"),
        (MONITOR, 970, "is the monitor's user too"),
        (65534, 970, "is nobody"),
        (99, 970, "is nobody"),
    ],
)
def test_a_user_bustd_killer_that_is_root_the_monitor_or_nobody_is_not_taken(accounts, tmp_path, uid, gid, flaw):
    accounts["nobody"] = (99, 99)
    accounts["bustd-killer"] = (uid, gid)
    chosen = identity.choose(MONITOR, processes(tmp_path))
    assert chosen == Identity(FREE, FREE, (), f"a free number, because user bustd-killer {flaw}")


@pytest.mark.root
def test_where_every_number_is_in_use_it_stays_and_says_so(accounts, monkeypatch, tmp_path):
    monkeypatch.setattr(identity, "_FREE_NUMBERS", range(61184, 61187))
    proc = processes(tmp_path, *(f"{number} 0 0 0" for number in range(61184, 61187)))
    chosen = identity.choose(MONITOR, proc)
    assert (chosen.uid, chosen.why) == (0, "user bustd-killer does not exist, and 61184 to 61186 are all in use")


def test_the_free_numbers_are_those_that_systemd_keeps_for_dynamic_users():
    assert (identity._FREE_NUMBERS[0], identity._FREE_NUMBERS[-1]) == (61184, 65519)


@pytest.mark.root
@pytest.mark.parametrize(
    ("mount", "groups"),
    [
        (ProcMount(0, 0), ()),
        (ProcMount(0, 4242), ()),
        (ProcMount(1, 4242), (4242,)),
        (ProcMount(2, 4242), (4242,)),
        (ProcMount(2, 0), (0,)),
        (ProcMount(4, 4242), ()),
    ],
)
def test_where_proc_hides_processes_the_group_that_sees_them_is_joined(accounts, monkeypatch, tmp_path, mount, groups):
    monkeypatch.setattr(proc_mount, "of_this_process", lambda: mount)
    assert identity.choose(MONITOR, processes(tmp_path)).groups == groups


@pytest.mark.root
def test_without_a_right_to_change_its_user_it_stays_and_says_so():
    def as_nobody(monitor_uid: int) -> Identity:
        os.setgroups([])
        os.setgid(65533)
        os.setuid(65533)
        return identity.choose(monitor_uid)

    assert in_child(lambda: as_nobody(MONITOR)[:]) == (65533, 65533, (), "it may not change its user")
    for monitor_uid in (-1, 65533):
        shared = in_child(lambda: as_nobody(monitor_uid).why)  # noqa: B023
        assert shared == "it may not change its user and has the monitor's, which can stop it"


@pytest.mark.root
def test_in_a_unit_that_has_made_it_bustd_killer_nothing_is_changed(accounts, monkeypatch):
    accounts["bustd-killer"] = (61000, 61001)

    def started_by_the_unit() -> tuple[object, ...]:
        become_with_cap_kill(61000)
        return identity.choose(MONITOR)[:]

    assert in_child(started_by_the_unit) == (61000, 61000, (), "user bustd-killer")


# What becomes of it


def become_with_cap_kill(uid: int = FREE) -> str:
    return identity.become(Identity(uid, uid, (), "a test"))


@pytest.mark.root
def test_after_the_execve_it_is_that_user_with_cap_kill_in_all_five_sets_and_no_group_but_its_own():
    said, found = executed(lambda: identity.become(Identity(FREE, FREE + 1, (), "a free number")), STATUS)
    assert said == f"the killer serves as uid {FREE} (a free number), with CAP_KILL alone"
    assert found == {
        "Uid": [str(FREE)] * 4,
        "Gid": [str(FREE + 1)] * 4,
        "Groups": [],
        "NoNewPrivs": ["1"],
        "sets": ALL_SETS,
    }


@pytest.mark.root
def test_before_the_execve_too_no_way_back_is_left():
    def ids() -> tuple[tuple[int, ...], tuple[int, ...]]:
        identity.become(Identity(FREE, FREE + 1, (), "a test"))
        return os.getresuid(), os.getresgid()

    assert in_child(ids) == ((FREE,) * 3, (FREE + 1,) * 3)


@pytest.mark.root
def test_a_group_that_sees_all_processes_is_kept_and_named():
    said, found = executed(lambda: identity.become(Identity(FREE, FREE, (0,), "a free number")), STATUS)
    assert said == (
        f"the killer serves as uid {FREE} (a free number) and group 0, which sees all processes, with CAP_KILL alone"
    )
    assert (found["Groups"], found["Gid"]) == (["0"], [str(FREE)] * 4)


@pytest.mark.root
def test_it_cannot_become_root_again():
    result = executed(
        become_with_cap_kill,
        "result = [outcome(os.setuid, 0), outcome(os.setgid, 0), outcome(os.setgroups, [0])]",
    )[1]
    assert result == ["EPERM"] * 3


@pytest.mark.root
def test_what_is_roots_is_out_of_its_reach(tmp_path_factory):
    place = tmp_path_factory.mktemp("roots")
    for above in (place, place.parent, place.parent.parent):
        above.chmod(0o755)
    (place / "shell").write_text("")
    attempts = """
result = {
    "chmod": outcome(os.chmod, f"{words[0]}/shell", 0o4755),
    "chown": outcome(os.chown, f"{words[0]}/shell", os.getuid(), -1),
    "write": outcome(open, f"{words[0]}/shell", "w"),
    "/etc/shadow": outcome(open, "/etc/shadow"),
}"""
    found = executed(become_with_cap_kill, attempts, str(place))[1]
    assert found == {"chmod": "EPERM", "chown": "EPERM", "write": "EACCES", "/etc/shadow": "EACCES"}


KILL = """
result = []
for pid in map(int, words):
    descriptor = os.pidfd_open(pid)
    result.append(outcome(signal.pidfd_send_signal, descriptor, signal.SIGKILL))
"""
_OF_LIBC = "import ctypes, os, time; libc = ctypes.CDLL(None)\n"
_READY = "print(os.getpid(), flush=True); time.sleep(60)"
VICTIMS = {
    "nobody's": "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)",
    "root's": "",
    "in a user namespace": "assert libc.unshare(0x10000000) == 0",
    "nobody's in a user namespace": (
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "assert libc.unshare(0x10000000) == 0"
    ),
    "not dumpable": "assert libc.prctl(4, 0, 0, 0, 0) == 0",
    "init of a PID namespace": (
        "assert libc.unshare(0x20000000) == 0\npid = os.fork()\nif pid: print(pid, flush=True); os._exit(0)\n"
        "time.sleep(60)"
    ),
}


@contextlib.contextmanager
def sleeping(preparation: str) -> Iterator[int]:
    """The PID of a process that sleeps after its preparation."""
    program = f"{_OF_LIBC}{preparation}\n{_READY}"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.root
@pytest.mark.parametrize("which", VICTIMS)
def test_it_kills(which):
    with sleeping(VICTIMS[which]) as pid:
        pidfd = os.pidfd_open(pid)
        try:
            assert executed(become_with_cap_kill, KILL, str(pid))[1] == ["done"]
            assert select.select([pidfd], [], [], 5)[0]
        finally:
            os.close(pidfd)


@pytest.mark.root
def test_with_its_uid_and_no_capability_it_would_kill_none_of_them():
    def without_cap_kill() -> str:
        import prctl

        prctl.cap_effective.kill = False
        prctl.cap_permitted.kill = False
        return become_with_cap_kill()

    with sleeping("") as pid:
        said, found = executed(
            without_cap_kill, f"{STATUS}\nstatus = result{KILL}\nresult.append(status['sets'])", str(pid)
        )
    assert said.endswith(", without any capability")
    assert found == ["EPERM", dict.fromkeys(ALL_SETS, 0)]


@pytest.mark.root
def test_what_the_kernel_says_of_each_process_can_be_read():
    read = """
result = []
for pid in words:
    for name in ("stat", "status", "statm", "cgroup", "oom_score_adj"):
        result.append(bool(open(f"/proc/{pid}/{name}").read()))
"""
    with contextlib.ExitStack() as stack:
        pids = [str(stack.enter_context(sleeping(preparation))) for preparation in VICTIMS.values()]
        found = executed(become_with_cap_kill, read, "1", *pids)[1]
    assert found == [True] * (5 * (len(pids) + 1))


@pytest.mark.root
def test_without_a_right_to_change_the_user_root_stays_with_cap_kill_alone_and_it_is_said():
    def without_setuid() -> str:
        import prctl

        prctl.cap_effective.setuid = False
        return identity.become(identity.choose(MONITOR))

    said, found = executed(without_setuid, STATUS)
    assert said == (
        "the killer stays root (it may not change its user), with CAP_KILL alone: "
        "root's files are within its reach, see THREATS.md"
    )
    assert (found["Uid"], found["sets"]) == (["0"] * 4, ALL_SETS)


@pytest.mark.root
def test_a_uid_that_the_user_namespace_does_not_have_is_said_and_the_rest_is_done():
    def in_a_namespace() -> str:
        assert LIBC.unshare(CLONE_NEWUSER) == 0
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text("0 0 1")
        return become_with_cap_kill()

    said, found = executed(in_a_namespace, STATUS)
    assert said.startswith(f"the killer stays root (uid {FREE} can't be taken: Operation not permitted)")
    assert (found["sets"], found["NoNewPrivs"]) == (ALL_SETS, ["1"])


@pytest.mark.root
def test_a_bounding_set_that_cannot_be_cut_is_said():
    def without_setpcap() -> str:
        import prctl

        prctl.cap_effective.setpcap = False
        return become_with_cap_kill()

    said, found = executed(without_setpcap, STATUS)
    assert said.endswith(f"with CAP_KILL, and beyond CAP_KILL CapBnd {found['sets']['CapBnd']:#x} remain")
    assert {name: mask for name, mask in found["sets"].items() if name != "CapBnd"} == {
        name: mask for name, mask in ALL_SETS.items() if name != "CapBnd"
    }


@pytest.mark.root
def test_an_ordinary_user_stays_what_it_is_without_any_capability():
    def as_nobody() -> str:
        os.setgroups([])
        os.setgid(65533)
        os.setuid(65533)
        return identity.become(identity.choose(-1))

    said, found = executed(as_nobody, STATUS)
    assert said == (
        "the killer serves as uid 65533 (it may not change its user and has the monitor's, which can stop it), "
        "without any capability"
    )
    assert (found["Uid"], found["sets"]["CapPrm"], found["NoNewPrivs"]) == (["65533"] * 4, 0, ["1"])


@pytest.mark.root
def test_where_the_unit_has_done_it_nothing_is_called_that_its_filter_forbids(monkeypatch):
    def twice() -> str:
        become_with_cap_kill()
        before = identity.capability_sets()
        for name in ("capbset", "cap_effective", "cap_permitted", "cap_inheritable", "set_keepcaps"):
            monkeypatch.delattr(identity.prctl, name)
        said = become_with_cap_kill()
        assert identity.capability_sets() == before
        return said

    assert in_child(twice) == f"the killer serves as uid {FREE} (a test), with CAP_KILL alone"


def test_the_uids_in_use_are_those_of_the_kernel():
    assert {os.getuid(), os.geteuid()} <= identity.uids_in_use()
    assert (0 in identity.uids_in_use()) == os.access("/proc/1/status", os.R_OK)
