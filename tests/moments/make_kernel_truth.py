"""Makes kernel_truth.npz: K(m1, m2, rho) to more than 20 digits, rounded to float64.

    python tests/moments/make_kernel_truth.py

The truth is the conditional integral E[relu X1 relu X2] = Int (m1 + z)+ phi(z) c h((m2 + rho z)/c) dz with
c = sqrt(1 - rho^2), minus the product of the means, in 40 digits: no step of it is shared with nmcheck's formula.
"""

from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

SMALL = [*range(-6, 7), -0.05, -0.003, 0.003, 0.05]
LARGE = [-1e4, -100.0, -20.0, -7.6, -7.4, 0.0, 0.05, 3.0, 7.4, 7.6, 20.0, 100.0, 1e4]
NEAR_ONE = [0.999, 0.9998, 0.99981, 0.99999, 1 - 1e-8, 1 - 1e-12, 1.0]
POSITIVE = [0.05, 0.3, 0.55, 0.7, 0.7071, 0.72, 0.7201, 0.9, 0.95, 0.951, 0.99, 0.9901, *NEAR_ONE]
FEW = [0.3, 0.7071, 0.95, 0.9998, 0.99981, 1 - 1e-12, 1.0]


def h(x: Any) -> Any:
    return x * mp.ncdf(x) + mp.npdf(x)


def kernel_truth(m1: float, m2: float, rho: float) -> Any:
    """K by the conditional integral, panels split where the inner expectation bends (width c around -m2/rho)."""
    with mp.workdps(40):
        a, b, r = mp.mpf(m1), mp.mpf(m2), mp.mpf(rho)
        if a < -30 or b < -30 or r == 0:
            return mp.mpf(0)  # either unit is off (K < phi(30)), or the two are independent
        c = mp.sqrt((1 - r) * (1 + r))

        def integrand(z: Any) -> Any:
            inner = b + r * z
            return (a + z) * mp.npdf(z) * (c * h(inner / c) if c else max(inner, mp.mpf(0)))

        low, high = max(-a, mp.mpf(-16)), mp.mpf(16)
        bend = -b / r
        cuts = [bend - 15 * c, bend - 4 * c, bend, bend + 4 * c, bend + 15 * c, -5, 0, 5]
        inside = sorted({mp.mpf(x) for x in cuts if low < x < high})
        product: Any = mp.quad(integrand, [low, *inside, high])
        return product - h(a) * h(b)


def grid() -> list[tuple[float, float, float]]:
    """Every triple of the table; K is symmetric in m1 and m2, so each pair appears once."""
    both = [0.0, *POSITIVE, *(-r for r in POSITIVE)]
    triples = [(a, b, r) for a in SMALL for b in SMALL if a <= b for r in both]
    few = [*FEW, *(-r for r in FEW)]
    return triples + [(a, b, r) for a in LARGE for b in LARGE if a <= b for r in few]


if __name__ == "__main__":
    triples = np.array(grid(), dtype=np.float64)
    values = np.array([float(kernel_truth(*triple)) for triple in triples.tolist()])
    np.savez_compressed(Path(__file__).with_name("kernel_truth.npz"), triples=triples, values=values)
