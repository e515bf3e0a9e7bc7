"""Reads the configuration in a forked child, so that the parser never becomes resident in a daemon."""

from __future__ import annotations

from ..daemon.forked import in_child
from .schema import ConfigError, Values

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config_files import Loaded


def values_in_child(load: Callable[[], Loaded]) -> Values:
    """The values that `load`, called in a child, reads. Raises ConfigError and ChildFailed."""

    def plain() -> object:
        loaded = load()
        return [loaded.values, [problem.line() for problem in loaded.problems]]

    result = in_child(plain)
    assert isinstance(result, list)
    values: Values = result[0]
    problems: list[str] = result[1]
    if problems:
        raise ConfigError(problems)
    return values
