"""What a bound is about, in words."""

from __future__ import annotations

from nmcheck.results.bounds import BoundsEntry

NORMS = {"l2": "L2", "linf": "Linf"}


def domain(entry: BoundsEntry) -> str:
    """Norm and input domain in words."""
    where = "unboxed" if entry.box is None else f"pixels kept in {entry.box[0]:g} to {entry.box[1]:g}"
    return f"{NORMS[entry.norm]}, {where}"
