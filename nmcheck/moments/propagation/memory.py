"""What propagating a tangent for every direction of the noise would take, estimated from shapes alone."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from nmcheck.moments.propagation.tangents import Coloring, joint_coloring, pixel_coloring
from nmcheck.steps import MaximumStep, Network, Step

_COPIES = 2
"""Copies there are at once of rows being made: parts and the whole they are put together to, taps and their winners."""


def tangent_elements(network: Network, directions: int, *, independent: bool, samples: int = 0) -> int:
    """Numbers held at once on the way forward, at the step where they are most.

    Args:
        network: the steps.
        directions: of the noise.
        independent: whether there is one a pixel, so that far pixels share rows at first.
        samples: noisy inputs beside them; each is held with its response, linear and bent.
    """

    def rows_of(coloring: Coloring | None) -> int:
        return 3 * samples + (directions if coloring is None else coloring.channels * prod(coloring.period))

    shape = network.shapes[network.input]
    start = pixel_coloring(shape) if independent else None
    colorings: dict[str, Coloring | None] = {network.input: start}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    held = {network.input: rows_of(start) * prod(shape)}
    most = held[network.input]
    for position, step in enumerate(network.steps):
        given = [colorings[name] for name in step.inputs]
        period, sight = joint_coloring(given, [network.shapes[name] for name in step.inputs], step.locality)
        coloring = given[0]
        if coloring is not None:
            coloring = replace(coloring, period=period, sight=sight) if period else None
        rows = rows_of(coloring)
        # Inputs with fewer rows are dealt out to as many, which takes two copies until it is done.
        dealt = sum(
            rows * prod(network.shapes[name])
            for name, before in zip(step.inputs, given, strict=True)
            if rows_of(before) < rows
        )
        new = {name: rows * prod(network.shapes[name]) for name in step.outputs if name}
        made = sum(new.values()) * _taps(network, step)
        most = max(most, sum(held.values()) + dealt + max(dealt, _COPIES * made))
        colorings.update(dict.fromkeys(new, coloring))
        held.update(new)
        for name in step.inputs:
            if last[name] == position:
                held.pop(name, None)
    return most


def _taps(network: Network, step: Step) -> int:
    """How many outputs' worth of elements a maximum compares."""
    if not isinstance(step, MaximumStep):
        return 1
    return len(step.taps(*(torch.empty(network.shapes[name], device="meta") for name in step.inputs)))
