"""A build that is killed, stopped or spread over processes ends in the same file."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from forked import forked
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError, InterruptedBuildError
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.store import BankFile, create
from nmcheck.linearize.bank.workers import _end_with, make_by_workers

POINTS = 20


@pytest.fixture
def setting(tmp_path: Path):
    graph = lenet_graph(tmp_path)
    points = points_of(graph, k=POINTS, count=40)
    header, maker = header_of(graph, "relu", points, dtype="float16")

    def begun(name: str) -> Path:
        path = tmp_path / name
        create(path, header, points, maker.constants(header, points.centers[0]), replace=False)
        return path

    whole = begun("whole.h5")
    with BankFile(whole, "r+") as file:
        complete(file, make_here(maker), lambda steps: None)
    return graph, maker, begun, whole.read_bytes()


def test_an_interrupted_build_says_how_to_go_on_and_goes_on(setting) -> None:
    _, maker, begun, whole = setting
    path, seen = begun("bank.h5"), []

    def advance(steps: int) -> None:
        seen.append(steps)
        if len(seen) == 7:
            raise KeyboardInterrupt

    with (
        pytest.raises(InterruptedBuildError, match=r"Interrupted with 7 of 20 points done.*--resume") as stopped,
        BankFile(path, "r+") as file,
    ):
        complete(file, make_here(maker), advance)
    assert stopped.value.exit_code == 130
    made = []
    with BankFile(path, "r+") as file:
        assert int(file.done.sum()) == 7
        complete(file, make_here(maker), made.append)
        complete(file, make_here(maker), made.append)
    assert len(made) == 13
    assert path.read_bytes() == whole


BUILD = """
import sys, time
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.store import BankFile
from nmcheck.graph.load import load_graph
from pathlib import Path
maker = PointMaker(load_graph(Path(sys.argv[2])), "relu")
with BankFile(Path(sys.argv[1]), "r+") as file:
    print("begun", flush=True)
    complete(file, make_here(maker), lambda steps: time.sleep(0.005))
"""


def test_killed_at_any_moment_a_build_goes_on_to_the_same_file(setting, tmp_path: Path) -> None:
    _, maker, begun, whole = setting
    moments = np.random.default_rng(1).uniform(0.0, 0.12, 3)
    for trial, moment in enumerate(moments):
        path = begun(f"killed{trial}.h5")
        command = [sys.executable, "-c", BUILD, str(path), str(tmp_path / "model.onnx")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
        with BankFile(path, "r+") as file:
            assert len(file.damaged()) == 0
            complete(file, make_here(maker), lambda steps: None)
        assert path.read_bytes() == whole


def test_workers_make_the_same_file(setting) -> None:
    graph, _, begun, whole = setting
    path = begun("workers.h5")
    with BankFile(path, "r+") as file:
        complete(file, make_by_workers(graph, "relu", 2, None), lambda steps: None)
    assert path.read_bytes() == whole


def test_a_point_that_cannot_be_made_ends_the_build_and_loses_nothing(setting) -> None:
    _, maker, begun, whole = setting
    path = begun("bank.h5")

    def failing(header, wanted, centers):
        for index, content in make_here(maker)(header, wanted, centers):
            # An array of another shape must not be spread over the place it does not fill.
            yield index, {**content, "norms": content["norms"][:1]} if index == 5 else content

    with pytest.raises(BankError, match="norms"), BankFile(path, "r+") as file:
        complete(file, failing, lambda steps: None)
    with BankFile(path, "r+") as file:
        assert file.done.tolist() == [True] * 5 + [False] * 15
        complete(file, make_here(maker), lambda steps: None)
    assert path.read_bytes() == whole


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes")
def test_a_worker_ends_with_the_process_that_builds_however_that_ends() -> None:
    reader, writer = os.pipe()

    def builder() -> None:
        me = os.getpid()

        def worker() -> None:
            os.close(reader)
            _end_with(me)
            os.write(writer, b"w")
            time.sleep(60)

        threading.Thread(target=forked, args=(worker,), daemon=True).start()
        assert os.read(reader, 1) == b"w"
        os.kill(me, signal.SIGKILL)

    assert forked(builder) == -signal.SIGKILL
    os.close(writer)
    # The worker has the last end of the pipe.
    found, _, _ = select.select([reader], [], [], 20)
    assert found == [reader]
    assert os.read(reader, 1) == b""
    os.close(reader)
