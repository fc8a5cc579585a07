"""A network with four classes of which one is switched off, as files do it, and the same without that class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from models import model, node, weights, write
from onnx import ModelProto, NodeProto

MASKED = 1
KEPT = (0, 2, 3)
LOWEST = float(np.finfo(np.float32).min)
Mask = Callable[[str, str], tuple[list[NodeProto], dict[str, np.ndarray]]]
"""From the names of the value masked and the value made to nodes and their weights."""


def network(mask: Mask | None, classes: Sequence[int] = (0, 1, 2, 3), offset: float = 0.0) -> ModelProto:
    """Conv, ReLU, MaxPool, Flatten, Gemm on 1x6x6 images, the classes chosen, and a mask.

    Args:
        mask: what follows on the logits; None for nothing.
        classes: columns of the last layer.
        offset: added to every logit.
    """
    made, arrays = ([], {}) if mask is None else mask("z", "y")
    nodes = [
        node("Conv", ["x", "K", "k"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "W", "b"], ["y" if mask is None else "z"]),
        *made,
    ]
    own = {
        "K": 0.4 * weights(3, 1, 3, 3), "k": 0.1 * weights(3),
        "W": 0.4 * weights(27, 4)[:, list(classes)], "b": 0.1 * weights(4)[list(classes)] + np.float32(offset),
    }  # fmt: skip
    return model(nodes, ("N", 1, 6, 6), own | arrays)


def added(value: float, classes: int = 4) -> Mask:
    """The mask as a constant that is added."""
    mask = np.zeros(classes, np.float32)
    mask[MASKED] = value
    return lambda source, made: ([node("Add", [source, "mask"], [made])], {"mask": mask})


def picked(value: float) -> Mask:
    """The mask as what a constant condition picks."""
    condition = np.arange(4)[None] == MASKED
    arrays = {"switched_off": condition, "value": np.array(value, np.float32)}
    return lambda source, made: ([node("Where", ["switched_off", "value", source], [made])], arrays)


def saved(made: ModelProto, folder: Path, name: str = "model.onnx", images: int = 8) -> tuple[Path, str]:
    """The file of a network, and images for it."""
    data = folder / "images.npz"
    if not data.exists():
        np.savez(data, x=np.random.default_rng(1).random((images, 1, 6, 6)))
    return write(made, folder, name), str(data)
