"""What normalization layers do to noise, robustness and accuracy."""

from __future__ import annotations

from rich.console import RenderableType

from nmcheck.reports.layout import new_table, paragraph, reasons, settle
from nmcheck.reports.numbers import MISSING, level, percent, significant, with_error
from nmcheck.results.bounds import stated
from nmcheck.results.normalization import NormalizationEntry
from nmcheck.results.report import Report

SHORT = {"BatchNormalization": "BatchNorm", "LRN": "LRN"}


def normalization_table(report: Report) -> list[RenderableType]:
    """One row per normalization layer, or a sentence if there is none."""
    entries = report.normalization
    if not entries:
        return [paragraph("Normalization effects: the model has no batch or local response normalization.")]
    sigmas = sorted({gain.sigma_pixel for entry in entries for gain in entry.noise_gain})
    table = new_table(
        "Normalization effects",
        "node",
        "kind",
        "Lipschitz",
        "kappa\nin",
        "kappa\nout",
        *(f"noise gain,\nsigma {level(sigma)}" for sigma in sigmas),
        "radius\nwith",
        "radius\nwithout",
        "accuracy\nwithout",
        names=2,
    )
    for entry in entries:
        gains = {gain.sigma_pixel: with_error(gain.gain, gain.gain_se) for gain in entry.noise_gain}
        table.add_row(
            entry.node,
            SHORT[entry.kind] + (" (pattern)" if entry.recognized_from == "pattern" else ""),
            significant(entry.lipschitz, 4),
            significant(stated(entry.kappa_in, entry.kappa_in_reason)),
            significant(stated(entry.kappa_out, entry.kappa_out_reason)),
            *(gains.get(sigma, MISSING) for sigma in sigmas),
            significant(stated(entry.radius_with, entry.radius_with_reason)),
            significant(stated(entry.radius_without, entry.radius_without_reason)),
            percent(entry.accuracy_without, report.data.samples),
        )
    return [settle(table, 0, 1), "", *_notes(entries)]


def _notes(entries: tuple[NormalizationEntry, ...]) -> list[RenderableType]:
    removals = {entry.removal for entry in entries}
    draws = ", ".join(str(count) for count in sorted({gain.draws for entry in entries for gain in entry.noise_gain}))
    sentences = [
        f"noise gain: noise leaving the layer over noise entering it (estimate from {draws} draws an image, ± standard "
        "error over the images); Lipschitz, kappa and radius (Lipschitz method, mean over the images that are "
        "classified correctly with and without the layer) are certified (real arithmetic)."
    ]
    if "identity" in removals:
        sentences.append("without, LRN: the layer is replaced by the identity and nothing is retrained.")
    if "folded" in removals:
        sentences.append("without, BatchNormalization: folded into its neighbour, the same function up to rounding.")
    gains = (gain for entry in entries for gain in entry.noise_gain)
    return [paragraph(" ".join(sentences)), *reasons((*entries, *gains))]
