"""What holds for every attack, whatever the network."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from attacks.networks import PIXELS, Linear, Relu, problem, relu_network

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.deepfool import deepfool
from nmcheck.attacks.fast_gradient import fgs, fgv
from nmcheck.attacks.lbfgs import lbfgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.pgd import pgd
from nmcheck.attacks.problem import Attack, Problem

QUICK_PGD = partial(pgd, bisections=6, steps=8)
L2 = {"fgs": fgs, "fgv": fgv, "deepfool": deepfool, "ddn": ddn, "pgd": QUICK_PGD, "lbfgs": lbfgs}
LINF = {"fgs": fgs, "deepfool": deepfool, "pgd": QUICK_PGD}
SETTINGS = [
    *(pytest.param(attack, Norm.L2, id=f"{name}-l2") for name, attack in L2.items()),
    *(pytest.param(attack, Norm.LINF, id=f"{name}-linf") for name, attack in LINF.items()),
]
BOXES = pytest.mark.parametrize("box", [None, (0.0, 1.0)], ids=["free", "boxed"])


@BOXES
@pytest.mark.parametrize(("attack", "norm"), SETTINGS)
def test_what_is_found_flips_the_label_has_the_norm_stated_and_respects_the_box(attack: Attack, norm: Norm, box):
    images = 4 if attack is lbfgs else 12
    asked = problem(relu_network(), norm, box, images)
    found = attack(asked)
    flipped = asked.logits(found.points).argmax(dim=1) != asked.labels
    assert (flipped == found.found).all()
    assert found.found.sum() >= images / 2
    torch.testing.assert_close(norm.of(found.points - asked.x)[found.found], found.norms[found.found])
    if box is not None:
        assert found.points.min() >= 0
        assert found.points.max() <= 1


@BOXES
@pytest.mark.parametrize(("attack", "norm"), SETTINGS)
def test_the_same_twice_and_alone(attack: Attack, norm: Norm, box):
    asked = problem(relu_network(), norm, box, images=3)
    together = attack(asked)
    assert torch.equal(together.points, attack(asked).points)
    alone = [attack(asked.rows(torch.tensor([row]))).norms for row in range(3)]
    torch.testing.assert_close(torch.cat(alone), together.norms, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("attack", "norm"), SETTINGS)
def test_the_order_of_the_pixels_does_not_matter(attack: Attack, norm: Norm):
    if attack is QUICK_PGD:
        # Random restarts point the same way whatever the order, so they are left out.
        attack = partial(QUICK_PGD, restarts=0)
    network = relu_network()
    order = torch.randperm(PIXELS, generator=torch.Generator().manual_seed(5))
    asked = problem(network, norm, images=4)
    x = asked.x.flatten(1)[:, order].reshape(asked.x.shape)
    moved = replace(asked, x=x, logits=Relu(network.first[:, order], network.second))
    torch.testing.assert_close(attack(moved).norms, attack(asked).norms, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("attack", "norm"), SETTINGS)
def test_the_unit_of_the_images_does_not_matter(attack: Attack, norm: Norm):
    network = relu_network()
    asked = problem(network, norm, images=4)
    scaled = replace(asked, x=256 * asked.x, logits=lambda x: network(x / 256), reach=256.0)
    torch.testing.assert_close(attack(scaled).norms, 256 * attack(asked).norms, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("attack", "norm"), [setting for setting in SETTINGS if setting.values[0] is not lbfgs])
def test_scaled_and_shifted_logits_mask_no_gradient(attack: Attack, norm: Norm):
    """A softmax loss has gradient zero at such logits; logit differences have not."""
    network = relu_network()
    asked = problem(network, norm)
    scaled = replace(asked, logits=lambda x: 1024 * network(x) + 5)
    torch.testing.assert_close(attack(scaled).norms, attack(asked).norms, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("attack", "norm"), SETTINGS)
def test_a_class_that_can_never_win_changes_nothing(attack: Attack, norm: Norm):
    network = relu_network()
    asked = problem(network, norm, images=4)

    def with_another(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([network(x), network(x)[:, :1] - 1e3], dim=1)

    torch.testing.assert_close(
        attack(replace(asked, logits=with_another)).norms, attack(asked).norms, rtol=1e-4, atol=0
    )


def test_the_nearest_boundary_is_taken_not_the_largest_logit():
    """Class 1 has the larger logit, class 2 the nearer boundary: 1/10 against 0.5/1."""
    network = Linear(
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 10.0]]).double(), torch.tensor([0, -0.5, -1.0]).double()
    )
    asked = Problem(network, torch.zeros(1, 2).double(), torch.zeros(1, dtype=torch.long))
    for attack in (deepfool, ddn, pgd):
        assert attack(asked).norms.item() == pytest.approx(0.1, rel=0.01)
    assert fgv(asked).norms.item() == pytest.approx(0.5, rel=1e-5)
