"""The JSON Schemas of the reports, which ship with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON report of ``schema_version`` 1 obeys."""
    return json.loads((files("nmcheck.results") / "report-v1.schema.json").read_text(encoding="utf-8"))


def inspection_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON inspection of ``schema_version`` 1 obeys."""
    return json.loads((files("nmcheck.results") / "inspection-v1.schema.json").read_text(encoding="utf-8"))


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON comparison of ``schema_version`` 1 obeys."""
    return json.loads((files("nmcheck.results") / "comparison-v1.schema.json").read_text(encoding="utf-8"))
