"""Classifiers small enough to know everything about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Problem

PIXELS, CLASSES = 30, 5


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass
class Linear:
    """x -> W x + b."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def linear(classes: int = CLASSES, seed: int = 1) -> Linear:
    return Linear(randn(classes, PIXELS, seed=seed) / PIXELS**0.5, randn(classes, seed=seed + 100) / 10)


@dataclass
class Relu:
    """A dense ReLU network with one hidden layer."""

    first: Tensor
    second: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.first.T - 0.2).relu() @ self.second.T


def relu_network(seed: int = 2) -> Relu:
    return Relu(randn(20, PIXELS, seed=seed) / PIXELS**0.5, randn(CLASSES, 20, seed=seed + 100) / 20**0.5)


def problem(
    logits: Callable[[Tensor], Tensor],
    norm: Norm = Norm.L2,
    box: tuple[float, float] | None = None,
    images: int = 12,
    seed: int = 3,
) -> Problem:
    """Images in [0, 1], attacked away from what is predicted for them."""
    x = rand(images, 5, 6, seed=seed)
    return Problem(logits, x, logits(x).argmax(dim=1), norm, box)
