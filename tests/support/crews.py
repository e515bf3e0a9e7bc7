"""Which user runs what in a scenario: root the killer and `nobody` the monitor, or one ordinary user the whole pair."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from . import victims


class Crew(NamedTuple):
    """Which user runs what: `identity` runs `bustd` and the killer, `monitor_identity` a lone monitor."""

    name: str
    identity: dict[str, Any]
    monitor_identity: dict[str, Any]
    monitor_uid: int
    victims_as_nobody: bool

    @property
    def is_root(self) -> bool:
        """Whether root runs the killer and another user the monitor."""
        return self.name == "root"

    def victim(self, mib: int = 48, **how: Any) -> Any:
        """`victims.victim`, of a user whose processes this crew may kill; for root's crew that is not root."""
        return victims.victim(mib, **{"as_nobody": self.victims_as_nobody, **how})

    @contextmanager
    def program(self, text: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
        """`victims.start_program` as the same user, until the end of the block."""
        child = victims.start_program(text, **{"as_nobody": self.victims_as_nobody, **how})
        try:
            yield child
        finally:
            victims.end(child)


_AS_NOBODY: dict[str, Any] = {"user": victims.NOBODY.pw_uid, "group": victims.NOBODY.pw_gid, "extra_groups": []}
CREWS = {
    "root": Crew("root", {}, _AS_NOBODY, victims.NOBODY.pw_uid, True),
    "nobody": Crew("nobody", _AS_NOBODY, _AS_NOBODY, victims.NOBODY.pw_uid, True),
    "own": Crew("own", {}, {}, os.geteuid(), False),
}
VARIANTS = ["root", "nobody"] if os.geteuid() == 0 else [pytest.param("root", marks=pytest.mark.root), "own"]
"""The names of the crews with which every scenario runs; they are the parameters of a fixture."""


@contextmanager
def place_for(crew: Crew) -> Iterator[Path]:
    """A directory that every user may enter and the killer's user may write to."""
    with tempfile.TemporaryDirectory(prefix="bustd-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        if "user" in crew.identity:
            os.chown(path, crew.identity["user"], crew.identity["group"])
        yield path
