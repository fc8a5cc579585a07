import numpy as np
import pytest

from nmcheck.linearize.bank.nearest import nearest, nearest_other
from nmcheck.linearize.bank.points import Choice, Points, choose_points

IMAGES = np.random.default_rng(0).random((60, 7))
LABELS = np.arange(60, dtype=np.int64) % 4


def choose(k: int, choice: Choice = "centers", seed: int = 0, images: np.ndarray = IMAGES) -> Points:
    return choose_points(images, LABELS[: len(images)], 4, k, choice=choice, seed=seed)


CHOICES: tuple[Choice, ...] = ("centers", "medoid", "farthest")


@pytest.mark.parametrize("choice", CHOICES)
def test_members_are_those_nearest_and_reach_is_the_farthest_of_them(choice):
    found = choose(9, choice)
    distance = np.linalg.norm(found.centers[None].astype(float) - IMAGES[:, None], axis=2)
    owner = distance.argmin(axis=1)
    assert found.members.tolist() == np.bincount(owner, minlength=len(found)).tolist()
    for index in range(len(found)):
        mine = owner == index
        assert found.class_mix[index].tolist() == np.bincount(LABELS[mine], minlength=4).tolist()
        assert found.reach[index] == pytest.approx(distance[mine, index].max(), rel=1e-12)
    assert found.members.sum() == 60


def test_medoids_and_farthest_members_are_images():
    single = {tuple(row) for row in IMAGES.astype(np.float32).tolist()}
    for choice in CHOICES[1:]:
        assert all(tuple(row) in single for row in choose(9, choice).centers.tolist())
    found = choose(9)
    assert not any(tuple(row) in single for row in found.centers[found.members > 1].tolist())


def test_farthest_members_represent_worse_than_medoids_and_these_than_centers():
    spread = []
    for choice in CHOICES:
        found = choose(9, choice)
        spread.append((nearest(found.centers, IMAGES)[1] ** 2).mean())
    assert spread[0] < spread[1] < spread[2]


def test_as_many_points_as_images_are_the_images_themselves():
    for k in (60, 1000):
        found = choose(k)
        assert found.choice == "images"
        assert np.array_equal(found.centers, IMAGES.astype(np.float32))
        assert found.members.tolist() == [1] * 60
        single = IMAGES.astype(np.float32)
        distance = np.linalg.norm(single[:, None] - single[None].astype(float), axis=2)
        np.fill_diagonal(distance, np.inf)
        assert found.reach == pytest.approx(distance.min(axis=1), rel=1e-12)


def test_the_choice_depends_on_the_seed_and_on_nothing_else():
    assert np.array_equal(choose(9).centers, choose(9).centers)
    assert not np.array_equal(choose(9).centers, choose(9, seed=1).centers)


def test_a_pixel_that_is_zero_in_all_members_is_exactly_zero_in_their_center():
    images = IMAGES.copy()
    images[:, 2] = 0.0
    assert (choose(9, images=images).centers[:, 2] == 0).all()


def test_fewer_distinct_images_than_points_wanted_give_fewer_points():
    images = np.repeat(IMAGES[:3], 5, axis=0)
    found = choose(9, images=images)
    assert len(found) == 3
    assert sorted(found.members.tolist()) == [5, 5, 5]
    assert (found.reach < 1e-6).all()  # what the center loses in single precision


def test_nearest_is_exact_where_the_two_are_equal():
    index, distance = nearest(IMAGES.astype(np.float32), IMAGES.astype(np.float32).astype(float))
    assert index.tolist() == list(range(60))
    assert distance.tolist() == [0.0] * 60
    assert nearest_other(IMAGES[:1]).tolist() == [0.0]
