"""Give up what stage 1 gives up, then execute a small program as it does: what is left is what that finds."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

from bustd_killer.stage1 import libc
from tests.support import install
from tests.unit.shared.forked import in_child

PR_SET_NO_NEW_PRIVS = 38

_PRELUDE = """
import errno, json, os, signal, sys
def outcome(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""


def outcome(function: Callable[[], Any]) -> str:
    """What becomes of an attempt: `done`, or the name of the error."""
    try:
        function()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def confined(confine: Callable[[], str], function: Callable[[], Any]) -> Any:
    """(what the function returns in a forked child that has confined itself so, what was said)."""

    def run() -> tuple[Any, str]:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
        said = confine()
        return function(), said

    return in_child(run)


def executed(prepare: Callable[[], Any], program: str, *words: str) -> Any:
    """(what `prepare` returned in a forked child, what `program` printed there as JSON after the execve).

    The program has `outcome` (of a call: "done", or the name of the error), `words`, and prints `result`.
    """
    python = install.python()  # before anything is given up: the first call makes the installation
    reader, writer = os.pipe()

    def run() -> Any:
        os.close(reader)
        os.dup2(writer, 1)
        sentence = prepare()
        os.write(1, json.dumps(sentence).encode() + b"\n")
        code = f"{_PRELUDE}words = sys.argv[1:]\n{program}\nprint(json.dumps(result))"
        os.execve(python, [python, "-I", "-S", "-c", code, *words], {})

    pid = os.fork()
    if pid == 0:
        try:
            run()
        except BaseException as error:
            os.write(2, f"not executed: {error!r}\n".encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().splitlines()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, lines
    return tuple(json.loads(line) for line in lines)
