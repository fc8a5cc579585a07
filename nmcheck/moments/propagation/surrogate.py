"""A network's response to noise with an expectation that is known exactly: what samplers take as a control variate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.propagation.value import Bends, Respond, Response
from nmcheck.steps import Network, Step


@dataclass(frozen=True)
class Surrogate:
    """Steps with their averaged slopes and their bends, frozen at one Gaussian input.

    Attributes:
        network: the steps.
        responders: what each of them makes of responses.
    """

    network: Network
    responders: Sequence[tuple[Step, Respond]]

    @torch.no_grad()
    def bends(self, noise: Float[Tensor, "m n"]) -> Float[Tensor, "m d"]:
        """What the bends add to the outputs, averaged over each noise vector and its negative; its mean is 0 exactly.

        Args:
            noise: of the input, a row a draw, of the precision the network was propagated in.
        """
        shape = self.network.shapes[self.network.input]
        linear = noise.reshape(-1, *shape)
        values = {self.network.input: Response(linear, Bends.PAIRED)}
        last = {name: position for position, (step, _) in enumerate(self.responders) for name in step.inputs}
        for position, (step, respond) in enumerate(self.responders):
            found = respond([values[name] for name in step.inputs])
            values.update({name: one for name, one in zip(step.outputs, found, strict=True) if name})
            for name in step.inputs:
                if last[name] == position and name != self.network.output:
                    values.pop(name, None)
        output = values[self.network.output]
        return (torch.zeros_like(output.linear) if output.bend is None else output.bend).flatten(1)
