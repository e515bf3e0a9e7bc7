"""A regular expression that is searched for in a text, as globs that match the same texts whole.

Pure. The syntax is Python's, which nohang uses; what is typed for earlyoom (POSIX, extended) hardly ever differs from
it. `bustd_shared.rules.regular_expressions` guesses what a person meant by one that stands in the wrong file. Here
nothing is guessed: a glob matches what the expression finds, or `widens` says that it matches more.
"""

from __future__ import annotations

import re
from itertools import product

from bustd_shared.daemon.record import NamedTuple

MOST_GLOBS = 64
_MOST_REPEATED = 16

_BEGIN, _END = "\0begin", "\0end"
"""What stands for `^` and `$` among the parts of a glob."""

_CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_", "s": "[:space:]"}
_REPEATED = re.compile(r"\{(\d+)(,?)(\d*)\}")

Parts = tuple[str, ...]


class Translation(NamedTuple):
    """`globs`: none if `trouble` says why there can be none. `widens`: they match more than the expression finds."""

    globs: tuple[str, ...]
    widens: bool = False
    trouble: str = ""


class _Untranslatable(Exception):
    """No glob can say it; the text is what stands in the expression."""


def translated(pattern: str) -> Translation:
    """The globs for a regular expression; each of them matches a whole text."""
    reader = _Expression(pattern)
    try:
        alternatives = reader.alternatives()
        if reader.place < len(pattern):
            raise _Untranslatable("a ) that nothing opens")
    except _Untranslatable as reason:
        return Translation((), trouble=f"{reason} can't be said in a glob")
    except RecursionError:
        return Translation((), trouble="it is nested too deeply")
    found = [glob for parts in alternatives if (glob := _whole(parts))]
    globs = tuple(dict.fromkeys(found))
    if not globs:
        return Translation((), trouble="it finds nothing")
    if reader.widens and any(not glob.strip("*?") for glob in globs):
        return Translation((), trouble="the nearest glob would match every text")
    return Translation(globs, reader.widens)


def _whole(parts: Parts) -> str:
    """The glob for one alternative; "" if it finds nothing, or only an empty text."""
    begins = [place for place, part in enumerate(parts) if part == _BEGIN]
    ends = [place for place, part in enumerate(parts) if part == _END]
    first, last = begins[-1] + 1 if begins else 0, ends[0] if ends else len(parts)
    outside = parts[:first] + parts[last:]
    if first > last or any(part not in (_BEGIN, _END, "*") for part in outside):
        return ""
    body = "".join(parts[first:last])
    return re.sub(r"\*{2,}", "*", f"{'' if begins else '*'}{body}{'' if ends else '*'}")


class _Expression:
    """Reads an expression from left to right. `widens`: something became a `*` that matches more."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        self.widens = False

    def alternatives(self) -> list[Parts]:
        """All that stands between two `|`, up to the end or to a `)`."""
        found = self._sequence()
        while self._next() == "|":
            self.place += 1
            found = _few(found + self._sequence())
        return found

    def _sequence(self) -> list[Parts]:
        found: list[Parts] = [()]
        while self._next() not in ("", "|", ")"):
            atom = self._repeated(self._atom())
            found = _few([(*left, *right) for left, right in product(found, atom)])
        return found

    def _atom(self) -> list[Parts]:
        character = self._taken()
        if character == "(":
            return self._group()
        if character == "[":
            return [(self._bracket(),)]
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            raise _Untranslatable(f"{character} with nothing before it")
        return [({"^": _BEGIN, "$": _END, ".": "?"}.get(character) or _literal(character),)]

    def _group(self) -> list[Parts]:
        if self._next() == "?" and not self.pattern.startswith("?:", self.place):
            raise _Untranslatable(f"({self.pattern[self.place : self.place + 2]}")
        if self._next() == "?":
            self.place += 2
        found = self.alternatives()
        if self._next() != ")":
            raise _Untranslatable("a ( that is never closed")
        self.place += 1
        return found

    def _escape(self) -> list[Parts]:
        character = self._taken()
        if character in _CLASSES:
            return [(f"[{_CLASSES[character]}]",)]
        if character in ("b", "B", "<", ">"):
            self.widens = True  # a border between words: without it more texts match
            return [()]
        if character in ("A", "Z"):
            return [(_BEGIN if character == "A" else _END,)]
        if not character or character.isalnum():
            raise _Untranslatable(f"\\{character}")
        return [(_literal(character),)]

    def _repeated(self, atom: list[Parts]) -> list[Parts]:
        """The atom with the `?`, `*`, `+` or `{m,n}` that may follow it."""
        found, sign = atom, self._next()
        times = _REPEATED.match(self.pattern, self.place)
        if times:
            self.place = times.end()
            least, comma, most = int(times[1]), times[2], times[3]
            if least > _MOST_REPEATED:
                raise _Untranslatable(times[0])
            found = [()]
            for _ in range(least):
                found = _few([(*left, *right) for left, right in product(found, atom)])
            if comma and most != times[1]:
                found = [(*parts, "*") for parts in found]
                self.widens = self.widens or atom != [("?",)] or bool(most)
        elif sign in ("*", "+"):
            self.place += 1
            found = [("*",)] if sign == "*" else [(*parts, "*") for parts in atom]
            self.widens = self.widens or atom != [("?",)]
        elif sign == "?":
            self.place += 1
            found = [*atom, ()]
        elif sign == "{":
            raise _Untranslatable("{")
        if found is not atom and self._next() == "?":  # as few as possible: that finds the same texts
            self.place += 1
        return found

    def _bracket(self) -> str:
        """One character of a set, as a glob writes it."""
        is_negated = self._next() == "^"
        self.place += is_negated
        members: list[str] = []
        while not members or self._next() != "]":
            members.append(self._member())
        self.place += 1
        kept = [member for member in dict.fromkeys(members) if member not in ("]", "!", "^", "-")]
        first, last = [sign for sign in "]" if sign in members], [sign for sign in "!^-" if sign in members]
        if not (is_negated or first or kept) and len(last) == 1:
            return _literal(last[0])
        if not (is_negated or first or kept) and last[-1] == "-":
            last = [last.pop(), *last]
        if not (is_negated or first) and (kept or last)[0][0] in "!^":
            raise _Untranslatable("[!^]")  # a glob would take it for the sign of what is left out
        return f"[{'!' if is_negated else ''}{''.join([*first, *kept, *last])}]"

    def _member(self) -> str:
        """A character, a range, or a class such as [:alpha:]."""
        named = re.compile(r"\[:[a-z]+:\]").match(self.pattern, self.place)
        if named:
            self.place = named.end()
            return named[0]
        start = self._single()
        if start in _CLASSES.values() or not re.compile(r"-[^]]").match(self.pattern, self.place):
            return start
        self.place += 1
        end = self._single()
        if end in _CLASSES.values() or "]" in (start, end) or start > end:
            raise _Untranslatable(f"[{start}-{end}]")
        return f"{start}-{end}"

    def _single(self) -> str:
        character = self._taken()
        if character == "\\":
            character = self._taken()
            if character in _CLASSES:
                return _CLASSES[character]
            if character.isalnum():
                raise _Untranslatable(f"[\\{character}]")
        if not character or character == "[":
            raise _Untranslatable("[[" if character else "a [ that is never closed")
        return character

    def _next(self) -> str:
        return self.pattern[self.place : self.place + 1]

    def _taken(self) -> str:
        character = self._next()
        self.place += 1
        return character


def _few(found: list[Parts]) -> list[Parts]:
    if len(found) > MOST_GLOBS:
        raise _Untranslatable(f"more than {MOST_GLOBS} alternatives")
    return found


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character
