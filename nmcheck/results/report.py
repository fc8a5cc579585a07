"""The whole report of one analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.bounds import BoundsEntry
from nmcheck.results.cuts import CutError
from nmcheck.results.flips import SampledFlips
from nmcheck.results.gate import GateEntry
from nmcheck.results.layers import GraphNode
from nmcheck.results.model import ConsistencyEntry, DataEntry, ModelEntry, NoiseEntry, ToolEntry
from nmcheck.results.moments import LeftOut, MomentEntry
from nmcheck.results.normalization import NormalizationEntry
from nmcheck.results.record import Count, NonNegative, Record


@dataclass(frozen=True, kw_only=True)
class Report(Record):
    """Everything one analysis found.

    Attributes:
        schema_version: version of this layout.
        tool: the program that wrote it.
        seed: seed of the image selection and of all noise.
        model: the model analysed.
        data: the images analysed.
        noise: what the noise is like.
        consistency: agreement of nmcheck's execution with onnxruntime.
        moments: one entry per noise level, engine and cut.
        moments_reason: why there are none.
        moments_left_out: engines asked for that cannot run on this model, while others do.
        cut_errors: the ReLUs that ``--cut best`` compared, in order; empty unless it was asked for.
        flips: how often noise changes the predicted class, one entry per noise level; empty where nothing was
            sampled. What engines estimate of it stands in their entries.
        bounds: one entry per norm and input domain.
        bounds_reason: why there are none.
        normalization: one entry per normalization layer, in order; empty if the model has none.
        graph: the nodes of the network from the input to the output, in order.
        warnings: what the user should doubt, a sentence each.
        notes: what was assumed or changed on the way, a sentence each.
        seconds: wall time of the analysis.
        seconds_reason: why it is not stated.
        gate: what the gate decided; null for other commands.
    """

    schema_version: Literal[1] = 1
    tool: ToolEntry
    seed: Count
    model: ModelEntry
    data: DataEntry
    noise: NoiseEntry
    consistency: ConsistencyEntry
    moments: tuple[MomentEntry, ...] | None
    moments_reason: str | None = None
    moments_left_out: tuple[LeftOut, ...] = ()
    cut_errors: tuple[CutError, ...] = ()
    flips: tuple[SampledFlips, ...] = ()
    bounds: tuple[BoundsEntry, ...] | None
    bounds_reason: str | None = None
    normalization: tuple[NormalizationEntry, ...]
    graph: tuple[GraphNode, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: NonNegative | None
    seconds_reason: str | None = None
    gate: GateEntry | None = None
