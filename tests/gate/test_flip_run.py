"""What an image meets is its own: neither the others nor the batches nor the looks change it."""

from dataclasses import replace

import gate_case
import numpy as np
import pytest
import torch
from models import model, node, weights, write

from nmcheck.checks.case import Case, open_case
from nmcheck.checks.gate import flip_run
from nmcheck.checks.gate.flip_run import noise, run_flips
from nmcheck.checks.gate.question import Question
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.sampling import SampledNetwork, sampled_network
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.execute.session import ReferenceSession

SIGMA = 0.3


def drawn(case: Case, budget: int, evaluated: list[int] | None = None, seed: int = 3) -> np.ndarray:
    """The winners of every image after the whole budget."""
    network = sampled_network(case, ReferenceSession(case.file_graph, threads=1))

    def counting(x: torch.Tensor) -> torch.Tensor:
        if evaluated is not None:
            evaluated.append(len(x))
        return network.evaluate(x)

    counted = SampledNetwork(counting, network.description, network.rounding)
    question = Question(np.arange(len(case.positions)), None, 0.01, budget)
    run = run_flips(case, counted, SIGMA, [question], seed=seed, advance=lambda _: None)
    assert (run.rounds, question.answer) == (budget, None)
    return run.winners


@pytest.fixture(params=["dense", "convolution"])
def case(request, tmp_path) -> Case:
    """Twenty images of a network with several classes, none of them certain."""
    if request.param == "dense":
        nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["h"]), node("Relu", ["h"], ["a"])]
        arrays = {"w": weights(36, 12), "v": weights(12, 5)}
        nodes.append(node("Gemm", ["a", "v"], ["y"]))
    else:
        nodes = [node("Unsqueeze", ["x", "one"], ["u"]), node("Conv", ["u", "k"], ["c"]), node("Relu", ["c"], ["a"])]
        nodes += [node("Flatten", ["a"], ["f"]), node("Gemm", ["f", "v"], ["y"])]
        arrays = {"one": np.array([1]), "k": weights(2, 1, 3, 3), "v": weights(32, 5)}
    path = write(model(nodes, ("N", 6, 6), arrays), tmp_path)
    np.savez(tmp_path / "some.npz", x=np.random.default_rng(1).random((gate_case.IMAGES, 6, 6)))
    return open_case(AnalyzeOptions(model=path, data=str(tmp_path / "some.npz"), samples=gate_case.IMAGES))


def test_winners_are_those_of_each_image_by_itself(case):
    together = drawn(case, 30)
    assert (np.count_nonzero(together, axis=1) > 1).sum() > 10
    rows = [17, 2, 11]
    fewer = replace(case, positions=case.positions[rows], pixels=case.pixels[rows])
    assert (drawn(fewer, 30) == together[rows]).all()
    level = int(np.array(SIGMA).view(np.uint64))
    for row, position in enumerate(case.positions):
        stream = np.random.Generator(np.random.PCG64(noise_seed(3, Purpose.GATE, int(position), level)))
        logits = case.double((case.images[row].flatten() + noise(case, SIGMA, stream, 30)).reshape(30, 6, 6))
        assert (np.bincount(logits.argmax(dim=1).numpy(), minlength=5) == together[row]).all()


@pytest.mark.parametrize("batch", [3, 7, 20, 10_000])
def test_batches_change_nothing(case, monkeypatch, batch):
    before = drawn(case, 12)
    monkeypatch.setattr(flip_run, "_BATCH_INPUTS", batch)
    sizes: list[int] = []
    assert (drawn(case, 12, sizes) == before).all()
    assert max(sizes) <= batch
    assert sum(sizes) == 12 * gate_case.IMAGES


def test_later_looks_continue_the_same_draws(case):
    few, more = drawn(case, 10), drawn(case, 40)
    assert (few <= more).all()
    assert (few.sum(axis=1) == 10).all()
    assert (more.sum(axis=1) == 40).all()


def test_a_look_after_each_round_evaluates_all_images_together(case):
    sizes: list[int] = []
    drawn(case, 12, sizes)
    assert sizes == [gate_case.IMAGES] * 12


def test_questions_end_at_their_own_budget(case):
    network = sampled_network(case, ReferenceSession(case.file_graph, threads=1))
    rows = np.arange(len(case.positions))
    short, long = (Question(rows, None, 0.01, budget) for budget in (25, 40))
    run = run_flips(case, network, SIGMA, [short, long], seed=0, advance=lambda _: None)
    assert run.rounds == 40
    assert (short.trials, long.trials) == (25 * len(rows), 40 * len(rows))
