"""Valid messages at the wrong point, peers that send nothing or too much, and peers of the wrong user."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bustd_protocol import codec, limits
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Outcome,
    Ping,
    Pong,
    Reason,
    Verdict,
)
from tests.support import victims
from tests.support.dialogue import Dialogue, Heard, peer, stranger
from tests.support.honest import all_survive, is_served, kill, request_for
from tests.support.killer import Killer, killer

pytestmark = pytest.mark.attack("a captured monitor")

PUT_OUT_OF_PLACE: dict[str, tuple[Callable[[KillRequest], Message], str]] = {
    "a killer's Hello": (
        lambda request: KillerHello(1, 2, request.pid, 50, 0, 25, 2000, 5000, 0, 0, 0, 0, 0),
        "the monitor may not send KillerHello",
    ),
    "a Verdict": (
        lambda request: Verdict(request.id, Outcome.SIGNALLED, Reason.NONE),
        "the monitor may not send Verdict",
    ),
    "an Exited": (lambda request: Exited(request.id, Fate.GONE, 1), "the monitor may not send Exited"),
    "a Pong without a Ping": (lambda request: Pong(1), "the monitor may not send Pong"),
}


def descriptors_of(daemon: Killer) -> int:
    """How many descriptors the killer has open. The kernel tells only root."""
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def is_cut_off(liar: Dialogue) -> bool:
    """Whether the connection ends without another message from the killer."""
    return liar.hear() is Heard.END


@pytest.mark.parametrize("case", PUT_OUT_OF_PLACE)
@pytest.mark.parametrize("greeted", [True, False], ids=["after Hello", "before Hello"])
def test_the_killers_own_messages_are_not_the_monitors_to_send(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], case: str, greeted: bool
) -> None:
    make, sentence = PUT_OUT_OF_PLACE[case]
    request = request_for(victim.pid)
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path, greeted=greeted) as liar:
            liar.say(make(request), request)
            assert is_cut_off(liar)
        assert daemon.has_said(f"violation by pid {liar.pid}: {sentence}")
        assert is_served(daemon, victim)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("request", "the monitor may not send KillRequest while start"),
        ("ping", "the monitor may not send Ping while start"),
    ],
)
def test_before_hello_nothing_is_answered(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], word: str, sentence: str
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path, greeted=False) as liar:
            liar.say(request_for(victim.pid) if word == "request" else Ping(1))
            assert is_cut_off(liar)
        assert daemon.has_said(f"violation by pid {liar.pid}: {sentence}")
        assert is_served(daemon, victim)


@pytest.mark.parametrize(("lowest", "highest"), [(3, 255), (0, 1), (2, 1), (255, 3)])
def test_a_hello_without_version_2_is_no_hello(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], lowest: int, highest: int
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path, greeted=False) as liar:
            liar.say(MonitorHello(1, lowest, highest, liar.pid), request_for(victim.pid))
            assert is_cut_off(liar)
        assert daemon.has_said(f"violation by pid {liar.pid}: versions {lowest} to {highest}, without 2")
        assert is_served(daemon, victim)


def test_after_bye_nothing_is_carried_out(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            liar.say(Bye(0, Farewell.SHUTDOWN), request_for(victim.pid))
            assert is_cut_off(liar)
        assert daemon.has_said(f"the monitor {liar.pid} is gone: it said Bye")
        assert is_served(daemon, victim)


def test_a_pid_in_hello_is_only_for_the_record(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """The socket identifies the monitor, so it can't make another process unkillable, nor itself killable."""
    with killer(place) as daemon, peer(daemon.socket_path, greeted=False) as liar:
        with all_survive(bystander):
            liar.say(MonitorHello(1, 2, 2, victim.pid))
            assert isinstance(liar.hear(), KillerHello)
            assert liar.ask(request_for(liar.pid)).reason is Reason.MONITOR
            kill(liar, victim)
        assert daemon.has_said(f"serving the monitor {liar.pid}, uid {os.geteuid()}")


def test_a_flood_ends_the_connection(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path, greeted=False) as flooder:
            most = limits.MESSAGES_PER_SECOND
            pings = range(2, 2 * most + 2)  # some tokens come back while they are sent
            flooder.say(MonitorHello(1, 2, 2, flooder.pid), *map(Ping, pings))
            heard = [flooder.hear() for _ in range(len(pings) + 1)]
            # A connection that is closed with packets unread is reset, which recv(2) says before it hands out the rest.
            hello, *answers = [message for message in heard if message is not Heard.END]
            assert isinstance(hello, KillerHello)
            assert most - 1 <= len(answers) < 2 * most
            assert answers == [Pong(number) for number in pings[: len(answers)]]
        assert daemon.has_said(f"violation by pid {flooder.pid}: more than {most} messages in a second")
        assert is_served(daemon, victim)


def test_a_new_connection_gives_a_flooder_nothing_back(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """The bucket is over all connections; the next monitor is let in as soon as there is room for its messages."""
    with killer(place) as daemon, all_survive(bystander):
        began = time.monotonic()
        answered = 0
        for _ in range(4):
            with peer(daemon.socket_path, greeted=False) as flooder:
                flooder.say(MonitorHello(1, 2, 2, flooder.pid), *map(Ping, range(2, 102)))
                while flooder.hear() is not Heard.END:
                    answered += 1
        assert answered <= limits.MESSAGES_PER_SECOND * (1 + time.monotonic() - began)
        assert is_served(daemon, victim)


def test_as_many_messages_as_are_permitted_are_no_flood(place: Path, victim: subprocess.Popen[bytes]) -> None:
    with killer(place) as daemon, peer(daemon.socket_path) as eager:
        pings = range(2, limits.MESSAGES_PER_SECOND)  # with MonitorHello and the request, exactly as many as permitted
        eager.say(*map(Ping, pings))
        assert [eager.hear() for _ in pings] == [Pong(number) for number in pings]
        kill(eager, victim)
        assert "violation" not in daemon.log()


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
def test_a_silent_peer_is_dropped_and_the_monitor_behind_it_is_served(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], leaves: bool
) -> None:
    with (
        killer(place) as daemon,
        all_survive(bystander),
        peer(daemon.socket_path, greeted=False) as silent,
        peer(daemon.socket_path, greeted=False) as honest,
    ):
        honest.say(MonitorHello(1, 2, 2, honest.pid))
        assert honest.hear(0.2) is Heard.NOTHING  # it waits in the backlog
        assert victims.is_alive(victim)
        if leaves:
            silent.step("close")
        hello = honest.hear()
        assert isinstance(hello, KillerHello)
        kill(honest, victim)
        if leaves:
            assert daemon.has_said(f"the monitor {silent.pid} is gone: end of file")
        else:
            assert daemon.has_said(f"violation by pid {silent.pid}: no Hello within 2000 ms")
            assert is_cut_off(silent)


def test_a_monitor_that_has_said_hello_may_be_silent_for_longer(place: Path, victim: subprocess.Popen[bytes]) -> None:
    with killer(place) as daemon, peer(daemon.socket_path) as calm:
        assert calm.hear(limits.HELLO_DEADLINE_MS / 1000 + 0.3) is Heard.NOTHING
        kill(calm, victim)
        assert "violation" not in daemon.log()


@pytest.mark.parametrize("count", [1, 250])
@pytest.mark.parametrize("packet", ["a request", "an empty packet"])
def test_descriptors_are_a_violation_and_the_killer_keeps_none(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], count: int, packet: str
) -> None:
    body = codec.encode(request_for(victim.pid)) if packet == "a request" else b""
    with killer(place) as daemon:
        with peer(daemon.socket_path) as first:
            before = descriptors_of(daemon) if os.geteuid() == 0 else 0
            first.say(Bye(0, Farewell.SHUTDOWN))
            assert is_cut_off(first)
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            liar.step("send_descriptors", packet=body.hex(), count=count)
            assert is_cut_off(liar)
            assert liar.step("await_pipe_end", seconds=10)["ended"], "the killer has kept a descriptor"
        assert daemon.has_said(f"violation by pid {liar.pid}: an oversized packet, or descriptors attached")
        with peer(daemon.socket_path) as honest:
            assert os.geteuid() != 0 or descriptors_of(daemon) == before
            kill(honest, victim)


@pytest.mark.attack("a local user")
@pytest.mark.root
@pytest.mark.parametrize("liar_is_nobody", [True, False], ids=["nobody calls", "root calls"])
def test_a_peer_of_another_user_is_not_heard(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], liar_is_nobody: bool
) -> None:
    """Not even root is served: the uid must be the one that killer.toml names."""
    served, turned_away = (0, victims.NOBODY.pw_uid) if liar_is_nobody else (victims.NOBODY.pw_uid, 0)
    with killer(place, peer_uid=served) as daemon:
        assert daemon.socket_path.stat().st_uid == served
        assert daemon.socket_path.stat().st_mode & 0o777 == 0o600
        daemon.socket_path.chmod(0o666)  # open it to every user: SO_PEERCRED is still checked
        with (
            all_survive(victim, bystander),
            peer(daemon.socket_path, greeted=False, as_nobody=liar_is_nobody) as liar,
        ):
            liar.say(MonitorHello(1, 2, 2, liar.pid), request_for(victim.pid))
            assert is_cut_off(liar)
        sentence = f"refused a connection of uid {turned_away}, pid {liar.pid}: only uid {served} is served"
        assert daemon.has_said(sentence)
        with peer(daemon.socket_path, as_nobody=not liar_is_nobody) as honest:
            kill(honest, victim)


@pytest.mark.attack("a local user")
@pytest.mark.root
def test_another_user_cannot_even_connect(place: Path, victim: subprocess.Popen[bytes]) -> None:
    with killer(place) as daemon:
        with stranger(as_nobody=True) as liar:
            assert liar.connect(daemon.socket_path) == {"error": "PermissionError"}
        assert is_served(daemon, victim)


def test_a_peer_that_does_not_listen_is_hung_up_on(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """It sends and closes at once. The answers go nowhere, and the killer is not disturbed."""
    with killer(place) as daemon:
        with all_survive(victim, bystander), stranger() as rude:
            for _ in range(5):
                rude.connect(daemon.socket_path)
                rude.say(MonitorHello(1, 2, 2, rude.pid), *map(Ping, range(2, 20)))
                rude.step("close")
        assert is_served(daemon, victim)
