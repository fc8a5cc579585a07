"""Every command with the paths it takes, and small inputs for all of them."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import drawn_networks
import models
import numpy as np
import onnx
import typer

from nmcheck.cli.app import app, run
from nmcheck.cli.session import Session
from nmcheck.graph.load import load_graph

POLICY = '[[check]]\nid = "right"\nkind = "accuracy"\nmin = 0.5\n'


@dataclass(frozen=True)
class Command:
    """How a command is called.

    Attributes:
        words: what it begins with.
        reads: its inputs by the names of its parameters, and the word in front of each; none where it has a place.
        writes: files it writes, likewise.
        fills: folders it writes into, with the name of a file it writes there.
        rest: what else it needs.
    """

    words: tuple[str, ...]
    reads: Mapping[str, str]
    writes: Mapping[str, str]
    fills: Mapping[str, tuple[str, str]]
    rest: tuple[str, ...] = ()

    def line(self, given: Mapping[str, Path | str]) -> list[str]:
        """The command line with these paths."""
        words = list(self.words)
        for name, option in {
            **self.reads,
            **self.writes,
            **{key: entry[0] for key, entry in self.fills.items()},
        }.items():
            if name in given:
                value = f"factor:{given[name]}" if name == "noise" else str(given[name])
                words += [option, value] if option else [value]
        return [*words, *self.rest]


_ON_DATA = {"model": "", "data": "--data"}
_REPORTS = {
    "output": "-o", "json_file": "--json", "junit": "--junit", "sarif": "--sarif", "markdown": "--markdown",
    "html": "--html",
}  # fmt: skip
_OUTPUT = {"output": "-o"}
COMMANDS = {
    "inspect": Command(("inspect",), {"model": ""}, _OUTPUT, {}),
    "analyze": Command(
        ("analyze",), {**_ON_DATA, "noise": "--noise", "bank": "--bank"}, _OUTPUT, {},
        ("--samples", "2", "--reference-samples", "500", "--sigma", "0.1"),
    ),
    "view": Command(("view",), {"model": "", "report": "--report"}, {}, {}, ("--no-browser",)),
    "annotate": Command(("annotate",), {"model": "", "report": "--report"}, _OUTPUT, {}, ("--to", "onnx")),
    "bounds": Command(
        ("bounds",), _ON_DATA, _OUTPUT,
        {
            "save_adversarial": ("--save-adversarial", "adversarial_linf.npz"),
            "vnnlib": ("--vnnlib", "linf_0.1/instances.csv"),
        },
        ("--norm", "inf", "--samples", "2"),
    ),
    "bank build": Command(("bank", "build"), _ON_DATA, _OUTPUT, {}, ("-k", "2", "--kernels", "native")),
    "bank info": Command(("bank", "info"), {"file": ""}, _OUTPUT, {}),
    "bank verify": Command(("bank", "verify"), {"file": "", "model": ""}, _OUTPUT, {}),
    "gate": Command(
        ("gate",), {**_ON_DATA, "policy": "--policy", "baseline": "--baseline"}, _REPORTS,
        {"examples": ("--examples", "adversarial-l2-0.npy")}, ("--samples", "2"),
    ),
    "gate --init": Command(
        ("gate", "--init"), {**_ON_DATA, "policy": "--policy", "baseline": "--baseline"}, _OUTPUT, {},
        ("--samples", "2"),
    ),
    "compare": Command(("compare",), {"models": "", "other": "", "data": "--data"}, _OUTPUT, {}, ("--samples", "2")),
}  # fmt: skip
"""``other`` is the second of the models of ``compare``."""
TEXTS = frozenset(
    {
        "data",
        "noise",
        "cut",
        "scale",
        "value_range",
        "scheduler",
        "store",
        "max_drop",
        "today",
        "viewer",
        "metric",
        "attack",
    }
)
"""Parameters that are text; those of them that name files are in ``COMMANDS``."""


def parameters_of_the_program() -> Iterator[tuple[str, str, type]]:
    """Command, name and kind (Path or str) of every parameter that is a path or a text."""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        for inner, one in (getattr(command, "commands", None) or {"": command}).items():
            signature = inspect.signature(inspect.unwrap(one.callback), eval_str=True)
            for parameter in signature.parameters.values():
                kinds = set(_plain_types(parameter.annotation))
                for kind in (Path, str):
                    if kind in kinds:
                        yield f"{name} {inner}".rstrip(), parameter.name, kind


def _plain_types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    parts = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        parts = parts[:1]
    if not parts:
        yield annotation
    for part in parts:
        yield from _plain_types(part)


def make_inputs(folder: Path) -> dict[str, Path]:
    """An input of each kind, by the names of the parameters; ``weights`` is the model's file of weights."""
    made = models.mlp((6, 8, 3))
    path = folder / "model.onnx"
    onnx.save(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    models.write(models.mlp((6, 5, 3)), folder, "other.onnx")
    random = np.random.default_rng(0)
    np.savez(folder / "data.npz", allow_pickle=False, x=random.random((20, 6)), y=np.arange(20) % 3)
    np.save(folder / "noise.npy", random.random((2, 6)))
    (folder / "nmcheck.toml").write_text(POLICY)
    graph = load_graph(path)
    layers = [
        {"node": node.name, "outputs": list(node.outputs), "kappa_certified": 0.1, "lipschitz": 2.0}
        for node in graph.nodes
    ]
    text = json.dumps(drawn_networks.bounds_report(layers, fingerprint=graph.model.fingerprint))
    (folder / "report.json").write_text(text)
    head = {"schema_version": 1, "model": {"fingerprint": graph.model.fingerprint}, "data": {}}
    (folder / "baseline.json").write_text(json.dumps(head))
    inputs = {
        "model": path,
        "models": path,
        "weights": folder / "weights.bin",
        "other": folder / "other.onnx",
        "data": folder / "data.npz",
        "noise": folder / "noise.npy",
        "bank": folder / "bank.h5",
        "file": folder / "bank.h5",
        "policy": folder / "nmcheck.toml",
        "baseline": folder / "baseline.json",
        "report": folder / "report.json",
    }
    build = COMMANDS["bank build"]
    assert run([*build.line({**inputs, "output": inputs["bank"]}), "--store", "full", "--quiet"]) == 0
    return inputs


def content(folder: Path) -> dict[str, str]:
    """What lies in a folder: digests of files, where links lead, folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


class NothingRuns(Session):
    """A session whose use cases fail the test: what is refused is refused before work starts."""

    def __init__(self) -> None:
        def called(*_: Any) -> Any:
            raise AssertionError("the run was started")

        super().__init__(
            analyze=called, bounds=called, compare=called, inspect=called, plan_bank=called, build_bank=called,
            bank_info=called, verify_bank=called, gate=called, propose=called,
        )  # fmt: skip
