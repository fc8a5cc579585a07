"""What a gate takes for evidence about changes of the input: certified radii below, adversarial examples above.

Both are seams: a method of certified radii is a ``Certifier``, a family of attacks an ``Attacker``, and the gate knows
nothing else of them (``methods`` has those there are).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from nmcheck.checks.case import Case
from nmcheck.checks.gate.policy import Box, Norm
from nmcheck.checks.sample_bounds import NO_ATTACK
from nmcheck.results import LayerBounds


@dataclass(frozen=True)
class MethodRadii:
    """Certified radii.

    Attributes:
        method: what gave them; a baseline must have used the same.
        radii: a radius for every image used, infinite where no change can move the label; None where there is none.
        reason: why there is none.
        theorem: the statement behind them.
        certificate: what "certified" means here and what it does not cover, a sentence.
        layers: each layer's part, for the report; empty if the method has none.
    """

    method: str
    radii: tuple[float | None, ...]
    reason: str | None
    theorem: str
    certificate: str
    layers: tuple[LayerBounds, ...] = ()


@runtime_checkable
class Certifier(Protocol):
    """A method of certified radii."""

    def __call__(self, case: Case, norm: Norm, box: Box | None, epsilons: Sequence[float]) -> MethodRadii:
        """A certified radius of every image, around the class the model gives it.

        Args:
            case: model and images.
            norm: of the change.
            box: range the changed pixels must stay in; a radius without one holds with one too.
            epsilons: sizes at which the policy asks; a method that certifies one size at a time needs no others, and
                gives the largest of these that it certifies (0 if none).
        """
        ...


@dataclass(frozen=True)
class AdversarialDistances:
    """Adversarial examples.

    Attributes:
        method: the attacks that looked for them, for the report.
        distances: of every image used, the distance of the nearest example found, as checked again in onnxruntime; None
            where none was found.
        predicted: the class onnxruntime gives each example; None where there is none.
        examples: the examples in the data's pixel units and the model's layout; rows of images without one are NaN.
        tried: which images were attacked.
        reason: why some were not; None if all were.
    """

    method: str
    distances: tuple[float | None, ...]
    predicted: tuple[int | None, ...]
    examples: np.ndarray | None
    tried: tuple[bool, ...]
    reason: str | None = None


@runtime_checkable
class Attacker(Protocol):
    """A family of attacks."""

    def __call__(self, case: Case, norm: Norm, box: Box | None, rows: Sequence[int], seed: int) -> AdversarialDistances:
        """Look for adversarial examples of some of the images.

        Args:
            case: model and images.
            norm: in which the nearest example is wanted.
            box: range its pixels must stay in.
            rows: rows of ``case.pixels`` to attack, all classified correctly.
            seed: of whatever the attack draws.
        """
        ...


@dataclass(frozen=True)
class Bracket:
    """What is known of every image's distance to another label.

    Attributes:
        norm: of the distance.
        box: range the changed pixels must stay in.
        lowers: certified radii.
        uppers: the nearest examples of each attack.
    """

    norm: Norm
    box: Box | None
    lowers: MethodRadii
    uppers: tuple[AdversarialDistances, ...]

    @property
    def certified(self) -> np.ndarray:
        """Certified radius of every image; 0 where there is none."""
        return np.array([0.0 if radius is None else radius for radius in self.lowers.radii])

    @property
    def lower(self) -> np.ndarray:
        """What a certified radius is evidence for: nothing, 0, beyond an example that onnxruntime confirms."""
        return np.where(self.upper < self.certified, 0.0, self.certified)

    @property
    def upper(self) -> np.ndarray:
        """Distance of the nearest example of every image; infinite where none is known."""
        nearest = np.full(len(self.lowers.radii), math.inf)
        for one in self.uppers:
            nearest = np.minimum(nearest, [math.inf if d is None else d for d in one.distances])
        return nearest

    @property
    def unattacked(self) -> str | None:
        """Why no example is known of images that have none; None if all of them were attacked."""
        if not self.uppers:
            return NO_ATTACK
        return next((one.reason for one in self.uppers if one.reason is not None), None)

    @property
    def attacks(self) -> str:
        """The attacks' names."""
        return ", ".join(one.method for one in self.uppers) or "no attack"

    def best(self, row: int) -> AdversarialDistances | None:
        """The attack with the nearest example of an image."""
        able = [one for one in self.uppers if one.distances[row] is not None]
        return min(able, key=lambda one: one.distances[row] or 0.0, default=None)


def bracket(
    case: Case,
    norm: Norm,
    box: Box | None,
    *,
    certifier: Certifier,
    attacks: Mapping[str, Attacker],
    epsilons: Sequence[float],
    seed: int,
) -> Bracket:
    """Certify all images, then attack those classified correctly."""
    lowers = certifier(case, norm, box, epsilons)
    rows = [row for row, correct in enumerate(case.correct.tolist()) if correct]
    return Bracket(norm, box, lowers, tuple(attack(case, norm, box, rows, seed) for attack in attacks.values()))
