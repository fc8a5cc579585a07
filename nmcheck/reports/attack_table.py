"""Adversarial examples by attack, and where they lead."""

from __future__ import annotations

from rich.console import RenderableType

from nmcheck.counting import counted
from nmcheck.reports.bounds_domain import domain
from nmcheck.reports.layout import new_table, paragraph, reasons, settle
from nmcheck.reports.numbers import percent, significant
from nmcheck.results.bounds import BoundsEntry, stated

_MOST_CLASSES = 20
"""A wider heat map does not fit; it is in the JSON report."""


def attack_tables(entry: BoundsEntry) -> list[RenderableType]:
    """The attacks side by side, the classes they lead to, the iterative perturbation, and the attacks on layers."""
    attacks = [_attacks(entry), "", *_notes(entry), *_heat_map(entry)] if entry.attack else []
    return [*attacks, *_iterated(entry), *_layers(entry)]


def _attacks(entry: BoundsEntry) -> RenderableType:
    table = new_table(
        f"Adversarial examples in pixel units ({domain(entry)})",
        "attack",
        "mean norm",
        "median",
        "found for",
        "nearest for",
        "s/image",
    )
    correct = [sample for sample in entry.per_sample if sample.correct]
    for name, attack in entry.attack.items():
        nearest = sum(sample.upper_method == name for sample in correct)
        table.add_row(
            name,
            significant(attack.mean),
            significant(attack.median),
            percent(attack.success_rate, max(1, len(correct))),
            f"{nearest:,}",
            significant(attack.seconds_per_sample, 2),
        )
    return settle(table, 0)


def _notes(entry: BoundsEntry) -> list[RenderableType]:
    correct = [sample for sample in entry.per_sample if sample.correct]
    return [
        *reasons(entry.attack.values()),
        paragraph(
            f"Over the {counted(len(correct), 'correctly classified image')}; each example was checked in "
            "onnxruntime on the "
            "original file. 'nearest for' counts the images for which no other attack came nearer."
        ),
    ]


def _heat_map(entry: BoundsEntry) -> list[RenderableType]:
    """Fig. 5.10 for the attack that came nearest most often."""
    methods = [sample.upper_method for sample in entry.per_sample]
    name = max(entry.attack, key=methods.count)
    rows = entry.attack[name].class_changes
    reached = sorted({*(row.class_ for row in rows), *(int(to) for row in rows for to in row.to)})
    if not 0 < len(reached) <= _MOST_CLASSES:
        return []
    table = new_table(f"Classes reached by {name}", "from", *map(str, reached))
    for row in rows:
        table.add_row(str(row.class_), *(_count(row.to.get(str(to), 0)) for to in reached))
    explanation = (
        f"Rows: class predicted without a change; columns: class of the nearest example {name} found, in images."
    )
    return ["", settle(table, 0), "", paragraph(explanation)]


def _count(images: int) -> str:
    return f"{images:,}" if images else "·"


def _iterated(entry: BoundsEntry) -> list[RenderableType]:
    if not entry.iterated:
        return []
    table = new_table("Iterative perturbation", "step", "images", "mean norm", "back in their class")
    for step in entry.iterated:
        back = percent(step.back, max(1, step.images))
        table.add_row(str(step.step), f"{step.images:,}", significant(step.mean_norm), back)
    explanation = (
        "FGS applied again and again to what it made: norm of each step's change, and the share of the images that are "
        "again of the class predicted for the clean one."
    )
    return ["", settle(table, 0), "", *reasons(entry.iterated), paragraph(explanation)]


def _layers(entry: BoundsEntry) -> list[RenderableType]:
    if not entry.layer_attacks:
        return []
    table = new_table(
        f"Kappa of each layer from both sides ({domain(entry)})",
        "node",
        "images",
        "certified",
        "attacked",
        "certified\nabove",
        "published,\nnot certified",
        "published\nabove",
    )
    for row in entry.layer_attacks:
        table.add_row(
            row.node,
            f"{row.images:,}",
            significant(stated(row.kappa_certified, row.kappa_certified_reason)),
            significant(row.kappa_attacked),
            f"{row.certified_above:,}",
            significant(stated(row.kappa_published, row.kappa_published_reason)),
            f"{row.published_above:,}",
        )
    explanation = (
        "Least norm of a change at the layer's input that can change the label: proven, found by DDN on the part of "
        "the network behind the layer, and by the thesis's formula; means over the images DDN succeeded on. above: "
        "images for which the bound exceeds the norm found, and so is refuted."
    )
    return ["", settle(table, 0), "", *reasons(entry.layer_attacks), paragraph(explanation)]
