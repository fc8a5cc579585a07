"""A bank built by dask workers, some of which die, and clusters that cannot be given work."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from browser import lacks
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError
from nmcheck.linearize.bank import cluster as dask_cluster
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.cluster import check_scheduler
from nmcheck.linearize.bank.store import BankFile, create
from nmcheck.linearize.bank.workers import make_by_workers

distributed: Any = import_module("distributed") if find_spec("distributed") else None


@pytest.fixture(autouse=True)
def _dask() -> None:
    if distributed is None:
        lacks("dask is not installed: pip install 'nmcheck[dask]'")


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
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:

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


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("tls://127.0.0.1:1", r"tls:// needs certificates, .* set distributed\.comm\.tls there"),
        ("127.0.0.1", "no dask scheduler answers there; start one"),
        ("http://127.0.0.1:1", "no dask scheduler answers there; start one"),
        ("ucx://127.0.0.1:1", "dask cannot use such an address here; give one that starts with tcp://"),
    ],
)
def test_an_address_that_cannot_be_used_is_said(address: str, text: str) -> None:
    with pytest.raises(BankError, match=f"--scheduler {address}: {text}"):
        check_scheduler(address, patience=1)


def test_a_cluster_without_workers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_START", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        said = f"--scheduler {address}: no worker is connected to that scheduler; start one with dask worker {address}"
        with pytest.raises(BankError, match=said):
            check_scheduler(address, patience=1)
        graph = lenet_graph(tmp_path)
        points = points_of(graph)
        header, _ = header_of(graph, "relu", points)
        with pytest.raises(BankError, match=said):
            list(make_by_workers(graph, "relu", 1, address, patience=1)(header, [0], points.centers))


@contextmanager
def process(folder: Path, kind: str, *arguments: str) -> Iterator[None]:
    """A scheduler or worker that finds the packages in ``folder`` before all others."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("where", "version", "has"),
    [
        ("worker", None, "has no nmcheck"),
        ("worker", "0.0", r"has 0\.0 of nmcheck"),
        ("scheduler", "0.0", r"has 0\.0 of nmcheck"),
    ],
)
def test_another_nmcheck_on_the_cluster_is_said(tmp_path: Path, where: str, version: str | None, has: str) -> None:
    if version is None:  # run at the start of every Python
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['nmcheck'] = None\n")
    else:
        (tmp_path / "nmcheck.py").write_text(f"__version__ = '{version}'\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    at_port = ("--host", "127.0.0.1", "--port", str(port))
    with (
        process(tmp_path, "scheduler", *at_port) if where == "scheduler" else own_scheduler(port),
        process(tmp_path, "worker", address, "--no-nanny", "--nthreads", "1"),
        pytest.raises(BankError, match=rf"{address}: the {where}.* {has}, and here it is .*; install nmcheck"),
    ):
        check_scheduler(address)


@contextmanager
def own_scheduler(port: int) -> Iterator[None]:
    with distributed.LocalCluster(n_workers=0, scheduler_port=port, dashboard_address=None):
        yield


def test_another_torch_on_the_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        check_scheduler(cluster.scheduler_address)
        # The scheduler runs in this process, the worker in its own.
        monkeypatch.setattr("torch.__version__", "1.0")
        with pytest.raises(BankError, match=r"the worker tcp.* has .* of torch, and here it is 1\.0; install"):
            check_scheduler(cluster.scheduler_address)
