"""How far the values a layer reads must move before the label changes: kappa from above.

kappa of a layer is the least norm of a change at the layer's input that can change the label. Attacking the part of the
network behind the layer gives such a change, so no certified kappa may exceed its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.problem import Attack, Problem
from nmcheck.decision import predicted_class
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph


def attack_layer(
    program: Program,
    sources: Sequence[str],
    x: Float[Tensor, "images *sample"],
    attack: Attack = ddn,
) -> Float[Tensor, " images"]:
    """L2 norm of a joint change of some values after which another class is predicted; infinite where none is found.

    Values that do not depend on ``sources`` keep what they are for the clean image.

    Args:
        program: the network; float64 where the norms are compared with certified ones.
        sources: names of the values that are changed, such as a layer's live inputs.
        x: images in the graph's input units.
        attack: what is run on the part of the network behind them.
    """
    graph = program.graph
    held = held_values(graph, sources)
    run = program.function_of([*sources, *held], graph.logits)
    values = program.activations(x, [*sources, *held])
    shapes = [graph.shapes[name] for name in sources]
    start = torch.cat([values[name].reshape(len(x), prod(graph.shapes[name])) for name in sources], dim=1)
    predicted = predicted_class(program(x))
    masked = program.equal.never if program.equal.holds_for(sources) else ()

    def problem(rows: slice, fixed: Sequence[Tensor]) -> Problem:
        def one(joint: Tensor) -> Tensor:
            parts = joint.split([prod(shape) for shape in shapes])
            given = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
            return run(*given, *fixed).flatten()

        spread = float(start.abs().amax()) if start.numel() else 1.0
        return Problem(torch.func.vmap(one), start[rows], predicted[rows], reach=max(spread, 1e-30), masked=masked)

    if not held:
        return attack(problem(slice(None), ())).norms
    # Each image holds other values, so each is a network of its own.
    single = [attack(problem(slice(row, row + 1), [values[name][row] for name in held])).norms for row in range(len(x))]
    return torch.cat(single) if single else start.new_zeros(0)


def held_values(graph: Graph, sources: Sequence[str]) -> tuple[str, ...]:
    """The values that a change of ``sources`` leaves alone and that the nodes it passes through read."""
    moved = set(sources)
    for node in graph.nodes:
        if not moved.isdisjoint(graph.live_inputs(node)):
            moved.update(value for value in node.outputs if value)
    needed, held = {graph.logits}, list[str]()
    for node in reversed(graph.nodes):
        # A source is given, however it could be computed.
        if any(value in needed and value in moved and value not in sources for value in node.outputs):
            for value in graph.live_inputs(node):
                needed.add(value)
                if value not in moved and value not in held:
                    held.append(value)
    return tuple(held)
