"""Written-out LRN is recognised when it is LRN, and only then."""

import numpy as np
import pytest
import torch
from models import model, small_lenet, weights, write
from onnx import helper
from torch import nn

from nmcheck.bounds.layers import unsupported_reason
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

CHANNELS, SIZE = 4, 3


def group(**changes):
    """torch's export of LocalResponseNorm on 'c' of shape (N, 4, 6, 6), with one thing changed."""
    settings = {
        "square": ["c", "c"], "pads": [0, 0, 1, 0, 0, 0, 0, 1, 0, 0], "fill": 0.0, "kernel": [SIZE, 1, 1],
        "inside": [0] * 6,
        "target": [0, 1, CHANNELS, 6, -1], "alpha": 0.5, "bias": 2.0, "beta": 0.75, "divided": "c", "mode": "constant",
        **changes,
    }  # fmt: skip
    arrays = {
        "target": np.array(settings["target"]), "pads": np.array(settings["pads"]),
        "fill": np.array(settings["fill"], dtype=np.float32), "axis": np.array([1]),
        **{name: np.array(settings[name], dtype=np.float32) for name in ("alpha", "bias", "beta")},
    }  # fmt: skip
    nodes = [
        helper.make_node("Mul", settings["square"], ["sq"], "square"),
        helper.make_node("Reshape", ["sq", "target"], ["v"], "view"),
        helper.make_node("Pad", ["v", "pads", "fill"], ["p0"], "pad", mode=settings["mode"]),
        helper.make_node("AveragePool", ["p0"], ["a"], "average", kernel_shape=settings["kernel"],
                         pads=settings["inside"],
                         count_include_pad=1),
        helper.make_node("Squeeze", ["a", "axis"], ["m"], "squeeze"),
        helper.make_node("Mul", ["m", "alpha"], ["scaled"], "alpha"),
        helper.make_node("Add", ["scaled", "bias"], ["shifted"], "bias"),
        helper.make_node("Pow", ["shifted", "beta"], ["power"], "beta"),
        helper.make_node("Div", [settings["divided"], "power"], ["n"], "div"),
    ]  # fmt: skip
    return nodes, arrays


def load(folder, nodes, arrays):
    return load_graph(write(small_lenet(nodes, arrays), folder))


def agrees(graph):
    samples = weights(3, *graph.shapes[graph.input])
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    return relative_difference(ours, ReferenceSession(graph, threads=1).run(samples)) <= 1e-5


def test_group_becomes_one_node(tmp_path):
    nodes, arrays = group()
    graph = load(tmp_path, nodes, arrays)
    layer = graph.by_name["div"]
    assert (layer.op, layer.recognized_from, layer.index) == ("LRN", "pattern", 9)
    assert layer.members == tuple(node.name for node in nodes)
    assert dict(layer.attributes) == {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 2.0}
    assert (layer.inputs, layer.outputs) == (("c",), ("n",))
    assert [n.op for n in graph.nodes] == ["Conv", "LRN", "MaxPool", "Flatten", "Gemm", "Relu", "Gemm"]
    assert not {"sq", "v", "power"} & set(graph.shapes)
    assert not {"target", "alpha"} & set(graph.constants)
    assert agrees(graph)


def without(name, nodes):
    """The group without one of its nodes."""
    (gone,) = [node for node in nodes if node.name == name]
    for node in nodes:
        for position, value in enumerate(node.input):
            if value == gone.output[0]:
                node.input[position] = gone.input[0]
    return [node for node in nodes if node.name != name]


@pytest.mark.parametrize(("left_out", "values"), [
    ("alpha", {"alpha": 1.0, "bias": 2.0, "beta": 0.75}),
    ("bias", {"alpha": 0.5, "bias": 0.0, "beta": 0.75}),
    ("beta", {"alpha": 0.5, "bias": 2.0, "beta": 1.0}),
])  # fmt: skip
def test_neutral_operators_may_be_left_out(tmp_path, left_out, values):
    nodes, arrays = group()
    graph = load(tmp_path, without(left_out, nodes), arrays)
    assert graph.by_name["div"].op == "LRN"
    assert {name: graph.by_name["div"].attributes[name] for name in values} == values
    assert agrees(graph)


def test_padding_inside_the_pooling(tmp_path):
    nodes, arrays = group(inside=[1, 0, 0, 1, 0, 0])
    graph = load(tmp_path, without("pad", nodes), arrays)
    assert graph.by_name["div"].op == "LRN"
    assert agrees(graph)


def window_by_convolution(size: int = SIZE, ones: float = 0.2):
    """A convolution with equal weights over the channels of the reshaped squares, a sum instead of a mean."""
    nodes, arrays = group(kernel=[size, 1, 1], pads=[0, 0, (size - 1) // 2, 0, 0, 0, 0, size // 2, 0, 0])
    nodes[3] = helper.make_node("Conv", ["p0", "ones"], ["a"], "average")
    return nodes, {**arrays, "ones": np.full((1, 1, size, 1, 1), ones, dtype=np.float32)}


def test_sum_by_convolution(tmp_path):
    nodes, arrays = window_by_convolution()
    graph = load(tmp_path, nodes, arrays)
    layer = graph.by_name["div"]
    assert layer.op == "LRN"
    assert layer.attributes["alpha"] == pytest.approx(0.5 * 0.2 * SIZE, rel=1e-6)
    assert agrees(graph)


def test_unequal_weights_are_no_window(tmp_path):
    nodes, arrays = window_by_convolution()
    arrays["ones"][0, 0, 0] = 0.3
    graph = load(tmp_path, nodes, arrays)
    assert graph.by_name["div"].op == "Div"
    assert agrees(graph)


def band(size: int, back: int, channels: int = CHANNELS) -> np.ndarray:
    """The 1 x 1 convolution that adds up ``size`` channels, from ``back`` before each one on."""
    matrix = np.zeros((channels, channels), dtype=np.float32)
    for row in range(channels):
        matrix[row, max(0, row - back) : max(0, row - back + size)] = 1
    return matrix[:, :, None, None]


@pytest.mark.parametrize(
    ("size", "back", "expected"), [(1, 0, "LRN"), (3, 1, "LRN"), (4, 1, "LRN"), (4, 2, "Div"), (3, 0, "Div")]
)
def test_sum_by_a_band_matrix(tmp_path, size, back, expected):
    numbers = {"two": 2, "alpha": 0.1, "bias": 1.5, "beta": 0.75}
    arrays = {"band": band(size, back), **{name: np.array(value, np.float32) for name, value in numbers.items()}}
    nodes = [
        helper.make_node("Pow", ["c", "two"], ["sq"], "square"),
        helper.make_node("Conv", ["sq", "band"], ["m"], "sum"),
        helper.make_node("Mul", ["alpha", "m"], ["scaled"], "alpha"),
        helper.make_node("Add", ["bias", "scaled"], ["shifted"], "bias"),
        helper.make_node("Pow", ["shifted", "beta"], ["power"], "beta"),
        helper.make_node("Div", ["c", "power"], ["n"], "div"),
    ]
    graph = load(tmp_path, nodes, arrays)
    assert graph.by_name["div"].op == expected
    if expected == "LRN":
        assert graph.by_name["div"].attributes["size"] == size
    assert agrees(graph)


def sliced(axis: int, rank: int, size: int, channels: int, *, starts=None, before=None):
    """Tf.nn.local_response_normalization taken apart: squares padded, ``size`` slices added, a power of -beta."""
    before = (size - 1) // 2 if before is None else before
    pads = np.zeros(2 * rank, dtype=np.int64)
    pads[axis], pads[rank + axis] = before, size - 1 - before
    arrays = {"pads": pads, "axis": np.array([axis])}
    arrays |= {name: np.array(value, np.float32) for name, value in (("alpha", 0.2), ("bias", 1.5), ("beta", -0.75))}
    nodes = [
        helper.make_node("Mul", ["c", "c"], ["sq"], "square"),
        helper.make_node("Pad", ["sq", "pads"], ["pd"], "pad"),
    ]
    total = ""
    for place, start in enumerate(starts or range(size)):
        arrays[f"s{place}"], arrays[f"e{place}"] = np.array([start]), np.array([start + channels])
        nodes.append(helper.make_node("Slice", ["pd", f"s{place}", f"e{place}", "axis"], [f"t{place}"]))
        if total:
            nodes.append(helper.make_node("Add", [total, f"t{place}"], [f"u{place}"]))
        total = f"u{place}" if total else f"t{place}"
    nodes += [
        helper.make_node("Mul", [total, "alpha"], ["scaled"], "alpha"),
        helper.make_node("Add", ["scaled", "bias"], ["shifted"], "bias"),
        helper.make_node("Pow", ["shifted", "beta"], ["power"], "beta"),
        helper.make_node("Mul", ["power", "c"], ["n"], "end"),
    ]
    return nodes, arrays


@pytest.mark.parametrize("size", [3, 4, 5])
def test_sum_of_slices(tmp_path, size):
    graph = load(tmp_path, *sliced(1, 4, size, CHANNELS))
    layer = graph.by_name["end"]
    assert (layer.op, layer.recognized_from, layer.attributes["size"]) == ("LRN", "pattern", size)
    assert layer.attributes["alpha"] == pytest.approx(0.2 * size)
    assert agrees(graph)


@pytest.mark.parametrize(
    "changes", [{"starts": (0, 1, 1)}, {"starts": (0, 2, 1), "before": 0}, {"starts": (0, 1)}], ids=str
)
def test_other_sums_of_slices_stay(tmp_path, changes):
    graph = load(tmp_path, *sliced(1, 4, 3, CHANNELS, **changes))
    assert graph.by_name["end"].op == "Mul"
    assert agrees(graph)


def test_channels_last_stand_between_transposes(tmp_path):
    nodes, arrays = sliced(3, 4, 5, 6)
    nodes[-1].output[0] = "y"
    front = helper.make_node("Mul", ["x", "bias"], ["c"], "front")
    graph = load_graph(write(model([front, *nodes], ("N", 5, 4, 6), arrays), tmp_path))
    assert [node.op for node in graph.nodes] == ["Mul", "Transpose", "LRN", "Transpose"]
    assert [node.name for node in graph.nodes] == ["front", "end_channels_first", "end", "end_channels_last"]
    assert graph.by_name["end"].recognized_from == "pattern"
    assert unsupported_reason(graph, graph.by_name["end"]) is None
    assert agrees(graph)


def test_lrn_between_transposes_as_tf2onnx_writes_it(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], "in", perm=[0, 3, 1, 2]),
        helper.make_node("LRN", ["first"], ["n"], "lrn", size=5, alpha=0.5, beta=0.75, bias=1.0),
        helper.make_node("Transpose", ["n"], ["y"], "out", perm=[0, 2, 3, 1]),
    ]
    graph = load_graph(write(model(nodes, ("N", 5, 4, 6)), tmp_path))
    assert [node.op for node in graph.nodes] == ["Transpose", "LRN", "Transpose"]
    assert all(unsupported_reason(graph, node) is None for node in graph.nodes)
    assert agrees(graph)


def test_a_pad_of_nothing_is_passed_over(tmp_path):
    """The legacy exporter writes one in front of every pooling in operator sets 9 and 10."""
    nodes, arrays = group()
    nodes.insert(3, helper.make_node("Pad", ["p0", "nothing"], ["p1"], "no_pad"))
    nodes[4].input[0] = "p1"
    graph = load(tmp_path, nodes, {**arrays, "nothing": np.zeros(10, dtype=np.int64)})
    assert graph.by_name["div"].op == "LRN"
    assert "no_pad" in graph.by_name["div"].members
    assert agrees(graph)


NEAR_MISSES = {
    "product-of-two-values": {"square": ["c", "other"], "bias": 100.0},
    "divides-another-value": {"divided": "other"},
    "window-over-pixels": {"kernel": [1, 3, 1], "pads": [0, 0, 0, 1, 0, 0, 0, 0, 1, 0]},
    "window-over-both": {"kernel": [3, 3, 1], "pads": [0, 0, 1, 1, 0, 0, 0, 1, 1, 0]},
    "lopsided": {"pads": [0, 0, 2, 0, 0, 0, 0, 0, 0, 0]},
    "even-size-as-torch-pads-it": {"kernel": [2, 1, 1], "pads": [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]},
    "pads-with-ones": {"fill": 1.0},
    "pads-with-the-edge": {"mode": "edge"},
    "other-axis": {"target": [0, 1, 6, CHANNELS, -1]},
    "alpha-per-channel": {"alpha": np.full((CHANNELS, 1, 1), 0.5)},
    "beta-per-channel": {"beta": np.linspace(0.5, 1, CHANNELS).reshape(CHANNELS, 1, 1)},
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_stay_as_they_are(tmp_path, name):
    nodes, arrays = group(**NEAR_MISSES[name])
    other = helper.make_node("Abs", ["c"], ["other"], "other")
    if "other-axis" in name:
        nodes[4] = helper.make_node("Reshape", ["a", "shape"], ["m"], "squeeze")
        arrays["shape"] = np.array([0, CHANNELS, 6, 6])
    graph = load(tmp_path, [other, *nodes], arrays)
    assert all(node.recognized_from == "op" for node in graph.nodes)
    assert graph.by_name["div"].op == "Div"
    assert agrees(graph)


def test_inner_value_used_elsewhere_stays(tmp_path):
    nodes, arrays = group()
    nodes[-1].output[0] = "d"
    nodes.append(helper.make_node("Add", ["d", "power"], ["n"], "again"))
    graph = load(tmp_path, nodes, arrays)
    assert graph.by_name["div"].op == "Div"


@pytest.mark.parametrize(("size", "expected"), [(1, "LRN"), (3, "LRN"), (5, "LRN"), (4, "Div")])
def test_torch_definition(tmp_path, size, expected):
    # torch pads size // 2 in front and (size - 1) // 2 behind.
    pads = [0, 0, size // 2, 0, 0, 0, 0, (size - 1) // 2, 0, 0]
    nodes, arrays = group(kernel=[size, 1, 1], pads=pads, alpha=0.7, bias=1.5, beta=0.6)
    nodes[-1].output[0] = "y"
    conv = helper.make_node("Identity", ["x"], ["c"])
    graph = load_graph(write(model([conv, *nodes], ("N", CHANNELS, 6, 6), arrays), tmp_path))
    if size > 1:
        assert graph.by_name["div"].op == expected
    samples = torch.from_numpy(weights(2, 1, CHANNELS, 6, 6))
    wanted = nn.LocalResponseNorm(size, alpha=0.7, beta=0.6, k=1.5)(samples[:, 0])
    torch.testing.assert_close(Program(graph).output(samples)[:, 0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lrn__mnist_lrn_torch_dynamo", "lrn__mnist_lrn_native"])
def test_shared_models(shared_models, name):
    graph = load_graph(shared_models / f"{name}.onnx")
    layers = [node for node in graph.nodes if node.op == "LRN"]
    assert len(layers) == 2
    for layer in layers:
        values = {key: layer.attributes[key] for key in ("size", "alpha", "beta", "bias")}
        assert values == pytest.approx({"size": 5, "alpha": 0.01, "beta": 0.75, "bias": 2.0})
    assert agrees(graph)


def test_written_out_and_native_are_the_same_network(shared_models):
    files = ("lrn__mnist_lrn_torch_dynamo", "lrn__mnist_lrn_native")
    written, native = (load_graph(shared_models / f"{name}.onnx") for name in files)
    assert [n.op for n in written.nodes if n.op != "Reshape"] == [n.op for n in native.nodes if n.op != "Flatten"]
    samples = torch.rand(3, 1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Program(written)(samples), Program(native)(samples), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "count"), [("lenet", 0), ("lenet_lrn1", 1), ("lenet_lrn2", 1), ("lenet_lrn3", 2)])
def test_sample_models(sample_models, name, count):
    graph = load_graph(sample_models / f"{name}.onnx")
    layers = [node for node in graph.nodes if node.op == "LRN"]
    assert len(layers) == count
    assert all(layer.attributes == {"size": 5, "alpha": 1.0, "beta": 0.75, "bias": 1.0} for layer in layers)
    assert agrees(graph)
