"""The lockdown, in real forked children: what has been given up is really gone, and what is needed still works."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bustd_killer import lockdown, sysapi
from tests.support import victims
from tests.unit.shared.forked import exits, in_child

CAP_KILL = 1 << 5
NOBODY = 65534


def in_lockdown(function):
    """(what the function returns there, what the lockdown said)."""

    def locked():
        said: list[str] = []
        lockdown.lock_down(said.append)
        return function(), said

    return in_child(locked)


def landlock_abi() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))


needs_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="this kernel has no Landlock")


def outcome(function) -> str:
    """What becomes of an attempt: `done`, or the name of the error."""
    try:
        function()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


# Capabilities and privileges


@pytest.mark.root
def test_as_root_cap_kill_alone_remains_in_every_set():
    sets, said = in_lockdown(sysapi.capability_sets)
    assert sets == {"CapInh": 0, "CapPrm": CAP_KILL, "CapEff": CAP_KILL, "CapBnd": CAP_KILL, "CapAmb": 0}
    assert not any("remain" in sentence for sentence in said)


@pytest.mark.root
def test_an_ordinary_user_ends_without_any_capability_and_without_complaint():
    def as_nobody():
        said: list[str] = []
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        lockdown.lock_down(said.append)
        sets = sysapi.capability_sets()
        return {name: mask for name, mask in sets.items() if name != "CapBnd"}, said

    sets, said = in_child(as_nobody)
    assert sets == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}
    assert not any("remain" in sentence for sentence in said)


@pytest.mark.root
def test_a_bounding_set_that_can_not_be_cut_is_said():
    def without_setpcap():
        import prctl

        said: list[str] = []
        prctl.cap_effective.setpcap = False
        prctl.cap_permitted.setpcap = False
        lockdown.lock_down(said.append)
        return sysapi.capability_sets()["CapBnd"], said

    mask, said = in_child(without_setpcap)
    assert mask & ~CAP_KILL, "without CAP_SETPCAP the kernel does not let it be cut"
    assert f"capabilities beyond CAP_KILL remain: CapBnd {mask:#x}" in said


@pytest.mark.root
def test_where_the_unit_has_cut_all_else_already_nothing_is_called_that_its_filter_may_forbid(monkeypatch):
    def twice():
        sysapi.keep_only_cap_kill()
        monkeypatch.setattr(sysapi, "prctl", None)
        return outcome(sysapi.keep_only_cap_kill)

    def without_the_first():
        monkeypatch.setattr(sysapi, "prctl", None)
        try:
            sysapi.keep_only_cap_kill()
        except AttributeError:
            return "called"
        return "not called"

    assert in_child(twice) == "done"
    assert in_child(without_the_first) == "called"


@pytest.mark.root
def test_a_capability_that_was_given_up_is_of_no_use_any_more(tmp_path):
    (tmp_path / "file").write_text("")

    def attempts():
        return [
            outcome(lambda: os.setuid(NOBODY)),
            outcome(lambda: os.setgroups([])),
            outcome(lambda: os.chown(tmp_path / "file", NOBODY, NOBODY)),
            outcome(lambda: os.chroot("/")),
        ]

    assert in_lockdown(attempts)[0] == ["EPERM"] * 4


@pytest.mark.root
def test_another_users_process_can_still_be_killed():
    with victims.victim(1, as_nobody=True) as child:

        def kill():
            pidfd = os.pidfd_open(child.pid)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return outcome(lambda: sysapi.release_memory(pidfd))

        assert in_lockdown(kill)[0] in ("done", "ESRCH", "EAGAIN", "ENOSYS")
        assert victims.exits_within(child, 5)
    assert child.returncode == -signal.SIGKILL


def test_there_are_no_new_privileges_and_nobody_may_look_into_it():
    def look():
        status = Path("/proc/self/status").read_text()
        return "NoNewPrivs:\t1" in status, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)

    assert in_lockdown(look)[0] == (True, 0)


# Landlock


@needs_landlock
def test_no_file_can_be_written_made_removed_renamed_or_cut(tmp_path):
    there = tmp_path / "there"
    there.write_text("as it was")

    def attempts():
        made = tmp_path / "made"
        return [
            outcome(lambda: os.open(there, os.O_WRONLY)),
            outcome(lambda: os.open(there, os.O_RDWR)),
            outcome(lambda: os.open(made, os.O_WRONLY | os.O_CREAT, 0o600)),
            outcome(lambda: os.mkdir(made)),  # noqa: PTH102
            outcome(lambda: os.symlink("x", made)),  # noqa: PTH211
            outcome(lambda: os.mkfifo(made)),
            outcome(lambda: os.unlink(there)),  # noqa: PTH108
            outcome(lambda: os.rename(there, made)),  # noqa: PTH104
        ]

    done, said = in_lockdown(attempts)
    assert set(done) == {"EACCES"}
    assert there.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [there]
    assert "Landlock denies every write to the file system" in said


@pytest.mark.skipif(landlock_abi() < 3, reason="this kernel's Landlock knows nothing of truncation")
def test_no_file_can_be_cut_short(tmp_path):
    there = tmp_path / "there"
    there.write_text("as it was")
    assert in_lockdown(lambda: outcome(lambda: os.truncate(there, 0)))[0] == "EACCES"
    assert there.read_text() == "as it was"


@needs_landlock
@pytest.mark.root
@pytest.mark.parametrize("path", ["/proc/sys/kernel/core_pattern", "/proc/self/oom_score_adj", "/etc/shadow"])
def test_what_root_owns_can_not_be_written_although_the_killer_is_root(path):
    assert in_lockdown(lambda: outcome(lambda: os.open(path, os.O_WRONLY)))[0] == "EACCES"


@needs_landlock
def test_nothing_can_be_executed():
    def execute():
        return outcome(lambda: os.execv(sys.executable, [sys.executable, "-c", ""]))

    assert in_lockdown(execute)[0] == "EACCES"


def test_what_a_kill_needs_can_still_be_read():
    def read():
        return [len(Path(path).read_bytes()) > 0 for path in ("/proc/self/stat", "/proc/meminfo", "/proc/1/stat")]

    assert in_lockdown(read)[0] == [True, True, True]


def test_a_kernel_without_landlock_is_no_hindrance_and_is_said(monkeypatch):
    def refuse():
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(sysapi, "deny_writes", refuse)
    _, said = in_lockdown(lambda: None)
    assert said[-1].startswith("no Landlock on this kernel (Function not implemented)")
    assert "THREATS.md" in said[-1]


def test_landlock_needs_no_new_privileges_first():
    if landlock_abi() < 1:
        pytest.skip("this kernel has no Landlock")

    def out_of_order():
        if os.geteuid() == 0:
            sysapi.keep_only_cap_kill()  # whoever has CAP_SYS_ADMIN may do without
        before = len(list(Path("/proc/self/fd").iterdir()))
        return outcome(sysapi.deny_writes), len(list(Path("/proc/self/fd").iterdir())) - before

    assert in_child(out_of_order) == ("EPERM", 0)


# The shield


@pytest.mark.root
def test_the_kernel_will_not_take_the_killer_first_where_that_can_be_had():
    def shield():
        said: list[str] = []
        lockdown.shield_from_the_kernel(said.append)
        return Path("/proc/self/oom_score_adj").read_text().strip(), said

    adj, said = in_child(shield)
    assert adj == "-1000" or (said and "the kernel may choose the killer itself" in said[0])
    assert (adj == "-1000") != bool(said)


@pytest.mark.root
def test_the_killer_does_not_wait_for_a_processor():
    def shield():
        lockdown.shield_from_the_kernel(lambda _: None)
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert in_child(shield) == -20


@pytest.mark.parametrize("step", ["keep_only_cap_kill", "gain_no_privileges"])
def test_a_step_that_the_sandbox_refuses_is_fatal_and_named(monkeypatch, step):
    def refuse():
        raise PermissionError(errno.EPERM, "Operation not permitted")

    refuse.__name__ = step
    monkeypatch.setattr(sysapi, step, refuse)

    def locked():
        try:
            lockdown.lock_down(lambda _: None)
        except lockdown.Unable as error:
            return str(error)

    assert in_child(locked) == f"{step}: Operation not permitted"


def test_whoever_may_not_be_shielded_is_told():
    def shield():
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        said: list[str] = []
        lockdown.shield_from_the_kernel(said.append)
        return said

    (sentence,) = in_child(shield)
    assert sentence.startswith("oom_score_adj stays as it is (Permission denied)")


# The rest of sysapi


def test_memory_of_a_process_that_has_no_sigkill_is_not_released():
    with victims.victim(8) as child:
        pidfd = os.pidfd_open(child.pid)
        assert outcome(lambda: sysapi.release_memory(pidfd)) in ("EINVAL", "ENOSYS")
        assert victims.is_alive(child)
        os.close(pidfd)
    assert outcome(lambda: sysapi.release_memory(-1)) in ("EBADF", "ENOSYS")


def test_a_process_can_be_named():
    def name():
        sysapi.name_process("bustd-killer")
        return Path("/proc/self/comm").read_text()

    assert in_child(name) == "bustd-killer\n"


def test_a_child_can_be_made_to_die_with_its_parent():
    program = """
import time
from bustd_killer import sysapi
sysapi.die_with_parent(9)
print("ready", flush=True)
time.sleep(60)
"""

    def start():
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        child.stdout.readline()
        return child.pid

    assert exits(in_child(start))
