import os
import sys

import pytest

from bustd_killer import start
from bustd_killer.stage1.launcher import MonitorPlan
from bustd_shared.daemon.log import Log
from tests.unit.killer.making import policy


@pytest.mark.parametrize(("needs_site", "flags"), [(False, ["-I", "-S"]), (True, ["-I"])])
def test_what_serves_finds_its_packages_as_the_start_has_found_them(needs_site, flags):
    """In an editable installation they do not lie beside each other, and only site finds them."""
    interpreter, *rest = start.stage_2(7, needs_site=needs_site)
    assert interpreter
    assert rest[:-2] == flags
    assert rest[-2].endswith("/bustd_killer/serve.py")
    assert rest[-1] == "7"


def test_what_serves_inherits_no_descriptor_but_those_of_its_policy(monkeypatch):
    """Also none that the start itself was given by the program that started it."""
    reader, writer = os.pipe()
    ours, strange = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)

    def run() -> None:
        os.dup2(writer, 1)
        os.set_inheritable(strange, True)
        program = "import os; print(*[name for name in os.listdir('/proc/self/fd') if int(name) > 2])"
        monkeypatch.setattr(start, "stage_2", lambda *_, **__: [sys.executable, "-I", "-c", program])
        start._execute(ours, policy(), {-1}, Log("test"))

    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as told:
        kept = [int(word) for word in told.read().split()]
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(strange)
    assert ours in kept
    assert strange not in kept
    assert len(kept) <= 2, "and the list's own"


PLAN = MonitorPlan(1, 1, ("monitor",), (("psi-some", 7),))


def test_the_monitor_is_passed_a_socket_for_readers(tmp_path):
    said = []
    plan = start._with_readers(PLAN, str(tmp_path / "events"), said.append)
    assert plan.passed[0] == ("psi-some", 7)
    name, descriptor = plan.passed[1]
    assert name == "events" and (tmp_path / "events").exists() and said == []
    os.close(descriptor)


def test_without_a_place_for_such_a_socket_the_monitor_is_started_all_the_same(tmp_path):
    said = []
    assert start._with_readers(PLAN, str(tmp_path / "missing" / "b" / "events"), said.append) == PLAN
    assert said == [f"no socket for readers of events: {tmp_path}/missing/b/events: No such file or directory"]
    assert start._with_readers(PLAN, "", said.append) == PLAN and len(said) == 1
