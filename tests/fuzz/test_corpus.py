"""Every input of the corpus once, without atheris: what was a fault once, and what reaches the most code."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.fuzz import corpus, serving
from tests.fuzz.judging import Excess, judge
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_is_a_fault(name: str) -> None:
    target, found = TARGETS[name], corpus.inputs(name)
    assert found
    for data in found:
        assert len(data) <= target.longest
        judge(target, data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_takes_much_memory(name: str) -> None:
    target = TARGETS[name]
    tracemalloc.start()
    try:
        for data in corpus.inputs(name):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            target.run(data)
            assert (tracemalloc.get_traced_memory()[1] - before) >> 20 <= target.most_mib
    finally:
        tracemalloc.stop()


def test_the_corpus_is_small_and_each_of_its_files_has_a_target() -> None:
    files = list(corpus.FOLDER.iterdir())
    assert {path.stem for path in files} == set(TARGETS)
    assert sum(path.stat().st_size for path in files) <= corpus.MOST_BYTES


def test_some_inputs_of_the_serving_loop_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its promises would be about nothing."""
    kills: list[int] = []
    begins = serving.World.begins
    monkeypatch.setattr(
        serving.World, "begins", lambda self, process, *rest: (kills.append(process.pid), begins(self, process, *rest))
    )
    for data in corpus.inputs("serving"):
        serving.serve(data)
    assert len(set(kills)) >= 5


@pytest.mark.parametrize(
    "run",
    [lambda _: 1 / 0, lambda _: sum(range(10**6)), lambda _: bytearray(b"1") * (64 << 20)],
    ids=["an exception", "time", "memory"],
)
def test_what_raises_or_takes_too_long_or_too_much_is_a_fault(run: object) -> None:
    with pytest.raises((ZeroDivisionError, Excess)):
        judge(Target(run, "", most_ms=1, most_mib=0), b"")  # type: ignore[arg-type]
