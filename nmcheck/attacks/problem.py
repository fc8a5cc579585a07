"""What an attack is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nmcheck.attacks.norms import Norm
from nmcheck.decision import takes_over

_ROUNDING = 8
"""Units in the last place by which another class's logit must exceed the label's."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Find, for each image, a small change after which another class than its label is predicted.

    Logit differences are used throughout, never a softmax: its gradient vanishes where the network is sure.

    Attributes:
        logits: a batch of images to logits, shape (batch, classes); differentiable by torch.
        x: the images.
        labels: the class whose decision is attacked, usually the predicted one.
        norm: what is to be small.
        box: range that changed elements must stay in, or None; the images lie in it.
        reach: the largest change of a single element that makes sense: the width of the data's range.
        masked: classes that are never chosen, whatever their logits.
        offsets: what each logit has of constants added at the end, shape (classes,), such as those that switch a class
            off: they say nothing about the rounding of the other logits. None for 0.
        lengths: what each class's difference is divided by where the steepest direction is chosen, shape (images,
            classes): the length of its slope makes it a distance. None for 1.
        seed: seeds whatever is random. All images share the same random directions, so that an image's result does
            not depend on which others are attacked beside it.
    """

    logits: Callable[[Tensor], Tensor]
    x: Float[Tensor, "images *sample"]
    labels: Int[Tensor, " images"]
    norm: Norm = Norm.L2
    box: tuple[float, float] | None = None
    reach: float = 1.0
    seed: int = 0
    masked: tuple[int, ...] = ()
    offsets: Float[Tensor, " classes"] | None = None
    lengths: Float[Tensor, "images classes"] | None = None

    def rows(self, chosen: Int[Tensor, " chosen"]) -> Problem:
        """The same for some of the images."""
        lengths = None if self.lengths is None else self.lengths[chosen]
        return replace(self, x=self.x[chosen], labels=self.labels[chosen], lengths=lengths)

    def clip(self, points: Float[Tensor, "images *sample"]) -> Float[Tensor, "images *sample"]:
        """The nearest points inside the box."""
        return points if self.box is None else points.clamp(*self.box)

    def differences(self, points: Float[Tensor, "images *sample"]) -> Float[Tensor, "images classes"]:
        """f_c' - f_c for every class c', c being the label; -inf for c itself and for masked classes."""
        return self._differences(self.logits(points))

    @torch.no_grad()
    def gap(self, points: Float[Tensor, "images *sample"]) -> Float[Tensor, " images"]:
        """Largest of the differences: positive where the point is adversarial, -inf where a logit is NaN.

        Each less an allowance for rounding, which differs with the number of images run at once: some units in the last
        place of the larger of the two logits, or of how large any logit is without its offset, if that is more. So a
        tie is no success, but where both logits are zero, as behind a ReLU, and rounding has no part in it: there a
        class that wins ties (``decision``) makes it the least positive number there is.
        """
        return self._gap(self.logits(points))

    def slope(
        self, points: Float[Tensor, "images *sample"]
    ) -> tuple[Float[Tensor, " images"], Float[Tensor, "images *sample"]]:
        """The gap, and the gradient of the largest difference over length; NaN or infinite slopes count as zero."""
        at = points.detach().requires_grad_(True)
        logits = self.logits(at)
        differences = self._differences(logits)
        scaled = differences if self.lengths is None else differences / self.lengths
        gradient = _gradient(scaled.amax(dim=1), at)
        return self._gap(logits.detach()), gradient

    def slopes(
        self, points: Float[Tensor, "images *sample"], most: int
    ) -> tuple[Float[Tensor, "rivals images"], Float[Tensor, "rivals images *sample"]]:
        """The largest differences of each image, at most ``most`` of them, descending, and their gradients.

        Without the elements that cannot follow them: those at the edge of the box that they lead out of.
        """
        at = points.detach().requires_grad_(True)
        differences = self.differences(at)
        count = min(most, differences.shape[1] - 1)
        largest = differences.nan_to_num(nan=-torch.inf).topk(count, dim=1).values if count else differences[:, :0]
        gradients = [_gradient(row, at, keep=rank < count - 1) for rank, row in enumerate(largest.T)]
        slopes = torch.stack(gradients) if gradients else at.new_zeros((0, *at.shape))
        if self.box is not None:
            low, high = self.box
            slopes = slopes.masked_fill(((points <= low) & (slopes < 0)) | ((points >= high) & (slopes > 0)), 0)
        return largest.T.detach(), slopes

    def _differences(self, logits: Float[Tensor, "images classes"]) -> Float[Tensor, "images classes"]:
        excluded = torch.nn.functional.one_hot(self.labels, logits.shape[1]).bool()
        excluded[:, list(self.masked)] = True
        return (logits - logits.gather(1, self.labels[:, None])).masked_fill(excluded, -torch.inf)

    def _gap(self, logits: Float[Tensor, "images classes"]) -> Float[Tensor, " images"]:
        differences = self._differences(logits)
        moving = (logits if self.offsets is None else logits - self.offsets.to(logits)).abs()
        moving[:, list(self.masked)] = 0
        size = torch.maximum(logits.abs(), logits.gather(1, self.labels[:, None]).abs())
        size = torch.maximum(size, moving.amax(dim=1, keepdim=True))
        gap = (differences - _ROUNDING * torch.finfo(logits.dtype).eps * size).amax(dim=1)
        classes = torch.arange(logits.shape[1], device=logits.device)
        tied = (logits == 0) & (differences == 0)
        won = tied & takes_over(differences, classes, self.labels[:, None])
        gap = torch.where(won.any(dim=1), gap.clamp(min=torch.finfo(logits.dtype).tiny), gap)
        return gap.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def random_direction(self) -> Float[Tensor, "images *sample"]:
        """A direction of unit norm, the same for every image."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.x.shape[1:], generator=generator, dtype=torch.float64)
        noise = (noise / self.norm.of(noise[None])).to(self.x)
        return noise.expand_as(self.x)


@dataclass(frozen=True, eq=False)
class Candidates:
    """What an attack found.

    Attributes:
        points: the adversarial images; where none was found, the images themselves.
        norms: norm of the change; infinite where none was found, zero where the label was wrong from the start.
    """

    points: Float[Tensor, "images *sample"]
    norms: Float[Tensor, " images"]

    @property
    def found(self) -> Bool[Tensor, " images"]:
        """Which images have one."""
        return torch.isfinite(self.norms)


Attack = Callable[[Problem], Candidates]
"""Attacks every image; a failed search is reported as one."""


class Nearest:
    """The nearest adversarial points seen so far; every one is tested by the network itself.

    The clean images are the first points seen: where one is already misclassified, its norm is zero for good.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.points = problem.x.clone()
        self.norms = torch.full_like(problem.x.flatten(1)[:, 0], torch.inf)
        self.clean_gap = problem.gap(problem.x)
        self.see(problem.x, self.clean_gap)

    @property
    def wrong(self) -> Bool[Tensor, " images"]:
        """Which images are misclassified without any change."""
        return self.norms == 0

    def see(self, points: Float[Tensor, "images *sample"], gap: Float[Tensor, " images"]) -> None:
        """Keep the points that are adversarial, ``gap`` being theirs, and nearer than what was known."""
        norms = self.problem.norm.of(points - self.problem.x)
        better = (gap > 0) & (norms < self.norms) & torch.isfinite(norms)
        self.norms = torch.where(better, norms, self.norms)
        self.points[better] = points[better]

    def candidates(self) -> Candidates:
        """What was found."""
        return Candidates(self.points, self.norms)


def _gradient(values: Tensor, at: Tensor, *, keep: bool = False) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(at)
    # Where the values are NaN or infinite there is nothing to descend.
    (gradient,) = torch.autograd.grad(values.sum(), at, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(at) if gradient is None else torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
