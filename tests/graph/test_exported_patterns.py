"""What torch's exporters write of GELU, SiLU, hard-swish, Mish, layer and local response normalization."""

import warnings
from pathlib import Path

import pytest
import torch
from formula import agrees
from torch import Tensor, nn

from nmcheck.graph.load import load_graph

SHAPE = (4, 6, 8)


class Doubled(nn.Module):
    """The layer behind something, so that it does not read the input itself."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(2 * x)


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ReluSix(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * nn.functional.relu6(x + 3) / 6


LAYERS = {
    "gelu": ("Gelu", nn.GELU()),
    "gelu by tanh": ("Gelu", nn.GELU("tanh")),
    "silu": ("Swish", nn.SiLU()),
    "quick gelu": ("Swish", QuickGelu()),
    "hardswish": ("HardSwish", nn.Hardswish()),
    "relu6": ("HardSwish", ReluSix()),
    "mish": ("Mish", nn.Mish()),
    "layer norm": ("LayerNormalization", nn.LayerNorm(SHAPE[-1])),
    "layer norm over two axes": ("LayerNormalization", nn.LayerNorm(list(SHAPE[-2:]))),
    "layer norm alone": ("LayerNormalization", nn.LayerNorm(SHAPE[-1], elementwise_affine=False)),
    "lrn": ("LRN", nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0)),
    "lrn of defaults": ("LRN", nn.LocalResponseNorm(5)),
    "lrn of vectors": ("LRN", nn.Sequential(nn.Flatten(2), nn.LocalResponseNorm(3, alpha=0.5))),
}


def export(layer: nn.Module, path: Path, *, dynamo: bool, opset: int) -> Path:
    sample = torch.zeros(2, *SHAPE)
    options = {"dynamic_shapes": ({0: torch.export.Dim("N")},), "verbose": False} if dynamo else {
        "dynamic_axes": {"x": {0: "N"}}, "input_names": ["x"],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Doubled(layer).eval(), (sample,), str(path), dynamo=dynamo, opset_version=opset, **options)
    return path


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
@pytest.mark.parametrize("name", LAYERS)
def test_legacy_exporter(tmp_path: Path, name: str, opset: int) -> None:
    check(name, export(LAYERS[name][1], tmp_path / "m.onnx", dynamo=False, opset=opset))


@pytest.mark.parametrize(
    "name", [name for name in LAYERS if name not in ("layer norm over two axes", "lrn of defaults")]
)
def test_default_exporter(tmp_path: Path, name: str) -> None:
    check(name, export(LAYERS[name][1], tmp_path / "m.onnx", dynamo=True, opset=18))


def check(name: str, path: Path) -> None:
    graph = load_graph(path)
    assert [node.op for node in graph.nodes if node.op not in ("Reshape", "Flatten")] == ["Mul", LAYERS[name][0]]
    assert agrees(graph)


def test_an_even_window_of_torch_is_none_of_onnx(tmp_path: Path) -> None:
    path = export(nn.LocalResponseNorm(4), tmp_path / "m.onnx", dynamo=False, opset=17)
    graph = load_graph(path)
    assert "LRN" not in {node.op for node in graph.nodes}
    assert agrees(graph)
