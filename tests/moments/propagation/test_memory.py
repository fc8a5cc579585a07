"""What propagation is said to hold is no less than what it holds, and not far more."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from models import mlp, node, weights
from moments.propagation.networks import network_from, point, program_of, residual_images
from onnx import NodeProto

from nmcheck.errors import UsageError
from nmcheck.linearize.steps import network_of
from nmcheck.moments.gaussian import Factored, GaussianInput
from nmcheck.moments.propagation import passes as module
from nmcheck.moments.propagation.memory import tangent_elements
from nmcheck.moments.propagation.propagate import propagate, random_directions
from nmcheck.moments.propagation.value import Passed, Value
from nmcheck.steps import MaximumStep, Network, Step

HEAD = [node("GlobalAveragePool", ["r"], ["y"])]
FRONT = [node("Conv", ["x", "K"], ["c"], pads=[1] * 4)]
BODIES: dict[str, list[NodeProto]] = {
    "global-average": [*FRONT, node("Relu", ["c"], ["r"]), *HEAD],
    "overlapping-pool": [*FRONT, node("MaxPool", ["c"], ["r"], kernel_shape=[3, 3], pads=[1] * 4), *HEAD],
    "pool": [*FRONT, node("MaxPool", ["c"], ["r"], kernel_shape=[2, 2], strides=[2, 2]), *HEAD],
    "global-maximum": [*FRONT, node("GlobalMaxPool", ["c"], ["y"])],
    "gate": [*FRONT, node("Sigmoid", ["c"], ["s"]), node("Mul", ["s", "c"], ["r"]), *HEAD],
}


def network(name: str, folder: Path) -> Network:
    if name == "mlp":
        return network_of(program_of(mlp((30, 20, 10, 3)), folder))
    if name == "images":
        nodes, arrays, shape = residual_images()
        return network_from(nodes, shape, arrays, folder)[0]
    return network_from(BODIES[name], (1, 2, 9, 7), {"K": weights(3, 2, 3, 3)}, folder)[0]


def counted(steps: Network, x: GaussianInput, patch: pytest.MonkeyPatch) -> int:
    """Elements of tangents that must be there at once at some step: values still to be read, inputs, outputs, taps."""
    last = {name: position for position, step in enumerate(steps.steps) for name in step.inputs}
    alive: dict[str, int] = {}
    most, position = 0, 0
    rule = module.pass_step

    def pass_and_count(step: Step, given: Sequence[Value]) -> Passed:
        nonlocal most, position
        passed = rule(step, given)
        rows = len(passed.outputs[0].tangents.rows)
        alive.update({name: value.tangents.rows.numel() for name, value in zip(step.inputs, given, strict=True)})
        dealt = sum(rows * one.mean.numel() for one in given if len(one.tangents.rows) < rows)
        taps = len(step.taps(*(one.mean for one in given))) if isinstance(step, MaximumStep) else 1
        made = {name: value.tangents.rows.numel() for name, value in zip(step.outputs, passed.outputs, strict=True)}
        most = max(most, sum(alive.values()) + dealt + taps * sum(made.values()))
        alive.update(made)
        for name in [name for name in alive if last.get(name, -1) <= position]:
            del alive[name]
        position += 1
        return passed

    with patch.context() as context:
        context.setattr(module, "pass_step", pass_and_count)
        propagate(steps, x, budget=2**40)
    return most


@pytest.mark.parametrize("name", ["mlp", "images", *BODIES])
@pytest.mark.parametrize("independent", [True, False])
def test_no_more_is_held_than_is_said(
    name: str, independent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = network(name, tmp_path)
    mean = point(steps)
    factor = torch.eye(len(mean), dtype=mean.dtype)[: 40 if not independent else None]
    x = GaussianInput(mean, 0.3) if independent else GaussianInput(mean, 0.3, Factored(factor))
    held = counted(steps, x, monkeypatch)
    said = tangent_elements(steps, len(mean) if independent else len(factor), independent=independent)
    assert held <= said <= 3 * held


def test_directions_are_random_only_beyond_the_budget(tmp_path: Path) -> None:
    steps = network("images", tmp_path)
    x = GaussianInput(point(steps), 0.3)
    needed = 8 * tangent_elements(steps, len(x.mean), independent=True, samples=64)
    assert random_directions(steps, x, needed, 64) is None
    fewer = random_directions(steps, x, needed - 1, 64)
    assert fewer is not None
    assert fewer[0] % 2 == fewer[1] % 2 == 0
    least = random_directions(steps, x, 0, 64)
    assert least is not None
    assert 0 < least[0] <= fewer[0]
    assert 0 < least[1] <= fewer[1] <= 64
    assert random_directions(steps, x, 0, 16) == (least[0], 16)


def test_samples_count_with_their_linear_response(tmp_path: Path) -> None:
    steps = network("images", tmp_path)
    rows = [tangent_elements(steps, count, independent=False) for count in (10, 40)]
    assert tangent_elements(steps, 10, independent=False, samples=10) == rows[1] > rows[0]


def test_pairs_that_would_not_fit_are_refused_with_the_figures(tmp_path: Path) -> None:
    """A thousand outputs' derivatives in every value; samples tell the same in parts."""
    steps = network_of(program_of(mlp((10, 400, 1000)), tmp_path))
    x = GaussianInput(point(steps), 0.3)
    with pytest.raises(UsageError, match=r"derivatives of all 1000 outputs .* \d+ MiB of 16; leave --second"):
        propagate(steps, x, second_order=True, budget=2**24)
    assert len(propagate(steps, x, samples=16, budget=2**24).mean) == 1000
