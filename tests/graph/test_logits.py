from pathlib import Path

import numpy as np
import pytest
from models import model, node, write
from onnx import NodeProto, TensorProto

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
