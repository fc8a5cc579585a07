"""ONNX's own node-test cases of every operator in the table: passed, or listed with the reason."""

from collections.abc import Callable
from functools import cache

import onnx
import pytest
from execute.node_case_exclusions import DIFFERENT, EXCLUSIONS, REASONS
from execute.node_cases import FOLDED_OPERATORS, Outcome, outcome, single_node_cases

from nmcheck.execute.table import ROWS

SURVEYED = "1.23"
"""The version of onnx whose cases the exclusions were drawn up for."""
pytestmark = pytest.mark.skipif(
    onnx.__version__.rpartition(".")[0] != SURVEYED,
    reason=f"the exclusions are for the node cases of onnx {SURVEYED}, and this is {onnx.__version__}",
)

LISTED = frozenset(
    {
        "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Abs", "Exp",
        "Log", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Clip", "HardSigmoid", "HardSwish", "Sigmoid",
        "Tanh", "Softplus", "Softsign", "Erf", "Gelu", "Mish", "Softmax", "LogSoftmax", "MaxPool", "AveragePool",
        "LpPool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization", "InstanceNormalization",
        "LayerNormalization", "GroupNormalization", "LRN", "Concat", "Split", "Slice", "Gather", "Pad", "Reshape",
        "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile", "Identity", "Dropout", "Cast", "Shape",
        "Size", "Constant", "ConstantOfShape", "Range", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Max",
        "Min", "Mean", "Sum", "ArgMax", "Where", "Equal", "Resize", "DequantizeLinear", "QuantizeLinear",
    }
)  # fmt: skip
"""The operators every classifier may be made of."""
OPERATORS = sorted({op for _, op in ROWS} | set(FOLDED_OPERATORS))
WITHOUT_CASES = frozenset({"GlobalLpPool"})
"""Operators of the table that ONNX has no case for."""

Outcomes = Callable[[str], dict[str, Outcome]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    cases, folder = single_node_cases(), tmp_path_factory.mktemp("case")
    return cache(lambda op: {case.name: outcome(case, folder) for case in cases.get(op, ())})


@pytest.mark.parametrize("op", OPERATORS)
def test_every_case_passes_or_is_listed(op: str, outcomes: Outcomes) -> None:
    found = outcomes(op)
    assert bool(found) != (op in WITHOUT_CASES)
    unlisted = {name: result for name, result in found.items() if not result.passed and name not in EXCLUSIONS}
    assert not unlisted
    assert not [name for name, result in found.items() if result.passed and name in EXCLUSIONS]
    for name in found.keys() & EXCLUSIONS.keys():
        assert bool(found[name].wrong) == (name in DIFFERENT), found[name]
        assert found[name].refusals or name in DIFFERENT


def test_the_listed_operators_are_in_the_table() -> None:
    assert set(OPERATORS) >= LISTED


def test_enough_cases_pass(outcomes: Outcomes) -> None:
    results = {op: outcomes(op) for op in OPERATORS}
    passed = {op: sum(result.passed for result in found.values()) for op, found in results.items()}
    live = sum(count for op, count in passed.items() if op not in FOLDED_OPERATORS)
    assert live >= 835
    assert sum(count for op, count in passed.items() if op in LISTED) >= 551
    assert sum(count for op, count in passed.items() if op in FOLDED_OPERATORS) == 21


def test_every_exclusion_is_of_a_case_and_has_a_reason(outcomes: Outcomes) -> None:
    names = {name for op in OPERATORS for name in outcomes(op)}
    assert EXCLUSIONS.keys() <= names
    assert EXCLUSIONS.keys() >= DIFFERENT
    assert set(EXCLUSIONS.values()) <= REASONS
