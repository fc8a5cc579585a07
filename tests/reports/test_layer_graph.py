import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import drawn_networks
import models
import pytest

from nmcheck.checks.graph_nodes import graph_nodes
from nmcheck.graph.load import load_graph
from nmcheck.reports.layer_graph import layer_graph
from nmcheck.reports.palette import NO_VALUE, VIRIDIS
from nmcheck.results.layers import GraphNode

SVG = "{http://www.w3.org/2000/svg}"


def drawn(overlay, key=None):
    return ET.fromstring(layer_graph(overlay, key))


def boxes(picture):
    """Fill and words of each node, by its name."""
    found = {}
    for group in picture.iter(f"{SVG}g"):
        name = group.find(f"{SVG}title").text.partition(" (")[0]
        words = [element.text or "" for element in group.iter() if element.tag in (f"{SVG}text", f"{SVG}tspan")]
        found[name] = (group.find(f"{SVG}rect").get("fill"), words)
    return found


def number(element, key):
    return float(element.attrib[key])


@pytest.fixture
def residual(tmp_path):
    made = models.residual()
    graph = graph_nodes(load_graph(models.write(made, tmp_path)))
    return replace(drawn_networks.overlay_on(made, cut="r0"), graph=graph)


def test_every_node_has_its_color_and_its_number(residual):
    found = boxes(drawn(residual))
    assert list(found) == ["g0", "r0", "g1", "r1", "add", "r2", "g2"]
    assert found["g0"] == (VIRIDIS[-1], ["Gemm", "", "k0", "g0"])
    assert found["r0"][1] == ["Relu", "", "✂ k1", "r0"]
    assert found["g2"][0] == VIRIDIS[0]
    assert boxes(drawn(residual, "L"))["g0"] == (VIRIDIS[8], ["Gemm", "", "2.00", "g0"])


def test_one_line_an_edge_of_the_network(residual):
    picture = drawn(residual)
    assert len(picture.findall(f"{SVG}path")) == 7  # a chain of six and the skip
    assert picture.findtext(f"{SVG}title") == "The network's layers by certified kappa (l2)"


def test_nodes_without_a_value_are_gray_and_say_so(residual):
    metric = replace(residual.metrics[0], values=residual.metrics[0].values[:2])
    picture = drawn(replace(residual, metrics=(metric,)))
    assert boxes(picture)["add"][0] == NO_VALUE
    assert [title.text for title in picture.iter(f"{SVG}title") if "add" in (title.text or "")] == [
        "add (Add), 1×5: no value"
    ]


def test_odd_names_are_text(tmp_path):
    names = [*drawn_networks.ODD_NAMES, "null\0 and \x1b[31m"]
    nodes = tuple(
        GraphNode(node=name, index=i, op=f"<{i}>", inputs=(f"v{i}",), outputs=(f"v{i + 1}",), shape=())
        for i, name in enumerate(names)
    )
    overlay = replace(drawn_networks.overlay_on(drawn_networks.chain(names[:3])), graph=nodes)
    text = layer_graph(overlay)
    assert not re.search("<(img|script|b)[ >]", text)
    assert "<img src=x onerror=alert(1)>" in boxes(ET.fromstring(text))


def test_everything_lies_within_the_picture(residual):
    """Names are the widest thing here, so the picture must reach to their ends and not much farther to the left."""
    picture = drawn(residual)
    left, _, width, height = map(float, picture.attrib["viewBox"].split())
    for group in picture.iter(f"{SVG}g"):
        box, words = next(group.iter(f"{SVG}rect")), group.findall(f"{SVG}text")[1]
        assert number(box, "x") >= left
        assert number(words, "x") + 6 * len("".join(words.itertext())) <= left + width
        assert number(box, "y") + number(box, "height") <= height
    assert min(number(box, "x") for box in picture.iter(f"{SVG}rect")) < left + 20


def test_nothing_is_fetched_and_nothing_runs(residual):
    text = layer_graph(residual).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"href|src=|url\(|@import|<script|<style|\son\w+=|http| id=", text)


def test_a_report_without_the_graph_has_no_picture(residual):
    assert layer_graph(replace(residual, graph=())) == ""


def test_without_metrics_the_network_is_drawn_bare(residual):
    picture = drawn(replace(residual, metrics=()))
    assert {fill for fill, _ in boxes(picture).values()} == {NO_VALUE}
    with pytest.raises(ValueError, match="no metric 'kappa'"):
        layer_graph(replace(residual, metrics=()), "kappa")


def test_the_graph_of_a_report_is_the_one_of_the_file(sample_models):
    nodes = graph_nodes(load_graph(sample_models / "lenet_lrn3.onnx"))
    assert [node.op for node in nodes] == [
        "Conv", "MaxPool", "LRN", "Conv", "MaxPool", "LRN", "Reshape", "Gemm", "Relu", "Gemm",
    ]  # fmt: skip
    assert nodes[2].members[-1] == "node_div"
    assert len(nodes[2].members) == 8
    assert nodes[2].inputs == nodes[1].outputs
    assert nodes[0].shape == (1, 20, 24, 24)
