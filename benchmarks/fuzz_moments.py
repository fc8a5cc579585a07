"""Do engines and reference survive random networks of every operator that moments support, and agree with sampling?

    python -m benchmarks.fuzz_moments --networks 200 [--first 0] [--draws 40000]

Each network is drawn from its number alone, measured on two images at one noise level as ``nmcheck analyze`` measures
it, and compared with plain sampling in float64. Prints how far reference and engines are off in joint standard errors,
and everything that must not be. Ends in 1 if there is anything. Propagation has the means exactly where no nonlinear
layer sees the output of another; elsewhere it is biased by taking values for Gaussian, which is its stated limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz.moments_campaign import Finding, judge  # noqa: E402  # pyright: ignore[reportMissingImports]

from nmcheck.errors import NmcheckError  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--draws", type=int, default=40_000)
    given = parser.parse_args()
    found: list[Finding] = []
    failures: list[str] = []
    for seed in range(given.first, given.first + given.networks):
        with tempfile.TemporaryDirectory() as folder:
            try:
                one = judge(seed, Path(folder), given.draws)
            except NmcheckError as error:
                failures.append(f"network {seed}: refused: {error}")
                continue
            except Exception as error:  # what the campaign looks for
                failures.append(f"network {seed}: {type(error).__name__}: {error}")
                continue
        found.append(one)
        failures += [f"network {seed} ({', '.join(one.operators)}, sigma {one.sigma:g}): {p}" for p in one.problems]
        if one.problems:
            print(failures[-1], flush=True)
    operators = Counter(name for one in found for name in set(one.operators))
    print(f"{len(found)} networks, {len(operators)} operators, {given.draws:,} plain draws an image")
    for what, column in (("mean", 0), ("variance", 1)):
        z = np.array([one.reference_z[column] for one in found])
        print(
            f"reference, {what}: largest |z| median {np.median(z):.2f}, 95 % {np.quantile(z, 0.95):.2f}, "
            f"max {z.max():.2f}"
        )
    for exact in (True, False):
        group = [one.engine_z["propagate"] for one in found if one.exact is exact and "propagate" in one.engine_z]
        what = "exact means" if exact else "means by closure"
        if group:
            print(
                f"propagate, {what}: {len(group)} networks, |z| median {np.median(group):.2f}, max {max(group):.2f}, "
                f"{sum(z > 6 for z in group)} above 6"
            )
    linearized = [one.engine_z["two-stage"] for one in found if "two-stage" in one.engine_z]
    print(
        f"two-stage, affine around one ReLU: {len(linearized)} networks, |z| median {np.median(linearized):.2f}, "
        f"max {max(linearized):.2f}, {sum(z > 6 for z in linearized)} above 6"
    )
    print(f"{sum(one.heavy for one in found)} logits with tails too heavy for a variance's z")
    print(*failures or ["nothing that must not be"], sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
