"""Certified and attacked accuracy: how many images a change of a given norm cannot, or cannot be shown to, decide."""

from __future__ import annotations

from collections.abc import Sequence

from nmcheck.results import AccuracyPoint, SampleBounds


def settled(sample: SampleBounds, epsilon: float) -> bool:
    """Whether it is known if a change of at most epsilon can change the predicted class."""
    return _certified(sample, epsilon) or _reached(sample, epsilon)


def accuracy_points(samples: Sequence[SampleBounds], epsilons: Sequence[float]) -> tuple[AccuracyPoint, ...]:
    """One record an epsilon, over all images; what lies between the two shares is not known.

    Where no certified radius applies the certified share is 0, and where nothing was attacked the attacked share is the
    accuracy itself: neither claims more than was found.
    """
    count = len(samples)
    return tuple(
        AccuracyPoint(
            epsilon=epsilon,
            certified=sum(one.correct and _certified(one, epsilon) for one in samples) / count,
            attacked=sum(one.correct and not _reached(one, epsilon) for one in samples) / count,
        )
        for epsilon in epsilons
    )


def _certified(sample: SampleBounds, epsilon: float) -> bool:
    return sample.certified_radius >= epsilon


def _reached(sample: SampleBounds, epsilon: float) -> bool:
    return sample.upper is not None and sample.upper <= epsilon
