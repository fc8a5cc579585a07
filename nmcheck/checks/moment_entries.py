"""From the runs of engines and reference to the entries of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from nmcheck.moments.reference_moments import ReferenceMoments
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
ONE_IMAGE = "a standard error over images needs at least two in which noise moves the logit"
UNMOVED = "no noise sample moved this logit by more than rounding, so its variance is 0 as far as the reference shows"
NOTHING_MOVED = "no noise sample moved any logit by more than rounding, so there is nothing to compare"
ALL_TRUSTED = "no variance is carried by too few samples"


def moment_entries(
    case: Case, options: AnalyzeOptions, runs: MomentRuns, networks: Mapping[float, SampledNetwork]
) -> tuple[MomentEntry, ...]:
    """One entry per noise level and engine, in the order asked for.

    Masked classes have no numbers of their own and no part in those of all classes together.
    """
    entries: list[MomentEntry] = []
    linearizer = "averaged" if options.linearizer == "averaged" else "taylor"
    for sigma in options.sigmas:
        references = runs.references[sigma]
        sampled = sampled_moments(references)
        if not all(np.isfinite(array).all() for array in astuple(sampled)):
            raise infinite_outputs(case, sigma)
        flips = pooled_clopper_pearson((found.flips, found.flip_trials) for found in references)
        reference = _reference(options, references, sampled, networks[sigma])
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
                    per_class=_per_class(case, run, sampled),
                    overall=_overall(run, sampled, flips, _no_flips(engine)),
                    flips=estimated,
                    flips_reason=None if estimated is not None else _no_flips(engine),
                    seconds_per_input=seconds,
                    forward_passes_per_input=seconds / runs.seconds_per_forward,
                )
            )
    return tuple(entries)


def _reference(
    options: AnalyzeOptions, references: Sequence[ReferenceMoments], sampled: SampledMoments, network: SampledNetwork
) -> ReferenceEntry:
    lowest, moved = floor(sampled), sampled.moved
    controlled = torch.stack([found.controlled for found in references]).numpy()
    needed = [found.samples_for_tails for found in references]
    enough = max((samples for samples in needed if samples is not None), default=None)
    return ReferenceEntry(
        method="plain" if options.reference == "plain" else "control-variate",
        n=references[0].samples,
        pilot=0 if options.reference_error is None else LEAST_REFERENCE_SAMPLES,
        execution=network.description,
        floor=FloorEntry(
            mean_er=None if lowest is None else lowest.mean_er,
            mean_er_reason=NOTHING_MOVED if lowest is None else None,
            var_er=None if lowest is None else lowest.var_er,
            var_er_reason=NOTHING_MOVED if lowest is None else None,
        ),
        logits=moved.size,
        unmoved=int((~moved).sum()),
        plain=int((moved & ~controlled).sum()),
        heavy_tailed=sum(int(found.heavy_tailed.sum()) for found in references),
        samples_for_tails=enough,
        samples_for_tails_reason=ALL_TRUSTED if enough is None else None,
    )


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


def _arrays(run: EngineRun) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = ([getattr(one, name) for one in run.moments] for name in ("mean", "variance"))
    return torch.stack(mean).cpu().numpy(), torch.stack(variance).cpu().numpy()


def _per_class(case: Case, run: EngineRun, sampled: SampledMoments) -> tuple[ClassMoments, ...]:
    mean, variance = _arrays(run)
    missing = _missing_variance(run)
    still = dict.fromkeys(case.graph.masked, MASKED)
    return tuple(
        ClassMoments(
            class_=one.class_index,
            **_tightness(one, missing, still.get(one.class_index, UNMOVED)),
            mean_z=one.mean_z,
            mean_z_reason=None if one.mean_z is not None else still.get(one.class_index, UNMOVED),
            var_z=None if missing else one.var_z,
            var_z_reason=None
            if one.var_z is not None and not missing
            else missing or still.get(one.class_index, UNMOVED),
            images=one.images,
        )
        for one in per_class(mean, variance, sampled)
    )


def _no_flips(engine: str) -> str:
    """Why an engine without a covariance says nothing of flips."""
    return INDEPENDENT if engine == "diagonal" else NO_COVARIANCE


def _overall(run: EngineRun, sampled: SampledMoments, flips: FlipInterval, no_flips: str) -> OverallMoments:
    mean, variance = _arrays(run)
    analytic = [flip for flip in run.flips if flip is not None]
    return OverallMoments(
        **_tightness(overall(mean, variance, sampled), _missing_variance(run), NOTHING_MOVED),
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


def _tightness(found: Tightness, missing: str | None, unmoved: str) -> dict[str, Any]:
    """The fields that entries per class and overall share.

    Args:
        found: the numbers.
        missing: why there are no variances; None if there are.
        unmoved: what to say where no sample moved what is averaged.
    """
    fields: dict[str, Any] = {"unmoved": found.unmoved}
    one = unmoved if found.mean_er is None else ONE_IMAGE
    for key, value, reason in (
        ("mean_er", found.mean_er, unmoved),
        ("mean_er_se", found.mean_er_se, one),
        ("var_er", found.var_er, unmoved),
        ("var_er_se", found.var_er_se, one),
        ("mean_bias_sd", found.mean_bias_sd, unmoved),
        ("var_ratio", found.var_ratio, unmoved),
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
