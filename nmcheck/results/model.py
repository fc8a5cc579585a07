"""What was analysed: the tool, the model, the data, the noise and the agreement of the two executions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nmcheck.noise_laws import KINDS
from nmcheck.results.record import Count, CountFromOne, NonNegative, Record, Sha256, Share, one_of


@dataclass(frozen=True, kw_only=True)
class ToolEntry(Record):
    """The program that wrote the report.

    Attributes:
        name: always ``nmcheck``.
        version: its version.
    """

    name: Literal["nmcheck"] = "nmcheck"
    version: str


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Record):
    """The model analysed.

    Attributes:
        path: the file as the user named it.
        fingerprint: sha256 over the graph and all weight bytes, external ones too.
        opset: version of ONNX's own operator set in the file.
        producer: name and version of the exporter, empty if the file does not say.
        input_shape: shape of one sample as the graph takes it, a batch axis counted as 1.
        classes: number of logits.
        masked: classes among them that are never chosen, their logit being minus infinity for every input.
    """

    path: str
    fingerprint: Sha256
    opset: CountFromOne
    producer: str
    input_shape: tuple[int, ...]
    classes: CountFromOne
    masked: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataEntry(Record):
    """The images analysed.

    Attributes:
        name: the data as the user named it.
        samples: number of images used.
        available: number of images in the data.
        selection: how the images used were chosen, a sentence.
        sha256: digest of the pixels and labels used.
        scale: input scaling applied in front of the model: ``unit``, ``byte`` or ``mean=...:std=...``.
        scale_source: where the scaling came from: ``--scale``, the model's metadata or the default.
        labels: ``given`` with the data, or ``predicted`` by the model itself.
        accuracy: share of the images used that the model classifies as labelled.
        accuracy_reason: why there is no accuracy.
    """

    name: str
    samples: CountFromOne
    available: CountFromOne
    selection: str
    sha256: Sha256
    scale: str
    scale_source: Literal["option", "metadata", "default"]
    labels: Literal["given", "predicted"]
    accuracy: Share | None
    accuracy_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoiseEntry(Record):
    """What the noise is like, up to its level sigma.

    Attributes:
        kind: ``isotropic`` (Gaussian, of one strength everywhere), ``uniform``, or how it was given: a ``window`` of
            rows and columns with none outside, ``diagonal`` by relative standard deviations, or by a ``factor`` of the
            covariance.
        description: a few words.
        directions: independent directions it has.
    """

    kind: Annotated[str, one_of(*KINDS)]
    description: str
    directions: CountFromOne


@dataclass(frozen=True, kw_only=True)
class ConsistencyEntry(Record):
    """Agreement of nmcheck's own execution with onnxruntime on the untouched file.

    Attributes:
        images: number of images compared, all those used.
        max_difference: largest difference of an output value, divided by its own scale: its spread over the images, and
            what rounding explains over the tolerance.
        precision: what the file computes in: ``half`` if any value it computes has 16 bits.
        tolerance: the difference above which the analysis refuses to go on, larger where the precision is half.
        runtime: name and version of the reference runtime.
        provider: its execution provider.
        device: device nmcheck's own execution ran on.
    """

    images: Count
    max_difference: NonNegative
    precision: Literal["single", "half"]
    tolerance: NonNegative
    runtime: str
    provider: str
    device: str
