"""A runaway in many small processes dies as what it is, in one batch, and the larger program beside it lives."""

import re
from pathlib import Path

from tests.support import pair, victims
from tests.support.crews import Crew
from tests.support.pair import ALWAYS, ONE_KILL

COUNT = 24

HERD = f"""
import os, time
alive, held = os.pipe()
ready, told = os.pipe()
for _ in range({COUNT}):
    if os.fork() == 0:
        os.close(held)
        open("/proc/self/comm", "w").write("herd")
        kept = bytes([1]) * (8 << 20)
        os.write(told, b"1")
        os.read(alive, 1)  # until the parent is dead
        os._exit(0)
for _ in range({COUNT}):
    os.read(ready, 1)
print("ready", flush=True)
time.sleep(120)
"""
"""A program that forks many children, each of which holds 8 MiB: too little for any of them to be a candidate."""


def is_running(pid: int) -> bool:
    """Whether it is more than a zombie."""
    return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()


def test_a_herd_dies_in_one_batch_and_the_larger_idle_program_lives(crew: Crew, place: Path) -> None:
    with crew.victim(80, name=b"innocent") as innocent, crew.program(HERD) as parent:
        children = victims.children(parent.pid)
        assert len(children) == COUNT
        with pair.pair(crew, place, monitor=ALWAYS, killer=ONE_KILL) as bustd:
            line = bustd.await_line(r"bustd-monitor: floor fires: .* for \d+ \(herd\)")[0]
            bustd.await_line(rf"the killer: signalled {COUNT} in")
            bustd.await_line("the victim is gone after")
            assert victims.is_alive(innocent), bustd.log()
            assert victims.is_alive(parent), "it holds little, and has not forked since"
            assert not [pid for pid in children if is_running(pid)], bustd.log()
    assert re.search(rf"one of {COUNT} processes named herd of python\S* \(PID {parent.pid}\), \d+ MiB together", line)
