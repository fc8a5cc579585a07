"""Pooling over random geometries: equal to onnxruntime, or refused where onnxruntime departs from ONNX."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from models import model, node, write
from onnx import ModelProto
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from nmcheck.errors import UnsupportedError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph

OPSET = 22
TRIALS = 100


def random_pool(op: str, draw: np.random.Generator) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape of the input and attributes of a pooling that ONNX defines and onnxruntime takes.

    Paddings are smaller than the windows, as onnxruntime demands, and windows fit into the input.
    """
    axes = int(draw.choice([1, 2, 2, 3]))
    kernel = draw.integers(1, 5, axes)
    attributes: dict[str, Any] = {"kernel_shape": kernel.tolist(), "strides": draw.integers(1, 5, axes).tolist()}
    auto_pad = str(draw.choice(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    extent = kernel
    if auto_pad.startswith("SAME"):
        attributes["auto_pad"] = auto_pad
    else:
        dilations = draw.integers(1, 4, axes) if draw.random() < 0.5 else np.ones(axes, int)
        extent = dilations * (kernel - 1) + 1
        attributes["dilations"] = dilations.tolist()
        if auto_pad == "VALID":
            attributes["auto_pad"] = auto_pad
        else:
            attributes["pads"] = draw.integers(0, np.tile(kernel, 2)).tolist()
    attributes["ceil_mode"] = int(draw.integers(2))
    if op == "AveragePool":
        attributes["count_include_pad"] = int(draw.integers(2))
    if op == "LpPool":
        attributes["p"] = int(draw.integers(1, 4))
    sizes = extent + draw.integers(0, 7, axes)
    return (1, 2, *sizes.tolist()), attributes


def in_onnxruntime(made: ModelProto, x: np.ndarray) -> np.ndarray | None:
    """The output, or None where onnxruntime's MaxPool refuses the negative padding that its other poolings take."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    try:
        return np.asarray(session.run(None, {"x": x})[0])
    except RuntimeException as error:
        if "padding values must be" not in str(error):
            raise
        return None


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_random_geometries_equal_onnxruntime(op, tmp_path):
    draw = np.random.default_rng([OPSET, len(op)])
    compared, skipping = 0, 0
    for _ in range(TRIALS):
        shape, attributes = random_pool(op, draw)
        x = draw.standard_normal(shape).astype(np.float32)
        made = model([node(op, ["x"], **attributes)], shape, opset=OPSET, ir_version=10)
        jumps = [s > k for s, k in zip(attributes["strides"], attributes["kernel_shape"], strict=True)]
        negative = "SAME" in attributes.get("auto_pad", "") and any(jumps)
        expected = in_onnxruntime(made, x)
        if expected is None:
            assert op == "MaxPool"
            assert negative
            continue
        ours = Program(load_graph(write(made, tmp_path))).output(torch.from_numpy(x)[None])[0].numpy()
        assert ours.shape == expected.shape, attributes
        assert relative_difference(ours, expected) <= 1e-5, (shape, attributes)
        compared, skipping = compared + 1, skipping + negative
    assert compared >= 0.8 * TRIALS
    assert skipping >= 0.05 * TRIALS


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_dilated_windows_with_auto_pad_are_refused_because_onnxruntime_departs_from_onnx(op, tmp_path):
    attributes = {"kernel_shape": [3], "dilations": [2], "auto_pad": "SAME_UPPER"}
    made = model([node(op, ["x"], **attributes)], (1, 1, 9), opset=OPSET, ir_version=10)
    graph = load_graph(write(made, tmp_path))
    assert graph.shapes["y"] == (1, 1, 9), "ONNX: ceil(size / stride) windows"
    theirs = in_onnxruntime(made, np.ones((1, 1, 9), np.float32))
    assert theirs is not None
    assert theirs.shape == (1, 1, 7), "onnxruntime pads as for 3 pixels, not 5"
    with pytest.raises(UnsupportedError, match=rf"node '{op}_0' .* dilated windows by auto_pad"):
        Program(graph)


@pytest.mark.parametrize(("op", "opset"), [("MaxPool", 11), ("MaxPool", 17), ("AveragePool", 11), ("LpPool", 18)])
@pytest.mark.parametrize("geometry", [(5, 2, 1, 2), (5, 3, 1, 3), (6, 2, 0, 3), (6, 3, 2, 2)])
def test_no_window_starts_behind_the_input(op, opset, geometry, tmp_path):
    """Before operator set 22 ONNX's own inference counts one more, which neither exporters nor onnxruntime do."""
    size, kernel, pad, stride = geometry
    attributes = {"kernel_shape": [kernel], "pads": [pad, pad], "strides": [stride], "ceil_mode": 1}
    made = model([node(op, ["x"], **attributes)], (1, 1, size), opset=opset)
    x = np.random.default_rng(0).standard_normal((1, 1, size)).astype(np.float32)
    graph = load_graph(write(made, tmp_path))
    ours, theirs = Program(graph).output(torch.from_numpy(x)[None])[0].numpy(), in_onnxruntime(made, x)
    assert theirs is not None
    assert graph.shapes["y"] == theirs.shape
    assert relative_difference(ours, theirs) <= 1e-5
