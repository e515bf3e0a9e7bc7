"""What each rule matches among the processes of this moment. Pure; for commands, which may look at every process."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import SHIPPED_NAMES, SHIPPED_UNITS, KillerConfig

from ..sensing.processes import Process
from .matching import matched_by
from .settings import NOTHING, Matchers, Victims
from .shipped_avoid import AVOIDED

_LEAST_LIKENESS = 0.8


class SingleRule(NamedTuple):
    """One rule: where it stands (`victims.never.names`), and itself as the only one. `shown`: as it is written."""

    key: str
    shown: str
    matchers: Matchers


class RuleMatch(NamedTuple):
    """The processes that a rule matches: how many are `matched`, what they hold together, and the largest.

    `unjudged`: how many it does not match as far as their command lines are known, which is not whole. `nearest`: for a
    rule that matches none, a name or unit that runs now and is written almost so, "" if there is none.
    """

    rule: SingleRule
    matched: int
    held_bytes: int
    largest: Process | None
    unjudged: int = 0
    nearest: str = ""


def rules_of_victims(victims: Victims) -> list[SingleRule]:
    """The rules of [victims.*], in the order of the file as it is shipped."""
    names = ("prefer", "avoid", "never", "only", "grace")
    tables: dict[str, Matchers] = {name: getattr(victims, name) for name in names}
    return [rule for name, matchers in tables.items() for rule in _each(f"victims.{name}", matchers)]


def rules_shipped(victims: Victims) -> list[SingleRule]:
    """Those that are shipped for [victims.avoid], as one; none where they are switched off."""
    return [SingleRule("victims.avoid_shipped", "", AVOIDED)] if victims.avoid_shipped else []


def rules_of_killer(config: KillerConfig) -> list[SingleRule]:
    """The rules of [protect] that somebody wrote; all those that are shipped as one."""
    units = tuple(unit for unit in config.protect_units if unit not in SHIPPED_UNITS)
    names = tuple(name for name in config.protect_names if name not in SHIPPED_NAMES)
    rules = list(_each("protect", Matchers(units, config.protect_uids, names, ())))
    if set(SHIPPED_UNITS) <= set(config.protect_units):
        rules.append(SingleRule("protect.shipped", "", Matchers(SHIPPED_UNITS, (), SHIPPED_NAMES, ())))
    return rules


def rule_matches(rules: list[SingleRule], processes: list[Process]) -> list[RuleMatch]:
    """What each rule matches now: the rule whose processes hold most comes first, one that matches none last."""
    found = [_match_of(rule, processes) for rule in rules]
    return sorted(found, key=lambda match: (match.matched > 0, match.held_bytes), reverse=True)


def _each(table: str, matchers: Matchers) -> Iterator[SingleRule]:
    """Every single matcher of a table."""
    for unit in matchers.units:
        yield SingleRule(f"{table}.units", unit, NOTHING._replace(units=(unit,)))
    for uid in matchers.uids:
        yield SingleRule(f"{table}.users", str(uid), NOTHING._replace(uids=(uid,)))
    for name in matchers.names:
        yield SingleRule(f"{table}.names", name.decode("utf-8", "backslashreplace"), NOTHING._replace(names=(name,)))
    for command in matchers.commands:
        yield SingleRule(f"{table}.commands", command, NOTHING._replace(commands=(command,)))
    for cgroup in matchers.cgroups:
        yield SingleRule(f"{table}.cgroups", cgroup, NOTHING._replace(cgroups=(cgroup,)))


def _match_of(rule: SingleRule, processes: list[Process]) -> RuleMatch:
    matched = [process for process in processes if matched_by(rule.matchers, process)]
    unjudged = 0
    if rule.matchers.commands:
        unjudged = sum(bool(process.command_trouble) for process in processes) - sum(
            bool(process.command_trouble) for process in matched
        )
    largest = max(matched, key=lambda process: process.held_bytes, default=None)
    held_bytes, nearest = sum(process.held_bytes for process in matched), "" if matched else _nearest(rule, processes)
    return RuleMatch(rule, len(matched), held_bytes, largest, unjudged, nearest)


def _nearest(rule: SingleRule, processes: list[Process]) -> str:
    """A program that is not running looks like a rule that is misspelt: this tells the two apart."""
    running = {
        *(process.comm.decode("utf-8", "backslashreplace") for process in processes if rule.matchers.names),
        *(process.unit for process in processes if rule.matchers.units and process.unit),
    }
    return next(iter(difflib.get_close_matches(rule.shown, sorted(running), 1, _LEAST_LIKENESS)), "")
