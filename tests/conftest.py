"""For every test: the marker `root`, and a check that no child process and no descriptor is left behind."""

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

NEEDS_ROOT = "needs root"  # tests/closing_lines.py looks for it


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: runs as root only; otherwise left out, counted and said at the end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=NEEDS_ROOT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = sum(NEEDS_ROOT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if left_out:
        terminalreporter.write_line(f"left out for lack of root: {left_out} (to run them too: sudo make test)")


def open_descriptors() -> set[tuple[int, str]]:
    """Each open descriptor of this process with what it refers to, so that a number that was reused shows."""
    descriptors = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor that lists this directory
            descriptors.add((int(entry.name), str(entry.readlink())))
    return descriptors


def children() -> set[int]:
    """The children of this process and of no other, including those that have ended and were not waited for."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    if not lists:  # a kernel without CONFIG_PROC_CHILDREN
        return {child.pid for child in psutil.Process().children()}
    try:
        return {int(pid) for path in lists for pid in path.read_text().split()}
    except (FileNotFoundError, ProcessLookupError):  # a thread has ended meanwhile: its children are another's now
        return children()


def what_remains(descriptors: set[tuple[int, str]], processes: set[int]) -> str:
    """What exists now and did not before, in words; '' if nothing. Ends the children, which may be filling memory."""
    left_open = open_descriptors() - descriptors
    if left_open:
        gc.collect()  # an unreachable cycle is no leak; if it held a file, there is a ResourceWarning
        left_open = open_descriptors() - descriptors
    found = [f"descriptor {number} is still open: {target}" for number, target in sorted(left_open)]
    for pid in sorted(children() - processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found.append(f"child {pid} is still there: {process.name()}, {process.status()}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return "\n".join(found)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = open_descriptors(), children()
    yield
    if remains := what_remains(*before):
        pytest.fail(f"the test left something behind:\n{remains}", pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def nothing_left_behind_by_shared_fixtures() -> Iterator[None]:
    before = open_descriptors(), children()
    yield
    if remains := what_remains(*before):
        pytest.fail(f"the whole run left something behind:\n{remains}", pytrace=False)
