"""What `--json` prints: plain values, the same keys in every version that has them; bustd(1), JSON, lists them."""

from __future__ import annotations

import json


def plain(text: str | bytes) -> str:
    """A name as JSON can have it: bytes that are no UTF-8 become `\\xNN`, whichever reader made text of them."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def document(values: dict[str, object]) -> str:
    """One object, in ASCII: no name can disturb a terminal or forge a line."""
    return json.dumps(values, indent=2, allow_nan=False)
