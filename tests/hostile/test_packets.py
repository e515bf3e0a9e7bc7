"""Packets that are not messages: each would kill the victim if the killer guessed what was meant."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from bustd_protocol import codec, limits
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Farewell, KillRequest, Scope
from tests.support import victims
from tests.support.dialogue import Heard, peer
from tests.support.honest import all_survive, is_served, request_for
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

FIELDS = ("type", "version", *KillRequest._fields)


def with_(**values: object) -> Callable[[list[object]], bytes]:
    """The request with different values on the wire."""

    def altered(request: list[object]) -> bytes:
        return msgpack.packb([values.get(name, value) for name, value in zip(FIELDS, request, strict=True)])

    return altered


def padded_to(length: int) -> Callable[[list[object]], bytes]:
    return lambda request: msgpack.packb(request).ljust(length, b"\0")


NO_MESSAGE = "not a message"
UNFIT = "KillRequest: {} is of another type or out of range"
OVERSIZE = "an oversized packet, or descriptors attached"

CASES: dict[str, tuple[Callable[[list[object]], bytes], str]] = {
    "version 256": (with_(version=256), "version 256"),
    "version -1": (with_(version=-1), "version -1"),
    "version true": (with_(version=True), "not an array that starts with type, version and id"),
    "4097 bytes": (padded_to(limits.PACKET_BYTES + 1), OVERSIZE),
    "100,000 bytes": (padded_to(100_000), OVERSIZE),
    "4096 bytes, most of them after the message": (padded_to(limits.PACKET_BYTES), NO_MESSAGE),
    "a byte after the message": (lambda request: msgpack.packb(request) + b"\xc0", NO_MESSAGE),
    "two messages in one packet": (lambda request: msgpack.packb(request) * 2, NO_MESSAGE),
    "half a message": (lambda request: msgpack.packb(request)[:-3], NO_MESSAGE),
    "an extension type": (with_(pid=msgpack.ExtType(7, b"1234")), NO_MESSAGE),
    "an empty extension type": (with_(pid=msgpack.ExtType(7, b"")), UNFIT.format("pid")),
    "an extension type as the whole packet": (lambda request: msgpack.packb(msgpack.ExtType(5, b"1234")), NO_MESSAGE),
    "a timestamp": (with_(monotonic_ms=msgpack.Timestamp(1, 0)), NO_MESSAGE),
    "false as a number": (with_(scope=False), UNFIT.format("scope")),
    "true as an id": (with_(id=True), UNFIT.format("id")),
    "a float": (with_(claimed_bytes=0.0), UNFIT.format("claimed_bytes")),
    "nil": (with_(uid=None), UNFIT.format("uid")),
    "text instead of bytes": (with_(comm="leak"), NO_MESSAGE),
    "an array in the array": (with_(condition=[b"floor"]), UNFIT.format("condition")),
    "a map instead of the array": (lambda request: msgpack.packb(dict(enumerate(request))), NO_MESSAGE),
    "no array at all": (lambda request: b"\x05", "not an array that starts with type, version and id"),
    "an array of two": (lambda request: msgpack.packb(request[:2]), "not an array that starts with"),
    "a field too few": (lambda request: msgpack.packb(request[:-1]), "KillRequest with 10 fields instead of 11"),
    "a field too many": (lambda request: msgpack.packb([*request, 0]), "KillRequest with 12 fields instead of 11"),
    "an array that claims four billion elements": (lambda request: b"\xdd\xff\xff\xff\xff", NO_MESSAGE),
    "four thousand arrays in each other": (lambda request: b"\x91" * 4000, NO_MESSAGE),
    "unknown type": (with_(type=9), "unknown message type 9"),
    "type 0": (with_(type=0), "unknown message type 0"),
    "id 0": (with_(id=0), UNFIT.format("id")),
    "a Bye with an id": (lambda request: msgpack.packb([8, 2, 7, 0]), "Bye: id is of another type or out of range"),
    "process 0": (with_(pid=0), UNFIT.format("pid")),
    "a negative process, which kill(2) takes for a group": (with_(pid=-1), UNFIT.format("pid")),
    "a process beyond the kernel's": (with_(pid=2**22 + 1), UNFIT.format("pid")),
    "a start time of 64 bits": (with_(start_ticks=2**63), UNFIT.format("start_ticks")),
    "SIGSTOP": (with_(signal=19), UNFIT.format("signal")),
    "signal 0": (with_(signal=0), UNFIT.format("signal")),
    "unknown scope": (with_(scope=3), UNFIT.format("scope")),
    "a name of 65 bytes": (with_(comm=b"x" * 65), UNFIT.format("comm")),
    "members of 13 bytes": (with_(members=bytes(13)), UNFIT.format("members")),
    "331 members": (with_(members=bytes(331 * 12)), NO_MESSAGE),
    "a condition of 17 bytes": (with_(condition=b"x" * 17), UNFIT.format("condition")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_packet_ends_the_connection_and_nothing_else(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], case: str
) -> None:
    spoil, sentence = CASES[case]
    request: list[object] = list(msgpack.unpackb(codec.encode(request_for(victim.pid))))
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            liar.send(spoil(request))
            assert liar.hear() is Heard.END
        assert daemon.has_said(f"violation by pid {liar.pid}: {sentence}")
        assert is_served(daemon, victim)


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_a_request_of_another_version_is_answered_with_bye_in_that_version(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], version: int
) -> None:
    request: list[object] = list(msgpack.unpackb(codec.encode(request_for(victim.pid))))
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as other:
            other.send(with_(version=version)(request))
            report = other.step("receive", seconds=10)
            assert bytes.fromhex(str(report["packet"])) == msgpack.packb([8, version, 0, Farewell.VERSION])
            assert other.hear() is Heard.END
        assert daemon.has_said(f"the monitor {other.pid} is not served: it speaks version {version} of the protocol")
        assert is_served(daemon, victim)


@pytest.mark.parametrize("pid", [0, 2**22 + 1, 2**31, 2**32 - 1])
def test_a_member_that_no_process_can_be_is_none(place: Path, bystander: subprocess.Popen[bytes], pid: int) -> None:
    """pidfd_open(2) takes 31 bits; what can't be a PID must not end the killer."""
    with victims.victim(own_group=True) as leader, killer(place) as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as liar:
            request = request_for(leader.pid, scope=Scope.GROUP, members=packed_members([(pid, 1)]))
            assert liar.ask(request).signalled_count == 1
        assert is_served(daemon, bystander)


def test_an_empty_packet_is_the_end_of_the_connection(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            liar.send(b"", codec.encode(request_for(victim.pid)))
            assert liar.hear() is Heard.END
        assert daemon.has_said(f"the monitor {liar.pid} is gone: end of file")
        assert is_served(daemon, victim)


def test_a_request_of_which_nothing_was_spoiled_would_have_killed(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """The counterpart of every case above."""
    unspoiled = with_()(list(msgpack.unpackb(codec.encode(request_for(victim.pid)))))
    with killer(place) as daemon, all_survive(bystander), peer(daemon.socket_path) as honest:
        honest.send(unspoiled)
        assert victim.wait(5) == -9
