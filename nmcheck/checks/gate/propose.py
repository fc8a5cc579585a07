"""``nmcheck gate --init``: a starting policy from what a model does now, a little below it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nmcheck.checks.case import Case, open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.gate.description import level
from nmcheck.checks.gate.evidence import MethodRadii
from nmcheck.checks.gate.flip_run import run_flips
from nmcheck.checks.gate.methods import CERTIFIERS
from nmcheck.checks.gate.moments_section import MeasuredMoments, measure_moments
from nmcheck.checks.gate.one_thread import one_thread
from nmcheck.checks.gate.question import Question
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import plan_moments
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.sampling import SampledNetwork, sampled_network
from nmcheck.counting import counted
from nmcheck.execute.session import ReferenceSession
from nmcheck.outside_text import message

SIGMA = 0.1
ALPHA = 0.01
ROUNDS = 40
"""Noise samples an image by which a flip threshold is proposed."""
ENGINE = "propagate"


@dataclass(frozen=True)
class Proposal:
    """A policy and what it was measured on.

    Attributes:
        text: the TOML file.
        checks: number of checks in it.
        images: images measured.
    """

    text: str
    checks: int
    images: int


def propose(options: AnalyzeOptions, progress: Progress | None = None) -> Proposal:
    """Measure a model and write a policy that it meets, with the measurements as comments.

    Raises:
        ModelError: the model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit the model.
    """
    with one_thread():
        return _propose(options, progress or SilentProgress())


def _propose(options: AnalyzeOptions, progress: Progress) -> Proposal:
    with progress.stage("Model and data", None):
        case = open_case(options)
        session = ReferenceSession(case.file_graph, threads=1)
    with progress.stage("Comparison with onnxruntime", len(case.pixels)) as advance:
        check_consistency(case, session, advance)
    network = sampled_network(case, session)
    with progress.stage("Certified radii", None):
        lowers = CERTIFIERS["lipschitz"](case, "l2", None, ())
    sections = [_accuracy(case), _flips(case, options, network, progress), *_radii(case, lowers)]
    plan = plan_moments(case, options, progress)
    with progress.stage("Moments and their reference", len(case.pixels)) as advance:
        sections.append(_moments(case, measure_moments(case, options, plan, network, advance)))
    checks = sum(section.count("[[check]]\n") for section in sections)
    return Proposal("\n".join([_head(case, options), *sections, _TAIL]), checks, len(case.positions))


def _head(case: Case, options: AnalyzeOptions) -> str:
    scale = "" if options.scale is None else f'scale = "{options.scale}"\n'
    notes = "".join(f"# Warning: {_comment(note)}\n" for note in case.dataset.notes)
    return f"""\
# A policy for nmcheck gate, written from what {_comment(case.graph.model.path)} does now.
#
# Its thresholds are a little below that, so that this model passes and a worse one does not. They say nothing about
# what your application needs: edit them. Each check passes on evidence, fails on evidence, or is inconclusive.
# Units: noise (sigma) and changes (epsilon, radius) are in pixels of 0 to 1.
# Measured on: {_comment(case.dataset.name)}, {_of_all(case)}, seed {options.seed}
# (sha256 of these {case.sha256[:16]}).
{notes}
samples = {len(case.positions)}    # images, each class in proportion to its size; --samples goes first
seed = {options.seed}         # of their choice and of all noise; --seed goes first
alpha = {ALPHA}     # a check that rests on chance decides wrongly with at most this probability
{scale}"""


def _of_all(case: Case) -> str:
    return f"{len(case.positions)} of {counted(len(case.dataset), 'image')}"


def _accuracy(case: Case) -> str:
    if case.labels is None:
        return "# No accuracy: the data has no labels.\n"
    right, total = int(case.correct.sum()), len(case.positions)
    least = max(0.0, math.floor(100.0 * right / total + 1e-9) / 100.0 - 0.02)
    return f"""\
[[check]]
id = "accuracy"
kind = "accuracy"
min = {least:g}                # measured: {right} of {counted(total, "image")}
# about = "population"    # instead of the images used, by a confidence interval
# class = "each"          # every class by itself, or class = 3
"""


def _flips(case: Case, options: AnalyzeOptions, network: SampledNetwork, progress: Progress) -> str:
    question = Question(np.arange(len(case.positions)), None, ALPHA, ROUNDS)
    with progress.stage(f"Flips at sigma {SIGMA:g}", None) as advance:
        run_flips(case, network, SIGMA, [question], seed=options.seed + 1, advance=advance)
    found = question.interval
    assert found is not None
    most = min(1.0, _up(1.5 * found.high))
    interval = (
        f"{level(found.confidence)} interval {found.low:.4g} to {found.high:.4g}, {counted(found.n, 'noise sample')}"
    )
    return f"""\
[[check]]
id = "flip-{SIGMA:g}"
kind = "flip"             # how often noise changes the predicted class, upper end of an interval that always holds
sigma = {SIGMA:g}
max = {most:g}               # measured: {found.rate:.4g}, {interval}
budget = 2000             # noise samples an image after which the check is inconclusive; clear cases stop early
"""


def _radii(case: Case, lowers: MethodRadii) -> list[str]:
    correct = case.correct.cpu().numpy()
    radii = np.array([0.0 if radius is None else radius for radius in lowers.radii])
    finite = radii[correct & np.isfinite(radii)]
    if lowers.reason is not None or not len(finite):
        why = lowers.reason or "no image that is classified correctly can be moved to another class"
        return [f"# No certified radii: {_comment(why)}.\n"]
    p5 = float(np.percentile(finite, 5, method="lower"))
    epsilon = _down(0.8 * p5)
    kept = int((correct & (radii >= epsilon)).sum())
    total = len(radii)
    share = max(0.0, math.floor(100.0 * kept / total + 1e-9) / 100.0 - 0.02)
    certificate = _comment(lowers.certificate)
    return [
        f"""\
# {certificate}
[[check]]
id = "certified"
kind = "certified-accuracy"    # classified as labelled, and provably so after any change up to epsilon
norm = "l2"
epsilon = {epsilon:g}
min = {share:g}                # measured: {kept} of {counted(total, "image")}, by method lipschitz
# box = [0, 1]            # changed pixels stay in this range
# method = "crown-ibp"    # certifies far larger changes, and takes longer; crown certifies the most
""",
        f"""\
[[check]]
id = "attacked"
kind = "attacked-accuracy"     # classified as labelled, and no attack changed it; what is certified no attack can
norm = "l2"
epsilon = {epsilon:g}
min = {share:g}
""",
        f"""\
[[check]]
id = "radius-p5"
kind = "radius"           # a percentile of the certified radius over the images classified correctly
norm = "l2"
percentile = 5
min = {_down(0.9 * p5):g}            # measured: {p5:.4g}
""",
    ]


def _moments(case: Case, measured: MeasuredMoments) -> str:
    if not measured.entries:
        why = "; ".join(dict.fromkeys(measured.left_out.values())) or "no engine ran"
        return f"# No moment tightness: {_comment(why)}.\n"
    overall = measured.entries[0].overall
    if overall.var_er is None or overall.var_er_se is None:
        return f"# No moment tightness: {_comment(overall.var_er_reason or overall.var_er_se_reason or '')}.\n"
    most = _up(1.5 * (overall.var_er + 4 * overall.var_er_se))
    measured_as = (
        f"{overall.var_er:.4g}, standard error {overall.var_er_se:.2g} over {counted(len(case.positions), 'image')}"
    )
    return f"""\
[[check]]
id = "tightness"
kind = "moment-tightness"      # relative error E_r of the analytic variance of the logits against sampling
engine = "{ENGINE}"
statistic = "variance"
sigma = {SIGMA:g}
max = {most:g}               # measured: {measured_as}
"""


_TAIL = """\
# A person's decision to ship although a check does not pass; shown in every report, and over after its last day.
# [[waiver]]
# id = "accuracy"
# reason = "known regression of class 8, fixed in the next release"
# expires = 2030-12-31
"""


def _up(value: float) -> float:
    """Two significant digits, rounded up."""
    return _rounded(value, math.ceil)


def _down(value: float) -> float:
    """Two significant digits, rounded down."""
    return _rounded(value, math.floor)


def _rounded(value: float, towards: Callable[[float], int]) -> float:
    if value <= 0.0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{towards(value / unit) * unit:.6g}")


def _comment(text: str) -> str:
    """On one line, without signs that TOML forbids in comments."""
    return message(text).rstrip(".")
