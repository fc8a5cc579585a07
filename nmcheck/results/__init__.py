"""Frozen records of what an analysis found, and the schema of the report they make up."""

from nmcheck.results.bank import BankUse
from nmcheck.results.bounds import (
    UNREACHABLE,
    AccuracyPoint,
    AttackEntry,
    BoundsEntry,
    ClassChanges,
    IteratedStep,
    LayerAttack,
    LayerBounds,
    RadiusEntry,
    SampleBounds,
    certified_radius,
    stated,
)
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
from nmcheck.results.gate import GateBaseline, GateCheck, GateEntry, GateExample, GateWaiver
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
    "UNREACHABLE",
    "AccuracyPoint",
    "AttackEntry",
    "BankUse",
    "BoundsEntry",
    "ClassChanges",
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
    "GateBaseline",
    "GateCheck",
    "GateEntry",
    "GateExample",
    "GateWaiver",
    "GraphNode",
    "ImageFlipEstimate",
    "ImageFlips",
    "IteratedStep",
    "LayerAttack",
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
    "certified_radius",
    "stated",
]
