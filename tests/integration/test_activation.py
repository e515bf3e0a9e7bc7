"""The killer with a socket that its parent passes as systemd does. The right one is served; any other is an error."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bustd_shared import __version__
from tests.support import install, pair, victims
from tests.support.pair import PERMISSIVE

WRAPPER = """
import os, sys
pid, count, descriptors, command = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
high = [os.dup2(int(number), 100 + int(number)) for number in descriptors if number]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
if pid != "unset":
    os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "own" else pid
if count != "unset":
    os.environ["LISTEN_FDS"] = count
os.execv(command[0], command)
"""


@contextmanager
def activated(crew, place, descriptors: list[int], *, pid: str = "own", count: str | None = None, options=()):
    """A killer whose parent has put the descriptors at 3 and above, and announced them."""
    config = pair.write_policy(place / "killer.toml", {"peer.user": crew.monitor_uid, **PERMISSIVE})
    killer = [*pair.daemon("bustd_killer"), "--config", str(config), *pair.scope(), *options]
    listed = ",".join(str(number) for number in descriptors)
    command = [install.python(), "-I", "-c", WRAPPER, pid, str(len(descriptors)) if count is None else count, listed]
    with pair.started([*command, *killer], crew.identity, place / "killer.log", pass_fds=descriptors) as running:
        yield running


def listener(place, kind: int = socket.SOCK_SEQPACKET, *, listens: bool = True) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(f"{place}/killer.sock")
    (place / "killer.sock").chmod(0o666)
    if listens:
        made.listen()
    return made


def test_the_socket_of_its_parent_is_served_and_is_still_the_parents_after_it(crew, place):
    with listener(place) as passed, crew.victim() as leak, pair.lone_monitor(crew, place) as monitor:
        with activated(crew, place, [passed.fileno()]) as killer:
            monitor.await_line(f"connected to the killer {killer.pid}")
            assert victims.exits_within(leak, 15), monitor.log()
        monitor.await_line("lost the killer: it said Bye: shutdown")
        with activated(crew, place, [passed.fileno()]) as second:
            monitor.await_line(f"connected to the killer {second.pid}")


def test_a_monitor_that_is_in_the_backlog_before_the_killer_is_up_is_served(crew, place):
    with listener(place) as passed, pair.lone_monitor(crew, place, policy=pair.NEVER) as monitor:
        monitor.await_line("memory is (not )?locked")
        with activated(crew, place, [passed.fileno()]) as killer:
            killer.await_line(f"serving the monitor {monitor.pid}, uid {crew.monitor_uid}")
            assert "lost" not in monitor.log()


def test_an_option_for_a_socket_goes_before_what_is_passed(crew, place):
    options = ["--socket", f"{place}/other.sock"]
    with listener(place) as passed, activated(crew, place, [passed.fileno()], options=options) as killer:
        killer.await_line("Landlock")
        assert (place / "other.sock").is_socket()


@contextmanager
def nothing(_place) -> Iterator[list[int]]:
    yield []


@contextmanager
def stream(place) -> Iterator[list[int]]:
    with listener(place, socket.SOCK_STREAM) as made:
        yield [made.fileno()]


@contextmanager
def datagram(place) -> Iterator[list[int]]:
    with listener(place, socket.SOCK_DGRAM, listens=False) as made:
        yield [made.fileno()]


@contextmanager
def deaf(place) -> Iterator[list[int]]:
    with listener(place, listens=False) as made:
        yield [made.fileno()]


@contextmanager
def connected(_place) -> Iterator[list[int]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield [one.fileno()]


@contextmanager
def internet(_place) -> Iterator[list[int]]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield [made.fileno()]


@contextmanager
def pipe(_place) -> Iterator[list[int]]:
    with ExitStack() as stack:
        ends = [stack.enter_context(os.fdopen(end, mode)) for end, mode in zip(os.pipe(), "rw", strict=True)]
        yield [ends[0].fileno()]


@contextmanager
def file(place) -> Iterator[list[int]]:
    with (place / "file").open("w") as made:
        yield [made.fileno()]


@contextmanager
def two(place) -> Iterator[list[int]]:
    with listener(place) as one, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        yield [one.fileno(), other.fileno()]


NOT_ONE = "systemd passed {} sockets instead of one"
NOT_SO = "systemd passed a socket that is not a listening AF_UNIX SOCK_SEQPACKET one"


@pytest.mark.parametrize(
    ("passed", "sentence"),
    [
        (stream, NOT_SO),
        (datagram, NOT_SO),
        (deaf, NOT_SO),
        (connected, NOT_SO),
        (internet, NOT_SO),
        (pipe, "systemd passed something that is no socket"),
        (file, "systemd passed something that is no socket"),
        (two, NOT_ONE.format(2)),
        (nothing, NOT_ONE.format(0)),
    ],
)
def test_anything_but_one_listening_seqpacket_socket_is_an_error(crew, place, passed, sentence):
    with passed(place) as descriptors:
        refuses(crew, place, descriptors, sentence)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"pid": "1"}, "no socket: start it through"),
        ({"pid": "unset"}, "no socket: start it through"),
        ({"pid": "nonsense"}, "no socket: start it through"),
        ({"count": "unset"}, "no socket: start it through"),
        ({"count": "nonsense"}, NOT_ONE.format("nonsense")),
        ({"count": "-1"}, NOT_ONE.format("-1")),
    ],
)
def test_a_socket_meant_for_another_process_or_announced_wrongly_is_not_taken(crew, place, how, sentence):
    with listener(place) as passed:
        refuses(crew, place, [passed.fileno()], sentence, **how)


def test_a_descriptor_that_was_promised_and_is_not_open_is_an_error(crew, place):
    refuses(crew, place, [], "systemd passed", count="1")


def test_a_socket_path_that_can_not_be_had_is_an_error(crew, place):
    options = ["--socket", f"{place}/no/such/directory/killer.sock"]
    refuses(crew, place, [], "killer.sock: No such file or directory", pid="unset", options=options)


def test_a_socket_path_that_another_killer_serves_is_an_error(crew, place):
    with pair.lone_killer(crew, place) as first:
        second = {"pid": "unset", "options": ["--socket", f"{place}/killer.sock"]}
        with activated(crew, place, [], **second) as killer:
            assert killer.ends() == 78
        assert f"{place}/killer.sock is served by another bustd" in killer.log()
        with pair.lone_monitor(crew, place, policy=pair.NEVER) as monitor:
            monitor.await_line(f"connected to the killer {first.pid}")


def refuses(crew, place, descriptors: list[int], sentence: str, **how) -> None:
    """Check that the killer exits with 78 and says why, and nothing else except the lines of every start."""
    with activated(crew, place, descriptors, **how) as killer:
        assert killer.ends() == 78, killer.log()
    first, *lines = [line for line in killer.log().splitlines() if "oom_score_adj stays as it is" not in line]
    assert f"bustd-killer: bustd {__version__} kills at " in first
    assert len(lines) == 1, lines
    assert sentence in lines[0]
