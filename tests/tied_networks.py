"""Dense networks some of whose logits are the same function: rows of the last layer that stand several times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, write
from torch import Tensor

from nmcheck.execute.operands import Function
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Node

PIXELS, HIDDEN = (5, 5), 84
IMAGES = 2


def network(
    folder: Path,
    order: Sequence[int],
    *,
    leading: int | None = None,
    lead: float = 2.0,
    head: str | None = None,
    shift: float = 0.0,
) -> Path:
    """Flatten, Gemm, ReLU, Gemm and perhaps a head; class c has the row and bias of number ``order[c]``.

    So wide that torch's products of equal rows differ by their places on many a processor; ``rounds_by_place`` makes it
    so on every one.

    Args:
        folder: where the file goes.
        order: of every class, which of the drawn rows it has.
        leading: the row that wins.
        lead: what is added to its bias for that.
        head: operator of the last node.
        shift: what is added to all logits in front of the head.
    """
    draw = np.random.default_rng(5)
    inputs, rows = int(np.prod(PIXELS)), max(order) + 1
    first, bias = draw.standard_normal((HIDDEN, inputs)) / inputs**0.5, draw.standard_normal(HIDDEN) / 4
    second, offset = draw.standard_normal((rows, HIDDEN)) / HIDDEN**0.5, draw.standard_normal(rows) / 10 + shift
    if leading is not None:
        offset[leading] += lead
    nodes = [
        node("Flatten", ["x"], ["u"]),
        node("Gemm", ["u", "A", "a"], ["z"], transB=1),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "B", "b"], ["y" if head is None else "v"], transB=1),
        *([] if head is None else [node(head, ["v"])]),
    ]
    arrays = {"A": first, "a": bias, "B": second[list(order)], "b": offset[list(order)]}
    name = f"{'_'.join(map(str, order))}_{head}.onnx"
    return write(
        model(nodes, ("N", *PIXELS), {key: part.astype(np.float32) for key, part in arrays.items()}), folder, name
    )


def images(folder: Path, label: int | None = None) -> str:
    """A data spec: images, all of one label or without."""
    x = np.random.default_rng(6).random((IMAGES, *PIXELS))
    path = folder / f"images_{label}.npz"
    if label is None:
        np.savez(path, x=x)
    else:
        np.savez(path, x=x, y=np.full(IMAGES, label))
    return str(path)


def rounds_by_place(patch: pytest.MonkeyPatch) -> None:
    """Make the last digits of every element of a matrix product depend on its place, as kernels do at their edges.

    In float64 the last three, as where large terms cancel.
    """
    build = Program._build

    def rounding(program: Program, made: Node) -> Function:
        function = build(program, made)
        if made.op != "Gemm":
            return function

        def rounded(*values: Tensor) -> Tensor:
            product = function(*values)
            assert isinstance(product, Tensor)
            place = torch.arange(product.shape[-1], dtype=product.dtype)
            digit = 2.0**-23 if product.dtype == torch.float32 else 2.0**-42
            return product * (1 + digit * (place % 4))

        return rounded

    patch.setattr(Program, "_build", rounding)
