"""What a gate asks of flips, and when it looks for the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from nmcheck.moments.confidence_sequence import ABOVE, BELOW, RateInterval, anytime_interval, decided

GROWTH = 1.05
"""By how much each look's rounds exceed the one's before: fixed in advance, whatever the samples say. More looks cost
no probability of a wrong answer, only the time they take."""


@dataclass
class Question:
    """Whether the flip rate of some images is above a threshold.

    Attributes:
        rows: the images.
        threshold: the rate asked about; None to draw the whole budget for the interval alone.
        alpha: probability of ever answering ``fail`` if the rate is at most the threshold, and of ever answering
            ``pass`` if it is above: that of a wrong answer, since only one of them can be.
        budget: rounds after which it stays open.
        flips: trials that flipped, at the last look.
        trials: trials at the last look, 0 before the first.
        answer: ``pass`` if the rate is at most the threshold, ``fail`` if it is above, None while open.
    """

    rows: Int64[np.ndarray, " rows"]
    threshold: float | None
    alpha: float
    budget: int
    flips: int = 0
    trials: int = 0
    answer: str | None = None

    def look(self, flips: int, trials: int) -> None:
        """Take another look, at the end of a round."""
        self.flips, self.trials = flips, trials
        if self.threshold is None:
            return
        found = int(decided(np.array(flips), trials, self.threshold, self.alpha))
        # A rate is at most 1, whatever was seen.
        if found == BELOW or self.threshold >= 1.0:
            self.answer = "pass"
        elif found == ABOVE:
            self.answer = "fail"

    @property
    def interval(self) -> RateInterval | None:
        """The rates that neither answer's evidence excludes; None before the first look.

        Each end leaves out the rate with probability at most alpha, so the two together hold it with 1 - 2 alpha.
        """
        return anytime_interval(self.flips, self.trials, 2.0 * self.alpha) if self.trials else None


def looks(budgets: Iterable[int]) -> list[int]:
    """Rounds at which looks are taken: each at first, then growing by a twentieth, and where a budget ends."""
    ends = set(budgets)
    found, rounds = set(ends), 1
    while rounds < max(ends):
        found.add(rounds)
        rounds = math.ceil(GROWTH * rounds)
    return sorted(found)
