"""Run a function in a forked child: for what a process can do to itself only once, and never take back."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

_PATIENCE_S = 10


def in_child(function: Callable[[], Any]) -> Any:
    """What `function` returns there; what it raises there fails the test here, as does a child that dies of a signal.

    One that hangs is ended by an alarm.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            signal.alarm(_PATIENCE_S)
            os.write(writer, pickle.dumps((True, function())))
            status = 0
        except BaseException:
            os.write(writer, pickle.dumps((False, traceback.format_exc())))
        finally:
            _save_coverage()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        packed = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code >= 0, f"the child died of signal {-code}"
    succeeded, result = pickle.loads(packed)
    assert succeeded, f"in the child:\n{result}"
    return result


def exits(pid: int) -> bool:
    """Whether a process that is nobody's child any more ends by itself."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    has_ended = bool(select.select([pidfd], [], [], _PATIENCE_S)[0])
    os.close(pidfd)
    return has_ended


def _save_coverage() -> None:
    """So that lines count that were run in the child; one that has given up its right to write can't."""
    coverage = sys.modules.get("coverage")
    current = coverage.Coverage.current() if coverage else None
    if current is not None:
        with contextlib.suppress(Exception):
            current.stop()
            current.save()
