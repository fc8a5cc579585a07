"""Tightness per class and flip probability."""

from __future__ import annotations

from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from nmcheck.counting import counted
from nmcheck.reports.bank_table import bank_use
from nmcheck.reports.layout import PlainTable, new_table, paragraph, reasons, settle, styled, widest
from nmcheck.reports.numbers import level, significant, with_error, z_score
from nmcheck.results.moments import ClassMoments, MomentEntry, OverallMoments, ReferenceEntry

MEASURES = ("E_r mean", "E_r var", "bias/sd", "var ratio", "z mean", "z var")
LEGEND = (
    "E_r = 2|x-y|/(|x|+|y|) of engine x and reference y, ± its standard error over the images; bias/sd: error of the "
    "mean in units of the logit's own standard deviation; var ratio: engine over reference; z: error summed over the "
    "images, in standard errors of the reference. Analytic moments are estimates, not certificates."
)
SKIP = (
    "skip: a ReLU that some paths from the input to the logits pass by; they enter by a linear term of their own. "
    "cut: a ReLU that every path crosses."
)


def moments_tables(entries: tuple[MomentEntry, ...], width: int) -> list[RenderableType]:
    """One table per noise level with the engines side by side if they fit the width, else below each other."""
    parts: list[RenderableType] = []
    for sigma, group in groupby(entries, key=lambda entry: entry.sigma_pixel):
        engines = list(group)
        parts += [*_beside(engines, width, f"Tightness per class, sigma {level(sigma)}"), "", _reference(engines), ""]
    return [
        *parts,
        paragraph(LEGEND),
        *_baselines(entries),
        *([paragraph(SKIP)] if any(entry.cut_kind == "skip" for entry in entries) else []),
        *_propagation(entries),
        *_bank(entries),
        *reasons(record for entry in entries for record in (*entry.per_class, entry.overall)),
        "",
        *flip_table(entries),
    ]


def _baselines(entries: tuple[MomentEntry, ...]) -> list[Text]:
    """Which engines are no estimates, and why."""
    why: dict[str, list[str]] = {}
    for entry in entries:
        if entry.baseline is not None and entry.engine not in (names := why.setdefault(entry.baseline, [])):
            names.append(entry.engine)
    return [paragraph(f"Baseline {', '.join(names)}: {reason}.") for reason, names in why.items()]


def _propagation(entries: tuple[MomentEntry, ...]) -> list[Text]:
    """How moments were propagated where it was not plainly exact up to the Gaussian closure."""
    lines: list[Text] = []
    found = [(entry, entry.propagation) for entry in entries if entry.propagation is not None]
    if found and found[0][1].linearized:
        layers = ", ".join(f"{one.node} ({one.what})" for one in found[0][1].linearized)
        lines.append(paragraph(f"propagate has no rule for these layers and takes their slopes at the mean: {layers}."))
    lines += [
        paragraph(
            f"propagate at sigma {level(entry.sigma_pixel)}: the nonlinear part of the response is estimated from "
            f"{counted(way.samples, 'noisy input')} an image; relative standard error of its variances from that: "
            f"{significant(way.variance_error, 2)}. They moved the means by {significant(way.mean_correction_sd, 2)} "
            f"of a logit's own standard deviation; standard error of a mean estimated from them alone: "
            f"{significant(way.mean_correction_error_sd, 2)}."
        )
        for entry, way in found
        if way.samples is not None
    ]
    lines += [
        paragraph(
            f"propagate at sigma {level(entry.sigma_pixel)}: means of smooth functions are integrated numerically, to "
            f"{significant(way.quadrature_error_sd, 2)} of a unit's own standard deviation or better."
        )
        for entry, way in found
        if way.quadrature_error_sd is not None
    ]
    lines += [
        paragraph(
            f"propagate at sigma {level(entry.sigma_pixel)}: {counted(way.directions, 'random direction')}, "
            "because one for "
            "every direction of the noise would not fit in memory; standard error of the means from that: "
            f"{significant(way.direction_error_sd, 2)} of a logit's own standard deviation."
        )
        for entry, way in found
        if way.random
    ]
    return lines


def _bank(entries: tuple[MomentEntry, ...]) -> list[Text]:
    """Which bank served, and how near it is to the images."""
    return [bank_use(use) for use in dict.fromkeys(entry.bank for entry in entries) if use is not None]


def flip_table(entries: tuple[MomentEntry, ...]) -> list[RenderableType]:
    """How often noise changes the predicted class, and what each engine costs."""
    confidence = entries[0].overall.flip.confidence
    table = new_table(
        "Flip probability: how often noise changes the predicted class",
        "sigma",
        "engine",
        "analytic\n(estimate)",
        "sampled",
        f"{100 * confidence:g} %\ninterval",
        "trials",
        "s/image",
        "forward\npasses",
        names=2,
    )
    for entry in entries:
        flip = entry.overall.flip
        table.add_row(
            level(entry.sigma_pixel),
            entry.engine,
            significant(flip.analytic, 2),
            significant(flip.sampled, 2),
            f"{significant(flip.low, 2)} to {significant(flip.high, 2)}",
            f"{flip.trials:,}",
            significant(entry.seconds_per_input, 2),
            significant(entry.forward_passes_per_input, 2),
        )
    return [
        settle(table, 0, 1),
        "",
        paragraph(
            "analytic: Gaussian logits with the engine's mean and covariance; sampled: exact binomial interval over "
            "independent draws. s/image and forward passes: the engine alone, without the reference."
        ),
        *reasons(entry.overall.flip for entry in entries),
    ]


def _beside(engines: list[MomentEntry], width: int, title: str) -> list[RenderableType]:
    """The engines' tables in one row if it fits, else below each other."""
    heading = styled(title, "bold cyan")
    row = PlainTable.grid(padding=(0, 4, 0, 0))
    row.add_row(*(_engine_table(entry, with_class=position == 0) for position, entry in enumerate(engines)))
    if widest(row) <= width:
        return [heading, row]
    parts: list[RenderableType] = [heading]
    for position, entry in enumerate(engines):
        parts += [*([""] if position else []), _engine_table(entry, with_class=True)]
    return parts


def _engine_table(entry: MomentEntry, *, with_class: bool) -> PlainTable:
    averaged = ", averaged" if entry.linearizer == "averaged" else ""
    cut = "" if entry.cut is None else f"{averaged}, {entry.cut_kind} at {entry.cut}"
    names = ("class",) if with_class else ()
    baseline = "" if entry.baseline is None else " (baseline, not an estimate)"
    table = new_table(f"{entry.engine}{cut}{baseline}", *names, *MEASURES, names=len(names))
    for position, row in enumerate(entry.per_class):
        label = (str(row.class_),) if with_class else ()
        last = position == len(entry.per_class) - 1
        table.add_row(*label, *_cells(row), z_score(row.mean_z), z_score(row.var_z), end_section=last)
    label = ("all",) if with_class else ()
    table.add_row(*label, *_cells(entry.overall), "", "", style="bold")
    return settle(table)


def _cells(row: ClassMoments | OverallMoments) -> tuple[str, ...]:
    return (
        with_error(row.mean_er, row.mean_er_se),
        with_error(row.var_er, row.var_er_se),
        significant(row.mean_bias_sd),
        significant(row.var_ratio),
    )


def _reference(engines: list[MomentEntry]) -> RenderableType:
    reference, first = engines[0].reference, engines[0]
    model_units = ", ".join(level(float(significant(value, 4))) for value in first.sigma_model)
    return paragraph(" ".join([_sampled(first, model_units), *_exceptions(reference)]))


def _exceptions(reference: ReferenceEntry) -> list[str]:
    """What a reader must know of single logits, a sentence each."""
    pairs = f"of {reference.logits:,} logits (images times classes)"
    found: list[str] = []
    if reference.unmoved:
        found.append(
            f"{reference.unmoved:,} {pairs} were not moved by any sample: their variance is 0, and averages leave them "
            "out."
        )
    if reference.plain and reference.method != "plain":
        found.append(
            f"For {reference.plain:,} {pairs} the control variate explains nothing, so that they were sampled plainly."
        )
    if reference.heavy_tailed:
        found.append(
            f"For {reference.heavy_tailed:,} {pairs} few samples carry the variance (heavy tails), so that it and its "
            f"interval are not to be trusted: --reference-samples {reference.samples_for_tails} or more would do."
        )
    return found


def _sampled(first: MomentEntry, model_units: str) -> str:
    reference = first.reference
    floor = reference.floor
    return (
        f"Reference: {reference.method} Monte Carlo, {counted(reference.n, 'sample')} an image, run by "
        f"{reference.execution}. "
        f"Noise floor (E_r of a perfect engine): mean {significant(floor.mean_er, 2)}, "
        f"var {significant(floor.var_er, 2)}. "
        f"sigma {level(first.sigma_pixel)} in pixel units is {model_units} at the model's own input."
    )
