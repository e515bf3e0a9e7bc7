"""What is fuzzed: a row for each reader, with what counts as a fault beside it. `make fuzz` and test_corpus.py run it.

A target takes any bytes. It returns for everything that its reader documents, also for a documented error. Whatever
else it raises is a fault; so is more processor time or memory for one input than its row permits.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from bustd_killer import facts
from bustd_monitor import config
from bustd_monitor.cli import entries, import_config
from bustd_monitor.cli.importing import earlyoom, nohang
from bustd_monitor.cli.importing.draft import Draft, NotThat
from bustd_monitor.cli.importing.translation import MOST_GLOBS, translated
from bustd_monitor.deciding import pace
from bustd_monitor.deciding.states import State, on_reading
from bustd_monitor.sensing import arc, meminfo, processes, swaps, tmpfs, tracked_group, traits, vmstat, watermarks
from bustd_monitor.sensing.cgroup_sensor import reading_of
from bustd_monitor.sensing.fill_rate import MOST
from bustd_monitor.sensing.kin import read_kin
from bustd_monitor.sensing.reading import Reading
from bustd_monitor.sensing.sensor import Sensor, Unreadable
from bustd_monitor.traces.format import MOST_MS, Decoder, Encoder, Listed, Sensed
from bustd_monitor.traces.records import TraceError
from bustd_monitor.traces.table_import import read_table
from bustd_protocol import limits
from bustd_shared.kernel import cgroup_memory, cgroup_paths, pressure, procfs, version, watched_group
from bustd_shared.rules import globs, killer_toml, regular_expressions
from bustd_shared.rules.config_files import toml_values
from bustd_shared.rules.schema import Problem
from tests.fakes.kernel import Kernel
from tests.fuzz.promises import check_acceptance
from tests.fuzz.serving import serve

_SCRATCH = tempfile.TemporaryDirectory(prefix="bustd-fuzz-")
_DEFAULTS = config.config_of({})
_CONDITIONS, _SLEEP = _DEFAULTS.conditions, _DEFAULTS.sleep
MOST_BYTES = 2**60
"""The largest amount that a line in kB may stand for."""
_PID = 4711


class Target(NamedTuple):
    """`run` raises for a fault, and `fault` says what is one. `longest`: in bytes, mostly what its reader reads.

    `most_ms`: of processor time, `most_mib`: of new memory, for one input.
    """

    run: Callable[[bytes], None]
    fault: str
    longest: int = 4096
    most_ms: int = 100
    most_mib: int = 16


# --- files of processes


def stat(data: bytes) -> None:
    found = procfs.parse_stat(data)
    if found is not None:
        assert 0 <= found.start_ticks <= limits.UINT63_MAX
        assert b"(" + found.comm + b")" in data
        assert type(found.is_dead) is bool and type(found.is_kernel_thread) is bool


def status(data: bytes) -> None:
    found = procfs.parse_status(data)
    if found is not None:
        assert len(found.uids) == 4 and found.uid == found.uids[1]
        assert all(0 <= uid <= limits.UINT32_MAX for uid in found.uids)
        assert found.held_bytes is None or 0 <= found.held_bytes <= 3 * MOST_BYTES
        assert 0 <= found.shared_bytes <= MOST_BYTES
        assert found.tgid is None or found.tgid >= 0
    told = traits.parse_traits(data)
    assert 0 <= told.program_bytes <= MOST_BYTES and 0 <= told.memory_print <= limits.UINT63_MAX
    assert type(told.ignores_sigterm) is bool


def membership(data: bytes) -> None:
    unit, path = procfs.parse_unit(data), cgroup_paths.parse_path(data)
    assert "/" not in unit and not unit.endswith(".slice") and unit.encode().decode() == unit
    assert cgroup_paths.in_group("", data)
    if path:
        names = path.split("/")[1:]
        assert path.isascii() and path.isprintable() and " " not in path and len(path) < 4096
        assert len(names) <= cgroup_paths.DEEPEST and not {"", ".", ".."} & set(names)
        assert cgroup_paths.in_group(path, data)
    leaf = cgroup_paths.leaf_unit(path)
    target = cgroup_paths.target_of(path, lambda group: group.count("a") % 2 == 0)
    for whole in (leaf, target):
        assert not whole or (cgroup_paths.is_within(path, whole) and whole.startswith("/"))
    if target.endswith(cgroup_paths.UNITS):
        last = target.rpartition("/")[2]
        assert last != "init.scope" and not last.startswith("user@")
        assert not (last.startswith("session-") and last.endswith(".scope"))
    assert not target.endswith(cgroup_paths.SLICE)


def oom_score_adj(data: bytes) -> None:
    found = procfs.parse_oom_score_adj(data)
    assert found is None or -1000 <= found <= 1000


_FILES = ("stat", "status", "cgroup", "oom_score_adj", "oom_score", "statm")
_SEPARATOR = b"\n--\n"


def one_process(data: bytes) -> None:
    """All files of one process, as both halves read it."""
    kernel = Kernel(1, 1)
    kernel.start(_PID).garbage = dict(zip(_FILES, data.split(_SEPARATOR), strict=False))
    with kernel.installed():
        found = processes.read_process(_PID, processes.oom_score(_PID))
        if found is not None:
            assert 0 <= found.start_ticks <= limits.UINT63_MAX
            assert found.held_bytes >= 0 and found.shared_bytes >= 0
            assert min(found.parent, found.group, found.session) >= 0
        assert processes.resident_bytes(_PID) >= 0 and processes.anonymous_bytes(_PID) >= 0
        kin = read_kin(_PID)
        assert kin is None or min(kin.parent, kin.group, kin.session) >= 0
        assert type(facts.has_memory(_PID)) is bool
        victim = facts.open_victim(_PID)
        if isinstance(victim, facts.Victim):
            assert victim.held_bytes >= 0 and -1000 <= victim.entry.oom_score_adj <= 1000
            kernel.close(victim.pidfd)
    assert not kernel.descriptors


# --- files of the machine and of control groups


def machine_meminfo(data: bytes) -> None:
    found = procfs.parse_meminfo(data)
    if found is not None:
        assert 0 < found.total <= MOST_BYTES
        assert found.available is None or 0 <= found.available <= found.total
        assert 0 <= found.free <= found.total and 0 <= found.anonymous <= found.total
        assert 0 <= found.swap_free <= found.swap_total <= MOST_BYTES
        assert 1 <= found.user_space <= found.total
    assert all(0 <= amount <= 3 * MOST_BYTES for amount in meminfo.parse_unfreeable(data))
    assert 0 <= meminfo.parse_swappable(data) <= 2 * MOST_BYTES


def counters(data: bytes) -> None:
    """/proc/vmstat, memory.stat and memory.events."""
    found = vmstat.parse_vmstat(data)
    assert found is None or min(found) >= 0
    assert vmstat.parse_oom_kills(data) >= 0 and tracked_group.limits_met(data) >= 0
    of_group = cgroup_memory.parse_stat(data)
    assert of_group is None or min(of_group) >= 0


def psi(data: bytes) -> None:
    found = pressure.parse_pressure(data)
    if found is not None:
        assert 0.0 <= found.some_avg10 <= 100.0 and 0.0 <= found.full_avg10 <= 100.0
        assert found.some_total_us >= 0 and found.full_total_us >= 0


def amount(data: bytes) -> None:
    found = cgroup_memory.parse_amount(data)
    assert found is None or 0 <= found <= cgroup_memory.NO_LIMIT


def swap(data: bytes) -> None:
    """/proc/swaps, and mm_stat of a zram device behind a zero byte."""
    listed, _, of_zram = data.partition(b"\0")
    devices = swaps.parse_swaps(listed[:4096])
    assert all(0 <= device.used <= device.size for device in devices)
    stats = {device.path: swaps.parse_mm_stat(of_zram[:256]) for device in devices if swaps.zram_name(device.path)}
    assert all(found is None or min(found) >= 0 for found in stats.values())
    usable = swaps.usable_bytes(devices, stats, 2**34)
    assert 0 <= usable <= min(sum(device.size - device.used for device in devices), 2**34)


def arcstats(data: bytes) -> None:
    assert arc.parse_arcstats(data) >= 0


def zoneinfo(data: bytes) -> None:
    try:
        assert all(min(kept) >= 0 for kept in watermarks.parse_zoneinfo(data).values())
    except ValueError:
        pass


def shared_memory(data: bytes) -> None:
    """/proc/self/mountinfo and /proc/sysvipc/shm."""
    for point, device in tmpfs.parse_mounts(data):
        assert type(point) is bytes and device >= 0
    assert tmpfs.parse_segments(data) >= 0


_OF_A_MACHINE = ("meminfo", "pressure/memory", "vmstat", "zoneinfo", "spl/kstat/zfs/arcstats", "swaps", "sysvipc/shm")
_NOW_MS = 10_000_000


def judged(readings: list[tuple[int, Reading]]) -> None:
    """Each can be recorded, and the decisions take it: at these times, in milliseconds.

    A counter that no kernel can print need not fit into a trace: for that TraceError is what is documented.
    """
    recorded, state = Encoder(), State()
    for now_ms, reading in readings:
        try:
            recorded.reading(now_ms, reading)
        except TraceError:
            nested = (*(reading.pressure or ()), *(reading.refaults or ()), *(reading.unlimited or ()))
            if not any(type(one) is int and one > limits.UINT63_MAX for one in (*nested, *reading)):
                raise
        state, _ = on_reading(state, reading, now_ms, _CONDITIONS)
        pace.sleep_ms(state.found, _SLEEP, MOST)


def machine(data: bytes) -> None:
    """All files of the machine, twice: halfway they change."""
    proc = Path(_SCRATCH.name) / "proc"
    parts = data.split(_SEPARATOR)
    halves = parts[: len(_OF_A_MACHINE)], parts[len(_OF_A_MACHINE) :]
    readings: list[tuple[int, Reading]] = []
    clock = iter(range(_NOW_MS, _NOW_MS + 1000 * 500, 500))
    sensor = None
    try:
        for half in halves:
            for name, text in zip(_OF_A_MACHINE, half, strict=False):
                (proc / name).parent.mkdir(parents=True, exist_ok=True)
                (proc / name).write_bytes(text)
            sensor = sensor or Sensor(str(proc), "/nowhere", lambda: next(clock) * 1_000_000)
            found = sensor.read()
            readings += [(_NOW_MS + 500 * len(readings), found)] if found is not None else []
    except Unreadable:
        return
    finally:
        if sensor is not None:
            sensor.close()
    judged(readings)


def group(data: bytes) -> None:
    """The files of a control group, of the one above it and of the root, and /proc/meminfo before them."""
    parts = [*data.split(_SEPARATOR), *[b""] * 32]
    opened = iter(range(1, 100))
    system = SimpleNamespace(O_RDONLY=0, O_CLOEXEC=0, open=lambda *_: 0, close=lambda _: None)
    with patch.multiple(
        cgroup_memory, os=system, _opened=lambda _: next(opened), _read=lambda descriptor: parts[descriptor % 32]
    ):
        files = cgroup_memory.GroupFiles("/sys/fs/cgroup", "/a/b")
        found = files.read(), files.read(20)
    judged([(_NOW_MS + at, reading_of(one)) for at, one in enumerate(found) if one is not None])


def text(data: bytes) -> None:
    """A release of uname(2), a path of a control group, a glob and a regular expression."""
    said = data.decode("utf-8", "replace")
    assert type(version.too_old(said[:64])) is bool
    path = watched_group.plain(said)
    assert path is None or path == "" or (path.startswith("/") and path.isprintable() and "/../" not in f"{path}/")
    try:
        globs.parts(said)
    except ValueError:
        return
    assert globs.least_bytes(said) >= 0 and len(globs.cut(said, 15).encode()) >= 0
    for kind in ("names", "globs", "commands", "cgroups"):
        regular_expressions.look(kind, said)
    for one in regular_expressions.as_globs(said):
        globs.parts(one)


# --- what a person or another program has written


def trace(data: bytes) -> None:
    try:
        frames = list(Decoder(io.BytesIO(data)).frames())
    except TraceError:
        return
    at_ms, again = 0, Encoder()
    judged([(frame.at_ms, frame.reading) for frame in frames if isinstance(frame, Sensed)])
    for frame in frames:
        assert at_ms <= frame.at_ms <= MOST_MS
        at_ms = frame.at_ms
        if isinstance(frame, Listed):
            assert len({entry.process.pid for entry in frame.entries}) == len(frame.entries)
            again.table(at_ms, list(frame.entries), frame.left_out)


def table(data: bytes) -> None:
    try:
        header, rows = read_table(io.BytesIO(data))
    except TraceError:
        return
    Encoder().header(header)
    readings = [(row.at_ms, row.reading) for row in rows if isinstance(row, Sensed)]
    times_ms = [at_ms for at_ms, _ in readings]
    assert times_ms == sorted(set(times_ms)) and times_ms[-1] <= MOST_MS
    judged(readings)


def _configuration(examine: Callable[..., Any], config_of: Callable[..., Any]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        file = Path(_SCRATCH.name) / "bustd.toml"
        file.write_bytes(data)
        found = examine(str(file), required=True)
        for problem in (*found.problems, *found.warnings):
            assert problem.line().isprintable() and len(problem.line()) < 4096
        if not found.problems:
            config_of(found.values)

    return run


def _import(read: Callable[[str], Draft]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            made = read(data.decode("utf-8", "replace")).text("Made by a test.")
        except NotThat as error:
            assert str(error)
            return
        assert not isinstance(toml_values(made, "bustd.toml"), Problem), made
        import_config.examined(made)

    return run


def expression(data: bytes) -> None:
    found = translated(data.decode("utf-8", "replace"))
    assert bool(found.globs) != bool(found.trouble)
    assert len(set(found.globs)) == len(found.globs) <= MOST_GLOBS


def journal(data: bytes) -> None:
    try:
        for one in entries.entries(io.BytesIO(data)):
            assert one.time_us >= 0 and type(one.message) is str
            assert one.kind is None or one.kind.message_id
            for name in one.fields:
                number = one.number(name)
                assert number is None or 0 <= number < 10**19
                one.text(name).encode()
    except entries.BrokenEntry:
        pass


_PARSER = "any exception; a value outside of the range that the docstring gives"

TARGETS = {
    "decode": Target(check_acceptance, "not a message, and not RemoteProtocolError with a printable line; a message "
                     "that says something else than the packet, or that encode would not make", 8192),
    "stat": Target(stat, _PARSER, 1024),
    "status": Target(status, _PARSER),
    "membership": Target(membership, f"{_PARSER}; a path that no unit can have, or a manager or session that may die "
                         "whole", 8192),
    "oom_score_adj": Target(oom_score_adj, _PARSER, 64),
    "one_process": Target(one_process, f"{_PARSER}, in either half, from all files of a process", 4096),
    "meminfo": Target(machine_meminfo, _PARSER),
    "counters": Target(counters, _PARSER),
    "pressure": Target(psi, _PARSER, 512),
    "amount": Target(amount, _PARSER, 64),
    "swaps": Target(swap, f"{_PARSER}; more usable swap than is free"),
    "arcstats": Target(arcstats, _PARSER),
    "zoneinfo": Target(zoneinfo, f"{_PARSER}, except ValueError"),
    "shared_memory": Target(shared_memory, _PARSER),
    "machine": Target(machine, f"{_PARSER}; a reading that can't be recorded or that no condition takes", 8192),
    "group": Target(group, "the same of a control group", 8192),
    "text": Target(text, f"{_PARSER}, except ValueError for what is no glob", 1024),
    "trace": Target(trace, "any exception but TraceError; a frame that can't be written again, or that the decisions "
                    "do not take; time that goes back", 16_384),
    "table": Target(table, "any exception but TraceError; a reading that can't be recorded or "
                    "that the decisions do not take", 8192),
    "bustd_toml": Target(_configuration(config.examine, config.config_of),
                         "any exception; a problem that is no printable line; valid values that make no configuration"),
    "killer_toml": Target(_configuration(killer_toml.examine, killer_toml.config_of), "the same as for bustd.toml"),
    "import_earlyoom": Target(_import(earlyoom.read), "any exception but NotThat; a draft that is not TOML"),
    "import_nohang": Target(_import(nohang.read), "any exception but NotThat; a draft that is not TOML"),
    "expression": Target(expression, "any exception; neither globs nor a reason; too many globs", 512),
    "journal": Target(journal, "any exception but BrokenEntry; a number that is out of range", 8192),
    "serving": Target(serve, "any exception out of the killer's loop; a signal that a check forbids, by what the fake "
                      "kernel knows; two kills in flight; a rate above the limit; a descriptor that is not closed; a "
                      "loop that does not sleep; a line that is not printable", 2048, most_ms=500),
}  # fmt: skip
