"""Normalizations: by stored statistics, by the sample's own, and by neighbouring channels."""

from __future__ import annotations

from math import prod

import numpy as np

from nmcheck.execute.on_demand import Tensor, functional, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow, affine_in_first


def batch_normalization(operands: Operands) -> Function:
    """BatchNormalization in inference mode: a scale and a shift per channel, prepared in float64."""
    if operands.integer("spatial", 1) != 1:
        raise operands.unsupported("it normalizes every pixel by itself (spatial = 0)")
    gamma, beta, mean, variance = (operands.required(position).astype(np.float64) for position in (1, 2, 3, 4))
    scale = gamma / np.sqrt(variance + operands.number("epsilon", 1e-5))
    channels = (-1, *(1,) * (len(operands.shape(0)) - 2))
    factor = operands.as_tensor(scale.reshape(channels))
    shift = operands.as_tensor((beta - mean * scale).reshape(channels))
    return lambda x: x * factor + shift


def _standardized(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(dim=axes, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(dim=axes, keepdim=True) + epsilon)


def instance_normalization(operands: Operands) -> Function:
    """InstanceNormalization: each channel of the sample to mean 0 and variance 1."""
    epsilon, rank = operands.number("epsilon", 1e-5), len(operands.shape(0))
    channels = (-1, *(1,) * (rank - 2))

    def apply(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return _standardized(x, tuple(range(2, rank)), epsilon) * scale.reshape(channels) + bias.reshape(channels)

    return operands.filled(apply)


def layer_normalization(operands: Operands) -> Function:
    """LayerNormalization over all axes from ``axis`` on, its mean and inverse deviation beside it where asked for."""
    epsilon, axes = operands.number("epsilon", 1e-5), _trailing_axes(operands)
    count = len(operands.node.outputs)

    def apply(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        mean = x.mean(dim=axes, keepdim=True)
        centered = x - mean
        inverse = torch.rsqrt((centered * centered).mean(dim=axes, keepdim=True) + epsilon)
        result = centered * inverse * scale
        result = result if bias is None else result + bias
        return result if count == 1 else (result, mean, inverse)[:count]

    return operands.filled(apply)


def rms_normalization(operands: Operands) -> Function:
    """RMSNormalization: like layer normalization without centring."""
    epsilon, axes = operands.number("epsilon", 1e-5), _trailing_axes(operands)

    def apply(x: Tensor, scale: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(dim=axes, keepdim=True) + epsilon) * scale

    return operands.filled(apply)


def _trailing_axes(operands: Operands) -> tuple[int, ...]:
    rank, axis = len(operands.shape(0)), operands.integer("axis", -1)
    return tuple(range(axis % rank, rank))


def group_normalization(operands: Operands) -> Function:
    """GroupNormalization with a scale and a bias per channel, as operator set 21 has it."""
    epsilon, groups = operands.number("epsilon", 1e-5), operands.integer("num_groups", 1)
    shape = operands.shape(0)
    if groups < 1 or shape[1] % groups:
        raise operands.invalid(f"{shape[1]} channels do not divide into {groups} groups")
    grouped = (shape[0], groups, prod(shape[1:]) // groups)
    channels = (-1, *(1,) * (len(shape) - 2))

    def apply(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        result = _standardized(x.reshape(grouped), (2,), epsilon).reshape(shape)
        return result * scale.reshape(channels) + bias.reshape(channels)

    return operands.filled(apply)


def lrn(operands: Operands) -> Function:
    """LRN: x / (bias + alpha / size * sum of squares over the neighbouring channels)^beta."""
    size = operands.integer("size", 1)
    alpha, beta = operands.number("alpha", 1e-4), operands.number("beta", 0.75)
    bias, shape = operands.number("bias", 1.0), operands.shape(0)
    pads = [0, 0, (size - 1) // 2, size // 2]
    flat = (shape[0], 1, shape[1], prod(shape[2:]))

    def apply(x: Tensor) -> Tensor:
        mean = functional.avg_pool2d(functional.pad((x * x).reshape(flat), pads), (size, 1), stride=1)
        return x * (bias + alpha * mean.reshape(shape)).pow(-beta)

    return apply


def lp_normalization(operands: Operands) -> Function:
    """LpNormalization: x by its 1- or 2-norm along an axis."""
    axis, p = operands.integer("axis", -1), operands.integer("p", 2)

    def apply(x: Tensor) -> Tensor:
        total = x.abs().sum(dim=axis, keepdim=True) if p == 1 else (x * x).sum(dim=axis, keepdim=True)
        positive = total > 0
        safe = torch.where(positive, total, 1.0)
        return torch.where(positive, x / (safe if p == 1 else safe.sqrt()), 0.0)

    return apply


def mean_variance_normalization(operands: Operands) -> Function:
    """MeanVarianceNormalization over ``axes``."""
    axes = operands.integers("axes") or (0, 2, 3)
    return lambda x: _standardized(x, axes, 1e-9)


ROWS = (
    OperatorRow("BatchNormalization", Kind.AFFINE, batch_normalization, affine_in_first, since=7),
    OperatorRow("InstanceNormalization", Kind.SMOOTH, instance_normalization, since=6),
    OperatorRow("LayerNormalization", Kind.SMOOTH, layer_normalization),
    OperatorRow("RMSNormalization", Kind.SMOOTH, rms_normalization),
    OperatorRow("GroupNormalization", Kind.SMOOTH, group_normalization, since=21),
    OperatorRow("LRN", Kind.SMOOTH, lrn),
    OperatorRow("LpNormalization", Kind.SMOOTH, lp_normalization),
    OperatorRow("MeanVarianceNormalization", Kind.SMOOTH, mean_variance_normalization),
)
