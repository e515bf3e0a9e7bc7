"""The parts of a glob, as fnmatch(3) reads it without escapes: what can match it, and what is left of it when cut.

Only a child process (`forked`) or a command imports this module.
"""

from __future__ import annotations

from ..daemon.libc import matches_glob

COMM_BYTES = 15
"""comm of a program is at most that long (proc_pid_comm(5)): a longer pattern would silently protect nothing."""


def parts(glob: str) -> list[str]:
    """Each `*`, each `?`, each bracket expression whole, and each other character.

    Raises ValueError for a `[` that is never closed, which would match itself only.
    """
    found, place = [], 0
    while place < len(glob):
        end = _end_of_bracket(glob, place) if glob[place] == "[" else place
        found.append(glob[place : end + 1])
        place = end + 1
    return found


def least_bytes(glob: str) -> int:
    """How many bytes the shortest text has that `glob` matches. Raises ValueError: see `parts`."""
    return sum(_least_bytes(part) for part in parts(glob))


def cut(glob: str, most_bytes: int) -> str:
    """The glob on texts that are cut at `most_bytes`; "" where a `*` leaves open what is cut off.

    Raises ValueError: see `parts`.
    """
    kept, left = "", most_bytes
    for part in parts(glob):
        if part == "*":
            return kept if not left else ""
        left -= _least_bytes(part)
        if left < 0:
            # A character that is cut in two leaves bytes that no glob can name.
            return kept if left + _least_bytes(part) == 0 else f"{kept}*"
        kept += part
    return kept


def can_end_with(glob: str, ending: str) -> bool:
    """Whether some text that ends with `ending` may match the glob. Raises ValueError: see `parts`."""
    left = list(ending)
    for part in reversed(parts(glob)):
        if part == "*" or not left:
            return True
        if not matches_glob(part.encode("utf-8", "surrogateescape"), left.pop().encode()):
            return False
    return not left


def _least_bytes(part: str) -> int:
    if part == "*":
        return 0
    return 1 if part == "?" or len(part) > 1 else len(part.encode("utf-8", "surrogateescape"))


def _end_of_bracket(glob: str, start: int) -> int:
    """The place of the `]` that closes the `[` at `start`: one that stands first is a member, as in `[]x]`."""
    place = start + 1
    if glob[place : place + 1] in ("!", "^"):
        place += 1
    if glob[place : place + 1] == "]":
        place += 1
    while place < len(glob):
        if glob[place] == "]":
            return place
        pair = glob[place : place + 2]
        if pair in ("[:", "[.", "[="):
            inner_end = glob.find(pair[1] + "]", place + 2)
            place = inner_end + 1 if inner_end >= 0 else place
        place += 1
    raise ValueError("a [ that is never closed")
