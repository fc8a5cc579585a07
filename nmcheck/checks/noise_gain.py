"""How much a layer of the network amplifies the noise that reaches it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nmcheck.checks.case import Case
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.graph.ir import Node

NOISE_SAMPLES = 32
"""Draws an image; the gain comes with its standard error over images."""


@dataclass(frozen=True)
class Gain:
    """sqrt(mean variance of the layer's outputs / mean variance of its inputs), over units and images.

    Attributes:
        value: the ratio; None where no noise reaches the layer.
        standard_error: by the jackknife over images; None for a single image, or without a value.
    """

    value: float | None
    standard_error: float | None


def noise_gains(case: Case, nodes: tuple[Node, ...], sigma: float, level: int, seed: int) -> dict[str, Gain]:
    """The noise gain of each node at one noise level, by node name.

    The noise enters at the network's input; variances are over ``NOISE_SAMPLES`` draws an image.
    """
    values = list(dict.fromkeys(value for node in nodes for value in (node.inputs[0], node.outputs[0])))
    variances: dict[str, list[float]] = {value: [] for value in values}
    for row, image in enumerate(case.images.float()):
        generator = torch.Generator().manual_seed(noise_seed(seed, Purpose.NOISE_GAIN, int(case.positions[row]), level))
        numbers = case.structure.numbers(NOISE_SAMPLES, image.numel(), generator, torch.float32)
        noise = case.structure.noise(numbers.to(image.device)).reshape(-1, *image.shape)
        found = case.single.activations(image + sigma * noise, values)
        for value in values:
            variances[value].append(float(found[value].double().var(dim=0).mean()))
    return {
        node.name: _gain(np.array(variances[node.inputs[0]]), np.array(variances[node.outputs[0]])) for node in nodes
    }


def _gain(before: np.ndarray, after: np.ndarray) -> Gain:
    if not before.sum() > 0:
        return Gain(None, None)
    value = float(np.sqrt(after.sum() / before.sum()))
    count = len(before)
    if count < 2 or not (before.sum() - before > 0).all():
        return Gain(value, None)
    left_out = np.sqrt((after.sum() - after) / (before.sum() - before))
    return Gain(value, float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())))
