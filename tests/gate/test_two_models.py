"""Two networks fitted to the same digits, one under noise and one without: the same policy tells them apart."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, write
from plain_words import plain

from nmcheck.cli.app import run
from nmcheck.data import read_data

FITTED = 4000
"""Of the MNIST test images; the others are what the gate measures on."""
POLICY = """\
samples = 100
[[check]]
id = "accuracy"
kind = "accuracy"
min = 0.85
[[check]]
id = "flip"
kind = "flip"
sigma = 0.3
max = 0.1
[[check]]
id = "attacked"
kind = "attacked-accuracy"
norm = "l2"
epsilon = 0.7
min = 0.53
"""
KINDS = ("json", "junit", "sarif", "markdown", "html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The networks, held-out digits and the policy."""
    made = tmp_path_factory.mktemp("two")
    digits = read_data("mnist", None)
    assert digits.labels is not None
    np.savez(made / "digits.npz", x=digits.images[FITTED:], y=digits.labels[FITTED:])
    x = torch.from_numpy(digits.images[:FITTED].reshape(-1, 784) / np.float32(255))
    y = torch.from_numpy(digits.labels[:FITTED])
    for name, sigma in (("noisy", 0.5), ("plain", 0.0)):
        write(fitted(x, y, sigma), made, f"{name}.onnx")
    (made / "nmcheck.toml").write_text(POLICY)
    return made


def fitted(x: torch.Tensor, y: torch.Tensor, sigma: float):
    """784-32-10, fitted with Adam to images with fresh noise at every step."""
    generator = torch.Generator().manual_seed(0)
    W, V = (
        (torch.randn(shape, generator=generator) * (2 / shape[0]) ** 0.5).requires_grad_()
        for shape in ((784, 32), (32, 10))
    )
    b, c = (torch.zeros(width, requires_grad=True) for width in (32, 10))
    optimizer = torch.optim.Adam([W, b, V, c], lr=0.005)
    for _ in range(6):
        for rows in torch.randperm(len(x), generator=generator).split(100):
            noisy = x[rows] + sigma * torch.randn((len(rows), 784), generator=generator)
            loss = torch.nn.functional.cross_entropy(torch.relu(noisy @ W + b) @ V + c, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("Gemm", ["f", "W", "b"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "V", "c"], ["y"]),
    ]
    arrays = {name: value.detach().numpy() for name, value in {"W": W, "b": b, "V": V, "c": c}.items()}
    return model(nodes, ("N", 28, 28), arrays)


def decided(folder: Path, name: str) -> tuple[int, list[dict]]:
    """Exit code and checks, all formats written."""
    files = [word for kind in KINDS for word in (f"--{kind}", str(folder / f"{name}.{kind}"))]
    data, policy = str(folder / "digits.npz"), str(folder / "nmcheck.toml")
    code = run(["gate", str(folder / f"{name}.onnx"), "--data", data, "--policy", policy, "-q", *files])
    return code, json.loads((folder / f"{name}.json").read_text())["gate"]["checks"]


def test_training_with_noise_decides_and_every_format_says_why(folder, capsys):
    code, checks = decided(folder, "noisy")
    assert (code, {one["id"]: one["verdict"] for one in checks}) == (
        0,
        {"accuracy": "pass", "flip": "pass", "attacked": "pass"},
    )
    code, checks = decided(folder, "plain")
    capsys.readouterr()
    assert (code, {one["id"]: one["verdict"] for one in checks}) == (
        1,
        {"accuracy": "pass", "flip": "fail", "attacked": "fail"},
    )
    for kind in KINDS:
        said = plain((folder / f"plain.{kind}").read_text())
        for one in checks[1:]:
            assert plain(one["reason"]).rstrip(".") in said, (kind, one["id"])
