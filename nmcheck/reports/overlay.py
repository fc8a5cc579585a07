"""From a report, as its JSON document has it, to what a viewer lays over a drawing of the network.

The document is read rather than the record, so that reports of other versions and of other commands, which have some
sections and lack others, can be laid over too. Nothing is computed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from nmcheck.counting import counted
from nmcheck.reports.json import to_json
from nmcheck.reports.numbers import level, percent, significant
from nmcheck.results.bounds import stated
from nmcheck.results.inspection import Inspection
from nmcheck.results.layers import GraphNode
from nmcheck.results.overlay import Detail, LayerDetails, LayerValue, Metric, Overlay, Verdict
from nmcheck.results.report import Report

Document = Mapping[str, Any]
Worst = Literal["low", "high"]
_DECADE = 10
"""Beyond this ratio of the largest to the smallest value a scale is logarithmic."""


def overlay_of(result: Report | Inspection) -> Overlay:
    """The overlay of a report, or of an inspection, which knows only where the network can be cut."""
    return overlay(json.loads(to_json(result)))


def overlay(document: Document) -> Overlay:
    """The overlay of a JSON document of ``nmcheck analyze``, ``bounds``, ``gate`` or ``inspect``.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none of these, or damaged.
    """
    if document["schema_version"] != 1:
        raise ValueError(f"schema_version is {document['schema_version']}, not 1")
    metrics = [
        *_bounds_metrics(document.get("bounds") or ()),
        *_gain_metrics(document.get("moments") or ()),
        *_tightness_metrics(document.get("moments") or ()),
        *_cut_metrics(document),
        *_normalization_metrics(document.get("normalization") or ()),
    ]
    made = tuple(metric for metric in metrics if metric.values)
    return Overlay(
        model=str(document["model"]["path"]),
        fingerprint=str(document["model"]["fingerprint"]),
        summary=_summary(document),
        metrics=made,
        layers=_layers(document, made),
        graph=tuple(_graph_node(entry) for entry in document.get("graph") or ()),
        verdict=_verdict(document.get("gate")),
    )


def _metric(key: str, title: str, explanation: str, worst: Worst, values: Iterable[tuple[str, float | None]]) -> Metric:
    known = [_value(key, node, float(value)) for node, value in values if value is not None]
    low, high = (pick((entry.value for entry in known), default=0.0) for pick in (min, max))
    logarithmic = low > 0 and high > _DECADE * low
    return Metric(
        key=key,
        title=title,
        explanation=explanation,
        worst=worst,
        logarithmic=logarithmic,
        values=tuple(known),
    )


def _value(key: str, node: str, value: float) -> LayerValue:
    if not math.isfinite(value):
        raise ValueError(f"{node} has {key} {value}")
    return LayerValue(node=node, value=value, text=significant(value))


def _bounds_metrics(entries: Sequence[Document]) -> Iterator[Metric]:
    # A gate's report may have several methods for a norm, and entries that say nothing about layers.
    entries = [entry for entry in entries if entry.get("layers")]
    for entry in entries:
        domain = entry["norm"] + ("" if entry.get("box") is None else ", in its range")
        mark = "" if len(entries) == 1 else f" {domain}"

        def column(key: str, layers: Sequence[Document] = entry["layers"]) -> list[tuple[str, float | None]]:
            return [(layer["node"], layer.get(key)) for layer in layers]

        yield _metric(
            f"kappa{mark}", f"certified kappa ({domain})",
            "Certified least norm of a change at the layer's input that can change the label, mean over the images; "
            "the smaller, the more fragile.",
            "low", column("kappa_certified"),
        )  # fmt: skip
        yield _metric(
            f"L{mark}", f"Lipschitz constant ({domain})",
            "Certified upper bound of the layer's own Lipschitz constant; the larger, the more it can amplify.",
            "high", column("lipschitz"),
        )  # fmt: skip
        yield _metric(
            f"L→logits{mark}", f"Lipschitz constant to the logits ({domain})",
            "Certified upper bound of the Lipschitz constant from the layer's input to the logits.",
            "high", column("lipschitz_to_logits"),
        )  # fmt: skip
        yield _metric(
            f"kappa pub.{mark}", f"published kappa, not certified ({domain})",
            "kappa by the thesis's formula as it stands; the layer's details say whether that is sound.",
            "low", column("kappa_published"),
        )  # fmt: skip


def _gain_metrics(entries: Sequence[Document]) -> Iterator[Metric]:
    for entry in entries:
        gains = (entry.get("propagation") or {}).get("gains") or ()
        sigma = level(entry["sigma_pixel"])
        yield _metric(
            f"gain {sigma}", f"propagated noise gain, sigma {sigma}",
            "Standard deviation of the noise behind the layer over that at the input, root mean square over units and "
            "images, by the engine propagate; an estimate.",
            "high", [(gain["node"], gain["gain"]) for gain in gains],
        )  # fmt: skip


def _tightness_metrics(entries: Sequence[Document]) -> Iterator[Metric]:
    """The measured error of the moments linearized around each cut: one metric an engine and noise level."""
    groups: dict[tuple[float, str, str], list[Document]] = {}
    for entry in entries:
        if entry.get("cut") is not None and entry.get("baseline") is None:
            groups.setdefault((entry["sigma_pixel"], entry["engine"], entry.get("linearizer") or ""), []).append(entry)
    alone = len({(engine, linearizer) for _, engine, linearizer in groups}) == 1
    for (sigma, engine, linearizer), found in groups.items():
        how = f"{engine}{', averaged' if linearizer == 'averaged' else ''}, sigma {level(sigma)}"
        mark = level(sigma) if alone else f"{level(sigma)} {engine} {linearizer}".rstrip()
        for key, short, what in (("mean_er", "mean", "mean"), ("var_er", "var", "variance")):
            yield _metric(
                f"E.{short} {mark}", f"tightness at the cut: {what}, {how}",
                f"Relative error E_r of the logits' {what} against the sampled reference, linearized around this ReLU.",
                "high", [(entry["cut"], entry["overall"].get(key)) for entry in found],
            )  # fmt: skip


def _cut_metrics(document: Document) -> Iterator[Metric]:
    yield _metric(
        "cut error", "linearization error at the ReLUs compared",
        "Distance of the linearized network's logits from the network's own, over the distance by which noise moves "
        "them, as --cut best compares them.",
        "high", [(entry["node"], entry.get("error")) for entry in document.get("cut_errors") or ()],
    )  # fmt: skip
    yield _metric(
        "cut bytes", "memory of a linearization around the ReLU, bytes",
        "What the matrices of the network linearized around this ReLU take for one image, in bytes.",
        "high", [(entry["node"], float(entry["dense_bytes"])) for entry in document.get("cuts") or ()],
    )  # fmt: skip


def _normalization_metrics(entries: Sequence[Document]) -> Iterator[Metric]:
    sigmas = dict.fromkeys(gain["sigma_pixel"] for entry in entries for gain in entry.get("noise_gain") or ())
    for sigma in sigmas:
        yield _metric(
            f"norm gain {level(sigma)}", f"LRN/BatchNormalization: noise gain, sigma {level(sigma)}",
            "Standard deviation of the noise behind the layer over that in front of it; above 1 the layer amplifies.",
            "high",
            [
                (entry["node"], gain.get("gain"))
                for entry in entries
                for gain in entry.get("noise_gain") or ()
                if gain["sigma_pixel"] == sigma
            ],
        )  # fmt: skip
    yield _metric(
        "radius w/o", "LRN/BatchNormalization: certified radius without the layer",
        "Mean certified radius, in pixel units, of the network with this layer taken out and not trained again; the "
        "larger, the more the layer costs.",
        "high", [(entry["node"], entry.get("radius_without")) for entry in entries],
    )  # fmt: skip


def _layers(document: Document, metrics: Sequence[Metric]) -> tuple[LayerDetails, ...]:
    outputs: dict[str, tuple[str, ...]] = {}
    for section in _sections(document):
        for entry in section:
            outputs.setdefault(entry["node"], tuple(entry.get("outputs") or ()))
            if entry.get("outputs"):
                outputs[entry["node"]] = tuple(entry["outputs"])
    cuts = _cuts(document)
    named = dict.fromkeys(
        [*(entry.node for metric in metrics for entry in metric.values), *cuts, *_spoken_of(document)]
    )
    order = {node: position for position, node in enumerate(outputs)}
    details: dict[str, list[Detail]] = {node: [] for node in named}
    for metric in metrics:
        for entry in metric.values:
            details[entry.node].append(Detail(label=f"nm.{metric.key}", text=entry.text))
    for node, detail in _statements(document):
        details[node].append(detail)
    return tuple(
        LayerDetails(
            node=node, outputs=outputs.get(node, ()), cut=cuts.get(node), details=tuple(details[node])
        )
        for node in sorted(named, key=lambda name: order.get(name, len(order)))
    )  # fmt: skip


def _sections(document: Document) -> Iterator[Sequence[Document]]:
    yield document.get("graph") or ()
    for entry in document.get("bounds") or ():
        yield entry.get("layers") or ()
    yield document.get("normalization") or ()
    yield document.get("cuts") or ()


def _spoken_of(document: Document) -> Iterator[str]:
    for entry in document.get("bounds") or ():
        yield from (layer["node"] for layer in entry.get("layers") or ())
    yield from (entry["node"] for entry in document.get("normalization") or ())
    yield from (node for node, _ in _parts(document))


def _cuts(document: Document) -> dict[str, Literal["cut", "skip"]]:
    found = [(entry.get("cut"), entry.get("cut_kind")) for entry in document.get("moments") or ()]
    for key in ("cut_errors", "cuts"):
        found += [(entry["node"], entry["kind"]) for entry in document.get(key) or ()]
    return {node: "skip" if kind == "skip" else "cut" for node, kind in found if node is not None}


def _parts(document: Document) -> Iterator[tuple[str, Detail]]:
    """The file's nodes that make up a layer together; the numbers stand at the last of them."""
    for entry in document.get("graph") or ():
        for member in entry.get("members") or ():
            if member != entry["node"]:
                yield member, Detail(label="nm.part of", text=f"{entry['op']} {entry['node']}")


def _statements(document: Document) -> Iterator[tuple[str, Detail]]:
    """What a report says about a node beside numbers."""
    yield from _parts(document)
    for entry in document.get("bounds") or ():
        for layer in entry.get("layers") or ():
            if layer.get("lipschitz_method"):
                yield layer["node"], Detail(label="nm.L by", text=str(layer["lipschitz_method"]))
            if layer.get("published_statement"):
                sound = "sound" if layer.get("published_sound") else "not sound"
                yield layer["node"], Detail(label="nm.pub. is", text=f"{sound}: {layer['published_statement']}")
    for entry in document.get("normalization") or ():
        if entry.get("recognized_from") == "pattern":
            yield entry["node"], Detail(label="nm.is", text=f"{entry['kind']}, decomposed into several nodes")
        if entry.get("kappa_out") is not None:
            yield entry["node"], Detail(label="nm.kappa out", text=significant(entry["kappa_out"]))
        if entry.get("accuracy_without") is not None:
            yield entry["node"], Detail(label="nm.acc. w/o", text=f"{entry['accuracy_without']:g}")


def _summary(document: Document) -> tuple[str, ...]:
    lines = []
    if data := document.get("data"):
        accuracy = data.get("accuracy")
        told = "" if accuracy is None else f", accuracy {percent(accuracy, data['samples'])}"
        lines.append(f"{counted(data['samples'], 'image')} of {data['name']}{told}")
    if sigmas := dict.fromkeys(level(entry["sigma_pixel"]) for entry in document.get("moments") or ()):
        lines.append(f"noise sigma {', '.join(sigmas)} in pixel units")
    for entry in document.get("bounds") or ():
        radii = {
            method: mean
            for method, radius in (entry.get("radius") or {}).items()
            if radius.get("certified") and (mean := stated(radius.get("mean"), radius.get("mean_reason"))) is not None
        }
        if radii:
            method = max(radii, key=radii.__getitem__)
            lines.append(f"mean certified {entry['norm']} radius {significant(radii[method])} ({method})")
    return tuple(lines)


def _graph_node(entry: Document) -> GraphNode:
    texts = {key: tuple(str(name) for name in entry.get(key) or ()) for key in ("inputs", "outputs", "members")}
    shape = tuple(int(length) for length in entry["shape"])
    return GraphNode(node=str(entry["node"]), index=int(entry["index"]), op=str(entry["op"]), shape=shape, **texts)


def _verdict(gate: Document | None) -> Verdict | None:
    if not gate:
        return None
    statements = tuple(
        f"{check['id']}: {check['verdict']}{_waived(check)}: {check['reason']}" for check in gate["checks"]
    )
    return Verdict(verdict=gate["verdict"], statements=statements)


def _waived(check: Document) -> str:
    """As the gate counts it: a waiver that has expired is none, and a check that passes needs none."""
    waiver = check.get("waiver")
    return " (waived)" if waiver and waiver["state"] == "valid" and check["verdict"] != "pass" else ""
