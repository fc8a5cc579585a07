"""What is in a model's graph, which analyses it admits, and where it can be cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from nmcheck.results.model import ToolEntry
from nmcheck.results.record import Count, CountFromOne, Name, Record, Sha256, one_of

ALL_THREE = {name: {"const": True} for name in ("execute", "moments", "bounds")}


@dataclass(frozen=True, kw_only=True)
class InspectedModel(Record):
    """The model inspected.

    Attributes:
        path: the file as the user named it.
        fingerprint: sha256 over the graph and all weight bytes, external ones too.
        opset: version of ONNX's own operator set in the file.
        producer: name and version of the exporter, empty if the file does not say.
        input: name of the value the sample enters by.
        input_shape: shape of one sample as the graph takes it, a batch axis counted as 1.
        batch: ``any``, ``none`` if the input has no batch axis, or the batch size the file insists on.
        logits: name of the value read as logits.
        classes: number of logits.
        masked: classes among them that are never chosen, their logit being minus infinity for every input.
        nodes: number of nodes whose output depends on the sample, each recognized pattern counted as one.
        weights: floating-point numbers among the constants these nodes read.
        weight_bytes: what those take in memory.
        analysis_bytes: what ``analyze`` with its defaults takes of memory at its peak, about.
    """

    path: str
    fingerprint: Sha256
    opset: CountFromOne
    producer: str
    input: Name
    input_shape: tuple[Count, ...]
    batch: Annotated[str, Meta(pattern="^(any|none|[1-9][0-9]*)$")]
    logits: Name
    classes: Count
    masked: tuple[int, ...] = ()
    nodes: Count
    weights: Count
    weight_bytes: Count
    analysis_bytes: Count


@dataclass(frozen=True, kw_only=True)
class OperatorEntry(Record):
    """One operator of the graph and who can deal with all its nodes.

    Nodes behind the logits, such as a final softmax, are left out of moments and bounds and so never in their way.

    Attributes:
        op: operator type.
        domain: operator domain, empty for ONNX's own.
        count: number of its nodes.
        execute: whether nmcheck executes all of them.
        moments: whether moments can pass through all of them.
        bounds: whether certified bounds, by Lipschitz constants or by linear relaxation, can pass through all of them.
        reason: who cannot, at which node and why, a sentence each; empty if all three can.
    """

    schema_rules: ClassVar[Mapping[str, Any]] = {
        "if": {"properties": ALL_THREE},
        "then": {"properties": {"reason": {"const": ""}}},
        "else": {"properties": {"reason": {"minLength": 1}}},
    }

    op: Name
    domain: str
    count: CountFromOne
    execute: bool
    moments: bool
    bounds: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class CutEntry(Record):
    """A ReLU that the network can be linearized around: R(x) ~ B relu(A x + c1) + c2, plus C x for a skip.

    Some operators are a ReLU beside a line, and can be cut at like a Relu: ``LeakyRelu`` and ``PRelu`` are
    a x + (1 - a) relu(x), a ``Clip`` is lo + relu(x - lo) - relu(x - hi), ``Max`` with constants is c + relu(x - c)
    and ``Min`` c - relu(c - x). The ReLU of the first two is a skip, for the line leads past it, and so is the lower
    one of a Clip with two bounds; with one bound it is a cut where every path crosses the node. ``relus`` counts Relu
    nodes only, so there may be more entries than that.

    A matrix of the linearization, which beside A, B and C are A A' (p x p) and B and C side by side, may take 2 GiB in
    float64. Where one would take more, ``within_budget`` is false, and ``nmcheck analyze`` does not cut there.

    Attributes:
        node: unique name of the node.
        op: its operator: Relu, or one with a ReLU inside it: LeakyRelu, PRelu, Clip, Max, Min.
        index: position of the node in the file.
        outputs: names of the values the node writes.
        kind: ``cut`` if every path from the input to the logits crosses the ReLU, else ``skip``.
        p: units of the ReLU.
        n: elements of the input.
        d: number of logits.
        dense_bytes: what A (p x n), B (d x p) and for a skip C (d x n) take in float64, for one image.
        analysis_bytes: what ``analyze`` with this cut takes of memory at its peak, about.
        within_budget: whether each matrix of the linearization is small enough for nmcheck to make it.
    """

    node: Name
    op: Annotated[str, one_of("Relu", "LeakyRelu", "PRelu", "Clip", "Max", "Min")]
    index: int
    outputs: tuple[str, ...]
    kind: Literal["cut", "skip"]
    p: Count
    n: Count
    d: Count
    dense_bytes: Count
    analysis_bytes: Count
    within_budget: bool


@dataclass(frozen=True, kw_only=True)
class FoundNormalization(Record):
    """One normalization layer.

    Attributes:
        node: unique name of the node.
        index: position of the node in the file; for a pattern, that of its last member.
        outputs: names of the values the node writes.
        kind: its operator type, for example ``BatchNormalization`` or ``LRN``.
        recognized_from: ``op`` if the file has the operator, ``pattern`` if it was found decomposed
            into primitive operators.
    """

    node: Name
    index: int
    outputs: tuple[str, ...]
    kind: Name
    recognized_from: Literal["op", "pattern"]


@dataclass(frozen=True, kw_only=True)
class Analyzable(Record):
    """What is possible for the model as a whole.

    Attributes:
        execute: whether nmcheck runs it; without that, nothing else is possible.
        moments: whether it has analytic moments.
        bounds: whether it has a certified radius by one of the methods; a note says which where only one applies.
    """

    execute: bool
    moments: bool
    bounds: bool


@dataclass(frozen=True, kw_only=True)
class Inspection(Record):
    """Everything one inspection found.

    Attributes:
        schema_version: version of this layout.
        tool: the program that wrote it.
        model: the model inspected.
        operators: one entry per operator, in the order of first use.
        relus: number of ReLU nodes.
        cuts: one entry per ReLU that the logits depend on, those inside other operators included, from the input on.
        normalization: one entry per normalization layer, in order.
        analyzable: what is possible for the model as a whole.
        reasons: why something is not possible, a sentence each, led by who cannot.
        notes: what loading assumed or changed, a sentence each.
    """

    schema_rules: ClassVar[Mapping[str, Any]] = {
        "if": {"properties": {"analyzable": {"properties": ALL_THREE}}},
        "then": {"properties": {"reasons": {"maxItems": 0}}},
        "else": {"properties": {"reasons": {"minItems": 1}}},
    }

    schema_version: Literal[1] = 1
    tool: ToolEntry
    model: InspectedModel
    operators: tuple[OperatorEntry, ...]
    relus: Count
    cuts: tuple[CutEntry, ...]
    normalization: tuple[FoundNormalization, ...]
    analyzable: Analyzable
    reasons: tuple[Name, ...] = ()
    notes: tuple[str, ...] = ()
