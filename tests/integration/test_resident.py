"""The running daemons: their modules, their memory, their power, and the files that they keep open."""

import os
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import install, pair, victims
from tests.support.pair import PERMISSIVE
from tests.test_architecture import path_of, signalling_calls

MB = 1024
"""In kB, like the budgets."""
KILLER_RESIDENT, KILLER_PRIVATE, MONITOR_RESIDENT = 13 * MB, 5.5 * MB, 15 * MB

HOSTILE = b"a) R 1\n\xff\x1b"
"""The name of the process that was killed: a name that needs escaping, so that the log has loaded what it needs."""

STDLIB = {
    *("__future__", "__main__", "abc", "builtins", "codecs", "collections", "collections.abc", "ctypes"),
    *("ctypes._endian", "datetime", "encodings", "encodings.aliases", "encodings.ascii", "encodings.unicode_escape"),
    *("encodings.utf_8", "enum", "errno", "functools", "gc", "genericpath", "io", "itertools", "keyword", "marshal"),
    *("math", "operator", "os", "os.path", "posix", "posixpath", "reprlib", "resource", "select", "signal", "stat"),
    *("struct", "sys", "time", "types", "zipimport", "site"),
}
MSGPACK = {"msgpack", "msgpack._cmsgpack", "msgpack.exceptions", "msgpack.ext", "cython_runtime"}
SHARED = {
    *("bustd_protocol", "bustd_protocol.codec", "bustd_protocol.connection", "bustd_protocol.errors"),
    *("bustd_protocol.limits", "bustd_protocol.members", "bustd_protocol.messages", "bustd_protocol.session"),
    *("bustd_shared", "bustd_shared.daemon", "bustd_shared.daemon.command_line", "bustd_shared.daemon.forked"),
    *("bustd_shared.daemon.libc", "bustd_shared.daemon.lines", "bustd_shared.daemon.log"),
    "bustd_shared.daemon.mrelease",
    *("bustd_shared.daemon.memory_lock", "bustd_shared.daemon.packets", "bustd_shared.daemon.record"),
    *("bustd_shared.kernel", "bustd_shared.kernel.cgroup_memory"),
    *(
        "bustd_shared.kernel.cgroup_paths",
        "bustd_shared.kernel.cgroups",
        "bustd_shared.kernel.process",
        "bustd_shared.kernel.pressure",
        "bustd_shared.kernel.procfs",
    ),
    *("bustd_shared.kernel.watched_group", "bustd_shared.kernel.ancestor", "bustd_shared.kernel.priority"),
    *("bustd_shared.rules", "bustd_shared.rules.killer_toml", "bustd_shared.rules.loading"),
    *("bustd_shared.rules.protection", "bustd_shared.rules.schema"),
}
ALLOWED = {
    "killer": STDLIB | MSGPACK | SHARED | {"prctl", "bustd_shared.kernel.version"},
    "monitor": STDLIB | MSGPACK | SHARED | {"bustd_protocol.reactions", "array", "mmap"},
}
"""In addition to each daemon's own package, and to the interpreter's own C modules, which begin with an underscore."""
HEAVY = {
    *("argparse", "asyncio", "dataclasses", "difflib", "fnmatch", "logging", "multiprocessing", "pathlib", "psutil"),
    *("pwd", "re", "runpy", "socket", "subprocess", "threading", "tomllib", "typing", "bustd_monitor.cli"),
    *("bustd_shared.rules.config_files", "bustd_shared.rules.validation", "bustd_monitor.reporting.describe"),
    *("bustd_shared.rules.globs", "bustd_shared.rules.regular_expressions", "bustd_shared.rules.suspicious"),
}

TELL = """
_real = {name}


def _telling(self):
    def tell(when):
        names = sorted(__import__("sys").modules)
        for first in range(0, len(names), 40):  # a line of the log is short
            told = "{who} modules " + when + ": " + " ".join(names[first : first + 40])
            __import__("os").write(2, told.encode() + b"\\n")

    tell("before")
    try:
        return _real(self)
    finally:
        tell("after")


{name} = _telling
"""
TELLING = {
    "bustd_killer/server.py": TELL.format(name="Server.serve", who="killer"),
    "bustd_monitor/loop.py": TELL.format(name="Loop.run", who="monitor"),
}


@pytest.fixture(scope="module", params=pair.VARIANTS)
def crew(request) -> pair.Crew:
    return pair.CREWS[request.param]


@pytest.fixture(scope="module")
def bustd(crew) -> Iterator[pair.Running]:
    """The installed pair, unchanged, after it has killed."""
    with pair.place_for(crew) as place, crew.victim(name=HOSTILE) as leak, pair.pair(crew, place) as running:
        assert victims.exits_within(leak, 15), running.log()
        running.await_line("the victim is gone")
        running.await_line("NOBODY TO KILL")
        yield running


@pytest.fixture(scope="module")
def monitor(bustd) -> int:
    return bustd.monitor_pid()


# --- modules


@pytest.fixture(scope="module")
def modules(crew) -> dict[tuple[str, str], set[str]]:
    """By daemon, and "before" or "after" it has served. Each daemon reports from its own process."""
    with pair.place_for(crew) as place, pair.planted(TELLING) as python:
        with crew.victim(name=HOSTILE) as leak, pair.pair(crew, place, python=python) as running:
            assert victims.exits_within(leak, 15), running.log()
            running.await_line("the victim is gone")
            assert running.stop() == 0
        told = re.findall(r"\b(killer|monitor) modules (before|after): (.*)$", running.log(), re.MULTILINE)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for who, when, names in told:
        found[who, when] |= set(names.split())
    return found


@pytest.mark.parametrize("who", ["killer", "monitor"])
def test_a_running_daemon_has_loaded_nothing_but_what_it_may(modules, who):
    loaded = {name for name in modules[who, "after"] if not name.startswith(("_", f"bustd_{who}."))}
    assert loaded - ALLOWED[who] - {f"bustd_{who}"} == set()
    assert "__main__" in modules[who, "after"]
    assert HEAVY & modules[who, "after"] == set()


@pytest.mark.parametrize("who", ["killer", "monitor"])
def test_a_daemon_imports_nothing_after_its_start(modules, who):
    """An import reads files, which may block for ever in a crisis."""
    assert modules[who, "after"] - modules[who, "before"] == set()


def test_the_source_of_nothing_that_the_monitor_has_loaded_can_signal(modules):
    loaded = [name for name in modules["monitor", "after"] if name.startswith("bustd_")]
    assert len(loaded) > 25
    assert [(name, signalling_calls(path_of(name))) for name in loaded if signalling_calls(path_of(name))] == []


@pytest.mark.root
def test_what_the_killer_has_mapped_is_what_its_modules_need(bustd):
    files = set(re.findall(r"/[^/\n]*?([\w-]+)[.\w-]*\.so[.\d]*$", Path(f"/proc/{bustd.pid}/maps").read_text(), re.M))
    assert {name for name in files if name.startswith(("_prctl", "_cmsgpack"))} == {"_cmsgpack"}
    assert not {name for name in files if name.startswith(("_psutil", "_asyncio", "_ssl", "_posixsubprocess"))}


# --- memory


def memory(pid: int) -> dict[str, int]:
    """Resident and private memory in kB, from smaps_rollup."""
    lines = re.findall(r"^(\w+): +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    kib = {name: int(amount) for name, amount in lines}
    return {"resident": kib["Rss"], "private": kib["Private_Clean"] + kib["Private_Dirty"], "proportional": kib["Pss"]}


@pytest.mark.root
def test_the_killer_is_small(crew, bustd, capsys):
    amounts = memory(bustd.pid)
    with capsys.disabled():
        print(f"\nkiller ({crew.name}): {in_mb(amounts)}")
    assert amounts["resident"] <= KILLER_RESIDENT
    assert amounts["private"] <= KILLER_PRIVATE


def test_the_monitor_is_small(crew, monitor, capsys):
    amounts = memory(monitor)
    with capsys.disabled():
        print(f"\nmonitor ({crew.name}): {in_mb(amounts)}")
    assert amounts["resident"] <= MONITOR_RESIDENT


def in_mb(amounts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {kib / MB:.2f} MB" for kind, kib in amounts.items())


# --- open files, and child processes


@pytest.mark.root
def test_the_killer_has_nothing_open_but_what_it_needs(bustd):
    expected = {
        "/dev/null": 2,
        str(bustd.log_path): 1,
        "/proc/meminfo": 1,
        "anon_inode:[pidfd]": 2,  # the monitor, and the process whose descendants alone may die
        "socket": 2,  # the connection, and what the monitor says
        "pipe": 2,
    }
    assert opened(bustd.pid) == Counter(expected)
    assert all(flags(bustd.pid, number) & os.O_CLOEXEC for number in numbers(bustd.pid) if number > 2)


def test_the_monitor_has_nothing_open_but_what_it_needs(bustd, monitor):
    expected = {"/dev/null": 2, "socket": 3, "pipe": 2}  # its standard error, and the log's duplicate of it
    expected |= {"anon_inode:[pidfd]": 1}  # the process whose descendants alone may die
    tmpfs = (f"{monitor}/mountinfo", "sysvipc/shm")
    expected |= {f"/proc/{name}": 1 for name in ("meminfo", "vmstat", "swaps", "loadavg", *tmpfs)}
    found = opened(monitor)
    triggers = found.pop("/proc/pressure/memory", 0)
    assert found == Counter(expected)
    assert triggers in (range(1, 6) if HAS_PSI else [0])  # one to read, two passed to it, two of its own


HAS_PSI = Path("/proc/pressure/memory").exists()


def numbers(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def opened(pid: int) -> Counter[str]:
    targets = [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in numbers(pid)]
    return Counter(re.sub(r"^(socket|pipe):.*", r"\1", target) for target in targets)


def flags(pid: int, number: int) -> int:
    match = re.search(r"^flags:\t(\d+)$", Path(f"/proc/{pid}/fdinfo/{number}").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1], 8)


def test_what_bustd_itself_was_given_open_does_not_come_to_the_monitor(crew):
    """A root shell can leave any file open. The monitor must not inherit it."""
    with pair.place_for(crew) as place, (place / "secret").open("w") as secret:
        high = os.dup(secret.fileno())
        try:
            words = install.bustd("-n", *pair.files(place, pair.NEVER, PERMISSIVE), *pair.scope(), "--user", "nobody")
            passed = (secret.fileno(), high)
            with pair.started(words, crew.identity, place / "log", pass_fds=passed) as running:
                assert f"{place}/secret" not in opened(running.monitor_pid())
        finally:
            os.close(high)


def test_the_killer_has_started_the_monitor_and_the_monitor_nothing(bustd, monitor):
    assert children(bustd.pid) == [monitor]
    assert children(monitor) == []


def children(parent: int) -> list[int]:
    """The children, including those that have ended and were not waited for."""
    return [child.pid for child in psutil.Process(parent).children()]


# --- power


def status(pid: int) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\t ?(.*?) *$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))


def capabilities(pid: int) -> dict[str, int]:
    return {name[3:]: int(mask, 16) for name, mask in status(pid).items() if name.startswith("Cap")}


CAP_KILL = 1 << 5


def test_the_killer_has_cap_kill_if_it_is_roots_and_no_other_power(crew, bustd):
    sets = capabilities(bustd.pid)
    held = CAP_KILL if crew.is_root else 0
    assert {name: sets[name] for name in ("Eff", "Prm", "Inh", "Amb")} == dict.fromkeys(
        ("Eff", "Prm", "Inh", "Amb"), held
    )
    if crew.is_root:
        assert sets["Bnd"] == CAP_KILL
    assert status(bustd.pid)["NoNewPrivs"] == "1"


def test_the_monitor_has_no_power_at_all(crew, bustd, monitor):
    sets, uid = capabilities(monitor), crew.monitor_uid
    assert (sets["Eff"], sets["Prm"], sets["Inh"], sets["Amb"]) == (0, 0, 0, 0)
    assert status(monitor)["NoNewPrivs"] == "1"
    assert status(monitor)["Uid"].split() == [str(uid)] * 4
    if os.geteuid() == 0:
        assert status(monitor)["Gid"].split() == [str(victims.NOBODY.pw_gid)] * 4
        assert status(monitor)["Groups"] == ""


AS_THE_KILLER = """
import prctl, sys, time
kept = [prctl.CAP_KILL] if prctl.cap_permitted.kill else []
prctl.cap_effective.limit(*kept)
prctl.cap_permitted.limit(*kept)
"""
LOOK = """
for name in sys.argv[1:]:
    try:
        open(name, "rb").read(1)
        print("open")
    except PermissionError:
        print("closed")
"""


def test_no_process_of_the_same_user_and_power_can_look_into_the_killer(crew, bustd):
    """It is not dumpable (ptrace(2), PTRACE_MODE_READ). A process that is dumpable serves as the comparison."""
    other = victims.start_program(
        f"{AS_THE_KILLER}\nprint('ready', flush=True)\ntime.sleep(60)", as_nobody=crew.name == "nobody"
    )
    try:
        files = [f"/proc/{pid}/{name}" for pid in (bustd.pid, other.pid) for name in ("environ", "maps")]
        command = [install.python(), "-I", "-c", AS_THE_KILLER + LOOK, *files]
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", **crew.identity)
    finally:
        victims.end(other)
    assert result.stdout.split() == ["closed", "closed", "open", "open"]


def test_the_pair_says_whether_its_memory_is_locked(bustd, monitor):
    for program, pid in (("killer", bustd.pid), ("monitor", monitor)):
        is_locked = "is locked" in bustd.await_line(f"bustd-{program}: memory is ")[0]
        assert (int(status(pid)["VmLck"].split()[0]) > 0) == is_locked
