"""Small drawings in SVG, colored by the page's style sheet so that they follow light and dark.

Own code and not a plotting library's: a library's SVG carries its own colors, fonts and random ids, weighs a hundred
times as much, and cannot follow the reader's color scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nmcheck.outside_text import markup

Number = float | int


def tag(name: str, content: object = None, /, **attributes: object) -> Markup:
    """An element; ``class_`` is written class, other underscores become hyphens, text is escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{markup(str(_short(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if content is None:
        return Markup(f"<{name}{written}/>")
    inside = content if isinstance(content, Markup) else markup(str(content))
    return Markup(f"<{name}{written}>{inside}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("").join(parts)


def drawing(width: Number, height: Number, parts: Iterable[Markup], title: str) -> Markup:
    """A whole picture; ``title`` is what a screen reader says of it."""
    inside = joined([tag("title", title), *parts])
    return tag(
        "svg", inside, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title, style=f"max-width:{width:g}px"
    )


def text(x: Number, y: Number, content: object, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Words."""
    return tag("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: Number, y1: Number, x2: Number, y2: Number, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    steps = " ".join(f"{'M' if i == 0 else 'L'}{_short(x)} {_short(y)}" for i, (x, y) in enumerate(points))
    return tag("path", d=steps, class_=class_)


@dataclass(frozen=True)
class Scale:
    """From values to places.

    Attributes:
        low: value at ``start``.
        high: value at ``end``.
        start: place.
        end: place.
        log: whether equal factors lie equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Place of a value, kept within the picture."""
        low, high = self._of(self.low), self._of(self.high)
        share = (self._of(value) - low) / (high - low) if high > low else 0.0
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / most))
            return [10.0**exponent for exponent in range(first, last + 1, step)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        step = 10.0 ** math.floor(math.log10(span / most))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
