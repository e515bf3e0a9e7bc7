"""`bustd` as it is typed, in this process: for what ends before it starts anything, or starts nothing."""

from __future__ import annotations

import pytest

from bustd_monitor.cli import main as cli_main


def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Its exit code, and what it printed to standard output and to standard error."""
    monkeypatch.setattr("sys.argv", ["bustd", *words])
    try:
        code: object = cli_main.main()
    except SystemExit as end:
        code = end.code
    return code, *capfd.readouterr()
