"""`bustd run`: check everything that can be checked, open what needs privilege, then become the killer of the pair."""

from __future__ import annotations

import argparse
import errno
import os
import pwd
import resource
import subprocess
import sys
from typing import Any

from bustd_shared.kernel import machine_lock, version

from ..sensing.cgroup_sensor import watch
from ..sensing.sensor import Unreadable
from . import options as cli_options
from .daemonize import CannotDaemonize, daemonize
from .daemons import pair_command
from .events_socket import EVENTS_SOCKET

_UNREADABLE = (
    "the user {user} can't read {place}, where bustd and its Python are: install it where every user can read it, such "
    "as below /opt (with pipx: sudo PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install …)"
)

_NO_CHANGE = (
    "root may not become the user {user} here, as the monitor must: give the container CAP_SETUID and CAP_SETGID, and "
    "CAP_SETPCAP and CAP_KILL for the killer"
)


class CannotRun(Exception):
    """Nothing is started: the exit code, and why."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def identity_of(user: str) -> tuple[int, int]:
    """Uid and gid of the monitor; -1 for both where this process is not root and can't change its own."""
    if os.geteuid() != 0:
        return -1, -1
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise CannotRun(
            os.EX_UNAVAILABLE,
            f"there is no user {user} for the monitor to run as: "
            f"useradd --system --no-create-home --shell /usr/sbin/nologin {user}",
        ) from None
    if account.pw_uid == 0:
        raise CannotRun(os.EX_USAGE, "the monitor must not run as root: choose another --user")
    return account.pw_uid, account.pw_gid


def trouble_as(user: str, identity: tuple[int, int]) -> str:
    """Why this user can't run the Python or import the modules of this installation, as the daemons must; "" if it can.

    Root may be unable to become that user at all: in a container it has only the capabilities that were given to it.
    """
    if identity == (-1, -1):
        return ""
    uid, gid = identity
    command = [sys.executable, "-I", "-c", "import bustd_killer, bustd_monitor, bustd_protocol, bustd_shared, msgpack"]
    nowhere = subprocess.DEVNULL
    how: dict[str, Any] = {"stdin": nowhere, "stdout": nowhere, "stderr": nowhere, "cwd": "/", "extra_groups": []}
    try:
        can_run = subprocess.run(command, user=uid, group=gid, **how).returncode == 0
    except OSError as error:
        if error.errno == errno.EPERM:
            return _NO_CHANGE.format(user=user)
        can_run = False
    return "" if can_run else _UNREADABLE.format(user=user, place=_places())


def _places() -> str:
    """Where this Python and what it imports are; not /usr, which everybody can read."""
    return " or ".join(place for place in dict.fromkeys((sys.prefix, sys.base_prefix)) if place != "/usr") or "/usr"


def run(options: argparse.Namespace) -> int:
    """Does not return where all is well: this process becomes the killer."""
    uname = os.uname()
    if version.too_old(uname.release):
        return _refuse(os.EX_UNAVAILABLE, f"{uname.sysname} {uname.release} is too old: bustd needs Linux 5.4 or later")
    settings = cli_options.load(options)
    if settings is None:
        return os.EX_CONFIG
    try:
        place = watch(settings.monitor.cgroup)
        place.sensor.close()
    except Unreadable as error:
        return _refuse(os.EX_UNAVAILABLE, str(error))
    try:
        identity = identity_of(options.user)
    except CannotRun as error:
        return _refuse(error.code, str(error))
    is_restricted = bool(options.only_descendants_of or place.group or settings.killer.cgroup)
    if not is_restricted and not options.dry_run and (first := machine_lock.held_by_another()):
        return _refuse(os.EX_CANTCREAT, first)  # the killer would say it too, but in the background into the log alone
    if trouble := trouble_as(options.user, identity):
        return _refuse(os.EX_UNAVAILABLE, trouble)
    print(f"bustd on {uname.sysname} {uname.release}", flush=True)
    if os.geteuid() != 0:
        print(f"not root: only processes of uid {os.geteuid()} can be killed", flush=True)
    pid_file = None
    if not options.no_daemon:
        try:
            pid_file = daemonize()
        except CannotDaemonize as error:
            return _refuse(os.EX_CANTCREAT, str(error))
    raise_memory_lock_limit()
    command = pair_command(options, identity, _open_psi(place.psi), pid_file, _events(options, settings))
    os.execve(command[0], command, {"PATH": os.defpath})


def _events(options: argparse.Namespace, settings: cli_options.Settings) -> str:
    """Where readers connect to the pair that protects this machine; any other pair has no place of its own for them."""
    is_whole = not (options.only_descendants_of or settings.monitor.cgroup)
    return EVENTS_SOCKET if os.geteuid() == 0 and is_whole and not settings.monitor.dry_run else ""


def _open_psi(path: str) -> list[tuple[str, int]]:
    """Open the PSI file twice while there may be privilege: CAP_SYS_RESOURCE at open time allows windows below 2 s."""
    opened = []
    for name in ("psi-some", "psi-full"):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            break  # the monitor says what is the matter with PSI
        os.set_inheritable(descriptor, True)
        opened.append((name, descriptor))
    return opened


def raise_memory_lock_limit() -> None:
    """For the monitor, which will not be allowed to. Whether memory is locked, each daemon says itself."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        return


def _refuse(code: int, sentence: str) -> int:
    sys.stderr.write(f"bustd: {sentence}\n")
    return code
