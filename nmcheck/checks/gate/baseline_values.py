"""What the values of a baseline must be for a comparison to mean anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nmcheck.results.document import Rule, check_values, flag, number, text, wrong_value

_SHARE = number(0, 1)
_ERROR = number(0, 2 + 1e-9)
"""E_r lies between 0 and 2 by what it is."""
_POSITIVE = number(0, 1e300)
_INDEX = number(0, 2**31 - 1, whole=True)
_COUNT = number(0, 2**53, whole=True)
_ROWS = ("moments[].overall", "moments[].per_class[]")


_RULES: Mapping[str, Rule] = {
    "schema_version": number(whole=True),
    "model.fingerprint": text(),
    "data.sha256": text(),
    "data.scale": text(),
    "data.labels": text(),
    "data.accuracy": _SHARE,
    "noise.description": text(),
    "flips[].sigma_pixel": _POSITIVE,
    "flips[].per_class[].class": _INDEX,
    "flips[].per_class[].trials": _COUNT,
    "flips[].per_class[].sampled": _SHARE,
    "moments[].sigma_pixel": _POSITIVE,
    "moments[].engine": text(),
    **{f"{row}.{key}": _ERROR for row in _ROWS for key in ("mean_er", "var_er")},
    **{f"{row}.{key}": _POSITIVE for row in _ROWS for key in ("mean_er_se", "var_er_se")},
    "bounds[].norm": text(),
    "bounds[].per_sample[].label": _INDEX,
    "bounds[].per_sample[].correct": flag,
    "bounds[].per_sample[].lower": _POSITIVE,
    "bounds[].per_sample[].lower_method": text(),
    "bounds[].per_sample[].lower_reason": text(),
    "bounds[].per_sample[].upper": _POSITIVE,
    "gate.checks[].id": text(),
    "gate.checks[].kind": text(),
    "gate.checks[].measured": _POSITIVE,
}
"""By path."""


def check_baseline(document: Mapping[str, Any]) -> None:
    """See whether the values that a comparison takes from a report are of the right type and range.

    Raises:
        DocumentError: naming the first that is not.
    """
    check_values(document, _RULES)
    for position, check in enumerate((document.get("gate") or {}).get("checks") or ()):
        kind, measured = check.get("kind") or "", check.get("measured")
        wanted = _SHARE(measured) if kind == "flip" or kind.endswith("accuracy") else None
        if measured is not None and wanted is not None:
            raise wrong_value(f"gate.checks[{position}].measured", measured, wanted)
