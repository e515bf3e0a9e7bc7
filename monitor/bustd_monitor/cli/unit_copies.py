"""bustd's systemd units as they are installed, and their copies for `bustd selftest`: texts in, texts out."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

SOCKET, KILLER, MONITOR = UNITS = ("bustd-killer.socket", "bustd-killer.service", "bustd-monitor.service")
COPIES = ("bustd-selftest-killer.socket", "bustd-selftest-killer.service", "bustd-selftest-monitor.service")
PROPERTIES = "Id,LoadState,ActiveState,FragmentPath,DropInPaths,User"
"""What `parse_units` wants `systemctl show` to say of each."""

_OWN_DROP_IN = "zzzz-bustd-selftest.conf"
"""The last one in the order of names, in which systemd reads them."""

# Not after a slash: an EnvironmentFile=/etc/default/bustd-monitor stays the administrator's. Nor the killer's user.
# There is no copy of the socket for readers: the monitor's copy wants one that does not exist, and gets none.
_NAME = re.compile(r"(?:(?<=/run/)|(?<![\w/-])(?<!User=)(?<!Group=))bustd-(killer|monitor|events)(?![\w-])")
# Nothing here is about the sandbox. The copies take nothing from the installed units (a RuntimeDirectory= or Symlinks=
# in common), start once and not again and again, and end by themselves should this command be killed.
_UNIT_DROP_IN = """[Unit]
StartLimitIntervalSec=1h
StartLimitBurst=1
StartLimitAction=none
FailureAction=none
SuccessAction=none
"""
_SOCKET_DROP_IN = f"""{_UNIT_DROP_IN}[Socket]
ListenSequentialPacket=
ListenSequentialPacket=%s/killer.sock
Symlinks=
RuntimeDirectoryPreserve=yes
"""
_SERVICE_DROP_IN = f"""{_UNIT_DROP_IN}[Service]
ExecStart=
ExecStart=%s
Restart=no
RuntimeMaxSec=60
RuntimeDirectoryPreserve=yes
"""


class Unit(NamedTuple):
    """An installed unit as systemd sees it: its file comes first, then the drop-ins in their order.

    `state` and `active` are systemd's LoadState and ActiveState.
    """

    state: str = "not-found"
    files: tuple[str, ...] = ()
    user: str = ""
    active: str = ""


class Unusable(Exception):
    """An installed unit of which there can be no copy, with the reason."""


def parse_units(text: str) -> dict[str, Unit]:
    """What `systemctl show` says of bustd's units, by name; `not-found` where it says nothing."""
    units = dict.fromkeys(UNITS, Unit())
    for block in text.split("\n\n"):
        said = dict(line.partition("=")[::2] for line in block.splitlines())
        if said.get("Id") in UNITS:
            files = (said.get("FragmentPath", ""), *said.get("DropInPaths", "").split())
            state, user, active = (said.get(key, "") for key in ("LoadState", "User", "ActiveState"))
            units[said["Id"]] = Unit(state, tuple(filter(None, files)), user, active)
    return units


def copies(units: Mapping[str, Mapping[str, str]], directory: str, told: Mapping[str, list[str]]) -> dict[str, str]:
    """The files of the copies, by their paths below /run/systemd/system. `units`: the texts of each, by path.

    `directory`: where their socket is; `told`: the words that follow the command line of each service.
    """
    own_drop_ins = {SOCKET: _SOCKET_DROP_IN % directory}
    for name, words in told.items():
        command = f"{exec_start(name, list(units[name].values()))} {shlex.join(words)}"
        own_drop_ins[name] = _SERVICE_DROP_IN % command
    files = {}
    for name, texts in units.items():
        unit, *drop_ins = texts
        files[renamed(name)] = renamed(texts[unit])
        files |= {f"{renamed(name)}.d/{os.path.basename(path)}": renamed(texts[path]) for path in drop_ins}
        files[f"{renamed(name)}.d/{_OWN_DROP_IN}"] = own_drop_ins[name]
    return files


def renamed(text: str) -> str:
    """The text with the copies' names for the names of the units."""
    return _NAME.sub(r"bustd-selftest-\1", text)


def exec_start(name: str, texts: list[str]) -> str:
    """The one command line that the files of the unit, in their order, come to. Raises Unusable."""
    commands: list[str] = []
    for text in texts:
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
        for line in re.sub(r"\\\n", " ", lines).splitlines():
            key, is_assignment, value = line.partition("=")
            if is_assignment and key.strip() == "ExecStart":
                commands = [*commands, value.strip()] if value.strip() else []
    if len(commands) != 1:
        raise Unusable(f"{name} has {len(commands)} lines ExecStart= where one is expected")
    return commands[0]


def peer_of(user: str) -> str:
    """The user of the monitor's unit, for killer.toml. Raises Unusable."""
    if user in ("", "root", "0"):
        raise Unusable(f"{MONITOR} would run as root: it needs a User=")
    return user if user.isdecimal() else f'"{user}"'
