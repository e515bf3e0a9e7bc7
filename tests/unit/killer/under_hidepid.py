"""What test_proc_mount.py runs as process 1 of a PID namespace: who sees what under each hidepid, as JSON.

Outside of a namespace with a /proc of its own it would hide the processes of the machine.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from bustd_killer.stage1 import identity, landlock, proc_mount
from bustd_killer.stage1.proc_mount import ProcMount
from tests.support import victims
from tests.unit.shared.forked import in_child

MONITOR = 60999
UID = victims.NOBODY.pw_uid
PIDS: dict[str, int] = {}


def seen(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if is_readable(Path(f"/proc/{pid}/stat"))]


def is_readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def become(*, groups: bool = True) -> None:
    chosen = identity.choose(MONITOR)
    identity.become(chosen._replace(uid=UID, gid=UID, groups=chosen.groups if groups else ()))


def ordinary() -> None:
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    identity.become(identity.choose(-1))


def forced() -> None:
    """Landlock as if nothing were hidden."""
    proc_mount.of_this_process = ProcMount
    landlock.confine_killer()


def after(*steps: Callable[[], object]) -> tuple[list[str], object]:
    def run() -> tuple[list[str], object]:
        said = [step() for step in steps][-1]
        return seen(PIDS), said

    return in_child(run)


def look(level: int) -> dict[str, object]:
    subprocess.run(["mount", "-o", f"remount,hidepid={level}", "/proc"], check=True)
    found: dict[str, object] = {"chosen": after(become)[0]}
    found["chosen, under Landlock"], found["said"] = after(become, landlock.confine_killer)
    found["no group"] = after(lambda: become(groups=False))[0]
    found["no group, forced under Landlock"] = after(lambda: become(groups=False), forced)[0]
    for half, confine in (("killer", landlock.confine_killer), ("monitor", landlock.confine_monitor)):
        found[f"an ordinary user's {half}"], found[f"an ordinary user's {half} said"] = after(ordinary, confine)
    return found


if __name__ == "__main__":
    assert os.getpid() == 1, "only in a namespace"
    with victims.victim(1) as root, victims.victim(1, as_nobody=True) as own:
        PIDS |= {"root's": root.pid, "its own": own.pid}
        print(json.dumps({str(level): look(level) for level in (0, 1, 2, 4)}))
