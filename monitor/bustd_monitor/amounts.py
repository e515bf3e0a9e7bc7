"""Amounts of memory for people."""

from __future__ import annotations


def size(amount: float) -> str:
    """Bytes for people: `812 MiB`, `23.1 GiB`."""
    if amount >= 10 * 2**30:
        return f"{amount / 2**30:.1f} GiB"
    return f"{amount / 2**20:.0f} MiB" if amount >= 2**20 else f"{amount / 2**10:.0f} KiB"
