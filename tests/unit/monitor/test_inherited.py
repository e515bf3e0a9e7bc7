"""The descriptors that a daemon is started with."""

import os

import pytest

from bustd_monitor.inherited import inherited_descriptors


@pytest.fixture
def environment(monkeypatch):
    """A function that sets what systemd, or the killer of a pair, would have set; None leaves a variable out."""

    def set_to(*, fds: str | None, names: str | None, pid: str | None = str(os.getpid())) -> None:
        for name, value in (("LISTEN_PID", pid), ("LISTEN_FDS", fds), ("LISTEN_FDNAMES", names)):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return set_to


def test_descriptors_are_known_by_their_names_and_start_at_3(environment):
    environment(fds="3", names="killer:psi-some:psi-full")
    assert inherited_descriptors() == {"killer": 3, "psi-some": 4, "psi-full": 5}
    assert inherited_descriptors() == {"killer": 3, "psi-some": 4, "psi-full": 5}, "a second self finds them again"


@pytest.mark.parametrize("pid", [None, "", "1", "x", f"{os.getpid()}0"], ids=["none", "empty", "1", "x", "longer"])
def test_what_is_meant_for_another_process_is_not_ours(environment, pid):
    environment(fds="1", names="killer", pid=pid)
    assert inherited_descriptors() == {}


def test_there_are_no_more_than_are_counted_and_no_more_than_have_names(environment):
    environment(fds="1", names="psi-some:psi-full")
    assert inherited_descriptors() == {"psi-some": 3}
    environment(fds="9", names="psi-some")
    assert inherited_descriptors() == {"psi-some": 3}


@pytest.mark.parametrize("fds", [None, "", "0", "-1", "many", "1.5"])
def test_without_a_count_that_makes_sense_there_are_none(environment, fds):
    environment(fds=fds, names="killer")
    assert inherited_descriptors() == {}


def test_descriptors_without_names_are_not_mistaken_for_anything(environment):
    environment(fds="2", names=None)
    assert not {"killer", "psi-some", "psi-full"} & set(inherited_descriptors())
