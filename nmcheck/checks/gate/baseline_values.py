"""What the values of a baseline must be for a comparison to mean anything."""

from __future__ import annotations

from collections.abc import Mapping

from nmcheck.results.document import Rule, flag, number, text

_SHARE = number(0, 1)
_ERROR = number(0, 2 + 1e-9)
"""E_r lies between 0 and 2 by what it is."""
_POSITIVE = number(0, 1e300)
_INDEX = number(0, 2**31 - 1, whole=True)
_COUNT = number(0, 2**53, whole=True)
_ROWS = ("moments[].overall", "moments[].per_class[]")


def _check(value: object) -> str | None:
    """Of the checks that are shares, the number measured is one; of the others it is any length or error."""
    if not isinstance(value, Mapping) or value.get("measured") is None:
        return None
    share = value.get("kind") == "flip" or str(value.get("kind")).endswith("accuracy")
    wanted = (_SHARE if share else _POSITIVE)(value["measured"])
    return None if wanted is None else f"a check that measured {wanted}"


RULES: Mapping[str, Rule] = {
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
    "gate.checks[]": _check,
}
"""By path."""
