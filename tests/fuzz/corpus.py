"""The corpus in the tree: a file for each target, with an input in each line, as a literal of Python's bytes.

It is so kept because thousands of files of a few bytes each are no help to people who read the tree.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = Path(__file__).with_name("corpus")
MOST_BYTES = 200_000
"""Of all files together."""


def path_of(target: str) -> Path:
    """Where its inputs are."""
    return FOLDER / f"{target}.txt"


def inputs(target: str) -> list[bytes]:
    """Every input that is kept for the target."""
    found = [ast.literal_eval(line) for line in path_of(target).read_text().splitlines()]
    assert all(type(one) is bytes for one in found), target
    return found


def keep(target: str, found: Iterable[bytes]) -> None:
    """Write the file: the shortest first, each once."""
    lines = [repr(one) for one in sorted(set(found), key=lambda one: (len(one), one))]
    FOLDER.mkdir(exist_ok=True)
    path_of(target).write_text("".join(f"{line}\n" for line in lines))


def unpacked(target: str, folder: Path) -> Path:
    """The inputs as single files in a folder, as libFuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in inputs(target) if path_of(target).exists() else []:
        (folder / hashlib.sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)
    return folder


def grown(run: Callable[[bytes], None], there: list[bytes], found: Iterable[bytes], most_bytes: int) -> list[bytes]:
    """What is there stays. Of what was found the shortest inputs join that reach what no other reaches, as far as fits.

    What is reached are steps from one line of bustd's code to the next.
    """
    reached = {step for one in there for step in steps_of(run, one)}
    chosen = list(there)
    room = most_bytes - sum(len(repr(one)) + 1 for one in there)
    for one in sorted(set(found), key=lambda one: (len(one), one)):
        steps = steps_of(run, one)
        if steps - reached and len(repr(one)) < room:
            room -= len(repr(one)) + 1
            reached |= steps
            chosen.append(one)
    return chosen


def steps_of(run: Callable[[bytes], None], data: bytes) -> set[tuple[object, int, int]]:
    """The pairs of lines of bustd's own code that follow each other in a function."""
    steps: set[tuple[object, int, int]] = set()
    last: dict[FrameType, int] = {}

    def traced(frame: FrameType, _event: str, _argument: Any) -> Any:
        if "/bustd_" not in frame.f_code.co_filename:
            return None
        steps.add((frame.f_code, last.get(frame, 0), frame.f_lineno))
        last[frame] = frame.f_lineno
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return steps
