"""`bustd notify` on a desktop: xfce4-notifyd draws its buttons on a virtual screen, and a mouse presses them.

With BUSTD_SCREENSHOT=FILE the screen is written there: docs/notification.png is made so (needs ImageMagick).
"""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor.reporting import events
from bustd_shared.kernel.cgroups import hierarchy
from tests.support.cgroups import groups_at, put
from tests.support.notifications import PATIENCE_S, EventSource, agent, candidate, export, needs, private_bus, warning

GIB = 2**30
PLACES = (*Path("/usr/lib").glob("*/xfce4/notifyd/xfce4-notifyd"), Path("/usr/lib/xfce4/notifyd/xfce4-notifyd"))
UNIT = "user.slice/user-1000.slice/user@1000.service/app.slice/app-editor.scope"


@pytest.fixture
def server():
    needs("Xvfb", "xdotool", "xwininfo", "dbus-daemon")
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        pytest.skip("not installed: xfce4-notifyd")
    return found


@pytest.fixture
def screen(server):
    """The DISPLAY of a screen that nobody sees."""
    reads, writes = os.pipe()
    command = ["Xvfb", "-displayfd", str(writes), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writes], stderr=subprocess.DEVNULL) as running:
        os.close(writes)
        with os.fdopen(reads) as told:
            display = told.readline().strip()
        try:
            yield f":{display}"
        finally:
            running.terminate()


@pytest.fixture
def desktop(server, screen, tmp_path):
    """A session on that screen: its environment, with a bus and a notification server."""
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    environment = home | {"PATH": os.environ["PATH"], "DISPLAY": screen, "XDG_RUNTIME_DIR": str(tmp_path)}
    environment |= {"GSETTINGS_BACKEND": "memory", "NO_AT_BRIDGE": "1", "LANG": "C.UTF-8"}
    with private_bus(**environment) as bus:
        environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        with subprocess.Popen([server], env=environment, stderr=subprocess.DEVNULL) as running:
            try:
                yield environment
            finally:
                running.terminate()


@contextmanager
def program(name: bytes):
    """A process that the test may lose."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process, candidate(process.pid, name, held=GIB)
        finally:
            process.kill()


def until(found):
    """The first value that is true. The screen can't be waited for, so it is looked at again and again."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def run(command: list[str], desktop) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=desktop, capture_output=True, text=True, check=False)


def notes(desktop) -> list[tuple[int, int, int, int]]:
    """Width, height, left and top of each notification on the screen, the last one first.

    A window that goes while they are listed makes xwininfo fail: then it is asked again.
    """
    command = ["xwininfo", "-root", "-tree"]
    listed = until(lambda: asked if not (asked := run(command, desktop)).returncode else None)
    found = re.findall(r'"xfce4-notifyd".* (\d+)x(\d+)\+\d+\+\d+ +\+(\d+)\+(\d+)', listed.stdout)
    return [tuple(map(int, one)) for one in found if int(one[0]) > 100]


def still(desktop, count: int):
    """So many notifications, once they have stood still for half a second: they grow and move when they appear."""
    seen = [until(lambda: len(found := notes(desktop)) == count and found)]
    while seen[-5:] != seen[-1:] * 5:
        time.sleep(0.1)
        seen.append(until(lambda: len(found := notes(desktop)) == count and found))
    return seen[-1]


def press_the_last_button(desktop) -> None:
    """The buttons of the one notification are below its text, the last one at the right; then another takes its place.

    A click that comes to nothing is repeated: a window may not listen yet.
    """
    ((width, height, left, top),) = shown = still(desktop, 1)
    for _ in range(5):
        place = str(left + width - 45), str(top + height - 30)
        assert not run(["xdotool", "mousemove", *place, "sleep", "0.1", "click", "1"], desktop).returncode
        for _ in range(40):
            if notes(desktop) != shown:
                return
            time.sleep(0.05)
    pytest.fail("no click had an effect")


@contextmanager
def listening(desktop, tmp_path):
    folder = tmp_path / "bustd"
    folder.mkdir(mode=0o755)
    bus = desktop["DBUS_SESSION_BUS_ADDRESS"]
    with EventSource(folder / "events") as source, agent(bus, source.path, tmp_path, is_short=True):
        source.accept()
        yield source


def short(*candidates: bytes) -> bytes:
    return warning(*candidates, short_in_ms=18_000, available=int(1.3 * GIB), total=int(15.5 * GIB))


def test_a_click_on_a_button_ends_the_process_that_it_names_and_no_other(desktop, tmp_path):
    with (
        listening(desktop, tmp_path) as source,
        program(b"leak") as (leak, first),
        program(b"other") as (other, second),
    ):
        source.tell(short(first, second))
        press_the_last_button(desktop)
        assert other.wait(PATIENCE_S) == -signal.SIGTERM
        assert leak.poll() is None
        press_the_last_button(desktop)  # of the warning that offers the other one
        assert leak.wait(PATIENCE_S) == -signal.SIGTERM


def test_without_a_click_nothing_is_ended_and_the_warning_goes_when_memory_is_back(desktop, tmp_path):
    with listening(desktop, tmp_path) as source, program(b"leak") as (leak, first):
        source.tell(short(first))
        until(lambda: notes(desktop))
        source.tell(export(events.NO_SHORTAGE))
        until(lambda: not notes(desktop))
        assert leak.poll() is None


def test_a_warning_and_a_death_on_the_screen(desktop, tmp_path):
    with listening(desktop, tmp_path) as source, program(b"photo-editor") as (editor, _), unit_of(editor):
        first = candidate(editor.pid, b"photo-editor", held=5 * GIB)
        source.tell(export(events.DECIDED, VICTIM_PID=4711, VICTIM_BYTES=int(6.2 * GIB)))
        source.tell(
            export(
                events.ENDED,
                CONDITION="floor",
                VICTIM_PID=4711,
                VICTIM_COMM="leak",
                VICTIM_UID=os.getuid(),
                AVAILABLE_BYTES=int(6.9 * GIB),
                TOTAL_BYTES=int(15.5 * GIB),
            )
        )
        until(lambda: notes(desktop))
        source.tell(short(first))
        still(desktop, 2)
        if os.environ.get("BUSTD_SCREENSHOT"):
            save_screen(desktop, Path(os.environ["BUSTD_SCREENSHOT"]))


@contextmanager
def unit_of(process):
    """A control group of its own for the process, if one can be made: then it can be spared."""
    root = Path(hierarchy())
    if root == Path() or not os.access(root / "cgroup.procs", os.W_OK):
        yield
        return
    with groups_at(root, UNIT) as (group,):
        put(process.pid, group)
        yield


def save_screen(desktop, path: Path) -> None:
    assert shutil.which("import"), "ImageMagick is not installed"
    time.sleep(2)  # until the windows stand still
    left = min(one[2] for one in notes(desktop)) - 10
    bottom = max(one[3] + one[1] for one in notes(desktop)) + 10
    crop = f"{800 - left}x{bottom}+{left}+0"
    command = [
        "import",
        "-window",
        "root",
        "-crop",
        crop,
        "+repage",
        "-strip",
        "+dither",
        "-colors",
        "64",
        str(path.absolute()),
    ]
    subprocess.run(command, env=desktop, check=True)
