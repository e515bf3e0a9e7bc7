"""The text format of Prometheus."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.cli.metrics.exposition import MetricFamily, samples_in, series, text


def test_a_family_has_its_help_its_type_and_its_samples():
    shown = text(
        [MetricFamily("a_total", "counter", "What it is.", {series("a_total", by="x"): 3, "a_total": 0.5})], ["hi"]
    )
    assert shown == '# hi\n# HELP a_total What it is.\n# TYPE a_total counter\na_total{by="x"} 3\na_total 0.5\n'


def test_a_label_forges_no_sample():
    assert series("a", by='"} 1\nb 2\\') == 'a{by="\\"} 1\\nb 2\\\\"}'


def test_numbers_are_written_as_they_are():
    values = {"a": 0.0, "b": 12345678901, "c": 0.123456789, "d": math.inf, "e": True}
    shown = text([MetricFamily("a", "gauge", "", values)]).splitlines()[2:]
    assert shown == ["a 0", "b 12345678901", "c 0.123456789", "d +Inf", "e 1"]


def test_what_was_written_is_read_back():
    samples = {series("a", by="x y"): 3.0, "b": math.inf, "c": 0.25}
    assert samples_in(text([MetricFamily("a", "gauge", "A sentence 5", samples)], ["a comment 7"])) == samples


@given(st.text())
def test_any_text_is_read_without_an_error(content):
    assert all(isinstance(value, float) for value in samples_in(content).values())
