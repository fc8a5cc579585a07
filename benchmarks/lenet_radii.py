"""What is known of a LeNet's robustness: published, certified and attacked, in L2 and Linf.

    python -m benchmarks.lenet_radii [--model sample_models/lenet.onnx] [--images 100] [--crown 20] [--seed 0]

Per norm, over correctly classified images: the mean radius by each method, how many times the best attack's mean norm
that is, and wall seconds an image (a method's include those of the methods it starts from); then certified and attacked
accuracy. ``published`` (Algorithm 5.1 of Peck's thesis, L2 only) is no bound: docs/errata.md. All but ``crown`` on 100
images, ``crown`` on 20 of its own choice; unboxed, pixels in [0, 1].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.results import BoundsEntry

LEVELS = {"2": (0.1, 0.25, 0.5), "inf": (0.01, 0.02)}
ATTACKS = {"2": ("fgs", "deepfool", "ddn", "pgd"), "inf": ("fgs", "deepfool", "pgd")}


def entry_of(options: BoundsOptions) -> BoundsEntry:
    found = bounds(options).bounds
    assert found is not None
    return found[0]


def show(entry: BoundsEntry, skip: tuple[str, ...] = ()) -> None:
    uppers = [one.upper for one in entry.per_sample if one.correct and one.upper is not None]
    best = float(np.mean(uppers))
    count = sum(one.correct for one in entry.per_sample)
    ratios = [one.lower / one.upper for one in entry.per_sample if one.correct and one.lower and one.upper]
    for name, radius in entry.radius.items():
        if name not in skip and radius.mean is not None:
            seconds = radius.seconds_per_sample or 0.0
            print(f"{name:22s} {radius.mean:12.4g} {radius.mean / best:10.3g} {seconds:9.4f} {radius.images:7d}")
    for name, attack in entry.attack.items():
        if name not in skip and attack.mean is not None:
            seconds = attack.seconds_per_sample or 0.0
            print(f"{'attack ' + name:22s} {attack.mean:12.4g} {attack.mean / best:10.3g} {seconds:9.4f} {count:7d}")
    error = np.std(ratios, ddof=1) / len(ratios) ** 0.5
    print(f"{'best attack':22s} {best:12.4g} {1:10.3g} {'':9s} {count:7d}")
    print(f"  mean of lower / upper {np.mean(ratios):.4f} ± {error:.4f}")
    for point in entry.accuracy:
        shares = f"certified {100 * point.certified:.1f} %, attacked {100 * point.attacked:.1f} %"
        print(f"  accuracy at {point.epsilon:g}: {shares}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "sample_models" / "lenet.onnx")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--crown", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for norm, title in (("2", "L2"), ("inf", "Linf")):
        for method, images in (("crown-ibp", asked.images), ("crown", asked.crown)):
            options = BoundsOptions(
                asked.model, "mnist", norm=norm, method=method, attacks=ATTACKS[norm], epsilons=LEVELS[norm],
                samples=images, seed=asked.seed,
            )  # fmt: skip
            print(f"\n{title}, {images} images, methods up to {method}")
            print(f"{'':22s} {'mean':>12s} {'/ attack':>10s} {'s/image':>9s} {'images':>7s}")
            show(entry_of(options))


if __name__ == "__main__":
    main()
