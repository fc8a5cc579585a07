"""The ``bounds`` section of a gate's report: what its checks took for evidence."""

from __future__ import annotations

import math

import numpy as np

from nmcheck.checks.bounds import NO_CORRECT, UNREACHABLE
from nmcheck.checks.case import Case
from nmcheck.checks.gate.evidence import Bracket, Uppers
from nmcheck.checks.gate.timeless import NO_TIMES
from nmcheck.results import AttackEntry, BoundsEntry, RadiusEntry, SampleBounds


def bounds_section(case: Case, found: Bracket) -> BoundsEntry:
    """One norm and input domain."""
    return BoundsEntry(
        norm=found.norm,
        box=found.box,
        samples=len(case.images),
        certificate=found.lowers.certificate,
        layers=found.lowers.layers,
        radius={found.lowers.method: _radius(case, found)},
        attack={one.method: _attack(case, one) for one in found.uppers},
        per_sample=_per_sample(case, found),
    )


def _radius(case: Case, found: Bracket) -> RadiusEntry:
    correct = case.correct.cpu().numpy()
    chosen = found.lower[correct]
    reason = found.lowers.reason
    if reason is None and not len(chosen):
        reason = NO_CORRECT
    if reason is None and not np.isfinite(chosen).all():
        reason = UNREACHABLE
    mean, median, p5 = (
        (None, None, None)
        if reason
        else (float(chosen.mean()), float(np.median(chosen)), float(np.percentile(chosen, 5)))
    )
    return RadiusEntry(
        mean=mean,
        mean_reason=reason,
        median=median,
        median_reason=reason,
        p5=p5,
        p5_reason=reason,
        images=int(correct.sum()),
        certified=True,
        theorem=found.lowers.theorem,
        seconds_per_sample=None,
        seconds_per_sample_reason=NO_TIMES,
    )


def _attack(case: Case, found: Uppers) -> AttackEntry:
    correct = case.correct.cpu().numpy()
    distances = [d for d, right in zip(found.distances, correct, strict=True) if right and d is not None]
    reason = None if distances else "the attack found no adversarial example"
    return AttackEntry(
        mean=float(np.mean(distances)) if distances else None,
        mean_reason=reason,
        median=float(np.median(distances)) if distances else None,
        median_reason=reason,
        success_rate=len(distances) / max(1, int(correct.sum())),
        seconds_per_sample=None,
        seconds_per_sample_reason=NO_TIMES,
    )


def _per_sample(case: Case, found: Bracket) -> tuple[SampleBounds, ...]:
    upper = found.upper
    entries: list[SampleBounds] = []
    for row, position in enumerate(case.positions):
        radius, best = found.lowers.radii[row], found.best(row)
        certified = radius is not None and math.isfinite(radius)
        attacked = all(one.tried[row] for one in found.uppers)
        unbroken = "no attack found an adversarial example" if attacked else found.unattacked
        if not bool(case.correct[row]):
            unbroken = "the image is not classified as labelled, so it was not attacked"
        entries.append(
            SampleBounds(
                index=int(position),
                label=int(case.classes_of_images[row]),
                predicted=int(case.predicted[row]),
                correct=bool(case.correct[row]),
                lower=radius if certified else None,
                lower_reason=None if certified else UNREACHABLE if radius is not None else found.lowers.reason,
                lower_method=found.lowers.method if certified else None,
                upper=None if best is None else float(upper[row]),
                upper_reason=None if best is not None else unbroken or found.unattacked or "no attack was run",
                upper_method=None if best is None else best.method,
            )
        )
    return tuple(entries)
