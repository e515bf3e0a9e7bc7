"""What a kernel would make of a filter of system calls, on any architecture: the few instructions that filters use."""

from __future__ import annotations

import struct

Program = list[tuple[int, int, int, int]]


def verdict(program: Program, arch: int, number: int, *arguments: int) -> int:
    """What the program returns for a call (seccomp(2), struct seccomp_data; Documentation/networking/filter.rst)."""
    words = [argument & 2**64 - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *words)
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x35: accumulator >= operand}[code]
            at += if_true if holds else if_false
