"""An inspection as tables for a person."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from nmcheck.counting import counted
from nmcheck.reports.layout import header, new_table, notes, paragraph, settle, styled
from nmcheck.reports.numbers import classes
from nmcheck.results.inspection import CutEntry, FoundNormalization, Inspection

LONGEST = 40
"""Rows of the longest list of cuts shown whole."""
CHEAPEST = 10
"""Skips shown where the list is longer."""
NAMED = 3
"""Layers named of each kind of normalization."""
TOO_LARGE = "*"
"""Marks a cut whose matrices are larger than nmcheck makes them."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def inspection_parts(found: Inspection, width: int) -> list[RenderableType]:
    """What an inspection shows; arguments as those of ``table.analysis_parts``."""
    del width
    parts: list[RenderableType] = [_header(found)]
    parts += [styled(reason, "yellow") for reason in found.reasons]
    parts += ["", *_operators(found), "", *_normalization(found.normalization), "", *_cuts(found.cuts)]
    return [*parts, *notes(found.notes)]


def memory(size: int) -> str:
    """A number of bytes to three digits, in powers of 1000."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{size} B"
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {_UNITS[unit]}"


def _header(found: Inspection) -> RenderableType:
    model = found.model
    batches = {"any": "any batch", "none": "no batch axis"}
    rows = (
        ("model", f"{model.path}  (opset {model.opset}{', ' + model.producer if model.producer else ''})"),
        ("fingerprint", model.fingerprint[:16]),
        (
            "input",
            f"{model.input}: {_shape(model.input_shape)}, {batches.get(model.batch, f'batches of {model.batch}')}",
        ),
        ("logits", f"{model.logits}: {classes(model.classes, model.masked)}"),
        (
            "size",
            f"{counted(model.nodes, 'node')}, {counted(model.weights, 'weight')} ({memory(model.weight_bytes)})",
        ),
        ("ReLUs", _relus(found)),
        ("memory", f"analyze takes about {memory(model.analysis_bytes)} at its peak"),
    )
    possible = found.analyzable
    verdict = [("execute", possible.execute), ("moments", possible.moments), ("bounds", possible.bounds)]
    return header(
        found.tool,
        [*rows, *((key, _yes_or_no(value)) for key, value in verdict)],
    )


def _relus(found: Inspection) -> str:
    if not found.cuts:
        return str(found.relus)
    inside = sum(entry.op != "Relu" for entry in found.cuts)
    written = f"{found.relus:,} and {inside:,} inside other operators" if inside else f"{found.relus:,}"
    cuts = sum(entry.kind == "cut" for entry in found.cuts)
    cheapest = min(found.cuts, key=lambda entry: entry.analysis_bytes)
    return (
        f"{written}: {counted(cuts, 'cut')}, {counted(len(found.cuts) - cuts, 'skip')}; "
        f"the least memory takes {cheapest.node} ({cheapest.kind}, {memory(cheapest.analysis_bytes)})"
    )


def _operators(found: Inspection) -> list[RenderableType]:
    table = new_table("Operators", "operator", "nodes", "execute", "moments", "bounds")
    for entry in found.operators:
        name = f"{entry.domain}.{entry.op}" if entry.domain else entry.op
        marks = (_yes_or_no(possible) for possible in (entry.execute, entry.moments, entry.bounds))
        table.add_row(name, f"{entry.count:,}", *marks)
    if not found.operators:
        return [paragraph("Operators: none; the output does not depend on the input.")]
    return [settle(table, 0)]


def _normalization(entries: tuple[FoundNormalization, ...]) -> list[RenderableType]:
    if not entries:
        return [paragraph("Normalization: none found.")]
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.kind, entry.recognized_from), []).append(entry.node)
    lines = []
    for (kind, recognized_from), nodes in groups.items():
        named = ", ".join(nodes[:NAMED]) + (f", ... {nodes[-1]}" if len(nodes) > NAMED else "")
        found_as = ", decomposed" if recognized_from == "pattern" else ""
        lines.append(styled(f"Normalization: {len(nodes):,} {kind}{found_as} ({named})"))
    return lines


def _cuts(entries: tuple[CutEntry, ...]) -> list[RenderableType]:
    if not entries:
        return [paragraph("Cuts: none; no ReLU stands between the input and the logits.")]
    shown = _shown(entries)
    table = new_table("Cuts", "node", "operator", "kind", "p", "n", "d", "memory", names=3)
    for entry in shown:
        mark = "" if entry.within_budget else f"{TOO_LARGE} "
        row = (f"{entry.p:,}", f"{entry.n:,}", f"{entry.d:,}", mark + memory(entry.analysis_bytes))
        table.add_row(entry.node, entry.op, entry.kind, *row)
    parts: list[RenderableType] = [settle(table, 0), ""]
    if len(shown) < len(entries):
        left = counted(len(entries) - len(shown), "skip")
        parts.append(Text(f"... and {left} that take no less memory than these; --format json lists them all."))
    parts.append(
        paragraph(
            "cut: every path from the input to the logits crosses this ReLU; skip: paths lead around it, be it inside "
            "a LeakyRelu, PRelu or Clip, and an affine one stands for them. p: units of the ReLU, n: inputs, d: "
            "logits; memory: what analyze takes at its peak with this cut; where p is large most of it is A (p x n) "
            "and A A' (p x p)."
        )
    )
    if not all(entry.within_budget for entry in shown):
        parts.append(
            paragraph(f"{TOO_LARGE} more than nmcheck makes a matrix of: the network is not linearized there.")
        )
    return parts


def _shown(entries: tuple[CutEntry, ...]) -> list[CutEntry]:
    """All cuts; of many skips those that take the least memory; in the order of the graph."""
    if len(entries) <= LONGEST:
        return list(entries)
    skips = sorted((entry for entry in entries if entry.kind == "skip"), key=lambda entry: entry.analysis_bytes)
    kept = {entry.node for entry in skips[:CHEAPEST]}
    return [entry for entry in entries if entry.kind == "cut" or entry.node in kept]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if shape else "a single number"


def _yes_or_no(possible: bool) -> Text:
    return Text("yes", style="green") if possible else Text("no", style="red")
