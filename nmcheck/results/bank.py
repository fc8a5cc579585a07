"""Banks of linearizations: what one holds, whether it is sound, and how it served an analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.model import ToolEntry
from nmcheck.results.record import Count, NonNegative, Record


@dataclass(frozen=True, kw_only=True)
class BankUse(Record):
    """The bank that served an engine, and how near its points are to the images.

    Attributes:
        path: its file.
        points: number of points the network was linearized at.
        choice: how they were chosen: ``images``, ``centers``, ``medoid`` or ``farthest``.
        storage: what it keeps of A: ``gram``, ``full`` or ``low-rank:r``.
        dtype: ``float16`` or ``float32``.
        anchor: where its models agree with the network: at the ``point``, as in the papers, or at the ``image``, from
            whose nearest point only the slopes are then.
        data_sha256: of the images and labels its points stand for.
        distance_mean: Euclidean distance of an image to the nearest point, in pixel units, averaged over the images.
        distance_median: its median.
        distance_largest: the largest.
        distance_members: the largest distance of any image the bank was made for to its nearest point; where each of
            these is a point itself, to the nearest other one.
        beyond: images farther from their point than that.
    """

    path: str
    points: Count
    choice: Literal["images", "centers", "medoid", "farthest"]
    storage: str
    dtype: Literal["float16", "float32"]
    anchor: Literal["point", "image"]
    data_sha256: str
    distance_mean: NonNegative
    distance_median: NonNegative
    distance_largest: NonNegative
    distance_members: NonNegative
    beyond: Count


@dataclass(frozen=True, kw_only=True)
class BankPreview(Record):
    """What a bank costs.

    Attributes:
        n: elements of the input.
        p: units of the ReLU.
        d: logits.
        cut: the ReLU node.
        cut_kind: ``cut`` or ``skip``.
        points: points wanted.
        images: images they are chosen from.
        storage: what is kept of A.
        dtype: ``float16`` or ``float32``.
        bytes_per_point: on the disk.
        bytes: of the whole file.
        memory: bytes of memory that the building of a point takes at most.
        seconds_per_point: measured on one chunk of rows.
        seconds: for all points in one process, the choice of the points apart.
        kernels: the convolutions that were faster: ``onednn`` or torch's own, ``native``.
        sparse_head: whether the affine part in front enters as a sparse matrix.
        chunk: rows of A at a time.
        warnings: what the user should doubt, such as files of the data that were left out.
    """

    n: int
    p: int
    d: int
    cut: str
    cut_kind: Literal["cut", "skip"]
    points: int
    images: int
    storage: str
    dtype: Literal["float16", "float32"]
    bytes_per_point: int
    bytes: int
    memory: int
    seconds_per_point: float
    seconds: float
    kernels: Literal["onednn", "native"]
    sparse_head: bool
    chunk: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BankInfo(Record):
    """What a bank holds.

    Attributes:
        tool: the program that read it.
        path: its file.
        format_version: of its layout.
        model_fingerprint: sha256 of the model it was made of.
        data: name of the data its points stand for.
        data_sha256: of the images and labels used.
        images: their number.
        scale: the input scaling.
        k: number of points.
        choice: how they were chosen: ``images``, ``centers``, ``medoid`` or ``farthest``.
        seed: of the choice and of all draws.
        complete: whether all points are done.
        points_done: how many are.
        cut: the ReLU node linearized around.
        cut_kind: ``cut`` if every path crosses it, else ``skip``.
        linearizer: ``taylor`` or ``averaged``.
        sigma: noise level that ``averaged`` is made for, in pixel units.
        sigma_reason: why there is none.
        n: elements of the input.
        p: units of the ReLU.
        d: logits.
        storage: what is kept of A: ``full``, ``gram`` or ``low-rank:r``.
        dtype: ``float16`` or ``float32``.
        constant: parts that are the same at all points and kept once: ``inner`` (A), ``outer`` (B, c2, C).
        bytes: size of the file.
        bytes_per_point: the same over the number of points.
        members_mean: images a point stands for, averaged over the points.
        members_largest: the most.
        reach_largest: the largest distance of an image to the point that stands for it.
        energy: share of A's squared norm in the low-rank factor, averaged over the points that are done.
        energy_reason: why there is none.
        kernels: convolutions it was computed with: ``onednn`` or torch's own, ``native``.
        sparse_head: whether the affine part in front entered as a sparse matrix.
        chunk: rows of A computed at a time.
        torch: version of torch.
    """

    tool: ToolEntry
    path: str
    format_version: int
    model_fingerprint: str
    data: str
    data_sha256: str
    images: int
    scale: str
    k: int
    choice: Literal["images", "centers", "medoid", "farthest"]
    seed: int
    complete: bool
    points_done: int
    cut: str
    cut_kind: Literal["cut", "skip"]
    linearizer: Literal["taylor", "averaged"]
    sigma: float | None
    sigma_reason: str | None = None
    n: int
    p: int
    d: int
    storage: str
    dtype: Literal["float16", "float32"]
    constant: tuple[str, ...]
    bytes: int
    bytes_per_point: float
    members_mean: float
    members_largest: int
    reach_largest: float
    energy: float | None
    energy_reason: str | None = None
    kernels: Literal["onednn", "native"]
    sparse_head: bool
    chunk: int
    torch: str


@dataclass(frozen=True, kw_only=True)
class BankVerification(Record):
    """Whether a bank is sound and of a model.

    A bank that is not complete can be sound as far as it goes: what is there is checked, and analyses refuse it until
    the rest is there too.

    Attributes:
        tool: the program that checked it.
        path: its file.
        model: the model it was compared with.
        k: number of points.
        complete: whether all points are done.
        points_done: how many are done; all their checksums agree.
        recomputed: positions of the points that were computed again; what is kept once for all points is computed again
            too.
        identical: whether these came out the same to the bit.
        difference: largest difference of an array computed again, relative to its largest entry.
        sound: always true, and only of the points that are done: a bank that is not ends in an error that says why.
    """

    tool: ToolEntry
    path: str
    model: str
    k: int
    complete: bool
    points_done: int
    recomputed: tuple[int, ...]
    identical: bool
    difference: float
    sound: bool = True
