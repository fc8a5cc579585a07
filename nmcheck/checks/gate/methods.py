"""Where a gate's evidence about changes of the input comes from: methods of certified radii, and attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nmcheck.bounds.network import THEOREM_LIPSCHITZ
from nmcheck.bounds.rounding import CERTIFICATE, RELAXATION_CERTIFICATE
from nmcheck.checks.attacks import attack_uppers
from nmcheck.checks.bounds import bounds_entry
from nmcheck.checks.bounds_options import NAMES, BoundsOptions
from nmcheck.checks.case import Case
from nmcheck.checks.certified import certified_radii
from nmcheck.checks.gate.evidence import AdversarialDistances, Attacker, Certifier, MethodRadii
from nmcheck.checks.gate.policy import Box, Norm
from nmcheck.execute.session import ReferenceSession


def lipschitz(case: Case, norm: Norm, box: Box | None, epsilons: Sequence[float]) -> MethodRadii:
    """Radii by certified Lipschitz constants, in L2; they hold with and without a box."""
    del box, epsilons
    if norm != "l2":
        missing = "method 'lipschitz' certifies radii in norm l2 only; try method 'crown'"
        return MethodRadii("lipschitz", (None,) * len(case.images), missing, THEOREM_LIPSCHITZ, CERTIFICATE)
    layers = bounds_entry(case).layers
    found, reason = case.layer_bounds.found.radius_certified, case.layer_bounds.found.radius_certified_reason
    radii = (None,) * len(case.images) if found is None else tuple(float(radius) for radius in found)
    return MethodRadii("lipschitz", radii, reason, THEOREM_LIPSCHITZ, CERTIFICATE, layers)


def relaxed(case: Case, norm: Norm, box: Box | None, epsilons: Sequence[float], *, method: str) -> MethodRadii:
    """Radii by linear relaxation (``checks.certified``), in L2 and Linf, within the policy's box or without.

    Raises:
        UnsupportedError: a layer has no linear bounds; the message names the node.
    """
    del epsilons
    norms = {name: option for option, name in NAMES.items()}
    options = BoundsOptions(Path(case.graph.model.path), case.dataset.name, norm=norms[norm], method=method, attacks=())
    best = certified_radii(case, options, None, lambda _images: None, box=box).methods[-1]
    radii = (None,) * len(case.images) if best.radii is None else tuple(float(radius) for radius in best.radii)
    return MethodRadii(best.method, radii, best.reason, best.theorem, RELAXATION_CERTIFICATE)


def nearest_examples(case: Case, norm: Norm, box: Box | None, rows: Sequence[int], seed: int) -> AdversarialDistances:
    """The nearest examples that the usual attacks of the norm find, each confirmed by onnxruntime."""
    found = attack_uppers(case, ReferenceSession(case.file_graph, threads=1), norm, box, seed=seed)
    wanted = set(rows)
    tried = tuple(row in wanted for row in range(len(case.pixels)))
    hit = np.array([asked and upper is not None for asked, upper in zip(tried, found.uppers, strict=True)])
    examples = np.where(hit.reshape(-1, *[1] * (case.pixels.ndim - 1)), found.nearest.pixels, np.nan)
    return AdversarialDistances(
        ", ".join(found.entries),
        tuple(upper if asked else None for asked, upper in zip(tried, found.uppers, strict=True)),
        tuple(int(c) if there else None for there, c in zip(hit, found.nearest.classes, strict=True)),
        examples,
        tried,
    )


CERTIFIERS: Mapping[str, Certifier] = {
    "lipschitz": lipschitz,
    "crown-ibp": partial(relaxed, method="crown-ibp"),
    "crown": partial(relaxed, method="crown"),
}
"""By the name that a policy's ``method`` has."""

ATTACKS: Mapping[str, Attacker] = {"nearest": nearest_examples}
"""By name; all of them run, and the nearest example counts."""
