"""Reads the configuration in a forked child, so that the parser never becomes resident in a daemon."""

from __future__ import annotations

from ..daemon.forked import in_child
from .schema import ConfigError, Values

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config_files import Loaded


def read_in_child(load: Callable[[], Loaded]) -> tuple[Values, tuple[str, ...]]:
    """The values that `load`, called in a child, reads, and its warnings. Raises ConfigError and ChildFailed."""

    def plain() -> object:
        loaded = load()
        return [loaded.values, *([each.line() for each in found] for found in (loaded.problems, loaded.warnings))]

    result = in_child(plain)
    assert isinstance(result, list)
    values: Values = result[0]
    problems: list[str] = result[1]
    if problems:
        raise ConfigError(problems)
    return values, tuple(result[2])
