"""How much memory propagation takes unless it is told otherwise; torch is not loaded for it."""

from __future__ import annotations

BUDGET = 2**30
"""Bytes of tangents held at once (1 GiB). A network that needs more is given random directions instead."""
