"""The history as JSON: plain values, times as microseconds since 1970 and as ISO 8601 in UTC, amounts in bytes."""

from __future__ import annotations

import time

from .boots import BootEnd
from .facts import facts
from .lines import KILLER, MONITOR
from .sources import Known
from .stories import Story, is_killers


def all_of(known: Known, told: list[Story]) -> dict[str, object]:
    """Every story, the oldest first, as `bustd history` numbers them; and the boots without a shutdown."""
    return {
        "source": known.source,
        "notes": list(known.notes),
        "stories": [_summary(number, story) for number, story in zip(range(len(told), 0, -1), told, strict=True)],
        "boots_without_shutdown": [
            {"boot": boot, "last_entry_us": end.last_us, "is_of_any_program": end.is_of_all}
            for boot, end in known.unclean.items()
        ],
    }


def one_of(number: int, story: Story, unclean: BootEnd | None) -> dict[str, object]:
    """One story with its entries."""
    return {
        **_summary(number, story),
        "boot_ended_without_shutdown": unclean is not None,
        "events": [
            {
                "after_decision_us": moment.at_us - story.began.at_us,
                "time_us": moment.entry.time_us,
                "from": KILLER if is_killers(moment.entry) else MONITOR,
                "kind": moment.entry.kind.name if moment.entry.kind is not None else None,
                "message": moment.entry.message,
            }
            for moment in story.moments
        ],
    }


def _summary(number: int, story: Story) -> dict[str, object]:
    its = facts(story)
    time_us = story.began.entry.time_us
    return {
        "number": number,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_us // 1_000_000)),
        "time_us": time_us,
        "boot": story.boot,
        "end": its.end.value,
        "victim": None
        if its.pid is None
        else {"pid": its.pid, "comm": its.comm, "uid": its.uid, "unit": its.unit, "held_bytes": its.held_bytes},
        "condition": its.condition,
        "signal": its.signal,
        "refusal": its.reason,
        "next": [one._asdict() for one in its.next_ones],
        "available_bytes": its.available,
        "total_bytes": its.total,
        "elapsed_ms": its.elapsed_ms,
        "came_back_bytes": its.came_back,
        "killed_by_kernel": its.killed_by_kernel,
    }
