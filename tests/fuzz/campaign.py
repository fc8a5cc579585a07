"""Damages models one after another and runs nmcheck on each.

    python -m fuzz.campaign FILES SEED EVERY FOLDER

from the folder ``tests`` prints a JSON line for each run; for the table, see ``benchmarks/fuzz_models.py``.
Every file depends on the seed and its number alone.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import numpy as np
from fuzz.byte_mutations import BYTE_MUTATIONS
from fuzz.forked_run import Run, run_forked, warm_up
from fuzz.nesting_mutations import NESTING_MUTATIONS
from fuzz.node_mutations import NODE_MUTATIONS
from fuzz.seed_models import SeedModel, corpus
from fuzz.tensor_mutations import TENSOR_MUTATIONS
from google.protobuf.message import DecodeError
from onnx import ModelProto

MESSAGE_MUTATIONS = {**TENSOR_MUTATIONS, **NODE_MUTATIONS, **NESTING_MUTATIONS}
SEVERAL = "several of these"
KINDS = (*BYTE_MUTATIONS, *MESSAGE_MUTATIONS, SEVERAL)
_TRIES = 300
_IMAGES = 4


@dataclass(frozen=True)
class Damaged:
    """A damaged file.

    Attributes:
        number: its place in the campaign.
        origin: name of the healthy model.
        kind: what was done to it.
        data: its bytes.
        shape: the shape its data should have, without the batch.
    """

    number: int
    origin: str
    kind: str
    data: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One run of the campaign."""

    number: int
    origin: str
    kind: str
    command: str
    run: Run


def damage(seeds: Sequence[SeedModel], seed: int, number: int) -> Damaged:
    """The file of this number."""
    random = np.random.default_rng([seed, number])
    chosen = seeds[int(random.integers(0, len(seeds)))]
    kind = KINDS[number % len(KINDS)]
    shape = _sample_shape(chosen.data)
    if kind in BYTE_MUTATIONS:
        return Damaged(number, chosen.name, kind, BYTE_MUTATIONS[kind](chosen.data, random), shape)
    for _ in range(_TRIES):
        model = ModelProto.FromString(chosen.data)
        names = [kind]
        if kind == SEVERAL:
            names = [str(name) for name in random.choice(list(MESSAGE_MUTATIONS), size=int(random.integers(2, 5)))]
        # A mutation may leave nothing for the next one to change; what counts is that something was changed.
        changed = [_applied(name, model, random) for name in names]
        if any(changed):
            data = model.SerializeToString()
            return Damaged(number, chosen.name, kind, data, _sample_shape(data) or shape)
        chosen = seeds[int(random.integers(0, len(seeds)))]
        shape = _sample_shape(chosen.data)
    raise RuntimeError(f"no model has anything that '{kind}' could change")


def _applied(name: str, model: ModelProto, random: np.random.Generator) -> bool:
    try:
        return MESSAGE_MUTATIONS[name](model, random)
    except (IndexError, DecodeError):  # nothing left to index after other damage, or too deep a nesting to be written
        return False


def campaign(
    seeds: Sequence[SeedModel], seed: int, numbers: Sequence[int], *, every: int, folder: Path, keep: Path | None = None
) -> Iterator[Entry]:
    """Inspect every file, analyse every so many, and yield what became of them.

    Args:
        seeds: healthy models.
        seed: of the damage.
        numbers: which files.
        every: analyse one file in so many.
        folder: for files that are needed for a moment only.
        keep: where files that make nmcheck fail are kept, with what it wrote; none are if None.
    """
    model, data = folder / "damaged.onnx", folder / "images.npz"
    (folder / "weights.bin").write_bytes(bytes(64))
    for number in numbers:
        damaged = damage(seeds, seed, number)
        model.write_bytes(damaged.data)
        commands = [["inspect", str(model), "--format", "json", "--quiet"]]
        if _is_analysed(number, every):
            np.savez(data, x=np.random.default_rng(number).random((_IMAGES, *damaged.shape), dtype=np.float32))
            options = ["--samples", "2", "--reference-samples", "500", "--engine", "two-stage", "--device", "cpu"]
            commands.append(["analyze", str(model), "--data", str(data), *options, "--format", "json", "--quiet"])
        for words in commands:
            run = run_forked(words, folder)
            entry = Entry(number, damaged.origin, damaged.kind, words[0], run)
            if run.failed and keep is not None:
                _keep(entry, folder, keep / f"{seed}-{number}-{words[0]}")
            yield entry


def _is_analysed(number: int, every: int) -> bool:
    # By rounds through the kinds of damage, so that every kind has its turn.
    return (number // len(KINDS) + number) % every == 0


def _keep(entry: Entry, folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in ("damaged.onnx", "images.npz", "stdout", "stderr"):
        if (folder / name).exists():
            shutil.copy(folder / name, target / name)
    (target / "run.json").write_text(json.dumps(asdict(entry), indent=1))


def _sample_shape(data: bytes) -> tuple[int, ...]:
    """The declared shape of the input without its first axis; a few numbers where that makes no sense."""
    graph = ModelProto.FromString(data).graph
    weights = {tensor.name for tensor in graph.initializer}
    declared = [value for value in graph.input if value.name not in weights]
    dims = [axis.dim_value for axis in declared[0].type.tensor_type.shape.dim] if declared else []
    shape = tuple(dims[1:] if len(dims) > 1 else dims)
    return shape if shape and min(shape) > 0 and prod(shape) < 2**18 else (4,)


def main(words: Sequence[str]) -> None:
    files, seed, every = (int(word) for word in words[:3])
    warm_up()
    for entry in campaign(corpus([]), seed, range(files), every=every, folder=Path(words[3])):
        print(json.dumps(asdict(entry)))


if __name__ == "__main__":
    main(sys.argv[1:])
