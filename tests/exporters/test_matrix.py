"""What torch's exporters write of the usual families of classifiers is executed as by onnxruntime, and inspected.

Every network by the default exporter in operator set 18 with a fixed batch and in the newest that torch writes and
onnxruntime runs with a dynamic one, and by the legacy exporter in 11 (fixed), 13 (dynamic) and 17 (both). The second
and the third vision transformer, a second or two each by the default exporter, are left out of operator set 18.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from exporters.torch_exports import FIXED, Export, newest_opset
from exporters.torch_networks import CLASSES, IMAGE, NETWORKS, network
from torch.onnx.errors import UnsupportedOperatorError

from nmcheck.checks.inspect import inspect
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

DEFAULT = ((18, FIXED), (newest_opset(), None))
LEGACY = ((11, FIXED), (13, None), (17, FIXED), (17, None))
EXPORTS = [
    Export(name, dynamo, opset, batch)
    for name, (dynamo, forms) in product(NETWORKS, ((True, DEFAULT), (False, LEGACY)))
    for opset, batch in forms
    if not (dynamo and batch and name in ("vit_fused", "vit_multihead"))
]

NOT_EXPORTED = {
    "vit_fused": ((11, 13), "scaled_dot_product_attention"),
    "vit_multihead": ((11, 13), "unflatten|scaled_dot_product_attention"),
}
"""What the legacy exporter itself refuses: operator sets, and the operators it names."""


@dataclass(frozen=True)
class Verdict:
    """What ``inspect`` says of a network.

    Attributes:
        cuts: numbers of cuts and skips.
        moments: whether they can be computed.
        unbounded: operators that neither method certifies; where there are none, bounds can be computed.
        either: groups of operators of which a file has one or the other, as the exporter chooses.
    """

    cuts: tuple[int, int]
    moments: bool = True
    unbounded: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()


ATTENTION = frozenset({"LayerNormalization", "MatMul", "Softmax"})
VERDICTS = {
    "mlp": Verdict((2, 0)),
    "lenet": Verdict((3, 0)),
    "lrn_alexnet": Verdict((3, 0)),
    "resnet": Verdict((3, 2)),
    "mobilenet_v2": Verdict((0, 5)),
    "efficientnet": Verdict((0, 0)),  # the gate times what it weights: linear relaxation has planes for that
    "densenet": Verdict((1, 2)),
    "group_norm": Verdict((2, 0), either=frozenset({"GroupNormalization", "InstanceNormalization"})),
    "vit_by_hand": Verdict((0, 0), unbounded=ATTENTION),
    "vit_fused": Verdict((0, 0), unbounded=ATTENTION),
    "vit_multihead": Verdict((0, 0), unbounded=ATTENTION),
}
FOUND = {
    "lrn_alexnet": [("LRN", 2)], "densenet": [("BatchNormalization", 3)], "group_norm": [("Group", 2)],
    "vit_by_hand": [("LayerNormalization", 5)], "vit_fused": [("LayerNormalization", 5)],
    "vit_multihead": [("LayerNormalization", 5)],
}  # fmt: skip
"""Normalization layers that stay; torch's exporters fold a BatchNormalization into the convolution before it."""


def exported(export, folder):
    """The file, or a skip where torch itself cannot write it."""
    opsets, operators = NOT_EXPORTED.get(export.network, ((), ""))
    if export.dynamo or export.opset not in opsets:
        return export.write(folder)
    with pytest.raises(UnsupportedOperatorError, match=operators):
        export.write(folder)
    return pytest.skip(
        f"torch's legacy exporter has no {operators.replace('|', ' and ')} in operator set {export.opset}"
    )


@pytest.mark.parametrize("export", EXPORTS, ids=str)
def test_executed_and_inspected(tmp_path, export):
    path = exported(export, tmp_path)
    graph = load_graph(path)
    assert graph.model.opset == export.opset
    assert graph.shapes[graph.input] == (1, *IMAGE)
    assert graph.declared_batch == export.batch
    x = np.random.default_rng(0).uniform(0, 1, (3, *graph.shapes[graph.input])).astype(np.float32)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert ours.shape == (3, 1, CLASSES)
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5
    with torch.no_grad():
        torchs = network(export.network)(torch.from_numpy(x[:, 0])).numpy()
    assert relative_difference(ours[:, 0], torchs) <= 1e-5

    found, verdict = inspect(path), VERDICTS[export.network]
    kinds = [cut.kind for cut in found.cuts]
    assert (kinds.count("cut"), kinds.count("skip")) == verdict.cuts
    assert found.analyzable.execute
    assert found.analyzable.moments == verdict.moments
    unbounded = {entry.op for entry in found.operators if not entry.bounds}
    if verdict.either:
        assert len(unbounded) == 1
        assert unbounded < verdict.either
    else:
        assert unbounded == verdict.unbounded
    assert found.analyzable.bounds == (not unbounded)
    # A refusal is a sentence that names the first node and its operator.
    assert {reason.partition("(")[2].partition(")")[0] for reason in found.reasons} == unbounded
    layers = [layer.kind for layer in found.normalization]
    for kind, count in FOUND.get(export.network, [("", 0)]):
        assert len(layers) == count
        assert all(kind in layer or export.network == "group_norm" for layer in layers)
