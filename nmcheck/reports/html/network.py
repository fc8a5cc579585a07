"""The page's drawings of the network: the picture of ``nmcheck view`` without a server and a script."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from nmcheck.reports.layer_graph import layer_graph
from nmcheck.reports.overlay import overlay_of
from nmcheck.results.report import Report

MOST_BOXES = 1000
"""Nodes that all drawings of a page have together: some 400 bytes each."""


@dataclass(frozen=True)
class NetworkDrawing:
    """The network in the colors of one metric.

    Attributes:
        title: the metric.
        picture: an ``<svg>`` element.
        text: what the metric means.
    """

    title: str
    picture: Markup
    text: str


def network_drawings(report: Report) -> list[NetworkDrawing]:
    """A drawing a metric that several layers have, as many as a page has room for."""
    overlay = overlay_of(report)
    if not overlay.graph:
        return []
    metrics = [metric for metric in overlay.metrics if len(metric.values) > 1]
    return [
        NetworkDrawing(metric.title, Markup(layer_graph(overlay, metric.key)), metric.explanation)
        for metric in metrics[: MOST_BOXES // len(overlay.graph)]
    ]
