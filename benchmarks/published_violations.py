"""On how many images does the thesis's bound of a shallow trained network exceed a verified adversarial example?

Networks of one layer and a linear one behind it, trained on all but the images used of nmcheck's own MNIST
sample (Adam, seeded):

- ``conv`` and ``conv-relu``: 8 kernels of 5 x 5, without and with a ReLU (Theorem 5.1),
- ``batch-norm``: batch normalization of the 784 pixels (Theorem 5.6),
- ``lrn``: local response normalization of the one channel, size 1, alpha 1, beta 0.75, bias 1 (Theorem 5.9).

    python -m benchmarks.published_violations [--images 200] [--epochs 10]

One line a network: of the images, how many have an example by FGS, FGV, DeepFool or DDN that onnxruntime confirmed on
the file and that is nearer than the published radius; the same of the certified radius; both mean radii.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from nmcheck.bounds.network import network_bounds
from nmcheck.checks.attacks import attack_uppers
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.case import open_case
from nmcheck.execute.session import ReferenceSession

SEED = 20260101
BATCH = 128
MNIST = Path(__file__).parents[1] / "nmcheck" / "data" / "mnist.npz"


def conv() -> nn.Module:
    """Convolution and linear layer."""
    return nn.Sequential(nn.Conv2d(1, 8, 5), nn.Flatten(), nn.Linear(8 * 24 * 24, 10))


def conv_relu() -> nn.Module:
    """Convolution, ReLU and linear layer."""
    return nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 24 * 24, 10))


def batch_norm() -> nn.Module:
    """Batch normalization, a factor and a shift for every pixel, and linear layer."""
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))


def lrn() -> nn.Module:
    """Local response normalization and linear layer."""
    return nn.Sequential(nn.LocalResponseNorm(1, 1.0, 0.75, 1.0), nn.Flatten(), nn.Linear(784, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "conv": conv,
    "conv-relu": conv_relu,
    "batch-norm": batch_norm,
    "lrn": lrn,
}


def train(network: nn.Module, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """Adam on the cross-entropy."""
    optimizer = torch.optim.Adam(network.parameters())
    pick = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=pick).split(BATCH):
            if len(chosen) < BATCH:
                continue
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return network.eval()


def to_onnx(network: nn.Module, path: Path) -> None:
    """The network as a file, a node a layer."""
    nodes: list[onnx.NodeProto] = []
    arrays: dict[str, np.ndarray] = {}
    value = "x"
    for place, layer in enumerate(network.children()):
        out = f"v{place}"

        def constants(*tensors: Tensor, place: int = place) -> list[str]:
            names = [f"w{place}_{k}" for k in range(len(tensors))]
            arrays.update(zip(names, (tensor.detach().numpy() for tensor in tensors), strict=True))
            return names

        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            nodes.append(helper.make_node("Conv", [value, *constants(layer.weight, layer.bias)], [out]))
        elif isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            named = constants(layer.weight, layer.bias, layer.running_mean, layer.running_var)
            nodes.append(helper.make_node("BatchNormalization", [value, *named], [out], epsilon=layer.eps))
        elif isinstance(layer, nn.LocalResponseNorm):
            settings = {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
            nodes.append(helper.make_node("LRN", [value], [out], **settings))
        elif isinstance(layer, nn.Linear):
            nodes.append(helper.make_node("Gemm", [value, *constants(layer.weight, layer.bias)], [out], transB=1))
        else:
            nodes.append(helper.make_node("Relu" if isinstance(layer, nn.ReLU) else "Flatten", [value], [out]))
        value = out
    graph = helper.make_graph(
        nodes,
        "shallow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main() -> None:
    """Train, attack and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(MNIST) as data:
        x, y = data["x"].reshape(-1, 1, 28, 28), data["y"].astype(np.int64)
    x = x / 255 if x.max() > 1 else x
    order = np.random.default_rng(SEED).permutation(len(x))
    held, rest = order[: asked.images], order[asked.images :]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "x.npz", x=x[held], y=y[held])
        for name, build in NETWORKS.items():
            torch.manual_seed(SEED)
            network = train(build(), torch.from_numpy(x[rest]).float(), torch.from_numpy(y[rest]), asked.epochs)
            path = Path(folder) / f"{name}.onnx"
            to_onnx(network, path)
            options = BoundsOptions(path, str(Path(folder) / "x.npz"), samples=asked.images)
            case = open_case(options.case_options())
            found = network_bounds(case.graph, case.double, case.images)
            nearest = attack_uppers(
                case, ReferenceSession(case.file_graph), "l2", attacks=options.attacks or (), seed=0
            ).nearest.norms
            published, certified = found.radius_published, found.radius_certified
            assert published is not None
            assert certified is not None
            print(
                f"{name}: accuracy {100 * float(case.correct.double().mean()):.1f} %, {len(rest)} training images; "
                f"published above an example: {int((published.numpy() > nearest).sum())} of {len(nearest)}, "
                f"certified: {int((certified.numpy() > nearest).sum())}; "
                f"mean published {float(published.mean()):.4g}, certified {float(certified.mean()):.4g}, "
                f"nearest example {nearest[np.isfinite(nearest)].mean():.4g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
