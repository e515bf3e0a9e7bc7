"""What a rule matches, for programs: in `bustd check --json`, and wherever else rules are shown."""

from __future__ import annotations

from ..ranking.rule_matches import RuleMatch
from .json_text import plain


def values(match: RuleMatch) -> dict[str, object]:
    """bustd(1), JSON, lists the keys."""
    return {
        "key": match.rule.key,
        "rule": plain(match.rule.shown),
        "matched": match.matched,
        "held_bytes": match.held_bytes,
        "largest_pid": match.largest.pid if match.largest else None,
        "unjudged": match.unjudged,
    }
