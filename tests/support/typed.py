"""`bustd` as a user types it, run in this process: for commands that start nothing, or end before they do."""

from __future__ import annotations

import pytest

from bustd_monitor.cli import main as cli_main


def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Its exit code, its standard output and its standard error."""
    monkeypatch.setattr("sys.argv", ["bustd", *words])
    try:
        code: object = cli_main.main()
    except SystemExit as end:
        code = end.code
    return code, *capfd.readouterr()
