"""onnxruntime on the untouched file: the reference for everything, and the fast engine for sampling."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Num, Shaped

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.execute.chunks import images_at_once
from nmcheck.graph.ir import Graph
from nmcheck.graph.masking import NEVER

# When it is loaded, onnxruntime would begin to send reports on its use to Microsoft, and keep them in the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

_FATAL_ONLY = 4
"""What onnxruntime logs by itself: its errors are raised too, and become our own sentence."""
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


class ReferenceSession:
    """The file of a graph in onnxruntime.

    Args:
        graph: the graph whose file (``graph.model.path``) is run.
        device: ``cpu`` or ``cuda``.
        threads: threads inside an operator; by default all processors.

    Attributes:
        provider: the execution provider that onnxruntime put first.
        description: name and version of the runtime.
        dtype: floating-point type the file takes its input in; samples are rounded to it.

    Raises:
        ModelError: onnxruntime refuses the file.
        UnsupportedError: its input is of a type numpy does not have.
    """

    def __init__(self, graph: Graph, device: str = "cpu", threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.inter_op_num_threads = 1
        # Idle threads that spin take the processor from torch's, with which they alternate.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        wanted = [name for name in _PROVIDERS[device.partition(":")[0]] if name in available]
        path = Path(graph.model.path)
        try:
            os.fspath(path).encode()
        except UnicodeEncodeError as error:
            raise ModelError(
                f"{path}: its path holds a byte that is no UTF-8, and onnxruntime cannot open such a file; rename it."
            ) from error
        try:
            with _silenced():
                self._session = onnxruntime.InferenceSession(path, sess_options=options, providers=wanted)
        except Exception as error:
            raise ModelError(
                f"{path}: onnxruntime refuses the model ({_first_line(error)}); check that it was exported completely."
            ) from error
        self._graph = graph
        self._input = self._session.get_inputs()[0]
        if self._input.type not in _TYPES:
            raise UnsupportedError(
                f"{path}: input '{self._input.name}' is of type {self._input.type}, for which onnxruntime takes no "
                "numpy array; export the model with a float32 input."
            )
        self.dtype = np.dtype(_TYPES[self._input.type])
        self.provider = self._session.get_providers()[0]
        self.description = f"onnxruntime {onnxruntime.__version__}"

    def run(self, x: Num[np.ndarray, "batch *sample"]) -> Shaped[np.ndarray, "batch *output"]:
        """The file's output for a batch.

        Args:
            x: samples in model units (behind the input scaling), of the graph's input shape, batch axis included or
                left out.

        Returns:
            The output named ``graph.output``, shape (batch, *graph.shapes[graph.output]); minus infinity in a masked
            class's place as the graph has it, ``masking.NEVER``.

        Raises:
            ModelError: onnxruntime fails on them.
            ValueError: the samples do not have the file's shape.
        """
        graph = self._graph
        shape = graph.shapes[graph.input][0 if graph.batch_axis is None else 1 :]
        samples = np.asarray(x).astype(self.dtype, copy=False)
        if len(samples) == 0:
            return np.zeros((0, *graph.shapes[graph.output]), dtype=self.dtype)
        samples = samples.reshape(len(samples), *shape)
        any_size = graph.batch_axis is not None and graph.declared_batch is None
        size = images_at_once(graph) if any_size else graph.declared_batch or 1
        chunks = [self._run_chunk(samples[i : i + size], size) for i in range(0, len(samples), size)]
        return self._without_masks(np.concatenate(chunks))

    def _without_masks(self, output: Shaped[np.ndarray, "batch *output"]) -> Shaped[np.ndarray, "batch *output"]:
        """Finite numbers where the graph has them for masked classes; any other infinity stays one."""
        graph = self._graph
        if not graph.masked or prod(graph.shapes[graph.output]) != prod(graph.shapes[graph.logits]):
            return output
        # A half-precision output has no such number.
        finite = output.astype(np.promote_types(output.dtype, np.float32))
        flat, columns = finite.reshape(len(finite), -1), list(graph.masked)
        flat[:, columns] = np.where(flat[:, columns] == -np.inf, NEVER, flat[:, columns])
        return finite

    def _run_chunk(self, samples: Num[np.ndarray, "batch *sample"], size: int) -> Shaped[np.ndarray, "batch *output"]:
        """At most ``size`` samples; where the file insists on ``size``, the last one is repeated to fill up."""
        graph, count = self._graph, len(samples)
        if graph.batch_axis is None:
            fed = samples[0]
        elif graph.declared_batch is None or count == size:
            fed = samples
        else:
            fed = np.concatenate([samples, np.repeat(samples[-1:], size - count, axis=0)])
        try:
            with _silenced():
                result = np.asarray(self._session.run([graph.output], {self._input.name: fed})[0])
        except Exception as error:
            raise ModelError(
                f"{graph.model.path}: onnxruntime fails on an input of shape {list(fed.shape)} ({_first_line(error)}); "
                "check the model's declared input shape."
            ) from error
        rows = 1 if graph.batch_axis is None else len(fed)
        expected = graph.shapes[graph.output]
        if result.dtype.kind not in "fiub" or result.size != rows * prod(expected):
            raise ModelError(
                f"{graph.model.path}: onnxruntime gives {result.dtype} values of shape {list(result.shape)} for an "
                f"input of shape {list(fed.shape)}, where {list(expected)} a sample were expected; check the model's "
                "declared input shape."
            )
        return result.reshape(rows, *graph.shapes[graph.output])[:count]


def _silenced() -> redirect_stdout[StringIO]:
    """Keeps off standard output, which is the report's, what onnxruntime prints when it tries another provider."""
    return redirect_stdout(StringIO())


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
