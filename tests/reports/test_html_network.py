import re
from dataclasses import replace

import made_up_report
import pytest

from nmcheck.reports.html.network import MOST_BOXES, network_drawings
from nmcheck.reports.html.page import to_html
from nmcheck.reports.layer_graph import layer_graph
from nmcheck.reports.overlay import overlay_of


@pytest.fixture
def report():
    return made_up_report.report()


def enlarged(report, nodes):
    """With a longer network, whose other nodes the report says nothing about."""
    (*_, last) = report.graph
    more = tuple(replace(last, node=f"more_{i}", inputs=last.outputs, outputs=(f"more_{i}",)) for i in range(nodes))
    return replace(report, graph=(*report.graph, *more[: nodes - len(report.graph)]))


def test_the_page_has_the_viewers_picture_of_every_metric_that_layers_share(report):
    page = to_html(report)
    overlay = overlay_of(report)
    shared = [metric for metric in overlay.metrics if len(metric.values) > 1]
    assert [metric.key for metric in shared[:3]] == ["kappa", "L", "L→logits"]
    for metric in overlay.metrics:
        assert (layer_graph(overlay, metric.key) in page) == (metric in shared)
    assert page.count("<details open>") == 1


def test_large_networks_get_fewer_drawings_and_the_largest_none(report):
    shared = len(network_drawings(report))
    assert shared > 3
    drawn = network_drawings(enlarged(report, MOST_BOXES // 3))
    assert [drawing.title for drawing in drawn] == [drawing.title for drawing in network_drawings(report)][:3]
    assert network_drawings(enlarged(report, MOST_BOXES + 1)) == []


def test_without_numbers_of_layers_or_the_graph_there_is_no_section(report):
    bare = replace(report, bounds=None, bounds_reason="none", moments=None, moments_reason="none", normalization=(),
                   cut_errors=())  # fmt: skip
    for without in (bare, replace(report, graph=())):
        assert not re.search("<h2[^>]*>The network", to_html(without))
    assert re.search("<h2[^>]*>The network", to_html(report))
