"""How a boot has ended, by what journald, logind and PID 1 have written: and by nobody else."""

from __future__ import annotations

from io import BytesIO

import pytest

from bustd_monitor.cli.entries import entries
from bustd_monitor.cli.history.boots import (
    JOURNAL_STARTED,
    JOURNAL_STOPPED,
    MATCHES,
    SHUTTING_DOWN,
    UNIT_STARTED,
    shut_down,
)
from tests.unit.cli.history.making import BEFORE, THIS


def mark(at_s: float, boot: str = BEFORE, **fields: str) -> bytes:
    text = {"__MONOTONIC_TIMESTAMP": f"{at_s * 1e6:.0f}", "_BOOT_ID": boot, **fields}
    return b"".join(f"{name}={value}\n".encode() for name, value in text.items()) + b"\n"


def started(at_s: float = 1, boot: str = BEFORE) -> bytes:
    return mark(at_s, boot, MESSAGE_ID=JOURNAL_STARTED, _TRANSPORT="driver")


def stopped(at_s: float, boot: str = BEFORE) -> bytes:
    return mark(at_s, boot, MESSAGE_ID=JOURNAL_STOPPED, _TRANSPORT="driver")


LOGIND = {"MESSAGE_ID": SHUTTING_DOWN, "_SYSTEMD_UNIT": "systemd-logind.service", "_TRANSPORT": "journal"}
PID_1 = {"MESSAGE_ID": UNIT_STARTED, "_PID": "1", "UNIT": "shutdown.target", "_TRANSPORT": "journal"}


def ended(*stream: bytes) -> frozenset[str]:
    return shut_down(entries(BytesIO(b"".join(stream))))


def test_a_journal_that_was_stopped_last_ended_by_a_shutdown() -> None:
    assert ended(started(), stopped(500)) == {BEFORE}


def test_a_journal_that_was_restarted_later_did_not() -> None:
    """An update of systemd restarts it, and the initramfs has one of its own."""
    assert ended(started(1), stopped(2), started(3)) == frozenset()
    assert ended(started(1), stopped(2), started(3), stopped(4)) == {BEFORE}


def test_by_the_clock_of_the_boot_and_not_by_the_order_in_the_journal() -> None:
    assert ended(stopped(500), started(1)) == {BEFORE}
    assert ended(started(3), stopped(2), started(1)) == frozenset()


@pytest.mark.parametrize("said", [LOGIND, PID_1])
def test_where_var_is_unmounted_before_logind_or_pid_1_has_said_it(said: dict[str, str]) -> None:
    assert ended(started(), mark(500, **said)) == {BEFORE}


def test_a_boot_of_which_nothing_but_the_start_is_there_did_not_and_neither_did_one_without_any() -> None:
    assert ended(started()) == frozenset()
    assert ended() == frozenset()


def test_each_boot_has_its_own_end() -> None:
    assert ended(started(1, BEFORE), started(1, THIS), stopped(9, THIS)) == {THIS}


@pytest.mark.parametrize(
    "forged",
    [
        {"MESSAGE_ID": JOURNAL_STOPPED, "_TRANSPORT": "journal", "_SYSTEMD_UNIT": "user@1000.service"},
        {"MESSAGE_ID": JOURNAL_STOPPED},
        LOGIND | {"_SYSTEMD_UNIT": "user@1000.service"},
        PID_1 | {"_PID": "4711"},
        PID_1 | {"UNIT": "other.target"},
        LOGIND | {"MESSAGE_ID": UNIT_STARTED},
    ],
)
def test_what_any_user_can_write_ends_no_boot(forged: dict[str, str]) -> None:
    assert ended(started(), mark(500, **forged)) == frozenset()


def test_each_part_of_what_journalctl_is_asked_for_has_a_field_that_journald_alone_sets() -> None:
    parts = " ".join(MATCHES).split(" + ")
    assert len(parts) == 3
    assert all(any(word.startswith("_") for word in part.split()) for part in parts)
