"""``nmcheck inspect``: what is in a model, who can analyse it, and where it can be cut; torch is not loaded for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path

from nmcheck import __version__
from nmcheck.checks.cut import choose_cut
from nmcheck.checks.memory import analysis_memory
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.support import CONSUMERS, NEEDED, Support, support_of
from nmcheck.counting import counted
from nmcheck.execute.operators.normalization import ROWS as NORMALIZATIONS
from nmcheck.graph.cuts import cut_points, is_relu
from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.load import load_graph
from nmcheck.linearize.budget import budget_refusal
from nmcheck.results.inspection import (
    Analyzable,
    CutEntry,
    FoundNormalization,
    InspectedModel,
    Inspection,
    OperatorEntry,
)
from nmcheck.results.model import ToolEntry

FLOAT64 = 8
"""Bytes of a number."""


def inspect(path: Path) -> Inspection:
    """Look into a model without running it.

    Nothing is run, and torch is not loaded.

    Args:
        path: an ONNX file.

    Raises:
        ModelError: the file cannot be read as a model.
        UnsupportedError: nothing about the model could be said; the message names what stands in the way.
    """
    graph = load_graph(path)
    support = support_of(graph)
    operators = _operators(graph, support)
    methods = _methods(support)
    passed = all(entry.bounds for entry, _ in operators)
    certified = passed and "bounds" not in support.network and bool(methods)
    return Inspection(
        tool=ToolEntry(version=__version__),
        model=_model(graph),
        operators=tuple(entry for entry, _ in operators),
        relus=sum(is_relu(node) for node in graph.nodes),
        cuts=_cuts(graph),
        normalization=_normalization(graph),
        analyzable=Analyzable(
            execute=all(entry.execute for entry, _ in operators),
            moments=all(entry.moments for entry, _ in operators) and "moments" not in support.network,
            bounds=certified,
        ),
        reasons=(
            *(reason for _, reasons in operators for reason in reasons),
            *(_no_single_method(support) if passed and not methods else ()),
            *_sentences(support.network),
        ),
        notes=(*graph.notes, *(_only(support, *methods) if certified and len(methods) == 1 else ())),
    )


def _model(graph: Graph) -> InspectedModel:
    read = {value for node in _own(graph) for value in node.inputs} | {graph.output}
    weights = [array for name, array in graph.constants.items() if name in read and array.dtype.kind == "f"]
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
        masked=graph.masked,
        nodes=len(_own(graph)),
        weights=sum(array.size for array in weights),
        weight_bytes=sum(array.nbytes for array in weights),
        analysis_bytes=analysis_memory(graph, choose_cut(graph, "last"), AnalyzeOptions.samples).peak,
    )


def _own(graph: Graph) -> tuple[Node, ...]:
    """The file's nodes, without what nmcheck put in."""
    return tuple(node for node in graph.nodes if node.index >= 0)


def _operators(graph: Graph, support: Support) -> list[tuple[OperatorEntry, tuple[str, ...]]]:
    """An entry per operator in the order of first use, and its reasons."""
    nodes: dict[tuple[str, str], list[Node]] = {}
    for node in _own(graph):
        nodes.setdefault((node.domain, node.op), []).append(node)
    found = []
    for (domain, op), members in nodes.items():
        refusals = [support.nodes[node.name] for node in members]
        relaxed = not any(node.name in support.relaxation for node in members)
        sentences = {
            consumer: _joined([each[consumer] for each in refusals if consumer in each])
            for consumer in CONSUMERS
            if any(consumer in each for each in refusals) and not (consumer == "bounds" and relaxed)
        }
        if "bounds" in sentences:
            sentences["bounds"] += "; linear relaxation (--method crown) does not pass it either"
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


def _without_constant(support: Support) -> list[str]:
    return [found["bounds"] for found in support.nodes.values() if "bounds" in found]


def _methods(support: Support) -> tuple[str, ...]:
    """The methods that pass all nodes."""
    refused = {"lipschitz": _without_constant(support), "relaxation": support.relaxation}
    return tuple(name for name, refusals in refused.items() if not refusals)


def _only(support: Support, method: str) -> tuple[str, ...]:
    """A note where one method certifies and the other does not: which, and what stands in the other's way."""
    if method == "lipschitz":
        return (
            "Certified radii: by Lipschitz constants only (--method lipschitz), not by linear relaxation: "
            f"{_joined(list(support.relaxation.values()))}.",
        )
    return (
        "Certified radii: by linear relaxation only (nmcheck bounds, --method crown or crown-ibp), not by Lipschitz "
        f"constants: {_joined(_without_constant(support))}.",
    )


def _no_single_method(support: Support) -> tuple[str, ...]:
    """Why a network has no certified radius although every operator of it is passed by some method."""
    constant, lines = _without_constant(support), list(support.relaxation.values())
    return (
        f"bounds: no method passes all nodes; Lipschitz constants do not pass {_joined(constant)}; linear relaxation "
        f"does not pass {_joined(lines)}.",
    )


def _joined(sentences: list[str]) -> str:
    """The first node's sentence, and how many more there are."""
    others = len(sentences) - 1
    first = sentences[0].rstrip(".")
    return first if not others else f"{first} (and {counted(others, 'more such node')})"


def _sentences(refusals: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{consumer}: {sentence.rstrip('.')}." for consumer, sentence in refusals.items())


def _normalization(graph: Graph) -> tuple[FoundNormalization, ...]:
    kinds = {(row.domain, row.op) for row in NORMALIZATIONS}
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
    """The ReLUs the logits depend on, those inside other activations included, and what their affine maps take."""
    n, d = prod(graph.shapes[graph.input]), prod(graph.shapes[graph.logits])
    entries: list[CutEntry] = []
    for point in cut_points(graph):
        p = prod(graph.shapes[point.node.outputs[0]])
        entries.append(
            CutEntry(
                node=point.node.name,
                op=point.node.op,
                index=point.node.index,
                outputs=point.node.outputs,
                kind=point.kind,
                p=p,
                n=n,
                d=d,
                dense_bytes=FLOAT64 * (p * n + d * p + (d * n if point.kind == "skip" else 0)),
                analysis_bytes=analysis_memory(graph, point.node, AnalyzeOptions.samples).peak,
                within_budget=budget_refusal(graph, point.node) is None,
            )
        )
    return tuple(entries)
