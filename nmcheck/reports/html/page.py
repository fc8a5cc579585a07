"""The whole page, from a report and the worst images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from rich.console import RenderableType

from nmcheck.counting import counted
from nmcheck.outside_text import visible
from nmcheck.reports.blocks import Facts, Grid, Words, blocks
from nmcheck.reports.bounds_domain import NORMS
from nmcheck.reports.gate_words import measured, state, threshold, waiver_sentence
from nmcheck.reports.html import charts
from nmcheck.reports.html.network import network_drawings
from nmcheck.reports.html.svg import tag
from nmcheck.reports.html.template import page
from nmcheck.reports.numbers import percent
from nmcheck.results.bounds import BoundsEntry
from nmcheck.results.flips import SampledFlips
from nmcheck.results.gate import GateEntry
from nmcheck.results.moments import MomentEntry
from nmcheck.results.picture import PicturedImage
from nmcheck.results.report import Report

MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "waived": "–"}
_MOST_CLASSES = 20
"""Classes whose confusion is shown in full."""


@dataclass(frozen=True)
class Chart:
    """A picture and the words around it.

    Attributes:
        title: above it.
        picture: the drawing.
        legend: of its colors, or nothing.
        text: below it.
    """

    title: str
    picture: Markup
    legend: Markup
    text: str


def to_html(report: Report, pictures: Sequence[PicturedImage] = (), parts: Iterable[RenderableType] = ()) -> str:
    """One HTML document without scripts that asks for no other file.

    Args:
        report: a gate's, an analysis's or that of ``nmcheck bounds``.
        pictures: the worst images; none leaves their section out.
        parts: tables to show below the pictures, the frame on top first, as for ``layout.text_of``; none for a gate.
    """
    tables = list(blocks(parts))
    on_top = next((one.rows for one in tables if isinstance(one, Facts)), None)
    # Warnings and notes have their places on the page.
    told = [*(f"Warning: {text}" for text in report.warnings), *(f"Note: {text}" for text in report.notes)]
    said = {" ".join(visible(text).split()) for text in told}
    return page(
        "page.html.j2",
        f"nmcheck {f'gate: {report.gate.verdict}' if report.gate else 'report'} · {report.model.path}",
        report=report,
        gate=report.gate,
        facts=_facts(report) if on_top is None else on_top[1:],
        checks=[] if report.gate is None else _checks(report.gate),
        charts=[*_curves(report), *_tightness(report), *_layers(report)],
        network=network_drawings(report),
        confusion=[_confusion(one) for one in report.flips],
        pictures=pictures,
        tables=[one for one in tables if isinstance(one, Grid) or (isinstance(one, Words) and one.text not in said)],
        marks=MARKS,
        norms=NORMS,
    )


def _facts(report: Report) -> list[tuple[str, object]]:
    data = report.data
    accuracy = data.accuracy_reason if data.accuracy is None else percent(data.accuracy, data.samples)
    rows: list[tuple[str, object]] = [
        ("data", f"{data.name}: {data.selection}"),
        ("accuracy", accuracy),
        ("scale", data.scale),
        ("seed", report.seed),
        ("model", tag("code", report.model.fingerprint[:16])),
        ("images", tag("code", data.sha256[:16])),
    ]
    if report.gate is not None and report.gate.baseline is not None:
        baseline = report.gate.baseline
        drop = f", drop of at most {100 * baseline.max_drop:g} %"
        rows.append(("baseline", tag("code", baseline.fingerprint[:16]) + drop))
    return rows


def _checks(gate: GateEntry) -> list[dict[str, Any]]:
    return [
        {
            "record": check,
            "state": state(check),
            "measured": measured(check),
            "threshold": threshold(check),
            "gauge": charts.gauge(check),
            "waiver": waiver_sentence(check),
        }
        for check in gate.checks
    ]


def _curves(report: Report) -> list[Chart]:
    found: list[Chart] = []
    for entry in report.bounds or ():
        methods = {one.lower_method for one in entry.per_sample if one.lower_method is not None}
        if not methods and not any(one.certified_radius for one in entry.per_sample):
            continue
        attacked = any(one.upper is not None for one in entry.per_sample)
        names = [(f"certified ({', '.join(sorted(methods))})" if methods else "certified", "one")]
        names += [("left by the attacks, an empirical upper bound", "two")] if attacked else []
        epsilons = _epsilons(report, entry)
        marks = " Vertical lines: the policy's sizes." if epsilons else ""
        none = "" if attacked else " No attack was run, so nothing is known from above."
        found.append(
            Chart(
                f"Accuracy against changes, {NORMS[entry.norm]}",
                charts.accuracy_curves(entry, epsilons),
                charts.legend(names),
                f"Share of the {counted(entry.samples, 'image')} classified as labelled and staying so. "
                f"{entry.certificate}."
                f"{marks}{none}".replace("..", "."),
            )
        )
    return found


def _epsilons(report: Report, entry: BoundsEntry) -> list[float]:
    if report.gate is None:
        return []
    of_norm = [check for check in report.gate.checks if (check.norm, check.box) == (entry.norm, entry.box)]
    return sorted({check.epsilon for check in of_norm if check.epsilon is not None})


def _tightness(report: Report) -> list[Chart]:
    found: list[Chart] = []
    levels = dict.fromkeys(entry.sigma_pixel for entry in report.moments or ())
    for sigma in levels:
        entries = [one for one in report.moments or () if one.sigma_pixel == sigma and one.baseline is None]
        entries = entries[: len(charts.COLORS)]
        for statistic in ("mean", "variance"):
            if entries and _measured(entries, statistic):
                found.append(
                    Chart(
                        f"Tightness of the {statistic} per class, sigma {sigma:g}",
                        charts.tightness(entries, statistic),
                        charts.legend([(one.engine, charts.COLORS[i]) for i, one in enumerate(entries)]),
                        "Relative error E_r of the analytic moment of each logit against sampling, averaged over the "
                        "images; whiskers: one standard error. Lower is better.",
                    )
                )
    return found


def _measured(entries: Sequence[MomentEntry], statistic: str) -> bool:
    return all(
        any((one.mean_er if statistic == "mean" else one.var_er) is not None for one in entry.per_class)
        for entry in entries
    )


def _layers(report: Report) -> list[Chart]:
    found: list[Chart] = []
    entry = next((one for one in report.bounds or () if one.layers), None)
    if entry is not None:
        found.append(
            Chart(
                "Robustness by layer",
                charts.layers(entry.layers),
                Markup(""),
                "kappa: least norm of a change at the layer's input that can change the label; a certified lower "
                "bound, averaged over the images.",
            )
        )
    propagation = next((one for one in report.moments or () if one.propagation and one.propagation.gains), None)
    if propagation is not None and propagation.propagation is not None:
        found.append(
            Chart(
                f"Noise by layer, sigma {propagation.sigma_pixel:g}",
                charts.gains(propagation.propagation.gains),
                Markup(""),
                "Root mean square of the standard deviations behind each elementwise layer, over the input noise's.",
            )
        )
    return found


def _confusion(flips: SampledFlips) -> dict[str, Any]:
    """Rows of cells, each with its share in words and how dark it is."""
    rows = flips.confusion[:_MOST_CLASSES]
    columns = sorted({int(name) for row in rows for name in row.to} | {row.class_ for row in rows})[:_MOST_CLASSES]
    return {
        "sigma": f"{flips.sigma_pixel:g}",
        "columns": columns,
        "rows": [
            {
                "class_": row.class_,
                "images": row.images,
                "cells": [
                    {
                        "text": _share(row.to.get(str(column), 0.0)),
                        "stays": column == row.class_,
                        "dark": _darkness(row.to.get(str(column), 0.0)) if column != row.class_ else 0,
                    }
                    for column in columns
                ],
            }
            for row in rows
        ],
        "left_out": len(flips.confusion) - len(rows),
        "trials": flips.trials,
    }


def _share(share: float) -> str:
    shown = 100.0 * share
    return (
        "·"
        if shown < 0.005
        else f"{shown:.2f}"
        if shown < 9.995
        else f"{shown:.0f}"
        if shown > 99.95
        else f"{shown:.1f}"
    )


def _darkness(share: float) -> int:
    """0 to 5: decades from 0.01 % to 100 %."""
    return 0 if share < 5e-5 else min(5, max(1, math.ceil(math.log10(share) + 5.0)))
