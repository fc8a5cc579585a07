"""The JSON Schema of the report, which ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON report of ``schema_version`` 1 obeys."""
    return json.loads((files("nmcheck.results") / "report-v1.schema.json").read_text(encoding="utf-8"))
