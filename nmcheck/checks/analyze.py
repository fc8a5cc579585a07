"""``nmcheck analyze``: moments, bounds and normalization effects of one model on one set of images."""

from __future__ import annotations

import time
from contextlib import ExitStack

from nmcheck import __version__
from nmcheck.checks.attacks import CHEAP_ATTACKS, attack_uppers
from nmcheck.checks.bank_engine import open_bank
from nmcheck.checks.bounds import bounds_entry
from nmcheck.checks.case import open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.flip_entries import sampled_flips
from nmcheck.checks.graph_nodes import graph_nodes
from nmcheck.checks.moment_entries import moment_entries
from nmcheck.checks.moments import run_moments
from nmcheck.checks.noise import noise_entry
from nmcheck.checks.normalization import normalization_entries, normalization_nodes
from nmcheck.checks.options import LEAST_REFERENCE_SAMPLES, AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED, plan_moments
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.reference_run import reference_counts
from nmcheck.checks.report_head import data_entry, model_entry
from nmcheck.checks.sample_bounds import contradictions
from nmcheck.checks.sampling import fine_enough, sampled_network
from nmcheck.checks.scales import scale_warnings
from nmcheck.checks.undecided import undecided_warnings
from nmcheck.execute.session import ReferenceSession
from nmcheck.moments.diagonal import PROBES
from nmcheck.results import LeftOut, Report, ToolEntry

FEATURES = "The data are vectors in units of their own, so noise levels and radii are in those units, not in pixels."
AVERAGED = (
    "{engines}: the linearizations around the cut are averages over {points} noisy inputs an image and noise level."
)
CHOSEN = (
    "The reference's samples were chosen for a noise floor of {floor:g} by a pilot run of {pilot} samples an image at "
    "each noise level, which were thrown away."
)
PROBED = (
    "diagonal has no rule for these layers and tells their squared slopes by {probes} random probes an image, to about "
    "18 % an element: {nodes}."
)


def analyze(options: AnalyzeOptions, progress: Progress | None = None) -> Report:
    """Analyse a classifier under Gaussian input noise.

    Args:
        options: what to analyse, and how.
        progress: told how far the analysis is; silent by default.

    Returns:
        The report; drawn by ``nmcheck.reports``.

    Raises:
        ModelError: the model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit the model.
        UsageError: the options do not fit the model.
        BankError: the bank cannot be read, or is of something else.
    """
    with ExitStack() as resources:
        return _analyze(options, progress or SilentProgress(), resources)


def _analyze(options: AnalyzeOptions, progress: Progress, resources: ExitStack) -> Report:
    start = time.perf_counter()
    with progress.stage("Model and data", None):
        case = open_case(options)
        session = ReferenceSession(case.file_graph)
        bank = resources.enter_context(open_bank(case, options))
    plan = plan_moments(case, options, progress, None if bank is None else bank.header.cut)
    linearized = [engine for engine in plan.engines if engine in LINEARIZED]
    with progress.stage("Comparison with onnxruntime", len(case.pixels)) as advance:
        consistency = check_consistency(case, session, advance)
    accuracy = None if case.labels is None else float(case.correct.double().mean())
    moments, flips, probed = None, (), ()
    if plan.engines or plan.sampled:
        network = sampled_network(case, session)
        networks = {sigma: fine_enough(case, network, sigma) for sigma in options.sigmas}
        with progress.stage("Number of reference samples", len(case.pixels)) as advance:
            counts = reference_counts(case, options, networks, advance)
        with progress.stage("Moments and their reference", len(case.pixels)) as advance:
            runs = run_moments(case, options, plan, networks, counts=counts, advance=advance, bank=bank)
        moments = moment_entries(case, options, runs, networks) or None
        flips = tuple(sampled_flips(case, sigma, runs.references[sigma]) for sigma in options.sigmas)
        probed = tuple(dict.fromkeys(node for run in runs.engines.values() for node in run.probed))
    with progress.stage("Robustness bounds", None):
        # Made when first asked for: here, so that the progress shown is that of the work.
        _ = case.layer_bounds
    with progress.stage("Attacks", len(case.pixels) * len(CHEAP_ATTACKS)) as advance:
        attacked = attack_uppers(case, session, "l2", attacks=CHEAP_ATTACKS, seed=options.seed, advance=advance)
    with progress.stage("Normalization effects", len(normalization_nodes(case.graph))) as advance:
        normalization = normalization_entries(case, options.sigmas, options.seed, advance)
    bounds_found = bounds_entry(case, attacked)
    return Report(
        tool=ToolEntry(version=__version__),
        seed=options.seed,
        model=model_entry(case),
        data=data_entry(case, options.samples, options.seed, accuracy),
        noise=noise_entry(case.noise),
        consistency=consistency,
        moments=moments,
        moments_reason=None if plan.engines else plan.reason,
        moments_left_out=()
        if not plan.engines
        else tuple(LeftOut(engine=engine, reason=reason) for engine, reason in plan.left_out.items()),
        cut_errors=plan.cut_errors,
        flips=flips,
        bounds=(bounds_found,),
        normalization=normalization,
        graph=graph_nodes(case.file_graph),
        warnings=(
            *case.dataset.notes,
            *scale_warnings(case, session, accuracy),
            *undecided_warnings(case, session),
            *(() if bank is None else bank.warnings),
            *contradictions(bounds_found.per_sample),
        ),
        notes=(
            *case.graph.notes,
            *plan.notes,
            *([FEATURES] if case.dataset.unit == "feature" else []),
            *(
                [AVERAGED.format(engines=", ".join(linearized), points=options.averaging_points)]
                if linearized and options.linearizer == "averaged"
                else []
            ),
            *(() if bank is None else bank.notes),
            *([] if options.reference_error is None else [_chosen(options.reference_error)]),
            *([PROBED.format(nodes=", ".join(probed), probes=PROBES)] if probed else []),
        ),
        seconds=time.perf_counter() - start,
    )


def _chosen(floor: float) -> str:
    return CHOSEN.format(floor=floor, pilot=LEAST_REFERENCE_SAMPLES)
