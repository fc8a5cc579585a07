"""A bank built by dask workers, some of which die."""

import os
import signal
from pathlib import Path

import pytest
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.store import BankFile, create
from nmcheck.linearize.bank.workers import make_by_workers

distributed = pytest.importorskip("distributed", reason="dask is not installed (pip install 'nmcheck[dask]')")

# dask leaves connections to dead workers to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.slow
def test_workers_of_a_cluster_make_the_same_file_though_one_is_killed(tmp_path: Path) -> None:
    graph = lenet_graph(tmp_path)
    points = points_of(graph, k=40, count=60)
    header, maker = header_of(graph, "relu", points, dtype="float16")
    paths = [tmp_path / name for name in ("serial.h5", "cluster.h5")]
    for path in paths:
        create(path, header, points, maker.constants(header, points.centers[0]), replace=False)
    with BankFile(paths[0], "r+") as file:
        complete(file, make_here(maker), lambda steps: None)
    killed = []
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:

        def advance(steps: int) -> None:
            if not killed:
                killed.append(cluster.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        with BankFile(paths[1], "r+") as file:
            complete(file, make_by_workers(graph, "relu", 1, cluster.scheduler_address), advance)
    assert killed
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_scheduler_that_does_not_answer_is_said(tmp_path: Path) -> None:
    graph = lenet_graph(tmp_path)
    points = points_of(graph)
    header, _ = header_of(graph, "relu", points)
    making = make_by_workers(graph, "relu", 1, "tcp://127.0.0.1:1", patience=1)
    with pytest.raises(BankError, match=r"--scheduler tcp://127\.0\.0\.1:1: no dask scheduler answers there"):
        list(making(header, [0], points.centers))
