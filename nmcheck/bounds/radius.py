"""From layer constants and logits to certified distances, per image.

A change of norm r at some value moves the input of the network's last affine stretch by at most r L. The label c can
only change once some difference f_c - f_c' has fallen to zero, for which that input must move by
(f_c - f_c') / ||a_c - a_c'||, a_c being the rows of the stretch (Theorem 3.6); so r >= min_c' of that over L. Where the
network does not end in an affine layer, f_c - f_c' changes by at most sqrt(2) times the logits' change.

LRN layers are far less steep near an image than anywhere: a radius r is certified when the margin covers r L(r), with
every LRN's constant taken on the ball of radius r L(up to that LRN) around the image's own activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants, affine_run
from nmcheck.bounds.layers import lrn_of
from nmcheck.bounds.lrn import local_bound
from nmcheck.bounds.propagation import Route, joint_reach, route
from nmcheck.bounds.softmax_margin import nearest_hyperplane
from nmcheck.graph.ir import Node

BISECTION_STEPS = 12
"""Fixed number of halvings; only a radius that itself passed the test is returned."""


@dataclass
class CertifiedRadii:
    """Certified distances of a batch of images.

    Attributes:
        constants: the network's layer constants.
        logits: the images' logits.
        classes: the class whose stability is certified, the predicted one.
        activations: the LRN layers' inputs at the images, by value name.
    """

    constants: LayerConstants
    logits: Float[Tensor, "images classes"]
    classes: Int[Tensor, " images"]
    activations: Mapping[str, Tensor]
    _margins: dict[tuple[str, bool], Tensor] = field(default_factory=dict)

    def from_values(self, sources: tuple[str, ...]) -> Float[Tensor, " images"]:
        """Least norm of a joint change of ``sources`` that can change the label; infinite if none can.

        Raises:
            UnsupportedError: the change passes through a node without a constant; the message names it.
        """
        graph = self.constants.graph
        last = affine_run(graph, graph.logits, sources)
        path = route(graph, sources, last.source)
        distance = self._last_stretch(last.source, sources)
        radius = _quotient(distance, joint_reach(self.constants, path, None, len(distance)))
        return self._with_local_lrn(path, distance, radius) if path.lrn else radius

    def _last_stretch(self, source: str, changed: tuple[str, ...]) -> Float[Tensor, " images"]:
        """How far the value ``source``, after which everything is affine, must move to change the label."""
        key = source, self.constants.program.equal.holds_for(changed)
        if key not in self._margins:
            margins = self.constants.margins(self.logits, self.classes)
            distances = self.constants.logit_distances(source, changed)
            self._margins[key] = nearest_hyperplane(margins, self.classes, distances)
        return self._margins[key]

    def _with_local_lrn(
        self, path: Route, distance: Float[Tensor, " images"], certified: Float[Tensor, " images"]
    ) -> Float[Tensor, " images"]:
        """Bisect between the radius of the global constants and the most that local ones could give."""

        def reach(radius: Tensor) -> Tensor:
            def lrn_constant(node: Node, moved: Tensor) -> Tensor:
                # The batch axis of length one becomes a pixel axis.
                centre = self.activations[node.inputs[0]].transpose(1, 2)
                return local_bound(lrn_of(node), centre, radius * moved)

            return joint_reach(self.constants, path, lrn_constant, len(radius))

        bounded = torch.isfinite(certified)
        low = torch.where(bounded, certified, 0)
        # The local constants grow with the radius, so no radius beyond this one can pass.
        high = torch.maximum(low, _quotient(distance, reach(low)).nan_to_num(posinf=0))
        for _ in range(BISECTION_STEPS):
            middle = (low + high) / 2
            passes = distance >= middle * reach(middle)
            low, high = torch.where(passes, middle, low), torch.where(passes, high, middle)
        return torch.where(bounded, low, certified)


def _quotient(distance: Float[Tensor, " images"], reach: Float[Tensor, " images"]) -> Float[Tensor, " images"]:
    """Distance / reach; infinite where the change does not get through at all."""
    return torch.where(reach == 0, torch.inf, distance / torch.where(reach == 0, 1, reach))
