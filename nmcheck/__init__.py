"""nmcheck: noise moments and robustness bounds of ONNX classifiers.

The public names are loaded when first asked for, so that importing the package costs milliseconds and torch is loaded
only by what needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmcheck.checks.inspect import inspect
    from nmcheck.execute.program import Program
    from nmcheck.graph.load import load_graph
    from nmcheck.python_calls import analyze, compare
    from nmcheck.results.decode import read_comparison, read_inspection, read_report

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "analyze": "nmcheck.python_calls",
    "compare": "nmcheck.python_calls",
    "inspect": "nmcheck.checks.inspect",
    "load_graph": "nmcheck.graph.load",
    "Program": "nmcheck.execute.program",
    "read_comparison": "nmcheck.results.decode",
    "read_inspection": "nmcheck.results.decode",
    "read_report": "nmcheck.results.decode",
}

_FORMER = {"AnalyzeOptions": "nmcheck.checks.options"}
"""Of calls that are made otherwise now: they can still be had, so that the call says what to write instead."""

__all__ = [
    "Program",
    "__version__",
    "analyze",
    "compare",
    "inspect",
    "load_graph",
    "read_comparison",
    "read_inspection",
    "read_report",
]


def __getattr__(name: str) -> Any:
    places = _PUBLIC | _FORMER
    if name in places:
        return getattr(import_module(places[name]), name)
    raise AttributeError(f"module 'nmcheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
