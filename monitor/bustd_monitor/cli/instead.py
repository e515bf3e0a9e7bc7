"""Options that other daemons have, and what bustd has instead."""

from __future__ import annotations

INSTEAD = {
    # earlyoom(1)
    "-m": "for available memory, set conditions.floor.available_percent in bustd.toml",
    "-M": "for available memory, set conditions.floor.available_mib in bustd.toml",
    "-s": "for free swap, set conditions.floor.swap_percent in bustd.toml",
    "-S": "for free swap, set conditions.floor.swap_percent in bustd.toml",
    "-r": "-V logs every reading",
    "-d": "-V logs every reading",
    "-v": "--version prints the version, -V logs every reading",
    "--prefer": "set victims.prefer.names in bustd.toml",
    "--avoid": "set victims.avoid.names in bustd.toml",
    "--ignore": "-u, or victims.never.names in bustd.toml",
    "--ignore-root-user": "set victims.never.users in bustd.toml",
    "--dryrun": "--dry-run decides and logs, and never kills",
    # nohang
    "--check": "bustd check reads the configuration and names every problem in it",
    "--monitor": "bustd run starts the monitor and the killer",
    "-c": "--config names another bustd.toml",
    "--tasks": "bustd explain shows which process would die, and why",
    # most programs
    "--version": "bustd --version prints the version",
}
"""By the option. A test holds that what is named here exists."""
