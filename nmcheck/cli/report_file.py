"""A report read back from its JSON file, arranged for viewers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nmcheck.errors import UsageError

if TYPE_CHECKING:
    from nmcheck.results.overlay import Overlay


def read_overlay(path: Path) -> Overlay:
    """The overlay of a JSON report.

    Raises:
        UsageError: the file cannot be read or is no report of nmcheck's.
    """
    from nmcheck.reports.overlay import overlay

    try:
        return overlay(json.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be read ({error.strerror}); name a JSON report.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: not a JSON report of nmcheck, or a damaged one ({type(error).__name__}); write one with nmcheck "
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
