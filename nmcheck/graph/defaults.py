"""Numbers that ONNX puts in the place of attributes a file leaves out.

Attributes are float32 numbers, and so are their defaults: the 0.01 of a LeakyRelu is 0.00999999977... whether or not
the file states it. Everything that is computed for a node reads them here, from ONNX's own definition of the operator.
"""

from __future__ import annotations

from functools import cache

import onnx
from onnx import AttributeProto

_UNBOUNDED = ("Clip",)
"""Operators whose default stands for no number at all."""


@cache
def default_numbers(op: str, domain: str, version: int) -> dict[str, float]:
    """Numbers by attribute, of those of an operator that have a default; not to be changed.

    Args:
        op: operator type.
        domain: operator domain.
        version: of an operator set, in which the operator is defined.
    """
    if op in _UNBOUNDED:
        return {}
    attributes = onnx.defs.get_schema(op, version, domain).attributes
    defaults = {name: attribute.default_value for name, attribute in attributes.items()}
    return {name: value.f for name, value in defaults.items() if value.type == AttributeProto.FLOAT}
