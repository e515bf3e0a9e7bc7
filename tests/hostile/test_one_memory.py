"""One memory in many processes (CLONE_VM without CLONE_THREAD): killing one of them frees nothing."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pair, victims
from tests.support.pair import CREWS

pytestmark = [pytest.mark.root, pytest.mark.attack("a local user")]

SHARERS, MIB = 12, 96
SOURCE = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
static int child(void *x) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
int main(int c, char **v) {
  size_t n = (size_t)atoi(v[1]) << 20;
  volatile char *p = mmap(0, n, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < n; i += 4096) p[i] = 1;
  for (int i = 1; i < atoi(v[2]); i++) { char *s = malloc(65536); clone(child, s + 65536, CLONE_VM | SIGCHLD, 0); }
  puts("ready"); fflush(stdout);
  for (;;) pause();
}
"""


@pytest.fixture
def sharers(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    program = place / "share"
    program.with_suffix(".c").write_text(SOURCE)
    subprocess.run(["cc", "-O1", "-w", "-o", program, program.with_suffix(".c")], check=True)
    nobody = {"user": victims.NOBODY.pw_uid, "group": victims.NOBODY.pw_gid, "extra_groups": []}
    command = [program, str(MIB), str(SHARERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **nobody) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_all_that_share_it_die_by_one_request(place: Path, sharers: subprocess.Popen[bytes]) -> None:
    rules = pair.ONE_KILL | {"limits.minimum_mib": MIB // 2}
    with pair.pair(CREWS["root"], place, killer=rules) as running:
        signalled = running.await_line(r"the killer: signalled \d+ in")[0]
    assert f"signalled {SHARERS} in" in signalled
