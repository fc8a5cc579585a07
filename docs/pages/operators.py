"""The page docs/supported-operators.md: what each consumer says about every operator of the table."""

from __future__ import annotations

import numpy as np

from nmcheck.bounds.layers import unsupported_reason
from nmcheck.bounds.structure import COMBINING
from nmcheck.checks.relaxable import relaxation_refusal
from nmcheck.execute.row import OperatorRow
from nmcheck.execute.table import ROWS
from nmcheck.graph.ir import Graph, ModelInfo, Node
from nmcheck.linearize.differentiable import REFUSED, SOMETIMES_REFUSED
from nmcheck.linearize.powers import EXPONENTS

INTRODUCTION = """\
# Supported operators

This page is made from the tables themselves (`python docs/make.py`); a test keeps them equal.
`nmcheck inspect MODEL` says the same about one model.

Who reads a model:

- **execute**: runs it, in float32 or float64, and differentiates it. The column says what kind of function the operator
  is, with weights and the like constant. An operator without a row is refused where its input depends on the sample.
- **moments**: mean and variance of the logits by linearization. Whatever is executed is linearized, but for operators
  whose derivative is zero or that jump.
- **Lipschitz**: certified robustness radii by a Lipschitz constant of every layer (`analyze`, and `bounds --method
  lipschitz`). One input may depend on the sample and the others are constants, unless the column says otherwise:
  products of two activations have no constant.
- **relaxation**: certified robustness radii by linear lines below and above every layer (`bounds --method crown` and
  `crown-ibp`). Products of two activations, element by element, have them; products of two matrices have not. A few
  affine operators (an `Einsum`, say) are refused where inputs times outputs are more than 2^24.

One of the two has to pass all nodes of a network for it to have a certified radius; `nmcheck inspect` says which do.

Operators on values that do not depend on the sample (weights, shapes, ranges, `Constant`, `ConstantOfShape`, and
`Shape` and `Size` of anything) are computed once when the model is read, whether they have a row here or not; an `If`
whose condition is known is replaced by its branch, and local functions are expanded. A final Softmax, LogSoftmax or
ArgMax stands behind the logits and is in nobody's way. `LRN`, `LayerNormalization`, `Gelu`, `Swish`, `HardSwish` and
`Mish` are also found where an exporter decomposed them into primitive operators, with the constants that it wrote.

Models of operator set 7 and newer are read. Under "since" stands the oldest version of an operator's own definition
that is executed, where it is not 1.
"""

_PLAINEST = {"to": 1, "size": 5}
"""Attributes without which some operator means nothing: Cast to float, LRN over five channels."""


def operator_table() -> str:
    """The page, ending in a newline."""
    header = "| operator | since | execute | moments | Lipschitz | relaxation |"
    lines = [INTRODUCTION, header, "|---|---|---|---|---|---|"]
    for (domain, op), row in sorted(ROWS.items()):
        name = f"{domain}.{op}" if domain else op
        since = str(row.since) if row.since > 1 else ""
        cells = (f"`{name}`", since, row.kind.value, moments(row), lipschitz(row), relaxation(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def moments(row: OperatorRow) -> str:
    """``yes``, or why moments cannot pass."""
    if not row.domain and row.op in REFUSED:
        return f"no: {REFUSED[row.op]}"
    if not row.domain and row.op in SOMETIMES_REFUSED:
        return f"yes, but refused where {SOMETIMES_REFUSED[row.op]}"
    return "yes"


def lipschitz(row: OperatorRow) -> str:
    """``yes``, or why Lipschitz constants cannot pass."""
    if not row.domain and row.op == "Where":
        return moments(row)
    reason = unsupported_reason(*specimen(row, "first"))
    if reason is not None:
        return f"no: {reason.partition(': ')[2].rstrip('.')}"
    joint = unsupported_reason(*specimen(row, "first", "second"))
    return "yes" if joint is not None else "yes, with several such inputs, too"


def relaxation(row: OperatorRow) -> str:
    """``yes``, or why linear relaxation cannot pass."""
    if not row.domain and row.op == "Pow":
        return f"yes, with the exponents {', '.join(f'{exponent:g}' for exponent in EXPONENTS)}"
    if not row.domain and row.op in SOMETIMES_REFUSED:
        return moments(row)
    reason = relaxation_refusal(*specimen(row, "first"))
    if reason is not None:
        return f"no: {reason.partition(': ')[2].rstrip('.')}"
    return "yes, with several such inputs, too" if row.op in COMBINING | {"Mul", "Mean"} else "yes"


def specimen(row: OperatorRow, *live: str) -> tuple[Graph, Node]:
    """A graph of one node in its plainest use, of two inputs called first and second.

    Args:
        row: the operator.
        live: which of them depend on the sample; the first always does.
    """
    node = Node(row.op.lower(), row.op, row.domain, row.since, ("first", "second"), ("y",), _PLAINEST, 0)
    graph = Graph(
        nodes=(node,),
        constants={name: np.ones(1) for name in node.inputs if name not in live},
        shapes=dict.fromkeys((*live, "y"), (1,)),
        input="first",
        logits="y",
        output="y",
        batch_axis=None,
        declared_batch=None,
        model=ModelInfo(path="specimen", fingerprint="", opset=row.since, producer="", metadata={}),
    )
    return graph, node
