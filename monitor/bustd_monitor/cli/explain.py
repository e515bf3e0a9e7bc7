"""`bustd explain`: what would it do, and why? Reads, shows, and kills nothing."""

from __future__ import annotations

import argparse
import os
import sys
import time

from bustd_common.log import printable

from ..deciding import agreement
from ..deciding.conditions import findings
from ..deciding.pace import sleep_ms
from ..deciding.reading import Reading
from ..deciding.stalls import Stalls, advanced
from ..ranking.order import Ranking, Terms
from ..ranking.shortlist import Shortlist
from ..reporting import sentences
from ..reporting.describe import describe
from ..sensing.sensor import Sensor, Unreadable
from . import options as cli_options

_SHOWN = 10
_BETWEEN_READINGS_S = 1.0


def explain(options: argparse.Namespace) -> int:
    """Exit code 0; 69 where the machine can't be read, 78 where the configuration is wrong."""
    settings = cli_options.load(options)
    if settings is None:
        return os.EX_CONFIG
    try:
        sensor = Sensor()
        stalls, reading = _two_readings(sensor)
        sensor.close()
    except Unreadable as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_UNAVAILABLE
    conditions = settings.monitor.conditions
    print(f"Now: {sentences.readings(reading)}")
    if sensor.pressure_trouble:
        print(f"No PSI: {sensor.pressure_trouble}")
    print("\nConditions:")
    found = findings(reading, stalls, conditions)
    for finding in found:
        state = f"FIRES, SIG{finding.signal.name}" if finding.fires else "scarce" if finding.is_scarce else "quiet"
        print(f"  {finding.name:9} {state}: {sentences.demands(finding.name, reading, conditions)}")
        if not finding.is_scarce:
            print(f"            {sentences.size(finding.headroom)} away")
    for name in conditions._fields:
        if name not in [finding.name for finding in found]:
            print(f"  {name:9} off")
    killer = settings.killer
    for warning in agreement.outside_the_killers_limits(
        settings.monitor, killer.available_percent, killer.pressured_available_percent, killer.pressure_some_avg10
    ):
        print(f"  warning: {warning}")
    print(f"  the next look would be in {sleep_ms(found, settings.monitor.sleep)} ms, or when PSI says so")
    minimum = min(killer.minimum_mib * 2**20, reading.ram * killer.minimum_percent // 100)
    shortlist = Shortlist(only_descendants_of=settings.arguments.only_descendants_of)
    shortlist.remember_commands(settings.monitor.victims)
    terms = Terms(settings.monitor.victims, settings.protection, minimum, settings.arguments.only_uid)
    _show_ranking(shortlist.rank(terms))
    return os.EX_OK


def _two_readings(sensor: Sensor) -> tuple[Stalls, Reading]:
    """Two readings a second apart, because stalls are judged by their growth."""
    stalls, reading = Stalls(), None
    for pause_s in (_BETWEEN_READINGS_S, 0):
        reading = sensor.read()
        if reading is None:
            raise Unreadable("/proc/meminfo makes no sense")
        stalls = advanced(stalls, reading, time.monotonic_ns() // 1_000_000)
        time.sleep(pause_s)
    assert reading is not None
    return stalls, reading


def _show_ranking(ranking: Ranking) -> None:
    print(f"\nThe {_SHOWN} most likely victims, the first to die first:")
    for place, candidate in enumerate(ranking.candidates[:_SHOWN], 1):
        process = candidate.process
        print(
            f"  {place:2}. {process.pid} ({printable(process.comm)}) holding {sentences.size(process.held_bytes)}, "
            f"unit {process.unit or 'none'}: {candidate.why}"
        )
        print(f"      {describe(process.pid)}")
    if not ranking.candidates:
        print("  nobody: no process may be killed whose death would help")
    spared = [left for left in ranking.spared if left.process.held_bytes >= 2**20][:_SHOWN]
    if spared:
        print("\nLeft out:")
        for left in spared:
            process = left.process
            print(f"  {process.pid} ({printable(process.comm)}), {sentences.size(process.held_bytes)}: {left.why}")
