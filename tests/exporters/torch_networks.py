"""The classifiers of the exporter matrix: one of each family, small, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 5
IMAGE = (3, 16, 16)
SEED = 20


def mlp() -> nn.Module:
    """Three dense layers on flattened images."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 16 * 16, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, CLASSES)
    )


def lenet() -> nn.Module:
    """Convolution and pooling twice, then three dense layers; ends in a softmax."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, CLASSES), nn.Softmax(dim=1),
    )  # fmt: skip


def lrn_alexnet() -> nn.Module:
    """Local response normalization behind the first two convolutions, dropout in front of the dense layers."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.LocalResponseNorm(5, alpha=0.3, k=2.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), nn.LocalResponseNorm(3, alpha=0.5, beta=0.5, k=1.0),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, CLASSES),
    )  # fmt: skip


class ResidualBlock(nn.Module):
    """Two normalized convolutions around which a projected skip path leads."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True),
            nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out),
        )  # fmt: skip
        self.skip = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.skip = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


def resnet() -> nn.Module:
    """A stem and two residual blocks, one with a stride."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        ResidualBlock(6, 6, 1), ResidualBlock(6, 8, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES),
    )  # fmt: skip


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection, with ReLU6."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        wide = 2 * fan_in
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, fan_out, 1, bias=False), nn.BatchNorm2d(fan_out),
        )  # fmt: skip
        self.adds = stride == 1 and fan_in == fan_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Module:
    """Inverted residuals; the mean over pixels is written as ``mean``."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(), InvertedResidual(6, 6, 1),
        InvertedResidual(6, 8, 2), PixelMean(), nn.Linear(8, CLASSES),
    )  # fmt: skip


class PixelMean(nn.Module):
    """The mean over the pixels of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean([2, 3])


class SqueezeExcite(nn.Module):
    """Channels weighted by a gate that sees their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 3, 1), nn.SiLU(), nn.Conv2d(3, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def efficientnet() -> nn.Module:
    """SiLU, a depthwise convolution and squeeze-and-excitation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.SiLU(), SqueezeExcite(8),
        nn.Conv2d(8, 6, 1, bias=False), nn.BatchNorm2d(6),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, CLASSES),
    )  # fmt: skip


class DenseLayer(nn.Module):
    """Normalization, ReLU and convolution whose result is appended to the channels."""

    def __init__(self, fan_in: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(fan_in), nn.ReLU(), nn.Conv2d(fan_in, growth, 3, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet() -> nn.Module:
    """Two dense layers and a transition."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), DenseLayer(4, 3), DenseLayer(7, 3), nn.BatchNorm2d(10), nn.ReLU(),
        nn.Conv2d(10, 5, 1, bias=False), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(80, CLASSES),
    )  # fmt: skip


def group_norm_net() -> nn.Module:
    """Group normalization, and layer normalization as one group."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(4, 8), nn.ReLU(),
        nn.Conv2d(8, 6, 3, 1, 1), nn.GroupNorm(1, 6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, CLASSES),
    )  # fmt: skip


class Attention(nn.Module):
    """Multi-head self-attention, written by hand or through ``scaled_dot_product_attention``."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5).softmax(dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class MultiheadAttention(nn.Module):
    """torch's own module."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class EncoderBlock(nn.Module):
    """Attention and a dense pair with GELU, each normalized in front and added."""

    def __init__(self, width: int, attention: nn.Module, approximate: str) -> None:
        super().__init__()
        self.attention = attention
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(approximate), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        return x + self.dense(self.norms[1](x))


class VisionTransformer(nn.Module):
    """Patches by convolution, a class token, position embeddings, two encoder blocks, a dense head."""

    def __init__(self, attention: Callable[[int, int], nn.Module], approximate: str = "none") -> None:
        super().__init__()
        width = 8
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 5, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, attention(width, 2), approximate) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], dim=1) + self.positions
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def vit_by_hand() -> nn.Module:
    """Attention in primitive operators, GELU by the error function."""
    return VisionTransformer(lambda width, heads: Attention(width, heads, fused=False))


def vit_fused() -> nn.Module:
    """``scaled_dot_product_attention`` and GELU by the hyperbolic tangent."""
    return VisionTransformer(lambda width, heads: Attention(width, heads, fused=True), "tanh")


def vit_multihead() -> nn.Module:
    """``nn.MultiheadAttention``."""
    return VisionTransformer(MultiheadAttention)


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "lrn_alexnet": lrn_alexnet,
    "resnet": resnet,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet": efficientnet,
    "densenet": densenet,
    "group_norm": group_norm_net,
    "vit_by_hand": vit_by_hand,
    "vit_fused": vit_fused,
    "vit_multihead": vit_multihead,
}
"""Builders by name."""


def network(name: str) -> nn.Module:
    """A network with random weights and statistics, in inference mode; torch's random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        module = NETWORKS[name]()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                _randomize(layer)
    return module.eval()


def _randomize(layer: nn.BatchNorm2d) -> None:
    """Statistics, scale and shift that do something."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.normal_(0.0, 0.3)
    layer.running_var.uniform_(0.5, 2.0)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias, 0.0, 0.3)
