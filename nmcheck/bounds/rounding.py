"""The allowance for rounding behind the word "certified", stated once.

Certificates are for real arithmetic on the stored weights. Everything is computed in float64, whose relative error in
a norm of n numbers is of the order of n times 1e-16; a constant that took arithmetic to find is enlarged by a relative
1e-6, which covers that many times over, and a logit difference is lowered by a 1e-9 part of what it came from: of the
larger of its two logits, or of how large any logit is without the constant it ends in, if that is more. A constant that
switches a class off says nothing about the rounding of the others.
The deployed kernel's own float32 rounding is not covered, and neither are networks built to cancel: where intermediate
values are more than about 1e6 times the logits they end in, rounding may eat more than the allowance.
"""

from __future__ import annotations

from jaxtyping import Float, Int

from nmcheck.execute.on_demand import Tensor, torch

ALLOWANCE = 1e-6
"""Relative enlargement of every computed constant."""

MARGIN_ALLOWANCE = 1e-9
"""Part of the logits' magnitude by which a difference of logits is lowered."""

CERTIFICATE = (
    "Certified means: a lower bound for real arithmetic on the stored weights, computed in float64 with every computed "
    "constant enlarged by a relative 1e-6; the deployed kernel's own float32 rounding is not covered."
)

RELAXATION_CERTIFICATE = (
    "Certified means: a lower bound for real arithmetic on the stored weights, computed in float64 with every layer "
    "constant enlarged by a relative 1e-6 and every linear bound lowered by 1e-10 of the magnitude of all terms summed "
    "on the way to it; the deployed kernel's own float32 rounding is not covered."
)


def rounded_up(value: float) -> float:
    """``value`` enlarged by the allowance: an upper bound of what exact arithmetic would have given."""
    return value * (1 + ALLOWANCE)


def rounded_margins(
    margins: Float[Tensor, "images classes"],
    logits: Float[Tensor, "images classes"],
    classes: Int[Tensor, " images"],
    offsets: Float[Tensor, " classes"],
) -> Float[Tensor, "images classes"]:
    """Differences of logits lowered by the allowance; zero, which claims nothing, below it or without finite logits.

    Args:
        margins: f_c - f_c'; infinite for classes that are never chosen, which have no part in it.
        logits: f.
        classes: c of every image.
        offsets: what each logit has of constants added at the end, whatever the input.
    """
    own = logits.gather(-1, classes.unsqueeze(-1)).abs()
    moving = (logits - offsets).abs().masked_fill(torch.isinf(margins), 0).amax(dim=-1, keepdim=True)
    size = torch.maximum(torch.maximum(logits.abs(), own), moving)
    lowered = (margins - MARGIN_ALLOWANCE * size).clamp(min=0)
    return torch.where(torch.isfinite(logits).all(dim=-1, keepdim=True), lowered, 0)
