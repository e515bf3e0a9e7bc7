"""Whether a container keeps the killer's signals from the processes outside: known at the start, not at a kill."""

from __future__ import annotations

import errno
import os
import signal

from . import identity

_FIRST = 1
_KEPT_IN = (
    "warning: NO KILL MAY WORK: it may not signal process {pid} ({why}), although it has CAP_KILL. A security module "
    "or a user namespace keeps the signals of this container in. podman, Docker: not rootless, --security-opt "
    "apparmor=unconfined, or label=disable with SELinux; Kubernetes: appArmorProfile of type Unconfined, or "
    "seLinuxOptions of type spc_t"
)


def require_cap_kill(chosen: identity.Identity) -> None:
    """OSError where root, in a container that was not given CAP_KILL, would become a user that can kill nothing."""
    if chosen.uid != os.geteuid() and not identity.has_cap_kill():
        lacking = f"CAP_KILL is missing, and without it uid {chosen.uid} can kill nothing: give it to the container"
        raise PermissionError(errno.EPERM, lacking)


def trouble(pid: int = _FIRST) -> str:
    """What keeps signals from the machine's first process, as a sentence; "" if nothing does. To be called confined.

    The rehearsal does not show it: its subject is in the same container, under the same profile.
    """
    try:
        first = os.pidfd_open(pid)
    except OSError:
        return ""
    try:
        signal.pidfd_send_signal(first, 0)
    except PermissionError as error:  # EACCES from AppArmor and SELinux, EPERM from a user namespace
        return _KEPT_IN.format(pid=pid, why=error.strerror)
    except OSError:
        return ""
    finally:
        os.close(first)
    return ""
