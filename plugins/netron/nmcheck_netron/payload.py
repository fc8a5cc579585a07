"""What nmcheck's script in the page is told, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nmcheck.reports.palette import VIRIDIS
from nmcheck.results.overlay import Overlay


def payload(overlay: Overlay, names: Mapping[str, str]) -> bytes:
    """The overlay by the names the drawing has for the nodes.

    Args:
        overlay: the overlay, by the report's names.
        names: name in the drawing of each node that was found in the file.
    """
    drawn = {
        "model": overlay.model,
        "summary": overlay.summary,
        "colors": VIRIDIS,
        "layers": len(overlay.layers),
        "missing": [layer.node for layer in overlay.layers if layer.node not in names],
        "cuts": [
            [names[layer.node], layer.cut]
            for layer in overlay.layers
            if layer.cut is not None and layer.node in names
        ],
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title,
                "explanation": metric.explanation,
                "worst": metric.worst,
                "logarithmic": metric.logarithmic,
                "values": [
                    [names[entry.node], entry.value, entry.text] for entry in metric.values if entry.node in names
                ],
            }
            for metric in overlay.metrics
        ],
        "verdict": overlay.verdict
        and {"verdict": overlay.verdict.verdict, "statements": overlay.verdict.statements},
    }  # fmt: skip
    return json.dumps(drawn, allow_nan=False).encode()
