"""How often does the gate's sequential sampling of flips decide wrongly, and how many samples does it take?

A thousand simulated models of 100 images at several multiples of the threshold, with flips spread evenly over the
images or carried by a tenth of them. Run: PYTHONPATH=. python benchmarks/gate_error_rate.py
"""

from __future__ import annotations

import numpy as np

from nmcheck.checks.gate.flip_run import Question, looks

MODELS, IMAGES, ALPHA, THRESHOLD, BUDGET = 1000, 100, 0.01, 0.02, 2000


def decide(generator: np.random.Generator, rates: np.ndarray) -> tuple[str, int]:
    """Verdict of one model, and the rounds it took."""
    question = Question(np.arange(IMAGES), THRESHOLD, ALPHA, BUDGET)
    flips, done = 0, 0
    for rounds in looks(BUDGET):
        flips += int(generator.binomial(rounds - done, rates).sum())
        done = rounds
        question.look(flips, rounds * IMAGES)
        if question.answer is not None:
            break
    return question.answer or "inconclusive", done


def main() -> None:
    """Print the table."""
    print(f"{MODELS} models, {IMAGES} images, threshold {THRESHOLD}, alpha {ALPHA}, budget {BUDGET}, seed 0")
    print("flips     rate/threshold  pass  fail  inconclusive  median samples  95 % samples")
    for spread in ("even", "a tenth"):
        for factor in (0.5, 1.0, 1.5):
            generator = np.random.default_rng(0)
            rates = np.full(IMAGES, factor * THRESHOLD)
            if spread != "even":
                rates = np.where(np.arange(IMAGES) < IMAGES // 10, 10.0 * rates, 0.0)
            found = [decide(generator, rates) for _ in range(MODELS)]
            counts = [sum(verdict == name for verdict, _ in found) for name in ("pass", "fail", "inconclusive")]
            samples = np.array([rounds for _, rounds in found]) * IMAGES
            print(
                f"{spread:9} {factor:14g} {counts[0]:5} {counts[1]:5} {counts[2]:13} "
                f"{int(np.median(samples)):15,} {int(np.percentile(samples, 95)):13,}"
            )


if __name__ == "__main__":
    main()
