"""Certified and published robustness bounds of a whole network, layer by layer and for every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.propagation import input_sources, joint_reach, route
from nmcheck.bounds.published.algorithm_5_1 import PublishedLayer, PublishedRadii, algorithm_5_1
from nmcheck.bounds.radius import CertifiedRadii
from nmcheck.bounds.structure import PASS_THROUGH
from nmcheck.decision import predicted_class
from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph, Node

_NOT_LAYERS = PASS_THROUGH | {"Transpose", "Cast"}
_IMAGES = 32
"""Images whose activations are held at a time."""

THEOREM_LIPSCHITZ = (
    "product of certified layer constants, pairwise logit difference at the last affine layer (Theorem 3.6), "
    "LRN constants local to the certified ball"
)
THEOREM_PUBLISHED = "Algorithm 5.1 with Theorems 3.6, 4.2, 5.1, 5.3, 5.6 and 5.9 of Peck's thesis, as published"


@dataclass(frozen=True)
class LayerResult:
    """One layer's part; kappa is the least norm of a change at the layer's input that can change the label.

    Where a layer has several inputs, they change together, measured by the root of the sum of squares. Each value that
    is None has its reason beside it.

    Attributes:
        node: unique name of the node.
        op: operator type.
        index: position of the node in the file.
        outputs: names of the values it writes.
        lipschitz: certified constant of the layer by itself.
        lipschitz_method: where it came from; empty if there is none.
        lipschitz_reason: why there is none.
        lipschitz_to_logits: certified constant from the layer's input to the vector of logits, with global constants.
        lipschitz_to_logits_reason: why there is none.
        kappa_certified: certified kappa of every image; infinite where no change can get through.
        kappa_certified_reason: why there is none.
        kappa_certified_output: the same for a change of the layer's (first) output.
        kappa_certified_output_reason: why there is none.
        kappa_published: kappa by the thesis; not certified.
        kappa_published_reason: why there is none.
        published_sound: whether the thesis's formula is a valid bound for this layer.
        published_chain_sound: whether it is for this layer and every one behind it.
        published_statement: why, one sentence.
    """

    node: str
    op: str
    index: int
    outputs: tuple[str, ...]
    lipschitz: float | None
    lipschitz_method: str
    lipschitz_reason: str | None
    lipschitz_to_logits: float | None
    lipschitz_to_logits_reason: str | None
    kappa_certified: Float[Tensor, " images"] | None
    kappa_certified_reason: str | None
    kappa_certified_output: Float[Tensor, " images"] | None
    kappa_certified_output_reason: str | None
    kappa_published: Float[Tensor, " images"] | None
    kappa_published_reason: str | None
    published_sound: bool
    published_chain_sound: bool
    published_statement: str


@dataclass(frozen=True)
class NetworkBounds:
    """Bounds of a batch of images, in the units of the graph's input; all of them for the predicted class.

    Attributes:
        layers: the layers from the input to the logits, pure reshapes left out.
        predicted: predicted class of every image.
        logits: logits of every image, float64.
        radius_certified: certified distance to the decision boundary (method ``lipschitz``), or None.
        radius_certified_reason: why there is none.
        radius_published: the thesis's distance (method ``published``), or None; not certified.
        radius_published_reason: why there is none.
        radius_published_sound: whether every formula it went through is valid for its layer.
    """

    layers: tuple[LayerResult, ...]
    predicted: Int[Tensor, " images"]
    logits: Float[Tensor, "images classes"]
    radius_certified: Float[Tensor, " images"] | None
    radius_certified_reason: str | None
    radius_published: Float[Tensor, " images"] | None
    radius_published_reason: str | None
    radius_published_sound: bool


def network_bounds(graph: Graph, program: Program, inputs: Float[Tensor, "images *sample"]) -> NetworkBounds:
    """All Lipschitz bounds of a network at ``inputs``.

    Layer constants are computed once, whatever the number of images.

    Args:
        graph: the network, input scaling included.
        program: the same network in float64.
        inputs: images in the graph's input units, one per row, float64. Results are on the CPU wherever these are.

    Raises:
        ValueError: the program is not in float64.
    """
    if program.dtype != torch.float64:
        raise ValueError(f"certified bounds need a float64 program, not {program.dtype}.")
    if program.device != "cpu":
        # Most of the work is small factorizations, and the constants live on the host.
        program = Program(graph, torch.float64)
    inputs = inputs.cpu()
    constants = LayerConstants(graph, program)
    leading = _leading_to_logits(graph)
    layers = [node for node in graph.nodes if node.op not in _NOT_LAYERS and node.name in leading]
    parts = [_part(constants, layers, chunk) for chunk in inputs.split(_IMAGES)]
    logits = torch.cat([part.logits for part in parts])
    certified = {key: _joined([part.certified[key] for part in parts]) for key in parts[0].certified}
    published = [part.published for part in parts]
    rows = tuple(
        _layer_result(constants, node, certified, [radii.layers[node.name] for radii in published]) for node in layers
    )
    radius, reason = certified[graph.input,]
    published_radius, published_reason = _joined([(radii.radius, radii.radius_reason) for radii in published])
    return NetworkBounds(
        layers=rows,
        predicted=predicted_class(logits),
        logits=logits,
        radius_certified=radius,
        radius_certified_reason=reason,
        radius_published=published_radius,
        radius_published_reason=published_reason,
        radius_published_sound=published[0].radius_sound,
    )


_Radii = tuple[Tensor | None, str | None]
"""A number an image, or None and the reason."""


@dataclass(frozen=True)
class _Part:
    """The bounds of some of the images; ``certified`` is keyed by the values that change together."""

    logits: Tensor
    certified: Mapping[tuple[str, ...], _Radii]
    published: PublishedRadii


def _leading_to_logits(graph: Graph) -> set[str]:
    """Names of the nodes on a path from the input to the logits."""
    needed, found = {graph.logits}, set[str]()
    for node in reversed(graph.nodes):
        live = graph.live_inputs(node)
        if live and not needed.isdisjoint(node.outputs):
            needed.update(live)
            found.add(node.name)
    return found


def _part(constants: LayerConstants, layers: list[Node], inputs: Tensor) -> _Part:
    graph, program = constants.graph, constants.program
    logits = program(inputs)
    lrn_inputs = [node.inputs[0] for node in layers if node.op == "LRN"]
    activations = program.activations(inputs, lrn_inputs) if lrn_inputs else {}
    radii = CertifiedRadii(constants, logits, predicted_class(logits), activations)
    certified: dict[tuple[str, ...], _Radii] = {}
    for sources in [(graph.input,), *(_sources(graph, node) for node in layers), *((n.outputs[0],) for n in layers)]:
        if sources not in certified:
            certified[sources] = _certified(radii, sources)
    return _Part(logits, certified, algorithm_5_1(constants, inputs, logits))


def _sources(graph: Graph, node: Node) -> tuple[str, ...]:
    """Where a change at the node's input is made.

    Concatenation keeps norms, so where nothing else reads its inputs their joint change is one of its output.
    """
    sources = input_sources(graph, node)
    alone = all(graph.consumers[value] == (node,) for value in sources)
    once = len(sources) == len(graph.live_inputs(node)) > 1
    return (node.outputs[0],) if node.op == "Concat" and alone and once else sources


def _certified(radii: CertifiedRadii, sources: tuple[str, ...]) -> _Radii:
    if radii.logits.shape[-1] < 2:
        return None, "The model has a single output, so there is no other class whose logit could overtake it."
    try:
        return radii.from_values(sources), None
    except UnsupportedError as error:
        return None, str(error)


def _joined(parts: list[_Radii]) -> _Radii:
    tensors = [tensor for tensor, _ in parts if tensor is not None]
    if len(tensors) == len(parts):
        return torch.cat(tensors), None
    return None, next(reason for tensor, reason in parts if tensor is None)


def _layer_result(
    constants: LayerConstants,
    node: Node,
    certified: Mapping[tuple[str, ...], _Radii],
    published: list[PublishedLayer],
) -> LayerResult:
    sources = _sources(constants.graph, node)
    kappa, kappa_reason = certified[sources]
    kappa_output, kappa_output_reason = certified[node.outputs[0],]
    lipschitz, method, lipschitz_reason = None, "", None
    try:
        bound = constants.node(node)
        lipschitz, method = bound.value, bound.method
    except UnsupportedError as error:
        lipschitz_reason = str(error)
    to_logits, to_logits_reason = None, None
    try:
        path = route(constants.graph, sources, constants.graph.logits)
        to_logits = joint_reach(constants, path).item()
    except UnsupportedError as error:
        to_logits_reason = str(error)
    kappa_published, kappa_published_reason = _joined([(layer.kappa, layer.reason) for layer in published])
    return LayerResult(
        node=node.name,
        op=node.op,
        index=node.index,
        outputs=node.outputs,
        lipschitz=lipschitz,
        lipschitz_method=method,
        lipschitz_reason=lipschitz_reason,
        lipschitz_to_logits=to_logits,
        lipschitz_to_logits_reason=to_logits_reason,
        kappa_certified=kappa,
        kappa_certified_reason=kappa_reason,
        kappa_certified_output=kappa_output,
        kappa_certified_output_reason=kappa_output_reason,
        kappa_published=kappa_published,
        kappa_published_reason=kappa_published_reason,
        published_sound=published[0].sound,
        published_chain_sound=published[0].chain_sound,
        published_statement=published[0].statement,
    )
