"""Changes one byte of what nmcheck reads beside models, and runs the commands that read it.

    python -m fuzz.mutated_inputs NUMBER SEED FOLDER [KIND ...]

from the folder ``tests`` prints a JSON line for each change; for the table, see ``benchmarks/mutations.py``. Every
change depends on the seed, the kind of file and its number alone.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
import typer
from fuzz.batched_run import Task, run_batched
from fuzz.forked_run import Expected, Run, warm_up
from hdf5 import dataset
from models import small_lenet, write

from nmcheck.cli.app import run
from nmcheck.cli.session import Session
from nmcheck.results.overlay import Overlay

_CLASSES, _IMAGES, _SIDE = 3, 12, 8
POLICY = """\
samples = 6
seed = 3
alpha = 0.05
scale = "unit"

[[check]]
id = "accuracy"
kind = "accuracy"
min = 0.0
class = "each"

[[check]]
id = "certified"
kind = "radius"
norm = "l2"
method = "lipschitz"
percentile = 50
min = 0.0

[[check]]
id = "flip"
kind = "flip"
sigma = 0.05
max = 0.9
budget = 40

[[waiver]]
id = "certified"
reason = "a bank holiday"
expires = 2099-12-31
"""
PLAIN = 'samples = 6\nseed = 3\n[[check]]\nid = "accuracy"\nkind = "accuracy"\nmin = 0.0\n'
BUILD = ("-k", "4", "--kernels", "native", "--chunk", "8", "--quiet")
TEXTS = ("report", "policy")
LETTERS = b'0123456789-+.eE"{}[],:=# \nnaZ_'
KINDS = ("bank", "report", "policy", "npz", "png")
_DONE = ("exit 0", "exit 2", "exit 3")
CODES = {kind: (*_DONE, "exit 1") if kind in TEXTS else _DONE for kind in KINDS}
"""Outcomes that are right; 1 where a changed policy, or a report as a baseline, asks for more than the model has."""


@dataclass(frozen=True)
class Entry:
    """One change and what became of it."""

    number: int
    kind: str
    command: str
    run: Run


@dataclass(frozen=True)
class Reader:
    """A command that reads a file.

    Attributes:
        words: the command line.
        base: the healthy file.
        reports: whether it writes a JSON report to standard output.
    """

    words: tuple[str, ...]
    base: bytes
    reports: bool = True


@dataclass(frozen=True)
class Seed:
    """A file that is changed, and who reads it.

    Attributes:
        path: of the file.
        readers: change number i is read by number i of these, modulo their number.
    """

    path: Path
    readers: tuple[Reader, ...]


def draw(model: Path, overlay: Overlay, *, port: int, open_browser: bool) -> None:
    """Stands in for the viewer: all of it but the server."""
    from nmcheck_netron.site import site

    del port, open_browser
    site(model, overlay)


def seeds(folder: Path) -> dict[str, Seed]:
    """A healthy file of each kind, made in an empty folder."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (_IMAGES, _SIDE, _SIDE)).astype(np.uint8)
    network, data = str(write(small_lenet(), folder)), folder / "images.npz"
    np.savez_compressed(data, allow_pickle=False, x=pixels, y=np.arange(_IMAGES) % _CLASSES)
    policy, plain = folder / "policy.toml", folder / "plain.toml"
    policy.write_text(POLICY)
    plain.write_text(PLAIN)
    gate = ("gate", network, "--data", str(data))
    checked = ("--policy", str(plain), "--quiet", "--json", "-")
    return {
        "bank": _bank(folder / "bank.h5", network, data),
        "report": _report(folder / "report.json", gate, checked, ("--policy", str(policy), "--quiet")),
        "policy": Seed(
            policy, (Reader((*gate, "--policy", str(policy), "--quiet", "--json", "-"), policy.read_bytes()),)
        ),
        "npz": Seed(data, (Reader((*gate, *checked), data.read_bytes()),)),
        "png": _png(folder / "pictures", pixels, ("gate", network, "--data", str(folder / "pictures"), *checked)),
    }


def _bank(path: Path, network: str, data: Path) -> Seed:
    """Looked into, verified and resumed where a point is missing; served whole."""
    build = ("bank", "build", network, "--data", str(data), "--output", str(path), *BUILD)
    _healthy(build)
    whole = path.read_bytes()
    with h5py.File(path, "r+") as raw:
        dataset(raw, "done")[2] = 0
    half = path.read_bytes()
    info = Reader(("bank", "info", str(path), "--format", "json"), half)
    verify = Reader(("bank", "verify", str(path), network, "--format", "json"), half)
    resume = Reader((*build, "--resume"), half, reports=False)
    options = ("--samples", "2", "--reference-samples", "500", "--format", "json", "--quiet")
    served = Reader(("analyze", network, "--data", str(data), "--bank", str(path), *options), whole)
    return Seed(path, (info, verify, resume, verify, resume, info, resume, served))


def _report(path: Path, gate: tuple[str, ...], checked: tuple[str, ...], asked: tuple[str, ...]) -> Seed:
    """A gate's, as a baseline and as what viewers show."""
    out = path.parent / "out"
    _healthy((*gate, *asked, "--json", str(path), "--markdown", str(out)))
    base, network, given = path.read_bytes(), gate[1], ("--report", str(path))
    annotate = ("annotate", network, *given, "--output", str(out), "--to")
    return Seed(
        path,
        (
            Reader((*gate, *checked, "--baseline", str(path)), base),
            Reader((*annotate, "netron"), base, reports=False),
            Reader((*annotate, "onnx"), base, reports=False),
            Reader(("view", network, *given, "--no-browser", "--quiet"), base, reports=False),
        ),
    )


def _png(folder: Path, pixels: np.ndarray, words: tuple[str, ...]) -> Seed:
    """One of several pictures."""
    from PIL import Image

    for index, image in enumerate(pixels):
        path = folder / str(index % _CLASSES) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    changed = folder / "1" / "4.png"
    return Seed(changed, (Reader(words, changed.read_bytes()),))


def campaign(
    folder: Path, seed: int, numbers: Sequence[int], kinds: Sequence[str] = KINDS, keep: Path | None = None
) -> Iterator[Entry]:
    """Change a byte of a file, run what reads it, and yield what became of it.

    Args:
        folder: empty, for the files.
        seed: of the changes.
        numbers: which changes.
        kinds: which kinds of files.
        keep: where changed files that make nmcheck fail are kept; none are if None.
    """
    # The command line is built once, not for every command.
    typer.main.get_command = functools.cache(typer.main.get_command)
    made = seeds(folder)
    for kind in kinds:
        one = made[kind]
        watch = _watch(folder, {one.path, folder / "out"})
        tasks = [_task(one, kind, number, _bytes_of(one, kind, seed, number), watch) for number in numbers]
        for number, task, found in zip(numbers, tasks, run_batched(tasks, _run), strict=True):
            if keep is not None and found.outcome not in CODES[kind]:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{seed}-{number}{one.path.suffix}").write_bytes(_bytes_of(one, kind, seed, number))
            yield Entry(number, kind, " ".join(task.words[: 2 if task.words[0] == "bank" else 1]), found)
        one.path.write_bytes(one.readers[0].base)


def _bytes_of(one: Seed, kind: str, seed: int, number: int) -> bytes:
    """The file with one of its bytes another."""
    changed = bytearray(one.readers[number % len(one.readers)].base)
    random = np.random.default_rng([seed, KINDS.index(kind), number])
    place = int(random.integers(0, len(changed)))
    if kind in TEXTS and random.random() < 0.75:
        # Most bytes would make it no text at all, which is soon said.
        others = [letter for letter in LETTERS if letter != changed[place]]
        changed[place] = int(random.choice(others))
    else:
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def _task(one: Seed, kind: str, number: int, changed: bytes, watch: Callable[[], str | None]) -> Task:
    reader = one.readers[number % len(one.readers)]
    codes = tuple(int(outcome.removeprefix("exit ")) for outcome in CODES[kind])
    expected = Expected(one.path.name, codes, reader.reports, ("Gate: ", "Note: "))
    return Task(reader.words, lambda: _put(one.path, changed), watch, expected)


def _watch(folder: Path, mine: set[Path]) -> Callable[[], str | None]:
    """Says what there is in a folder that was not, or has changed, but for some files."""
    before = _contents(folder)

    def check() -> str | None:
        after = _contents(folder)
        other = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} - mine
        return f"wrote {sorted(path.name for path in other)}" if other else None

    return check


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _healthy(words: Sequence[str]) -> None:
    """Run a command that has to succeed."""
    said = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(said):
        code = _run(list(words))
    if code != 0:
        raise RuntimeError(f"{' '.join(words)} failed on a healthy file: {said.getvalue()}")


def _run(words: list[str]) -> int:
    stand_in = EntryPoint("netron", f"{draw.__module__}:draw", "nmcheck.viewers")
    return run(words, Session(viewers=lambda: (stand_in,)))


def warm_up_readers(folder: Path) -> None:
    """Import what the commands need, by running each on a healthy file."""
    warm_up()
    for one in seeds(folder).values():
        for reader in one.readers:
            one.path.write_bytes(reader.base)
            _healthy(reader.words)


def main(words: Sequence[str]) -> None:
    number, seed, folder = int(words[0]), int(words[1]), Path(words[2])
    for name in ("warm", "run"):
        (folder / name).mkdir()
    warm_up_readers(folder / "warm")
    for entry in campaign(folder / "run", seed, range(number), words[3:] or KINDS):
        print(json.dumps(asdict(entry)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
