"""`bustd replay FILE`: what would have been killed, when and why, in a trace or a table. Kills nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

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
from .options import Settings

EX_DIFFERENT = 1
_TIME_WIDTH = 9


class ReplayResult(NamedTuple):
    """What a replay with one configuration came to. `name`: that configuration's file, "" if it is the only one."""

    name: str
    kills: tuple[Kill, ...]


def replay(options: argparse.Namespace) -> int:
    """Exit code 0; 1 where two configurations differ; 65 for what can't be read; 78 for a wrong configuration."""
    path = options.file
    every_settings = []
    for config in options.configs or [None]:
        settings = cli_options.load(argparse.Namespace(**{**vars(options), "config": config}))
        if settings is None:
            return os.EX_CONFIG
        every_settings.append((config or "", settings))
    try:
        outcomes = []
        for name, settings in every_settings:
            if len(every_settings) > 1:
                print(f"With {printable(name)}:")
            outcomes.append(ReplayResult(name, _replayed(path, settings, is_csv=options.csv)))
            if len(every_settings) > 1:
                print()
    except BrokenPipeError:  # the reader of the output has seen enough
        raise
    except (TraceError, OSError) as error:
        sys.stdout.flush()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"bustd: {printable(path)}: {reason}\n")
        return os.EX_DATAERR
    if len(outcomes) == 1:
        return os.EX_OK
    lines = differences(*outcomes)
    print("\n".join(lines or ["No difference: the same kills, at the same times, for the same reasons."]))
    return EX_DIFFERENT if lines else os.EX_OK


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


def _replayed(path: str, settings: Settings, *, is_csv: bool) -> tuple[Kill, ...]:
    """Print what happens with these settings. Raises TraceError and OSError."""
    killer = settings.killer
    with _opened(path, is_csv=is_csv) as (header, frames):
        minimum = minimum_bytes(header.ram, killer)
        rules = KillerRules(settings.protection, minimum, killer.term_ms, killer.stuck_ms)
        _show_header(path, header)
        for warning in killer_warnings(settings.monitor.conditions, limits_in(killer)):
            print(f"warning: {warning}")
        run = Replay(header, settings.monitor, rules, _say)
        counts = {Sensed: 0, Listed: 0}
        at_ms = 0
        for frame in frames:
            at_ms = frame.at_ms
            if isinstance(frame, Truncated):
                print("warning: its last frame is cut off: the recorder did not come to its end")
            else:
                counts[type(frame)] += 1
                run.feed(frame)
        _say(at_ms, f"the end, after {counts[Sensed]} readings and {counts[Listed]} process tables")
    if run.in_flight:
        print(f"{run.in_flight.pid} was still in flight.")
    print(f"{_amount(run.kills)}.")
    return tuple(run.kills)


@contextmanager
def _opened(path: str, *, is_csv: bool) -> Iterator[tuple[Header, Iterator[Frame]]]:
    """Header and frames of a trace, or of a table of another tool."""
    with open(path, "rb") as file:
        if is_csv or path.lower().endswith(".csv"):
            yield read_table(file)
        else:
            decoder = Decoder(file)
            yield decoder.header, decoder.frames()


def _show_header(path: str, header: Header) -> None:
    name = printable(path.rpartition("/")[2])
    kernel = f", Linux {printable(header.release)}" if header.release else ""
    only = f", only descendants of {header.ancestor}" if header.ancestor else ""
    print(f"{name}: {size(header.ram)} of memory{kernel}; by {printable(header.writer)}{only}")


def _say(at_ms: int, sentence: str) -> None:
    print(f"{_time(at_ms)}  {printable(sentence)}")


def _time(at_ms: int) -> str:
    return f"{at_ms / 1000:{_TIME_WIDTH - 2}.1f} s"


def _amount(kills: list[Kill]) -> str:
    return "No process would have been killed" if not kills else "1 kill" if len(kills) == 1 else f"{len(kills)} kills"
