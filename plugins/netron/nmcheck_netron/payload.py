"""What nmcheck's script in the page reads, as JSON.

Names of nodes are the true ones, by which the script finds them in the drawing; where one holds letters that hide or
turn round, what is shown for it stands beside. All other texts are as they are to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmcheck.outside_text import json_text, visible
from nmcheck.reports.palette import VIRIDIS
from nmcheck.results.overlay import Overlay


def payload(overlay: Overlay, names: Mapping[str, str]) -> bytes:
    """The overlay by the names the drawing has for the nodes.

    Args:
        overlay: the overlay, by the report's names.
        names: name in the drawing of each node that was found in the file.
    """
    labels = {name: visible(name) for name in names.values()}
    drawn = {
        "model": visible(overlay.model),
        "summary": [visible(line) for line in overlay.summary],
        "labels": [[name, label] for name, label in labels.items() if label != name],
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
                "title": visible(metric.title),
                "explanation": visible(metric.explanation),
                "worst": metric.worst,
                "logarithmic": metric.logarithmic,
                "values": [
                    [names[entry.node], entry.value, entry.text] for entry in metric.values if entry.node in names
                ],
            }
            for metric in overlay.metrics
        ],
        "verdict": overlay.verdict
        and {"verdict": overlay.verdict.verdict, "statements": [visible(line) for line in overlay.verdict.statements]},
    }  # fmt: skip
    return json_text(drawn, indent=None).encode()
