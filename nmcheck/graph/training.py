"""Operators in training mode, which are random or look at the whole batch and so are no function of one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Node


def refuse_training_mode(path: str, nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> None:
    """Check Dropout and BatchNormalization.

    Raises:
        UnsupportedError: one is in training mode; the message names the node.
    """
    for node in nodes:
        if _in_training(node, constants):
            raise UnsupportedError(
                f"{path}: node '{node.name}' ({node.op}) is in training mode, so its output is random or depends on "
                "the other samples; export the model in inference mode (model.eval())."
            )


def _in_training(node: Node, constants: Mapping[str, np.ndarray]) -> bool:
    if node.op == "BatchNormalization":
        return bool(node.attributes.get("training_mode", 0))
    if node.op != "Dropout" or len(node.inputs) < 3 or not node.inputs[2]:
        return False
    mode, ratio = constants.get(node.inputs[2]), constants.get(node.inputs[1])
    if mode is None or not mode.any():
        return mode is None
    return ratio is None or bool(ratio.any())
