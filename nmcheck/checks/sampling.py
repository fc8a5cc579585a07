"""What the reference sampler draws its logits from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.checks.case import Case
from nmcheck.checks.consistency import model_input
from nmcheck.checks.image_model import ImageModel
from nmcheck.decision import predicted_class
from nmcheck.execute.session import ReferenceSession

CONVOLUTIONS = ("Conv", "ConvTranspose")
SINGLE, DOUBLE = 1e-6, 1e-13
"""Relative rounding error of logits in float32 and float64: what deep networks differ by from onnxruntime."""
COARSE, JUDGED = 0.01, 3
"""Rounding of a logit, over its deviation under noise, from which on float32 would blur it; judged by a few images."""

AT_ONCE = 16
"""Images evaluated at once."""


@dataclass(frozen=True)
class SampledNetwork:
    """The network as the sampler runs it.

    Attributes:
        evaluate: noisy images, flattened, in pixel units, shape (batch, n), to logits, shape (batch, classes).
        description: what runs it and in which precision.
        rounding: relative rounding error of its logits.
    """

    evaluate: Callable[[Tensor], Tensor]
    description: str
    rounding: float


def sampled_network(case: Case, session: ReferenceSession) -> SampledNetwork:
    """Choose the execution by the operators, never by the clock.

    A network without convolutions is sampled in torch's float64. One with them is sampled in onnxruntime's float32, the
    fastest way (torch's float64 convolutions take five times as long), if its file gives the logits themselves and the
    device is the processor, else in torch's float32. ``fine_enough`` says when noise is too small for that. Where
    float32 gives an image without noise another class than float64, in which all else is computed, the noise is sampled
    in float64, too: the change of class would be none that noise makes.
    """
    shape = case.graph.shapes[case.graph.input]
    convolutions = any(node.op in CONVOLUTIONS for node in case.graph.nodes)
    if convolutions and case.device == "cpu" and case.graph.logits == case.graph.output:

        def run_file(x: Tensor) -> Tensor:
            pixels = x.reshape(-1, *shape).cpu().numpy()
            logits = torch.from_numpy(session.run(model_input(case, pixels))).double().flatten(1)
            return logits[:, case.single.equal.first].to(x.device)

        found = SampledNetwork(run_file, f"{session.description} in float32", SINGLE)
    else:
        found = _in_torch(case, double=not convolutions)
    return found if decides_alike(case, found.evaluate) else _in_torch(case, double=True)


def fine_enough(case: Case, network: SampledNetwork, sigma: float) -> SampledNetwork:
    """The network as it is sampled at a noise level: in float64 where float32 would blur what noise does.

    That is where rounding of the middle logit that noise moves is more than ``COARSE`` of its standard deviation by the
    network's slopes at the first images: a matter of network, images and noise level, never of the clock.
    """
    if network.rounding <= DOUBLE:
        return network
    of_image, ratios = ImageModel(case, None, 0), []
    for image in case.images[:JUDGED]:
        of_image.move_to(image)
        deviation = sigma * case.structure.response(of_image.slope).norm(dim=1)
        size = case.double(image[None])[0].abs()
        rounding = network.rounding * torch.maximum(size, size.median())
        ratios.append((rounding / deviation)[deviation > 0])
    moving = torch.cat(ratios)
    blurred = len(moving) > 0 and float(moving.median()) > COARSE
    return _in_torch(case, double=True) if blurred else network


def _in_torch(case: Case, *, double: bool) -> SampledNetwork:
    shape = case.graph.shapes[case.graph.input]
    program, name, rounding = (case.double, "float64", DOUBLE) if double else (case.single, "float32", SINGLE)
    return SampledNetwork(
        lambda x: program(x.reshape(-1, *shape).to(program.dtype)).to(x.dtype),
        f"torch {torch.__version__} in {name}",
        rounding,
    )


def decides_alike(case: Case, evaluate: Callable[[Tensor], Tensor]) -> bool:
    """Whether an execution of the network, from flattened images on, gives every image the class that float64 does."""
    found = [predicted_class(evaluate(some)) for some in case.images.flatten(1).split(AT_ONCE)]
    return bool((torch.cat(found) == case.predicted).all())
