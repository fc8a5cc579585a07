import itertools

import pytest
import torch

from nmcheck.bounds.lrn import LocalResponseNormalization, global_bound, local_bound

SETTINGS = [
    (size, alpha, beta, bias, channels)
    for size, channels in [(1, 4), (3, 5), (4, 6), (5, 7), (5, 3), (2, 4)]
    for alpha, beta, bias in [(1e-4, 0.75, 1.0), (1.0, 0.75, 1.0), (5.0, 0.5, 2.0), (1.0, 2.0, 0.5)]
]


def jacobian_norms(layer: LocalResponseNormalization, x: torch.Tensor) -> torch.Tensor:
    """||J|| for every row of x, shape (points, channels), built from the formula's definition by autograd."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: layer(row.unsqueeze(0))[0]))(x)
    return torch.linalg.matrix_norm(jacobian, ord=2)


def ascend(layer: LocalResponseNormalization, start: torch.Tensor, project) -> float:
    """The largest ||J|| found by gradient ascent from the rows of ``start``, each step followed by ``project``."""
    x, best = start.clone(), 0.0
    for step in range(40):
        x = x.detach().requires_grad_(True)
        norms = jacobian_norms(layer, x)
        best = max(best, norms.max().item())
        (gradient,) = torch.autograd.grad(norms.sum(), x)
        length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp(min=1e-30)
        x = project(x + 0.5 * 0.93**step * gradient / length)
    return best


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_layer_is_torch_s_and_the_global_constant_is_never_passed(setting):
    size, alpha, beta, bias, channels = setting
    layer = LocalResponseNormalization(size, alpha, beta, bias)
    generator = torch.Generator().manual_seed(size * 100 + channels)
    x = torch.randn((24, channels), generator=generator, dtype=torch.float64)
    x = x * torch.logspace(-1, 2, 24, dtype=torch.float64)[:, None]
    if size % 2:
        # torch's window of an even size is shifted by one against ONNX's; odd ones agree.
        image = x.unsqueeze(-1)
        torch.testing.assert_close(
            layer(image), torch.nn.functional.local_response_norm(image, size, alpha, beta, bias), rtol=1e-12, atol=0
        )
    bound = global_bound(layer, channels).value
    assert ascend(layer, x, lambda moved: moved) <= bound
    assert jacobian_norms(layer, torch.zeros((1, channels), dtype=torch.float64)).item() <= bound


def test_exact_cases_and_the_general_constant():
    single = LocalResponseNormalization(1, 1.0, 0.75, 2.0)
    assert global_bound(single, 20).value == pytest.approx(2.0**-0.75, rel=2e-6)
    wide = LocalResponseNormalization(9, 1.0, 0.75, 2.0)
    assert global_bound(wide, 5).value == pytest.approx(2.0**-0.75, rel=2e-6)
    assert global_bound(wide, 6).value == pytest.approx(1.9146 * 2.0**-0.75, rel=1e-4)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("radius", [0.05, 0.5, 3.0])
def test_the_local_constant_covers_its_ball(setting, radius):
    size, alpha, beta, bias, channels = setting
    layer = LocalResponseNormalization(size, alpha, beta, bias)
    generator = torch.Generator().manual_seed(7 * size + channels)
    centre = torch.randn(channels, generator=generator, dtype=torch.float64) * 2
    directions = torch.randn((16, channels), generator=generator, dtype=torch.float64)
    bound = local_bound(layer, centre[None, :, None], torch.tensor([radius], dtype=torch.float64)).item()

    def project(x):
        offset = x - centre
        length = torch.linalg.vector_norm(offset, dim=1, keepdim=True)
        return centre + offset * (radius / length).clamp(max=1)

    assert ascend(layer, project(centre + radius * directions), project) <= bound
    assert bound <= global_bound(layer, channels).value
    assert jacobian_norms(layer, centre[None]).item() <= bound


def test_the_local_constant_is_nearly_one_for_the_usual_parameters_and_grows_with_the_ball():
    layer = LocalResponseNormalization(5, 1e-4, 0.75, 1.0)
    x = torch.rand((2, 20, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    bounds = [local_bound(layer, x, torch.full((2,), rho, dtype=torch.float64)) for rho in (0.0, 0.5, 5.0, 500.0)]
    assert bounds[1].max().item() < 1.002
    assert all((later >= sooner).all() for sooner, later in itertools.pairwise(bounds))
    assert bounds[-1].tolist() == pytest.approx([global_bound(layer, 20).value] * 2)


@pytest.mark.parametrize(
    "parameters", [(0, 1.0, 0.75, 1.0), (5, -1.0, 0.75, 1.0), (5, 1.0, -1.0, 1.0), (5, 1.0, 0.75, 0.0)]
)
def test_parameters_without_a_known_constant_are_refused(parameters):
    with pytest.raises(ValueError, match="constant is known only"):
        LocalResponseNormalization(*parameters)
