"""What each normalization layer does to noise, to the certified radius and to accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from nmcheck.bounds.network import network_bounds
from nmcheck.checks.bounds import mean_kappa, mean_radius
from nmcheck.checks.case import Case
from nmcheck.checks.noise_gain import NOISE_SAMPLES, Gain, noise_gains
from nmcheck.decision import predicted_class
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.rewrite import with_batch_norm_folded, without_node
from nmcheck.results import NoiseGain, NormalizationEntry

Kind = Literal["BatchNormalization", "LRN"]
KINDS: tuple[Kind, ...] = ("BatchNormalization", "LRN")
NO_LABELS = "the data has no labels"
ONE_IMAGE = "a standard error over images needs at least two that noise reaches"
NO_NOISE = "no noise reaches this layer"


def normalization_nodes(graph: Graph) -> tuple[Node, ...]:
    """The normalization layers, in order."""
    return tuple(node for node in graph.nodes if node.op in KINDS)


def normalization_entries(
    case: Case, sigmas: Sequence[float], seed: int, advance: Callable[[int], None]
) -> tuple[NormalizationEntry, ...]:
    """One entry per BatchNormalization or LRN layer.

    An LRN layer is taken out by putting the identity in its place, a BatchNormalization by folding it into the layer in
    front of it, which changes nothing but rounding.

    Args:
        case: the model and its images.
        sigmas: noise levels, in pixel units.
        seed: of the noise.
        advance: called with 1 for every layer.
    """
    nodes = normalization_nodes(case.graph)
    gains = [noise_gains(case, nodes, sigma, level, seed) for level, sigma in enumerate(sigmas)]
    entries: list[NormalizationEntry] = []
    for node in nodes:
        entries.append(_entry(case, sigmas, node, [found[node.name] for found in gains]))
        advance(1)
    return tuple(entries)


def _entry(case: Case, sigmas: Sequence[float], node: Node, gains: list[Gain]) -> NormalizationEntry:
    bounds = case.layer_bounds.found
    kind: Kind = "LRN" if node.op == "LRN" else "BatchNormalization"
    layer = next(layer for layer in bounds.layers if layer.node == node.name)
    folded = kind == "BatchNormalization"
    other = with_batch_norm_folded(case.graph, node.name) if folded else without_node(case.graph, node.name)
    program = Program(other, torch.float64, case.device)
    correct = (predicted_class(program(case.images)) == case.classes_of_images).cpu().numpy()
    # A comparison of radii is over the same images: those that both models classify correctly.
    both = correct & case.correct.cpu().numpy()
    without = network_bounds(other, program, case.images)
    kappa_in, kappa_in_reason = mean_kappa(layer.kappa_certified, layer.kappa_certified_reason)
    kappa_out, kappa_out_reason = mean_kappa(layer.kappa_certified_output, layer.kappa_certified_output_reason)
    radius_with, radius_with_reason = mean_radius(bounds.radius_certified, bounds.radius_certified_reason, both)
    radius_without, radius_without_reason = mean_radius(without.radius_certified, without.radius_certified_reason, both)
    return NormalizationEntry(
        node=node.name,
        index=node.index,
        outputs=node.outputs,
        kind=kind,
        recognized_from=node.recognized_from,
        lipschitz=layer.lipschitz,
        lipschitz_reason=layer.lipschitz_reason,
        kappa_in=kappa_in,
        kappa_in_reason=kappa_in_reason,
        kappa_out=kappa_out,
        kappa_out_reason=kappa_out_reason,
        noise_gain=tuple(_gain(sigma, gain) for sigma, gain in zip(sigmas, gains, strict=True)),
        removal="folded" if folded else "identity",
        radius_with=radius_with,
        radius_with_reason=radius_with_reason,
        radius_without=radius_without,
        radius_without_reason=radius_without_reason,
        accuracy_without=None if case.labels is None else float(correct.mean()),
        accuracy_without_reason=NO_LABELS if case.labels is None else None,
    )


def _gain(sigma: float, gain: Gain) -> NoiseGain:
    return NoiseGain(
        sigma_pixel=sigma,
        gain=gain.value,
        gain_reason=NO_NOISE if gain.value is None else None,
        gain_se=gain.standard_error,
        gain_se_reason=None if gain.standard_error is not None else NO_NOISE if gain.value is None else ONE_IMAGE,
        draws=NOISE_SAMPLES,
    )
