import pytest
import torch

from nmcheck.bounds.published import theorem_3_6


def test_premise_a_flip_need_not_raise_the_activation_s_norm():
    # Errata, the premise of Theorems 5.1 to 5.9: the activation (1, 0) of the classes e1, e2 flips towards (-.5, .5),
    # and ends up no longer than it was.
    activation = torch.tensor([1.0, 0.0], dtype=torch.float64)
    rows = torch.eye(2, dtype=torch.float64)
    kappa = theorem_3_6.theorem_3_6(activation[None], rows).item()
    assert kappa == pytest.approx(0.7071, abs=5e-5)
    change = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    assert torch.linalg.vector_norm(change).item() == pytest.approx(kappa)
    moved = activation + change
    assert moved[0] == moved[1]
    assert torch.linalg.vector_norm(moved).item() == pytest.approx(0.7071, abs=5e-5)
    assert torch.linalg.vector_norm(moved) < torch.linalg.vector_norm(activation)
    assert theorem_3_6.STATEMENT.sound
