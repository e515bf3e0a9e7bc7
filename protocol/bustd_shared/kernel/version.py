"""The oldest kernel that bustd runs on."""

from __future__ import annotations

OLDEST = (5, 4)
"""pidfd_open(2) came with 5.3; 5.4 is the oldest long-term kernel that has it."""


def too_old(release: str) -> bool:
    """Whether a kernel release as uname(2) reports it, such as `6.12.9-amd64`, is older than Linux 5.4."""
    numbers = []
    for part in release.split(".")[:2]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers) < OLDEST
