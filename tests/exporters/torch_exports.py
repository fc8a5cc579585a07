"""torch's two ONNX exporters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnx.parser
import torch
from exporters.torch_networks import IMAGE, network
from onnxruntime import InferenceSession
from torch.export import Dim, ExportedProgram

FIXED = 1
_TRACED = 2
"""Batch that a dynamic one is traced with; of a batch of 1 torch concludes that it is always 1."""


@dataclass(frozen=True)
class Export:
    """One way to write a network to a file.

    Attributes:
        network: its name.
        dynamo: whether by the default exporter; else by the legacy one, TorchScript's.
        opset: operator set.
        batch: the fixed batch, or None for a dynamic one.
    """

    network: str
    dynamo: bool
    opset: int
    batch: int | None

    def __str__(self) -> str:
        kind = "dynamo" if self.dynamo else "legacy"
        return f"{self.network}-{kind}{self.opset}-{'any' if self.batch is None else self.batch}"

    def write(self, folder: Path) -> Path:
        """Export and return the file's path.

        Raises:
            UnsupportedOperatorError: the legacy exporter cannot write the network in this operator set.
        """
        path = folder / f"{self}.onnx"
        with _quiet():
            if self.dynamo:
                torch.onnx.export(
                    _exported(self.network, self.batch), (), str(path), dynamo=True, opset_version=self.opset,
                    verbose=False, input_names=["x"], output_names=["y"], external_data=False,
                )  # fmt: skip
            else:
                torch.onnx.export(
                    network(self.network), (_images(self.batch),), str(path), dynamo=False, opset_version=self.opset,
                    input_names=["x"], output_names=["y"], dynamic_axes=None if self.batch else {"x": {0: "N"}},
                )  # fmt: skip
        return path


@lru_cache(maxsize=2)
def _exported(name: str, batch: int | None) -> ExportedProgram:
    """The first half of the default exporter's work, which is the same for all operator sets."""
    shapes = None if batch else ({0: Dim("N")},)
    return torch.export.export(network(name), (_images(batch),), dynamic_shapes=shapes)


def _images(batch: int | None) -> torch.Tensor:
    return torch.zeros(batch or _TRACED, *IMAGE)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn about themselves, of what they trace, and log what they do not find."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


_NEWEST_WRITTEN = 25
"""The last operator set onnxscript converts to. Of a transformer in 26, torch 2.13 writes a file that claims set 18 and
uses operators of 23: ONNX's own converter, which comes next, has no way from the older Gelu."""


def newest_opset() -> int:
    """The newest operator set that torch writes and onnxruntime runs."""
    return max(opset for opset in range(18, _NEWEST_WRITTEN + 1) if _runs(opset))


def _runs(opset: int) -> bool:
    made = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> g (float[N] x) => (float[N] y) {{ y = Relu(x) }}'
    )
    try:
        InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        if "opset" in str(error).lower():
            return False
        raise
    return True
