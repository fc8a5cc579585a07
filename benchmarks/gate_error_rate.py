"""How often does the gate's sequential sampling of flips decide wrongly, and how many samples does it take?

Ten thousand simulated models of 100 images at several ratios of flip rate and threshold. Flips are even over the
images, or a tenth of the images carries all of them, or one image always flips and the others share what is left
(at half the threshold nothing). A false pass is a pass of a rate of at least the threshold, a false fail a fail of one
of at most the threshold: at the threshold itself both are counted, as the evidence for either would mislead.
Run: PYTHONPATH=. python benchmarks/gate_error_rate.py
"""

from __future__ import annotations

import numpy as np

from nmcheck.checks.gate.question import looks
from nmcheck.moments.confidence_sequence import ABOVE, BELOW, OPEN, decided

MODELS, IMAGES, ALPHA, THRESHOLD, BUDGET = 10_000, 100, 0.01, 0.02, 2000
RATIOS = (0.5, 0.8, 0.9, 0.99, 1.0, 1.01, 1.1, 1.25, 1.5)


def decide(generator: np.random.Generator, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts of all models whose images flip at these rates, and the samples each took, at the gate's own looks.

    Images of one rate are drawn together: their flips in a number of rounds are binomial.
    """
    groups = list(zip(*np.unique(rates, return_counts=True), strict=True))
    verdicts = np.full(MODELS, OPEN)
    samples = np.full(MODELS, BUDGET * IMAGES)
    flips, done, still = np.zeros(MODELS, dtype=np.int64), 0, np.arange(MODELS)
    for rounds in looks([BUDGET]):
        for rate, images in groups:
            flips[still] += generator.binomial((rounds - done) * images, rate, len(still))
        done = rounds
        verdicts[still] = decided(flips[still], rounds * IMAGES, THRESHOLD, ALPHA)
        now = verdicts[still] != OPEN
        samples[still[now]] = rounds * IMAGES
        still = still[~now]
    return verdicts, samples


def spread(name: str, rate: float) -> np.ndarray:
    """Flip probabilities of the images, with this average."""
    image = np.arange(IMAGES)
    if name == "a tenth":
        return np.where(image < IMAGES // 10, 10.0 * rate, 0.0)
    if name == "one always":
        return np.where(image < 1, 1.0, (IMAGES * rate - 1.0) / (IMAGES - 1))
    return np.full(IMAGES, rate)


def main() -> None:
    """Print the table."""
    print(f"{MODELS:,} models, {IMAGES} images, threshold {THRESHOLD}, alpha {ALPHA}, budget {BUDGET}, seed 0")
    print(f"alpha allows {ALPHA * MODELS:g} false passes and as many false fails a line")
    print("flips       rate/threshold    pass    fail   open  false pass  false fail  median samples  95 % samples")
    for name in ("even", "a tenth", "one always"):
        for ratio in RATIOS:
            verdicts, samples = decide(np.random.default_rng(0), spread(name, ratio * THRESHOLD))
            passed, failed = (int((verdicts == side).sum()) for side in (BELOW, ABOVE))
            false_pass = f"{passed:,}" if ratio >= 1.0 else "-"
            false_fail = f"{failed:,}" if ratio <= 1.0 else "-"
            median, most = (int(np.percentile(samples, share, method="lower")) for share in (50, 95))
            print(
                f"{name:11} {ratio:14g} {passed:7,} {failed:7,} {MODELS - passed - failed:6,} {false_pass:>11} "
                f"{false_fail:>11} {median:15,} {most:13,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
