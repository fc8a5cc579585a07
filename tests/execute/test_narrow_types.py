"""Rounding to types of few bits: equal to onnx's own conversion, ties, overflow and the smallest numbers included."""

import numpy as np
import pytest
import torch
from models import model, node, write
from onnx import TensorProto, helper, numpy_helper

from nmcheck.errors import UnsupportedError
from nmcheck.execute.operators.narrow import FLOATS, WHOLE, rounded_scale
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph

CODES = {
    "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e4m3fnuz": TensorProto.FLOAT8E4M3FNUZ,
    "float8_e5m2": TensorProto.FLOAT8E5M2,
    "float8_e5m2fnuz": TensorProto.FLOAT8E5M2FNUZ,
}
pytestmark = pytest.mark.skipif(
    not hasattr(numpy_helper, "saturate_cast"), reason="this onnx has no conversion to compare with"
)
SCALES = getattr(TensorProto, "FLOAT8E8M0", None)


def every_number_and_what_lies_between(dtype: np.dtype) -> np.ndarray:
    """All finite numbers of an 8-bit type, their midpoints, the neighbors of those, and what lies far outside."""
    numbers = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    middles = (numbers[1:] + numbers[:-1]) / 2
    beside = [np.nextafter(middles, limit, dtype=np.float32) for limit in (np.float32(np.inf), np.float32(-np.inf))]
    outside = np.outer([1.02, 1.04, 1.06, 1.07, 1.2, 1e3, np.inf], [numbers.max(), numbers.min()]).astype(np.float32)
    return np.concatenate([numbers, middles, *beside, outside.flatten(), np.full(1, np.nan, np.float32)])


@pytest.mark.parametrize("name", CODES)
def test_every_rounding_to_eight_bits_is_onnx_own(name):
    dtype = helper.tensor_dtype_to_np_dtype(CODES[name])
    x = every_number_and_what_lies_between(dtype)
    expected = x.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(FLOATS[name].rounded(torch.from_numpy(x), saturate=False).numpy(), expected)
    kept = numpy_helper.saturate_cast(x, dtype).astype(np.float32)
    np.testing.assert_array_equal(FLOATS[name].rounded(torch.from_numpy(x), saturate=True).numpy(), kept)


@pytest.mark.skipif(SCALES is None, reason="this onnx has no float8_e8m0")
@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_scales_are_powers_of_two_as_onnx_rounds_them(mode):
    draw = np.random.default_rng(0)
    powers = 2.0 ** np.arange(-120, 120, dtype=np.float32)
    x = np.concatenate([powers, 1.5 * powers, 2.0 ** draw.uniform(-120, 120, 500)]).astype(np.float32)
    expected = numpy_helper.to_float8e8m0(x, True, mode).astype(np.float32)
    np.testing.assert_array_equal(rounded_scale(torch.from_numpy(x), mode, saturate=True).numpy(), expected)


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith(("8", "16"))])
def test_whole_numbers_wrap_as_their_bits_do(name):
    x = np.arange(-(2**17), 2**17, 7)
    expected = x.astype(name).astype(np.float64)
    np.testing.assert_array_equal(WHOLE[name].wrapped(torch.from_numpy(x.astype(np.float64))).numpy(), expected)


def test_text_is_refused_by_name(tmp_path):
    made = model([node("Cast", ["x"], ["t"], to=TensorProto.STRING), node("Cast", ["t"], to=1)], (1, 3))
    with pytest.raises(UnsupportedError, match=r"node 'Cast_0' \(Cast\): it makes text"):
        Program(load_graph(write(made, tmp_path)))


def test_nothing_is_dropped_at_inference_so_a_mask_is_a_constant(tmp_path):
    nodes = [node("Dropout", ["x"], ["d", "mask"]), node("Cast", ["mask"], ["ones"], to=1), node("Add", ["d", "ones"])]
    graph = load_graph(write(model(nodes, (1, 4), {}), tmp_path))
    np.testing.assert_array_equal(graph.constants["ones"], np.ones((1, 4)))
    x = torch.arange(4.0).reshape(1, 1, 4)
    torch.testing.assert_close(Program(graph).output(x), x + 1)
