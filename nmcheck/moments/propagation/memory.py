"""What propagating a tangent for every direction of the noise would take, told from shapes alone."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from nmcheck.moments.propagation.tangents import Coloring, joint_coloring, pixel_coloring
from nmcheck.steps import MaximumStep, Network, Step

BUDGET = 2**30
"""Bytes of tangents held at once (1 GiB). A network that needs more is given random directions instead."""
_TEMPORARIES = 2
"""Further copies of its output's rows a step makes on the way: the rows dealt out, products, parts of a maximum."""


def tangent_elements(network: Network, directions: int, *, independent: bool) -> int:
    """Numbers held at once on the way forward, at the step where they are most.

    Args:
        network: the steps.
        directions: of the noise.
        independent: whether there is one a pixel, so that far pixels share rows at first.
    """
    shape = network.shapes[network.input]
    start = pixel_coloring(shape) if independent else None
    colorings: dict[str, Coloring | None] = {network.input: start}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    held = {network.input: _rows(start, directions) * prod(shape)}
    most = held[network.input]
    for position, step in enumerate(network.steps):
        given = [colorings[name] for name in step.inputs]
        period, sight = joint_coloring(given, [network.shapes[name] for name in step.inputs], step.locality)
        coloring = given[0]
        if coloring is not None:
            coloring = replace(coloring, period=period, sight=sight) if period else None
        rows = _rows(coloring, directions)
        new = {name: rows * prod(network.shapes[name]) for name in step.outputs if name}
        colorings.update(dict.fromkeys(new, coloring))
        held.update(new)
        most = max(most, sum(held.values()) + _TEMPORARIES * max(new.values(), default=0) * _taps(network, step))
        for name in step.inputs:
            if last[name] == position:
                held.pop(name, None)
    return most


def _rows(coloring: Coloring | None, directions: int) -> int:
    return directions if coloring is None else coloring.channels * prod(coloring.period)


def _taps(network: Network, step: Step) -> int:
    """How many outputs' worth of elements a maximum compares."""
    if not isinstance(step, MaximumStep):
        return 1
    sizes = [prod(network.shapes[name]) for name in (*step.inputs, *step.outputs)]
    return max(1, max(sizes[:-1]) // max(1, sizes[-1]))
