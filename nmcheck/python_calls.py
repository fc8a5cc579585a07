"""The Python calls: the commands of ``nmcheck`` as functions of a model, data and settings.

Each takes a path or an ``onnx.ModelProto``, and what ``--data`` takes or arrays ``(x, y)`` (labels may be None), and
gives the records that the command writes. Settings are the fields of the options named, with their defaults.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nmcheck.checks.analyze import analyze as _analyze
from nmcheck.checks.compare import compare as _compare
from nmcheck.checks.compare_options import CompareOptions
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError

if TYPE_CHECKING:
    import onnx

    from nmcheck.results import Report
    from nmcheck.results.comparison import Comparison

    Model = str | Path | onnx.ModelProto
    Data = str | Path | tuple[np.ndarray, np.ndarray | None]

Options = TypeVar("Options", AnalyzeOptions, CompareOptions)


def analyze(model: Model, data: Data | None = None, **settings: Any) -> Report:
    """Noise moments, robustness bounds and normalization effects, as ``nmcheck analyze`` reports them.

    Args:
        model: the ONNX file, or the model itself.
        data: images in a form that ``--data`` takes, or arrays (x, y) of N images or vectors and their labels or None.
        settings: fields of ``AnalyzeOptions``: sigmas, samples, engines, noise, seed, ...

    Raises:
        NmcheckError: the model, the data or a setting cannot be used; the message says what to do.

    >>> report = analyze("sample_models/mlp.onnx", "mnist", samples=2, sigmas=(0.1,), reference_samples=500)
    >>> report.data.accuracy
    1.0
    """
    with _files([model], data) as (models, spec):
        return _analyze(_options(AnalyzeOptions, settings, model=models[0], data=spec))


def compare(models: Sequence[Model], data: Data | None = None, **settings: Any) -> Comparison:
    """Models side by side on the same images and noise, as ``nmcheck compare`` reports them.

    Args:
        models: two ONNX files or more, or the models themselves.
        data: as for ``analyze``.
        settings: fields of ``CompareOptions``: sigmas, noise, norm, method, samples, seed, ...

    Raises:
        NmcheckError: a model, the data or a setting cannot be used; the message says what to do.

    >>> twice = ["sample_models/mlp.onnx"] * 2
    >>> compare(twice, "mnist", samples=2, method="lipschitz", attacks=(), draws=20).models[1].difference
    0.0
    """
    with _files(models, data) as (paths, spec):
        return _compare(_options(CompareOptions, settings, models=tuple(paths), data=spec))


def _options(kind: type[Options], settings: dict[str, Any], **fixed: Any) -> Options:
    try:
        return kind(**fixed, **settings)
    except TypeError as error:
        unknown = [name for name in settings if name not in kind.__dataclass_fields__]
        if not unknown:
            raise
        known = [name for name in kind.__dataclass_fields__ if name not in fixed]
        raise UsageError(f"{unknown[0]} is no setting; choose from {', '.join(known)}.") from error


@contextmanager
def _files(models: Sequence[Model], data: Data | None) -> Iterator[tuple[list[Path], str]]:
    """Paths of models, and data in a form that ``--data`` takes; what is in memory lies in files meanwhile."""
    if isinstance(models, str | Path) or not isinstance(models, Sequence):
        models = [models]
    if any(isinstance(model, AnalyzeOptions | CompareOptions) for model in models):
        raise UsageError(
            "options records are no longer passed: give the model, the data and settings by name, as in "
            "nmcheck.analyze('model.onnx', 'mnist', sigmas=(0.1,))."
        )
    if not isinstance(data, str | Path) and not (isinstance(data, tuple) and len(data) == 2):
        raise UsageError(
            "the data are missing or of no known form; name some as --data does, or give arrays as a pair (x, y), with "
            "None for no labels."
        )
    with tempfile.TemporaryDirectory(prefix="nmcheck-") as folder:
        paths = [_path(model, Path(folder) / f"model{number}.onnx") for number, model in enumerate(models)]
        yield paths, _spec(data, Path(folder) / "data.npz")


def _path(model: Model, place: Path) -> Path:
    if isinstance(model, str | Path):
        return Path(model)
    import onnx

    onnx.save(model, place)
    return place


def _spec(data: Data, place: Path) -> str:
    if isinstance(data, str | Path):
        return str(data)
    x, y = data
    arrays = {"x": np.asarray(x)} if y is None else {"x": np.asarray(x), "y": np.asarray(y)}
    np.savez(place, allow_pickle=False, **arrays)
    return str(place)
