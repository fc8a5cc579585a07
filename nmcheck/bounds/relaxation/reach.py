"""How far a value can move in the Euclidean norm while the input stays in its region: Lipschitz constants at work.

The certified constant L of everything between the input and the value gives |z - z(x0)| <= L epsilon, epsilon being the
radius of an L2 ball around the region. In L2 this is often far better than interval arithmetic, which forgets that a
perturbation cannot move all inputs of a sum at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.layers import lrn_of
from nmcheck.bounds.lrn import local_bound
from nmcheck.bounds.propagation import Route, joint_reach, route
from nmcheck.bounds.relaxation.region import Region
from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Graph, Node


class Reach:
    """Euclidean radii of the values of one network.

    Args:
        constants: its layer constants.
    """

    def __init__(self, constants: LayerConstants) -> None:
        self._constants = constants
        self._routes: dict[str, tuple[Route, float] | None] = {}

    @cached_property
    def _graph(self) -> Graph:
        return self._constants.graph

    def radius(self, value: str, region: Region, centres: Mapping[str, Tensor]) -> Float[Tensor, " images"]:
        """How far ``value`` can move; infinite where no constant is known.

        Args:
            value: its name.
            region: where the inputs are.
            centres: the LRN layers' inputs at the images, by name.
        """
        known = self._route(value)
        epsilon = region.euclidean
        if known is None:
            return torch.full_like(epsilon, torch.inf)
        path, constant = known
        if not path.lrn:
            return epsilon * constant

        def lrn_constant(node: Node, moved: Tensor) -> Tensor:
            # The batch axis of length one becomes a pixel axis.
            centre = centres[node.inputs[0]].transpose(1, 2)
            return local_bound(lrn_of(node), centre, epsilon * moved)

        return epsilon * joint_reach(self._constants, path, lrn_constant, len(epsilon))

    def _route(self, value: str) -> tuple[Route, float] | None:
        if value not in self._routes:
            self._routes[value] = self._planned(value)
        return self._routes[value]

    def _planned(self, value: str) -> tuple[Route, float] | None:
        if value not in self._graph.shapes:
            return None
        try:
            path = route(self._graph, (self._graph.input,), value)
            constant = joint_reach(self._constants, path).item()
        except UnsupportedError:
            return None
        return path, constant
