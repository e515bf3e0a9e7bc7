"""The killer's side: its real slot, rate and checks (bustd_killer.flight) on the simulated machine's files.

What is simulated is the socket, and that a verdict takes a moment.
"""

from __future__ import annotations

from collections import deque

from bustd_killer.checks import Guard, own_pids
from bustd_killer.facts import MachineFiles
from bustd_killer.flight import Kills
from bustd_killer.policy import Policy
from bustd_killer.stage1.handing_on import LIMITS
from bustd_killer.stage1.memory_min import agreed_percent
from bustd_protocol import limits
from bustd_protocol.connection import Connection
from bustd_protocol.messages import KillerHello, KillRequest, Message, MonitorHello, Ping, Pong
from bustd_protocol.session import Role
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import minimum_bytes

from .files import OWN_PARENT, OWN_PID
from .machine import Machine

_KILLER_PID = 398
_LONG_AGO_MS = 3_600_000


class Asked:
    """A request and what became of it."""

    def __init__(self, at_s: float, request: KillRequest) -> None:
        self.at_s = at_s
        self.request = request
        self.answer = ""


class Killer:
    """The killer, and the socket between it and the monitor: what is sent is heard at once."""

    def __init__(self, machine: Machine, config: dict[str, object] | None = None) -> None:
        self._machine = machine
        self._config = killer_toml.config_of(config or {})
        protection = killer_toml.protection_of(self._config)
        told = {name: getattr(self._config, name) for name in LIMITS}
        told["available_percent"] = agreed_percent(told["available_percent"], "/sys/fs/cgroup")
        policy = Policy(0, protection, **told, hierarchy="/sys/fs/cgroup")
        self.protection = protection
        self._guard = Guard(policy, MachineFiles(), own_pids(_KILLER_PID, OWN_PARENT, OWN_PID))
        self._kills = Kills(self.now_ms() - _LONG_AGO_MS, policy)
        self._connection = Connection(Role.KILLER)
        self._words: deque[bytes] = deque()
        self._looked_deaths = -1
        self.condition = ""
        self.asked: list[Asked] = []

    def now_ms(self) -> int:
        return int(self._machine.now_s * 1000) + 10**9

    @property
    def speaks(self) -> bool:
        return bool(self._words)

    @property
    def is_in_flight(self) -> bool:
        return self._kills.flight is not None

    def cause(self, number: int) -> str:
        """What a process died of, for the account of the scene."""
        return f"{self.condition} SIG{'KILL' if number == 9 else 'TERM'}"

    def hear(self, packet: bytes) -> None:
        message = self._connection.receive(packet, False, False)
        now_ms = self.now_ms()
        if isinstance(message, MonitorHello):
            self._say(self._hello(message, now_ms))
        elif isinstance(message, Ping):
            self._say(Pong(message.id))
        elif isinstance(message, KillRequest):
            self.condition = message.condition.decode()
            asked = Asked(self._machine.now_s, message)
            self.asked.append(asked)
            answer = self._kills.answer(message, self._guard, now_ms)
            asked.answer = answer.sentence
            self._say(answer.verdict)

    def follow(self) -> None:
        """Look after the kill in flight, when something has died or a deadline is there."""
        due_ms = self._kills.due_ms()
        died = len(self._machine.processes)
        if due_ms is None or (died == self._looked_deaths and self.now_ms() < due_ms):
            return
        self._looked_deaths = died
        ending = self._kills.follow(self.now_ms(), self._guard)
        if ending is not None and ending.exited is not None and self._connection.awaits_exit:
            self._say(ending.exited)

    def _say(self, message: Message) -> None:
        self._words.append(self._connection.send(message))

    def _hello(self, hello: MonitorHello, now_ms: int) -> KillerHello:
        policy = self._guard.policy
        least = minimum_bytes(int(self._machine.ram), policy.minimum_mib, policy.minimum_percent)
        wait_ms = self._kills.rate.wait_ms(now_ms)
        times = (policy.term_ms, policy.stuck_ms)
        return KillerHello(
            hello.id,
            limits.VERSION,
            _KILLER_PID,
            policy.claimed_percent,
            least,
            policy.available_percent,
            *times,
            0,
            0,
            0,
            0,
            wait_ms,
        )

    # --- the monitor's socket

    def setblocking(self, _is_blocking: bool) -> None:
        pass

    def fileno(self) -> int:
        return 9

    def close(self) -> None:
        raise AssertionError("the monitor has hung up")

    def send(self, packet: bytes, _flags: int) -> None:
        self.hear(packet)

    def receive_packet(self, _most_bytes: int) -> tuple[bytes, bool, bool]:
        if not self._words:
            raise BlockingIOError
        return self._words.popleft(), False, False
