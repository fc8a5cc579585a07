"""A node looked at without being executed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nmcheck.errors import NmcheckError
from nmcheck.execute.on_demand import torch
from nmcheck.execute.operands import Operands
from nmcheck.execute.table import row_for
from nmcheck.graph.ir import Graph, Node


class Outline(Operands):
    """Operands for a function that is built and never called, so that its constants may stay arrays."""

    def as_tensor(self, array: np.ndarray) -> Any:
        """The array itself, which needs no torch; where torch is loaded, nothing is gained by that."""
        if "torch" in sys.modules:
            return super().as_tensor(array)
        self.check_type(array)
        return array


def execution_refusal(graph: Graph, node: Node) -> str | None:
    """Why a node is not executed, a sentence naming it; None if it is.

    The node's function is built, which looks at its attributes and the shapes of its operands, and thrown away. Of
    weights only type and shape matter. torch is not loaded for it.
    """
    try:
        row_for(node).build(Outline(graph, node, torch.float32, "cpu"))
    except NmcheckError as error:
        return str(error).removeprefix(f"{graph.model.path}: ")
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
        text = str(error).strip().splitlines()
        why = text[0].rstrip(".") if text else type(error).__name__
        return (
            f"node '{node.name}' ({node.op}) does not fit its inputs: {why}; the file is damaged, so export it again."
        )
    return None
