"""Frozen records of what an analysis found, and the schema of the report they make up."""

from nmcheck.results.bounds import AttackEntry, BoundsEntry, LayerBounds, RadiusEntry, SampleBounds
from nmcheck.results.cuts import CutError, LevelError
from nmcheck.results.flips import (
    ClassFlipEstimate,
    ClassFlips,
    ConfusionRow,
    EstimatedFlips,
    ImageFlipEstimate,
    ImageFlips,
    SampledFlips,
)
from nmcheck.results.layers import GraphNode
from nmcheck.results.model import ConsistencyEntry, DataEntry, ModelEntry, NoiseEntry, ToolEntry
from nmcheck.results.moments import (
    ClassMoments,
    FlipEntry,
    FloorEntry,
    LayerGain,
    LeftOut,
    LinearizedNode,
    MomentEntry,
    OverallMoments,
    PropagationEntry,
    ReferenceEntry,
)
from nmcheck.results.normalization import NoiseGain, NormalizationEntry
from nmcheck.results.report import Report

__all__ = [
    "AttackEntry",
    "BoundsEntry",
    "ClassFlipEstimate",
    "ClassFlips",
    "ClassMoments",
    "ConfusionRow",
    "ConsistencyEntry",
    "CutError",
    "DataEntry",
    "EstimatedFlips",
    "FlipEntry",
    "FloorEntry",
    "GraphNode",
    "ImageFlipEstimate",
    "ImageFlips",
    "LayerBounds",
    "LayerGain",
    "LeftOut",
    "LevelError",
    "LinearizedNode",
    "ModelEntry",
    "MomentEntry",
    "NoiseEntry",
    "NoiseGain",
    "NormalizationEntry",
    "OverallMoments",
    "PropagationEntry",
    "RadiusEntry",
    "ReferenceEntry",
    "Report",
    "SampleBounds",
    "SampledFlips",
    "ToolEntry",
]
