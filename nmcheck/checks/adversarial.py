"""An adversarial example counts once onnxruntime, running the original file, says so."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from nmcheck.checks.case import Case
from nmcheck.checks.consistency import model_input
from nmcheck.decision import predicted_class
from nmcheck.execute.session import ReferenceSession

Box = tuple[float, float]
NormName = Literal["l2", "linf"]

NUDGES = (1.0, 1 + 1e-6, 1 + 1e-5, 1 + 1e-4, 1 + 1e-3, 1 + 1e-2)
"""A change that torch finds adversarial and onnxruntime does not is lengthened by these factors, the first first:
they round differently, and what an attack finds lies at the boundary itself."""


@dataclass(frozen=True, eq=False)
class Verified:
    """Adversarial examples as the file sees them.

    Attributes:
        pixels: the examples in pixel units, computed back from the file's own input, rounded as it is; the original
            where there is none.
        norms: norm of their difference from the original pixels; infinite where there is none.
        classes: the class onnxruntime gives them, -1 where there is none.
        rejected: for which images an example was proposed and no nudge made onnxruntime agree.
    """

    pixels: Float64[np.ndarray, "images *sample"]
    norms: Float64[np.ndarray, " images"]
    classes: Int64[np.ndarray, " images"]
    rejected: Bool[np.ndarray, " images"]


def decisions(
    case: Case, session: ReferenceSession, pixels: Float64[np.ndarray, "images *sample"]
) -> Int64[np.ndarray, " images"]:
    """The class the file gives each image; -1 where its output has a NaN or a positive infinity."""
    return decided(case, session.run(model_input(case, pixels)))


def decided(case: Case, output: Shaped[np.ndarray, "images *output"]) -> Int64[np.ndarray, " images"]:
    """The class that the file's output for each image stands for; -1 where it has a NaN or a positive infinity."""
    flat = output.reshape(len(output), prod(output.shape[1:]))
    # A file that ends in an arg-max gives the class itself.
    chosen = predicted_class(flat) if flat.shape[1] == case.single.classes else flat[:, 0]
    sound = ~(np.isnan(flat) | (flat == np.inf)).any(axis=1)
    # Between equal logits its rounding decides nothing.
    return np.where(sound, case.single.equal.first[np.where(sound, chosen, 0).astype(np.int64)], -1)


def verify(
    case: Case,
    session: ReferenceSession,
    origin: Float64[np.ndarray, "images *sample"],
    points: Float64[np.ndarray, "images *sample"],
    labels: Int64[np.ndarray, " images"],
    *,
    proposed: Bool[np.ndarray, " images"],
    norm: NormName,
    box: Box | None,
) -> Verified:
    """Run proposed adversarial examples in onnxruntime, lengthening those that do not survive.

    Args:
        case: the model.
        session: its file in onnxruntime.
        origin: the images.
        points: the examples proposed, in pixel units.
        labels: the class each is to leave.
        proposed: for which images there is one.
        norm: what the change is measured in.
        box: range of the pixels, kept while lengthening.
    """
    pixels, found = origin.copy(), np.full(len(origin), -1, dtype=np.int64)
    open_ = np.flatnonzero(proposed)
    for factor in NUDGES:
        if not len(open_):
            break
        moved = origin[open_] + factor * (points[open_] - origin[open_])
        moved = moved if box is None else moved.clip(*box)
        classes = decisions(case, session, moved)
        survives = (classes >= 0) & (classes != labels[open_])
        pixels[open_[survives]] = as_seen(case, session, moved[survives])
        found[open_[survives]] = classes[survives]
        open_ = open_[~survives]
    changed = found >= 0
    norms = np.full(len(origin), np.inf)
    norms[changed] = norm_of(pixels[changed] - origin[changed], norm)
    return Verified(pixels, norms, found, proposed & ~changed)


def as_seen(
    case: Case, session: ReferenceSession, pixels: Float64[np.ndarray, "images *sample"]
) -> Float64[np.ndarray, "images *sample"]:
    """The pixels that the file's input, rounded to its own precision, stands for."""
    fed = model_input(case, pixels).astype(session.dtype).astype(np.float64)
    return (fed - case.scale.offset) / case.scale.gain


def norm_of(change: Float64[np.ndarray, "images *sample"], norm: NormName) -> Float64[np.ndarray, " images"]:
    """Norm of each image's change over all its elements."""
    flat = change.reshape(len(change), prod(change.shape[1:]))
    return np.linalg.norm(flat, ord=2 if norm == "l2" else np.inf, axis=1)
