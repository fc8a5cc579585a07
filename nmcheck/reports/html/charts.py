"""The page's pictures: tightness per class, accuracy against the size of changes, layers, and each check's gauge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from nmcheck.counting import counted
from nmcheck.outside_text import visible
from nmcheck.reports.bounds_domain import NORMS
from nmcheck.reports.html.svg import Scale, drawing, joined, line, path, tag, text
from nmcheck.reports.numbers import significant
from nmcheck.results.bounds import BoundsEntry, LayerBounds, stated
from nmcheck.results.gate import GateCheck
from nmcheck.results.moments import LayerGain, MomentEntry

WIDTH = 480.0
_LEFT, _RIGHT, _BOTTOM = 60.0, 12.0, 42.0
COLORS = ("one", "two", "three")
"""Classes of the style sheet, for series side by side."""


def gauge(check: GateCheck) -> Markup | None:
    """Measured value, interval and threshold on one axis; None where nothing was measured."""
    known = [value for value in (check.measured, check.low, check.high) if value is not None]
    if not known:
        return None
    share = check.kind.endswith("accuracy")
    values = [*known, check.threshold]
    low, high = min(values), max(values)
    pad = 0.15 * (high - low) or 0.1 * abs(high) or 0.1
    low, high = max(0.0, low - pad), min(1.0, high + pad) if share else high + pad
    x = Scale(low, high, 6.0, 194.0)
    parts = [line(6, 14, 194, 14, "axis")]
    if check.low is not None and check.high is not None and check.high > check.low:
        left, right = x(check.low), x(check.high)
        parts.append(tag("rect", x=left, y=10.0, width=max(2.0, right - left), height=8.0, rx=3.0, class_="band"))
    parts.append(line(x(check.threshold), 2, x(check.threshold), 26, "threshold"))
    if check.measured is not None:
        parts.append(tag("circle", cx=x(check.measured), cy=14.0, r=4.5, class_="dot one"))
    measured = significant(stated(check.measured, check.measured_reason))
    return drawing(200, 28, parts, f"measured {measured}, threshold {significant(check.threshold)}")


def tightness(entries: Sequence[MomentEntry], statistic: str) -> Markup:
    """E_r of the mean or the variance, for every class and engine, with one standard error to each side."""
    rows = [
        [
            (one.mean_er, one.mean_er_se) if statistic == "mean" else (one.var_er, one.var_er_se)
            for one in entry.per_class
        ]
        for entry in entries
    ]
    top = max((value + (error or 0.0) for row in rows for value, error in row if value is not None), default=1.0)
    height, classes = 238.0, len(entries[0].per_class)
    y = Scale(0.0, top * 1.08, height - _BOTTOM, 10.0)
    step = (WIDTH - _LEFT - _RIGHT) / classes
    bar = min(22.0, 0.7 * step / len(rows))
    parts = _grid(y, height)
    for number, (entry, row) in enumerate(zip(entries, rows, strict=True)):
        for position, (value, error) in enumerate(row):
            if value is None:
                continue
            left = _LEFT + (position + 0.5) * step + (number - len(rows) / 2) * bar
            said = f"class {entry.per_class[position].class_}, {entry.engine}: {significant(value, 3)}"
            parts.append(
                tag(
                    "rect",
                    tag("title", said),
                    x=left + 1.0,
                    y=y(value),
                    width=bar - 2.0,
                    height=max(0.5, y(0.0) - y(value)),
                    rx=2.0,
                    class_=f"bar {COLORS[number % len(COLORS)]}",
                )
            )
            if error is not None:
                middle = left + bar / 2
                parts.append(line(middle, y(max(0.0, value - error)), middle, y(value + error), "whisker"))
    every = max(1, math.ceil(classes / 20))
    parts += [
        text(_LEFT + (position + 0.5) * step, height - 24, one.class_, anchor="middle")
        for position, one in enumerate(entries[0].per_class)
        if position % every == 0
    ]
    parts.append(text((WIDTH + _LEFT) / 2, height - 5, "class", anchor="middle", class_="quiet"))
    worst = max(((v, one.class_) for one, (v, _) in zip(entries[0].per_class, rows[0], strict=True) if v is not None))
    said = f"E_r of the {statistic} per class; {entries[0].engine} is worst in class {worst[1]} with {worst[0]:.3g}"
    return drawing(WIDTH, height, parts, said)


def accuracy_curves(entry: BoundsEntry, epsilons: Sequence[float]) -> Markup:
    """Share of images still right after changes of every size: certified below, what attacks leave above."""
    total = len(entry.per_sample)
    correct = [one for one in entry.per_sample if one.correct]
    lower = sorted(one.certified_radius for one in correct)
    upper = sorted(one.upper for one in correct if one.upper is not None)
    # Where no change alters any label there is no size to end the axis at.
    reach = (max((size for size in (*lower, *upper, *epsilons) if math.isfinite(size)), default=0.0) or 1.0) * 1.08
    height = 258.0
    x, y = Scale(0.0, reach, _LEFT, WIDTH - _RIGHT), Scale(0.0, 1.0, height - _BOTTOM, 12.0)
    parts = _grid(y, height, percent=True)
    for tick in x.ticks(6):
        parts += [line(x(tick), 12, x(tick), height - _BOTTOM, "grid"), _tick(x(tick), height, tick)]
    for epsilon in epsilons:
        parts.append(line(x(epsilon), 12, x(epsilon), height - _BOTTOM, "threshold"))
    certified = _steps(lower, len(correct), total, reach)
    parts.append(path([(x(a), y(b)) for a, b in certified], "curve one"))
    if upper:
        attacked = _steps(upper, len(correct), total, reach)
        parts.append(path([(x(a), y(b)) for a, b in attacked], "curve two dashed"))
    norm = NORMS[entry.norm]
    label = f"{norm} norm of the change, pixels of 0 to 1"
    parts.append(text((WIDTH + _LEFT) / 2, height - 5, label, anchor="middle", class_="quiet"))
    right = f"{len(correct)} of {counted(total, 'image')} right without any"
    said = f"Accuracy after changes of {norm} norm up to {reach:.3g}: {right}"
    middle = lower[len(lower) // 2] if lower else 0.0
    limit = f"to {middle:.3g}" if math.isfinite(middle) else "against any change"
    return drawing(WIDTH, height, parts, f"{said}; half of these are certified {limit}")


def layers(entries: Sequence[LayerBounds]) -> Markup:
    """Certified kappa at every layer's input, on a logarithmic axis."""
    rows = [(one.node, one.kappa_certified) for one in entries]
    return _lollipops(rows, "certified kappa at the layer's input", "one")


def gains(entries: Sequence[LayerGain]) -> Markup:
    """Noise behind each layer, over that of the input."""
    return _lollipops([(one.node, one.gain) for one in entries], "gain of the noise up to the layer", "two")


def _lollipops(rows: Sequence[tuple[str, float | None]], label: str, color: str) -> Markup:
    known = [value for _, value in rows if value]
    low, high = (min(known), max(known)) if known else (0.1, 1.0)
    # Whole decades, so that there are at least two ticks.
    low, high = 10.0 ** math.floor(math.log10(low) - 1e-9), 10.0 ** math.ceil(math.log10(high) + 1e-9)
    names, row_height = 180.0, 24.0
    height = row_height * len(rows) + 50.0
    x = Scale(low, high, names, WIDTH - 52.0, log=True)
    parts = []
    for tick in x.ticks(6):
        parts += [
            line(x(tick), 4, x(tick), height - 42, "grid"),
            text(x(tick), height - 25, f"{tick:g}", anchor="middle"),
        ]
    for position, (name, value) in enumerate(rows):
        y = 16.0 + position * row_height
        parts.append(text(names - 10, y + 4, _clipped(name, 20), anchor="end"))
        if not value:
            parts.append(text(names + 6, y + 4, "none", class_="quiet"))
            continue
        parts += [
            line(names, y, x(value), y, f"stem {color}"),
            tag(
                "circle",
                tag("title", f"{name}: {significant(value, 3)}"),
                cx=x(value),
                cy=y,
                r=5.0,
                class_=f"dot {color}",
            ),
            text(x(value) + 10, y + 4, significant(value, 3)),
        ]
    parts.append(text(WIDTH - 8, height - 6, f"{label}, log scale", anchor="end", class_="quiet"))
    least = min(((v, name) for name, v in rows if v), default=(0.0, "none"))
    return drawing(
        WIDTH, height, parts, f"{label}, for {counted(len(rows), 'layer')}; least {least[0]:.3g} at {least[1]}"
    )


def _steps(distances: Sequence[float], correct: int, total: int, reach: float) -> list[tuple[float, float]]:
    """Corners of the share of images whose distance is at least x; one without end keeps the share up to ``reach``."""
    points, left = [(0.0, correct / total)], correct
    for distance in distances:
        if math.isinf(distance):
            break
        points.append((distance, left / total))
        left -= 1
        points.append((distance, left / total))
    return [*points, (reach, left / total)]


def _grid(y: Scale, height: float, *, percent: bool = False) -> list[Markup]:
    parts: list[Markup] = []
    for tick in y.ticks():
        shown = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts += [
            line(_LEFT, y(tick), WIDTH - _RIGHT, y(tick), "grid"),
            text(_LEFT - 6, y(tick) + 4, shown, anchor="end"),
        ]
    return [*parts, line(_LEFT, height - _BOTTOM, WIDTH - _RIGHT, height - _BOTTOM, "axis")]


def _tick(place: float, height: float, value: float) -> Markup:
    return text(place, height - 24, f"{value:g}", anchor="middle")


def _clipped(name: str, most: int) -> str:
    shown = visible(name)
    return shown if len(shown) <= most else f"{shown[: most // 2 - 1]}…{shown[-(most // 2) :]}"


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Colors and what they stand for."""
    return joined(
        tag("span", joined([tag("i", "", class_=f"key {color}"), Markup(" "), tag("span", name)]), class_="entry")
        for name, color in names
    )
