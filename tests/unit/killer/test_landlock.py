"""Landlock of both halves, in forked children of this kernel: with the other protections it would not be seen to work.

So these run as root with every capability, which Landlock does not care for.
"""

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bustd_killer.stage1 import landlock, libc
from tests.support import victims
from tests.unit.killer.execution import confined, executed, outcome
from tests.unit.shared.forked import in_child

PR_SET_NO_NEW_PRIVS = 38


def abi() -> int:
    try:
        return landlock.abi_version()
    except OSError:
        return 0


def needs(version: int) -> pytest.MarkDecorator:
    return pytest.mark.skipif(abi() < version, reason=f"this kernel's Landlock is not of ABI {version}")


both = pytest.mark.parametrize(
    "confine", [landlock.confine_killer, landlock.confine_monitor], ids=["the killer", "the monitor"]
)

# Files


@needs(1)
@both
def test_no_file_can_be_written_made_removed_renamed_or_linked(confine, tmp_path):
    there, made, inside = tmp_path / "there", tmp_path / "made", tmp_path / "directory"
    there.write_text("as it was")
    inside.mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.iterdir())
    server = socket.socket(socket.AF_UNIX)

    def attempts():
        return {
            "write": outcome(lambda: os.open(there, os.O_WRONLY)),
            "read and write": outcome(lambda: os.open(there, os.O_RDWR)),
            "cut and read": outcome(lambda: os.open(there, os.O_RDONLY | os.O_TRUNC)),
            "write to a pipe": outcome(lambda: os.open(tmp_path / "fifo", os.O_RDWR)),
            "create": outcome(lambda: os.open(made, os.O_RDONLY | os.O_CREAT, 0o600)),
            "mkdir": outcome(lambda: os.mkdir(made)),  # noqa: PTH102
            "rmdir": outcome(lambda: os.rmdir(inside)),  # noqa: PTH106
            "symlink": outcome(lambda: os.symlink("x", made)),  # noqa: PTH211
            "mkfifo": outcome(lambda: os.mkfifo(made)),
            "device": outcome(lambda: os.mknod(made, 0o20600, os.makedev(1, 3))),
            "socket": outcome(lambda: server.bind(str(made))),
            "unlink": outcome(lambda: os.unlink(there)),  # noqa: PTH108
            "rename": outcome(lambda: os.rename(there, made)),  # noqa: PTH104
            "link": outcome(lambda: os.link(there, made)),
        }

    done, said = confined(confine, attempts)
    server.close()
    if os.geteuid() != 0:
        assert done.pop("device") in ("EACCES", "EPERM")
    assert set(done.values()) == {"EACCES"}, done
    assert sorted(tmp_path.iterdir()) == before
    assert there.read_text() == "as it was"
    assert "writes to the file system" in said


@needs(1)
@both
def test_nothing_is_moved_or_linked_between_directories(confine, tmp_path):
    (tmp_path / "there").write_text("")
    (tmp_path / "directory").mkdir()

    def attempts():
        target = tmp_path / "directory/there"
        return [
            outcome(lambda: os.rename(tmp_path / "there", target)),  # noqa: PTH104
            outcome(lambda: os.link(tmp_path / "there", target)),
        ]

    assert set(confined(confine, attempts)[0]) <= {"EACCES", "EXDEV"}


@needs(3)
@both
def test_no_file_can_be_cut_short(confine, tmp_path):
    there = tmp_path / "there"
    there.write_text("as it was")
    assert confined(confine, lambda: outcome(lambda: os.truncate(there, 0)))[0] == "EACCES"
    assert there.read_text() == "as it was"


@needs(1)
@both
@pytest.mark.root
@pytest.mark.parametrize("path", ["/proc/sys/kernel/core_pattern", "/proc/self/oom_score_adj", "/etc/shadow"])
def test_root_cannot_write_what_belongs_to_root(confine, path):
    assert confined(confine, lambda: outcome(lambda: os.open(path, os.O_WRONLY)))[0] == "EACCES"


@both
def test_what_both_halves_read_can_still_be_read(confine):
    paths = ("/proc/self/stat", "/proc/meminfo", "/proc/1/stat", "/proc/1/cgroup", "/etc/passwd")
    assert confined(confine, lambda: [len(Path(path).read_bytes()) > 0 for path in paths])[0] == [True] * len(paths)


@needs(1)
def test_the_monitor_may_name_itself_and_the_killer_may_not():
    def name():
        with open("/proc/self/comm", "wb") as comm:  # noqa: PTH123
            comm.write(b"bustd-monitor")

    assert confined(landlock.confine_monitor, lambda: (outcome(name), Path("/proc/self/comm").read_text()))[0] == (
        "done",
        "bustd-monitor\n",
    )
    assert confined(landlock.confine_killer, lambda: outcome(name))[0] == "EACCES"


def test_the_monitor_may_name_itself_after_it_has_been_executed_again():
    program = """
open("/proc/self/comm", "wb").write(b"bustd-monitor")
if len(words) < 3:
    os.execv(sys.executable, [*sys.orig_argv, "again"])
result = open("/proc/self/comm").read()
"""
    assert executed(lambda: confined_here(landlock.confine_monitor), program)[1] == "bustd-monitor\n"


def confined_here(confine) -> str:
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    return confine()


# Executions


@needs(1)
@both
def test_nothing_can_be_executed_but_this_python(confine, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(0o755)

    def attempts():
        return [
            outcome(lambda: os.execv("/bin/true", ["true"])),
            outcome(lambda: os.execv("/bin/sh", ["sh", "-c", "true"])),
            outcome(lambda: os.execv(script, [str(script)])),
        ]

    assert confined(confine, attempts)[0] == ["EACCES"] * 3


@both
def test_this_python_can_be_executed_and_is_as_confined_as_before(confine, tmp_path):
    program = """
result = [outcome(open, f"{words[0]}/made", "w"), outcome(os.execv, "/bin/true", ["true"]), sys.flags.isolated]
"""
    said, found = executed(lambda: confined_here(confine), program, str(tmp_path))
    assert found == (["EACCES", "EACCES", 1] if abi() else [*found[:2], 1])
    assert ("executions of anything but Python" in said) == (abi() > 0)


@needs(1)
@both
def test_the_loader_maps_what_cannot_be_executed_and_that_is_as_confined_as_python(confine, tmp_path):
    """What it can map and run, Python could do as well: it gains nothing. THREATS.md says so."""
    loader = landlock.loader(os.path.realpath(sys.executable))

    def run(*words: str) -> int:
        pid = os.fork()
        if pid == 0:
            os.execv(loader, [loader, *words])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    touch = "/usr/bin/touch"
    done, _ = confined(confine, lambda: (run("/bin/true"), run(touch, str(tmp_path / "made"))))
    assert done[0] == 0
    assert done[1] != 0
    assert list(tmp_path.iterdir()) == []


def test_the_programs_are_the_interpreter_and_its_loader_without_symbolic_links():
    program, loader = landlock.programs(sys.executable)
    assert program == os.path.realpath(sys.executable)
    assert loader == os.path.realpath(loader)
    assert Path(loader).read_bytes()[:4] == b"\x7fELF"
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    assert {program, loader} <= mapped


def elf(bits: int, order: str, interpreter: bytes | None) -> bytes:
    """A file with the header and the program headers of an ELF program, and nothing to run."""
    ident = b"\x7fELF" + bytes((2 if bits == 64 else 1, 1 if order == "<" else 2, 1)).ljust(12, b"\0")
    header, entry = ("HHIQQQIHHHHHH", "IIQQQQQQ") if bits == 64 else ("HHIIIIIHHHHHH", "IIIIIIII")
    sizes = (16 + struct.calcsize(order + header), struct.calcsize(order + entry))
    text = (interpreter or b"") + b"\0"
    at, length = sizes[0] + 2 * sizes[1], len(text)
    kinds = (1, 3 if interpreter else 4)
    place = [(kind, 4, at, 0, 0, length, 0, 0) if bits == 64 else (kind, at, 0, 0, length, 0, 4, 0) for kind in kinds]
    head = struct.pack(order + header, 2, 62, 1, 0, sizes[0], 0, 0, sizes[0], sizes[1], 2, 0, 0, 0)
    return ident + head + b"".join(struct.pack(order + entry, *words) for words in place) + text


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_loader_is_the_one_that_the_program_names(tmp_path, bits, order):
    program = tmp_path / "program"
    program.write_bytes(elf(bits, order, b"/lib/ld.so.2"))
    assert landlock.loader(str(program)) == "/lib/ld.so.2"
    program.write_bytes(elf(bits, order, None))
    assert landlock.loader(str(program)) == ""
    assert landlock.programs(str(program)) == (str(program),)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"x" * 64])
def test_what_is_not_an_elf_program_has_no_loader(tmp_path, content):
    (tmp_path / "program").write_bytes(content)
    with pytest.raises(ValueError, match="is not an ELF program"):
        landlock.loader(str(tmp_path / "program"))


@needs(1)
@both
def test_where_the_interpreter_is_no_program_executions_stay_and_that_is_said(confine, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\n")

    def run():
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/true", ["true"])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    done, said = confined(lambda: confine(str(tmp_path / "python")), run)
    assert done == 0
    assert said.startswith("Landlock denies writes to the file system")
    assert f"it can't deny executions of anything but Python ({tmp_path}/python is not an ELF program)" in said


# Network, devices, abstract sockets


@needs(4)
@both
def test_tcp_neither_connects_nor_listens(confine):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client, socket.socket() as another:
        attempts = confined(
            confine,
            lambda: [
                outcome(lambda: client.connect(server.getsockname())),
                outcome(lambda: another.bind(("127.0.0.1", 0))),
            ],
        )[0]
    assert attempts == ["EACCES"] * 2


@needs(5)
@both
@pytest.mark.root
def test_a_device_takes_no_ioctl(confine):
    import fcntl

    def attempt():
        with open("/dev/urandom", "rb") as device:  # noqa: PTH123
            return outcome(lambda: fcntl.ioctl(device, 0x80045200, b"\0" * 4))

    assert in_child(attempt) == "done"
    assert confined(confine, attempt)[0] == "EACCES"


@needs(6)
@both
def test_no_abstract_socket_of_others_is_reached(confine):
    name = f"\0bustd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        server.bind(name)
        server.listen()
        bound.bind(name + "-datagrams")

        def attempts():
            with socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                return [
                    outcome(lambda: client.connect(name)),
                    outcome(lambda: sender.sendto(b"x", name + "-datagrams")),
                ]

        assert in_child(attempts) == ["done"] * 2
        assert confined(confine, attempts)[0] == ["EPERM"] * 2


@both
def test_a_socket_in_the_file_system_and_one_connected_before_serve_as_before(confine, tmp_path):
    """The system log, systemd's notifications, and the killer's connection are such."""
    name = f"\0bustd-test-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as in_files,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connected,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        in_files.bind(str(tmp_path / "log"))
        abstract.bind(name)
        connected.connect(name)
        attempts = confined(
            confine,
            lambda: [
                outcome(lambda: sender.sendto(b"x", str(tmp_path / "log"))),
                outcome(lambda: connected.send(b"x")),
            ],
        )[0]
    assert attempts == ["done"] * 2


# Signals


@needs(6)
def test_the_monitor_signals_no_process_that_was_there_before_it():
    """Not even its own child, or another process of its user; what it starts afterwards is as confined as itself."""
    with victims.victim(1) as other:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        pidfd = os.pidfd_open(other.pid)

        def attempts():
            later = os.fork()
            if later == 0:
                signal.pause()
            done = {
                "a child from before": outcome(lambda: os.kill(child, signal.SIGKILL)),
                "another process": outcome(lambda: os.kill(other.pid, signal.SIGKILL)),
                "through a pidfd": outcome(lambda: signal.pidfd_send_signal(pidfd, signal.SIGKILL)),
                "only asked whether it lives": outcome(lambda: os.kill(other.pid, 0)),
                "its parent": outcome(lambda: os.kill(os.getppid(), 0)),
                "a child from after": outcome(lambda: os.kill(later, signal.SIGKILL)),
            }
            os.waitpid(later, 0)
            return done

        done, said = confined(landlock.confine_monitor, attempts)
        os.close(pidfd)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert victims.is_alive(other)
    assert done.pop("a child from after") == "done"
    assert set(done.values()) == {"EPERM"}, done
    assert "signals to others" in said


def test_the_killer_signals_as_before():
    with victims.victim(1) as other:
        pidfd = os.pidfd_open(other.pid)
        done, said = confined(
            landlock.confine_killer, lambda: outcome(lambda: signal.pidfd_send_signal(pidfd, signal.SIGKILL))
        )
        os.close(pidfd)
        assert done == "done"
        assert victims.exits_within(other, 5)
    assert "signals" not in said


# Older kernels

CAN = {
    1: ["executions of anything but Python", "writes to the file system"],
    3: ["truncation of files"],
    4: ["TCP"],
    5: ["ioctl on devices"],
    6: ["abstract sockets of others", "signals to others"],
}


@both
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7, 99])
def test_what_an_older_kernel_cannot_deny_is_said_and_the_rest_is_denied(monkeypatch, confine, version, tmp_path):
    if abi() < min(version, 6):
        pytest.skip(f"this kernel's Landlock is not of ABI {version}")
    monkeypatch.setattr(landlock, "abi_version", lambda: version)
    (tmp_path / "there").write_text("as it was")

    def attempts():
        return [
            outcome(lambda: os.open(tmp_path / "there", os.O_WRONLY)),
            outcome(lambda: os.execv("/bin/true", ["true"])),
            outcome(lambda: os.truncate(tmp_path / "there", 0)),
        ]

    done, said = confined(confine, attempts)
    denied, _, lacking = said.partition("; it can't deny ")
    for since, words in CAN.items():
        for word in words:
            if word != "signals to others" or confine is landlock.confine_monitor:
                assert (word in denied) == (since <= version), said
                assert (word in lacking) == (since > version), said
    assert done == ["EACCES", "EACCES", "EACCES" if version >= 3 else "done"]


def test_the_sentence_names_the_linux_that_can():
    lacking = landlock._OF_BOTH[2]
    assert (lacking.words, lacking.abi, lacking.linux) == ("TCP", 4, "6.7")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP])
@both
def test_a_kernel_without_landlock_is_no_hindrance_and_is_said(monkeypatch, confine, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(libc, "syscall", refuse)
    assert confine() == f"no Landlock here ({os.strerror(number)}), see THREATS.md"


@needs(1)
@both
def test_it_needs_no_new_privileges_first_and_leaves_no_descriptor(confine):
    def out_of_order():
        if os.geteuid() == 0:
            os.setuid(65534)  # with CAP_SYS_ADMIN it would do without
        before = len(list(Path("/proc/self/fd").iterdir()))
        return outcome(confine), len(list(Path("/proc/self/fd").iterdir())) - before

    assert in_child(out_of_order) == ("EPERM", 0)


def test_it_leaves_no_descriptor_where_all_goes_well():
    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    def run():
        before = count()
        confined_here(landlock.confine_killer)
        return count() - before

    assert in_child(run) == 0


def test_static_programs_here_have_no_loader(tmp_path):
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 0; }")
    built = subprocess.run(["cc", "-static", "-o", tmp_path / "static", source], capture_output=True, check=False)
    if built.returncode:
        pytest.skip("no C compiler that links statically")
    assert landlock.loader(str(tmp_path / "static")) == ""
