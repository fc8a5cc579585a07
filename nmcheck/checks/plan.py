"""Which of the engines asked for can run on a network, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcheck.checks.cut import choose_cut, no_cut_reason
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.differentiable import moments_refusal

LINEARIZED = ("two-stage", "published-theorem2", "published-lemma4")
"""Engines that need a ReLU to linearize the network around."""


@dataclass(frozen=True)
class MomentPlan:
    """What is run.

    Attributes:
        engines: those that can, in the order asked for.
        cut: the ReLU, open or in disguise, that the linearizing ones take; None if none of them runs.
        left_out: why others cannot, by engine.
    """

    engines: tuple[str, ...]
    cut: Node | None
    left_out: Mapping[str, str]

    @property
    def reason(self) -> str:
        """Why no engine can."""
        return "; ".join(dict.fromkeys(self.left_out.values()))


def plan_moments(graph: Graph, engines: tuple[str, ...], wanted_cut: str) -> MomentPlan:
    """Choose the cut, if an engine needs one.

    Raises:
        UsageError: ``wanted_cut`` is not to be had (``choose_cut``).
    """
    constant = f"the logits '{graph.logits}' are constant, so noise does not move them"
    refusal = constant if graph.logits in graph.constants else moments_refusal(graph)
    if refusal is not None:
        return MomentPlan((), None, dict.fromkeys(engines, refusal))
    linearized = [name for name in engines if name in LINEARIZED]
    cut = choose_cut(graph, wanted_cut) if linearized else None
    if not linearized or cut is not None:
        return MomentPlan(engines, cut, {})
    reason = no_cut_reason(graph)
    return MomentPlan(
        tuple(name for name in engines if name not in LINEARIZED), None, dict.fromkeys(linearized, reason)
    )
