"""The alert rules, and the format of the metrics, as Prometheus' own tool judges them."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bustd_monitor.cli.memory_now import MemoryNow
from bustd_monitor.cli.metrics import counters, gauges
from bustd_monitor.cli.metrics.exposition import MetricFamily, series, text
from bustd_monitor.cli.protection import ProtectionNow
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from tests.support.told import told
from tests.unit.cli.metrics.test_counters import a_kill
from tests.unit.monitor.making import DEFAULTS, GIB, reading

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "packaging/prometheus/bustd.rules.yml"
CASES = ROOT / "tests/data/prometheus/bustd.rules.test.yml"

_BESIDE = Path(sys.prefix) / "bin/promtool"
PROMTOOL = str(_BESIDE) if _BESIDE.exists() else shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (Debian: prometheus)")


def promtool(*words: str, told: str = "") -> subprocess.CompletedProcess[str]:
    assert PROMTOOL
    return subprocess.run([PROMTOOL, *words], input=told, capture_output=True, text=True)


def metrics() -> list[MetricFamily]:
    """All that there is, after one kill."""
    seen = Seen(reading(GIB / 8))
    memory = MemoryNow(seen, DEFAULTS.conditions, findings(seen, DEFAULTS.conditions))
    families = gauges.families(ProtectionNow("watching", True), memory)
    return families + counters.families(counters.counted(told(*a_kill())))


@needs_promtool
def test_the_metrics_are_as_prometheus_wants_them():
    ended = promtool("check", "metrics", told=text(metrics(), ["bustd has counted"]))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@needs_promtool
@pytest.mark.parametrize(
    "broken",
    [
        text([MetricFamily("bustd_kills", "counter", "A counter without its ending.", {"bustd_kills": 1})]),
        'bustd_x{a="b} 1\n',
        text([MetricFamily("bustd_x_seconds", "gauge", "Twice.", {"bustd_x_seconds": 1})]) * 2,
    ],
)
def test_the_tool_complains_of_what_is_wrong(broken):
    assert promtool("check", "metrics", told=broken).returncode != 0


@needs_promtool
def test_a_label_with_every_odd_character_is_one_sample():
    odd = series("bustd_x", by='a"b\\c\nd|\u202e')
    assert (
        promtool("check", "metrics", told=text([MetricFamily("bustd_x", "gauge", "Odd.", {odd: math.inf})])).returncode
        == 0
    )


@needs_promtool
def test_the_rules_are_six_and_are_rules():
    ended = promtool("check", "rules", str(RULES))
    assert ended.returncode == 0 and "6 rules found" in ended.stdout


@needs_promtool
def test_each_rule_fires_when_it_should_and_not_otherwise():
    ended = promtool("test", "rules", str(CASES))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_rule_has_a_case_in_which_it_fires():
    alerts = set(re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE))
    fires = re.findall(r"alertname: (\w+)\n +exp_alerts:\n", CASES.read_text())
    assert set(fires) == alerts and len(alerts) == 6


def test_a_rule_asks_for_series_that_there_are():
    asked = set(re.findall(r"\bbustd_\w+", "".join(re.findall(r"^ +expr: (.*)$", RULES.read_text(), re.MULTILINE))))
    assert asked <= {family.name for family in metrics()}


def test_the_manual_names_every_series():
    page = (ROOT / "packaging/man/bustd.1.scd").read_text()
    for family in metrics():
        assert f"*{family.name.replace('_', chr(92) + '_')}*" in page, family.name
