import math

import pytest
import torch

from nmcheck.bounds.softmax_margin import softmax_margin


def linear(seed: int, classes: int = 5, inputs: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn((classes, inputs), generator=generator, dtype=torch.float64)
    bias = torch.randn(classes, generator=generator, dtype=torch.float64)
    x = torch.randn((20, inputs), generator=generator, dtype=torch.float64)
    return rows, bias, x


def steepest(difference: torch.Tensor, p: float) -> torch.Tensor:
    """The unit vector of the p-norm along which a linear function falls fastest."""
    if p == 1:
        unit = torch.zeros_like(difference)
        k = difference.abs().argmax()
        unit[k] = -difference[k].sign()
        return unit
    if p == math.inf:
        return -difference.sign()
    q = p / (p - 1)
    direction = -difference.sign() * difference.abs() ** (q - 1)
    return direction / torch.linalg.vector_norm(direction, ord=p)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_is_the_exact_distance_of_a_linear_classifier(p):
    rows, bias, x = linear(3)
    radii = softmax_margin(x @ rows.mT + bias, rows, p)
    for image, radius in zip(x, radii, strict=True):
        label = int((rows @ image + bias).argmax())
        flips = []
        for other in range(len(rows)):
            if other != label:
                step = steepest(rows[label] - rows[other], p)
                assert torch.linalg.vector_norm(step, ord=p).item() == pytest.approx(1)
                outside, inside = (image + step * radius * (1 + sign * 1e-9) for sign in (1, -1))
                flips.append((rows @ outside + bias).argmax().item() != label)
                assert (rows @ inside + bias).argmax().item() == label
        assert any(flips)


def test_equal_rows_are_infinitely_far_and_a_tie_is_zero():
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    logits = torch.tensor([[2.0, 1.0, -1.0], [2.0, 2.0, -1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    radii = softmax_margin(logits, rows)
    assert radii.tolist() == pytest.approx([3 / math.sqrt(2), 3 / math.sqrt(2), 0.0])
    assert softmax_margin(logits[:, :2], rows[:2]).tolist() == [math.inf] * 3
