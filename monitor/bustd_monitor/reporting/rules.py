"""What each rule matches now, in words."""

from __future__ import annotations

from bustd_shared.daemon.log import printable

from ..amounts import size
from ..ranking.rule_matches import RuleMatch


def rule_match(match: RuleMatch) -> str:
    """A printable line: the rule, and what it matches."""
    rule, largest = match.rule, match.largest
    what = f'no process; "{printable(match.nearest)}" runs' if match.nearest else "no process"
    if largest is not None:
        one = f"{largest.pid} ({printable(largest.comm)}) with {size(largest.held_bytes)}"
        together = f"{match.matched} processes with {size(match.held_bytes)}, the largest"
        what = f"1 process, {one}" if match.matched == 1 else f"{together} {one}"
    if match.unjudged:
        what += f"; {match.unjudged} more with a command line that is not known whole"
    shown = f' "{printable(rule.shown)}"' if rule.shown else ""
    return f"{rule.key}{shown}: {what}"
