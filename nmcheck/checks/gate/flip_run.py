"""Sampling flips until the policy's questions are answered, or their budget is spent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from nmcheck.checks.case import Case
from nmcheck.checks.moments import infinite_outputs
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.decision import predicted_class
from nmcheck.moments.confidence_sequence import RateInterval, anytime_interval
from nmcheck.results import ClassFlips, ConfusionRow, ImageFlips, SampledFlips

FIRST_LOOK = 8
"""Rounds before the first look."""
GROWTH = 1.25
"""By how much each look's rounds exceed the one's before: fixed in advance, whatever the samples say."""
_BATCH_INPUTS = 512
_BATCH_VALUES = 2**24
SHOWN_ALPHA = 0.05
"""Of the intervals by class and image that the report shows and no check rests on."""


@dataclass
class Question:
    """Whether the flip rate of some images is above a threshold.

    Attributes:
        rows: the images.
        threshold: the rate asked about.
        alpha: probability of a wrong answer.
        budget: rounds after which it stays open.
        interval: the last look's interval, cut down to what earlier ones left; None before the first look.
        answer: ``pass`` if the rate is at most the threshold, ``fail`` if it is above, None while open.
    """

    rows: Int64[np.ndarray, " rows"]
    threshold: float
    alpha: float
    budget: int
    interval: RateInterval | None = None
    answer: str | None = None

    def look(self, flips: int, trials: int) -> None:
        """Take another look. The intervals of all looks hold the rate at once, so what they share does too."""
        now = anytime_interval(flips, trials, self.alpha)
        if self.interval is not None:
            low, high = max(now.low, self.interval.low), min(now.high, self.interval.high)
            if low <= high:
                now = RateInterval(now.rate, low, high, now.confidence, now.n)
        self.interval = now
        if now.high <= self.threshold:
            self.answer = "pass"
        elif now.low > self.threshold:
            self.answer = "fail"


@dataclass(frozen=True)
class FlipRun:
    """What was drawn at one noise level.

    Attributes:
        sigma: the level.
        rounds: noise samples an image.
        winners: how often each image's largest logit was each class.
    """

    sigma: float
    rounds: int
    winners: Int64[np.ndarray, "images classes"]


def looks(budget: int) -> list[int]:
    """Rounds at which a look is taken: growing by a quarter, the last at the budget."""
    found = [min(FIRST_LOOK, budget)]
    while found[-1] < budget:
        found.append(min(budget, int(np.ceil(GROWTH * found[-1]))))
    return found


def run_flips(
    case: Case,
    network: SampledNetwork,
    sigma: float,
    questions: Sequence[Question],
    *,
    seed: int,
    advance: Callable[[int], None],
) -> FlipRun:
    """Draw noise in rounds of one sample an image until every question has its answer or spent its budget.

    Each image has a stream of noise of its own, so that neither other images nor the looks change what it meets.

    Raises:
        ModelError: noise drives the network to infinite outputs.
    """
    level = struct.unpack(">Q", struct.pack(">d", sigma))[0]
    streams = [
        np.random.Generator(np.random.PCG64(noise_seed(seed, Purpose.GATE, int(position), level)))
        for position in case.positions
    ]
    winners = np.zeros((len(streams), case.single.classes), dtype=np.int64)
    predicted = case.predicted.cpu().numpy()
    done = 0
    for rounds in looks(max(question.budget for question in questions)):
        for row, stream in enumerate(streams):
            winners[row] += _winners(case, network, sigma, row, stream=stream, draws=rounds - done)
        done = rounds
        flips = winners.sum(axis=1) - winners[np.arange(len(winners)), predicted]
        # A question with a smaller budget stays open once that is spent.
        for question in questions:
            if question.answer is None and (question.budget >= rounds or question.interval is None):
                question.look(int(flips[question.rows].sum()), rounds * len(question.rows))
        advance(1)
        if all(question.answer is not None or question.budget <= rounds for question in questions):
            break
    return FlipRun(sigma, done, winners)


def _winners(
    case: Case, network: SampledNetwork, sigma: float, row: int, *, stream: np.random.Generator, draws: int
) -> Int64[np.ndarray, " classes"]:
    image = case.images[row].flatten()
    counts = np.zeros(case.single.classes, dtype=np.int64)
    batch = max(1, min(_BATCH_INPUTS, _BATCH_VALUES // len(image)))
    for start in range(0, draws, batch):
        logits = network.evaluate(image + noise(case, sigma, stream, min(batch, draws - start)))
        if not bool(logits.isfinite().all()):
            raise infinite_outputs(case, sigma)
        counts += np.bincount(predicted_class(logits).cpu().numpy(), minlength=len(counts))
    return counts


def noise(case: Case, sigma: float, stream: np.random.Generator, draws: int) -> Tensor:
    """The next draws of a stream: rows of N(0, sigma^2 S), float64."""
    normals: Float64[np.ndarray, "draws k"] = stream.standard_normal(
        (draws, case.structure.directions(case.images[0].numel()))
    )
    return sigma * case.structure.noise(torch.from_numpy(normals).to(case.images))


def flips_entry(case: Case, run: FlipRun) -> SampledFlips:
    """The draws by class and image, for the report."""
    predicted = case.predicted.cpu().numpy()
    flips = run.winners.sum(axis=1) - run.winners[np.arange(len(predicted)), predicted]
    shares = run.winners / run.rounds
    by_class, confusion = [], []
    for c in np.unique(predicted):
        rows = np.flatnonzero(predicted == c)
        found = anytime_interval(int(flips[rows].sum()), run.rounds * len(rows), SHOWN_ALPHA)
        by_class.append(
            ClassFlips(
                class_=int(c), images=len(rows), trials=found.n, sampled=found.rate, low=found.low, high=found.high
            )
        )
        mean = shares[rows].mean(axis=0)
        to = {str(j): float(mean[j]) for j in np.flatnonzero(mean)}
        confusion.append(ConfusionRow(class_=int(c), images=len(rows), to=to))
    by_image = []
    for row, count in enumerate(flips):
        found = anytime_interval(int(count), run.rounds, SHOWN_ALPHA)
        by_image.append(
            ImageFlips(
                index=int(case.positions[row]),
                label=int(case.classes_of_images[row]),
                predicted=int(predicted[row]),
                sampled=found.rate,
                low=found.low,
                high=found.high,
            )
        )
    return SampledFlips(
        sigma_pixel=run.sigma,
        confidence=1.0 - SHOWN_ALPHA,
        trials=run.rounds,
        per_class=tuple(by_class),
        per_image=tuple(by_image),
        confusion=tuple(confusion),
    )
