"""Points made by several processes, here or on a cluster. The only use of joblib and of dask.

Workers compute, and the one process that holds the file writes: what arrives is written at once, in any order. Each
worker has one thread, as a build in one process has, so that the numbers are the same to the bit.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import joblib
import numpy as np
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from nmcheck.errors import BankError
from nmcheck.graph.ir import Graph
from nmcheck.linearize.bank.build import Making
from nmcheck.linearize.bank.content import Content
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.make import PointMaker

POINTS_A_TASK = 4
"""Few enough that workers end together, enough that the network's way to a worker is worth it."""
RETRIES = 5
"""How often in a row workers may die without a point made before the build gives up."""


def make_by_workers(graph: Graph, cut: str, jobs: int, scheduler: str | None, *, patience: int = 10) -> Making:
    """Points made by other processes.

    Args:
        graph: the network, behind its input scaling.
        cut: the node linearized around.
        jobs: processes on this machine; not read with a scheduler.
        scheduler: address of a dask cluster; None for processes on this machine.
        patience: seconds to wait for that to answer.

    Raises:
        BankError: dask is not installed, the cluster cannot be reached, or workers die again and again.
    """
    network = pickle.dumps((graph, cut), protocol=5)

    def making(header: Header, wanted: list[int], centers: np.ndarray) -> Iterator[tuple[int, Content]]:
        """All points, whatever workers die on the way: what a dead one had is made again by another."""
        missing, deaths = list(wanted), 0
        while missing:
            try:
                with _workers(jobs, scheduler, network, patience):
                    for index, content in _made(network, header, list(missing), centers):
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


@contextmanager
def _workers(jobs: int, scheduler: str | None, network: bytes, patience: int) -> Iterator[None]:
    """Joblib's settings for processes here or on a cluster."""
    if scheduler is None:
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
            yield
        return
    # The network goes to every worker once, not with every task; after a death anew, for it may have gone with it.
    with _client(scheduler, patience), joblib.parallel_config("dask", scatter=[network], n_jobs=-1):
        yield


def _made(network: bytes, header: Header, wanted: list[int], centers: np.ndarray) -> Iterator[tuple[int, Content]]:
    settings: Any = {"return_as": "generator_unordered", "batch_size": 1, "max_nbytes": None}
    tasks = [wanted[start : start + POINTS_A_TASK] for start in range(0, len(wanted), POINTS_A_TASK)]
    parallel: Any = joblib.Parallel(**settings)
    for points in parallel(joblib.delayed(_task)(network, header, task, centers[task]) for task in tasks):
        yield from points


def _task(network: bytes, header: Header, wanted: list[int], centers: np.ndarray) -> list[tuple[int, Content]]:
    """What a worker does."""
    if torch.__version__ != header.arithmetic.torch:
        raise BankError(
            f"A worker has torch {torch.__version__}, and the bank was begun with {header.arithmetic.torch}, so the "
            "numbers could differ; install the same version on all machines."
        )
    maker = _maker(network)
    return [(index, maker.make(header, index, center)) for index, center in zip(wanted, centers, strict=True)]


@lru_cache(maxsize=1)
def _maker(network: bytes) -> PointMaker:
    """Kept from task to task."""
    return PointMaker(*pickle.loads(network))


def _client(scheduler: str, patience: int) -> AbstractContextManager[Any]:
    """A client of the cluster, on which joblib's backend relies."""
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BankError("--scheduler needs dask; install it with pip install 'nmcheck[dask]'.") from error
    try:
        return Client(scheduler, timeout=patience, set_as_default=True)
    except (OSError, ValueError) as error:
        raise BankError(
            f"--scheduler {scheduler}: no dask scheduler answers there; start one with dask scheduler, and give the "
            "address it prints."
        ) from error


def _deaths(scheduler: str | None) -> tuple[type[BaseException], ...]:
    """How the death of a worker shows; with dask also as the loss of what it held."""
    if scheduler is None:
        return (TerminatedWorkerError,)
    try:
        from distributed import KilledWorker  # pyright: ignore[reportMissingImports]
        from distributed.comm import CommClosedError  # pyright: ignore[reportMissingImports]
    except ImportError:
        return ()
    return (CancelledError, CommClosedError, KilledWorker)
