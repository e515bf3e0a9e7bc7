"""A user who is logged in: alice's own service manager and session bus, and what a desktop would start in them."""

import json
import os
import pty
import subprocess
import termios
from pathlib import Path

import machine

_USER, _UID = "alice", 1001
_RUNTIME = Path(f"/run/user/{_UID}")
_ENVIRONMENT = [f"XDG_RUNTIME_DIR={_RUNTIME}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={_RUNTIME}/bus"]
_AGENT = "app-bustd\\x2dnotify@autostart.service"
"""What systemd makes of /etc/xdg/autostart/bustd-notify.desktop (systemd-xdg-autostart-generator(8))."""
_SHOWN = machine.PLACE / "notifications"
_PATIENCE_S = 150
SCREEN_COLUMNS = 110


def as_user(*command, check=True, seconds=120):
    """What a command of hers says, with the environment of her session. Raises as machine.run."""
    dropped = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "env", "LANG=C.UTF-8"]
    return machine.run(*dropped, *_ENVIRONMENT, *command, check=check, seconds=seconds)


def log_in():
    """Her session: the manager, the bus, a notification server, then the agent by its autostart entry."""
    machine.run("loginctl", "enable-linger", _USER)
    if not machine.within(_PATIENCE_S, (_RUNTIME / "bus").is_socket):
        raise RuntimeError(f"there is no session: {log()}")
    as_user("systemctl", "--user", "import-environment", "DBUS_SESSION_BUS_ADDRESS")  # as a desktop does (Xsession.d)
    _SHOWN.unlink(missing_ok=True)
    start("server", "/usr/bin/python3", f"{machine.GUEST}/notified.py", str(_SHOWN))
    if not machine.within(_PATIENCE_S, _SHOWN.exists):
        raise RuntimeError(f"there is no notification server: {log()}")
    as_user("systemctl", "--user", "start", _AGENT)


def start(unit, *command):
    """One of her programs, as an application of her session."""
    as_user("systemd-run", "--user", "--quiet", "--collect", f"--unit={unit}", "--slice=app.slice", *command)


def agent_pid():
    """The PID of `bustd notify`, 0 where it does not run."""
    return int(as_user("systemctl", "--user", "show", _AGENT, "--property=MainPID", "--value").strip())


def log():
    """The last lines of everything in her session."""
    return machine.run(
        "journalctl", "-b", "-n", "60", "-o", "short-monotonic", "--no-pager", f"_UID={_UID}", check=False
    )


def notifications():
    """Every call of Notify until now, in order."""
    return [json.loads(line) for line in _SHOWN.read_text().splitlines()]


def screen(*command):
    """What a command shows on a terminal, without colours."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, SCREEN_COLUMNS))
    plain = os.environ | {"NO_COLOR": "1", "LANG": "C.UTF-8"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=plain):
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # EIO: nobody has the terminal open any more
    os.close(ours)
    return shown.decode(errors="replace").replace("\r\n", "\n")
