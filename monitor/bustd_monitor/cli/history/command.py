"""`bustd history`: every kill and every crisis, or the whole story of one. It only reads."""

from __future__ import annotations

import argparse
import json
import os
import sys

from bustd_shared.daemon.log import printable

from . import document, sources, text
from .journal import JournalTrouble
from .stories import by_boot, stories

EX_NO_SUCH_STORY = 1


def history(options: argparse.Namespace) -> int:
    """Exit code 0; 1 if there is no story of this number; 65 if DIR can't be read, 69 if nothing here can be."""
    try:
        known = sources.of_directory(options.directory) if options.directory else sources.of_this_machine()
    except (JournalTrouble, sources.NothingKnown) as error:
        sys.stderr.write(f"bustd: {printable(str(error))}\n")
        return os.EX_DATAERR if options.directory else os.EX_UNAVAILABLE
    told = stories(known.entries)
    for note in known.notes:
        sys.stderr.write(f"bustd: {printable(note)}\n")
    if options.number is None:
        if options.json:
            _print(document.all_of(known, told))
        else:
            print("\n".join(text.table(told, known.unclean, list(by_boot(known.entries)))))
        return os.EX_OK
    if options.number > len(told):
        have = f"there are {len(told)}, of which 1 is the last" if told else "there is none"
        sys.stderr.write(f"bustd: there is no story {options.number}: {have}\n")
        return EX_NO_SUCH_STORY
    story = told[-options.number]
    unclean = known.unclean.get(story.boot)
    if options.json:
        _print(document.one_of(options.number, story, unclean))
    else:
        print("\n".join(text.whole(options.number, story, unclean)))
    return os.EX_OK


def _print(values: dict[str, object]) -> None:
    """In ASCII: no name can disturb a terminal or forge a line."""
    print(json.dumps(values, indent=2, allow_nan=False))
