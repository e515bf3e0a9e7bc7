"""What a report leaves out: names and command lines, of a look and of the lines of a log.

A name is whatever somebody chose: that of a program, unit, control group, user, machine or file, and a rule. Of a look
the fields that hold one are emptied. In a line of a log a word stays only if it is a number or one of bustd's own.
"""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bustd_protocol import messages
from bustd_shared.daemon.log import printable
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import keys_of

from ..conditions import table
from ..config import SCHEMA
from ..ranking.order import Candidate
from ..ranking.rule_matches import RuleMatch
from ..ranking.what_may_die import Spared
from ..sensing.processes import Process
from .look import Look

LEFT_OUT = "…"

_SENTENCES_IN = (
    *("bustd_killer", "bustd_protocol", "bustd_shared.daemon", "bustd_monitor.reporting", "bustd_monitor.conditions"),
    *("bustd_monitor.amounts", "bustd_monitor.start", "bustd_monitor.batch", "bustd_monitor.client"),
    *("bustd_monitor.dialogue", "bustd_monitor.loop", "bustd_monitor.reclaimer", "bustd_monitor.sensing"),
)
"""Packages and modules of which every word may stay: nobody has chosen it on the machine of the report. The lists of
programs that are protected or avoided as shipped are in none of them: whether one of those runs is left out as well."""

_WORDS_OF_SYSTEMD = """
bustd-killer.service bustd-killer.socket bustd-monitor.service Started Starting Stopped Stopping Listening Closed
Deactivated Consumed CPU time Main process exited code=exited code=killed code=dumped Failed result Scheduled restart
job
"""

_CORE = re.compile(r"[\w%].*[\w%]|[\w%]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?%?")
_BY_PLACE = (
    (re.compile(r"(?<=\d )\([^(),]*"), f"({LEFT_OUT}"),  # 4711 (name)
    (re.compile(r"(?<=\bunit )[^,]*"), LEFT_OUT),
    (re.compile(r"(?<=\bcommand ).*?(?=, (?:holds|one of) \d|$)"), LEFT_OUT),
    (re.compile(r"(?<=\bnamed )\S+"), LEFT_OUT),
)
"""Where a name stands in our sentences: there it goes even if it is a word of ours, or a number."""


def without_names(look: Look) -> Look:
    """The same look with every name emptied. Numbers stay, PIDs too."""
    return look._replace(
        watching=masked(look.watching),
        pressure_trouble=masked(look.pressure_trouble),
        warnings=tuple(masked(warning) for warning in look.warnings),
        candidates=tuple(_candidate(candidate) for candidate in look.candidates),
        left_out=tuple(_spared(spared) for spared in look.left_out),
        matches=tuple(_match(match) for match in look.matches),
    )


def masked(line: str) -> str:
    """A line of a log without the words that somebody chose."""
    text = printable(line)
    for pattern, instead in _BY_PLACE:
        text = pattern.sub(instead, text)
    kept = " ".join(_word(word) for word in text.split(" "))
    return re.sub(rf"{LEFT_OUT}(?: {LEFT_OUT})+", LEFT_OUT, kept)


def _word(word: str) -> str:
    """The word, if it may stay; else what was around it, with an ellipsis inside."""
    core = _CORE.search(word)
    if core is None:
        return word
    if _NUMBER.fullmatch(core[0]) or core[0].lower() in _vocabulary():
        return word
    before = "(" if word.startswith("(") else ""
    after = word[-1] if word[-1] in ",;:)" else ""
    return f"{before}{LEFT_OUT}{after}"


@cache
def _vocabulary() -> frozenset[str]:
    texts = [_WORDS_OF_SYSTEMD, *table.BY_NAME, *(text for name in _SENTENCES_IN for text in _texts_of(name))]
    texts += [os.strerror(number) for number in errno.errorcode]
    for kind in (messages.Reason, messages.Outcome, messages.Fate, messages.Farewell, messages.Signal):
        texts += [name for one in kind for name in (one.name, f"SIG{one.name}")]
    texts += [name for schema in (SCHEMA, killer_toml.SCHEMA) for name, _ in keys_of(schema)]
    cores = (_CORE.search(word) for text in texts for word in text.split())
    return frozenset(core[0].lower() for core in cores if core is not None)


def _texts_of(name: str) -> Iterator[str]:
    """Every text in the source of a module, or of all in a package. The killer's is read, and never imported."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return
    places = spec.submodule_search_locations
    for path in Path(places[0]).rglob("*.py") if places else [Path(spec.origin)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _process(process: Process) -> Process:
    return process._replace(
        comm=LEFT_OUT.encode(),
        unit=LEFT_OUT if process.unit else "",
        cgroup=LEFT_OUT if process.cgroup else "",
        whole=LEFT_OUT if process.whole else "",
        command="",
    )


def _candidate(candidate: Candidate) -> Candidate:
    family = candidate.family
    if family is not None:
        kinship = family.kinship._replace(comm=LEFT_OUT.encode())
        family = family._replace(kinship=kinship, parent_comm=LEFT_OUT.encode())
    moves = tuple(move._replace(rule=LEFT_OUT if move.rule else "") for move in candidate.moves)
    service = LEFT_OUT if candidate.service else ""
    return candidate._replace(process=_process(candidate.process), moves=moves, family=family, service=service)


def _spared(spared: Spared) -> Spared:
    return spared._replace(process=_process(spared.process), rule=LEFT_OUT if spared.rule else "")


def _match(match: RuleMatch) -> RuleMatch:
    rule = match.rule._replace(shown=LEFT_OUT if match.rule.shown else "")
    largest = _process(match.largest) if match.largest else None
    return match._replace(rule=rule, largest=largest, nearest=LEFT_OUT if match.nearest else "")
