"""Fuzzes one target by atheris: `python -m tests.fuzz.one TARGET [options of libFuzzer] CORPUS...`. See __main__."""

from __future__ import annotations

import sys

import atheris

OURS = ["bustd_protocol", "bustd_shared", "bustd_killer", "bustd_monitor"]
STANDARD = ["tomllib", "shlex", "getopt"]

with atheris.instrument_imports(include=OURS + STANDARD):
    from tests.fuzz.judging import judge
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *sys.argv[2:]], lambda data: judge(target, data))
    atheris.Fuzz()
