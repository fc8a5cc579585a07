"""Flips by predicted class and the confusion matrix under noise, at each noise level."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from nmcheck.reports.layout import new_table, paragraph, settle
from nmcheck.reports.numbers import level
from nmcheck.results.flips import ConfusionRow, SampledFlips
from nmcheck.results.moments import MomentEntry

MOST_COLUMNS = 10
"""Classes that noise leads to which have a column of their own."""


def flips_tables(flips: tuple[SampledFlips, ...], entries: tuple[MomentEntry, ...]) -> list[RenderableType]:
    """One table per noise level, with the estimates of the most accurate engine."""
    parts: list[RenderableType] = []
    for sampled in flips:
        best = most_accurate([entry for entry in entries if entry.sigma_pixel == sampled.sigma_pixel])
        parts += [_table(sampled, best), ""]
    if not parts:
        return []
    return [
        *parts,
        paragraph(
            "Shares of noisy images in %, averaged over the images of each row's class as predicted without noise. "
            "sampled: independent draws of the reference, with their exact binomial interval. The columns on the right "
            "say which classes noise leads to, by the estimate of the engine whose mean and variance are nearest the "
            "reference. ·: below 0.005 %."
        ),
    ]


def most_accurate(entries: Sequence[MomentEntry]) -> MomentEntry | None:
    """The engine of these with the least E_r of mean and variance together, among those that estimate flips."""
    able = [entry for entry in entries if entry.flips is not None]
    return min(able, key=lambda entry: (entry.overall.mean_er or 0.0) + (entry.overall.var_er or 0.0), default=None)


def _table(sampled: SampledFlips, best: MomentEntry | None) -> RenderableType:
    estimate = None if best is None else best.flips
    matrix = sampled.confusion if estimate is None or estimate.confusion is None else estimate.confusion
    source = "sampled" if matrix is sampled.confusion or best is None else f"estimated by {best.engine}"
    columns, others = _columns(matrix)
    table = new_table(
        f"Flips by predicted class, sigma {level(sampled.sigma_pixel)}; right: the classes under noise, {source}",
        "class",
        "images",
        "flips\nsampled",
        f"{100 * sampled.confidence:g} %\ninterval",
        *(() if best is None else (f"flips by\n{best.engine}",)),
        *(f"to\n{c}" for c in columns),
        *(("to\nothers",) if others else ()),
    )
    analytic = {} if estimate is None else {row.class_: row.analytic for row in estimate.per_class}
    to = {row.class_: row.to for row in matrix}
    for row in sampled.per_class:
        reached = to[row.class_]
        rest = sum(share for c, share in reached.items() if int(c) not in columns)
        table.add_row(
            str(row.class_),
            f"{row.images:,}",
            _percent(row.sampled),
            f"{_percent(row.low)} to {_percent(row.high)}",
            *((_percent(analytic[row.class_]),) if row.class_ in analytic else ()),
            *(_percent(reached.get(str(c), 0.0)) for c in columns),
            *((_percent(rest),) if others else ()),
        )
    return settle(table, 0)


def _columns(matrix: Sequence[ConfusionRow]) -> tuple[list[int], bool]:
    """The classes that noise leads to most often, ascending, and whether there are others."""
    total: dict[int, float] = {}
    for row in matrix:
        for name, share in row.to.items():
            # Staying is no flip, but the class is worth a column among those that are left.
            total[int(name)] = total.get(int(name), 0.0) + (share if int(name) != row.class_ else 1e-9)
    ranked = sorted(total, key=lambda c: (-total[c], c))
    return sorted(ranked[:MOST_COLUMNS]), len(ranked) > MOST_COLUMNS


def _percent(share: float) -> str:
    percent = 100.0 * share
    return "·" if percent < 0.005 else f"{percent:.2f}" if percent < 9.995 else f"{percent:.1f}"
