import random
from itertools import pairwise

import pytest

from nmcheck.reports.layered_layout import layered_layout


def random_graph(seed, nodes=40, edges=70):
    draw = random.Random(seed)
    names = [f"n{index}" for index in range(nodes)]
    found = [(names[index // 2], names[index]) for index in range(1, nodes)]
    found += [(names[a], names[b]) for a, b in (sorted(draw.sample(range(nodes), 2)) for _ in range(edges - nodes))]
    return names, found, {name: draw.uniform(20, 120) for name in names}


@pytest.mark.parametrize("seed", range(8))
def test_laws_of_a_layered_drawing(seed):
    names, edges, width = random_graph(seed)
    found = layered_layout(names, edges, width)
    # Every edge leads down, and the rank is the longest way from the top.
    for name in names:
        assert found.rank[name] == max((found.rank[a] + 1 for a, b in edges if b == name), default=0)
    # Nodes of a rank keep the room they need, and edges that pass the rank stay out of it.
    for rank in set(found.rank.values()):
        row = sorted((found.x[name], width[name]) for name in names if found.rank[name] == rank)
        for (a, room), (b, other) in pairwise(row):
            assert b - a >= (room + other) / 2 - 1e-6
        passing = [x for path in found.edges.values() for x, level in path[1:-1] if level == rank]
        for x in passing:
            assert all(abs(x - place) >= room / 2 for place, room in row)
    # An edge starts and ends at its nodes and passes every rank between them once.
    assert set(found.edges) == set(edges)
    for (source, target), path in found.edges.items():
        assert path[0] == (found.x[source], found.rank[source])
        assert path[-1] == (found.x[target], found.rank[target])
        assert [level for _, level in path] == list(range(found.rank[source], found.rank[target] + 1))
    assert all(room / 2 - 1e-6 <= found.x[name] <= found.width - room / 2 + 1e-6 for name, room in width.items())


def test_a_chain_is_a_straight_line():
    names = [f"n{index}" for index in range(30)]
    found = layered_layout(names, list(pairwise(names)), {name: 30.0 + 7 * len(name) for name in names})
    assert max(found.x.values()) - min(found.x.values()) < 1e-6


def test_crossings_are_avoided_where_order_alone_can():
    names = ["top", "a", "b", "a2", "b2"]
    edges = [("top", "a"), ("top", "b"), ("b", "a2"), ("a", "b2")]
    found = layered_layout(names, edges, dict.fromkeys(names, 50.0))
    assert (found.x["a"] < found.x["b"]) == (found.x["b2"] < found.x["a2"])


def test_same_graph_same_drawing():
    assert layered_layout(*random_graph(3)) == layered_layout(*random_graph(3))


def test_edges_that_lead_back_are_refused():
    with pytest.raises(ValueError, match="leads back"):
        layered_layout(["a", "b"], [("b", "a")], {"a": 1.0, "b": 1.0})


def test_nothing_is_a_drawing_too():
    assert layered_layout([], [], {}).width == 0
