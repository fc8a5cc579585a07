"""``nmcheck gate``: measure what a policy asks for, and decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nmcheck import __version__
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.gate.baseline import check_comparable, compare, read_baseline
from nmcheck.checks.gate.bounds_section import bounds_section
from nmcheck.checks.gate.decide import decide, waiver_notes, with_waivers
from nmcheck.checks.gate.evidence import Attacker, Bracket, Certifier, bracket
from nmcheck.checks.gate.flip_run import FlipRun, flips_entry, run_flips
from nmcheck.checks.gate.instance import CheckInstance, check_instances
from nmcheck.checks.gate.judge import (
    example_file,
    judge_accuracy,
    judge_attacked,
    judge_certified,
    judge_flips,
    judge_moments,
    judge_radius,
)
from nmcheck.checks.gate.methods import ATTACKS, CERTIFIERS
from nmcheck.checks.gate.moments_section import MeasuredMoments, asked_for, measure_moments
from nmcheck.checks.gate.one_thread import one_thread
from nmcheck.checks.gate.options import GateOptions
from nmcheck.checks.gate.pictures import worst_images
from nmcheck.checks.gate.policy import NORMED, Box, Norm
from nmcheck.checks.gate.question import Question
from nmcheck.checks.gate.without_timings import NO_TIMES, without_times
from nmcheck.checks.graph_nodes import graph_nodes
from nmcheck.checks.noise import noise_entry
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import plan_moments
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.report_head import data_entry, model_entry
from nmcheck.checks.sample_bounds import contradictions
from nmcheck.checks.sampling import SampledNetwork, sampled_network
from nmcheck.checks.scales import scale_warnings
from nmcheck.checks.undecided import undecided_warnings
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import GateCheck, LeftOut, Report, ToolEntry
from nmcheck.results.picture import PicturedImage

NOT_ASKED = "the policy asks for none"
NORMALIZATION = "A gate measures no normalization effects; nmcheck analyze does."
INTERVALS = (
    "Intervals of flips hold at every look of the sequential sampling at once (a confidence sequence, Robbins 1970). A "
    "verdict rests on one end of its check's interval, which is wrong with probability at most alpha; both ends hold "
    "together with at least 1 - 2 alpha."
)
Key = tuple[Norm, Box | None, str]


@dataclass(frozen=True)
class GateResult:
    """What a gate leaves behind.

    Attributes:
        report: the report with its ``gate`` section.
        examples: adversarial examples behind failing checks, by the file name the report gives them: float64, in pixel
            units and the model's layout.
        pictures: the worst images, for pages.
    """

    report: Report
    examples: Mapping[str, np.ndarray]
    pictures: tuple[PicturedImage, ...]


def gate(
    options: GateOptions,
    progress: Progress | None = None,
    *,
    certifiers: Mapping[str, Certifier] = CERTIFIERS,
    attacks: Mapping[str, Attacker] = ATTACKS,
) -> GateResult:
    """Decide whether a model meets a policy.

    Everything is computed on one thread and from fixed seeds, so that the same inputs give the same report to the byte.

    Args:
        options: model, data and policy.
        progress: told how far it is; silent by default.
        certifiers: methods of certified radii, by the name a policy gives.
        attacks: attacks, by name; all of them run.

    Raises:
        ModelError: the model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit the model.
        UsageError: policy or baseline do not fit the model and the data.
    """
    with one_thread():
        return _gate(options, progress or SilentProgress(), certifiers, attacks)


def _gate(
    options: GateOptions, progress: Progress, certifiers: Mapping[str, Certifier], attacks: Mapping[str, Attacker]
) -> GateResult:
    _check_methods(options, certifiers)
    baseline = None if options.baseline is None else read_baseline(options.baseline, options.max_drop)
    analysis = options.analysis()
    with progress.stage("Model and data", None):
        case = open_case(analysis)
        session = ReferenceSession(case.file_graph, threads=1)
        wanted = check_instances(case, options.policy)
    with progress.stage("Comparison with onnxruntime", len(case.pixels)) as advance:
        consistency = check_consistency(case, session, advance)
    accuracy = None if case.labels is None else float(case.correct.double().mean())
    report = Report(
        tool=ToolEntry(version=__version__),
        seed=analysis.seed,
        model=model_entry(case),
        data=data_entry(case, analysis.samples, analysis.seed, accuracy),
        noise=noise_entry(case.noise),
        consistency=consistency,
        moments=None,
        moments_reason=NOT_ASKED,
        bounds=None,
        bounds_reason=NOT_ASKED,
        normalization=(),
        graph=graph_nodes(case.file_graph),
        warnings=(*case.dataset.notes, *scale_warnings(case, session, accuracy), *undecided_warnings(case, session)),
        seconds=None,
        seconds_reason=NO_TIMES,
    )
    if baseline is not None:
        check_comparable(baseline, report)
    network = sampled_network(case, session)
    found = _Evidence(case, analysis, network)
    found.measure_flips(wanted, progress)
    found.measure_brackets(wanted, progress, certifiers, attacks)
    found.measure_moments(options, progress)
    checks = [found.judge(instance) for instance in wanted]
    if baseline is not None:
        checks += compare(baseline, checks)
    judged = with_waivers(checks, options.policy.waivers, options.today)
    decision = decide(
        judged,
        options.policy,
        on_inconclusive=options.on_inconclusive,
        baseline=None if baseline is None else baseline.entry,
    )
    notes = (*case.graph.notes, *([INTERVALS] if found.flips else []), NORMALIZATION, *waiver_notes(judged))
    report = replace(found.into(report), notes=notes, gate=decision)
    with progress.stage("Pictures", None):
        pictures = worst_images(case, network, found.flips, tuple(found.brackets.values()), analysis.seed)
    return GateResult(without_times(report), found.examples(judged), pictures)


class _Evidence:
    """What is measured of one model, for all checks together."""

    def __init__(self, case: Case, analysis: AnalyzeOptions, network: SampledNetwork) -> None:
        self._case, self._analysis, self._network = case, analysis, network
        self._questions: dict[str, Question] = {}
        self._moments = MeasuredMoments(None, {}, 0)
        self._notes: tuple[str, ...] = ()
        self.flips: dict[float, FlipRun] = {}
        self.brackets: dict[Key, Bracket] = {}

    def measure_flips(self, wanted: Sequence[CheckInstance], progress: Progress) -> None:
        """One stream of noise a level answers all questions about it."""
        asking = [instance for instance in wanted if instance.demand.kind == "flip" and len(instance.rows)]
        for sigma in dict.fromkeys(instance.demand.sigma for instance in asking):
            assert sigma is not None
            mine = {
                instance.id: Question(instance.rows, instance.demand.threshold, instance.alpha, instance.demand.budget)
                for instance in asking
                if instance.demand.sigma == sigma
            }
            with progress.stage(f"Flips at sigma {sigma:g}", None) as advance:
                self.flips[sigma] = run_flips(
                    self._case, self._network, sigma, list(mine.values()), seed=self._analysis.seed, advance=advance
                )
            self._questions |= mine

    def measure_brackets(
        self,
        wanted: Sequence[CheckInstance],
        progress: Progress,
        certifiers: Mapping[str, Certifier],
        attacks: Mapping[str, Attacker],
    ) -> None:
        """Certify and attack, once for every norm, box and method."""
        asking = [instance.demand for instance in wanted if instance.demand.kind in NORMED]
        keys: dict[Key, None] = dict.fromkeys((d.norm, d.box, d.method) for d in asking if d.norm is not None)
        for norm, box, method in keys:
            key = (norm, box, method)
            epsilons = sorted({d.epsilon for d in asking if (d.norm, d.box, d.method) == key and d.epsilon is not None})
            with progress.stage(f"Certified radii and attacks, {norm}", None):
                self.brackets[norm, box, method] = bracket(
                    self._case,
                    norm,
                    box,
                    certifier=certifiers[method],
                    attacks=attacks,
                    epsilons=epsilons,
                    seed=self._analysis.seed,
                )

    def measure_moments(self, options: GateOptions, progress: Progress) -> None:
        """Only if a check asks for them."""
        sigmas, _ = asked_for(options.policy.demands)
        if not sigmas:
            return
        plan = plan_moments(self._case, self._analysis, progress)
        self._notes = plan.notes
        with progress.stage("Moments and their reference", len(self._case.pixels)) as advance:
            self._moments = measure_moments(self._case, self._analysis, plan, self._network, advance)

    def judge(self, instance: CheckInstance) -> GateCheck:
        """The verdict of one check."""
        case, demand = self._case, instance.demand
        if demand.kind == "accuracy":
            return judge_accuracy(case, instance)
        if demand.kind == "flip":
            return judge_flips(instance, self._questions.get(instance.id), self._network.description)
        if demand.kind == "moment-tightness":
            missing = self._moments.left_out.get(demand.engine)
            return judge_moments(instance, self._moments.entries or (), missing, self._moments.trials)
        assert demand.norm is not None
        found = self.brackets[demand.norm, demand.box, demand.method]
        by_kind = {"certified-accuracy": judge_certified, "attacked-accuracy": judge_attacked, "radius": judge_radius}
        return by_kind[demand.kind](case, instance, found)

    def into(self, report: Report) -> Report:
        """The report with the sections that checks rest on."""
        flips = tuple(flips_entry(self._case, self.flips[sigma]) for sigma in sorted(self.flips))
        report = replace(report, flips=flips, notes=(*report.notes, *self._notes))
        if self.brackets:
            bounds = tuple(bounds_section(self._case, found) for found in self.brackets.values())
            taken_back = (warning for section in bounds for warning in contradictions(section.per_sample))
            warnings = tuple(dict.fromkeys((*report.warnings, *taken_back)))
            report = replace(report, bounds=bounds, bounds_reason=None, warnings=warnings)
        moments, left_out = self._moments.entries, self._moments.left_out
        if moments is None:
            return replace(report, moments_reason="; ".join(dict.fromkeys(left_out.values())) or NOT_ASKED)
        entries = tuple(LeftOut(engine=engine, reason=reason) for engine, reason in left_out.items())
        return replace(report, moments=moments, moments_reason=None, moments_left_out=entries)

    def examples(self, checks: Sequence[GateCheck]) -> dict[str, np.ndarray]:
        """The examples that failing checks name."""
        named = {example.file for check in checks for example in check.examples}
        arrays: dict[str, np.ndarray] = {}
        for found in self.brackets.values():
            for row, position in enumerate(self._case.positions):
                best, file = found.best(row), example_file(found, int(position))
                if file in named and best is not None and best.examples is not None:
                    arrays[file] = best.examples[row]
        return arrays


def _check_methods(options: GateOptions, certifiers: Mapping[str, Certifier]) -> None:
    for demand in options.policy.demands:
        if demand.kind in NORMED and demand.method not in certifiers:
            raise UsageError(
                f"{options.policy.name}: check '{demand.id}' asks for method '{demand.method}', which nmcheck does not "
                f"have; choose from {', '.join(certifiers)}."
            )
