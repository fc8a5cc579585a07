"""Certified L2 radii by class: how far an input must move before one particular other class can overtake.

Two ways, the better of which counts for each class: the product of layer constants with the pairwise distance at the
last affine stretch (``radius``), and ECLipsE-Fast's pair constants of a dense tail times the constant of what stands
before it (``dense_chain``).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants, affine_run
from nmcheck.bounds.dense_chain import dense_tail, tail_constants
from nmcheck.bounds.propagation import joint_reach, route
from nmcheck.bounds.radius import CertifiedRadii
from nmcheck.decision import predicted_class
from nmcheck.errors import UnsupportedError

THEOREM = (
    "product of certified layer constants, with the pairwise logit difference at the last affine layer (Theorem 3.6) "
    "and LRN constants local to the certified ball; ECLipsE-Fast's pair constants where the network ends in dense "
    "layers with monotone activations; the better of the two for each class"
)


class PairRadii:
    """Lipschitz radii of one network.

    Args:
        constants: its layer constants.
    """

    def __init__(self, constants: LayerConstants) -> None:
        self._constants = constants
        self._tail: tuple[Tensor, float] | None = None
        self._tail_known = False

    def at(self, inputs: Float[Tensor, "images *sample"]) -> Float[Tensor, "images classes"]:
        """Radii by class, infinite for the predicted class and for classes that cannot overtake it.

        Raises:
            UnsupportedError: something between input and logits has no constant; the message names it.
        """
        constants, graph = self._constants, self._constants.graph
        logits = constants.program(inputs)
        classes = predicted_class(logits)
        lrn_inputs = [node.inputs[0] for node in graph.nodes if node.op == "LRN"]
        activations = constants.program.activations(inputs, lrn_inputs) if lrn_inputs else {}
        overall = CertifiedRadii(constants, logits, classes, activations).from_values((graph.input,))
        margins = constants.margins(logits, classes)
        last = affine_run(graph, graph.logits, (graph.input,))
        before = joint_reach(constants, route(graph, (graph.input,), last.source)).item()
        distances = constants.logit_distances(last.source, (graph.input,))
        pairs = _quotient(margins, distances[classes] * before)
        tail = self._tail_constants()
        if tail is not None:
            pairs = torch.maximum(pairs, _quotient(margins, tail[0][classes] * tail[1]))
        # Constants local to the ball speak of all classes together.
        pairs = torch.maximum(pairs, overall.unsqueeze(1))
        own = torch.nn.functional.one_hot(classes, pairs.shape[1]).bool()
        return pairs.masked_fill(own, torch.inf)

    def _tail_constants(self) -> tuple[Tensor, float] | None:
        """Pair constants of the dense tail, and the constant of what stands before it."""
        if not self._tail_known:
            self._tail, self._tail_known = self._computed(), True
        return self._tail

    def _computed(self) -> tuple[Tensor, float] | None:
        graph = self._constants.graph
        tail = dense_tail(graph)
        if tail is None:
            return None
        try:
            before = joint_reach(self._constants, route(graph, (graph.input,), tail.source)).item()
        except UnsupportedError:
            return None
        found = tail_constants(self._constants, tail)
        return None if found is None else (found, before)


def _quotient(margins: Tensor, constants: Tensor) -> Tensor:
    return torch.where(constants == 0, torch.inf, margins / torch.where(constants == 0, 1, constants))
