import json
import math

import drawn_networks
import made_up_report
import pytest

from nmcheck.reports.json import to_json
from nmcheck.reports.overlay import overlay, overlay_of


@pytest.fixture
def document():
    return json.loads(to_json(made_up_report.report(engines=("propagate", "two-stage", "published-theorem2"))))


def values(laid, key):
    return {entry.node: entry.value for metric in laid.metrics if metric.key == key for entry in metric.values}


def test_every_metric_has_the_reports_numbers(document):
    laid = overlay(document)
    layers = document["bounds"][0]["layers"]
    assert values(laid, "kappa") == {layer["node"]: layer["kappa_certified"] for layer in layers}
    assert values(laid, "L") == {layer["node"]: layer["lipschitz"] for layer in layers}
    assert values(laid, "L→logits") == {layer["node"]: layer["lipschitz_to_logits"] for layer in layers}
    published = {layer["node"]: layer["kappa_published"] for layer in layers if layer["kappa_published"] is not None}
    assert values(laid, "kappa pub.") == published
    assert values(laid, "gain 0.05") == {"node_relu_15": 3.21}
    two_stage = [entry for entry in document["moments"] if entry["engine"] == "two-stage"]
    assert values(laid, "E.mean 0.1") == {"node_relu": two_stage[1]["overall"]["mean_er"]}
    assert values(laid, "E.var 0.05") == {"node_relu": two_stage[0]["overall"]["var_er"]}
    assert values(laid, "cut error") == {"node_relu_1": 0.794, "node_relu_2": 0.79}
    assert values(laid, "norm gain 0.05") == {"node_LRN_7": 0.4213, "node_batch_norm_3": 3.021}
    assert values(laid, "norm gain 0.1") == {"node_LRN_7": 0.4388}
    assert values(laid, "radius w/o") == {"node_LRN_7": 0.06612, "node_batch_norm_3": 0.034712}


def test_baselines_are_no_tightness_of_a_cut(document):
    document["moments"] = [entry for entry in document["moments"] if entry["engine"] == "published-theorem2"]
    assert not [metric for metric in overlay(document).metrics if metric.key.startswith("E.")]


def test_scales_over_a_decade_are_logarithmic_and_others_are_not(document):
    for metric in overlay(document).metrics:
        numbers = [entry.value for entry in metric.values]
        assert metric.logarithmic == (min(numbers) > 0 and max(numbers) / min(numbers) > 10), metric.key
    document["bounds"][0]["layers"][0]["kappa_certified"] = 0.0
    assert not overlay(document).metrics[0].logarithmic


def test_keys_are_unique_with_two_norms_and_a_box(document):
    entry = document["bounds"][0]
    document["bounds"] = [entry, {**entry, "norm": "linf"}, {**entry, "box": [0, 1]}]
    keys = [metric.key for metric in overlay(document).metrics]
    assert len(set(keys)) == len(keys)
    assert {"kappa l2", "kappa linf", "kappa l2, in its range"} <= set(keys)


def test_details_of_a_node_say_all_that_the_report_does(document):
    laid = overlay(document)
    layer = next(layer for layer in laid.layers if layer.node == "node_LRN_7")
    told = {detail.label: detail.text for detail in layer.details}
    assert told["nm.kappa"] == "0.0976"
    assert told["nm.L"] == "1.92"
    assert told["nm.pub. is"].startswith("not sound: Theorem 5.9")
    assert told["nm.acc. w/o"] == "0.41"
    assert layer.outputs == ("div",)
    parts = {layer.node: layer.details for layer in laid.layers}
    assert [(detail.label, detail.text) for detail in parts["node_pow"]] == [("nm.part of", "LRN node_LRN_7")]


def test_cuts_are_marked_with_their_kind(document):
    document["cut_errors"][1]["kind"] = "skip"
    cuts = {layer.node: layer.cut for layer in overlay(document).layers}
    assert (cuts["node_relu"], cuts["node_relu_1"], cuts["node_relu_2"]) == ("cut", "skip", "cut")
    assert cuts["node_LRN_7"] is None


def test_layers_stand_in_the_order_of_the_network(document):
    order = [entry["node"] for entry in document["graph"]]
    laid = [layer.node for layer in overlay(document).layers if layer.node in order]
    assert laid == [node for node in order if node in laid]


def test_a_report_of_bounds_alone_is_enough():
    layer = {"node": "a", "outputs": ["y"], "kappa_certified": 0.5}
    laid = overlay(drawn_networks.bounds_report([layer]))
    assert [(metric.key, metric.values[0].text) for metric in laid.metrics] == [("kappa", "0.500")]
    assert laid.verdict is None


def test_a_gates_verdict_is_taken_along(document):
    waiver = {"state": "valid"}
    checks = [
        {"id": "accuracy", "verdict": "pass", "reason": "all are right", "waiver": waiver},
        {"id": "radius", "verdict": "fail", "reason": "0.01 is below 0.1", "waiver": waiver},
        {"id": "flip", "verdict": "fail", "reason": "0.2 of 0.1", "waiver": {"state": "expired"}},
    ]
    verdict = overlay({**document, "gate": {"verdict": "fail", "checks": checks}}).verdict
    assert verdict is not None
    assert verdict.verdict == "fail"
    assert verdict.statements == (
        "accuracy: pass: all are right",
        "radius: fail (waived): 0.01 is below 0.1",
        "flip: fail: 0.2 of 0.1",
    )


def test_keys_of_later_versions_are_passed_over(document):
    before = overlay(document)
    document["new"] = {"a": 1}
    document["bounds"][0]["layers"][0]["new"] = 1
    assert overlay(document) == before


def test_entries_without_layers_add_no_norm_to_the_names(document):
    entry = document["bounds"][0]
    document["bounds"] = [entry, {**entry, "layers": [], "radius": {}}]
    assert values(overlay(document), "kappa")


def test_the_summary_has_the_largest_certified_radius():
    document = drawn_networks.bounds_report([])
    radius = {
        "published": {"mean": 9.0, "certified": False},
        "lipschitz": {"mean": 0.01, "certified": True},
        "crown": {"mean": 0.3, "certified": True},
        "crown-ibp": {"mean": None, "certified": True},
    }
    document["bounds"][0]["radius"] = radius
    assert overlay(document).summary == ("mean certified l2 radius 0.300 (crown)",)


@pytest.mark.parametrize(
    "broken",
    [{}, {"schema_version": 2}, {"schema_version": 1}, {"schema_version": 1, "model": 3}, [], 1, None, "text"],
)
def test_what_is_no_report_raises(broken):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        overlay(broken)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_a_finite_number_raises(document, value):
    document["bounds"][0]["layers"][0]["lipschitz"] = value
    with pytest.raises(ValueError, match="node_conv2d_1 has"):
        overlay(document)


def test_record_and_document_say_the_same(document):
    report = made_up_report.report(engines=("propagate", "two-stage", "published-theorem2"))
    assert overlay_of(report) == overlay(document)
