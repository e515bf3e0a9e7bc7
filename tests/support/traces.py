"""Traces for tests: of a machine that a test invents, one reading at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

from bustd_monitor import config as monitor_config
from bustd_monitor.sensing.processes import Process
from bustd_monitor.sensing.reading import Reading
from bustd_monitor.traces.format import Decoder, Encoder, Frame, Header
from bustd_monitor.traces.records import RecordedProcess
from bustd_monitor.traces.replaying import KillerRules, Replay
from bustd_shared.kernel.pressure import MemoryPressure
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection

MIB, GIB = 2**20, 2**30

HEADER = Header(
    writer="bustd 0.1.0",
    release="6.12.0-synthetic",
    ram=2 * GIB,
    reserve=64 * MIB,
    boot_ms=1_000_000,
    ticks_per_second=100,
)


def process(pid: int, held: float, comm: bytes = b"idle", *, age_s: float = 900, **changed: object) -> Process:
    """A process of the first user; `age_s` is its age at the start of the trace."""
    ordinary = Process(
        pid=pid,
        start_ticks=int((HEADER.boot_ms / 1000 - age_s) * HEADER.ticks_per_second),
        uid=1000,
        comm=comm,
        unit="user@1000.service",
        oom_score=666 + int(held * 1000 / HEADER.ram) * 2 // 3,
        oom_score_adj=0,
        held_bytes=int(held),
    )
    return ordinary._replace(**changed)


def reading(available: float, *, swap: tuple[float, float] = (0, 0), some: float = 0, full_ms: int = 0) -> Reading:
    """One of a machine of 2 GiB; `swap` is (total, free), `some` is avg10, `full_ms` the full stall since boot."""
    return Reading(
        ram=HEADER.ram,
        free=int(available),
        total=HEADER.ram,
        available=int(available),
        swap_total=int(swap[0]),
        swap_free=int(swap[1]),
        pressure=MemoryPressure(float(some), full_ms * 2000, some / 2, full_ms * 1000),
        swap_usable=int(swap[1]),
    )


def trace(
    seconds: float,
    reading_at: Callable[[int], Reading],
    processes_at: Callable[[int], list[Process]] | None,
    header: Header = HEADER,
) -> bytes:
    """Readings every 100 ms and a table every second, from functions of the milliseconds since the start."""
    encoder = Encoder()
    parts = [encoder.header(header)]
    for at_ms in range(0, int(seconds * 1000) + 1, 100):
        parts.append(encoder.reading(at_ms, reading_at(at_ms)))
        if processes_at is not None and at_ms % 1000 == 0:
            parts.append(encoder.table(at_ms, [RecordedProcess(one, one.held_bytes) for one in processes_at(at_ms)]))
    return b"".join(parts)


def decoded(data: bytes) -> tuple[Header, list[Frame]]:
    """Everything in a trace."""
    decoder = Decoder(io.BytesIO(data))
    return decoder.header, list(decoder.frames())


def replay_of(path: Path, config: str, killer_config: str) -> Replay:
    """The replay of a trace in a file at its end, with these two configurations; what it says is not looked at."""
    rules = killer_toml.load(killer_config, required=True)
    protection = Protection(rules.protect_units, rules.protect_uids, rules.protect_names)
    header, frames = decoded(path.read_bytes())
    least = killer_toml.minimum_bytes(header.ram, rules)
    killer = KillerRules(protection, least, rules.term_ms, rules.stuck_ms)
    run = Replay(header, monitor_config.load(config, required=True), killer, lambda _at_ms, _sentence: None)
    for frame in frames:
        run.feed(frame)
    return run


# --- the made-up machines among the recorded traces in tests/data/traces


def leak_beside_an_older() -> bytes:
    """2 GiB without swap: 700 MiB idle for a quarter of an hour, and a leak of 25 MiB/s that dies at 31 s."""
    older = process(100, 700 * MIB, b"older")

    def leaked(at_ms: int) -> int:
        return 0 if at_ms >= 31_000 else 25 * MIB * at_ms // 1000

    def processes_at(at_ms: int) -> list[Process]:
        leak = process(200, leaked(at_ms), b"leak", age_s=0.01)
        return [older, leak] if at_ms < 31_000 else [older]

    return trace(40, lambda at_ms: reading(1200 * MIB - leaked(at_ms) * 1.5), processes_at)


def moves_its_working_set_to_swap() -> bytes:
    """2 GiB and as much swap: ten seconds of pressure while 600 MiB are swapped out, then quiet. Nothing should die.

    Programs wait for memory for 35 % of the time, all of them at once for 20 %, and there are few refaults.
    """
    idle, other = process(100, 700 * MIB, b"idle"), process(200, 600 * MIB, b"other", age_s=1)

    def reading_at(at_ms: int) -> Reading:
        busy_ms = min(max(at_ms - 5000, 0), 10_000)
        is_busy = 0 < busy_ms < 10_000
        available = 180 * MIB if is_busy else 400 * MIB if at_ms < 5000 else 700 * MIB
        out = 600 * MIB * busy_ms / 10_000
        average = 35 * (1 - math.exp(-busy_ms / 10_000)) * math.exp(-max(at_ms - 15_000, 0) / 10_000)
        return reading(available, swap=(2 * GIB, 2 * GIB - out), some=average, full_ms=busy_ms * 20 // 100)

    return trace(30, reading_at, lambda _at_ms: [idle, other])


def fills_in_many_tabs() -> bytes:
    """2 GiB without swap: forty tabs grow together beside a desktop's shell that holds most and grows not at all."""
    manager = "/user.slice/user-1000.slice/user@1000.service"
    shell = process(100, 420 * MIB, b"gnome-shell", cgroup=f"{manager}/session.slice/org.gnome.Shell@wayland.service")
    browser = process(101, 330 * MIB, b"firefox", cgroup=f"{manager}/app.slice/app-gnome-firefox-77.scope")

    def tab(at_ms: int) -> float:
        return 12 * MIB + at_ms * MIB // 8000

    def processes_at(at_ms: int) -> list[Process]:
        tabs = [process(pid, tab(at_ms), b"Isolated Web Co", cgroup=browser.cgroup) for pid in range(300, 340)]
        return [shell, browser, *tabs] if at_ms < 33_500 else [shell, *tabs]

    def reading_at(at_ms: int) -> Reading:
        back = 330 * MIB if at_ms >= 33_500 else 0
        return reading(HEADER.ram - 1200 * MIB - 40 * tab(at_ms) + back)

    return trace(40, reading_at, processes_at)


SYNTHETIC: dict[str, Callable[[], bytes]] = {
    "synthetic-fills-in-many-tabs": fills_in_many_tabs,
    "synthetic-leak-beside-an-older": leak_beside_an_older,
    "synthetic-moves-its-working-set-to-swap": moves_its_working_set_to_swap,
}


def main() -> None:
    """Write the traces that do not exist yet. Existing ones stay as an older bustd wrote them."""
    for name, make in SYNTHETIC.items():
        path = Path(__file__).parents[1] / "data/traces" / f"{name}.trace"
        if not path.exists():
            path.write_bytes(make())


if __name__ == "__main__":
    main()
