"""Points made by several processes, here or on a cluster. The only use of joblib.

Workers compute, and the one process that holds the file writes: what arrives is written at once, in any order. Each
worker has one thread, as a build in one process has, so that the numbers are the same to the bit.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import joblib
import numpy as np
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from nmcheck.allocator import keep_freed_memory
from nmcheck.errors import BankError
from nmcheck.graph.ir import Graph
from nmcheck.linearize.bank.build import Making
from nmcheck.linearize.bank.cluster import PATIENCE, deaths, made_there
from nmcheck.linearize.bank.content import Content
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.make import PointMaker

_Task = tuple[Header, list[int], np.ndarray]
POINTS_A_TASK = 4
"""Few enough that workers end together, enough that the network's way to a worker is worth it."""
_KEPT = 2**30
"""Bytes of freed memory that a worker keeps for its next point, whose arrays have tens of megabytes."""
_LOOK = 0.5
"""Seconds between a worker's looks at whether the process that builds is still there."""
RETRIES = 5
"""How often in a row workers may die without a point made before the build gives up."""


def make_by_workers(graph: Graph, cut: str, jobs: int, scheduler: str | None, *, patience: int = PATIENCE) -> Making:
    """Points made by other processes.

    Args:
        graph: the network, behind its input scaling.
        cut: the node linearized around.
        jobs: processes on this machine; not read with a scheduler.
        scheduler: address of a dask cluster; None for processes on this machine.
        patience: seconds to wait for that to answer.

    Raises:
        BankError: the cluster cannot be reached or given work, or workers die again and again.
    """
    network = pickle.dumps((graph, cut), protocol=5)

    def making(header: Header, wanted: list[int], centers: np.ndarray) -> Iterator[tuple[int, Content]]:
        """All points, whatever workers die on the way: what a dead one had is made again by another."""
        missing, deaths = list(wanted), 0
        while missing:
            try:
                tasks = [(header, points, centers[points]) for points in _in_tasks(missing)]
                made = (
                    _by_loky(network, tasks, jobs)
                    if scheduler is None
                    else _by_dask(network, tasks, scheduler, patience)
                )
                for index, content in made:
                    yield index, content
                    missing.remove(index)
                    deaths = 0
            except _deaths(scheduler) as error:
                deaths += 1
                if deaths > RETRIES:
                    raise BankError(
                        f"The workers died {deaths} times in a row, perhaps for want of memory; try fewer of them."
                    ) from error

    return making


def _in_tasks(wanted: list[int]) -> list[list[int]]:
    return [wanted[start : start + POINTS_A_TASK] for start in range(0, len(wanted), POINTS_A_TASK)]


def _by_loky(network: bytes, tasks: list[_Task], jobs: int) -> Iterator[tuple[int, Content]]:
    """By processes on this machine."""
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        settings: Any = {"return_as": "generator_unordered", "batch_size": 1, "max_nbytes": None}
        parallel: Any = joblib.Parallel(**settings)
        for points in parallel(joblib.delayed(_points_here)(os.getpid(), network, *task) for task in tasks):
            yield from points


def _by_dask(network: bytes, tasks: list[_Task], scheduler: str, patience: int) -> Iterator[tuple[int, Content]]:
    """By a cluster."""
    for points in made_there(scheduler, patience, _points, network, tasks):
        yield from points


def _points_here(builder: int, network: bytes, *task: Any) -> list[tuple[int, Content]]:
    """What a worker on this machine does: it ends with the process that builds, however that ends."""
    _end_with(builder)
    return _points(network, *task)


@lru_cache(maxsize=1)
def _end_with(builder: int) -> None:
    # Ctrl-C reaches all processes of a terminal; it is the builder who ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == builder:
            time.sleep(_LOOK)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _points(network: bytes, header: Header, wanted: list[int], centers: np.ndarray) -> list[tuple[int, Content]]:
    """What a worker does."""
    if torch.__version__ != header.arithmetic.torch:
        raise BankError(
            f"A worker has torch {torch.__version__}, and the bank was begun with {header.arithmetic.torch}, so the "
            f"numbers could differ; install torch {header.arithmetic.torch} where it runs, or choose another --output."
        )
    maker = _maker(network)
    return [(index, maker.make(header, index, center)) for index, center in zip(wanted, centers, strict=True)]


@lru_cache(maxsize=1)
def _maker(network: bytes) -> PointMaker:
    """Kept from task to task."""
    # dask starts its workers with MALLOC_TRIM_THRESHOLD_ so small that a point takes twice the time.
    keep_freed_memory(_KEPT, _KEPT)
    return PointMaker(*pickle.loads(network))


def _deaths(scheduler: str | None) -> tuple[type[BaseException], ...]:
    """How the death of a worker shows."""
    return (TerminatedWorkerError,) if scheduler is None else deaths()
