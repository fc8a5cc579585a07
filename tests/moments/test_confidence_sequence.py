"""Coverage at all looks at once, for equal and unequal images, and the ends against a slow search."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

from nmcheck.checks.gate.flip_run import Question, looks
from nmcheck.moments.confidence_sequence import PRIOR, anytime_interval

ALPHA = 0.01
IMAGES = 100
MODELS = 200
"""benchmarks/gate_error_rate.py has a thousand."""


def verdict(generator, rates, threshold, budget=2000) -> tuple[str | None, int]:
    """One gate's sampling at its own looks, of images that flip with these probabilities."""
    question = Question(np.arange(len(rates)), threshold, ALPHA, budget)
    flips, done = 0, 0
    for rounds in looks(budget):
        flips += int(generator.binomial(rounds - done, rates).sum())
        done = rounds
        question.look(flips, rounds * len(rates))
        if question.answer is not None:
            break
    return question.answer, done


@pytest.mark.parametrize("spread", ["equal", "unequal"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_error_rate_of_simulated_models(spread, factor):
    threshold = 0.02
    generator = np.random.default_rng([int(10 * factor), spread == "unequal"])
    rates = np.full(IMAGES, factor * threshold)
    if spread == "unequal":
        # A tenth of the images carry all flips.
        rates = np.where(np.arange(IMAGES) < IMAGES // 10, 10 * factor * threshold, 0.0)
    answers = [verdict(generator, rates, threshold, 50 if factor == 1.0 else 400)[0] for _ in range(MODELS)]
    # A rate of exactly the threshold is allowed, so only failing it is wrong.
    wrong = "pass" if factor > 1.0 else "fail"
    # The 99.9 % quantile of the count of wrong answers if their probability were alpha.
    assert answers.count(wrong) <= scipy.stats.binom.ppf(0.999, MODELS, ALPHA)
    if factor != 1.0:
        right = "fail" if factor > 1.0 else "pass"
        assert answers.count(right) >= 0.99 * MODELS


def test_clear_cases_are_cheap():
    generator = np.random.default_rng(0)
    for rate, answer in ((0.0, "pass"), (0.2, "fail")):
        found, rounds = verdict(generator, np.full(IMAGES, rate), 0.02)
        assert found == answer
        assert rounds <= 8


@pytest.mark.parametrize(("flips", "trials"), [(0, 1), (0, 50), (3, 50), (50, 50), (49, 50), (7, 10_000)])
def test_ends_against_the_definition(flips, trials):
    def mixture(p):
        # The integral of the likelihood over the prior, by quadrature in a variable that tames its ends.
        nodes, weights = np.polynomial.legendre.leggauss(2000)
        angle = 0.25 * math.pi * (nodes + 1.0)
        q = np.sin(angle) ** 2
        log_ratio = flips * (np.log(q) - math.log(p)) + (trials - flips) * (np.log1p(-q) - math.log1p(-p))
        assert PRIOR == (0.5, 0.5)
        return float((weights * np.exp(log_ratio)).sum() * 0.25 * math.pi * 2.0 / math.pi)

    found = anytime_interval(flips, trials, ALPHA)
    assert found.low <= found.rate <= found.high
    for end, limit in ((found.low, 0.0), (found.high, 1.0)):
        if end != limit and 0.0 < end < 1.0 - 1e-9:
            assert mixture(end) == pytest.approx(1.0 / ALPHA, rel=1e-6)


def test_wider_than_an_interval_of_one_look_and_shrinking():
    widths = []
    for trials in (100, 1000, 10_000, 100_000):
        flips, kept = trials // 50, trials - trials // 50
        found = anytime_interval(flips, trials, 0.05)
        low, high = scipy.stats.beta.ppf([0.025, 0.975], [flips, flips + 1], [kept + 1, kept])
        assert found.low < low < high < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.006


@pytest.mark.parametrize(
    ("flips", "trials", "alpha"), [(1, 0, 0.1), (2, 1, 0.1), (-1, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_nonsense_is_refused(flips, trials, alpha):
    with pytest.raises(ValueError, match=r"is not|not between"):
        anytime_interval(flips, trials, alpha)


def test_looks_are_fixed_in_advance_and_end_at_the_budget():
    assert looks(1) == [1]
    assert looks(8) == [8]
    assert looks(10) == [8, 10]
    found = looks(2000)
    assert found[-1] == 2000
    assert all(b > a for a, b in pairwise(found))
