"""How moments were propagated, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcheck.checks.case import Case
from nmcheck.linearize.steps import linearized_reasons
from nmcheck.moments.propagation.propagate import Propagated
from nmcheck.moments.tightness import SampledMoments
from nmcheck.results import LayerGain, LinearizedNode, PropagationEntry

NO_SPREAD = "the reference finds no variance in some logit"


def propagation_entry(case: Case, found: Sequence[Propagated], sampled: SampledMoments) -> PropagationEntry:
    """The way of all images at one noise level.

    The error of random directions is stated as a root mean square over images and logits, in units of each logit's own
    standard deviation by the reference.
    """
    errors = [one.direction_error for one in found if one.direction_error is not None]
    error, reason = None, None
    if errors:
        spread = np.sqrt(sampled.variance)
        given = np.stack([one.double().cpu().numpy() for one in errors])
        error = float(np.sqrt(np.mean((given / spread) ** 2))) if (spread > 0).all() else None
        reason = None if error is not None else NO_SPREAD
    else:
        reason = "there is a tangent for every direction of the noise"
    return PropagationEntry(
        directions=found[0].directions,
        random=bool(errors),
        direction_error_sd=error,
        direction_error_sd_reason=reason,
        linearized=tuple(LinearizedNode(node=node, what=what) for node, what in linearized_reasons(case.graph).items()),
        gains=tuple(
            LayerGain(node=node, gain=float(np.sqrt(np.mean([one.gains[node] ** 2 for one in found]))))
            for node in found[0].gains
        ),
    )
