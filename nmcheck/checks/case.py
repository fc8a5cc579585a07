"""What every analysis starts from: the model and the images it is asked about."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.network import NetworkBounds, network_bounds
from nmcheck.checks.noise import noise_structure
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.data import (
    Dataset,
    InputNoise,
    InputScale,
    check_labels,
    digest,
    input_scale,
    parse_noise,
    read_data,
    read_noise,
    select,
    to_model_layout,
)
from nmcheck.decision import predicted_class
from nmcheck.errors import ModelError, UsageError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.graph.scaling import with_input_scale
from nmcheck.moments.gaussian import NoiseStructure

_MOST_CLASSES = 2**17
"""More logits are an image, not classes, and a report says something about each of them."""


@dataclass(frozen=True)
class TimedBounds:
    """Bounds of the network at the images, and what they took.

    Attributes:
        found: the bounds.
        seconds: wall time, the layer constants included.
    """

    found: NetworkBounds
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """One model and the images it is analysed on.

    Attributes:
        file_graph: the model as its file has it, in model units.
        graph: the same behind its input scaling: it takes pixels.
        scale: that scaling.
        dataset: the data the images were chosen from.
        positions: which of its images are used, ascending.
        pixels: those images in pixel units and the model's layout, float64, shape (images, *input shape).
        labels: their labels, or None.
        noise: the noise of the model's input, up to its level.
        device: where torch computes.
    """

    file_graph: Graph
    graph: Graph
    scale: InputScale
    dataset: Dataset
    positions: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray | None
    noise: InputNoise
    device: str

    @cached_property
    def single(self) -> Program:
        """The network in float32, the precision it is deployed in."""
        return Program(self.graph, torch.float32, self.device)

    @cached_property
    def double(self) -> Program:
        """The network in float64, for everything analytic."""
        return Program(self.graph, torch.float64, self.device)

    @cached_property
    def images(self) -> Tensor:
        """The pixels as a float64 tensor on the device."""
        return torch.from_numpy(self.pixels).to(self.device)

    @cached_property
    def structure(self) -> NoiseStructure:
        """The noise's covariance up to sigma^2."""
        return noise_structure(self.noise, self.device)

    @cached_property
    def logits(self) -> Tensor:
        """Clean logits of the images in float64, shape (images, classes)."""
        return self.double(self.images)

    @cached_property
    def predicted(self) -> Tensor:
        """The class the network gives each image in float64, shape (images,)."""
        return predicted_class(self.logits)

    @cached_property
    def logit_offsets(self) -> Tensor:
        """What each logit has of constants added at the end, whatever the image, shape (classes,)."""
        return LayerConstants(self.graph, self.double).logit_offsets()

    @cached_property
    def layer_bounds(self) -> TimedBounds:
        """Certified and published bounds of every layer and of the network at every image."""
        start = time.perf_counter()
        found = network_bounds(self.graph, self.double, self.images)
        return TimedBounds(found, time.perf_counter() - start)

    @cached_property
    def unmasked(self) -> np.ndarray:
        """The classes that can be chosen, ascending."""
        return np.setdiff1d(np.arange(self.single.classes), self.graph.masked)

    @cached_property
    def classes_of_images(self) -> Tensor:
        """The labels, or the network's own predictions where the data has none."""
        return self.predicted if self.labels is None else torch.from_numpy(self.labels).to(self.device)

    @cached_property
    def correct(self) -> Tensor:
        """Which images are classified as labelled, shape (images,)."""
        return self.predicted == self.classes_of_images

    @cached_property
    def sha256(self) -> str:
        """Digest of the pixels and labels used."""
        return digest(self.dataset.pixels(self.positions), self.labels)


def open_case(options: AnalyzeOptions) -> Case:
    """Read the model and the data and bring them together.

    Raises:
        ModelError: the model cannot be read, or has fewer than two logits.
        DataError: the data cannot be read or does not fit the model.
        UsageError: the options do not fit the model or this machine.
    """
    device = _device(options.device)
    noise = parse_noise(options.noise)
    graph = load_graph(options.model)
    classes = int(np.prod(graph.shapes[graph.logits]))
    if classes < 2:
        raise ModelError(
            f"{options.model}: its output '{graph.logits}' has a single value, so there is no other class the label "
            "could change to; nmcheck analyses classifiers with at least two logits."
        )
    if classes > _MOST_CLASSES:
        raise ModelError(
            f"{options.model}: its output '{graph.logits}' has {classes:,} values, which are no classes; nmcheck "
            f"analyses classifiers with at most {_MOST_CLASSES:,} logits."
        )
    input_shape = graph.shapes[graph.input]
    scale = input_scale(options.scale, graph.model.metadata, input_shape, graph.batch_axis)
    dataset = read_data(options.data, options.value_range, options.samples, options.seed)
    check_labels(dataset, classes)
    positions = select(dataset, options.samples, options.seed)
    images = dataset.pixels(positions)
    pixels = to_model_layout(images, input_shape, graph.batch_axis)
    return Case(
        file_graph=graph,
        graph=with_input_scale(graph, scale.gain, scale.offset),
        scale=scale,
        dataset=dataset,
        positions=positions,
        pixels=pixels.astype(np.float64),
        labels=None if dataset.labels is None else dataset.labels[positions],
        noise=read_noise(noise, images.shape[1:], input_shape, graph.batch_axis),
        device=device,
    )


def _device(wanted: str) -> str:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no CUDA device on this machine; use --device cpu.")
    if wanted == "auto":
        return "cuda" if available else "cpu"
    return wanted
