"""Layerwise robustness and radii."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from nmcheck.reports.attack_table import attack_tables
from nmcheck.reports.bounds_domain import domain
from nmcheck.reports.layout import new_table, paragraph, reasons, settle
from nmcheck.reports.numbers import MISSING, significant
from nmcheck.results.bounds import BoundsEntry, LayerBounds, stated


def bounds_tables(entry: BoundsEntry) -> list[RenderableType]:
    """The layers, the radii by method, what the published formulas are worth, and the attacks, if any were run."""
    layers = [_layers(entry), "", *_layer_notes(entry), ""] if entry.layers else []
    bounds = [*layers, _radii(entry), "", *_radius_notes(entry)]
    found = entry.attack or entry.iterated or entry.layer_attacks
    return [*bounds, "", *attack_tables(entry)] if found else bounds


def _layers(entry: BoundsEntry) -> RenderableType:
    table = new_table(
        f"Layerwise robustness ({domain(entry)})",
        "node",
        "op",
        "Lipschitz",
        "to logits",
        "kappa published,\nnot certified",
        "kappa\ncertified",
        "published\nsound",
        names=2,
    )
    for row in entry.layers:
        table.add_row(
            row.node,
            row.op,
            significant(row.lipschitz, 4),
            significant(row.lipschitz_to_logits, 4),
            significant(stated(row.kappa_published, row.kappa_published_reason)),
            significant(stated(row.kappa_certified, row.kappa_certified_reason)),
            _sound(row),
        )
    return settle(table, 0, 1)


def _sound(row: LayerBounds) -> str | Text:
    if stated(row.kappa_published, row.kappa_published_reason) is None:
        return MISSING
    return Text("yes", style="green") if row.published_sound else Text("no", style="red")


def _layer_notes(entry: BoundsEntry) -> list[RenderableType]:
    nodes: dict[str, list[str]] = {}
    for row in entry.layers:
        nodes.setdefault(row.published_statement, []).append(row.node)
    return [
        paragraph(
            "kappa: least norm of a change at the layer's input that can change the label, averaged over the images; "
            "Lipschitz and to logits are certified upper bounds."
        ),
        *reasons(entry.layers),
        *(paragraph(f"{', '.join(names)}: {statement}") for statement, names in nodes.items()),
    ]


def _radii(entry: BoundsEntry) -> RenderableType:
    table = new_table(
        f"Radii in pixel units ({domain(entry)})",
        "method",
        "what it is",
        "mean",
        "median",
        "at most 5 %\nare below",
        "images",
        "s/image",
        names=2,
    )
    for method, radius in entry.radius.items():
        table.add_row(
            method,
            f"certified (real arithmetic, {domain(entry)})" if radius.certified else "not certified",
            significant(stated(radius.mean, radius.mean_reason)),
            significant(stated(radius.median, radius.median_reason)),
            significant(stated(radius.p5, radius.p5_reason)),
            f"{radius.images:,}",
            significant(radius.seconds_per_sample, 2),
        )
    return settle(table, 0)


def _radius_notes(entry: BoundsEntry) -> list[RenderableType]:
    return [
        *(paragraph(f"{method}: {radius.theorem.rstrip('.')}.") for method, radius in entry.radius.items()),
        *reasons(entry.radius.values()),
        paragraph(f"Over the correctly classified images. {entry.certificate}"),
    ]
