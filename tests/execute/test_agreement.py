"""The scale that differences of outputs are measured by: each output's own."""

import numpy as np
import pytest

from nmcheck.execute.agreement import HALF, SINGLE, differences, half_scale, single_scale

EPS = float(np.finfo(np.float32).eps)


def outputs(images: int = 20, *, seed: int = 0) -> np.ndarray:
    """Five outputs of size 1."""
    return np.random.default_rng(seed).standard_normal((images, 5))


def rounded(exact: np.ndarray, *, noise: float = 3e-7, seed: int = 1) -> np.ndarray:
    """What a float32 execution makes of them: the rounding of sums behind them, and of the outputs themselves."""
    sums = noise * np.random.default_rng(seed).standard_normal(exact.shape)
    return (exact + sums).astype(np.float32).astype(np.float64)


def worst(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray, probes: int = 16) -> float:
    """The largest difference over the tolerance; the probes are the first images, or shrunk copies."""
    probed = np.concatenate([exact * (1 - k / 1000) for k in range(1 + probes // len(exact))])[:probes]
    scale = single_scale(theirs, rounded(probed, seed=2), probed)
    return float(differences(ours, theirs, scale).max() / SINGLE)


@pytest.mark.parametrize("images", [1, 2, 20])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("mask", [None, -1e7, -1e9])
def test_rounding_is_allowed_and_a_change_of_an_output_is_not(images: int, offset: float, mask: float | None) -> None:
    exact = outputs(images) + offset
    if mask is not None:
        exact[:, 1] += mask
    ours, theirs = rounded(exact, seed=3), rounded(exact, seed=4)
    assert worst(ours, theirs, exact) < 0.6
    # A misread operator: far above the rounding of a number of that size, and far below a mask's size.
    wrong = max(2e-3, 16 * EPS * offset)
    for output in (0, 2, 4):
        changed = ours.copy()
        changed[-1, output] += wrong
        assert worst(changed, theirs, exact) > 1


def test_most_outputs_masked_leave_the_others_as_exact_as_they_are() -> None:
    exact = outputs()
    exact[:, 1:] -= 1e9
    ours, theirs = rounded(exact, seed=3), rounded(exact, seed=4)
    assert worst(ours, theirs, exact) < 0.6
    ours[3, 0] += 2e-3
    assert worst(ours, theirs, exact) > 1


def test_an_output_that_is_always_the_same_is_held_to_its_rounding() -> None:
    exact = outputs()
    exact[:, 2], exact[:, 3] = 0.0, 0.7
    ours, theirs = rounded(exact, noise=0, seed=3), rounded(exact, noise=0, seed=4)
    assert worst(ours, theirs, exact) < 0.6
    ours[5, 2] = 1e-4
    assert worst(ours, theirs, exact) > 1


def test_probabilities_of_any_size_are_held_to_their_own() -> None:
    logits = 12 * outputs()
    exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    single = exact * (1 + rounded(np.zeros_like(exact), noise=1e-6, seed=3))
    theirs = exact * (1 + rounded(np.zeros_like(exact), noise=1e-6, seed=4))
    scale = single_scale(theirs, single, exact)
    assert differences(single, theirs, scale).max() < 0.6 * SINGLE
    shifted = exact * np.exp(0.01 * (np.arange(5) == exact.mean(axis=0).argmin()))
    assert differences(shifted, theirs, scale).max() > SINGLE
    # Below the least normal number an execution may have zero where another has none.
    tiny = np.array([[1.0, 1e-39], [1.0, 3e-40]])
    assert differences(tiny * [1, 0], tiny, single_scale(tiny, tiny, tiny)).max() < SINGLE


def test_jumps_between_precisions_are_no_rounding() -> None:
    exact = outputs()
    jumping = exact + 0.05 * (np.arange(20) % 2)[:, None]
    scale = single_scale(exact, jumping, exact)
    assert differences(exact + 0.02, exact, scale).max() > SINGLE


@pytest.mark.parametrize("images", [1, 20])
def test_half_precision_is_held_to_what_it_can_do(images: int) -> None:
    exact = outputs(images)
    exact[:, 1] -= 6e4
    scale = half_scale(exact)
    theirs = exact.astype(np.float16).astype(np.float64)
    assert differences(exact, theirs, scale).max() < HALF
    wrong = exact.copy()
    wrong[:, 0] += 0.2
    assert differences(wrong, theirs, scale).max() > HALF


def test_equal_outputs_agree_and_a_nan_never_does() -> None:
    zero = np.zeros((1, 3))
    assert (differences(zero, zero, zero) == 0).all()
    assert np.isinf(differences(zero + 1, zero, zero)).all()
    assert np.isnan(differences(zero + np.nan, zero, zero + 1)).all()
