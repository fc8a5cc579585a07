"""What a viewer lays over a drawing of the network: a number per layer and metric, and the details of every layer.

It is made from a report (``nmcheck.reports.overlay``) and says the same as the report, arranged by node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.layers import GraphNode
from nmcheck.results.record import Record


@dataclass(frozen=True, kw_only=True)
class LayerValue(Record):
    """What a metric says of one node.

    Attributes:
        node: unique name of the node.
        value: the number.
        text: the number as it is shown.
    """

    node: str
    value: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Metric(Record):
    """One number per layer.

    Attributes:
        key: short name, unique in an overlay.
        title: a few words.
        explanation: what it means, a sentence.
        worst: which end of its scale is the worse one.
        logarithmic: whether its scale is logarithmic unless asked otherwise.
        values: the layers that have it, in the order of the network.
    """

    key: str
    title: str
    explanation: str
    worst: Literal["low", "high"]
    logarithmic: bool
    values: tuple[LayerValue, ...]


@dataclass(frozen=True, kw_only=True)
class Detail(Record):
    """One line about a node.

    Attributes:
        label: a short key: viewers show about 13 characters of it.
        text: what it says.
    """

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LayerDetails(Record):
    """Everything a report says about one node.

    Attributes:
        node: unique name of the node.
        outputs: names of the values it writes, which tell it from any other; empty if the report does not say.
        cut: whether the network can be cut there: ``cut`` if every path from the input to the logits crosses it,
            ``skip`` if not, null if it is no ReLU that the report speaks of.
        details: lines for the viewer's page about the node.
    """

    node: str
    outputs: tuple[str, ...]
    cut: Literal["cut", "skip"] | None
    details: tuple[Detail, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict(Record):
    """What a gate decided.

    Attributes:
        verdict: its decision.
        statements: the checks behind it, a line each.
    """

    verdict: Literal["pass", "fail", "inconclusive"]
    statements: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Overlay(Record):
    """A report arranged by node.

    Attributes:
        model: the model's file as the report names it.
        fingerprint: sha256 over its graph and weights.
        summary: what was analysed, a line each.
        metrics: the metrics that at least one layer has.
        layers: the nodes the report says something about, in the order of the network.
        graph: all nodes of the network; empty if the report does not list them.
        verdict: what the gate decided, or null if none was asked.
    """

    model: str
    fingerprint: str
    summary: tuple[str, ...]
    metrics: tuple[Metric, ...]
    layers: tuple[LayerDetails, ...]
    graph: tuple[GraphNode, ...]
    verdict: Verdict | None
