"""As much of SVG as the pictures need. Every number has one decimal, so that the same data are the same bytes."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 760
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#d55e00", "#117755", "#b3001b"
"""Told apart by people who do not see all colours; each is also named where it is used."""


class Scale(NamedTuple):
    """From values to places on the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low)


def picture(height: int, title: str, parts: list[str]) -> str:
    """A picture on a white card of its own: it reads the same on a light page and on a dark one."""
    card = f"<rect x='0.5' y='0.5' width='{WIDTH - 1}' height='{height - 1}' rx='8' fill='#ffffff' stroke='{GRID}'/>"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
            f"role='img' {FONT} font-size='13'>",
            f"<title>{escape(title)}</title>",
            card,
            *parts,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, *, colour: str = INK, anchor: str = "start", bold: bool = False) -> str:
    """Words whose base line begins (or ends, or has its middle) there."""
    weight = " font-weight='bold'" if bold else ""
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{colour}' text-anchor='{anchor}'{weight}>{escape(words)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = GRID, dashed: bool = False) -> str:
    """A straight line."""
    dash = " stroke-dasharray='5 4'" if dashed else ""
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'{dash}/>"


def curve(points: list[tuple[float, float]], colour: str) -> str:
    """Straight lines through these points."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='2.5' stroke-linejoin='round'/>"


def box(x: float, y: float, width: float, height: float, colour: str, *, faint: bool = False) -> str:
    """A filled rectangle; a faint one has an edge of its colour."""
    fill = f"fill='{colour}' fill-opacity='0.25' stroke='{colour}'" if faint else f"fill='{colour}'"
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0):.1f}' height='{height:.1f}' {fill}/>"
