"""What a bank keeps of a point is the network's linearization there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from linearize.bank.networks import PLAIN, header_of, lenet_graph, points_of, residual_graph

from nmcheck.execute.program import Program
from nmcheck.linearize.averaged import averaged_at
from nmcheck.linearize.bank.content import decode_inner
from nmcheck.linearize.bank.make import around
from nmcheck.linearize.two_stage import two_stage_at

CUTS = [("lenet", "relu"), ("residual", "stem"), ("residual", "head"), ("residual", "inner"), ("residual", "tail")]


def graph_of(name: str, folder: Path):
    return lenet_graph(folder) if name == "lenet" else residual_graph(folder)


def close(found, wanted, tolerance: float) -> bool:
    return bool((torch.as_tensor(found).double() - wanted).abs().max() <= tolerance * wanted.abs().max())


@pytest.mark.parametrize(("network", "cut"), CUTS)
@pytest.mark.parametrize("store", ["gram", "full"])
@pytest.mark.parametrize("sigma", [None, 0.2])
def test_content_is_the_linearization(tmp_path: Path, network: str, cut: str, store: str, sigma: float | None) -> None:
    graph = graph_of(network, tmp_path)
    points = points_of(graph)
    header, maker = header_of(graph, cut, points, store=store, sigma=sigma)
    program, node = Program(graph, torch.float64), graph.by_name[cut]
    for index, center in enumerate(points.centers):
        kept = maker.make(header, index, center) | maker.constants(header, center)
        assert {name: (array.shape, array.dtype) for name, array in kept.items()} == (
            header.inner_arrays | header.outer_arrays | header.cross_arrays
        )
        point = torch.from_numpy(center).reshape(header.input_shape)
        if sigma is None:
            model = two_stage_at(program, node).at(point.double())
        else:
            around_point = torch.stack(around(point, header, index)[: header.pairs]).double()
            model = averaged_at(program, node).at(point.double(), around_point - point.double())
        inner = decode_inner(kept, header)
        A = model.inner.weight
        assert close(inner.gram, A @ A.mT, 1e-5)
        assert inner.matrix is None or close(inner.matrix, A, 1e-5)
        assert close(kept["outer"], model.outer.weight, 1e-5)
        assert np.abs(kept["bias"] - model.outer.bias.numpy()).max() < 1e-4 * max(
            1.0, float(model.outer.bias.abs().max())
        )
        assert ("skip" in kept) == (model.skip is not None)
        if model.skip is not None:
            assert close(kept["skip"], model.skip, 1e-5)
            if store == "gram":
                assert close(kept["cross"], A @ model.skip.mT, 1e-5)


def test_what_is_the_same_everywhere_is_kept_once(tmp_path: Path) -> None:
    graph = residual_graph(tmp_path)
    points = points_of(graph)
    first, last = header_of(graph, "stem", points)[0], header_of(graph, "inner", points)[0]
    assert first.constant_arrays.keys() == {"norms", "correlations"}
    assert first.point_arrays.keys() == {"outer", "bias"}
    assert not last.constant_arrays
    lenet = lenet_graph(tmp_path)
    assert header_of(lenet, "relu", points_of(lenet))[0].constant_arrays.keys() == {"outer", "bias"}


@pytest.mark.parametrize(("network", "cut"), CUTS)
def test_low_rank_without_the_matrix_is_the_same_factor(tmp_path: Path, network: str, cut: str) -> None:
    graph = graph_of(network, tmp_path)
    points = points_of(graph)
    found = []
    for holds in (True, False):
        how = replace(PLAIN, holds_matrix=holds, chunk=3)
        header, maker = header_of(graph, cut, points, store="low-rank:3", arithmetic=how)
        kept = maker.make(header, 1, points.centers[1]) | maker.constants(header, points.centers[1])
        found.append((decode_inner(kept, header).gram, kept.get("cross"), kept["norms"]))
    one, other = found
    assert close(one[0], other[0], 1e-5)
    assert np.allclose(one[2], other[2], rtol=1e-5)
    assert (one[1] is None) == (other[1] is None)
    assert one[1] is None or np.abs(one[1] - other[1]).max() < 1e-5 * np.abs(one[1]).max()


def test_a_point_is_the_same_whoever_makes_it_and_when(tmp_path: Path) -> None:
    graph = residual_graph(tmp_path)
    points = points_of(graph)
    for store, dtype, sigma in (("low-rank:3", "float32", None), ("gram", "float32", 0.1), ("full", "float16", None)):
        header, maker = header_of(graph, "inner", points, store=store, dtype=dtype, sigma=sigma)
        one = maker.make(header, 2, points.centers[2])
        maker.make(header, 0, points.centers[0])
        other = header_of(graph, "inner", points)[1].make(header, 2, points.centers[2])
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_draws_are_a_points_own_and_antithetic(tmp_path: Path) -> None:
    graph = lenet_graph(tmp_path)
    header = header_of(graph, "relu", points_of(graph), sigma=0.2)[0]
    point = torch.rand(header.input_shape)
    one, other = (torch.stack(around(point, header, index)) for index in (0, 1))
    assert len(one) == 16
    assert torch.allclose(one[:8] + one[8:], 2 * point.expand(8, *point.shape), atol=1e-6)
    assert not torch.equal(one, other)
    assert 0.15 < float((one - point).std()) < 0.25
