"""A process whose leader is a zombie while its threads come and go: at most moments another thread holds the memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import victims

_SOURCE = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* Each thread does one thing, starts its successor and two more that end soon, and ends. */
static pthread_attr_t detached; static const char *path; static int hellos, link_fd = -1;
static void *brief(void *us) { usleep((unsigned long)us); return 0; }
static void say_hello(void) {
  unsigned char hello[] = {0x96, 1, 2, 7, 2, 2, 42}, answer[4096];
  struct sockaddr_un address = {AF_UNIX};
  if (link_fd >= 0) close(link_fd);
  strcpy(address.sun_path, path);
  link_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (connect(link_fd, (void *)&address, sizeof address)) { puts("gone"); fflush(stdout); _exit(1); }
  send(link_fd, hello, sizeof hello, MSG_NOSIGNAL);
  ssize_t length = recv(link_fd, answer, sizeof answer, 0);
  printf("%d\n", length < 4 ? 0 : answer[0] == 0xdc ? answer[3] : answer[1]); fflush(stdout);
  if (!--hellos) _exit(0);
}
static void *live(void *unused) {
  pthread_t thread;
  if (path) say_hello();
  for (int i = 0; i < 2; i++) pthread_create(&thread, &detached, brief, (void *)(unsigned long)(10 + rand() % 200));
  usleep(50);
  while (pthread_create(&thread, &detached, live, 0)) usleep(50);
  return 0;
}
int main(int count, char **words) {
  pthread_t thread; size_t bytes = (size_t)atoi(words[1]) << 20; volatile char *held = malloc(bytes);
  for (size_t i = 0; i < bytes; i += 4096) held[i] = 1;
  if (count > 3) { path = words[2]; hellos = atoi(words[3]); }
  pthread_attr_init(&detached); pthread_attr_setdetachstate(&detached, 1); pthread_attr_setstacksize(&detached, 65536);
  pthread_create(&thread, &detached, live, 0);
  if (!path) { puts("ready"); fflush(stdout); }
  pthread_exit(0);
}
"""


def _program(place: Path) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    program = place / "churn"
    if not program.exists():
        program.with_suffix(".c").write_text(_SOURCE)
        subprocess.run(["cc", "-O1", "-w", "-pthread", "-o", program, program.with_suffix(".c")], check=True)
    return program


@contextmanager
def churning(place: Path, mib: int, *, as_nobody: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Such a process that holds this much, once its leader is a zombie; it ends with the block."""
    user = {"user": victims.NOBODY.pw_uid, "group": victims.NOBODY.pw_gid, "extra_groups": []} if as_nobody else {}
    child = subprocess.Popen(
        [_program(place), str(mib)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        **user,  # type: ignore[call-overload]
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        while b") Z " not in Path(f"/proc/{child.pid}/stat").read_bytes():
            os.sched_yield()
        yield child
    finally:
        victims.end(child)


def hellos_of(place: Path, socket_path: Path, count: int) -> list[int]:
    """Let such a process say Hello this often, each time on a new connection: the types of the answers, 0 for none."""
    ran = subprocess.run(
        [_program(place), "1", str(socket_path), str(count)], capture_output=True, text=True, timeout=120, check=True
    )
    return [int(line) for line in ran.stdout.split()]
