"""The flat record that stage 1 hands to stage 2 through an exec."""

import fcntl
import os

import msgpack
import pytest

from bustd_killer.policy import Policy, received
from bustd_killer.stage1.handing_on import LIMITS, TooLong, handed_on
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import policy

FULL = policy(
    protection=Protection(("ssh*.service", "\u00fc.scope"), (0, 2**32 - 1), (b"X\xff*", b""), (b"sshd",)),
    only_descendants_of=4711,
    hierarchy="/sys/fs/cgroup",
    group="/a.slice/b.service",
    monitor=2,
    subject=3,
    listener=4,
    link=5,
    log_link=6,
    watchdog=7,
    log_form=24,
)


@pytest.mark.parametrize("given", [FULL, policy()], ids=["every field", "defaults"])
def test_what_arrives_is_what_was_handed_on(given):
    descriptor = handed_on(given)
    assert not os.get_inheritable(descriptor)
    arrived = received(descriptor)
    assert (arrived, type(arrived.protection)) == (given, Protection)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_every_limit_is_one_of_the_configuration_and_of_the_policy():
    assert set(LIMITS) <= set(killer_toml.KillerConfig._fields) & set(Policy._fields)


@pytest.mark.parametrize("count", [8_000, 80_000])
def test_rules_that_are_longer_than_a_pipe_commonly_holds_arrive_too(count):
    many = policy(protection=Protection(names=tuple(b"%09d" % number for number in range(count))))
    assert received(handed_on(many)) == many


def test_rules_that_no_pipe_holds_are_said_and_nothing_stays_open(monkeypatch):
    real = fcntl.fcntl

    def as_an_ordinary_user(descriptor, command, *arguments):
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError(1, "Operation not permitted")
        return real(descriptor, command, *arguments)

    monkeypatch.setattr(fcntl, "fcntl", as_an_ordinary_user)
    many = policy(protection=Protection(names=(b"x" * 15,) * 5000))
    with pytest.raises(
        TooLong, match=r"^the rules in \[protect\] take \d+ bytes; 65536 is the most \(fs.pipe-max-size\)"
    ):
        handed_on(many)


@pytest.mark.parametrize("packed", [b"", b"\x90", msgpack.packb([1] * (len(Policy._fields) + 1)), b"\xc1"])
def test_anything_else_is_refused(packed):
    reader, writer = os.pipe()
    os.write(writer, packed)
    os.close(writer)
    with pytest.raises(ValueError):
        received(reader)
