"""The user that the killer serves as: one of its own, with CAP_KILL in every set, through an execve, and nothing else.

Root without capabilities still owns root's files, and other programs' sockets trust it as root; this user owns nothing.
The order of the calls follows capabilities(7): each needs a privilege that a later one gives up.
"""

from __future__ import annotations

import grp
import os
import pwd

import prctl

from bustd_shared.daemon.record import NamedTuple

from . import libc, proc_mount

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "bustd-killer"

_NOBODY = 65534
"""The uid of what has no owner: NFS and user namespaces map to it, and other programs run as it."""

_FREE_NUMBERS = range(61184, 65520)
"""The range of systemd's DynamicUser=: adduser gives none of these to an account."""

_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2


class Identity(NamedTuple):
    """The user to serve as. `groups` are the supplementary ones; `why` is a part of a sentence for the log."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    why: str


def choose(monitor_uid: int, proc: str = "/proc") -> Identity:
    """The user bustd-killer, or a free number; this process' own identity where it can't take another.

    Never root, never the monitor's user (which could stop the killer and lower its limits), never nobody. To be called
    while the processes of all users are visible. `monitor_uid` -1: the monitor has the user of this process.
    """
    own = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()), "")
    account = _account(USER)
    if account and account.pw_uid == own.uid != 0:
        return own._replace(why=f"user {USER}")  # the unit has done it
    needed = _CAP_SETUID | _CAP_SETGID
    if capability_sets()["CapEff"] & needed != needed:
        shared = " and has the monitor's, which can stop it" if monitor_uid in (own.uid, -1) else ""
        return own._replace(why=f"it may not change its user{shared}")
    groups = proc_mount.of_this_process().groups_that_see()
    flaw = _flaw(account, monitor_uid) if account else "does not exist"
    if account and not flaw:
        return Identity(account.pw_uid, account.pw_gid, groups, f"user {USER}")
    used = uids_in_use(proc) | {monitor_uid}
    for number in _FREE_NUMBERS:
        if number not in used and not _is_known(pwd.getpwuid, number) and not _is_known(grp.getgrgid, number):
            return Identity(number, number, groups, f"a free number, because user {USER} {flaw}")
    return own._replace(why=f"user {USER} {flaw}, and {_FREE_NUMBERS[0]} to {_FREE_NUMBERS[-1]} are all in use")


def become(identity: Identity) -> str:
    """Take the identity, keep CAP_KILL alone in all five sets, and no new privileges; what became of it, for the log.

    Where the user can't be changed the rest is done all the same; where there is no CAP_KILL no capability is kept.
    What is done already is not called again: a unit's filter forbids it. Raises OSError if capabilities can't be
    given up.
    """
    kept = (prctl.CAP_KILL,) if capability_sets()["CapPrm"] & _CAP_KILL else ()
    _limit_bounding_set(kept)
    why = identity.why
    if os.geteuid() != identity.uid:
        try:
            _change_user(identity)
        except OSError as error:
            why = f"uid {identity.uid} can't be taken: {error.strerror}"
    _keep_only(kept)
    prctl.set_no_new_privs(1)
    return _in_words(identity, why)


def uids_in_use(proc: str = "/proc") -> set[int]:
    """Each uid (real, effective, saved, of the file system) of each process that is visible."""
    used: set[int] = set()
    for name in filter(str.isdecimal, os.listdir(proc)):
        try:
            with open(f"{proc}/{name}/status", "rb") as status:
                used.update(int(uid) for line in status if line.startswith(b"Uid:") for uid in line.split()[1:])
        except OSError:
            continue  # it has ended
    return used


def has_cap_kill() -> bool:
    """Whether this process may signal those of other users."""
    return bool(capability_sets()["CapEff"] & _CAP_KILL)


def capability_sets() -> dict[str, int]:
    """The capability sets of this process: CapInh, CapPrm, CapEff, CapBnd, CapAmb, each a mask (capabilities(7))."""
    with open("/proc/self/status", "rb") as status:
        lines = [line.split() for line in status if line.startswith(b"Cap")]
    return {name.decode().rstrip(":"): int(mask, 16) for name, mask in lines}


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _is_known(look_up: Callable[[int], object], number: int) -> bool:
    try:
        look_up(number)
    except KeyError:
        return False
    return True


def _flaw(account: pwd.struct_passwd, monitor_uid: int) -> str:
    """Why the killer must not serve as this user; "" if it may."""
    nobody = _account("nobody")
    if account.pw_uid == 0 or account.pw_gid == 0:
        return "is root, or in root's group"
    if account.pw_uid == monitor_uid:
        return "is the monitor's user too"
    if account.pw_uid in (_NOBODY, nobody.pw_uid if nobody else _NOBODY):
        return "is nobody"
    return ""


def _limit_bounding_set(kept: tuple[int, ...]) -> None:
    """First of all: after the change of user it is EPERM, as it always is without CAP_SETPCAP."""
    if capability_sets()["CapBnd"] & ~_CAP_KILL:
        try:
            prctl.capbset.limit(*kept)
        except PermissionError:
            pass  # said at the end


def _change_user(identity: Identity) -> None:
    """Groups, gid, uid, in that order; the permitted set stays, the effective one is empty afterwards. OSError."""
    prctl.set_keepcaps(1)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def _keep_only(kept: tuple[int, ...]) -> None:
    """Nothing but `kept`. The ambient set is what an execve keeps for any user but root. Raises OSError."""
    wanted = _CAP_KILL if kept else 0
    sets = capability_sets()
    if all(sets[name] == wanted for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")):
        return
    for capabilities in (prctl.cap_effective, prctl.cap_permitted, prctl.cap_inheritable):
        capabilities.limit(*kept)
    if kept:
        prctl.cap_inheritable.kill = True
        prctl.cap_effective.kill = True
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, prctl.CAP_KILL)


def _in_words(identity: Identity, why: str) -> str:
    uid, capabilities = os.geteuid(), _capabilities_in_words()
    if uid == 0:
        return f"the killer stays root ({why}), {capabilities}: root's files are within its reach, see THREATS.md"
    named = ", ".join(map(str, os.getgroups())) if uid == identity.uid else ""
    groups = f" and group {named}, which sees all processes" if identity.groups and named else ""
    return f"the killer serves as uid {uid} ({why}){groups}, {capabilities}"


def _capabilities_in_words() -> str:
    sets = capability_sets()
    excess = ", ".join(f"{name} {mask:#x}" for name, mask in sets.items() if mask & ~_CAP_KILL)
    held = "with CAP_KILL" if sets["CapAmb"] == _CAP_KILL else "without any capability"
    # An ordinary user's bounding set is full, can't be cut, and is of no use to it.
    if excess and (os.geteuid() == 0 or sets["CapPrm"]):
        return f"{held}, and beyond CAP_KILL {excess} remain"
    return f"{held} alone" if sets["CapAmb"] == _CAP_KILL else held
