"""A report as files that other viewers lay over their own drawing of a model.

Both name a node as the file names it; where the file leaves nodes unnamed, the copy written by ``nmcheck annotate --to
onnx`` has the names used here.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmcheck.outside_text import json_text
from nmcheck.reports.palette import VIRIDIS, color_index, text_on
from nmcheck.results.overlay import Metric, Overlay


def netron_attachment(overlay: Overlay, names: Mapping[str, str]) -> str:
    """JSON that Netron takes when it is dropped on its window once the model is open: numbers and texts of each node.

    Args:
        overlay: the report.
        names: the file's name of each node, by the report's; nodes that are not in it are left out.
    """
    metadata, metrics = [], []
    for metric in overlay.metrics:
        metrics += [
            {"kind": "node", "target": names[entry.node], "name": f"nm.{metric.key}", "value": entry.value}
            for entry in metric.values
            if entry.node in names
        ]
    numbers = {f"nm.{metric.key}" for metric in overlay.metrics}
    for layer in overlay.layers:
        metadata += [
            {"kind": "node", "target": names[layer.node], "name": detail.label, "value": detail.text}
            for detail in layer.details
            if layer.node in names and detail.label not in numbers
        ]
    return _text({"signature": "netron:attachment", "metadata": metadata, "metrics": metrics})


def model_explorer_data(metric: Metric, names: Mapping[str, str]) -> str:
    """Node data of Model Explorer: a value and a color a node, keyed by the node's name.

    The colors are written out, because Model Explorer's own gradients know no logarithmic scale.

    Args:
        metric: the metric shown; Model Explorer takes one a file.
        names: the file's name of each node, by the report's.
    """
    values = [entry.value for entry in metric.values]
    results = {}
    for entry in metric.values:
        if entry.node in names:
            index = color_index(entry.value, values, worst=metric.worst, logarithmic=metric.logarithmic)
            color = VIRIDIS[index]
            results[names[entry.node]] = {"value": entry.value, "bgColor": color, "textColor": text_on(color)}
    return _text({"name": f"nmcheck: {metric.title}", "results": results})


def _text(document: object) -> str:
    return json_text(document) + "\n"
