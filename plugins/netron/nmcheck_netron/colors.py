"""nmcheck's rules for Netron's style sheet, in literal colors: Netron's export of the drawing knows no variables."""

from __future__ import annotations

from nmcheck.reports.palette import FAILED, NO_VALUE, VIRIDIS, text_on

_FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", "Ubuntu", "DejaVu Sans", sans-serif'


def color_rules() -> str:
    """CSS: a class a color for a node's title and its badge, and marks for cuts and for what is beyond a threshold."""
    rules = ["/* nmcheck */"]
    for index, color in [*enumerate(VIRIDIS), ("none", NO_VALUE)]:
        text = text_on(color)
        rules += [
            f".nmc-{index} > .node-item-type > path {{ fill: {color}; }}",
            f".nmc-{index} > .node-item-type > text {{ fill: {text}; }}",
            f".nmc-{index} > .nmc-badge > rect {{ fill: {color}; }}",
            f".nmc-{index} > .nmc-badge > text {{ fill: {text}; }}",
        ]
    rules += [
        ".nmc-badge { pointer-events: none; }",
        ".nmc-badge > rect { stroke: #333333; stroke-width: 0.75px; }",
        f".nmc-badge > text {{ font-family: {_FONT}; font-size: 10px; font-weight: 600; }}",
        ".nmc-cut > .node-border { stroke: #1f6feb; stroke-width: 2px; stroke-dasharray: 5, 3; }",
        f".nmc-beyond > .node-border {{ stroke: {FAILED}; stroke-width: 4px; }}",
        f".nmc-beyond > .nmc-badge > rect {{ stroke: {FAILED}; stroke-width: 2px; }}",
        # A node picked out by Netron keeps Netron's mark.
        ".select.nmc > .node-border { stroke: #dc0000; stroke-width: 2px; stroke-dasharray: none; }",
    ]
    return "\n".join(rules) + "\n"
