"""A report read back from its JSON file, arranged for viewers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nmcheck.errors import UsageError
from nmcheck.results.document import DocumentError, Rule, check_values, flag, number, read_document, text

if TYPE_CHECKING:
    from nmcheck.results.overlay import Overlay

_NUMBER, _SHARE = number(-1e300, 1e300), number(0, 1)
_COUNT = number(0, 2**53, whole=True)
_SECTIONS = ("graph[]", "bounds[].layers[]", "normalization[]", "cuts[]")
_RULES: Mapping[str, Rule] = {
    "schema_version": number(whole=True),
    "model.path": text(),
    "model.fingerprint": text(),
    "data.name": text(),
    "data.samples": number(1, 2**53, whole=True),
    "data.accuracy": _SHARE,
    **{f"{section}.node": text() for section in (*_SECTIONS, "cut_errors[]", "moments[].propagation.gains[]")},
    **{f"{section}.outputs[]": text() for section in _SECTIONS},
    **{f"graph[].{key}": text() for key in ("op", "inputs[]", "members[]")},
    "graph[].index": _COUNT,
    "graph[].shape[]": _COUNT,
    "bounds[].norm": text(),
    "bounds[].radius{}.certified": flag,
    "bounds[].radius{}.mean": _NUMBER,
    "bounds[].radius{}.mean_reason": text(),
    **{
        f"bounds[].layers[].{key}": _NUMBER
        for key in ("kappa_certified", "kappa_published", "lipschitz", "lipschitz_to_logits")
    },
    "bounds[].layers[].published_sound": flag,
    **{f"moments[].{key}": text() for key in ("engine", "linearizer", "cut", "cut_kind", "baseline")},
    "moments[].sigma_pixel": _NUMBER,
    "moments[].overall.mean_er": _NUMBER,
    "moments[].overall.var_er": _NUMBER,
    "moments[].propagation.gains[].gain": _NUMBER,
    "cut_errors[].error": _NUMBER,
    "cuts[].dense_bytes": number(0, 2**1000, whole=True),
    **{f"{section}[].kind": text("cut", "skip") for section in ("cuts", "cut_errors")},
    "normalization[].kind": text(),
    "normalization[].noise_gain[].sigma_pixel": _NUMBER,
    "normalization[].noise_gain[].gain": _NUMBER,
    **{f"normalization[].{key}": _NUMBER for key in ("radius_without", "kappa_out", "accuracy_without")},
    "gate.verdict": text("pass", "fail", "inconclusive"),
    **{f"gate.checks[].{key}": text() for key in ("id", "verdict", "reason")},
    "gate.checks[].waiver.state": text("valid", "expired"),
}
"""What the values that viewers show must be, by path."""


def read_overlay(path: Path) -> Overlay:
    """The overlay of a JSON report.

    Raises:
        UsageError: the file cannot be read or is no report of nmcheck's.
    """
    from nmcheck.reports.overlay import overlay

    try:
        document = read_document(path)
        check_values(document, _RULES)
        return overlay(document)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be read ({error.strerror}); name a JSON report.") from error
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, DocumentError) else type(error).__name__
        raise UsageError(
            f"{path}: not a JSON report of nmcheck, or a damaged one ({why}); write one with nmcheck "
            "analyze MODEL --data SPEC --format json --output FILE."
        ) from error


def check_same_model(model: Path, overlay: Overlay, report: Path) -> None:
    """See whether a report is about a model, by the fingerprint over graph and weights.

    Raises:
        ModelError: the model cannot be read.
        UsageError: it is about another.
    """
    from nmcheck.graph.reading import read_model

    found = read_model(model).fingerprint
    if found != overlay.fingerprint:
        raise UsageError(
            f"{report} is a report of another model than {model} (fingerprint {overlay.fingerprint[:12]}, of the file "
            f"{found[:12]}; it names {overlay.model}); analyze this one, or pass --force to use the report anyway."
        )
