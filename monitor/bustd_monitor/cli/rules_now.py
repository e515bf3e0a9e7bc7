"""What each rule matches on this machine now: for `bustd check` and `bustd explain`."""

from __future__ import annotations

import pwd

from bustd_shared.rules.killer_toml import KillerConfig

from ..ranking.rule_matches import RuleMatch, SingleRule, rule_matches, rules_of_killer, rules_of_victims, rules_shipped
from ..ranking.settings import Victims
from ..reporting.rules import rule_match
from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from .screen import Screen

_AT_ONCE = 1024
_COMMANDS_WAIT_MS = 2000


def show(victims: Victims, killer: KillerConfig, table: ProcessTable, screen: Screen) -> None:
    """Print a line for each rule of both files; nothing if all of them are shipped."""
    found = lines(victims, killer, table)
    if found:
        print("Rules, and what each of them matches now:")
    for line in found:
        print(screen.folded(line, 2, 4))


def lines(victims: Victims, killer: KillerConfig, table: ProcessTable) -> list[str]:
    """The matches of each rule, in words."""
    return [rule_match(match) for match in matches(victims, killer, table)]


def matches(victims: Victims, killer: KillerConfig, table: ProcessTable) -> list[RuleMatch]:
    """What each rule of both files matches; nothing if all of them are shipped."""
    rules = rules_of_victims(victims) + rules_of_killer(killer)
    if all(rule.key == "protect.shipped" for rule in rules):
        return []
    rules += rules_shipped(victims)
    are_asked = any(rule.matchers.commands for rule in rules)
    return rule_matches([_as_written(rule) for rule in rules], processes(table, with_commands=are_asked))


def _as_written(rule: SingleRule) -> SingleRule:
    """A user by its name: people write that, and the configuration has the uid."""
    if not rule.matchers.uids:
        return rule
    try:
        return rule._replace(shown=pwd.getpwuid(rule.matchers.uids[0]).pw_name)
    except KeyError:
        return rule


def processes(table: ProcessTable, *, with_commands: bool) -> list[Process]:
    """Every process of the table that has memory. Command lines are waited for, but not for ever: one may hang."""
    pids: list[int] = []
    table.rewind()
    while more := table.walk(_AT_ONCE):
        pids += more
    table.rewind()
    found = [process for pid in pids if (process := table.read(pid, 0)) is not None]
    return read_commands(table, found, _COMMANDS_WAIT_MS) if with_commands else found


def read_commands(table: ProcessTable, found: list[Process], wait_ms: int) -> list[Process]:
    """Each with its command line as far as it is known, after at most so long: the reading of one may hang."""
    for process in found:
        table.command(process)
    table.read_commands()
    table.await_commands(wait_ms)
    lines = [(process, table.command(process)) for process in found]
    return [
        process if line is None else process._replace(command=line.text, command_trouble=line.trouble)
        for process, line in lines
    ]
