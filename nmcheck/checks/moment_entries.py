"""From the runs of engines and reference to the entries of a report."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, Literal

import numpy as np
import torch

from nmcheck.checks.case import Case
from nmcheck.checks.engines import BASELINES, INDEPENDENT
from nmcheck.checks.flip_entries import estimated_flips
from nmcheck.checks.moments import EngineRun, MomentRuns, infinite_outputs
from nmcheck.checks.options import LEAST_REFERENCE_SAMPLES, AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED
from nmcheck.checks.propagation_entry import propagation_entry
from nmcheck.checks.reference_run import sampled_moments
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.moments.flips import FlipInterval, pooled_clopper_pearson
from nmcheck.moments.tightness import SampledMoments, Tightness, floor, overall, per_class
from nmcheck.results import (
    ClassMoments,
    FlipEntry,
    FloorEntry,
    MomentEntry,
    OverallMoments,
    ReferenceEntry,
)

MASKED = "the class is masked: its logit is minus infinity for every input"
NO_COVARIANCE = "this engine gives variances only, and a flip probability needs the logits' covariance"
ONE_IMAGE = "a standard error over images needs at least two"
NO_SPREAD = "the reference finds no variance in some logit"
UNRESOLVED = (
    "the reference's standard error is at the rounding of its own arithmetic (hardly a noise sample crossed a kink), "
    "so no error can be stated in units of it"
)


def moment_entries(
    case: Case, options: AnalyzeOptions, runs: MomentRuns, network: SampledNetwork
) -> tuple[MomentEntry, ...]:
    """One entry per noise level and engine, in the order asked for; masked classes have no numbers and no part in any."""
    entries: list[MomentEntry] = []
    linearizer = "averaged" if options.linearizer == "averaged" else "taylor"
    for sigma in options.sigmas:
        references = runs.references[sigma]
        sampled = _of_classes(sampled_moments(references), case.unmasked)
        if not all(np.isfinite(array).all() for array in astuple(sampled)):
            raise infinite_outputs(case, sigma)
        flips = pooled_clopper_pearson((found.flips, found.flip_trials) for found in references)
        lowest = floor(sampled)
        reference = ReferenceEntry(
            method="plain" if options.reference == "plain" else "control-variate",
            n=references[0].samples,
            pilot=0 if options.reference_error is None else LEAST_REFERENCE_SAMPLES,
            execution=network.description,
            floor=FloorEntry(mean_er=lowest.mean_er, var_er=lowest.var_er),
        )
        for engine in runs.plan.engines:
            run = runs.engines[sigma, engine]
            seconds = run.seconds / len(references)
            estimated = estimated_flips(case, run)
            cut, kind, way = _cut(runs, engine, linearizer)
            entries.append(
                MomentEntry(
                    sigma_pixel=sigma,
                    sigma_model=tuple(sigma * gain for gain in case.scale.gains),
                    engine=engine,
                    baseline=BASELINES.get(engine),
                    cut=cut,
                    cut_kind=kind,
                    linearizer=way,
                    bank=runs.bank.use if runs.bank is not None and engine == "bank" else None,
                    propagation=propagation_entry(case, run.propagated, sampled) if run.propagated else None,
                    reference=reference,
                    per_class=_per_class(case, run, sampled, network.rounding),
                    overall=_overall(case, run, sampled, flips, _no_flips(engine)),
                    flips=estimated,
                    flips_reason=None if estimated is not None else _no_flips(engine),
                    seconds_per_input=seconds,
                    forward_passes_per_input=seconds / runs.seconds_per_forward,
                )
            )
    return tuple(entries)


def _cut(
    runs: MomentRuns, engine: str, linearizer: Literal["taylor", "averaged"]
) -> tuple[str | None, Literal["cut", "skip"] | None, Literal["taylor", "averaged"] | None]:
    """What an engine linearizes around and how; a bank's are its own."""
    if engine == "bank" and runs.bank is not None:
        header = runs.bank.header
        return header.cut, header.cut_kind, header.linearizer
    if engine in LINEARIZED and runs.plan.cut is not None:
        return runs.plan.cut.name, runs.cut_kind, linearizer
    return None, None, None


def _of_classes(sampled: SampledMoments, classes: np.ndarray) -> SampledMoments:
    return SampledMoments(*(array[:, classes] for array in astuple(sampled)))


def _arrays(case: Case, run: EngineRun) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances of the classes that are not masked."""
    mean, variance = ([getattr(one, name) for one in run.moments] for name in ("mean", "variance"))
    return tuple(torch.stack(values).cpu().numpy()[:, case.unmasked] for values in (mean, variance))


def _per_class(case: Case, run: EngineRun, sampled: SampledMoments, rounding: float) -> tuple[ClassMoments, ...]:
    mean, variance = _arrays(case, run)
    missing = _missing_variance(run)
    found = [
        ClassMoments(
            class_=int(case.unmasked[one.class_index]),
            **_tightness(one, missing),
            mean_z=one.mean_z,
            mean_z_reason=None if one.mean_z is not None else UNRESOLVED,
            var_z=None if missing else one.var_z,
            var_z_reason=missing or (None if one.var_z is not None else UNRESOLVED),
            images=one.images,
        )
        for one in per_class(mean, variance, sampled, rounding)
    ]
    found += [_masked(c, len(run.moments)) for c in case.graph.masked]
    return tuple(sorted(found, key=lambda one: one.class_))


def _masked(c: int, images: int) -> ClassMoments:
    """The entry of a masked class."""
    numbers = ("mean_er", "mean_er_se", "var_er", "var_er_se", "mean_bias_sd", "var_ratio", "mean_z", "var_z")
    fields: dict[str, Any] = dict.fromkeys(numbers) | {f"{name}_reason": MASKED for name in numbers}
    return ClassMoments(class_=c, images=images, **fields)


def _no_flips(engine: str) -> str:
    """Why an engine without a covariance says nothing of flips."""
    return INDEPENDENT if engine == "diagonal" else NO_COVARIANCE


def _overall(
    case: Case, run: EngineRun, sampled: SampledMoments, flips: FlipInterval, no_flips: str
) -> OverallMoments:
    mean, variance = _arrays(case, run)
    analytic = [flip for flip in run.flips if flip is not None]
    return OverallMoments(
        **_tightness(overall(mean, variance, sampled), _missing_variance(run)),
        flip=FlipEntry(
            analytic=float(np.mean(analytic)) if analytic else None,
            analytic_reason=None if analytic else no_flips,
            sampled=flips.rate,
            low=flips.low,
            high=flips.high,
            confidence=flips.confidence,
            trials=flips.n,
        ),
    )


def _tightness(found: Tightness, missing: str | None) -> dict[str, Any]:
    """The fields that entries per class and overall share; ``missing`` says why there are no variances."""
    fields: dict[str, Any] = {}
    for key, value, reason in (
        ("mean_er", found.mean_er, None),
        ("mean_er_se", found.mean_er_se, ONE_IMAGE),
        ("var_er", found.var_er, None),
        ("var_er_se", found.var_er_se, ONE_IMAGE),
        ("mean_bias_sd", found.mean_bias_sd, NO_SPREAD),
        ("var_ratio", found.var_ratio, NO_SPREAD),
    ):
        if missing and key.startswith("var_"):
            value, reason = None, missing  # noqa: PLW2901
        fields[key] = value
        fields[f"{key}_reason"] = reason if value is None else None
    return fields


def _missing_variance(run: EngineRun) -> str | None:
    reasons = [one.no_variance for one in run.moments if one.no_variance is not None]
    if not reasons:
        return None
    some = f", which happens in {len(reasons)} of {len(run.moments)} images" if len(reasons) < len(run.moments) else ""
    return reasons[0] + some
