"""The frames of a trace. Only this module knows how they are packed.

Each is a msgpack bin that holds one msgpack array. So a frame whose end is missing, because the recorder was killed, is
noticed before anything in it is decoded.
"""

from __future__ import annotations

from typing import BinaryIO

import msgpack

from .records import LONGEST_BYTES, TraceError

MOST_FRAME_BYTES = 2**20
_LONGEST_ARRAY = 4096

CUT = object()
"""In the place of a frame whose end is missing."""


def framed(array: list[object]) -> bytes:
    """The frame that holds this array."""
    packed: bytes = msgpack.packb(msgpack.packb(array))
    return packed


_BIN_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""msgpack's bin 8, bin 16 and bin 32: by the type byte, how many bytes the length has."""


def next_frame(file: BinaryIO) -> object:
    """The next frame's array; None at the end, CUT if the end comes within it. Raises TraceError."""
    kind = file.read(1)
    if not kind:
        return None
    if kind == b"\0" and _ends_in_zeros(file):
        return CUT
    length_bytes = _BIN_LENGTH_BYTES.get(kind[0])
    if length_bytes is None:
        raise TraceError("something else where a frame belongs")
    packed_length = file.read(length_bytes)
    length = int.from_bytes(packed_length, "big")
    if len(packed_length) < length_bytes:
        return CUT
    if length > MOST_FRAME_BYTES:
        raise TraceError(f"a frame of {length} bytes, and at most {MOST_FRAME_BYTES} are allowed")
    packed = file.read(length)
    if len(packed) < length:
        return CUT
    try:
        return msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            ext_hook=_no_extension,
            max_str_len=LONGEST_BYTES,
            max_bin_len=LONGEST_BYTES,
            max_array_len=_LONGEST_ARRAY,
            max_map_len=0,
            max_ext_len=0,
        )
    except ValueError as error:
        raise TraceError(f"a frame that can't be read: {type(error).__name__}") from None


def _ends_in_zeros(file: BinaryIO) -> bool:
    """Whether only zeros follow: a file can end like that after a power failure."""
    while chunk := file.read(65536):
        if chunk.strip(b"\0"):
            return False
    return True


def _no_extension(_code: int, _data: bytes) -> None:
    raise ValueError("extension types are not part of a trace")
