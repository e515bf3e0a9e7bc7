"""Control of a peer process (tests/support/peer.py): what it sends, and what the killer answers."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from bustd_protocol import codec, limits
from bustd_protocol.messages import KillerHello, KillRequest, Message, MonitorHello, Verdict

from . import install, victims

_PEER = Path(__file__).with_name("peer.py")
_PATIENCE_SECONDS = 20


class Heard(Enum):
    """What was received in place of a message."""

    END = "the killer has closed the connection"
    NOTHING = "the killer has said nothing"


class Dialogue:
    """One peer process and its connection to the killer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._last_id = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def step(self, do: str, **details: object) -> dict[str, object]:
        """Let the peer do one thing. Returns its report."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], _PATIENCE_SECONDS)[0], f"the peer hangs in {do}"
        line = self.process.stdout.readline()
        assert line, f"the peer died of {do}"
        report: dict[str, object] = json.loads(line)
        return report

    def connect(self, path: Path) -> dict[str, object]:
        return self.step("connect", path=str(path))

    def send(self, *packets: bytes) -> dict[str, object]:
        """Send any bytes, one packet for each."""
        return self.step("send", packets=[packet.hex() for packet in packets])

    def say(self, *messages: Message) -> dict[str, object]:
        """Send messages of the protocol, whether it permits them at this point or not."""
        return self.send(*(codec.encode(message) for message in messages))

    def hear(self, seconds: float = 10.0) -> Message | Heard:
        """The next message from the killer, decoded as strictly as in production."""
        report = self.step("receive", seconds=seconds)
        if "packet" in report:
            return codec.decode(bytes.fromhex(str(report["packet"])))
        return Heard.END if "closed" in report else Heard.NOTHING

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def greet(self) -> KillerHello:
        """Send MonitorHello. Returns the killer's answer."""
        self.say(MonitorHello(self.next_id(), limits.VERSION, limits.VERSION, self.pid))
        hello = self.hear()
        assert isinstance(hello, KillerHello), hello
        return hello

    def ask(self, request: KillRequest) -> Verdict:
        """Ask for a kill. Returns the Verdict on this request."""
        self.say(request)
        verdict = self.hear()
        assert isinstance(verdict, Verdict), verdict
        assert verdict.id == request.id
        return verdict


@contextmanager
def stranger(*, as_nobody: bool = False) -> Iterator[Dialogue]:
    """A peer process that has not connected yet."""
    process = subprocess.Popen(
        [install.python(), "-I", "-c", _PEER.read_text()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=victims.NOBODY.pw_uid if as_nobody else None,
        group=victims.NOBODY.pw_gid if as_nobody else None,
        extra_groups=[] if as_nobody else None,
    )
    try:
        yield Dialogue(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


@contextmanager
def peer(socket_path: Path, *, greeted: bool = True, as_nobody: bool = False) -> Iterator[Dialogue]:
    """A peer process that is connected and, unless `greeted` is false, has sent MonitorHello."""
    with stranger(as_nobody=as_nobody) as dialogue:
        report = dialogue.connect(socket_path)
        assert "error" not in report, report
        if greeted:
            dialogue.greet()
        yield dialogue
