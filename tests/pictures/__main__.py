"""`python -m tests.pictures`: draw all of them again."""

from __future__ import annotations

from pathlib import Path

from .crisis import crisis
from .draw import PICTURES

DIRECTORY = Path(__file__).parents[2] / "docs/pictures"


def main() -> None:
    """Write every picture."""
    seen = crisis()
    DIRECTORY.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (DIRECTORY / f"{name}.svg").write_text(draw(seen))


if __name__ == "__main__":
    main()
