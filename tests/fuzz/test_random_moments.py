"""Random networks of all operators that moments support: numbers everywhere, and plain sampling agrees.

``python -m benchmarks.fuzz_moments`` runs 200 of them.
"""

from pathlib import Path

import pytest
from fuzz.moments_campaign import judge
from fuzz.random_networks import draw


@pytest.mark.parametrize("seed", range(1000, 1016))
def test_reference_and_engines_agree_with_plain_sampling(seed: int, tmp_path: Path) -> None:
    found = judge(seed, tmp_path, draws=20_000)
    assert not found.problems, (found.problems, found.operators)


def test_the_networks_have_most_operators_that_moments_support() -> None:
    drawn = {operator for seed in range(200) for operator in draw(seed)[2]}
    assert len(drawn) >= 80
