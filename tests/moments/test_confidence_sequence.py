"""The law of the evidence by enumeration, error probabilities of the gate's looks computed exactly, and the ends."""

import itertools
import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from nmcheck.checks.gate.question import Question, looks
from nmcheck.moments.confidence_sequence import (
    ABOVE,
    BELOW,
    LOG_ODDS,
    LOG_WEIGHTS,
    OPEN,
    anytime_interval,
    decided,
    log_evidence,
)

ALPHA = 0.01
IMAGES = 100
THRESHOLD = 0.02
UNEQUAL = [
    (0.2,),
    (0.3, 0.3, 0.3),
    (0.0, 0.1, 0.8),
    (1.0, 0.0, 0.0),
    (1.0, 1.0, 0.3),
    (0.001, 0.0, 0.0),
]
FACTORS = (1e-4, 0.01, 0.1, 0.5, 0.9, 0.99, 1.01, 1.1, 1.5, 1.9, 10.0, 1000.0)
PAIRS = [(p, factor) for p in (1e-4, 0.02, 0.1, 0.5) for factor in FACTORS if p * factor < 1.0]


def spread(name: str, rate: float) -> np.ndarray:
    """Flip probabilities of a hundred images with this average."""
    if name == "even":
        return np.full(IMAGES, rate)
    if name == "a tenth":
        return np.where(np.arange(IMAGES) < IMAGES // 10, 10 * rate, 0.0)
    # One image always flips, the others share what is left.
    return np.where(np.arange(IMAGES) < 1, 1.0, (IMAGES * rate - 1.0) / (IMAGES - 1))


def outcome(rates: np.ndarray, threshold: float, alpha: float, budget: int) -> np.ndarray:
    """Rows (samples, probability of passing there, of failing there), one a look of the gate, by the count's exact law.

    The count of flips is followed from look to look: convolved with the law of the next rounds' flips, and without the
    counts that were decided.
    """
    groups = list(zip(*np.unique(rates, return_counts=True), strict=True))
    law, done, rows = np.ones(1), 0, []
    for rounds in looks([budget]):
        for rate, images in groups:
            trials = int(images) * (rounds - done)
            law = scipy.signal.convolve(law, scipy.stats.binom.pmf(np.arange(trials + 1), trials, rate))
        done = rounds
        found = decided(np.arange(len(law)), rounds * len(rates), threshold, alpha)
        rows.append((rounds * len(rates), law[found == BELOW].sum(), law[found == ABOVE].sum()))
        law = np.where(found == OPEN, np.maximum(law, 0.0), 0.0)
        if law.sum() < 1e-6:
            break
    return np.array(rows)


@pytest.mark.parametrize("rates", UNEQUAL)
def test_a_round_never_raises_the_expected_evidence_of_a_wrong_answer(rates):
    # All outcomes of a round of images that flip with these probabilities, after any earlier counts.
    outcomes = list(itertools.product((0, 1), repeat=len(rates)))
    chances = [math.prod(p if x else 1.0 - p for p, x in zip(rates, one, strict=True)) for one in outcomes]
    counts = np.array([sum(one) for one in outcomes])
    average = sum(rates) / len(rates)
    for trials in (0, 1, 6, 50):
        for flips in range(0, trials + 1, max(1, trials // 5)):
            for factor in (1.0, 1.01, 1.5, 4.0):
                for above, rate in ((True, min(1.0, factor * average)), (False, average / factor)):
                    now = np.exp(log_evidence(np.array(flips), trials, rate)[0 if above else 1])
                    then = np.exp(log_evidence(flips + counts, trials + len(rates), rate)[0 if above else 1])
                    expected = float(np.dot(chances, then))
                    assert expected <= now * (1 + 1e-12)
                    if factor == 1.0 and len(set(rates)) == 1:
                        # A martingale where images are alike and the rate is the true one: nothing is given away.
                        assert expected == pytest.approx(now, rel=1e-12)


@pytest.mark.parametrize("rates", UNEQUAL)
def test_expected_evidence_is_at_most_one_after_three_rounds(rates):
    three = rates * 3
    average = sum(rates) / len(rates)
    expected = np.zeros(2)
    for one in itertools.product((0, 1), repeat=len(three)):
        chance = math.prod(p if x else 1.0 - p for p, x in zip(three, one, strict=True))
        expected += chance * np.exp(np.array(log_evidence(np.array(sum(one)), len(three), average)))
    assert (expected <= 1.0 + 1e-12).all()
    if len(set(rates)) == 1:
        assert expected == pytest.approx([1.0, 1.0], rel=1e-12)


def test_weights_are_a_distribution():
    assert np.exp(LOG_WEIGHTS).sum() == pytest.approx(1.0, rel=1e-14)
    assert (LOG_ODDS > 0).all()


@pytest.mark.parametrize("name", ["even", "a tenth", "one always"])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_wrong_verdicts_have_at_most_the_probability_alpha(name, factor):
    found = outcome(spread(name, factor * THRESHOLD), THRESHOLD, ALPHA, 100)
    passed, failed = found[:, 1].sum(), found[:, 2].sum()
    # At exactly the threshold neither evidence may mislead.
    if factor <= 1.0:
        assert failed <= ALPHA
    if factor >= 1.0:
        assert passed <= ALPHA
    if (name, factor) == ("even", 1.0):
        # Nor is alpha left unspent: a rule that hardly decides would be safe and useless.
        assert min(passed, failed) > 0.25 * ALPHA


@pytest.mark.parametrize(
    ("images", "threshold", "alpha"), [(1, 0.5, 0.1), (1, 0.02, 0.3), (7, 0.1, 0.05), (40, 0.001, 0.2), (3, 0.9, 1e-4)]
)
def test_wrong_verdicts_at_other_sizes(images, threshold, alpha):
    found = outcome(np.full(images, threshold), threshold, alpha, 200)
    for wrong in (found[:, 1].sum(), found[:, 2].sum()):
        assert 0.05 * alpha < wrong <= alpha


@pytest.mark.parametrize("name", ["even", "a tenth", "one always"])
@pytest.mark.parametrize(("factor", "most", "column"), [(0.5, 2200, 1), (1.5, 2800, 2)])
def test_half_and_one_and_a_half_times_the_threshold_are_told_apart_soon(name, factor, most, column):
    found = outcome(spread(name, factor * THRESHOLD), THRESHOLD, ALPHA, 100)
    median = found[np.searchsorted(np.cumsum(found[:, 1] + found[:, 2]), 0.5), 0]
    assert median <= most
    assert found[:, column].sum() >= 0.99


@pytest.mark.parametrize("alpha", [0.01, 1e-6])
@pytest.mark.parametrize(("threshold", "factor"), PAIRS)
def test_rates_near_and_far_are_decided_with_samples_near_walds_least(threshold, factor, alpha):
    rate = factor * threshold
    # Wald's expected samples of a test that knew the rate, if flips came evenly.
    information = rate * math.log(factor) + (1.0 - rate) * (math.log1p(-rate) - math.log1p(-threshold))
    least = math.log(1.0 / alpha) / information
    trials = math.ceil(2.1 * least + 1.0)
    flips = round(rate * trials)
    # What a whole flip more or less than the average does is no matter of the weights.
    flips = min(flips, math.floor(rate * trials)) if factor < 1.0 else max(flips, math.ceil(rate * trials))
    assert int(decided(np.array(flips), trials, threshold, alpha)) == (BELOW if factor < 1.0 else ABOVE)


def test_clear_cases_are_cheap():
    for rate, column in ((0.0, 1), (0.2, 2)):
        found = outcome(np.full(IMAGES, rate), THRESHOLD, ALPHA, 100)
        assert found[found[:, 0] <= 500, column].sum() >= 0.99


@pytest.mark.parametrize("alpha", [0.05, 1e-12])
@pytest.mark.parametrize(
    ("flips", "trials"),
    [
        *[
            (0, 1),
            (1, 1),
            (0, 50),
            (3, 50),
            (50, 50),
            (49, 50),
            (7, 10_000),
            (0, 10**8),
            (1, 10**8),
            (2 * 10**6, 10**8),
        ],
        *[(5 * 10**7, 10**8), (10**8 - 1, 10**8), (10**8, 10**8)],
    ],
)
def test_ends_against_the_definition(flips, trials, alpha):
    def evidence(rate: Decimal, sign: int) -> Decimal:
        total = Decimal(0)
        for log_odds, log_weight in zip(LOG_ODDS, LOG_WEIGHTS, strict=True):
            r = Decimal(sign * log_odds).exp()
            total += Decimal(log_weight).exp() * (flips * r.ln() - trials * (1 + (r - 1) * rate).ln()).exp()
        return total

    found = anytime_interval(flips, trials, alpha)
    assert found.low <= found.rate <= found.high
    assert (found.n, found.confidence) == (trials, 1.0 - alpha)
    with localcontext() as context:
        context.prec = 60
        limit = 2 / Decimal(alpha)
        for end, trivial, sign in ((found.low, 0.0, 1), (found.high, 1.0, -1)):
            if end == trivial:
                assert evidence(Decimal(trivial), sign) < limit
                continue
            # The end is excluded, and what lies a little further inside is not.
            assert evidence(Decimal(end), sign) >= limit * (1 - Decimal(10) ** -6)
            near = max(Decimal(min(end, 1.0 - end)) * Decimal("1e-6"), 4 * Decimal(math.ulp(end)))
            assert evidence(Decimal(end) + sign * near, sign) < limit


def test_interval_and_verdict_are_the_same_test():
    generator = np.random.default_rng(0)
    for _ in range(60):
        trials = int(10 ** generator.uniform(0, 6))
        flips = int(generator.binomial(trials, 10 ** generator.uniform(-4, 0)))
        rate, alpha = 10 ** generator.uniform(-4, -0.01), 10 ** generator.uniform(-6, -0.4)
        found = anytime_interval(flips, trials, 2.0 * alpha)
        said = int(decided(np.array(flips), trials, rate, alpha))
        assert said == (ABOVE if rate < found.low else BELOW if rate > found.high else OPEN)


@pytest.mark.parametrize("trials", [1, 20, 1000])
def test_evidence_is_monotone_in_the_rate_and_in_the_flips(trials):
    rates = [1e-9, 1e-4, 0.02, 0.3, 0.4999, 0.5, 0.5001, 0.8, 0.999, 1.0 - 1e-12]
    flips = np.arange(trials + 1)
    above, below = (np.array(one) for one in zip(*(log_evidence(flips, trials, p) for p in rates), strict=True))
    assert (np.diff(above, axis=0) <= 1e-9).all()
    assert (np.diff(above, axis=1) >= 0).all()
    assert (np.diff(below, axis=0) >= -1e-9).all()
    assert (np.diff(below, axis=1) <= 0).all()


def test_wider_than_an_interval_of_one_look_and_shrinking():
    widths = []
    for trials in (100, 1000, 10_000, 100_000):
        flips, kept = trials // 50, trials - trials // 50
        found = anytime_interval(flips, trials, 0.05)
        low, high = scipy.stats.beta.ppf([0.025, 0.975], [flips, flips + 1], [kept + 1, kept])
        assert found.low < low < high < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.0035


@pytest.mark.parametrize(
    ("flips", "trials", "alpha"), [(1, 0, 0.1), (2, 1, 0.1), (-1, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_nonsense_is_refused(flips, trials, alpha):
    with pytest.raises(ValueError, match=r"is not|not between"):
        anytime_interval(flips, trials, alpha)


def test_looks_are_fixed_in_advance_and_end_at_each_budget():
    assert looks([1]) == [1]
    assert looks([8]) == [1, 2, 3, 4, 5, 6, 7, 8]
    found = looks([2000, 333])
    assert found[-1] == 2000
    assert 333 in found
    assert all(a < b <= math.ceil(1.05 * a) for a, b in pairwise(found))
    assert looks([333]) == [rounds for rounds in found if rounds <= 333]


@pytest.mark.parametrize(("flips", "answer"), [(0, "pass"), (20, None), (60, "fail")])
def test_the_interval_of_a_question_says_what_its_answer_says(flips, answer):
    question = Question(np.arange(IMAGES), THRESHOLD, ALPHA, 10)
    assert question.interval is None
    question.look(flips, 1000)
    assert question.answer == answer
    found = question.interval
    assert found is not None
    assert found.confidence == pytest.approx(1.0 - 2.0 * ALPHA)
    assert (found.high <= THRESHOLD, found.low > THRESHOLD) == (answer == "pass", answer == "fail")


def test_no_rate_exceeds_one():
    question = Question(np.arange(IMAGES), 1.0, ALPHA, 10)
    question.look(IMAGES, IMAGES)
    assert question.answer == "pass"
