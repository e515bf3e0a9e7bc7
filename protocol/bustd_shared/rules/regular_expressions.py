"""Regular expressions that were written where a glob belongs: how to recognise them, and the globs to write instead.

Pure. A glob may well hold the characters of a regular expression: `g++`, `org.gnome.*`, `(sd-pam)`, `python3.*` and the
escapes of systemd (`\\x2d`) are ordinary names of processes and units. Only a child process (`forked`) or a command
imports this module.
"""

from __future__ import annotations

import re

from .globs import parts

_MOST_ALTERNATIVES = 16

_DIGITS, _BRACKET = "\0", "\1"
"""What a bracket expression is replaced by before the glob is looked at: one with a digit in it, and any other."""

_NAMES, _COMMANDS = ("names",), ("commands",)
_PATHS = ("units", "cgroups")

_LOOKS = (
    ("^", _NAMES + _PATHS, r"\^"),
    ("^", _COMMANDS, r"\A\^|[(|]\^"),
    ("$", _NAMES + _PATHS + _COMMANDS, r"\$(?=\Z|[)|])"),
    ("|", _NAMES + _PATHS, r"\|"),
    ("|", _COMMANDS, r"\S\|\S"),
    ("( )", _PATHS, r"[()]"),
    ("( )", _NAMES, r"\A(?!\((?:sd-|udev-|\*)).*[()]"),  # (sd-pam), (udev-worker): systemd's own names
    ("( )", _COMMANDS, r"\(\?[:i!=]"),
    ("+", _NAMES + _PATHS + _COMMANDS, r"[\0\1.)]\+"),
    ("\\", _NAMES, r"\\"),
    ("\\", _PATHS, r"\\(?!x[0-9a-f]{2})"),
    ("\\", _COMMANDS, r"\\[.()\0\1{}+^$|/-]|\\[bdswBDSW](?![A-Za-z])"),
    ("{ }", _NAMES + _PATHS, r"\{.*\}"),
    ("{ }", _COMMANDS, r"[\0\1]\{\d"),
)
"""What is named in the warning, in which lists it is suspicious, and where in the pattern. A command line may hold
anything, so only what is hardly ever typed into a command counts there."""

_WINDOWS_PATH = re.compile(r"(?:[A-Za-z?*\1]:|\*)\\[A-Za-z*]")
"""Wine's programs are called so, and a glob has no escapes."""

_DOT_IS_MEANT = re.compile(r"(?:[0-9\0*?]|\.[\w-]+|\b(?:org|com|net|io|snap))\Z")
"""Before a `.*`: a version (`python3.*`), another wildcard, or a dotted name (`org.gnome.*`)."""


def look(kind: str, glob: str) -> str:
    """What in the glob looks like a regular expression, "" if nothing does. `kind`: the list that it stands in.

    Raises ValueError: see globs.parts.
    """
    bare = "".join(part if len(part) == 1 else _DIGITS if re.search(r"\d", part) else _BRACKET for part in parts(glob))
    if _dot_star(kind, bare):
        return ".*"
    is_windows_path = kind in _NAMES + _COMMANDS and _WINDOWS_PATH.match(bare)
    for shown, kinds, pattern in _LOOKS:
        if kind in kinds and re.search(pattern, bare) and not (shown == "\\" and is_windows_path):
            return shown
    return ""


def as_globs(pattern: str) -> list[str]:
    """The globs that match whole what the regular expression finds, as far as globs can say it; [] if they can't.

    A side without `^` or `$` stays open only where the other side has its own: `^java` becomes `java*`, and `a|b` two
    globs without any `*`. The braces of a shell are understood too.
    """
    pattern = re.sub(r"\{([^{}]*[^\d{},][^{}]*)\}", lambda match: f"({match[1].replace(',', '|')})", pattern)
    is_balanced = pattern.count("(") == pattern.count(")")
    text = re.sub(r"\(\?[a-z]+\)", "", pattern).replace("(?:", "(") if is_balanced else re.sub(r"[()^$]", "", pattern)
    texts = [re.sub(r"\((?:\^\|/|/\|\^|\^\|\.\*/)\)", "^", text)]
    while any(re.search(r"\([^()]*\)", text) for text in texts) and len(texts) <= _MOST_ALTERNATIVES:
        texts = [expanded for text in texts for expanded in _with_the_first_group_expanded(text)]
    globs = [_as_glob(alternative) for text in texts for alternative in text.split("|")]
    found = [glob for glob in dict.fromkeys(globs) if glob]
    return found if len(found) <= _MOST_ALTERNATIVES and all(map(_is_glob, found)) else []


def _is_glob(text: str) -> bool:
    try:
        parts(text)
    except ValueError:
        return False
    return True


def _dot_star(kind: str, bare: str) -> bool:
    """Whether there is a `.*` that is hardly meant as a dot and then anything."""
    has_other_stars = re.search(r"(?<!\.)\*", bare) is not None
    for match in re.finditer(r"\.\*", bare):
        before, after = bare[: match.start()], bare[match.end() :]
        if not before:
            if "-wrap" not in after:  # NixOS calls a program .firefox-wrapped
                return True
        elif _DOT_IS_MEANT.search(before):
            continue
        elif kind == "units":
            if after or not before[-1].isalnum():  # docker.* is docker.service and docker.scope
                return True
        elif kind == "names" or not (has_other_stars or (kind == "commands" and before.endswith("/"))):
            return True
    return False


def _with_the_first_group_expanded(text: str) -> list[str]:
    """The text with each alternative of the first group that holds no other; `(...)?` may be left out."""
    match = re.search(r"\(([^()]*)\)(\?)?", text)
    if match is None:
        return [text]
    alternatives = match[1].split("|") + ([""] if match[2] else [])
    return [f"{text[: match.start()]}{alternative}{text[match.end() :]}" for alternative in alternatives]


def _as_glob(alternative: str) -> str:
    """One alternative without groups."""
    is_begun, is_ended = alternative.startswith("^"), alternative.endswith("$")
    glob = alternative.strip("^$").replace(".*", "*").replace(".+", "?*")
    glob = re.sub(r"\\d[+*]?", "[0-9]*", glob)
    glob = re.sub(r"\](?:\+|\{[\d,]*\})", "]*", glob)
    glob = re.sub(r"\\(.)", r"\1", glob)
    if is_begun != is_ended and glob:
        glob = f"{glob}*" if is_begun else f"*{glob}"
    return re.sub(r"\*{2,}", "*", glob)
