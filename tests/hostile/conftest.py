"""A place that every user may enter, and two processes that could be killed: one to ask for, and a bystander."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import victims
from tests.support.place import place_for_all


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack(who): who would do what this test does; attack_table.py prints it")
    config.addinivalue_line("markers", "left(what): what is left to the attacker although this test passes")


@pytest.fixture(autouse=True)
def its_attacker_is_named(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("attack"), (
        "a test of an attack says who would do it: pytest.mark.attack(...)"
    )


@pytest.fixture
def place() -> Iterator[Path]:
    with place_for_all() as path:
        yield path


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"leak") as process:
        yield process


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"bystander") as process:
        yield process
