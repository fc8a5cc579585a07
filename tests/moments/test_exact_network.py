"""On an (Affine, ReLU, Affine) network the analytic moments are exact: a reference sees its own noise and no more."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix, output_mean, output_variance
from nmcheck.moments.reference import control_variate
from nmcheck.moments.tightness import SampledMoments, per_class

SIGMAS = (0.01, 0.05, 0.1, 0.3)
PAIRS = 500


def scores(network: AffineReluAffine, images: Tensor) -> list[float]:
    """|z| of the mean and the variance of every class at every noise level, over all images."""
    gram = gram_matrix(network.inner)
    found: list[float] = []
    for level, sigma in enumerate(SIGMAS):
        analytic: list[tuple[Tensor, Tensor]] = []
        sampled: list[tuple[Tensor, ...]] = []
        for row, image in enumerate(images):
            x = GaussianInput(image, sigma)
            analytic.append((output_mean(network, x, gram), output_variance(network, x, gram)))
            jacobian = network.jacobian(image)
            run = control_variate(network, x, jacobian, pairs=PAIRS, label=0, seed=1000 * level + row, batch_size=1000)
            sampled.append((run.mean, run.mean_se, run.variance, run.variance_se, run.moved))
        mean, variance = (torch.stack(column).numpy() for column in zip(*analytic, strict=True))
        reference = SampledMoments(*(torch.stack(column).numpy() for column in zip(*sampled, strict=True)))
        for tightness in per_class(mean, variance, reference):
            assert tightness.mean_z is not None
            assert tightness.var_z is not None
            found += [abs(tightness.mean_z), abs(tightness.var_z)]
    return found


def agree(found: list[float]) -> bool:
    """No score beyond chance, and most within 2; logits share their noise, so that ten of them may stray together."""
    return max(found) < 4 and float(np.mean(np.array(found) < 2)) >= 0.8


@pytest.mark.parametrize("with_skip", [False, True])
def test_moments_of_a_random_network_agree_with_the_reference(with_skip: bool) -> None:
    generator = torch.Generator().manual_seed(21)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    maps = AffineMap(normal(60, 30) / 5, normal(60)), AffineMap(normal(10, 60) / 8, normal(10))
    network = AffineReluAffine(*maps, skip=normal(10, 30) / 5 if with_skip else None)
    found = scores(network, torch.rand(60, 30, generator=generator, dtype=torch.float64))
    assert len(found) == 80
    assert agree(found)


@pytest.mark.slow
def test_moments_of_a_trained_network_agree_with_the_reference(shared_models: Path, shared_data: Path) -> None:
    model = onnx.load(shared_models / "mipverify__RSL18a_linf0.1_784x500x10.onnx")
    weights = {w.name: torch.tensor(onnx.numpy_helper.to_array(w)).double() for w in model.graph.initializer}
    network = AffineReluAffine(
        AffineMap(weights["W1"].mT.contiguous(), weights["b1"]), AffineMap(weights["W2"].mT.contiguous(), weights["b2"])
    )
    with np.load(shared_data / "mnist.npz") as data:
        images = torch.tensor(data["x_test"][:50].reshape(50, -1) / 255)
    assert agree(scores(network, images))
