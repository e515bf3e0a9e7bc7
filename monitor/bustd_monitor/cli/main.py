"""`bustd`: the command that people type."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from .parser import parsed
from .parser import parser as parser


def main() -> int:
    """The entry point."""
    _open_standard_streams()
    try:
        try:
            return _perform(parsed(sys.argv[1:]))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in the buffer when Python ends
        return 0
    except OSError as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_OSERR


def _perform(options: Namespace) -> int:
    """Each command is imported only when it is asked for."""
    if options.command == "check":
        from .check import check
        from .daemons import arguments_of

        return check(arguments_of(options), as_json=options.json, quiet=options.quiet)
    if options.command == "explain":
        from .explain import explain

        return explain(options)
    if options.command == "status":
        from .status import status

        return status(options)
    if options.command == "metrics":
        from .metrics.command import metrics

        return metrics(options)
    if options.command == "record":
        from .record import record

        return record(options)
    if options.command == "replay":
        from .replay import replay

        return replay(options)
    if options.command == "history":
        from .history.command import history

        return history(options)
    if options.command == "import-config":
        from .import_config import import_config

        return import_config(options)
    if options.command == "watch":
        from .watch import watch

        return watch(options)
    if options.command == "notify":
        from .notify import notify

        return notify()
    if options.command == "report":
        from .report import report

        return report(options)
    if options.command == "selftest":
        from .selftest_units import selftest

        return selftest(options.user, standalone=options.standalone)
    from .run import run

    return run(options)


def _open_standard_streams() -> None:
    """Whichever of 0, 1 and 2 is closed would become a file that is opened later, and the log would go there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    sys.exit(main())
