"""Networks to draw, with overlays as a report would give them."""

import json

import made_up_report
import models
from onnx import ModelProto, helper

from nmcheck.reports.overlay import overlay
from nmcheck.results.overlay import Detail, LayerDetails, LayerValue, Metric, Overlay

ODD_NAMES = (
    'a "quoted" name', "it's <b>bold</b>", "<img src=x onerror=alert(1)>", "größe·尺寸 ✂", "a\\b/c d&amp;e",
    "#id.class[x]", "</script><script>alert(1)</script>",
)  # fmt: skip


def bounds_report(layers: list[dict], **model: str) -> dict:
    """A JSON report that has bounds of these layers and nothing else."""
    return {
        "schema_version": 1,
        "model": {"path": "model.onnx", "fingerprint": "0" * 64, **model},
        "bounds": [{"norm": "l2", "box": None, "layers": layers}],
    }


def full_overlay() -> Overlay:
    """The made-up report, laid over."""
    from nmcheck.reports.json import to_json

    return overlay(json.loads(to_json(made_up_report.report())))


def overlay_on(model: ModelProto, *, cut: str | None = None) -> Overlay:
    """Two metrics on every node of a model: kappa grows by the tenth part of a decade a node, L is 2 everywhere."""
    nodes = [(node.name, tuple(node.output)) for node in model.graph.node]
    kappa = [LayerValue(node=name, value=1e-3 * 10 ** (i / 10), text=f"k{i}") for i, (name, _) in enumerate(nodes)]
    constant = [LayerValue(node=name, value=2.0, text="2.00") for name, _ in nodes]
    return Overlay(
        model="model.onnx",
        fingerprint="0" * 64,
        summary=("made up",),
        metrics=(
            Metric(key="kappa", title="certified kappa (l2)", explanation="How fragile it is.", worst="low",
                   logarithmic=True, values=tuple(kappa)),
            Metric(key="L", title="Lipschitz constant (l2)", explanation="How much it amplifies.", worst="high",
                   logarithmic=False, values=tuple(constant)),
        ),
        layers=tuple(
            LayerDetails(node=name, outputs=outputs, cut="cut" if name == cut else None,
                         details=(Detail(label="nm.kappa", text=f"k{i}"), Detail(label="nm.L", text="2.00")))
            for i, (name, outputs) in enumerate(nodes)
        ),
        graph=(),
        verdict=None,
    )  # fmt: skip


def chain(names: list[str]) -> ModelProto:
    """Nodes of these names in a row."""
    values = ["x", *(f"v{index}" for index in range(len(names) - 1)), "y"]
    operators = ("Relu", "Abs", "Sigmoid", "Neg")
    nodes = [
        helper.make_node(operators[index % len(operators)], [values[index]], [values[index + 1]], name)
        for index, name in enumerate(names)
    ]
    return models.model(nodes, ("N", 4))


def large(blocks: int = 250) -> ModelProto:
    """Residual blocks of four nodes each: 1,000 nodes by default."""
    nodes, value = [], "x"
    for block in range(blocks):
        names = [f"{kind}_{block}" for kind in ("conv", "relu", "mul", "add")]
        nodes += [
            helper.make_node("MatMul", [value, "W"], [f"m{block}"], names[0]),
            helper.make_node("Relu", [f"m{block}"], [f"r{block}"], names[1]),
            helper.make_node("MatMul", [f"r{block}", "W"], [f"n{block}"], names[2]),
            helper.make_node("Add", [f"n{block}", value], [f"a{block}"], names[3]),
        ]
        value = f"a{block}"
    nodes[-1].output[0] = "y"
    return models.model(nodes, ("N", 64), {"W": models.weights(64, 64)})
