"""A machine in calm: a /proc and a sysinfo in the test's hand, a sensor that counts, and sleeps on the fake clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from bustd_monitor.sensing import quick_look as quick_look_module
from bustd_monitor.sensing import sensor as sensor_module
from bustd_monitor.sensing.reading import Reading
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.sysinfo import Sysinfo
from bustd_protocol.messages import Ping, Pong
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, killer_hello
from tests.unit.monitor.test_loop import Scene

RAM_GIB = 24
WATERMARK_GIB = RAM_GIB / 10
"""Its /proc has no zoneinfo: a tenth of RAM is taken for what the kernel keeps."""
FRESH, FULL_CACHE = (23, 22), (1, 22)
"""GiB that are free and available: after the boot, and when files have been read."""


class Machine:
    """Memory in GiB. `is_lxcfs`: sysinfo counts another machine, which has plenty."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, *, is_lxcfs: bool = False) -> None:
        self.proc = FakeProc(directory)
        self.is_lxcfs = is_lxcfs
        self.free_bytes = 0
        patch.setattr(sensor_module, "read_sysinfo", lambda: Sysinfo(self._total_bytes(), self.free_bytes))
        patch.setattr(quick_look_module, "read_free_bytes", lambda: self.free_bytes)
        self.proc.pressure()

    def has(self, free: float, available: float) -> None:
        """From now on."""
        self.free_bytes = 8 * self._total_bytes() // 10 if self.is_lxcfs else int(free * GIB)
        free_kib, available_kib = int(free * 2**20), int(available * 2**20)
        anonymous_kib = (RAM_GIB << 20) - available_kib
        self.proc.meminfo(
            total_kib=RAM_GIB << 20, free_kib=free_kib, available_kib=available_kib, anonymous_kib=anonymous_kib
        )

    def _total_bytes(self) -> int:
        return (4 if self.is_lxcfs else 1) * RAM_GIB * GIB


class CountingSensor(Sensor):
    """It notes when it was read, and what it read makes sense or not."""

    makes_sense = True

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.proc.path)
        self.read_at_ms: list[int] = []
        self.scene: CalmScene | None = None

    def read(self, enough_free_percent: float = 100) -> Reading | None:
        if self.scene is not None:
            self.read_at_ms.append(self.scene.now_ms)
        return super().read(enough_free_percent) if self.makes_sense else None


class CalmScene(Scene):
    """Each sleep takes no time but the fake clock's. `sleeps`: how long each was; `slept_at_ms`: when it began."""

    def __init__(self, machine: Machine, **settings: object) -> None:
        self.sensor = CountingSensor(machine)
        super().__init__(sensor=self.sensor, **{"sleep": {}, **settings})
        self.sensor.scene = self
        self.sleeps: list[int] = []
        self.slept_at_ms: list[int] = []
        self.wakes_early = False
        """The next sleep is ended by a PSI trigger."""
        self._poll = self.loop._sleeper.sleep
        self.loop._sleeper.sleep = self._sleep  # type: ignore[method-assign]

    def _sleep(self, wait_ms: int) -> bool:
        self.sleeps.append(wait_ms)
        assert len(self.sleeps) < 10_000, "something wakes it all the time"
        self.slept_at_ms.append(self.now_ms)
        is_woken = self._poll(0) or self.wakes_early
        self.wakes_early = False
        if not is_woken:
            self.now_ms += wait_ms
        return is_woken

    def greet(self, **_flight: object) -> None:
        """The killer answers, and a whole turn has found everything calm."""
        self.loop.turn()
        (hello,) = self.heard()
        self.says(killer_hello(hello.id))
        self.loop.turn()
        self.loop.turn()
        self.forget()

    def forget(self) -> None:
        """What has happened so far."""
        for noted in (self.sensor.read_at_ms, self.sleeps, self.slept_at_ms, self.said):
            noted.clear()

    def idles(self, seconds: float, *, answers: bool = True) -> dict[int, object]:
        """Turns for so long; what the killer heard in that time, by the time. It answers pings, or it does not."""
        until_ms, heard = self.now_ms + int(seconds * 1000), {}
        while self.now_ms < until_ms:
            began_ms = self.now_ms
            assert self.loop.turn() is None
            for message in self.heard():
                heard[began_ms] = message
                if answers and isinstance(message, Ping):
                    self.says(Pong(message.id))
        return heard

    def close(self) -> None:
        super().close()
        self.sensor.close()
