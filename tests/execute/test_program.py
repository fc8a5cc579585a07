"""Parts of a graph as functions, and batches of them."""

import math

import numpy as np
import pytest
import torch
from models import mlp, model, node, residual, small_lenet, weights, write

from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph


@pytest.fixture
def lenet(tmp_path):
    return Program(load_graph(write(small_lenet(), tmp_path)), torch.float64)


def images(count, program):
    return torch.from_numpy(weights(count, *program.graph.shapes[program.graph.input])).to(program.dtype)


def test_logits_of_a_dense_network_by_hand(tmp_path):
    program = Program(load_graph(write(mlp((4, 3, 2)), tmp_path)), torch.float64)
    x = images(5, program)
    W0, b0, W1, b1 = (
        torch.from_numpy(array).double() for array in (weights(3, 4), weights(3), weights(2, 3), weights(2))
    )
    wanted = torch.relu(x[:, 0] @ W0.mT + b0) @ W1.mT + b1
    assert program.classes == 2
    torch.testing.assert_close(program(x), wanted)


def test_precision_is_that_asked_for(tmp_path):
    graph = load_graph(write(mlp(), tmp_path))
    for dtype in (torch.float32, torch.float64):
        program = Program(graph, dtype)
        assert program.dtype == dtype
        assert program(images(2, program)).dtype == dtype


@pytest.mark.parametrize("value", ["c", "p", "f", "z", "h"])
def test_halves_make_up_the_whole(lenet, value):
    graph, x = lenet.graph, images(1, lenet)[0]
    before, after = lenet.function("x", value), lenet.function(value, "y")
    middle = before(x)
    assert tuple(middle.shape) == graph.shapes[value]
    torch.testing.assert_close(after(middle), lenet.function("x", "y")(x))


def test_source_is_target(lenet):
    x = images(1, lenet)[0]
    assert lenet.function("x", "x")(x) is x
    assert lenet.function("z", "z")(x) is x


def test_values_that_bypass_the_source_are_named(tmp_path):
    program = Program(load_graph(write(residual(), tmp_path)))
    program.function("h0", "y")
    with pytest.raises(ValueError, match="'x'"):
        program.function("h1", "y")
    with pytest.raises(ValueError, match="nothing"):
        program.function("nothing", "y")
    with pytest.raises(ValueError, match="nothing"):
        program.function("x", "nothing")


def test_activations_are_those_of_single_samples(lenet):
    x = images(4, lenet)
    names = ["z", "y", "x", "c"]
    found = lenet.activations(x, names)
    assert list(found) == names
    for name in names:
        assert tuple(found[name].shape) == (4, *lenet.graph.shapes[name])
        for index in range(4):
            torch.testing.assert_close(found[name][index], lenet.function("x", name)(x[index]))


def test_chunks_and_empty_batches(lenet):
    x = images(600, lenet)
    torch.testing.assert_close(lenet(x), torch.cat([lenet(part) for part in x.split(7)]))
    assert lenet(x[:0]).shape == (0, 3)
    assert lenet.output(x[:0]).shape == (0, 1, 3)


def test_does_not_write_to_its_input(lenet):
    x = images(3, lenet)
    copy = x.clone()
    lenet(x)
    torch.testing.assert_close(x, copy, rtol=0, atol=0)


def test_jacobian_by_both_modes_and_by_differences(lenet):
    function, x = lenet.function("x", "y"), images(1, lenet)[0]
    reverse = torch.func.jacrev(function)(x).reshape(3, -1)
    forward = torch.func.jacfwd(function)(x).reshape(3, -1)
    torch.testing.assert_close(reverse, forward)
    step = 1e-6
    differences = [
        (function(x + step * e.reshape(x.shape)) - function(x - step * e.reshape(x.shape))).flatten() / (2 * step)
        for e in torch.eye(x.numel(), dtype=torch.float64)
    ]
    torch.testing.assert_close(torch.stack(differences, dim=1), reverse, rtol=1e-6, atol=1e-6)


def test_batched_program_can_be_differentiated(lenet):
    x = images(3, lenet).requires_grad_()
    (gradient,) = torch.autograd.grad(lenet(x)[:, 0].sum(), x)
    single = torch.func.grad(lambda image: lenet.function("x", "y")(image)[0, 0])
    torch.testing.assert_close(gradient[1], single(x.detach()[1]))


def test_constant_value_has_no_derivative(tmp_path):
    program = Program(
        load_graph(write(model([node("Constant", [], ["y"], value_floats=[1.0, 2.0])], (1, 3)), tmp_path))
    )
    assert program(images(2, program)).tolist() == [[1, 2], [1, 2]]


def test_used_indices_of_a_max_pool_are_refused(tmp_path):
    nodes = [
        node("MaxPool", ["x"], ["m", "i"], kernel_shape=[2, 2]),
        node("Cast", ["i"], ["f"], to=1),
        node("Add", ["m", "f"]),
    ]
    with pytest.raises(UnsupportedError, match=r"'MaxPool_0'.*'i'"):
        Program(load_graph(write(model(nodes, (1, 1, 4, 4)), tmp_path)))
    Program(load_graph(write(model([*nodes[:1], node("Neg", ["m"])], (1, 1, 4, 4)), tmp_path)))


def test_infinite_bounds_and_padding_leave_no_nan(tmp_path):
    nodes = [node("MaxPool", ["x"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), node("Clip", ["m", "", "hi"])]
    made = model(nodes, (1, 1, 4, 4), {"hi": np.array(math.inf, dtype=np.float32)})
    program = Program(load_graph(write(made, tmp_path)), torch.float64)
    function = program.function("x", "y")
    assert torch.func.jacrev(function)(images(1, program)[0]).isfinite().all()
