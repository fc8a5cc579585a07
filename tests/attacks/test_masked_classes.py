"""A class that is switched off blinds no attack: what counts are the two logits compared."""

from dataclasses import replace

import pytest
import torch
from attacks.networks import Linear, linear, problem
from attacks.test_laws import SETTINGS

from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Attack, Problem

every_attack = pytest.mark.parametrize(("attack", "norm"), SETTINGS)
LOWEST = float(torch.finfo(torch.float32).min)


def in_single(asked: Problem, network: Linear) -> Problem:
    """The same in float32, as files are attacked."""
    single = Linear(network.weight.float(), network.bias.float())
    return replace(asked, logits=single, x=asked.x.float(), offsets=network.bias)


@every_attack
@pytest.mark.parametrize("mask", [-1e7, LOWEST])
def test_the_other_classes_are_found_as_without_the_masked_one(attack: Attack, norm: Norm, mask: float):
    whole = linear()
    without = Linear(whole.weight[1:], whole.bias[1:])
    asked = problem(without, norm, images=3)
    masked = Linear(whole.weight, torch.cat([torch.tensor([mask]).double(), whole.bias[1:]]))
    found = attack(in_single(replace(asked, labels=asked.labels + 1), masked))
    wanted = attack(in_single(asked, without))
    assert found.found.all()
    torch.testing.assert_close(found.norms, wanted.norms, rtol=2e-3, atol=0)


@every_attack
def test_a_class_that_is_never_chosen_is_no_way_out(attack: Attack, norm: Norm):
    asked = problem(linear(classes=2), norm, images=3)
    alike = asked.rows(torch.nonzero(asked.labels == asked.labels[0]).flatten())
    assert attack(alike).found.all()
    assert not attack(replace(alike, masked=(1 - int(asked.labels[0]),))).found.any()


def test_what_rounding_could_have_done_is_not_found():
    # Both logits of the pair are small, and what they are summed from is not: its rounding counts.
    large = torch.tensor([[1.0, 2.0, 500.0]])
    asked = Problem(lambda x: large.expand(len(x), 3) + 0 * x, torch.zeros(1, 3), torch.tensor([0]), masked=(2,))
    assert asked.gap(asked.x) > 0.9
    near = replace(asked, logits=lambda x: torch.tensor([[1.0, 1.0 + 2e-6, -5.0]]).expand(len(x), 3), masked=())
    assert near.gap(near.x) < 0


def test_an_allowance_goes_with_the_logits_not_with_their_offsets():
    logits = torch.tensor([[1.0, 1.0 + 1e-5, -1e7]])
    asked = Problem(lambda x: logits.expand(len(x), 3) + 0 * x, torch.zeros(1, 3), torch.tensor([0]))
    assert asked.gap(asked.x) < 0
    assert replace(asked, offsets=torch.tensor([0.0, 0.0, -1e7])).gap(asked.x) > 0
