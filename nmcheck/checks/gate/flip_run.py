"""Sampling flips until the policy's questions are answered, or their budget is spent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from nmcheck.checks.case import Case
from nmcheck.checks.gate.question import Question, looks
from nmcheck.checks.moments import infinite_outputs
from nmcheck.checks.noise import array_of
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.decision import predicted_class
from nmcheck.moments.confidence_sequence import anytime_interval
from nmcheck.results import ClassFlips, ConfusionRow, ImageFlips, SampledFlips

_BATCH_INPUTS = 512
_BATCH_VALUES = 2**24
SHOWN_ALPHA = 0.05
"""Of the intervals by class and image that the report shows and no check rests on."""


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

    Each image has a stream of noise of its own: which images are evaluated together and when looks are taken change
    nothing about what it meets, and of its logits no more than the last bits.

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
    for rounds in looks(question.budget for question in questions):
        winners += _winners(case, network, sigma, streams, rounds - done)
        done = rounds
        flips = winners.sum(axis=1) - winners[np.arange(len(winners)), predicted]
        # A question with a smaller budget stays open once that is spent.
        for question in questions:
            if question.answer is None and question.budget >= rounds:
                question.look(int(flips[question.rows].sum()), rounds * len(question.rows))
        advance(1)
        if all(question.answer is not None or question.budget <= rounds for question in questions):
            break
    return FlipRun(sigma, done, winners)


def _winners(
    case: Case, network: SampledNetwork, sigma: float, streams: Sequence[np.random.Generator], draws: int
) -> Int64[np.ndarray, "images classes"]:
    """How often each class wins in the next draws of every image; few draws of many images are evaluated together."""
    images = case.images.flatten(1)
    counts = np.zeros((len(streams), case.single.classes), dtype=np.int64)
    of_draw = np.repeat(np.arange(len(streams)), draws)
    batch = max(1, min(_BATCH_INPUTS, _BATCH_VALUES // images.shape[1]))
    for start in range(0, len(of_draw), batch):
        rows = of_draw[start : start + batch]
        parts = [
            noise(case, sigma, streams[row], int(of_row))
            for row, of_row in zip(*np.unique(rows, return_counts=True), strict=True)
        ]
        logits = network.evaluate(images[torch.from_numpy(rows).to(images.device)] + torch.cat(parts))
        if not bool(logits.isfinite().all()):
            raise infinite_outputs(case, sigma)
        np.add.at(counts, (rows, predicted_class(logits).cpu().numpy()), 1)
    return counts


def noise(case: Case, sigma: float, stream: np.random.Generator, draws: int) -> Tensor:
    """The next draws of a stream: rows of covariance sigma^2 S, float64."""
    numbers = array_of(case.noise.law, stream, (draws, case.structure.directions(case.images[0].numel())))
    return sigma * case.structure.noise(torch.from_numpy(numbers).to(case.images))


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
