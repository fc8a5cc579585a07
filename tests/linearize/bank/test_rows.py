from dataclasses import replace

import pytest
import torch
from linearize.bank.networks import PLAIN, graph_of, images, lenet_graph, residual_graph
from models import mlp

from nmcheck.execute.program import Program
from nmcheck.linearize.bank.rows import JacobianRows, arithmetic
from nmcheck.linearize.jacobian import jacobian


def reference(graph, target, points):
    function = Program(graph, torch.float64).function(graph.input, target)
    return torch.stack([jacobian(function, point.double())[1] for point in points]).mean(dim=0)


def points_at(graph, count):
    return [torch.from_numpy(row).float().reshape(graph.shapes[graph.input]) for row in images(graph, count)]


def gathered(found, how, points):
    parts = list(found.chunks(points, how))
    assert [where.start for where, _ in parts] == [where.stop for where, _ in [(slice(0, 0), None), *parts][:-1]]
    return torch.cat([chunk for _, chunk in parts])


@pytest.mark.parametrize("kernels", ["native", "onednn"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("network", ["lenet", "residual"])
def test_every_way_gives_the_jacobian(tmp_path, kernels, sparse, chunk, network):
    graph = lenet_graph(tmp_path) if network == "lenet" else residual_graph(tmp_path)
    target = "z" if network == "lenet" else "join.z"
    found = JacobianRows(Program(graph, torch.float32), target, densest=0.5)
    assert found.sparse_head is not None
    how = replace(PLAIN, kernels=kernels, sparse_head=sparse, chunk=chunk)
    for points in (points_at(graph, 1), points_at(graph, 3)):
        with arithmetic(how):
            got = gathered(found, how, points)
        wanted = reference(graph, target, points)
        assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_products_with_the_jacobian_need_none_of_its_rows(tmp_path):
    graph = lenet_graph(tmp_path)
    found, points = JacobianRows(Program(graph, torch.float32), "z"), points_at(graph, 2)
    A = reference(graph, "z", points)
    D, W = torch.randn(5, A.shape[1]), torch.randn(5, A.shape[0])
    assert torch.allclose(found.forward(points, D, 2).double(), D.double() @ A.mT, atol=1e-4)
    assert torch.allclose(found.backward(points, W, 2).double(), W.double() @ A, atol=1e-4)


def test_a_dense_affine_part_is_not_made_sparse(tmp_path):
    assert JacobianRows(Program(graph_of(mlp(), tmp_path)), "z1").sparse_head is None


def test_the_arithmetic_is_put_back(tmp_path):
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled

    def failing():
        assert torch.backends.mkldnn.enabled is False
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), arithmetic(replace(PLAIN, kernels="native")):
        failing()
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before
