"""A failed search is a failure, not a number."""

from dataclasses import replace

import pytest
import torch
from attacks.networks import Linear, linear, problem, rand, randn
from attacks.test_laws import SETTINGS

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.fast_gradient import fgs, fgv
from nmcheck.attacks.lbfgs import lbfgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.pgd import pgd
from nmcheck.attacks.problem import Attack, Problem

every_attack = pytest.mark.parametrize(("attack", "norm"), SETTINGS)


def nothing_is_found(attack: Attack, asked: Problem) -> None:
    found = attack(asked)
    assert not found.found.any()
    assert torch.equal(found.points, asked.x)


@every_attack
def test_a_constant_network_has_no_adversarial_example(attack: Attack, norm: Norm):
    nothing_is_found(attack, problem(lambda x: torch.tensor([[1.0, 0.0, 0.5]]).double().expand(len(x), 3), norm))
    nothing_is_found(attack, problem(lambda x: 0 * x.flatten(1)[:, :3] + torch.tensor([1.0, 0, 0]).double(), norm))


@every_attack
def test_parallel_classes_have_no_boundary(attack: Attack, norm: Norm):
    weight = randn(1, 30)
    nothing_is_found(attack, problem(Linear(weight.expand(2, 30), torch.tensor([1.0, 0.0]).double()), norm))


@every_attack
def test_a_single_class_cannot_be_left(attack: Attack, norm: Norm):
    nothing_is_found(attack, problem(linear(classes=1), norm))


@every_attack
def test_nan_logits_are_not_adversarial(attack: Attack, norm: Norm):
    network = linear()
    asked = problem(network, norm)
    nothing_is_found(attack, replace(asked, logits=lambda x: network(x) * torch.nan))

    def nan_outside(x: torch.Tensor) -> torch.Tensor:
        """No number as soon as anything changes."""
        changed = (x != asked.x[:1]).flatten(1).any(1, keepdim=True)
        return torch.where(changed, torch.nan, network(x))

    nothing_is_found(attack, replace(asked.rows(torch.tensor([0])), logits=nan_outside))


@every_attack
def test_what_is_wrong_from_the_start_is_at_distance_zero(attack: Attack, norm: Norm):
    network = linear()
    asked = problem(network, norm)
    wrong = torch.zeros(len(asked.x), dtype=torch.bool)
    wrong[3] = wrong[7] = True
    found = attack(replace(asked, labels=torch.where(wrong, (asked.labels + 1) % 5, asked.labels)))
    assert torch.equal(found.norms == 0, wrong)
    assert torch.equal(found.points[wrong], asked.x[wrong])
    torch.testing.assert_close(found.norms[~wrong], attack(asked).norms[~wrong], rtol=1e-9, atol=0)


@every_attack
def test_no_images_give_no_results(attack: Attack, norm: Norm):
    found = attack(problem(linear(), norm, images=0))
    assert found.norms.shape == (0,)
    assert found.points.shape == (0, 5, 6)


def test_a_search_that_ends_beyond_its_reach_fails():
    """Algorithm 2.1 returns its upper end here, which it never tested."""
    network = linear(classes=2)
    asked = problem(network, Norm.LINF)
    least = fgs(asked).norms
    reach = least.median().item()
    found = fgs(replace(asked, reach=reach))
    assert torch.equal(found.found, least <= reach)
    assert 0 < found.found.sum() < len(least)


def test_the_search_ends_where_the_label_changes_back_in_between():
    """Adversarial for epsilon in (.1, .2) and (.4, 1): whatever the path of the bisection, its end is tested."""

    def network(x: torch.Tensor) -> torch.Tensor:
        first = x.flatten(1)[:, 0]
        score = (first - 0.1) * (first - 0.2) * (first - 0.4)
        return torch.stack([torch.zeros_like(score), score], dim=1)

    asked = Problem(network, torch.zeros(1, 1).double(), torch.zeros(1, dtype=torch.long), Norm.LINF)
    for attack in (fgs, fgv):
        epsilon = attack(asked).norms.item()
        assert epsilon == pytest.approx(0.4, rel=1e-5) or epsilon == pytest.approx(0.1, rel=1e-5)
        assert network(torch.full((1, 1), epsilon).double()).argmax() == 1


@pytest.mark.parametrize("attack", [ddn, pgd])
def test_flat_logits_are_left_in_a_random_direction(attack: Attack):
    """Steps have no slope; only a direction drawn at random leaves them, and not every one does."""

    def steps(x: torch.Tensor) -> torch.Tensor:
        total = (x.flatten(1) - 0.5).square().sum(1)
        return torch.stack([torch.full_like(total, 0.5), (total > 1).to(total)], dim=1) + 0 * total[:, None].floor()

    asked = Problem(steps, torch.full((3, 4, 4), 0.5).double(), torch.zeros(3, dtype=torch.long))
    found = attack(asked)
    assert found.found.all()
    assert (found.norms >= 1).all()


@pytest.mark.parametrize("attack", [ddn, lbfgs])
def test_attacks_of_one_norm_refuse_the_other(attack: Attack):
    with pytest.raises(ValueError, match="L2"):
        attack(problem(linear(), Norm.LINF))


def test_infinite_slopes_do_not_make_infinite_points():
    def steep(x: torch.Tensor) -> torch.Tensor:
        first = x.flatten(1)[:, :1]
        return torch.cat([0.7 + 0 * first, first.sqrt()], dim=1)

    asked = Problem(steep, torch.zeros(2, 3).double(), torch.zeros(2, dtype=torch.long), box=(0.0, 1.0))
    for attack in (fgv, ddn, pgd):
        found = attack(asked)
        assert torch.isfinite(found.points).all()
        assert (found.norms[found.found] >= 0.49).all()


def test_random_directions_are_shared_and_seeded():
    asked = problem(linear())
    direction = asked.random_direction()
    assert torch.equal(direction[0], direction[5])
    assert not torch.equal(direction, replace(asked, seed=1).random_direction())
    assert torch.equal(direction[:3], asked.rows(torch.arange(3)).random_direction())
    assert rand(1).item() == rand(1).item()
