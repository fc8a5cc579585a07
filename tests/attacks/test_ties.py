"""What a tie means to an attack: a class in front takes over where it is equal, if rounding has no part in that."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from attacks.networks import CLASSES, PIXELS, problem, rand, randn, relu_network

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.deepfool import deepfool
from nmcheck.attacks.fast_gradient import fgv
from nmcheck.attacks.pgd import pgd
from nmcheck.attacks.problem import Attack, Problem
from nmcheck.decision import predicted_class, takes_over

ATTACKS = {"fgv": fgv, "deepfool": deepfool, "ddn": ddn, "pgd": partial(pgd, bisections=6, steps=8)}
EVERY = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def rectified(label: int, dead: int) -> Problem:
    """Two logits behind a ReLU: the label's, 0.5 at the image and zero from a distance of 0.5 on, and one always 0."""
    slope = randn(PIXELS, seed=4)
    slope, x = slope / slope.norm(), rand(1, PIXELS, seed=5)

    def logits(points: torch.Tensor) -> torch.Tensor:
        own = (0.5 - (points - x) @ slope).relu()
        return torch.stack([own if place == label else 0 * own for place in sorted((label, dead))], dim=1)

    return Problem(logits, x, torch.tensor([label]))


@EVERY
def test_a_tie_with_a_class_in_front_is_an_example(attack: Attack) -> None:
    asked = rectified(label=1, dead=0)
    found = attack(asked)
    assert predicted_class(asked.logits(found.points)).item() == 0
    assert found.norms.item() == pytest.approx(0.5, rel=0.005)
    assert found.norms.item() >= 0.5 * (1 - 1e-12)


@EVERY
def test_a_tie_with_a_class_behind_is_none(attack: Attack) -> None:
    assert not attack(rectified(label=0, dead=1)).found.any()


def test_a_tie_that_rounding_may_have_made_is_no_example() -> None:
    """Where both logits are zero there is no rounding; where both are 1000 it may hide half a pixel."""
    x = torch.tensor([[0.5]])
    for offset, found in ((0.0, True), (1000.0, False)):

        def logits(points: torch.Tensor, offset: float = offset) -> torch.Tensor:
            return torch.cat([0 * points, (points - 0.2).relu()], dim=1) + offset

        asked = Problem(logits, x, torch.tensor([1]))
        at_tie = torch.tensor([[0.1]])
        assert predicted_class(logits(at_tie)).item() == 0
        assert (asked.gap(at_tie) > 0).item() is found


def test_the_sign_of_the_gap_is_the_convention() -> None:
    """Whole numbers, for which the allowance for rounding is far below one."""
    logits = torch.randint(-2, 1, (400, 4), generator=torch.Generator().manual_seed(0)).float()
    labels = torch.arange(400) % 4
    asked = Problem(lambda x: x, logits, labels)
    differences = asked.differences(logits)
    strictly = (differences > 0).any(dim=1)
    tied = ((logits == 0) & takes_over(differences, torch.arange(4), labels[:, None])).any(dim=1)
    assert ((asked.gap(logits) > 0) == (strictly | tied)).all()
    assert (tied & ~strictly).sum() > 10


@EVERY
def test_a_class_that_is_never_chosen_hides_no_other(attack: Attack) -> None:
    """The label's equal, nearest of all and without a slope to follow, is left out."""
    network = relu_network()
    plain = problem(network, images=20)
    label = int(plain.labels.mode().values)
    plain = plain.rows((plain.labels == label).nonzero().flatten())

    def with_equal(x: torch.Tensor) -> torch.Tensor:
        logits = network(x)
        return torch.cat([logits, logits[:, [label]]], dim=1)

    found = attack(replace(plain, logits=with_equal, masked=(CLASSES,)))
    torch.testing.assert_close(found.norms, attack(plain).norms, rtol=1e-9, atol=0)
