"""Where listening sockets come from: systemd passes the killer's, or it is bound to a path, as that for readers is."""

from __future__ import annotations

import errno
import os
import stat

from bustd_shared.daemon.packets import AF_UNIX, SO_ACCEPTCONN, SO_TYPE, SOCK_SEQPACKET, SOL_SOCKET, Socket

_FIRST_FD = 3
_BACKLOG, _BACKLOG_OF_READERS = 4, 16


class SocketError(Exception):
    """There is no socket to serve; the text is one sentence that says why."""


def is_of_systemd() -> bool:
    """Whether systemd has started this process with descriptors (sd_listen_fds(3)): then its unit confines it."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def watchdog() -> int:
    """The connection to the service manager that the unit's OpenFile= has opened under the name notify; -1 for none."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return _FIRST_FD + names.index("notify") if is_of_systemd() and "notify" in names else -1


def from_systemd() -> Socket:
    """The socket that systemd passed (sd_listen_fds(3)): exactly one, AF_UNIX, SOCK_SEQPACKET, listening."""
    count = os.environ.get("LISTEN_FDS")
    if not is_of_systemd() or count is None:
        raise SocketError("no socket: start it through bustd-killer.socket or `bustd run`, or give --socket PATH")
    passed = range(_FIRST_FD, _FIRST_FD + int(count)) if count.isdecimal() else ()
    sockets = [descriptor for descriptor in passed if descriptor != watchdog()]
    if len(sockets) != 1:
        told = len(sockets) if passed else count
        raise SocketError(
            f"systemd passed {told} sockets instead of one (bustd-killer.socket, ListenSequentialPacket=)"
        )
    (descriptor,) = sockets
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        os.set_inheritable(descriptor, False)
    except OSError:
        is_socket = False
    if not is_socket:
        raise SocketError("systemd passed something that is no socket")
    listener = Socket(fileno=descriptor)
    kind = listener.getsockopt(SOL_SOCKET, SO_TYPE)
    listens = listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
    if listener.family != AF_UNIX or kind != SOCK_SEQPACKET or not listens:
        listener.detach()
        raise SocketError("systemd passed a socket that is not a listening AF_UNIX SOCK_SEQPACKET one")
    listener.setblocking(False)
    return listener


def at_path(path: str, owner_uid: int, *, mode: int = 0o600, backlog: int = _BACKLOG) -> Socket:
    """A new socket at `path`, owned by the monitor's uid and for it alone. It replaces one that no process serves.

    Raises SocketError, also where a process serves it, and as root where another user could put something in its place.
    """
    if os.geteuid() == 0:
        path = _where_only_root_writes(path)
    _clear_stale(path)
    listener = Socket(AF_UNIX, SOCK_SEQPACKET)
    mask = os.umask(0o777 & ~mode)
    try:
        listener.bind(path)
        _give(path, owner_uid)
        listener.listen(backlog)
    except SocketError:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        raise SocketError(f"{path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def _give(path: str, owner_uid: int) -> None:
    """Make the user the owner; only root can. Raises SocketError."""
    if os.geteuid() == 0:
        try:
            os.chown(path, owner_uid, -1, follow_symlinks=False)
        except OSError as error:
            why = f"{error.strerror}: it takes CAP_CHOWN" if error.errno == errno.EPERM else error.strerror
            raise SocketError(f"{path} can't be given to uid {owner_uid}, the monitor's ({why})") from None


def for_readers(path: str) -> Socket:
    """A new socket at `path` that everybody may connect to, in a directory that is made if it is missing.

    It is for the monitor, which accepts there, and may make none itself. Raises SocketError as `at_path` does.
    """
    directory = os.path.dirname(path)
    try:
        os.mkdir(directory)
        os.chmod(directory, 0o755)
    except FileExistsError:
        pass
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror or error}") from None
    return at_path(path, os.geteuid(), mode=0o666, backlog=_BACKLOG_OF_READERS)


def _where_only_root_writes(path: str) -> str:
    """The path without links in its directory. SocketError if another user can write there, or rename one of them."""
    directory, name = os.path.split(os.path.abspath(path))
    above = directory = os.path.realpath(directory)
    while True:
        try:
            found = os.stat(above)
        except OSError as error:
            raise SocketError(f"{path}: {error.strerror}") from None
        # In a sticky directory as /tmp is, nobody else can rename what is root's; but anybody can put a socket there.
        is_writable = found.st_mode & 0o022 and (above == directory or not found.st_mode & stat.S_ISVTX)
        if found.st_uid != 0 or is_writable:
            what = f"{above} has mode {stat.S_IMODE(found.st_mode):04o} and owner uid {found.st_uid}"
            raise SocketError(f"{path}: as root only in a directory that nobody else can write to; {what}")
        if above == "/":
            return os.path.join(directory, name)
        above = os.path.dirname(above)


def _clear_stale(path: str) -> None:
    """Remove a socket that no process serves. Raises SocketError if one does."""
    probe = Socket(AF_UNIX, SOCK_SEQPACKET)
    probe.setblocking(False)  # one whose queue is full would make it wait
    try:
        if stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            refusal = probe.connect_ex(path)
            if refusal in (0, errno.EAGAIN):
                raise SocketError(f"{path} is served by another bustd")
            if refusal != errno.ECONNREFUSED:
                raise SocketError(f"{path}: {os.strerror(refusal)}")
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror or error}") from None
    finally:
        probe.close()
