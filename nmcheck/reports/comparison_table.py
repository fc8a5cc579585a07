"""Models side by side, a column each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from rich.console import RenderableType
from rich.text import Text

from nmcheck.counting import counted
from nmcheck.reports.bounds_domain import domain
from nmcheck.reports.layout import header, new_table, paragraph, reasons, settle, styled
from nmcheck.reports.numbers import MISSING, level, percent, significant, with_error
from nmcheck.results.bounds import stated
from nmcheck.results.comparison import ComparedModel, Comparison


def comparison_parts(found: Comparison, width: int) -> list[RenderableType]:
    """What a comparison shows; arguments as those of ``table.analysis_parts``."""
    del width
    models, first = found.models, found.models[0]
    rows = [
        ("data", f"{first.data.name}: {first.data.selection}  (sha256 {first.data.sha256[:16]})"),
        *([("noise", found.noise.description)] if found.noise.kind != "isotropic" else []),
        ("seed", str(found.seed)),
        *((label, f"{one.model.path}  ({one.data.scale})") for label, one in zip(_letters(found), models, strict=True)),
    ]
    parts: list[RenderableType] = [header(found.tool, rows)]
    parts += [styled(f"Warning: {one.model.path}: {text}", "yellow") for one in models for text in one.warnings]
    table = new_table(f"Side by side ({domain(first.bounds)})", "", *_names(found))
    for name, cells in _rows(found):
        table.add_row(name, *cells)
    parts += ["", settle(table, 0), *reasons(models), "", paragraph(_words(found))]
    parts += _normalization(found)
    return [*parts, "", *(paragraph(f"Note: {one.model.path}: {text}") for one in models for text in one.notes)]


def _letters(found: Comparison) -> list[str]:
    return [f"model {position}" for position, _ in enumerate(found.models, start=1)]


def _names(found: Comparison) -> list[Text]:
    names = [PurePath(one.model.path).name for one in found.models]
    return [styled(f"{position} {name}") for position, name in enumerate(names, start=1)]


def _rows(found: Comparison) -> list[tuple[str, list[str]]]:
    models = found.models
    rows = [
        ("accuracy", [percent(one.data.accuracy, one.data.samples) for one in models]),
        ("method of certified radii", [one.method for one in models]),
        (
            "certified radius, its correct images",
            [significant(stated(one.radius, one.radius_reason)) for one in models],
        ),
        ("nearest adversarial example, its correct images", [significant(one.example) for one in models]),
        (
            f"certified radius, {counted(found.common, 'common image')}",
            [with_error(one.common_radius, one.common_radius_se) for one in models],
        ),
        ("  less that of model 1", [MISSING, *(with_error(one.difference, one.difference_se) for one in models[1:])]),
    ]
    for position, point in enumerate(models[0].bounds.accuracy):
        points = [one.bounds.accuracy[position] for one in models]
        shares = [f"{percent(p.certified, one.data.samples)} .. {percent(p.attacked, one.data.samples)}"
                  for p, one in zip(points, models, strict=True)]  # fmt: skip
        rows.append((f"accuracy at epsilon {point.epsilon:g}, from .. to", shares))
    for position, flips in enumerate(models[0].flips):
        shares = [_interval(one, position) for one in models]
        rows.append((f"flip probability at sigma {level(flips.sigma_pixel)}", shares))
    return rows


def _interval(one: ComparedModel, position: int) -> str:
    flips = one.flips[position]
    return f"{significant(flips.sampled)} [{significant(flips.low)}, {significant(flips.high)}]"


def _words(found: Comparison) -> str:
    flips: Sequence[str] = [counted(one.draws, "draw") for one in found.models[0].flips[:1]]
    noise = f" Flips: {flips[0]} an image and level, the same for every model, 95 % exact intervals." if flips else ""
    return (
        "All models saw the same images. Common images are those that every model classifies correctly; only on them "
        "are the radii of different models about the same things. Norms of adversarial examples are means over those "
        "of a model's correct images that have one. Accuracy from .. to: certified, and not refuted by an attack."
        + noise
    )


def _normalization(found: Comparison) -> list[RenderableType]:
    if not any(one.normalization for one in found.models):
        return []
    table = new_table(
        "Normalization layers", "model", "node", "kind", "Lipschitz", "noise gain", "radius\nwith", "radius\nwithout",
        "accuracy\nwithout", names=3,
    )  # fmt: skip
    for name, one in zip(_names(found), found.models, strict=True):
        for row in one.normalization:
            gains = ", ".join(significant(gain.gain) for gain in row.noise_gain)
            table.add_row(
                name,
                row.node,
                row.kind,
                significant(row.lipschitz),
                gains,
                significant(stated(row.radius_with, row.radius_with_reason)),
                significant(stated(row.radius_without, row.radius_without_reason)),
                percent(row.accuracy_without, one.data.samples),
            )
    return [
        "",
        settle(table, 0, 1, 2),
        paragraph(
            "Noise gain at each sigma in turn. Radius: by Lipschitz constants in L2, with the layer and with the "
            "identity in its place (LRN) or folded away (BatchNormalization), without training the network again."
        ),
    ]
