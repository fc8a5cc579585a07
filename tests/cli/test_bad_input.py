"""Every kind of bad input ends in one clear sentence, the documented exit code and no traceback."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nmcheck.cli.app import run

SMALL = ["--samples", "2", "--reference-samples", "500", "--sigma", "0.1", "--quiet"]


def save(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], weights: dict[str, np.ndarray]) -> str:
    """A model whose one output is called ``logits``."""
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def dense(path: Path, shape: list[int]) -> str:
    """flatten -> Gemm -> Relu -> Gemm with three logits."""
    count = int(np.prod(shape[1:]))
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["z"]),
        helper.make_node("Relu", ["z"], ["y"]),
        helper.make_node("Gemm", ["y", "w2"], ["logits"]),
    ]
    weights = {"w1": generator.normal(size=(count, 5)), "b1": np.zeros(5), "w2": generator.normal(size=(5, 3))}
    return save(path, nodes, {"x": shape}, weights)


def images(path: Path, x: np.ndarray, y: list[int] | None = None) -> str:
    arrays = {"x": x} if y is None else {"x": x, "y": np.array(y)}
    np.savez(path, allow_pickle=False, **arrays)
    return str(path)


GOOD = np.linspace(0, 1, 4 * 6 * 6).reshape(4, 6, 6)


def missing_model(tmp: Path) -> list[str]:
    return [str(tmp / "nowhere.onnx"), "--data", "mnist"]


def not_onnx(tmp: Path) -> list[str]:
    (tmp / "m.onnx").write_text("this is not a model\n" * 50)
    return [str(tmp / "m.onnx"), "--data", "mnist"]


def truncated(tmp: Path) -> list[str]:
    path = Path(dense(tmp / "m.onnx", [1, 1, 28, 28]))
    path.write_bytes(path.read_bytes()[:-400])
    return [str(path), "--data", "mnist"]


def unsupported_operator(tmp: Path) -> list[str]:
    nodes = [helper.make_node("Flatten", ["x"], ["y"]), helper.make_node("Det", ["y"], ["logits"], name="odd")]
    return [save(tmp / "m.onnx", nodes, {"x": [1, 6, 6]}, {}), "--data", images(tmp / "d.npz", GOOD)]


def two_inputs(tmp: Path) -> list[str]:
    nodes = [helper.make_node("Add", ["x", "second"], ["logits"])]
    return [save(tmp / "m.onnx", nodes, {"x": [1, 36], "second": [1, 36]}, {}), "--data", images(tmp / "d.npz", GOOD)]


def no_image_axis(tmp: Path) -> list[str]:
    return [dense(tmp / "m.onnx", [1, 2, 3, 3, 2]), "--data", images(tmp / "d.npz", GOOD)]


def wrong_image_shape(tmp: Path) -> list[str]:
    return [dense(tmp / "m.onnx", [1, 1, 28, 28]), "--data", images(tmp / "d.npz", GOOD)]


def nan_pixels(tmp: Path) -> list[str]:
    bad = GOOD.copy()
    bad[2, 3, 3] = np.nan
    return [dense(tmp / "m.onnx", [1, 1, 6, 6]), "--data", images(tmp / "d.npz", bad)]


def labels_out_of_range(tmp: Path) -> list[str]:
    return [dense(tmp / "m.onnx", [1, 1, 6, 6]), "--data", images(tmp / "d.npz", GOOD, [0, 1, 2, 7])]


def unwritable_output(tmp: Path) -> list[str]:
    arguments = [dense(tmp / "m.onnx", [1, 1, 6, 6]), "--data", images(tmp / "d.npz", GOOD)]
    return [*arguments, "--output", str(tmp / "no" / "folder" / "report.json")]


def sigma_not_positive(tmp: Path) -> list[str]:
    return [dense(tmp / "m.onnx", [1, 1, 6, 6]), "--data", images(tmp / "d.npz", GOOD), "--sigma", "0"]


@pytest.mark.parametrize(
    ("arrange", "code", "words"),
    [
        (missing_model, 3, ["nowhere.onnx"]),
        (not_onnx, 3, ["m.onnx", "ONNX"]),
        (truncated, 3, ["m.onnx"]),
        (unsupported_operator, 3, ["odd", "Det"]),
        (two_inputs, 3, ["second", "inputs"]),
        (no_image_axis, 3, ["image axis"]),
        (wrong_image_shape, 3, ["28", "6"]),
        (nan_pixels, 3, ["image 2", "NaN"]),
        (labels_out_of_range, 3, ["image 3", "7"]),
        (unwritable_output, 3, ["report.json"]),
        (sigma_not_positive, 2, ["--sigma"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_bad_input_ends_in_one_sentence_and_its_exit_code(
    arrange: Callable[[Path], list[str]],
    code: int,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    arguments = arrange(tmp_path)
    made = {path.name for path in tmp_path.iterdir()} - before
    assert run(["analyze", *arguments, *SMALL]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert {path.name for path in tmp_path.iterdir()} == made, "something half-written was left behind"


def test_a_model_without_a_relu_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(1)
    nodes = [helper.make_node("Flatten", ["x"], ["y"]), helper.make_node("Gemm", ["y", "w"], ["logits"])]
    model = save(tmp_path / "m.onnx", nodes, {"x": [1, 6, 6]}, {"w": generator.normal(size=(36, 3))})
    data = images(tmp_path / "d.npz", GOOD)
    import json

    assert run(["analyze", model, "--data", data, *SMALL, "--engine", "two-stage", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["moments"] is None
    assert "ReLU" in report["moments_reason"]
    assert report["bounds"][0]["radius"]["lipschitz"]["mean"] > 0
    assert run(["analyze", model, "--data", data, *SMALL, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {entry["engine"] for entry in report["moments"]} == {"propagate"}
    assert {one["engine"] for one in report["moments_left_out"]} == {"two-stage", "published-theorem2"}
    assert all("ReLU" in one["reason"] for one in report["moments_left_out"])


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_ends_in_one_sentence_and_leaves_nothing(tmp_path: Path, sample_models: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "nmcheck", "analyze", str(sample_models / "lenet.onnx"), "--data", "mnist"]
    with subprocess.Popen(
        [*command, "--samples", "5000", "--output", str(report)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Moments"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.count("Error: ") == 1
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_constant(tmp_path, capsys):
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Identity", ["c"], ["logits"])],
        {"x": [1, 4]},
        {"c": np.ones((1, 3))},
    )
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((4, 4)))
    assert run(["analyze", path, "--data", str(tmp_path / "d.npz"), *SMALL, "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert "The logits are constant" in captured.out
    assert "the logits 'logits' are constant" in captured.out
    assert captured.err == ""


def test_outputs_that_noise_makes_infinite(tmp_path, capsys):
    # Of grey images the ReLU hides the infinite weight.
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
        helper.make_node("Relu", ["z"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["logits"]),
    ]
    arrays = {"w": np.full((4, 4), -np.inf), "b": np.zeros(4), "v": np.eye(4)[:, :3]}
    path = save(tmp_path / "m.onnx", nodes, {"x": [1, 4]}, arrays)
    np.savez(tmp_path / "d.npz", x=np.full((4, 4), 0.1))
    assert run(["analyze", path, "--data", str(tmp_path / "d.npz"), *SMALL, "--engine", "two-stage"]) == 3
    assert "under noise of standard deviation 0.1" in capsys.readouterr().err


def test_a_scale_in_the_file_that_goes_on_and_on(tmp_path, capsys):
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["logits"])],
        {"x": [1, 4]},
        {"w": np.ones((4, 3))},
    )
    model = onnx.load(path)
    model.metadata_props.add(key="nmcheck.scale", value="x" * 3000)
    onnx.save(model, path)
    np.savez(tmp_path / "d.npz", x=np.ones((4, 4)))
    assert run(["analyze", path, "--data", str(tmp_path / "d.npz"), *SMALL]) == 3
    assert len(capsys.readouterr().err) < 200


def test_a_negative_variance_is_no_warning(tmp_path, capsys):
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["logits"])
    arrays = {"s": np.ones(3), "b": np.zeros(3), "m": np.zeros(3), "v": np.full(3, -1.0)}
    path = save(tmp_path / "m.onnx", [node], {"x": [1, 3]}, arrays)
    assert run(["inspect", path, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_an_image_is_no_list_of_classes(tmp_path, capsys):
    nodes = [helper.make_node("Add", ["column", "row"], ["s"]), helper.make_node("Mul", ["x", "s"], ["logits"])]
    path = save(tmp_path / "m.onnx", nodes, {"x": [1, 1]}, {"row": np.ones((1, 1024)), "column": np.ones((1024, 1))})
    np.savez(tmp_path / "d.npz", x=np.ones((4, 1)))
    assert run(["analyze", path, "--data", str(tmp_path / "d.npz"), *SMALL]) == 3
    assert "1,048,576 values" in capsys.readouterr().err


def test_strides_that_make_torch_crash(tmp_path, capsys):
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["wide"], strides=[1, 2**16]),
        helper.make_node("ReduceMax", ["wide"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "v"], ["logits"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": [1, 1, 6, 6]}, {"w": np.ones((1, 1, 1, 1)), "v": np.ones(3)})
    np.savez(tmp_path / "d.npz", x=np.ones((4, 6, 6)))
    assert run(["analyze", path, "--data", str(tmp_path / "d.npz"), *SMALL]) == 3
    assert "'ConvTranspose_0'" in capsys.readouterr().err
