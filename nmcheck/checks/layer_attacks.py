"""Every layer's kappa from above, by an attack on the part of the network behind it, and what is proven of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.layerwise import attack_layer
from nmcheck.bounds.network import LayerResult, NetworkBounds
from nmcheck.bounds.propagation import input_sources
from nmcheck.checks.attacks import NOTHING_FOUND, groups
from nmcheck.checks.case import Case
from nmcheck.checks.sample_bounds import over_images
from nmcheck.results import LayerAttack

STEPS = 50
"""Of DDN: layers are many, and the first one's attack is that of the whole network."""
_ROUNDING = 1e-9


def attackable(found: NetworkBounds) -> tuple[LayerResult, ...]:
    """The layers of the file itself, not the scaling of the input in front of it."""
    return tuple(layer for layer in found.layers if layer.index >= 0)


def layer_attacks(case: Case, found: NetworkBounds, advance: Callable[[int], None]) -> tuple[LayerAttack, ...]:
    """One entry per layer, over all images for which DDN found a change of the layer's input that alters the label.

    The attack runs in float64 on our own execution: onnxruntime has no input there to check it at.

    Args:
        case: the model and its images.
        found: its bounds.
        advance: told of every layer done.
    """
    entries: list[LayerAttack] = []
    graph = case.graph
    for layer in attackable(found):
        sources = input_sources(graph, graph.by_name[layer.node])
        parts = [
            attack_layer(case.double, sources, case.images[rows], partial(ddn, steps=STEPS), case.logit_offsets)
            for rows in groups(case)
        ]
        entries.append(_entry(layer, torch.cat(parts).cpu().numpy()))
        advance(1)
    return tuple(entries)


def _entry(layer: LayerResult, norms: np.ndarray) -> LayerAttack:
    hit = np.isfinite(norms)
    certified, certified_reason = _mean(layer.kappa_certified, hit, layer.kappa_certified_reason)
    published, published_reason = _mean(layer.kappa_published, hit, layer.kappa_published_reason)
    return LayerAttack(
        node=layer.node,
        images=int(hit.sum()),
        kappa_attacked=float(norms[hit].mean()) if hit.any() else None,
        kappa_attacked_reason=None if hit.any() else NOTHING_FOUND,
        kappa_certified=certified,
        kappa_certified_reason=certified_reason,
        certified_above=_above(layer.kappa_certified, norms),
        kappa_published=published,
        kappa_published_reason=published_reason,
        published_above=_above(layer.kappa_published, norms),
    )


def _mean(kappa: Tensor | None, hit: np.ndarray, reason: str | None) -> tuple[float | None, str | None]:
    if kappa is None:
        return None, reason
    if not hit.any():
        return None, NOTHING_FOUND
    found = kappa.cpu().numpy()[hit]
    return over_images(float(found.mean()), found)


def _above(kappa: Tensor | None, norms: np.ndarray) -> int:
    return 0 if kappa is None else int((kappa.cpu().numpy() > norms * (1 + _ROUNDING)).sum())
