"""After its lockdown the killer can still get all the memory that it needs, and can write no file."""

import os
import re
import subprocess

import pytest

from tests.support import install

MB = 1024
"""In kB, as in /proc."""

LOCKED = """
import os, sys
import prctl
from bustd_shared.daemon.log import Log
from bustd_shared.daemon.memory_lock import lock_memory
from bustd_killer.stage1 import landlock, resources

def of_status(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

def deep(levels):
    return max([levels], key=lambda rest: deep(rest - 1)) if levels else 0

place = sys.argv[1]
log = Log("locked")
resources.raise_limits()
prctl.set_no_new_privs(1)
log(landlock.confine_killer())
log(lock_memory())
before = of_status("VmStk"), of_status("VmRSS")
kept = bytearray(8 << 20)
kept[::4096] = b"x" * 2048
sys.setrecursionlimit(1_000_000)
deep(2000)
after = of_status("VmStk"), of_status("VmRSS")
print("grown", after[0] - before[0], after[1] - before[1], of_status("VmLck"))

def attempt(name, function, *arguments):
    try:
        function(*arguments)
        print(name, "done")
    except OSError as error:
        print(name, type(error).__name__)

attempt("read", open, f"{place}/file")
attempt("write", open, f"{place}/file", "r+")
attempt("create", open, f"{place}/new", "w")
attempt("truncate", os.truncate, f"{place}/file", 0)
attempt("unlink", os.unlink, f"{place}/file")
attempt("rename", os.rename, f"{place}/file", f"{place}/directory/file")
attempt("mkdir", os.mkdir, f"{place}/new")
attempt("rmdir", os.rmdir, f"{place}/directory")
attempt("symlink", os.symlink, "file", f"{place}/new")
attempt("execute", os.execv, "/bin/echo", ["echo", "executed"])
"""


def test_after_the_lockdown_memory_can_be_had_and_no_file_can_be_written(crew, place, capsys):
    (place / "file").write_text("kept")
    (place / "directory").mkdir()
    for path in (place / "file", place / "directory"):
        os.chown(path, crew.identity.get("user", -1), crew.identity.get("group", -1))
    command = [install.python(), "-I", "-c", LOCKED, str(place)]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", **crew.identity)
    assert result.returncode == 0, result.stderr
    grown, *attempts = result.stdout.splitlines()
    _, stack_kib, resident_kib, locked_kib = grown.split()
    (locked,) = re.findall(r"memory is .*", result.stderr)
    with capsys.disabled():
        print(f"\nafter the lockdown ({crew.name}): {locked}; {locked_kib} kB are locked, stack +{stack_kib} kB")
    assert int(stack_kib) >= 512
    assert int(resident_kib) >= 8 * MB
    assert (int(locked_kib) > 0) == (locked == "memory is locked")
    if "no Landlock here" in result.stderr:
        pytest.skip("the rest needs Landlock (Linux 5.13)")
    assert dict(line.split() for line in attempts) == {
        "read": "done",
        **dict.fromkeys(
            ("write", "create", "truncate", "unlink", "rename", "mkdir", "rmdir", "symlink", "execute"),
            "PermissionError",
        ),
    }
    assert (place / "file").read_text() == "kept"
