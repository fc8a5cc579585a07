import pytest
from linearize.bank.networks import lenet_graph

from nmcheck.linearize.bank.cost import Sizes, alternative, holds_matrix, memory, memory_refusal
from nmcheck.linearize.bank.storage import parse_storage

ALEXNET = Sizes(n=150_528, p=4096, d=1000, values=2_000_000)
LENET = Sizes(n=784, p=500, d=10, values=20_000)
LIMIT = 4 * 2**30


@pytest.mark.parametrize(("store", "fits"), [("full", False), ("gram", False), ("low-rank:64", True)])
def test_a_network_of_alexnets_size_fits_as_a_factor_only(store: str, fits: bool) -> None:
    storage = parse_storage(store, "float16")
    held = holds_matrix(ALEXNET, storage, 32, LIMIT)
    assert (memory(ALEXNET, storage, 32, holds_matrix=held) <= LIMIT) == fits
    # A itself takes 2.3 GiB.
    assert memory(ALEXNET, storage, 32, holds_matrix=True) > 2.3 * 2**30
    assert holds_matrix(LENET, storage, 32, LIMIT)


def test_the_matrix_passes_by_where_it_does_not_fit() -> None:
    storage = parse_storage("low-rank:64", "float16")
    assert holds_matrix(ALEXNET, storage, 32, LIMIT)
    assert not holds_matrix(ALEXNET, storage, 32, 3 * 2**30)
    assert memory(ALEXNET, storage, 32, holds_matrix=False) < 2 * 2**30


def test_a_refusal_has_the_figures_and_the_advice_fits(tmp_path) -> None:
    graph = lenet_graph(tmp_path)
    relu, full = graph.by_name["relu"], parse_storage("full", "float16")
    needed = memory(Sizes(64, 7, 3, sum(_sizes(graph))), full, 1, holds_matrix=True)
    assert memory_refusal(graph, relu, full, needed) is None
    refusal = memory_refusal(graph, relu, full, needed - 1)
    assert refusal is not None
    assert refusal.startswith("--store full at relu needs the matrix A (7 x 64")
    assert alternative(graph, relu, full, 2**30).startswith("take --store low-rank:64, which needs")
    assert alternative(graph, relu, full, 1) == "give more --memory or take another --cut"
    assert alternative(graph, relu, parse_storage("low-rank:64", "float16"), 2**30).startswith(
        "take --store low-rank:32"
    )


def _sizes(graph):
    for shape in graph.shapes.values():
        size = 1
        for length in shape:
            size *= length
        yield size
