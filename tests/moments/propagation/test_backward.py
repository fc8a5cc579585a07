"""The way back in parts, for outputs too many to hold at once."""

from pathlib import Path

import torch
from models import residual, write

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.passes import pass_backward, pass_forward
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.propagation.tangents import of_pixels


def test_parts_of_the_output_have_their_rows_of_the_derivative(tmp_path: Path) -> None:
    network = network_of(Program(load_graph(write(residual(), tmp_path)), torch.float64))
    shape = network.shapes[network.input]
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(8, mean.numel(), generator=generator, dtype=torch.float64)
    x = GaussianInput(mean.flatten(), 0.1)
    output, passed = pass_forward(network, x, of_pixels(torch.full(shape, 0.1, dtype=torch.float64)), noise)
    whole = pass_backward(network, output.mean, passed)
    rows = torch.eye(output.mean.numel(), dtype=torch.float64).split(2)
    parts = torch.cat([pass_backward(network, output.mean, passed, seed=part) for part in rows])
    assert len(rows) > 1
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-14)
    both = rows[0].sum(dim=0, keepdim=True)
    combined = pass_backward(network, output.mean, passed, seed=both)
    torch.testing.assert_close(combined[0], whole[:2].sum(dim=0), rtol=1e-12, atol=1e-14)


def test_a_small_budget_changes_no_derivative(tmp_path: Path) -> None:
    """As many random directions either way; only the parts of the way back differ."""
    network = network_of(Program(load_graph(write(residual(), tmp_path)), torch.float64))
    mean = torch.rand(network.shapes[network.input], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = GaussianInput(mean.flatten(), 0.1)
    few, more = (propagate(network, x, samples=32, budget=budget) for budget in (1, 5_000))
    assert few.directions == more.directions == 32
    torch.testing.assert_close(few.jacobian, more.jacobian, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(few.covariance, more.covariance, rtol=1e-12, atol=1e-14)
