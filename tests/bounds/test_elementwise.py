import numpy as np
import pytest
import torch

from nmcheck.bounds.elementwise import SLOPES, elementwise_bound
from nmcheck.graph.ir import Node

X = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
EXACT = {
    "Relu": torch.relu,
    "LeakyRelu": lambda x: torch.nn.functional.leaky_relu(x, 0.01),
    "Elu": torch.nn.functional.elu,
    "Celu": lambda x: torch.nn.functional.celu(x, 2.0),
    "Selu": torch.nn.functional.selu,
    "Tanh": torch.tanh,
    "Softplus": torch.nn.functional.softplus,
    "Softsign": torch.nn.functional.softsign,
    "Sigmoid": torch.sigmoid,
    "HardSigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "Erf": torch.erf,
    "Gelu": torch.nn.functional.gelu,
    "Swish": torch.nn.functional.silu,
    "Mish": torch.nn.functional.mish,
    "HardSwish": torch.nn.functional.hardswish,
    "Clip": lambda x: x.clamp(-1, 2),
    "Abs": torch.abs,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Atan": torch.atan,
}


def activation(op: str, **attributes) -> Node:
    return Node("a", op, "", 20, ("x",), ("y",), attributes, 0)


def steepest(function) -> float:
    return float(np.max(np.abs(np.diff(function(X).numpy()) / np.diff(X.numpy()))))


@pytest.mark.parametrize("op", sorted(SLOPES))
def test_the_slope_is_never_passed_and_nearly_reached(op):
    slope = elementwise_bound(activation(op)).value
    measured = steepest(EXACT[op])
    assert measured <= slope * (1 + 1e-9)
    assert slope <= measured * 1.00003


def test_attributes_change_the_slope():
    assert elementwise_bound(activation("LeakyRelu", alpha=3.0)).value == 3.0
    assert elementwise_bound(activation("Elu", alpha=2.5)).value == 2.5
    tanh_gelu = elementwise_bound(activation("Gelu", approximate="tanh")).value
    measured = steepest(lambda x: torch.nn.functional.gelu(x, approximate="tanh"))
    assert measured <= tanh_gelu <= measured * 1.00003
