"""The monitor's loop: read, decide, watch the candidates, sleep. The driver decides; the dialogue asks the killer."""

from __future__ import annotations

import signal
from collections.abc import Callable

from bustd_shared.kernel.pressure import MemoryPressure
from bustd_shared.rules.protection import Protection

from .calm import LONGEST_MS, Calm
from .client import Client, Lost
from .conditions import table
from .config import MonitorConfig
from .deadlines import earliest
from .deciding import pace
from .deciding.events import Event, FillRateMeasured, NotProtected, Ready, Sleeping, Stopping
from .deciding.stages import Stage
from .deciding.states import firing_now
from .dialogue import KillerDialogue
from .ranking.search import CandidateSearch
from .ranking.terms import Rules
from .readers import Readers
from .reclaimer import Reclaimer
from .reporting import connection
from .reporting.service_manager import ServiceManager
from .reporting.standing import standing
from .sensing.cgroup_sensor import AnySensor
from .sensing.fill_rate import FillRate
from .sensing.members import MemberReader
from .sensing.triggers import Triggers
from .sleeper import Sleeper

EXIT_STOPPED, EXIT_NOTHING_LEFT, EXIT_KILLER_GONE = 0, 69, 70

_SETTLE_SLEEP_MS = 50
_WHOLE_AGAIN_MS = 10_000
_UNREADABLE_SLEEP_MS = 1000


class Loop:
    """Everything that is read or sent goes through what is passed in. `reload` gives a new configuration or None.

    `ancestor`: the pidfd of the process whose descendants alone may die, -1 for none.
    """

    def __init__(
        self,
        config: MonitorConfig,
        advice: Protection,
        *,
        sensor: AnySensor,
        search: CandidateSearch,
        client: Client,
        members: MemberReader,
        reclaimer: Reclaimer,
        triggers: Triggers,
        fill_rate: FillRate,
        service_manager: ServiceManager,
        tell: Callable[[Event], None],
        clock_ns: Callable[[], int],
        reload: Callable[[], MonitorConfig | None],
        readers: Readers | None = None,
        only_uid: int = -1,
        ancestor: int = -1,
    ) -> None:
        self._sensor = sensor
        self._client = client
        self._service_manager = service_manager
        self._tell = tell
        self._clock_ns = clock_ns
        self._reload = reload
        self._readers = readers or Readers(None)
        self._sleeper = Sleeper(triggers, tell, ancestor)
        self._calm = Calm(sensor.quick_look)
        self._fill_rate = fill_rate
        self._feed_due_ms: int | None = None
        self._was_blind = False
        self._ram = self._left = 0
        self._pressure: MemoryPressure | None = None
        self._whole_ms = -_WHOLE_AGAIN_MS
        self._ease = pace.Ease()
        rules = Rules(config.victims, advice, 0, only_uid)
        self._dialogue = KillerDialogue(
            config,
            rules,
            search=search,
            sensor=sensor,
            client=client,
            members=members,
            reclaimer=reclaimer,
            tell=tell,
            clock_ns=clock_ns,
        )
        self._driver = self._dialogue.driver

    def run(self) -> int:
        """Until a signal (0), until the ancestor has ended (69), or until the killer of a pair is gone (70)."""
        code = None
        while code is None:
            code = self.turn()
        self._service_manager.stopping()
        return code

    def turn(self) -> int | None:
        """One look at memory, one sleep, and what woke it. The exit code when it ends.

        In calm that is all. Everything else takes a whole turn, and so does a wake-up before its time.
        """
        now_ms = self._clock_ns() // 1_000_000
        wait_ms = self._calm.sleep_ms(now_ms)
        if not wait_ms:
            return self._whole_turn(now_ms)
        if self._feed_due_ms is not None and now_ms + wait_ms > self._feed_due_ms:
            wait_ms = self._fed(now_ms, wait_ms)
        return self._woken() if self._sleeper.sleep(wait_ms) else None

    def _whole_turn(self, now_ms: int) -> int | None:
        """One reading, a word to the service manager, one sleep, and what woke it. The exit code when it ends."""
        try:
            self._dialogue.keep(now_ms)
        except Lost as error:
            self._tell(NotProtected(str(error)))
            return EXIT_KILLER_GONE
        due_ms = self._tick(now_ms)
        now_ms = self._clock_ms()  # ranking takes its time
        if due_ms is not None:
            self._measure_fill_rate(now_ms)
        self._tell_service_manager(now_ms, has_read=due_ms is not None)
        self._sleeper.listen(self._client.fileno(), self._readers.fileno(now_ms))
        self._begin_calm(now_ms, has_read=due_ms is not None)
        return self._woken() if self._sleeper.sleep(self._sleep_ms(now_ms, due_ms)) else None

    def _woken(self) -> int | None:
        """Something has ended a sleep before its time. The exit code when that was a reason to stop."""
        self._calm.end()
        if self._sleeper.received(signal.SIGTERM, signal.SIGINT):
            self._tell(Stopping())
            return EXIT_STOPPED
        if self._sleeper.ancestor_has_ended:
            return EXIT_NOTHING_LEFT
        if self._sleeper.received(signal.SIGHUP):
            self._driver.configure(self._reload() or self._driver.config)
        if self._sleeper.killer_speaks:
            self._dialogue.hear()
        if self._sleeper.reader_knocks:
            self._readers.welcome(self._clock_ms())
        return None

    def _tick(self, now_ms: int) -> int | None:
        """One reading and what follows from it. When the next is due; None: it made no sense."""
        driver = self._driver
        reading = self._sensor.read(self._enough_free_percent(now_ms))
        if reading is None:
            self._tell(NotProtected(connection.NO_SENSE))
            self._was_blind = True
            return None
        if self._was_blind:
            self._was_blind = False
            if self._client.is_ready:
                self._tell(Ready(self._client.killer_pid))
        self._ram, self._left = reading.ram, reading.available + reading.swap_usable
        self._pressure = reading.pressure
        driver.read(reading, now_ms)
        due_ms = now_ms + self._pace_ms(now_ms)
        if driver.state.stage is not Stage.CALM:
            self._client.hurry(now_ms)
            driver.watch(now_ms, lambda: self._clock_ms() >= due_ms or self._client.has_word())
        self._dialogue.ping(now_ms)
        return due_ms

    def _enough_free_percent(self, now_ms: int) -> float:
        """While there was no trouble, this much free memory rules it out.

        Now and then everything is read all the same: what fills memory later is told by what there was before.
        """
        if self._driver.state.stage is not Stage.CALM or now_ms - self._whole_ms >= _WHOLE_AGAIN_MS:
            self._whole_ms = now_ms
            return 100
        return table.enough_free_percent(self._driver.config.conditions)

    # --- calm

    def _begin_calm(self, now_ms: int, *, has_read: bool) -> None:
        """Quick looks may follow until something is due. With `verbose` every reading is wanted in the log."""
        driver, client = self._driver, self._client
        if not has_read or driver.state.stage is not Stage.CALM or driver.config.verbose:
            self._calm.end()
            return
        ping_due_ms = client.ping_due_ms(driver.config.killer.ping_seconds * 1000)
        due_ms = _earliest(now_ms + LONGEST_MS, self._dialogue.due_ms(), ping_due_ms, self._readers.due_ms())
        self._calm.begin(self._ram, driver.state.found, driver.config, self._fill_per_second(), due_ms)

    def _fed(self, now_ms: int, wait_ms: int) -> int:
        """The last quick look before the watchdog must be fed: feed it. How long to sleep then."""
        self._tell_service_manager(now_ms, has_read=True)
        if self._feed_due_ms is None:
            return wait_ms
        return min(wait_ms, max(self._feed_due_ms - now_ms, 0))

    # --- how long to sleep

    def _measure_fill_rate(self, now_ms: int) -> None:
        """Where that is due, and memory is not short."""
        state, settings = self._driver.state, self._driver.config
        if state.stage not in (Stage.CALM, Stage.WATCH) or not pace.is_quiet(state.found, self._pressure):
            return
        configured_mib, has_triggers = settings.sleep.fill_mib_per_second, self._sleeper.has_triggers
        if self._fill_rate.measure_when_due(now_ms, configured_mib, has_triggers=has_triggers) and settings.verbose:
            self._tell(FillRateMeasured(self._fill_per_second()))

    def _fill_per_second(self) -> int:
        """Bytes that programs can take in a second."""
        configured_mib = self._driver.config.sleep.fill_mib_per_second
        return self._fill_rate.per_second(configured_mib, has_triggers=self._sleeper.has_triggers)

    def _pace_ms(self, now_ms: int) -> int:
        """Until the next reading, by what the last one found."""
        state, sleep = self._driver.state, self._driver.config.sleep
        if firing_now(state) and state.stage is Stage.WATCH:
            return min(max(state.hold_until_ms - now_ms, 0), sleep.watch_longest_ms)
        fill_per_second = self._fill_per_second()
        wait_ms = pace.sleep_ms(state.found, sleep, fill_per_second)
        if state.stage is Stage.SETTLE:
            return min(wait_ms, _SETTLE_SLEEP_MS)
        if not self._sleeper.has_triggers:
            return wait_ms
        eased_ms = self._ease.eased_ms(wait_ms, self._left, now_ms, fill_per_second)
        return max(_earliest(eased_ms, *(one.look_again_ms for one in state.found)), sleep.shortest_ms)

    def _sleep_ms(self, now_ms: int, due_ms: int | None) -> int:
        """Until the next reading, or until something else is due."""
        reading_ms = now_ms + _UNREADABLE_SLEEP_MS if due_ms is None else due_ms
        others_ms = self._dialogue.due_ms(), self._service_manager.due_ms(), self._readers.due_ms()
        wait_ms = max(_earliest(reading_ms, *others_ms) - now_ms, 0)
        if self._driver.config.verbose:
            self._tell(Sleeping(wait_ms))
        return wait_ms

    def _tell_service_manager(self, now_ms: int, *, has_read: bool) -> None:
        killer_pid = self._client.killer_pid if self._client.is_ready else 0
        dry_run = self._driver.config.dry_run
        status = standing(killer_pid, self._client.trouble, dry_run=dry_run, is_blind=not has_read)
        self._service_manager.tell(now_ms, status, has_read=has_read)
        self._feed_due_ms = self._service_manager.due_ms()

    def _clock_ms(self) -> int:
        return self._clock_ns() // 1_000_000


def _earliest(due_ms: int, *others_ms: int | None) -> int:
    """The first of these times; None: nothing is due."""
    other_ms = earliest(*others_ms)
    return due_ms if other_ms is None else min(due_ms, other_ms)
