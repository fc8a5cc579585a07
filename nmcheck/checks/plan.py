"""Which of the engines asked for can run on a network, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcheck.checks.best_cut import cut_errors
from nmcheck.checks.case import Case
from nmcheck.checks.cut import choose_cut, no_cut_reason
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import Progress
from nmcheck.graph.ir import Node
from nmcheck.linearize.differentiable import moments_refusal
from nmcheck.results import CutError

LINEARIZED = ("two-stage", "published-theorem2", "published-lemma4")
"""Engines that need a ReLU to linearize the network around."""


@dataclass(frozen=True)
class MomentPlan:
    """What is run.

    Attributes:
        engines: those that can, in the order asked for.
        cut: the ReLU, open or in disguise, that the linearizing ones take; None if none of them runs.
        left_out: why others cannot, by engine.
        cut_errors: what the choice of the cut was made by; empty unless ``best`` was asked for.
    """

    engines: tuple[str, ...]
    cut: Node | None
    left_out: Mapping[str, str]
    cut_errors: tuple[CutError, ...] = ()

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
    refusal = constant if graph.logits in graph.constants else moments_refusal(graph)
    if refusal is not None:
        return MomentPlan((), None, dict.fromkeys(engines, refusal))
    linearized = [name for name in engines if name in LINEARIZED]
    if not linearized:
        return MomentPlan(engines, None, {})
    errors = cut_errors(case, options, progress) if options.cut == "best" else ()
    if bank_cut is not None:
        cut = choose_cut(graph, bank_cut)
    elif options.cut == "best":
        cut = next((graph.by_name[one.node] for one in errors if one.chosen), None)
    else:
        cut = choose_cut(graph, options.cut or "last")
    if cut is not None:
        return MomentPlan(engines, cut, {}, errors)
    reason = no_cut_reason(graph)
    return MomentPlan(
        tuple(name for name in engines if name not in LINEARIZED), None, dict.fromkeys(linearized, reason), errors
    )
