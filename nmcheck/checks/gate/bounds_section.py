"""The ``bounds`` section of a gate's report: what its checks took for evidence."""

from __future__ import annotations

import numpy as np
import torch

from nmcheck.checks.attacks import NO_CORRECT
from nmcheck.checks.bounds import bounds_entry, radius_entry
from nmcheck.checks.case import Case
from nmcheck.checks.gate.evidence import AdversarialDistances, Bracket
from nmcheck.checks.gate.without_timings import NO_TIMES
from nmcheck.checks.sample_bounds import UNATTACKED, End, certified_end, reconciled, sample_bounds
from nmcheck.results import AttackEntry, BoundsEntry, LayerBounds, RadiusEntry

NO_SUCCESS = "no attack found an adversarial example"
WRONG = "the image is not classified as labelled, so it was not attacked"


def bounds_section(case: Case, found: Bracket) -> BoundsEntry:
    """One norm and input domain."""
    return BoundsEntry(
        norm=found.norm,
        box=found.box,
        samples=len(case.images),
        certificate=found.lowers.certificate,
        layers=found.lowers.layers or _layers(case, found),
        radius={found.lowers.method: _radius(case, found)},
        attack={one.method: _attack(case, one) for one in found.uppers},
        per_sample=reconciled(
            sample_bounds(
                case,
                (certified_end(radius, found.lowers.reason, found.lowers.method) for radius in found.lowers.radii),
                [_upper(case, found, row) for row in range(len(case.positions))],
            )
        ),
    )


def _layers(case: Case, found: Bracket) -> tuple[LayerBounds, ...]:
    """Each layer's kappa, where a method of other radii leaves it out: a statement about L2 without a box."""
    return bounds_entry(case).layers if found.norm == "l2" and found.box is None else ()


def _radius(case: Case, found: Bracket) -> RadiusEntry:
    lowers = found.lowers
    return radius_entry(
        None if lowers.reason is not None else torch.from_numpy(found.certified),
        lowers.reason,
        case.correct.cpu().numpy(),
        theorem=lowers.theorem,
        certified=True,
        seconds=None,
        seconds_reason=NO_TIMES,
    )


def _attack(case: Case, found: AdversarialDistances) -> AttackEntry:
    correct = case.correct.cpu().numpy()
    count = int(correct.sum())
    distances = [d for d, right in zip(found.distances, correct, strict=True) if right and d is not None]
    reason = None if distances else "the attack found no adversarial example" if count else NO_CORRECT
    return AttackEntry(
        mean=float(np.mean(distances)) if distances else None,
        mean_reason=reason,
        median=float(np.median(distances)) if distances else None,
        median_reason=reason,
        success_rate=len(distances) / count if count else None,
        success_rate_reason=None if count else NO_CORRECT,
        seconds_per_sample=None,
        seconds_per_sample_reason=NO_TIMES,
    )


def _upper(case: Case, found: Bracket, row: int) -> End:
    best = found.best(row)
    if best is not None:
        return End(float(found.upper[row]), None, best.method)
    if not found.uppers:
        return UNATTACKED
    if not bool(case.correct[row]):
        return End(None, WRONG, None)
    attacked = all(one.tried[row] for one in found.uppers)
    return End(None, NO_SUCCESS if attacked else found.unattacked or NO_SUCCESS, None)
