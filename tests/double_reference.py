"""ONNX's own reference implementation in double precision, where it is right."""

from __future__ import annotations

from math import ceil, prod
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from recast import recast

from nmcheck.graph.ir import Graph
from nmcheck.graph.reading import sorted_nodes


class LRN(OpRun):
    """ONNX's text. The reference's own loops over the samples where it means the channels, and squares only those."""

    op_domain = ""

    def _run(self, x, alpha=1e-4, beta=0.75, bias=1.0, size=1):
        total = np.zeros_like(x)
        for c in range(x.shape[1]):
            total[:, c] = (x[:, max(0, c - (size - 1) // 2) : c + ceil((size - 1) / 2) + 1] ** 2).sum(axis=1)
        # An attribute arrives as a float32 number, whose quotient would be one, too.
        return (x / (bias + float(alpha) / size * total) ** beta,)


class BatchNormalization(OpRun):
    """ONNX's text. Before operator set 14 the reference's own is always in training mode: momentum has a default."""

    op_domain = ""

    def _run(self, x, *operands, epsilon=1e-5, **_others):
        scale, bias, mean, var = (array.reshape(-1, *(1,) * (x.ndim - 2)) for array in operands)
        return (scale * (x - mean) / np.sqrt(var + epsilon) + bias,)


def double_output(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The file's output for one sample, all its float32 numbers and the arithmetic in float64.

    Args:
        graph: the graph of the file.
        x: shape ``graph.shapes[graph.input]``.
    """
    path = Path(graph.model.path)
    model = _in_order(recast(onnx.load(path), TensorProto.DOUBLE))
    evaluator = ReferenceEvaluator(model, new_ops=[LRN, BatchNormalization])
    batch = 1 if graph.batch_axis is None else graph.declared_batch or 1
    fed = x.astype(np.float64) if batch == 1 else np.repeat(x.astype(np.float64), batch, axis=0)
    result = evaluator.run([graph.output], {graph.input: fed})
    assert isinstance(result, list)
    shape = graph.shapes[graph.output]
    return np.asarray(result[0]).flatten()[: prod(shape)].reshape(shape)


def _in_order(model: ModelProto) -> ModelProto:
    """Sorted nodes, without which the reference finds no values."""
    known = {value.name for value in (*model.graph.input, *model.graph.initializer)}
    nodes = [node for _, node in sorted_nodes(Path(), enumerate(model.graph.node), known)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
