"""The network as it was analysed: its nodes and which reads from which, so that a report can be drawn by itself."""

from __future__ import annotations

from dataclasses import dataclass

from nmcheck.results.record import Place, Record


@dataclass(frozen=True, kw_only=True)
class GraphNode(Record):
    """One node of the network analysed.

    Attributes:
        node: unique name of the node.
        index: position of the node in the file; for a pattern, that of its last member.
        op: operator type.
        inputs: names of the values the node reads, constants left out.
        outputs: names of the values the node writes.
        shape: shape of the first of these, a batch axis counted as 1.
        members: names of the file's nodes a pattern stands for; empty for a node of the file.
    """

    node: str
    index: Place
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: tuple[int, ...]
    members: tuple[str, ...] = ()
