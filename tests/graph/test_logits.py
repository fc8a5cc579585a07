from pathlib import Path

import numpy as np
import pytest
from models import model, node, write
from onnx import NodeProto, TensorProto

from nmcheck.errors import UnsupportedError
from nmcheck.graph.load import load_graph

WEIGHT = {"w": np.eye(3, dtype=np.float32)}
HEADS: list[tuple[str, list[NodeProto], str]] = [
    ("softmax", [node("Softmax", ["z"])], "z"),
    ("softmax cast to float", [node("Softmax", ["z"], ["s"]), node("Cast", ["s"], to=TensorProto.FLOAT)], "z"),
    (
        "class index cast to float",
        [
            node("ArgMax", ["z"], ["a"], axis=-1),
            node("Cast", ["a"], ["i"], to=TensorProto.INT32),
            node("Cast", ["i"], to=TensorProto.FLOAT),
        ],
        "z",
    ),
    (
        "softmax rounded to integers",
        [
            node("Softmax", ["z"], ["s"]),
            node("Cast", ["s"], ["i"], to=TensorProto.INT32),
            node("Cast", ["i"], to=TensorProto.FLOAT),
        ],
        "y",
    ),
]


@pytest.mark.parametrize(("head", "logits"), [(head, logits) for _, head, logits in HEADS], ids=[h[0] for h in HEADS])
def test_a_head_is_left_out_only_if_what_follows_keeps_its_order(
    tmp_path: Path, head: list[NodeProto], logits: str
) -> None:
    graph = load_graph(write(model([node("Gemm", ["x", "w"], ["z"]), *head], (1, 3), WEIGHT, opset=17), tmp_path))
    assert graph.logits == logits


def test_a_head_that_takes_the_last_of_equal_logits_is_refused(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], ["z"]), node("ArgMax", ["z"], axis=-1, select_last_index=1)]
    made = model(nodes, (1, 3), WEIGHT, output_type=TensorProto.INT64)
    with pytest.raises(UnsupportedError, match=r"takes the last of equal logits \(select_last_index\)"):
        load_graph(write(made, tmp_path))
