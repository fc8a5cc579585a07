"""Iterative perturbation, section 2.7 of Peck's thesis: FGS applied again and again to what it made."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from nmcheck.attacks.fast_gradient import fgs
from nmcheck.checks.adversarial import Box, NormName, norm_of, verify
from nmcheck.checks.attacks import NOTHING_FOUND, groups, problem_of
from nmcheck.checks.case import Case
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import IteratedStep

STEPS = 5
"""As in Fig. 2.5."""
OVERSHOOT = 0.01
"""Each step goes beyond the boundary by this share of the image's first change: on the boundary, rounding alone would
decide the class that the next step leaves."""


def iterated_perturbation(
    case: Case, session: ReferenceSession, norm: NormName, box: Box | None = None, steps: int = STEPS
) -> tuple[IteratedStep, ...]:
    """The sequence X_0, ..., X_n with X_0 an image and X_i+1 the adversarial perturbation of X_i, for every image.

    Every X_i is confirmed by onnxruntime. An image for which a step fails is left out from then on. The thesis shows
    one image; here the norms are averaged over all. The first step reaches the boundary along the sign direction and
    the later ones cross it back and forth, so their norm tells how far beyond it they go (``OVERSHOOT``), not how far
    anything is.
    """
    first = case.predicted.cpu().numpy().astype(np.int64)
    chains = [_chain(case, session, rows, first[rows], norm, box=box, steps=steps) for rows in groups(case)]
    norms, classes = (np.concatenate(parts, axis=1) for parts in zip(*chains, strict=True))
    entries = []
    for step in range(steps):
        alive = classes[step] >= 0
        count = int(alive.sum())
        reason = None if count else NOTHING_FOUND
        entries.append(
            IteratedStep(
                step=step + 1,
                images=count,
                mean_norm=float(norms[step][alive].mean()) if count else None,
                mean_norm_reason=reason,
                back=float((classes[step] == first)[alive].mean()) if count else None,
                back_reason=reason,
            )
        )
    return tuple(entries)


def _chain(
    case: Case,
    session: ReferenceSession,
    rows: slice,
    first: Int64[np.ndarray, " images"],
    norm: NormName,
    *,
    box: Box | None,
    steps: int,
) -> tuple[Float64[np.ndarray, "steps images"], Int64[np.ndarray, "steps images"]]:
    """Norm of each step's change and the class after it, -1 from the first step that fails."""
    current, classes = case.pixels[rows], first
    alive, beyond = np.ones(len(first), dtype=bool), None
    norms, reached = [], []
    for _ in range(steps):
        problem = problem_of(case, current, classes, norm=norm, box=box)
        found = fgs(problem)
        change = (found.points - problem.x).double().cpu().numpy()
        length = norm_of(change, norm)
        beyond = OVERSHOOT * length if beyond is None else beyond
        factor = 1 + np.divide(beyond, length, out=np.zeros_like(length), where=length > 0)
        points = current + factor.reshape(-1, *([1] * (change.ndim - 1))) * change
        points = points if box is None else points.clip(*box)
        proposed = alive & found.found.cpu().numpy()
        made = verify(case, session, current, points, classes, proposed=proposed, norm=norm, box=box)
        alive = made.classes >= 0
        norms.append(made.norms)
        reached.append(made.classes)
        current, classes = made.pixels, np.where(alive, made.classes, classes)
    return np.stack(norms), np.stack(reached)
