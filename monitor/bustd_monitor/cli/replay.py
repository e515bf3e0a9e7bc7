"""`bustd replay FILE`: what would have been killed, when and why, in a trace or a table. Kills nothing."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import BinaryIO

from bustd_shared.daemon.log import printable
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import minimum_bytes

from ..conditions.killer_limits import limits_in
from ..conditions.table import killer_warnings
from ..reporting.sentences import size
from ..traces.format import Decoder, Frame, Header, Listed, Sensed, Truncated
from ..traces.records import TraceError
from ..traces.replaying import Kill, KillerRules, Replay
from ..traces.table_import import read_table
from . import options as cli_options
from .json_text import document, plain
from .options import Settings

EX_DIFFERENT = 1
STANDARD_INPUT = "-"
_TIME_WIDTH = 9


class ReplayResult(NamedTuple):
    """What a replay with one configuration came to. `name`: that configuration's file, "" if it is the only one.

    `log`: what was said, with the milliseconds since the trace began. `in_flight`: the kill that had not ended.
    """

    name: str
    kills: tuple[Kill, ...]
    header: Header | None = None
    log: tuple[tuple[int, str], ...] = ()
    warnings: tuple[str, ...] = ()
    in_flight: Kill | None = None


def replay(options: argparse.Namespace) -> int:
    """Exit code 0; 1 where two configurations differ; 65 for what can't be read; 78 for a wrong configuration."""
    every_settings = []
    for config in options.configs or [None]:
        settings = cli_options.load(argparse.Namespace(**{**vars(options), "config": config}))
        if settings is None:
            return os.EX_CONFIG
        every_settings.append((config or "", settings))
    path, tell = options.file, _nothing if options.json else print
    name = "standard input" if path == STANDARD_INPUT else path.rpartition("/")[2]
    outcomes = []
    try:
        content = sys.stdin.buffer.read() if path == STANDARD_INPUT else None
        for config, settings in every_settings:
            if len(every_settings) > 1:
                tell(f"With {printable(config)}:")
            with _source(path, content) as file:
                is_csv = options.csv or path.lower().endswith(".csv")
                outcomes.append(_replayed(name, config, file, settings, tell, is_csv=is_csv))
            if len(every_settings) > 1:
                tell("")
    except BrokenPipeError:  # the reader of the output has seen enough
        raise
    except (TraceError, OSError) as error:
        sys.stdout.flush()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"bustd: {printable(name if path == STANDARD_INPUT else path)}: {reason}\n")
        return os.EX_DATAERR
    lines = differences(*outcomes) if len(outcomes) > 1 else []
    if options.json:
        print(replay_json(outcomes, is_different=bool(lines)))
    elif len(outcomes) > 1:
        print("\n".join(lines or ["No difference: the same kills, at the same times, for the same reasons."]))
    return EX_DIFFERENT if lines else os.EX_OK


def replay_json(outcomes: list[ReplayResult], *, is_different: bool) -> str:
    """One object for programs; bustd(1), JSON, lists its keys."""
    return document({"replays": [_plain(outcome) for outcome in outcomes], "differ": is_different})


def _plain(outcome: ReplayResult) -> dict[str, object]:
    assert outcome.header is not None, "a replay that has ended has read its header"
    header, flying = outcome.header, outcome.in_flight
    return {
        "config": plain(outcome.name),
        "ram_bytes": header.ram,
        "kernel": plain(header.release),
        "recorded_by": plain(header.writer),
        "warnings": [plain(warning) for warning in outcome.warnings],
        "kills": [_plain_kill(kill) for kill in outcome.kills],
        "in_flight_pid": flying.pid if flying else None,
        "log": [{"at_ms": at_ms, "sentence": plain(sentence)} for at_ms, sentence in outcome.log],
    }


def _plain_kill(kill: Kill) -> dict[str, object]:
    return {
        "at_ms": kill.at_ms,
        "condition": kill.condition,
        "signal": kill.signal.name,
        "pid": kill.pid or None,
        "start_ticks": kill.start_ticks,
        "comm": plain(kill.comm),
        "scope": kill.scope.name.lower(),
        "kin": kill.kin,
    }


def differences(one: ReplayResult, other: ReplayResult) -> list[str]:
    """Lines for people on the kills that are not the same, in their order; none if all of them are."""
    lines = []
    for number, (left, right) in enumerate(zip_longest(one.kills, other.kills), 1):
        if left != right:
            lines.append(f"Kill {number} differs:")
            for name, kill in ((one.name, left), (other.name, right)):
                what = f"{_time(kill.at_ms)}  {kill}" if kill else f"{'':{_TIME_WIDTH}}  no kill"
                lines.append(f"  {what}  ({printable(name)})")
    return lines


def _replayed(
    name: str, config: str, file: BinaryIO, settings: Settings, tell: Callable[[str], None], *, is_csv: bool
) -> ReplayResult:
    """What happens with these settings; it is told as it happens. Raises TraceError and OSError."""
    killer = settings.killer
    log: list[tuple[int, str]] = []

    def say(at_ms: int, sentence: str) -> None:
        log.append((at_ms, sentence))
        tell(f"{_time(at_ms)}  {printable(sentence)}")

    header, frames = _opened(file, is_csv=is_csv)
    rules = KillerRules(settings.protection, minimum_bytes(header.ram, killer), killer.term_ms, killer.stuck_ms)
    tell(_of_header(name, header))
    warnings = killer_warnings(settings.monitor.conditions, limits_in(killer))
    for warning in warnings:
        tell(f"warning: {warning}")
    run = Replay(header, settings.monitor, rules, say)
    counts = {Sensed: 0, Listed: 0}
    at_ms = 0
    for frame in frames:
        at_ms = frame.at_ms
        if isinstance(frame, Truncated):
            warnings = [*warnings, "its last frame is cut off: the recorder did not come to its end"]
            tell(f"warning: {warnings[-1]}")
        else:
            counts[type(frame)] += 1
            run.feed(frame)
    say(at_ms, f"the end, after {counts[Sensed]} readings and {counts[Listed]} process tables")
    if run.in_flight:
        tell(f"{run.in_flight.pid} was still in flight.")
    tell(f"{_amount(run.kills)}.")
    return ReplayResult(config, tuple(run.kills), header, tuple(log), tuple(warnings), run.in_flight)


def _opened(file: BinaryIO, *, is_csv: bool) -> tuple[Header, Iterator[Frame]]:
    """Header and frames of a trace, or of a table of another tool."""
    if is_csv:
        return read_table(file)
    decoder = Decoder(file)
    return decoder.header, decoder.frames()


def _source(path: str, content: bytes | None) -> BinaryIO:
    """The file, or what was read of standard input: that can be read once, and two configurations need it twice."""
    return open(path, "rb") if content is None else io.BytesIO(content)


def _nothing(_line: str) -> None:
    """For JSON: what is told on the way is in the object."""


def _of_header(name: str, header: Header) -> str:
    kernel = f", Linux {printable(header.release)}" if header.release else ""
    only = f", only descendants of {header.ancestor}" if header.ancestor else ""
    return f"{printable(name)}: {size(header.ram)} of memory{kernel}; by {printable(header.writer)}{only}"


def _time(at_ms: int) -> str:
    return f"{at_ms / 1000:{_TIME_WIDTH - 2}.1f} s"


def _amount(kills: list[Kill]) -> str:
    return "No process would have been killed" if not kills else "1 kill" if len(kills) == 1 else f"{len(kills)} kills"
