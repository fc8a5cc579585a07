"""Which of the engines asked for can run on a network, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nmcheck.checks.best_cut import cut_errors
from nmcheck.checks.case import Case
from nmcheck.checks.cut import choose_cut, no_cut_reason
from nmcheck.checks.memory import MemoryPlan, memory_plan
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import Progress
from nmcheck.graph.ir import Node
from nmcheck.linearize.differentiable import moments_refusal
from nmcheck.moments.propagation.budget import BUDGET
from nmcheck.results import CutError

PASSED_OVER = "The two-stage engines linearize around {instead} instead of {cut}"
NOT_GAUSSIAN = "analytic moments are of Gaussian noise, and this noise is {law}; what it does is sampled"
LINEARIZED = ("two-stage", "published-theorem2", "published-lemma4")
"""Engines that need a ReLU to linearize the network around."""


@dataclass(frozen=True)
class MomentPlan:
    """What is run.

    Attributes:
        engines: those that can, in the order asked for.
        cut: the ReLU or ReLU-decomposable activation that the linearizing ones take; None if none of them runs.
        left_out: why others cannot, by engine.
        cut_errors: what the choice of the cut was made by; empty unless ``best`` was asked for.
        tangents: bytes that propagation may hold at once.
        notes: what is done otherwise for want of memory.
        sampled: whether what noise does is sampled although no engine runs.
    """

    engines: tuple[str, ...]
    cut: Node | None
    left_out: Mapping[str, str]
    cut_errors: tuple[CutError, ...] = ()
    tangents: int = BUDGET
    notes: tuple[str, ...] = ()
    sampled: bool = False

    @property
    def reason(self) -> str:
        """Why no engine can."""
        return "; ".join(dict.fromkeys(self.left_out.values()))


def plan_moments(case: Case, options: AnalyzeOptions, progress: Progress, bank_cut: str | None = None) -> MomentPlan:
    """Choose the cut, if an engine needs one.

    Args:
        case: the network.
        options: what is asked for.
        progress: told how far the choice is.
        bank_cut: the node that a bank is linearized around, which the other engines then take too.

    Raises:
        UsageError: the cut asked for is not to be had (``choose_cut``).
    """
    graph, engines = case.graph, options.engines
    constant = f"the logits '{graph.logits}' are constant, so noise does not move them"
    law = case.noise.law
    if graph.logits not in graph.constants and not law.gaussian:
        return MomentPlan((), None, dict.fromkeys(engines, NOT_GAUSSIAN.format(law=law.name)), sampled=True)
    refusal = constant if graph.logits in graph.constants else moments_refusal(graph)
    if refusal is not None:
        return MomentPlan((), None, dict.fromkeys(engines, refusal))
    memory = memory_plan(graph, len(case.pixels))
    memory.check()
    found = _around_a_cut(case, options, progress, bank_cut, memory)
    if "propagate" not in found.engines:
        return found
    tangents, note = memory.tangents(found.cut)
    return replace(found, tangents=tangents, notes=found.notes if note is None else (*found.notes, note))


def _around_a_cut(
    case: Case, options: AnalyzeOptions, progress: Progress, bank_cut: str | None, memory: MemoryPlan
) -> MomentPlan:
    """The plan with its cut, if an engine needs one."""
    graph, engines = case.graph, options.engines
    linearized = [name for name in engines if name in LINEARIZED]
    if not linearized:
        return MomentPlan(engines, None, {})
    errors = cut_errors(case, options, progress, memory.refusal) if options.cut == "best" else ()
    notes: tuple[str, ...] = ()
    if bank_cut is not None:
        cut = choose_cut(graph, bank_cut)
    elif options.cut == "best":
        cut = next((graph.by_name[one.node] for one in errors if one.chosen), None)
    else:
        wanted = options.cut or "last"
        cut, larger = choose_cut(graph, wanted, memory.refusal), choose_cut(graph, wanted)
        if cut is not None and larger is not None and cut is not larger:
            notes = (f"{PASSED_OVER.format(cut=larger.name, instead=cut.name)}: {memory.refusal(graph, larger)}.",)
    if cut is not None:
        return MomentPlan(engines, cut, {}, errors, notes=notes)
    reason = no_cut_reason(graph, memory.refusal)
    return MomentPlan(
        tuple(name for name in engines if name not in LINEARIZED), None, dict.fromkeys(linearized, reason), errors
    )
