"""Banks as tables for a person: what one costs, what it holds, whether it is sound, how it served."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from nmcheck.counting import counted
from nmcheck.reports.layout import header, paragraph
from nmcheck.reports.numbers import significant
from nmcheck.results.bank import BankInfo, BankPreview, BankUse, BankVerification

CHOICES = {
    "images": "every image",
    "centers": "centers of k-means clusters",
    "medoid": "members nearest to the centers of k-means clusters",
    "farthest": "members farthest from the centers of k-means clusters",
}


def bank_preview(preview: BankPreview) -> tuple[str, ...]:
    """Two sentences, for standard error, before the work begins, and what should be doubted."""
    head = " with the affine part in front as a sparse matrix" if preview.sparse_head else ""
    return (
        f"{preview.cut_kind} at {preview.cut}: p = {preview.p:,}, n = {preview.n:,}, d = {preview.d:,}; "
        f"{preview.storage} in {preview.dtype}: {size(preview.bytes_per_point)} a point, {size(preview.bytes)} for "
        f"{counted(preview.points, 'point')}, {size(preview.memory)} of memory.",
        f"{duration(preview.seconds_per_point)} a point, {duration(preview.seconds)} in all in one process "
        f"({preview.kernels} kernels, {counted(preview.chunk, 'row')} at a time{head}); the choice of the "
        "points comes first.",
        *(f"Warning: {warning}" for warning in preview.warnings),
    )


def bank_built(info: BankInfo) -> str:
    """A line for standard error when a bank is complete."""
    energy = f"; the factors have {100 * info.energy:.1f} % of A's squared norm" if info.energy is not None else ""
    return f"{info.path}: {counted(info.points_done, 'point')}, {size(info.bytes)}{energy}."


def bank_info_parts(info: BankInfo, width: int) -> list[RenderableType]:
    """What a bank holds; arguments as those of ``table.analysis_parts``."""
    del width
    state = "complete" if info.complete else f"not complete: {info.points_done:,} done; go on with --resume"
    constant = f"; the same at all points: {', '.join(info.constant)}" if info.constant else ""
    way = info.linearizer if info.sigma is None else f"{info.linearizer} under noise of sigma {info.sigma:g}"
    rows = (
        ("bank", f"{info.path}  (format {info.format_version})"),
        ("model", info.model_fingerprint[:16]),
        ("data", f"{info.data}: {counted(info.images, 'image')}  (sha256 {info.data_sha256[:16]}), scale {info.scale}"),
        ("points", f"{info.k:,}, {CHOICES[info.choice]}, seed {info.seed}; {state}"),
        (
            "members",
            f"{significant(info.members_mean)} images a point, at most {info.members_largest:,}; the farthest at "
            f"{significant(info.reach_largest)}",
        ),
        ("linearized", f"{way}, {info.cut_kind} at {info.cut}: p = {info.p:,}, n = {info.n:,}, d = {info.d:,}"),
        ("storage", f"{info.storage} in {info.dtype}{constant}"),
        *([("energy", f"{100 * info.energy:.1f} % of A's squared norm")] if info.energy is not None else []),
        ("size", f"{size(info.bytes)}, {size(info.bytes_per_point)} a point"),
        (
            "arithmetic",
            f"torch {info.torch}, {info.kernels} kernels, {counted(info.chunk, 'row')} at a time"
            f"{', sparse head' if info.sparse_head else ''}",
        ),
    )
    return [header(info.tool, rows)]


def bank_verification_parts(found: BankVerification, width: int) -> list[RenderableType]:
    """Whether a bank is sound; arguments as those of ``table.analysis_parts``."""
    del width
    again = ", ".join(str(index) for index in found.recomputed) or "none"
    same = "the same to the bit" if found.identical else f"within {significant(found.difference, 2)}"
    state = (
        f"all {found.k:,} done"
        if found.complete
        else f"not complete: {found.points_done:,} of {found.k:,} done; go on with --resume"
    )
    rows = (
        ("bank", found.path),
        ("model", f"{found.model}: the one it was made of"),
        ("points", state),
        ("checksums", "all agree" if found.complete else "all agree, of what is there"),
        ("computed again", f"{again}: {same}"),
    )
    return [header(found.tool, rows)]


def bank_use(use: BankUse) -> Text:
    """A line of a report about the bank that served it."""
    return paragraph(
        f"bank {use.path}: {counted(use.points, 'point')} ({CHOICES[use.choice]}), {use.storage} in "
        f"{use.dtype}; models "
        f"anchored at the {use.anchor}. Distance of an image to the nearest point: mean "
        f"{significant(use.distance_mean)}, median {significant(use.distance_median)}, largest "
        f"{significant(use.distance_largest)}; of the images it was made for at most "
        f"{significant(use.distance_members)}; {counted(use.beyond, 'image lies', 'images lie')} farther."
    )


def size(count: int | float) -> str:
    """Bytes in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{significant(count / factor)} {unit}"
    return f"{count:,.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, factor in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= factor:
            return f"{significant(seconds / factor)} {unit}"
    return f"{significant(seconds * 1e3)} ms"
