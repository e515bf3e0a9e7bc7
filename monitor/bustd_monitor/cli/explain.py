"""`bustd explain`: what would it do, and why? Reads, shows, and kills nothing."""

from __future__ import annotations

import argparse
import os
import sys

from ..sensing.sensor import Unreadable
from . import explain_json, explain_text
from . import options as cli_options
from .look import look
from .screen import screen_of


def explain(options: argparse.Namespace) -> int:
    """Exit code 0; 69 where the machine, or the process of this PID, can't be read, 78 where a file is wrong."""
    settings = cli_options.load(options)
    if settings is None:
        return os.EX_CONFIG
    try:
        seen = look(settings, options.pid)
    except Unreadable as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_UNAVAILABLE
    is_shown = options.pid is None or seen.standing is not None
    if options.json:
        if is_shown:
            print(explain_json.text(seen))
    else:
        print("\n".join(explain_text.lines(seen, screen_of(sys.stdout, os.environ))))
    if not is_shown:
        sys.stdout.flush()
        never = f"{options.pid} never dies: it is gone, a kernel thread, PID 1, or can't be seen"
        sys.stderr.write(f"bustd: {never}\n")
        return os.EX_UNAVAILABLE
    return os.EX_OK
