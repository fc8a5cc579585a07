"""Attacks on every image, checked in onnxruntime: upper bounds of the distance to the decision boundary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from jaxtyping import Float64, Int64

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.deepfool import deepfool
from nmcheck.attacks.fast_gradient import fgs, fgv
from nmcheck.attacks.lbfgs import lbfgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.pgd import pgd
from nmcheck.attacks.problem import Attack, Problem
from nmcheck.checks.adversarial import Box, NormName, Verified, decisions, verify
from nmcheck.checks.case import Case
from nmcheck.checks.sample_bounds import reconciled
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import AttackEntry, ClassChanges, SampleBounds

ATTACKS: Mapping[NormName, Mapping[str, Attack]] = {
    "l2": {"fgs": fgs, "fgv": fgv, "deepfool": deepfool, "ddn": ddn, "pgd": pgd, "lbfgs": lbfgs},
    "linf": {"fgs": fgs, "deepfool": deepfool, "pgd": pgd},
}
DEFAULT_ATTACKS: Mapping[NormName, tuple[str, ...]] = {
    "l2": ("fgs", "fgv", "deepfool", "ddn"),
    "linf": ("fgs", "deepfool", "pgd"),
}
"""Those run unless others are asked for: all but the slow ones, in Linf with the one that finds nearer examples."""
CHEAP_ATTACKS = ("fgs", "deepfool", "ddn")
"""What ``analyze`` runs, in L2: some 400 forward passes an image, where its sampler takes thousands."""
UNCHANGED = "unchanged"
"""The method named where onnxruntime's rounding alone already decides otherwise than float64."""

NOTHING_FOUND = "none of the attacks run found an adversarial example"
NOT_CONFIRMED = "an attack found an adversarial example in torch that onnxruntime does not confirm, even lengthened"
NO_CORRECT = "none of the images is classified correctly, and attacks are summarised over those that are"
NO_SUCCESS = "the attack succeeded on none of the correctly classified images"

_ELEMENTS = 2**26
"""Activations an attack may hold at a time: 256 MiB in float32."""


@dataclass(frozen=True, eq=False)
class AttackedImages:
    """What the attacks found.

    Every image is attacked away from the class predicted for it, so that its norm bounds from above what the certified
    radius bounds from below; a misclassified one too.

    Attributes:
        norm: ``l2`` or ``linf``.
        box: range the pixels were kept in, or None.
        nearest: the nearest example of each image over all attacks.
        methods: the attack that found it, or None.
        reasons: why there is none, or None.
        entries: one record per attack, in the order they ran.
    """

    norm: NormName
    box: Box | None
    nearest: Verified
    methods: tuple[str | None, ...]
    reasons: tuple[str | None, ...]
    entries: Mapping[str, AttackEntry]

    @property
    def uppers(self) -> tuple[float | None, ...]:
        """Norm of the nearest example of each image, in pixel units, or None."""
        return tuple(float(norm) if np.isfinite(norm) else None for norm in self.nearest.norms)

    def with_uppers(self, samples: Sequence[SampleBounds]) -> tuple[SampleBounds, ...]:
        """The records of the same images with their upper bounds put in, and no lower bound above any of these."""
        found = zip(samples, self.uppers, self.reasons, self.methods, strict=True)
        return reconciled(
            replace(sample, upper=upper, upper_reason=reason, upper_method=method)
            for sample, upper, reason, method in found
        )


def attack_uppers(
    case: Case,
    session: ReferenceSession,
    norm: NormName,
    box: Box | None = None,
    *,
    attacks: Sequence[str] | None = None,
    seed: int = 0,
    advance: Callable[[int], None] = lambda images: None,
) -> AttackedImages:
    """Attack every image of a case.

    Args:
        case: the model and its images.
        session: the file in onnxruntime, which has the last word.
        norm: ``l2`` or ``linf``.
        box: range that perturbed pixels stay in, to rounding of the file's input, or None.
        attacks: names from ``ATTACKS[norm]``; by default ``DEFAULT_ATTACKS[norm]``.
        seed: seeds random starts.
        advance: told of every image that one attack is done with.

    Raises:
        UsageError: an attack is not known for this norm, or the images do not lie in the box.
    """
    names = tuple(dict.fromkeys(DEFAULT_ATTACKS[norm] if attacks is None else attacks))
    _check(case, norm, box, names)
    labels = case.predicted.cpu().numpy().astype(np.int64)
    best, methods = _unchanged(case, session, labels, norm)
    rejected = np.zeros(len(labels), dtype=bool)
    entries: dict[str, AttackEntry] = {}
    for name in names:
        start = time.perf_counter()
        found = _run(case, session, ATTACKS[norm][name], labels, norm=norm, box=box, seed=seed, advance=advance)
        entries[name] = attack_entry(case, found, labels, time.perf_counter() - start)
        nearer = found.norms < best.norms
        methods = [name if better else method for better, method in zip(nearer, methods, strict=True)]
        wide = nearer.reshape(-1, *([1] * (found.pixels.ndim - 1)))
        best = Verified(
            np.where(wide, found.pixels, best.pixels),
            np.where(nearer, found.norms, best.norms),
            np.where(nearer, found.classes, best.classes),
            best.rejected,
        )
        rejected |= found.rejected
    reasons = [
        None if method is not None else NOT_CONFIRMED if refused else NOTHING_FOUND
        for method, refused in zip(methods, rejected, strict=True)
    ]
    nearest = replace(best, rejected=rejected & ~np.isfinite(best.norms))
    return AttackedImages(norm, box, nearest, tuple(methods), tuple(reasons), entries)


def problem_of(
    case: Case,
    pixels: Float64[np.ndarray, "images *sample"],
    labels: Int64[np.ndarray, " images"],
    *,
    norm: NormName,
    box: Box | None,
    seed: int = 0,
) -> Problem:
    """What an attack is asked about images of a case: the network in float32, as it is deployed."""
    return Problem(
        case.single,
        torch.from_numpy(pixels).to(case.device).float(),
        torch.from_numpy(labels).to(case.device),
        Norm(norm),
        box,
        reach=value_range(case),
        seed=seed,
        masked=case.single.never,
        offsets=case.logit_offsets,
    )


def groups(case: Case) -> list[slice]:
    """The images in parts that an attack's memory allows, chosen by the sizes of the network's values."""
    size = max(1, _ELEMENTS // sum(prod(shape) for shape in case.graph.shapes.values()))
    return [slice(begin, min(begin + size, len(case.pixels))) for begin in range(0, len(case.pixels), size)]


def value_range(case: Case) -> float:
    """Width of the data's range: 1 for pixels; for features, what the images used span."""
    if case.dataset.unit == "pixel":
        return 1.0
    return float(np.ptp(case.pixels)) or 1.0


def attack_entry(case: Case, found: Verified, labels: Int64[np.ndarray, " images"], seconds: float) -> AttackEntry:
    """The record of one attack: summarised over the correctly classified images."""
    correct = case.correct.cpu().numpy()
    chosen = found.norms[correct]
    hit = chosen[np.isfinite(chosen)]
    reason = NO_CORRECT if not len(chosen) else NO_SUCCESS if not len(hit) else None
    return AttackEntry(
        mean=float(hit.mean()) if len(hit) else None,
        mean_reason=reason,
        median=float(np.median(hit)) if len(hit) else None,
        median_reason=reason,
        success_rate=len(hit) / len(chosen) if len(chosen) else None,
        success_rate_reason=None if len(chosen) else NO_CORRECT,
        seconds_per_sample=seconds / len(labels),
        class_changes=class_changes(labels, found.classes),
    )


def class_changes(
    labels: Int64[np.ndarray, " images"], found: Int64[np.ndarray, " images"]
) -> tuple[ClassChanges, ...]:
    """The heat map of Fig. 5.10: counts by the class left and the class reached, -1 for none."""
    rows = []
    for label in np.unique(labels):
        reached, counts = np.unique(found[(labels == label) & (found >= 0)], return_counts=True)
        to = {str(name): int(count) for name, count in zip(reached, counts, strict=True)}
        rows.append(ClassChanges(class_=int(label), images=int((labels == label).sum()), to=to))
    return tuple(rows)


def _check(case: Case, norm: NormName, box: Box | None, names: Sequence[str]) -> None:
    for name in names:
        if name not in ATTACKS[norm]:
            known = ", ".join(ATTACKS[norm])
            raise UsageError(f"The attack '{name}' is not known for the norm {norm}; choose from {known}.")
    if box is not None and len(case.pixels) and not (box[0] <= case.pixels.min() and case.pixels.max() <= box[1]):
        raise UsageError(
            f"{case.dataset.name}: its values span {case.pixels.min():g} to {case.pixels.max():g}, so changed ones "
            f"cannot be kept within {box[0]:g} to {box[1]:g}; give a wider box or none."
        )


def _unchanged(
    case: Case, session: ReferenceSession, labels: Int64[np.ndarray, " images"], norm: NormName
) -> tuple[Verified, list[str | None]]:
    """The images that onnxruntime, by its rounding alone, decides otherwise than float64: no change is needed."""
    tied = decisions(case, session, case.pixels) != labels
    found = verify(case, session, case.pixels, case.pixels, labels, proposed=tied, norm=norm, box=None)
    return found, [UNCHANGED if norm < np.inf else None for norm in found.norms]


def _run(
    case: Case,
    session: ReferenceSession,
    attack: Attack,
    labels: Int64[np.ndarray, " images"],
    *,
    norm: NormName,
    box: Box | None,
    seed: int,
    advance: Callable[[int], None],
) -> Verified:
    """One attack on all images, a few at a time, and what onnxruntime says of its finds."""
    parts = []
    for rows in groups(case):
        problem = problem_of(case, case.pixels[rows], labels[rows], norm=norm, box=box, seed=seed)
        found = attack(problem)
        origin = case.pixels[rows]
        # The change is applied to the pixels as they are, not as float32 rounds them.
        points = origin + (found.points - problem.x).double().cpu().numpy()
        proposed = found.found.cpu().numpy()
        parts.append(verify(case, session, origin, points, labels[rows], proposed=proposed, norm=norm, box=box))
        advance(len(origin))
    return Verified(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.norms for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.rejected for part in parts]),
    )
