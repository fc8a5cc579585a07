"""Do workers of a dask cluster build the same bank, and how much sooner?

    python benchmarks/bank_cluster.py [-k 1000] [--workers 2]

Builds a bank of `sample_models/lenet.onnx` on the 10,000 MNIST test images three times: in this process, by the workers
of a cluster on this machine (processes of one thread each), and by workers of which one is killed (SIGKILL) after a
tenth of the points. The files are compared byte by byte. The wall-clock times are those of the linearizations, from a
cluster that has started; the choice of the points, which is not handed out, is printed apart. What two processes that
share nothing take beside each other is printed too: where cores are not wholly one's own no cluster can do better.
Needs `nmcheck[dask]`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from distributed import LocalCluster

from nmcheck.checks.bank_build import BankPlan, build_bank, plan_bank
from nmcheck.checks.bank_options import BankOptions

_PARENT = os.getpid()
MODEL = Path(__file__).parents[1] / "sample_models" / "lenet.onnx"


class Clock:
    """Remembers what each stage took, and does something once a tenth of one with many steps is over."""

    def __init__(self, at_a_tenth: Callable[[], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._at_a_tenth = at_a_tenth

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        done, act = 0, self._at_a_tenth if title == "Linearizations" else None

        def advance(steps: int) -> None:
            nonlocal done, act
            done += steps
            if act is not None and 10 * done >= (total or 0):
                act()
                act = None

        start = time.perf_counter()
        yield advance
        self.seconds[title] = time.perf_counter() - start


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-k", type=int, default=1000)
    arguments.add_argument("--workers", type=int, default=2)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    os.environ["MALLOC_ARENA_MAX"] = "1"  # of the workers, as docs/cluster.md tells to start them
    start: Any = LocalCluster  # its types promise a coroutine
    with tempfile.TemporaryDirectory() as folder:
        options = BankOptions(MODEL, "mnist", Path(folder) / "serial.h5", chosen.k)
        plan, clock = plan_bank(options), Clock()
        build_bank(plan, clock)
        serial, sha = clock.seconds["Linearizations"], digest(options.output)
        print(f"choice of the points {clock.seconds['Choice of the points']:.1f} s", flush=True)
        print(f"{chosen.k} points in this process: {serial:.1f} s; sha256 {sha[:16]}", flush=True)
        beside = ceiling(plan, chosen.workers, serial / chosen.k)
        print(f"{chosen.workers} processes that share nothing: {beside:.2f} of the serial time", flush=True)
        # What was fastest is found by timing: the banks to compare are built with what the first one found.
        arithmetic = plan.header.arithmetic
        how = {"kernels": arithmetic.kernels, "chunk": arithmetic.chunk}
        for title, kill in (("workers", False), ("workers, one of them killed on the way", True)):
            with start(
                n_workers=chosen.workers, threads_per_worker=1, dashboard_address=None, memory_limit=0
            ) as cluster:
                output = Path(folder) / f"{len(title)}.h5"
                cluster_options = replace(options, output=output, scheduler=cluster.scheduler_address, **how)
                clock = Clock(partial(kill_one, cluster) if kill else None)
                same_way = replace(plan_bank(cluster_options), header=plan.header)
                build_bank(same_way, clock)
            seconds, same = clock.seconds["Linearizations"], digest(output) == sha
            print(
                f"{chosen.workers} {title}: {seconds:.1f} s, {seconds / serial:.2f} of the serial time; "
                f"{'the same bytes' if same else 'ANOTHER FILE'}",
                flush=True,
            )


def kill_one(cluster: Any) -> None:
    """A worker, which is started anew by dask."""
    os.kill(cluster.workers[0].pid, signal.SIGKILL)


def ceiling(plan: BankPlan, processes: int, seconds: float) -> float:
    """The time of a point made by processes beside each other, over its time here."""
    points = 60
    center = plan.case.pixels[0].ravel()
    start = time.perf_counter()
    children = [os.fork() for _ in range(processes - 1) if os.getpid() == _PARENT]
    for _ in range(points):
        plan.maker.make(plan.header, 0, center)
    if os.getpid() != _PARENT:
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return (time.perf_counter() - start) / (processes * points * seconds)


def digest(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
