"""Does a bank survive being killed at any moment?

    python benchmarks/bank_kills.py [--trials 100] [-k 20]

Every trial forks a process that makes a bank of `sample_models/lenet.onnx` from the empty file on, kills it (SIGKILL)
after a random time between nothing and the whole build's, goes on with what is there, and compares the file with that
of a build which nobody disturbed, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nmcheck.checks.bank_build import plan_bank
from nmcheck.checks.bank_options import BankOptions
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.points import choose_points
from nmcheck.linearize.bank.store import BankFile, create

MODEL = Path(__file__).parents[1] / "sample_models" / "lenet.onnx"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trials", type=int, default=100)
    arguments.add_argument("-k", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_bank(BankOptions(MODEL, "mnist", Path(folder) / "bank.h5", chosen.k, samples=500))
        case, maker = plan.case, plan.maker
        flat, labels = case.pixels.reshape(len(case.pixels), -1), case.classes_of_images.numpy()
        points = choose_points(flat, labels, plan.header.classes, chosen.k, choice="centers", seed=0)
        header = replace(plan.header, points=len(points))
        constants = maker.constants(header, points.centers[0])

        def build(path: Path) -> None:
            if not path.exists():
                create(path, header, points, constants, replace=False)
            with BankFile(path, "r+") as file:
                complete(file, make_here(maker), lambda steps: None)

        start = time.perf_counter()
        build(Path(folder) / "whole.h5")
        seconds = time.perf_counter() - start
        whole = (Path(folder) / "whole.h5").read_bytes()
        done, same = Counter(), 0
        for trial, moment in enumerate(np.random.default_rng(chosen.seed).uniform(0, seconds, chosen.trials)):
            path = Path(folder) / f"{trial}.h5"
            child = os.fork()
            if child == 0:
                build(path)
                os._exit(0)
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if path.exists():
                with BankFile(path) as file:
                    done[int(file.done.sum())] += 1
                    assert len(file.damaged()) == 0
            else:
                done[-1] += 1
            build(path)
            same += path.read_bytes() == whole
            path.unlink()
    print(f"{same} of {chosen.trials} banks equal the undisturbed one to the byte ({seconds:.2f} s, {chosen.k} points)")
    print("points done when killed (-1: no file yet):", dict(sorted(done.items())))


if __name__ == "__main__":
    main()
