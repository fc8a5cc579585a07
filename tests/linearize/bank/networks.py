"""Headers and makers of banks of tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from models import small_lenet, write
from onnx import ModelProto
from residual_network import SHAPE, residual_network

from nmcheck.graph.cuts import cut_points
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.linearize.bank.cost import sizes_at
from nmcheck.linearize.bank.header import Arithmetic, Header
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.points import Points, choose_points
from nmcheck.linearize.bank.storage import parse_storage

PLAIN = Arithmetic("native", sparse_head=True, chunk=4, holds_matrix=True, threads=1, torch=torch.__version__)


def graph_of(made: ModelProto, folder: Path) -> Graph:
    return load_graph(write(made, folder))


def lenet_graph(folder: Path) -> Graph:
    return graph_of(small_lenet(), folder)


def residual_graph(folder: Path) -> Graph:
    return graph_of(residual_network(), folder)


def images(graph: Graph, count: int, seed: int = 5) -> np.ndarray:
    """Flattened, half of the pixels exactly zero as in pictures of digits."""
    n = int(np.prod(graph.shapes[graph.input]))
    generator = np.random.default_rng(seed)
    return generator.random((count, n)) * (generator.random((count, n)) < 0.5)


def points_of(graph: Graph, k: int = 4, count: int = 12) -> Points:
    labels = np.arange(count, dtype=np.int64) % 3
    return choose_points(images(graph, count), labels, 3, k, choice="centers", seed=0)


def header_of(
    graph: Graph,
    cut: str,
    points: Points,
    *,
    store: str = "gram",
    dtype: str = "float32",
    sigma: float | None = None,
    arithmetic: Arithmetic = PLAIN,
) -> tuple[Header, PointMaker]:
    maker = PointMaker(graph, cut)
    node = graph.by_name[cut]
    sizes = sizes_at(graph, node)
    kind: Literal["cut", "skip"] = next(point.kind for point in cut_points(graph) if point.node == node)
    header = Header(
        model_fingerprint=graph.model.fingerprint,
        data_name="tiny",
        data_sha256="0" * 64,
        images=int(points.members.sum()),
        scale="unit",
        gain=(1.0,),
        offset=(0.0,),
        cut=cut,
        cut_kind=kind,
        linearizer="taylor" if sigma is None else "averaged",
        sigma=sigma,
        pairs=0 if sigma is None else 8,
        choice=points.choice,
        wanted=len(points),
        points=len(points),
        seed=0,
        input_shape=graph.shapes[graph.input],
        n=sizes.n,
        p=sizes.p,
        d=sizes.d,
        classes=3,
        storage=parse_storage(store, dtype),
        inner_is_constant=maker.taylor.inner_is_constant,
        outer_is_constant=maker.taylor.outer_is_constant,
        arithmetic=arithmetic,
    )
    return header, maker


__all__ = ["SHAPE"]
