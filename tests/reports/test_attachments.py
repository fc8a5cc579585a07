import json

import drawn_networks

from nmcheck.reports.attachments import model_explorer_data, netron_attachment
from nmcheck.reports.palette import VIRIDIS, text_on


def test_netrons_attachment_has_numbers_as_metrics_and_texts_as_metadata():
    laid = drawn_networks.full_overlay()
    names = {layer.node: f"file:{layer.node}" for layer in laid.layers}
    document = json.loads(netron_attachment(laid, names))
    assert document["signature"] == "netron:attachment"
    metrics = {(entry["target"], entry["name"]): entry["value"] for entry in document["metrics"]}
    assert metrics["file:node_LRN_7", "nm.L"] == 1.9151
    assert metrics["file:node_relu_15", "nm.kappa"] == 2.31 / 1.7201
    metadata = {(entry["target"], entry["name"]): entry["value"] for entry in document["metadata"]}
    assert metadata["file:node_LRN_7", "nm.is"] == "LRN, decomposed into several nodes"
    assert not {name for _, name in metadata} & {name for _, name in metrics}
    assert {entry["kind"] for entry in document["metrics"] + document["metadata"]} == {"node"}


def test_nodes_the_file_does_not_have_are_left_out():
    document = json.loads(netron_attachment(drawn_networks.full_overlay(), {"node_LRN_7": "lrn"}))
    assert {entry["target"] for entry in document["metrics"] + document["metadata"]} == {"lrn"}


def test_model_explorer_gets_values_and_colors_by_the_nodes_names():
    metric = drawn_networks.full_overlay().metrics[0]
    names = {entry.node: entry.node.upper() for entry in metric.values}
    results = json.loads(model_explorer_data(metric, names))["results"]
    assert {name: entry["value"] for name, entry in results.items()} == {
        entry.node.upper(): entry.value for entry in metric.values
    }
    worst = min(results.values(), key=lambda entry: entry["value"])
    best = max(results.values(), key=lambda entry: entry["value"])
    assert (worst["bgColor"], best["bgColor"]) == (VIRIDIS[-1], VIRIDIS[0])
    assert all(entry["textColor"] == text_on(entry["bgColor"]) for entry in results.values())
