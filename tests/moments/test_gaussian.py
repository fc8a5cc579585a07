"""Every structure of noise: samples, responses and directions tell of the same covariance."""

import pytest
import torch
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.moments.affine_relu_affine import gram_matrix
from nmcheck.moments.gaussian import Diagonal, Factored, Isotropic, NoiseStructure

N = 6
GENERATOR = torch.Generator().manual_seed(0)
SCALE = torch.tensor([0.0, 0.5, 1.0, 2.0, 0.0, 0.1], dtype=torch.float64)
LOW_RANK = torch.randn(3, N, generator=GENERATOR, dtype=torch.float64)
HIGH_RANK = torch.randn(9, N, generator=GENERATOR, dtype=torch.float64)
STRUCTURES: dict[str, tuple[NoiseStructure, Tensor]] = {
    "isotropic": (Isotropic(), torch.eye(N, dtype=torch.float64)),
    "diagonal": (Diagonal(SCALE), torch.diag(SCALE)),
    "low-rank": (Factored(LOW_RANK), LOW_RANK),
    "more-directions-than-elements": (Factored(HIGH_RANK), HIGH_RANK),
}
ALL = pytest.mark.parametrize("name", STRUCTURES)


@ALL
def test_samples_have_the_covariance(name: str) -> None:
    structure, factor = STRUCTURES[name]
    count, k = 100_000, structure.directions(N)
    normals = torch.randn(count, k, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = structure.noise(normals)
    products = noise[:, :, None] * noise[:, None, :]
    covariance = factor.mT @ factor
    silent = covariance == 0
    error = products.std(dim=0) / count**0.5
    z = (products.mean(dim=0) - covariance) / torch.where(error > 0, error, 1.0)
    assert z.abs().max() < 4.5
    assert (noise.mean(dim=0).abs() <= 4.5 * covariance.diagonal().sqrt() / count**0.5).all()
    if name == "diagonal":
        assert not noise[:, silent.diagonal()].any()


@ALL
def test_rows_of_the_factor_are_the_noise_of_unit_normals(name: str) -> None:
    structure, factor = STRUCTURES[name]
    k = structure.directions(N)
    assert k == len(factor)
    torch.testing.assert_close(structure.noise(torch.eye(k, dtype=torch.float64)), factor, rtol=0, atol=0)


@ALL
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)], ids=str)
def test_response_is_that_of_every_direction(name: str, batch: tuple[int, ...]) -> None:
    structure, factor = STRUCTURES[name]
    weight = torch.randn(*batch, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    response = structure.response(weight)
    expected = torch.einsum("...n,kn->...k", weight, factor)
    torch.testing.assert_close(response, expected, rtol=1e-13, atol=1e-13)


@ALL
def test_deviation_is_given_where_elements_are_independent(name: str) -> None:
    structure, factor = STRUCTURES[name]
    covariance = factor.mT @ factor
    deviation = structure.deviation(N)
    if name in ("isotropic", "diagonal"):
        assert deviation is not None
        torch.testing.assert_close(torch.diag(deviation.double() ** 2), covariance)
    else:
        assert deviation is None


@ALL
def test_gram_matrix_is_that_of_the_covariance(name: str) -> None:
    structure, factor = STRUCTURES[name]
    weight = torch.randn(4, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = gram_matrix(AffineMap(weight, torch.zeros(4, dtype=torch.float64)), structure)
    torch.testing.assert_close(found, weight @ factor.mT @ factor @ weight.mT, rtol=1e-12, atol=1e-12)


@ALL
def test_precision_is_the_arguments(name: str) -> None:
    structure, _ = STRUCTURES[name]
    assert structure.noise(torch.ones(2, structure.directions(N))).dtype == torch.float32
    assert structure.response(torch.ones(2, N)).dtype == torch.float32
