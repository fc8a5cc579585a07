"""Certified radii of the images of a case, method after method, each starting from what the one before has proven."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.pair_radius import THEOREM as PAIR_THEOREM
from nmcheck.bounds.pair_radius import PairRadii
from nmcheck.bounds.relaxation.method import Choice, choose
from nmcheck.bounds.relaxation.radius import THEOREMS, Images, RelaxedRadii
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.checks.adversarial import Box
from nmcheck.checks.bounds_options import NORMS, BoundsOptions
from nmcheck.checks.case import Case
from nmcheck.decision import predicted_class
from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.linearize.steps import network_of

_ELEMENTS = 2**15
"""Of the largest value, over the images that are bounded together."""
_INTO_LINF = "; a change of at most r in Linf is one of at most r sqrt(n) in L2, n being the number of inputs"


@dataclass(frozen=True)
class MethodRadii:
    """What one method found.

    Attributes:
        method: its name.
        theorem: the statement behind it.
        radii: (images,); None if it does not apply.
        reason: why it does not.
        seconds: wall time, that of the methods it started from included.
    """

    method: str
    theorem: str
    radii: Float[Tensor, " images"] | None
    reason: str | None
    seconds: float


@dataclass(frozen=True)
class Certified:
    """What all methods found.

    Attributes:
        methods: in the order they ran, each no worse than the one before.
        choice: the method asked for or chosen.
    """

    methods: tuple[MethodRadii, ...]
    choice: Choice


def certified_radii(
    case: Case,
    options: BoundsOptions,
    upper: Tensor | None,
    advance: Callable[[int], None],
    *,
    box: Box | None,
) -> Certified:
    """Radii by ``lipschitz``, and by linear relaxation where that is asked for or affordable.

    What holds without a box holds in one, and a line chosen for the smaller set can be the worse one for some image; so
    in a box every relaxation is asked without it first, and a radius is the larger of the two.

    Args:
        case: the model and the images.
        options: norm, method and memory.
        upper: norms of adversarial examples, infinite where none is known; None without an attack. They only say where
            to look, and bound no radius that is returned.
        advance: told of every image finished.
        box: range that changed pixels stay in, whatever ``options`` says; None for none.

    Raises:
        UnsupportedError: the method asked for does not apply; the message names the node.
    """
    start = time.perf_counter()
    graph = case.graph
    program = case.double if case.double.device == "cpu" else Program(graph, torch.float64)
    images, norm = case.images.cpu(), NORMS[options.norm]
    budget = options.memory * 2**20
    constants = LayerConstants(graph, program)
    known, reason = _lipschitz(constants, images, norm)
    found = [
        MethodRadii(
            "lipschitz",
            PAIR_THEOREM + (_INTO_LINF if norm != 2 else ""),
            None if reason else known.amin(dim=1),
            reason,
            time.perf_counter() - start,
        )
    ]
    relaxation, refusal = None, None
    if options.method != "lipschitz":
        try:
            relaxation = Relaxation(graph, program, network_of(program), constants, budget)
        except UnsupportedError as error:
            if options.method != "auto":
                raise
            refusal = str(error)
    choice = choose(options.method, graph, refusal, budget)
    if relaxation is None or choice.method == "lipschitz":
        advance(len(images))
        return Certified(tuple(found), choice)
    free = Images(images, program(images), norm)
    inside = None if box is None or not _holds(box, images) else Images(images, free.logits, norm, box)
    stages = {"crown-ibp": RelaxedRadii(relaxation, tighten=False)}
    if choice.method == "crown":
        stages["crown"] = RelaxedRadii(relaxation, tighten=True)
        if options.optimize:
            stages["crown-optimized"] = RelaxedRadii(relaxation, tighten=True, optimize=options.optimize)
    together = max(1, _ELEMENTS // max(math.prod(shape) for shape in graph.shapes.values()))
    seconds = dict.fromkeys(stages, 0.0)
    parts: dict[str, list[Tensor]] = {name: [] for name in stages}
    for rows in torch.arange(len(images)).split(together):
        free_of_box = best = known[rows]
        for name, radii in stages.items():
            since = time.perf_counter()
            above = None if upper is None else upper[rows]
            free_of_box = radii.at(free.only(rows), free_of_box, above)
            best = torch.maximum(best, free_of_box)
            if inside is not None:
                best = radii.at(inside.only(rows), best, above)
            seconds[name] += time.perf_counter() - since
            parts[name].append(best.amin(dim=1))
        advance(len(rows))
    spent = found[0].seconds
    for name in stages:
        spent += seconds[name]
        found.append(MethodRadii(name, THEOREMS[name], torch.cat(parts[name]), None, spent))
    return Certified(tuple(found), choice)


def _holds(box: Box, images: Tensor) -> bool:
    """Whether the images lie in the box; the linear bounds go out from them."""
    return box[0] <= float(images.min()) and float(images.max()) <= box[1]


def _lipschitz(constants: LayerConstants, images: Tensor, norm: float) -> tuple[Tensor, str | None]:
    """Radii by class, or why there are none and zeros for those that could overtake the predicted class."""
    try:
        pairs = PairRadii(constants).at(images)
    except UnsupportedError as error:
        logits = constants.program(images)
        radii = torch.zeros_like(logits).scatter(1, predicted_class(logits).unsqueeze(1), torch.inf)
        radii[:, list(constants.program.never)] = torch.inf
        return radii, str(error)
    return (pairs if norm == 2 else pairs / (math.sqrt(images[0].numel()) * (1 + 1e-12))), None
