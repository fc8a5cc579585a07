"""The ``moments`` section of a gate's report: tightness for the checks that ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nmcheck.checks.case import Case
from nmcheck.checks.gate.policy import Demand
from nmcheck.checks.moment_entries import moment_entries
from nmcheck.checks.moments import run_moments
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import MomentPlan
from nmcheck.checks.sampling import SampledNetwork, fine_enough
from nmcheck.results import MomentEntry


def asked_for(demands: tuple[Demand, ...]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Noise levels and engines of the checks of moments, in order."""
    asking = [demand for demand in demands if demand.kind == "moment-tightness" and demand.sigma is not None]
    levels = dict.fromkeys(demand.sigma for demand in asking if demand.sigma is not None)
    return tuple(levels), tuple(dict.fromkeys(demand.engine for demand in asking))


@dataclass(frozen=True)
class MeasuredMoments:
    """What the checks of moments rest on.

    Attributes:
        entries: for the report; None where no engine ran.
        left_out: why engines asked for did not, by engine.
        trials: samples of the reference at a noise level, over all images.
    """

    entries: tuple[MomentEntry, ...] | None
    left_out: Mapping[str, str]
    trials: int


def measure_moments(
    case: Case, options: AnalyzeOptions, plan: MomentPlan, network: SampledNetwork, advance: Callable[[int], None]
) -> MeasuredMoments:
    """Run the engines and their reference as ``nmcheck analyze`` does."""
    if not plan.engines:
        return MeasuredMoments(None, plan.left_out, 0)
    counts = dict.fromkeys(options.sigmas, options.reference_samples)
    networks = {sigma: fine_enough(case, network, sigma) for sigma in options.sigmas}
    runs = run_moments(case, options, plan, networks, counts=counts, advance=advance)
    entries = moment_entries(case, options, runs, networks)
    return MeasuredMoments(entries, plan.left_out, options.reference_samples * len(case.positions))
