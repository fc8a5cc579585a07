"""One-node models for every row of the operator table."""

from operator_cases import elementwise, normalizations, pools, products, resizing, shapes, types
from operator_cases.case import OperatorCase

CASES: list[OperatorCase] = [
    one for cases in (products, elementwise, pools, normalizations, shapes, types, resizing) for one in cases.CASES
]
__all__ = ["CASES", "OperatorCase"]
