"""The network as a picture: its nodes in the colors of one metric, as SVG that needs no script and no server."""

from __future__ import annotations

from collections.abc import Iterator

from nmcheck.outside_text import markup, visible
from nmcheck.reports.layered_layout import Layout, layered_layout
from nmcheck.reports.numbers import significant
from nmcheck.reports.palette import NO_VALUE, VIRIDIS, color_index, text_on
from nmcheck.results.layers import GraphNode
from nmcheck.results.overlay import Metric, Overlay

_BOX, _GAP, _LETTER, _SMALL = 22, 26, 7.6, 5.6
_LONGEST = 24
_MARGIN, _LEGEND = 12, 44
_FONT = "system-ui, 'Segoe UI', Ubuntu, 'DejaVu Sans', sans-serif"


def layer_graph(overlay: Overlay, key: str | None = None) -> str:
    """An ``<svg>`` element, for a page of HTML or a file of its own; it takes lines and text color from around it.

    Beside every colored node stands its number, ReLUs the network can be cut at have dashed borders and a pair of
    scissors, so the color is never needed.

    Args:
        overlay: the report.
        key: key of the metric shown; by default the first.

    Returns:
        The element, or an empty string if the report does not list the network's nodes.

    Raises:
        ValueError: the overlay has no metric of that key.
    """
    if not overlay.graph:
        return ""
    metric = next((entry for entry in overlay.metrics if key in (None, entry.key)), None)
    if metric is None and key is not None:
        raise ValueError(f"the report has no metric '{key}'")
    shown = {} if metric is None else _shown(metric)
    cuts = {layer.node for layer in overlay.layers if layer.cut is not None}
    boxes = {
        node.node: _Box(node, *shown.get(node.node, (NO_VALUE, "")), cut=node.node in cuts) for node in overlay.graph
    }
    layout = layered_layout(
        [node.node for node in overlay.graph], _edges(overlay), {name: box.room for name, box in boxes.items()}
    )
    # A layout keeps as much room left of a box as right of it, where the words stand.
    left = min(*(layout.x[name] - box.width / 2 for name, box in boxes.items()), *_turns(layout), layout.width)
    right = max(*(layout.x[name] + box.width / 2 + box.beside for name, box in boxes.items()), *_turns(layout), 0.0)
    rows = max(layout.rank.values()) + 1
    width = max(right - left + 2 * _MARGIN, 260)
    height = 2 * _MARGIN + _LEGEND + rows * (_BOX + _GAP) - _GAP
    title = "The network's layers" if metric is None else f"The network's layers by {metric.title}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left - _MARGIN:.1f} 0 {width:.0f} {height:.0f}" '
        f'font-family="{_FONT}" font-size="11" fill="currentColor">',
        f"<title>{markup(title)}</title>",
        *([] if metric is None else _legend(metric, left)),
        *_lines(layout),
        *(box.drawn(layout) for box in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _turns(layout: Layout) -> Iterator[float]:
    """Where edges pass, from left to right."""
    return (x for points in layout.edges.values() for x, _ in points)


def _shown(metric: Metric) -> dict[str, tuple[str, str]]:
    """Color and text of each node that has a value."""
    values = [entry.value for entry in metric.values]
    return {
        entry.node: (
            VIRIDIS[color_index(entry.value, values, worst=metric.worst, logarithmic=metric.logarithmic)],
            entry.text,
        )
        for entry in metric.values
    }


def _edges(overlay: Overlay) -> list[tuple[str, str]]:
    makers = {value: node.node for node in overlay.graph for value in node.outputs}
    return [
        (makers[value], node.node)
        for node in overlay.graph
        for value in dict.fromkeys(node.inputs)
        if value in makers
    ]  # fmt: skip


class _Box:
    """One node of the drawing.

    Attributes:
        width: of its box.
        beside: width of the words at its right.
    """

    def __init__(self, node: GraphNode, color: str, text: str, *, cut: bool) -> None:
        self._node, self._color, self._cut = node, color, cut
        self._badge = f"✂ {text}".rstrip() if cut else text
        self._name, self._op = _clipped(node.node), _clipped(node.op)
        self.width = max(34.0, 14 + _LETTER * len(self._op))
        self.beside = _LETTER * len(self._badge) + _SMALL * len(self._name) + 16

    @property
    def room(self) -> float:
        """Width the node takes: its box in the middle, what is written right of it on both sides."""
        return self.width + 2 * self.beside

    def drawn(self, layout: Layout) -> str:
        """The node as SVG."""
        name = self._node.node
        x, y = layout.x[name] - self.width / 2, _top(layout.rank[name])
        border = ' stroke-width="2" stroke-dasharray="5 3" stroke="#1f6feb"' if self._cut else ' stroke="currentColor"'
        shape = "×".join(map(str, self._node.shape))
        right, apart = x + self.width + 5, 4 if self._badge else 0
        told = f"{name} ({self._node.op}), {shape}: {self._badge or 'no value'}"
        return "".join(
            [
                f"<g><title>{markup(told)}</title>",
                f'<rect x="{x:.1f}" y="{y}" width="{self.width:.1f}" height="{_BOX}" rx="4" fill="{self._color}"',
                f"{border}/>",
                f'<text x="{x + self.width / 2:.1f}" y="{y + 15}" text-anchor="middle" font-weight="600" ',
                f'fill="{text_on(self._color)}">{markup(self._op)}</text>',
                f'<text x="{right:.1f}" y="{y + 15}"><tspan font-weight="600">{markup(self._badge)}</tspan>',
                f'<tspan dx="{apart}" font-size="9" opacity="0.75">{markup(self._name)}</tspan></text>',
                "</g>",
            ]
        )


def _clipped(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _lines(layout: Layout) -> list[str]:
    """The edges: down to the middle between two ranks, across, and down again, with an arrow at the end."""
    drawn = []
    for points in layout.edges.values():
        (x, rank), *rest = points
        path = f"M{x:.1f} {_top(rank) + _BOX}"
        for step, (to, level) in enumerate(rest):
            y = _top(level)
            before = y - _GAP
            path += f"C{x:.1f} {before + _GAP / 2} {to:.1f} {before + _GAP / 2} {to:.1f} {y}"
            if step + 1 < len(rest):
                path += f"V{y + _BOX}"
            x = to
        tip = _top(rest[-1][1])
        path += f"M{x - 3:.1f} {tip - 6}L{x:.1f} {tip}L{x + 3:.1f} {tip - 6}"
        drawn.append(f'<path d="{path}" fill="none" stroke="currentColor" opacity="0.7"/>')
    return drawn


def _top(rank: int) -> int:
    return _MARGIN + _LEGEND + rank * (_BOX + _GAP)


def _legend(metric: Metric, left: float) -> list[str]:
    colors = VIRIDIS if metric.worst == "high" else tuple(reversed(VIRIDIS))
    values = [entry.value for entry in metric.values]
    worst = ("worst ", "") if metric.worst == "low" else ("", " worst")
    low, high = f"{worst[0]}{significant(min(values))}", f"{significant(max(values))}{worst[1]}"
    scale = "logarithmic" if metric.logarithmic else "linear"
    return [
        f'<text x="{left:.1f}" y="{_MARGIN + 8}" font-weight="600">{markup(metric.title)}</text>',
        *(
            f'<rect x="{left + 14 * index:.1f}" y="{_MARGIN + 13}" width="14" height="8" fill="{color}"/>'
            for index, color in enumerate(colors)
        ),
        f'<text x="{left:.1f}" y="{_MARGIN + 32}" font-size="9">{markup(low)}</text>',
        f'<text x="{left + 112:.1f}" y="{_MARGIN + 32}" font-size="9" text-anchor="middle">{scale}</text>',
        f'<text x="{left + 224:.1f}" y="{_MARGIN + 32}" font-size="9" text-anchor="end">{markup(high)}</text>',
    ]
