"""Made-up flips of ten images a class."""

import random

from nmcheck.results import (
    ClassFlipEstimate,
    ClassFlips,
    ConfusionRow,
    EstimatedFlips,
    ImageFlipEstimate,
    ImageFlips,
    SampledFlips,
)


def confusion(sigma: float, classes: int, seed: str) -> tuple[ConfusionRow, ...]:
    """Rows of probabilities that sum to 1, with a few classes never seen."""
    draw = random.Random(f"{sigma}{classes}{seed}")
    rows = []
    for number in range(classes):
        to = {str(other): 0.01 * sigma * draw.random() for other in range(0, classes, 2) if other != number}
        rows.append(ConfusionRow(class_=number, images=10, to={**to, str(number): 1.0 - sum(to.values())}))
    return tuple(rows)


def estimated_flips(sigma: float, classes: int = 10) -> EstimatedFlips:
    """What an engine says of 10 images a class."""
    rows = confusion(sigma, classes, "estimated")
    flips = {row.class_: sum(share for to, share in row.to.items() if to != str(row.class_)) for row in rows}
    return EstimatedFlips(
        per_class=tuple(ClassFlipEstimate(class_=c, images=10, analytic=flip) for c, flip in flips.items()),
        per_image=tuple(
            ImageFlipEstimate(index=17 * position, analytic=flips[position % classes])
            for position in range(10 * classes)
        ),
        confusion=rows,
    )


def sampled_flips(sigma: float, classes: int = 10) -> SampledFlips:
    """What the reference says of them."""
    rows = confusion(sigma, classes, "sampled")
    return SampledFlips(
        sigma_pixel=sigma,
        confidence=0.95,
        trials=500,
        per_class=tuple(
            ClassFlips(class_=row.class_, images=10, trials=5000, sampled=0.0004, low=0.00005, high=0.00144)
            for row in rows
        ),
        per_image=tuple(
            ImageFlips(
                index=17 * position,
                label=position % classes,
                predicted=position % classes,
                sampled=0.0,
                low=0.0,
                high=0.00735,
            )
            for position in range(10 * classes)
        ),
        confusion=rows,
    )
