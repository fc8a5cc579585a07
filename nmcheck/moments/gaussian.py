"""Noisy inputs: x ~ N(mean, sigma^2 S), with S one of the structures noise comes in.

Sampling takes other laws of the same covariance, too (``noise_laws``); what is analytic is of Gaussian noise only.

Inputs are flat vectors here; ``sigma`` is in the input's units, and S has none. All structures answer the same
questions: what noise of theirs looks like, how a linear map responds to it, and how strong it is in each element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.noise_laws import GAUSSIAN, Law


class NoiseStructure(ABC):
    """S = F' F, by a factor F with a row for every independent direction of the noise.

    Attributes:
        law: of the independent numbers, one a direction.
    """

    law: Law = GAUSSIAN

    def numbers(self, count: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "{count} k"]:
        """The next ``count`` rows of independent numbers for inputs of n elements, of mean 0 and variance 1."""
        shape = (count, self.directions(n))
        if self.law.quantile is None:
            return torch.randn(shape, generator=generator, dtype=dtype)
        return self.law.quantile(torch.rand(shape, generator=generator, dtype=dtype))

    @abstractmethod
    def directions(self, n: int) -> int:
        """Rows of F for an input of n elements."""

    @abstractmethod
    def noise(self, normals: Float[Tensor, "m k"]) -> Float[Tensor, "m n"]:
        """Rows e = F' g of covariance S from rows g of k independent numbers of variance 1 (``numbers``)."""

    @abstractmethod
    def response(self, weight: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch k"]:
        """W F', the response of a linear map to every direction: its output's covariance is W F' (W F')'."""

    @abstractmethod
    def deviation(self, n: int) -> Float[Tensor, " n"] | None:
        """Standard deviation of each element where elements are independent, else None."""

    @abstractmethod
    def variance(self, n: int) -> Float[Tensor, " n"]:
        """Variance of each element: the diagonal of S."""


@dataclass(frozen=True)
class Isotropic(NoiseStructure):
    """S = I: independent noise of one strength.

    Attributes:
        law: of each element.
    """

    law: Law = GAUSSIAN

    def directions(self, n: int) -> int:
        """One an element."""
        return n

    def noise(self, normals: Float[Tensor, "m k"]) -> Float[Tensor, "m n"]:
        """The numbers themselves."""
        return normals

    def response(self, weight: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch k"]:
        """The map itself."""
        return weight

    def deviation(self, n: int) -> Float[Tensor, " n"]:
        """Ones."""
        return torch.ones(n)

    def variance(self, n: int) -> Float[Tensor, " n"]:
        """Ones."""
        return torch.ones(n)


@dataclass(frozen=True)
class Diagonal(NoiseStructure):
    """S = diag(scale^2): independent noise of a strength for every element; 0 where there is none.

    Attributes:
        scale: relative standard deviations, not negative.
    """

    scale: Float[Tensor, " n"]

    def directions(self, n: int) -> int:
        """One an element."""
        return n

    def noise(self, normals: Float[Tensor, "m k"]) -> Float[Tensor, "m n"]:
        """The normals, scaled."""
        return normals * self.scale.to(normals)

    def response(self, weight: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch k"]:
        """The map's columns, scaled."""
        return weight * self.scale.to(weight)

    def deviation(self, n: int) -> Float[Tensor, " n"]:
        """The scale."""
        return self.scale.expand(n)

    def variance(self, n: int) -> Float[Tensor, " n"]:
        """The squared scale."""
        return self.scale.square().expand(n)


@dataclass(frozen=True)
class Factored(NoiseStructure):
    """S = F' F for any F: correlated noise, of full rank or not.

    Attributes:
        factor: F, a row a direction.
    """

    factor: Float[Tensor, "k n"]

    def directions(self, n: int) -> int:
        """The rows of F."""
        return len(self.factor)

    def noise(self, normals: Float[Tensor, "m k"]) -> Float[Tensor, "m n"]:
        """Combinations of F's rows."""
        return normals @ self.factor.to(normals)

    def response(self, weight: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch k"]:
        """W F'."""
        return weight @ self.factor.to(weight).mT

    def deviation(self, n: int) -> None:
        """None: elements are not independent."""
        return

    def variance(self, n: int) -> Float[Tensor, " n"]:
        """Sums of squares down F's columns."""
        return self.factor.square().sum(dim=0)


@dataclass(frozen=True)
class GaussianInput:
    """x ~ N(mean, sigma^2 S).

    Attributes:
        mean: the image, flattened.
        sigma: the noise level, in the image's units: a number, or a tensor without axes where a gradient is wanted.
        structure: S; independent noise of one strength unless said otherwise.
    """

    mean: Float[Tensor, " n"]
    sigma: float | Float[Tensor, ""]
    structure: NoiseStructure = field(default_factory=Isotropic)

    def draws(self, count: int, seed: int) -> Float[Tensor, "count n"]:
        """Independent e ~ N(0, sigma^2 S), drawn in float64 on the processor and the same on every device.

        Args:
            count: how many, a row each.
            seed: of the generator.
        """
        generator = torch.Generator().manual_seed(seed)
        numbers = self.structure.numbers(count, self.mean.numel(), generator, torch.float64)
        return self.sigma * self.structure.noise(numbers.to(self.mean))
