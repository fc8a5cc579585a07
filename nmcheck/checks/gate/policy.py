"""What a policy demands."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

Norm = Literal["l2", "linf"]
Box = tuple[float, float]
Statistic = Literal["mean", "variance"]
About = Literal["images", "population"]

SHARES = ("accuracy", "certified-accuracy", "attacked-accuracy")
"""Kinds that count images."""
NORMED = ("certified-accuracy", "attacked-accuracy", "radius")
"""Kinds about changes of a norm."""
NOISY = ("flip", "moment-tightness")
"""Kinds about noise."""
KINDS = (*SHARES, "flip", "radius", "moment-tightness")


@dataclass(frozen=True)
class Demand:
    """One check of a policy. What a kind has no use for is None.

    Attributes:
        id: name of the check.
        kind: what is measured, of ``KINDS``.
        sense: ``min`` if the quantity must be at least the threshold, ``max`` if at most.
        threshold: the number.
        classes: None for all images together, ``each`` for every class by itself, or one class.
        about: ``images`` for the images used, ``population`` for what they were drawn from; shares only.
        norm: of the changes.
        box: range the changed pixels must stay in.
        epsilon: size of the changes, in pixel units.
        method: which certified radii count.
        sigma: standard deviation of the noise, in pixel units.
        budget: noise samples an image after which an undecided flip check is inconclusive.
        percentile: of the radii, between 0 and 100.
        engine: whose moments.
        statistic: which moment's error.
    """

    id: str
    kind: str
    sense: Literal["min", "max"]
    threshold: float
    classes: int | Literal["each"] | None = None
    about: About = "images"
    norm: Norm | None = None
    box: Box | None = None
    epsilon: float | None = None
    method: str = "lipschitz"
    sigma: float | None = None
    budget: int = 2000
    percentile: float | None = None
    engine: str = "propagate"
    statistic: Statistic | None = None


@dataclass(frozen=True)
class Waiver:
    """A person's decision to let a check pass for a while.

    Attributes:
        id: the check's, or ``CHECK/class-N`` for one class of a check of each class.
        reason: why.
        expires: last day it holds.
    """

    id: str
    reason: str
    expires: dt.date


@dataclass(frozen=True)
class Policy:
    """A whole policy.

    Attributes:
        name: the file, as the user named it.
        sha256: digest of its bytes.
        samples: images to use; None for the default.
        seed: of their choice and of all noise; None for the default.
        scale: what the model expects of its pixels; None for the model's own metadata.
        noise: what the noise is like.
        alpha: probability that a check resting on chance decides wrongly.
        demands: the checks.
        waivers: the waivers.
    """

    name: str
    sha256: str
    demands: tuple[Demand, ...]
    waivers: tuple[Waiver, ...] = ()
    samples: int | None = None
    seed: int | None = None
    scale: str | None = None
    noise: str = "isotropic"
    alpha: float = 0.01
