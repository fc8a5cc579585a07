"""What a bank says of itself: what it was made of, and how, so that nothing else is ever mixed with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import prod
from typing import Literal

import numpy as np

from nmcheck.linearize.bank.storage import Storage

FORMAT_VERSION = 1
"""Version of the layout of the file (docs/bank-format.md)."""

Arrays = dict[str, tuple[tuple[int, ...], np.dtype]]
"""Names, shapes and types of arrays."""


@dataclass(frozen=True)
class Arithmetic:
    """How the numbers are computed, to the bit: the same for a build, its continuation and its workers.

    Attributes:
        kernels: ``onednn``, or ``native`` for torch's own convolutions.
        sparse_head: whether the affine part in front is a sparse matrix multiplied in at the end.
        chunk: rows of A computed at once.
        holds_matrix: whether A is held as a whole; if not, its rows pass by and products with it are passes through
            the network.
        threads: of torch.
        torch: its version.
    """

    kernels: Literal["onednn", "native"]
    sparse_head: bool
    chunk: int
    holds_matrix: bool
    threads: int
    torch: str


@dataclass(frozen=True)
class Header:
    """Everything about a bank but its arrays.

    Attributes:
        model_fingerprint: sha256 of the model.
        data_name: the data as the user named it.
        data_sha256: of the images and labels the points stand for.
        images: their number.
        scale: name of the input scaling.
        gain: its factor, flattened: one number or one a channel.
        offset: what it adds, likewise.
        cut: the ReLU or ReLU-decomposable node linearized around.
        cut_kind: ``cut`` if every path crosses it, else ``skip``.
        linearizer: ``taylor`` or ``averaged``.
        sigma: noise level that ``averaged`` averages over, in pixel units; None for ``taylor``.
        pairs: antithetic pairs of noise draws it averages over; 0 for ``taylor``.
        choice: how the points were chosen: ``images``, ``centers``, ``medoid`` or ``farthest``.
        wanted: points asked for; more than ``points`` where the data have fewer images.
        points: number of points, k.
        seed: of the choice and of all draws.
        input_shape: shape of one sample, with a batch axis of 1.
        n: its elements.
        p: units of the ReLU.
        d: logits.
        classes: classes of the class mix.
        storage: what is kept of A.
        inner_is_constant: whether A is the same at all points and kept once.
        outer_is_constant: whether B, c2 and C are.
        arithmetic: how the numbers are computed.
    """

    model_fingerprint: str
    data_name: str
    data_sha256: str
    images: int
    scale: str
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    cut: str
    cut_kind: Literal["cut", "skip"]
    linearizer: Literal["taylor", "averaged"]
    sigma: float | None
    pairs: int
    choice: Literal["images", "centers", "medoid", "farthest"]
    wanted: int
    points: int
    seed: int
    input_shape: tuple[int, ...]
    n: int
    p: int
    d: int
    classes: int
    storage: Storage
    inner_is_constant: bool
    outer_is_constant: bool
    arithmetic: Arithmetic

    @property
    def inner_arrays(self) -> Arrays:
        """What is kept of A."""
        return self.storage.arrays(self.n, self.p)

    @property
    def outer_arrays(self) -> Arrays:
        """What is kept of B, c2 and C."""
        single = np.dtype(np.float32)
        skip: Arrays = {"skip": ((self.d, self.n), single)} if self.cut_kind == "skip" else {}
        return {"outer": ((self.d, self.p), single), "bias": ((self.d,), np.dtype(np.float64)), **skip}

    @property
    def cross_arrays(self) -> Arrays:
        """What is kept of A C', where neither A nor its product with C can be had otherwise."""
        if self.cut_kind == "cut" or self.storage.kind == "full":
            return {}
        return {"cross": ((self.p, self.d), np.dtype(np.float32))}

    @property
    def point_arrays(self) -> Arrays:
        """What is kept of every point's linearization."""
        return {
            **({} if self.inner_is_constant else self.inner_arrays),
            **({} if self.outer_is_constant else self.outer_arrays),
            **({} if self.inner_is_constant and self.outer_is_constant else self.cross_arrays),
        }

    @property
    def constant_arrays(self) -> Arrays:
        """What is kept once for all points."""
        everything = {**self.inner_arrays, **self.outer_arrays, **self.cross_arrays}
        return {name: entry for name, entry in everything.items() if name not in self.point_arrays}

    @property
    def choice_arrays(self) -> Arrays:
        """What is kept of every point's choice: known before anything is linearized."""
        return {
            "centers": ((self.n,), np.dtype(np.float32)),
            "members": ((), np.dtype(np.int64)),
            "class_mix": ((self.classes,), np.dtype(np.int64)),
            "reach": ((), np.dtype(np.float64)),
        }

    @property
    def bytes_per_point(self) -> int:
        """Bytes of all arrays of a point, its checksum and its mark of being done included."""
        return 5 + array_bytes({**self.choice_arrays, **self.point_arrays})

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        return self.points * self.bytes_per_point + array_bytes(self.constant_arrays)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), sort_keys=True)

    def refusal_to_continue(self, other: Header) -> str | None:
        """Why a build that would have the header ``other`` cannot go on with this bank; None if it can.

        How numbers are computed is this bank's matter and does not count. Nor do the points there are in the end, which
        the points wanted and the images determine: images that are equal share one.
        """
        for name, what in _NAMES.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"it was begun with another {what} ({_short(mine)}, not {_short(theirs)})"
        return None


_NAMES = {
    "model_fingerprint": "model",
    "data_sha256": "choice of images",
    "images": "number of images",
    "data_name": "name of the data",
    "scale": "--scale",
    "gain": "factor of the input scaling",
    "offset": "offset of the input scaling",
    "cut": "--cut",
    "cut_kind": "kind of cut",
    "linearizer": "--linearizer",
    "sigma": "--sigma",
    "pairs": "number of noise pairs to average over",
    "storage": "--store or --dtype",
    "wanted": "number of points -k",
    "choice": "--points",
    "seed": "--seed",
    "input_shape": "input shape",
    "n": "number of input elements",
    "p": "number of units at the cut",
    "d": "number of logits",
    "classes": "number of classes",
    "inner_is_constant": "finding of whether A is the same at all points",
    "outer_is_constant": "finding of whether B is the same at all points",
}
"""What must agree for a build to go on, in the order in which it is said: every field but ``points`` and
``arithmetic``."""


def array_bytes(arrays: Arrays) -> int:
    """Bytes of arrays."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in arrays.values())


def _short(value: object) -> str:
    if isinstance(value, tuple):
        value = ", ".join(str(one) for one in value)
    text = f"{value.name} in {value.dtype}" if isinstance(value, Storage) else str(value)
    return text if len(text) <= 60 else f"{text[:16]}..."
