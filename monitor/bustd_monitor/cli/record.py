"""`bustd record FILE`: keep what this machine goes through, so that it can be replayed. Kills nothing."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import signal
import sys
import time

from bustd_shared import __version__
from bustd_shared.daemon.memory_lock import lock_memory

from ..reporting.sentences import size
from ..sensing.cgroup_sensor import AnySensor, watch
from ..sensing.process_table import of_this_machine
from ..sensing.sensor import Unreadable
from ..sensing.watermarks import watermark_bytes
from ..traces.format import Header
from ..traces.recording import CensusTaker, Recorder
from ..traces.writing import Full, TraceFile

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def record(options: argparse.Namespace) -> int:
    """Exit code 0; 69 where the machine can't be read, 73 where the file can't be written (to its end)."""
    path, limit_mib = options.file, options.limit
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # from here on `_stopped` looks for them
    try:
        place = watch(options.cgroup or "")
        sensor = place.sensor
        header = _header(sensor, options)
    except Unreadable as error:
        return _refuse(os.EX_UNAVAILABLE, str(error))
    try:
        file = TraceFile(path, limit_mib * 2**20)
    except OSError as error:
        hint = ": a trace replaces no other file" if error.errno == errno.EEXIST else ""
        return _refuse(os.EX_CANTCREAT, f"{path}: {error.strerror}{hint}")
    table = of_this_machine(only_uid=-1, only_descendants_of=header.ancestor, group=place.group)
    census_taker = CensusTaker(table, with_commands=bool(header.has_commands))
    recorder = Recorder(header, read=sensor.read, census_taker=census_taker, clock_ms=_clock_ms, write=file.write)
    print(f"{place.why[0].upper()}{place.why[1:]}", flush=True)
    commands = "with" if header.has_commands else "without"
    print(f"recording to {path}, {commands} command lines; {_shielded()}; {_locked()}; Ctrl-C ends it", flush=True)
    code, why = os.EX_OK, ""
    try:
        why = _until_it_ends(recorder, options.seconds)
    except Full:
        why = f"the file has reached its limit of {limit_mib} MiB"
    except OSError as error:
        code, why = os.EX_CANTCREAT, f"{path}: {error.strerror}; what was written before can be replayed"
    try:
        file.close()
    except OSError as error:
        code, why = os.EX_CANTCREAT, f"{path}: {error.strerror}; the last seconds may not be on the disk"
    tally = recorder.tally
    told = f"{tally.readings} readings and {tally.tables} tables in {recorder.elapsed_ms / 1000:.1f} s"
    (sys.stderr if code else sys.stdout).write(f"bustd: recorded {told}, {size(file.size)}: {why}\n")
    return code


def _until_it_ends(recorder: Recorder, seconds: float | None) -> str:
    """Record until it is stopped or the time is over; which of them. Raises Full and OSError."""
    until_ms = int(seconds * 1000) if seconds is not None else None
    while True:
        wait_ms = recorder.turn()
        if until_ms is not None:
            wait_ms = min(wait_ms, max(until_ms - recorder.elapsed_ms, 0))
        received = _stopped(wait_ms)
        if received:
            return received
        if until_ms is not None and recorder.elapsed_ms >= until_ms:
            return "the time is over"


def _header(sensor: AnySensor, options: argparse.Namespace) -> Header:
    """Where this is recorded. Raises Unreadable."""
    reading = sensor.read()
    if reading is None:
        raise Unreadable("/proc/meminfo makes no sense")
    return Header(
        writer=f"bustd {__version__}",
        release=os.uname().release,
        ram=reading.ram,
        reserve=watermark_bytes(reading.ram) if sensor.sysinfo_is_usable else -1,
        boot_ms=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        ticks_per_second=os.sysconf("SC_CLK_TCK"),
        has_commands=int(options.commands),
        ancestor=options.only_descendants_of or 0,
    )


def _shielded() -> str:
    """Let the kernel kill anybody else first, as far as this user may; what became of it."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")
    except OSError:
        return "the kernel may kill it like any program"
    return "the kernel will not kill it"


def _locked() -> str:
    """Everything is imported and opened: no collection from here on, and no page of it goes to the disk."""
    gc.collect()
    gc.freeze()
    gc.disable()
    return lock_memory()


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _stopped(wait_ms: int) -> str:
    """Sleep for this time, or until a signal ends the recording: then which."""
    received = signal.sigtimedwait(_STOPPING, wait_ms / 1000)
    return "" if received is None else f"{signal.Signals(received.si_signo).name}"


def _refuse(code: int, sentence: str) -> int:
    sys.stderr.write(f"bustd: {sentence}\n")
    return code
