"""Where the nodes of an acyclic graph stand in a drawing: in ranks from top to bottom, edges bent around nodes.

The method of Sugiyama, Tagawa and Toda (1981) in its simplest form: ranks by the longest path, an invisible node where
an edge passes a rank, order by barycenters, and positions by least squares under the distances nodes must keep.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 6
_EDGE_WIDTH = 14.0
"""Room an edge takes that passes a rank."""


@dataclass(frozen=True)
class Layout:
    """Positions in a drawing.

    Attributes:
        x: middle of each node, from left to right; the leftmost edge of all is 0.
        rank: rank of each node, from 0 at the top.
        edges: of each edge (from, to) the positions (x, rank) it runs through, its ends included.
        width: width of the whole.
    """

    x: Mapping[str, float]
    rank: Mapping[str, int]
    edges: Mapping[tuple[str, str], Sequence[tuple[float, int]]]
    width: float


def layered_layout(nodes: Sequence[str], edges: Sequence[tuple[str, str]], width: Mapping[str, float]) -> Layout:
    """Lay out a graph.

    Args:
        nodes: the nodes, each after those its edges come from.
        edges: pairs (from, to) of nodes.
        width: width each node takes, its distance to its neighbors included.

    Raises:
        ValueError: an edge leads to a node that does not stand behind the one it comes from.
    """
    place = {node: position for position, node in enumerate(nodes)}
    rank = dict.fromkeys(nodes, 0)
    for source, target in sorted(edges, key=lambda edge: place[edge[1]]):
        if place[source] >= place[target]:
            raise ValueError(f"the edge from {source} to {target} leads back")
        rank[target] = max(rank[target], rank[source] + 1)
    ranks: list[list[Hashable]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for node in nodes:
        ranks[rank[node]].append(node)
    above: dict[Hashable, list[Hashable]] = {}
    below: dict[Hashable, list[Hashable]] = {}
    paths: dict[tuple[str, str], list[Hashable]] = {}
    widths: dict[Hashable, float] = {**width}
    for edge in dict.fromkeys(edges):
        passed = [(edge, level) for level in range(rank[edge[0]] + 1, rank[edge[1]])]
        for point in passed:
            ranks[point[1]].append(point)
            widths[point] = _EDGE_WIDTH
        paths[edge] = [edge[0], *passed, edge[1]]
        for upper, lower in zip(paths[edge], paths[edge][1:], strict=False):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    x = _positions(ranks, above, below, widths)
    left = min((x[node] - widths[node] / 2 for node in x), default=0.0)
    right = max((x[node] + widths[node] / 2 for node in x), default=0.0)
    return Layout(
        x={node: x[node] - left for node in nodes},
        rank=rank,
        edges={
            edge: [(x[point] - left, rank[edge[0]] + step) for step, point in enumerate(path)]
            for edge, path in paths.items()
        },
        width=right - left,
    )


def _positions(
    ranks: list[list[Hashable]],
    above: Mapping[Hashable, Sequence[Hashable]],
    below: Mapping[Hashable, Sequence[Hashable]],
    widths: Mapping[Hashable, float],
) -> dict[Hashable, float]:
    """Order each rank by where its neighbors stand, down and up in turns, then do the same with fixed order."""
    x: dict[Hashable, float] = {}
    for row in ranks:
        _spread(row, x, {}, widths)
    for fixed in (False, True):
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            neighbors = above if down else below
            for row in ranks if down else reversed(ranks):
                wanted = {
                    node: sum(x[other] for other in neighbors[node]) / len(neighbors[node])
                    for node in row
                    if neighbors.get(node)
                }
                if not fixed:
                    row.sort(key=lambda node, wanted=wanted: wanted.get(node, x[node]))
                _spread(row, x, wanted, widths)
    return x


def _spread(
    row: Sequence[Hashable],
    x: dict[Hashable, float],
    wanted: Mapping[Hashable, float],
    widths: Mapping[Hashable, float],
) -> None:
    """Put a rank's nodes as close to where they are wanted as the room they need allows, in least squares.

    With the room in front of each node taken off its position, the positions must not decrease: isotonic regression, by
    pooling neighbors that are out of order.
    """
    taken, room = 0.0, []
    for node in row:
        room.append(taken + widths[node] / 2)
        taken += widths[node]
    blocks: list[tuple[float, int]] = []
    for node, offset in zip(row, room, strict=True):
        mean, count = wanted.get(node, x.get(node, offset - taken / 2 if not x else offset)) - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean, count = (before * number + mean * count) / (number + count), number + count
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    for node, offset, start in zip(row, room, starts, strict=True):
        x[node] = start + offset
