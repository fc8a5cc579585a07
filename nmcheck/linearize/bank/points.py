"""The points a bank linearizes at: representatives of the images, found by k-means. The only use of scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from nmcheck.linearize.bank.nearest import nearest, nearest_other

Choice = Literal["centers", "medoid", "farthest"]


@dataclass(frozen=True, eq=False)
class Points:
    """Where to linearize.

    Attributes:
        choice: how they were chosen; ``images`` if every image is one.
        centers: the points, flattened, in pixel units; single precision, and linearized at as they stand here.
        members: images nearest to each.
        class_mix: their classes, counted.
        reach: the largest distance of a member; where every image is a point, the distance to the nearest other one.
    """

    choice: Literal["images", "centers", "medoid", "farthest"]
    centers: Float[np.ndarray, "k n"]
    members: Int64[np.ndarray, " k"]
    class_mix: Int64[np.ndarray, "k classes"]
    reach: Float[np.ndarray, " k"]

    def __len__(self) -> int:
        return len(self.centers)


def choose_points(
    images: Float[np.ndarray, "m n"],
    labels: Int64[np.ndarray, " m"],
    classes: int,
    k: int,
    *,
    choice: Choice,
    seed: int,
) -> Points:
    """At most k representatives of the images.

    k-means (one run, seeded) in pixel space; the points are the clusters' centers, the members nearest to those
    (``medoid``) or farthest from them (``farthest``, the papers' weak baseline). Where there are no more than k images,
    they are the points themselves. Points that no image is nearest to are dropped.

    Args:
        images: flattened, in pixel units.
        labels: the class of each.
        classes: number of classes.
        k: points wanted.
        choice: which points.
        seed: of the k-means.
    """
    single = images.astype(np.float32)
    if k >= len(images):
        mix = np.eye(classes, dtype=np.int64)[labels]
        return Points("images", single, np.ones(len(images), np.int64), mix, nearest_other(single))
    centers = _chosen(single, _centers(single, k, seed), choice)
    # Of the images as they will be served, not rounded: one that is served again lies no farther than it did.
    owner, distance = nearest(centers, images)
    used, owner = np.unique(owner, return_inverse=True)
    mix = np.zeros((len(used), classes), np.int64)
    np.add.at(mix, (owner, labels), 1)
    reach = np.zeros(len(used))
    np.maximum.at(reach, owner, distance)
    return Points(choice, centers[used], mix.sum(axis=1), mix, reach)


def _centers(images: np.ndarray, k: int, seed: int) -> np.ndarray:
    # One thread: threads add up in the order they finish in, and the centers would differ in their last bits.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Fewer distinct images than k, which leaves points without members.
        warnings.simplefilter("ignore", ConvergenceWarning)
        label = KMeans(k, n_init=1, random_state=seed).fit_predict(images)  # pyright: ignore[reportArgumentType]
    # The members' means anew: those of scikit-learn carry rounding, which breaks the ties of a maximum over pixels that
    # are exactly equal, an image's empty border above all, this way or that.
    used, label = np.unique(label, return_inverse=True)
    sums = np.zeros((len(used), images.shape[1]))
    np.add.at(sums, label, images.astype(np.float64))
    return (sums / np.bincount(label)[:, None]).astype(np.float32)


def _chosen(images: np.ndarray, centers: np.ndarray, choice: Choice) -> np.ndarray:
    if choice == "centers":
        return centers
    owner, distance = nearest(centers, images)
    order = np.lexsort((distance if choice == "medoid" else -distance, owner))
    first = np.unique(owner[order], return_index=True)[1]
    return images[order[first]]
