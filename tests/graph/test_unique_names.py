from models import model, weights, write
from onnx import helper

from nmcheck.graph.load import load_graph


def test_made_up_names_never_take_a_name_the_file_uses(tmp_path):
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Abs", ["a"], ["b"], "Neg_0"),
        helper.make_node("Neg", ["b"], ["c"], "twice"),
        helper.make_node("Neg", ["c"], ["y"], "twice"),
    ]
    graph = load_graph(write(model(nodes, ("N", 2), {"unused": weights(1)}), tmp_path))
    assert [node.name for node in graph.nodes] == ["Neg_0_0", "Neg_0", "twice", "twice_3"]
    assert set(graph.constants) == set()
