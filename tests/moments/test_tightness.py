import numpy as np
import pytest

from nmcheck.moments.tightness import SampledMoments, floor, overall, per_class, relative_error, relative_error_floor


def reference(images: int = 200, classes: int = 4, se: float = 0.02) -> tuple[np.ndarray, np.ndarray, SampledMoments]:
    """True means and variances, and a reference that is off by its standard errors."""
    generator = np.random.default_rng(0)
    mean = generator.normal(size=(images, classes))
    variance = generator.uniform(0.5, 2, size=(images, classes))
    return (
        mean,
        variance,
        SampledMoments(
            mean=mean + se * generator.normal(size=mean.shape),
            mean_se=np.full_like(mean, se),
            variance=variance + se * generator.normal(size=mean.shape),
            variance_se=np.full_like(mean, se),
            moved=np.full(mean.shape, True),
        ),
    )


def test_relative_error_is_the_papers() -> None:
    x, y = np.array([0.0, 1.0, -1.0, 3.0, 0.0]), np.array([0.0, 1.0, 1.0, 1.0, 5.0])
    assert relative_error(x, y).tolist() == [0.0, 0.0, 2.0, 1.0, 2.0]
    np.testing.assert_array_equal(relative_error(y, x), relative_error(x, y))


def test_an_exact_engine_has_standard_normal_scores_and_sits_on_the_floor() -> None:
    mean, variance, sampled = reference()
    classes = per_class(mean, variance, sampled)
    assert [c.class_index for c in classes] == [0, 1, 2, 3]
    assert all(c.mean_z is not None and abs(c.mean_z) < 3 for c in classes)
    assert all(c.var_z is not None and abs(c.var_z) < 3 for c in classes)
    whole, least = overall(mean, variance, sampled), floor(sampled)
    assert least is not None
    assert whole.mean_er is not None
    assert whole.var_er is not None
    assert whole.mean_er_se is not None
    assert whole.var_er_se is not None
    assert abs(whole.mean_er - least.mean_er) < 4 * whole.mean_er_se
    assert abs(whole.var_er - least.var_er) < 4 * whole.var_er_se
    assert whole.var_ratio == pytest.approx(1, abs=0.01)


def test_a_constant_error_shows_in_its_own_columns() -> None:
    mean, variance, sampled = reference(se=0.01)
    biased = mean.copy()
    biased[:, 2] += 0.1
    classes = per_class(biased, 2 * variance, sampled)
    assert classes[2].mean_z == pytest.approx(0.1 / 0.01 * np.sqrt(200), abs=4)
    assert classes[1].mean_z is not None
    assert abs(classes[1].mean_z) < 4
    assert classes[2].mean_bias_sd == pytest.approx(0.1 * (1 / np.sqrt(variance[:, 2])).mean(), rel=0.02)
    assert all(
        c.var_ratio == pytest.approx(2, rel=0.01) and c.var_er == pytest.approx(2 / 3, rel=0.01) for c in classes
    )


def test_classes_average_to_the_whole() -> None:
    mean, variance, sampled = reference()
    classes, whole = per_class(mean + 0.1, variance * 1.3, sampled), overall(mean + 0.1, variance * 1.3, sampled)
    for name in ("mean_er", "var_er", "mean_bias_sd"):
        assert np.mean([getattr(c, name) for c in classes]) == pytest.approx(getattr(whole, name))
    assert classes[0].images == whole.images == 200
    first = relative_error(mean[:, 0] + 0.1, sampled.mean[:, 0])
    assert classes[0].mean_er_se == pytest.approx(first.std(ddof=1) / np.sqrt(200))


def test_floor_is_the_expected_error_of_a_normal_truth() -> None:
    ref, se = np.array([[1.0, 0.1, 0.0, -2.0]]), np.array([[0.01, 0.1, 0.5, 0.0]])
    generator = np.random.default_rng(1)
    drawn = relative_error(ref + se * generator.normal(size=(200_000, 4)), np.broadcast_to(ref, (200_000, 4))).mean(0)
    found = relative_error_floor(ref, se)[0]
    np.testing.assert_allclose(found, drawn, atol=6e-3)
    assert found[0] == pytest.approx(np.sqrt(2 / np.pi) * 0.01, rel=5e-3)
    assert found[2] == pytest.approx(2.0)
    assert found[3] == 0.0


def test_what_cannot_be_computed_is_none() -> None:
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    (only,) = per_class(one, one, SampledMoments(one, zero, one, zero, one > 0))
    assert (only.mean_er_se, only.mean_z, only.var_z) == (None,) * 3
    assert (only.mean_er, only.var_er, only.mean_bias_sd, only.var_ratio) == (0.0, 0.0, 0.0, 1.0)


def test_logits_that_nothing_moved_are_left_out_and_counted() -> None:
    """An engine's 1e-300 against a variance of 0 is an E_r of 2 and says nothing."""
    mean, variance, sampled = reference()
    whole = overall(mean[:, 1:], variance[:, 1:], SampledMoments(*(part[:, 1:] for part in vars(sampled).values())))
    still = sampled.moved.copy()
    still[:, 0] = False
    zeros = np.where(still, sampled.variance, 0.0)
    masked = SampledMoments(sampled.mean, sampled.mean_se, zeros, sampled.variance_se, still)
    found = overall(np.where(still, mean, 7.0), np.where(still, variance, 1e-300), masked)
    assert found.unmoved == 200
    for name in ("mean_er", "mean_er_se", "var_er", "var_er_se", "mean_bias_sd", "var_ratio"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name))
    classes = per_class(mean, variance, masked)
    assert classes[0].unmoved == 200
    assert classes[0].mean_er is classes[0].var_er is classes[0].mean_z is classes[0].var_ratio is None
    assert classes[1].unmoved == 0


def test_images_in_which_nothing_moved_do_not_count_as_images() -> None:
    mean, variance, sampled = reference()
    moved = sampled.moved.copy()
    moved[:150] = False
    some = SampledMoments(sampled.mean, sampled.mean_se, sampled.variance, sampled.variance_se, moved)
    rest = SampledMoments(*(part[150:] for part in vars(sampled).values()))
    found, alone = overall(mean, variance, some), overall(mean[150:], variance[150:], rest)
    assert found.mean_er == pytest.approx(alone.mean_er)
    assert found.mean_er_se == pytest.approx(alone.mean_er_se)
    assert (found.images, found.unmoved) == (200, 600)
    assert floor(some) == floor(rest)


def test_without_a_logit_that_moved_there_is_no_floor() -> None:
    zero = np.zeros((2, 2))
    assert floor(SampledMoments(zero, zero, zero, zero, zero > 0)) is None
