"""``nmcheck inspect``: what is in a model, who can analyse it, and where it can be cut.

Modules that load torch are imported inside the functions: the weights are read and dropped before it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nmcheck import __version__
from nmcheck.graph.cuts import relu_cuts
from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.load import load_graph
from nmcheck.results.inspection import (
    Analyzable,
    CutEntry,
    FoundNormalization,
    InspectedModel,
    Inspection,
    OperatorEntry,
)
from nmcheck.results.model import ToolEntry

if TYPE_CHECKING:
    from nmcheck.checks.support import Support

FLOAT64 = 8
"""Bytes of a number."""
LARGE = 2**16
"""Elements from which a constant is weights and not a shape, an exponent or a scale: no refusal looks at its values."""


def inspect(path: Path) -> Inspection:
    """Look into a model without running it.

    Nothing is run, and of the weights only the shapes are kept.

    Args:
        path: an ONNX file.

    Raises:
        ModelError: the file cannot be read as a model.
        UnsupportedError: nothing about the model could be said; the message names what stands in the way.
    """
    graph = load_graph(path)
    model = _model(graph)
    graph = _without_weights(graph)
    from nmcheck.checks.support import NEEDED, support_of

    support = support_of(graph)
    refused = {consumer for found in (support.network, *support.nodes.values()) for consumer in found}
    impossible = {needed for consumer in refused for needed in NEEDED[consumer]}
    operators = _operators(graph, support)
    return Inspection(
        tool=ToolEntry(version=__version__),
        model=model,
        operators=tuple(entry for entry, _ in operators),
        relus=sum(_is_relu(node) for node in graph.nodes),
        cuts=_cuts(graph),
        normalization=_normalization(graph),
        analyzable=Analyzable(
            execute="execute" not in impossible,
            moments="moments" not in impossible,
            bounds="bounds" not in impossible,
        ),
        reasons=(
            *(reason for _, reasons in operators for reason in reasons),
            *_sentences(support.network),
        ),
        notes=graph.notes,
    )


def _without_weights(graph: Graph) -> Graph:
    """The graph with every large constant replaced by one number repeated, which takes no memory."""
    constants = {
        name: np.broadcast_to(np.ones((), array.dtype), array.shape) if array.size >= LARGE else array
        for name, array in graph.constants.items()
    }
    return replace(graph, constants=constants)


def _model(graph: Graph) -> InspectedModel:
    weights = [array for array in graph.constants.values() if array.dtype.kind == "f"]
    batch = "any" if graph.declared_batch is None else str(graph.declared_batch)
    return InspectedModel(
        path=graph.model.path,
        fingerprint=graph.model.fingerprint,
        opset=graph.model.opset,
        producer=graph.model.producer,
        input=graph.input,
        input_shape=graph.shapes[graph.input],
        batch="none" if graph.batch_axis is None else batch,
        logits=graph.logits,
        classes=prod(graph.shapes[graph.logits]),
        nodes=len(graph.nodes),
        weights=sum(array.size for array in weights),
        weight_bytes=sum(array.nbytes for array in weights),
    )


def _operators(graph: Graph, support: Support) -> list[tuple[OperatorEntry, tuple[str, ...]]]:
    """An entry per operator in the order of first use, and its reasons."""
    from nmcheck.checks.support import CONSUMERS, NEEDED

    nodes: dict[tuple[str, str], list[Node]] = {}
    for node in graph.nodes:
        nodes.setdefault((node.domain, node.op), []).append(node)
    found = []
    for (domain, op), members in nodes.items():
        refusals = [support.nodes[node.name] for node in members]
        sentences = {
            consumer: _joined([each[consumer] for each in refusals if consumer in each])
            for consumer in CONSUMERS
            if any(consumer in each for each in refusals)
        }
        impossible = {needed for consumer in sentences for needed in NEEDED[consumer]}
        reasons = _sentences(sentences)
        entry = OperatorEntry(
            op=op,
            domain=domain,
            count=len(members),
            execute="execute" not in impossible,
            moments="moments" not in impossible,
            bounds="bounds" not in impossible,
            reason=" ".join(reasons),
        )
        found.append((entry, reasons))
    return found


def _joined(sentences: list[str]) -> str:
    """The first node's sentence, and how many more there are."""
    others = len(sentences) - 1
    first = sentences[0].rstrip(".")
    return first if not others else f"{first} (and {others} more such {'node' if others == 1 else 'nodes'})"


def _sentences(refusals: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{consumer}: {sentence.rstrip('.')}." for consumer, sentence in refusals.items())


def _is_relu(node: Node) -> bool:
    return node.op == "Relu" and not node.domain


def _normalization(graph: Graph) -> tuple[FoundNormalization, ...]:
    from nmcheck.execute.operators.normalization import ROWS

    kinds = {(row.domain, row.op) for row in ROWS}
    return tuple(
        FoundNormalization(
            node=node.name,
            index=node.index,
            outputs=node.outputs,
            kind=node.op,
            recognized_from=node.recognized_from,
        )
        for node in graph.nodes
        if (node.domain, node.op) in kinds
    )


def _cuts(graph: Graph) -> tuple[CutEntry, ...]:
    """The ReLUs the logits depend on, and what their affine maps take."""
    from nmcheck.linearize.two_stage import nodes_between

    crossed = {node.name for node in relu_cuts(graph)}
    n = prod(graph.shapes[graph.input])
    entries: list[CutEntry] = []
    for node in filter(_is_relu, nodes_between(graph, graph.input, graph.logits)):
        p, d = prod(graph.shapes[node.outputs[0]]), prod(graph.shapes[graph.logits])
        skip = node.name not in crossed
        entries.append(
            CutEntry(
                node=node.name,
                index=node.index,
                outputs=node.outputs,
                kind="skip" if skip else "cut",
                p=p,
                n=n,
                d=d,
                dense_bytes=FLOAT64 * (p * n + d * p + (d * n if skip else 0)),
            )
        )
    return tuple(entries)
