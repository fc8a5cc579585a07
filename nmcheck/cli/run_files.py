"""Which files a run reads and which it writes: none is both, and none is written twice.

Every command says so of itself, by ``check_files``, before it works. Files are told apart as the system does, by
device and number, so that links and names that a file system takes for one do not matter.
"""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path

from nmcheck.cli.output import check_writable, tidy
from nmcheck.cli.streams import check_stdout
from nmcheck.errors import UsageError
from nmcheck.temporary import open_temporary, remove

Key = tuple[int, int]
"""Device and number of a file."""


EACH = "give each a name of its own"


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a run writes files into.

    Attributes:
        path: the folder.
        names: patterns of the files' names, as of ``fnmatch``, with those of the folders in it that they lie in.
    """

    path: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Output:
    """A file that may be written.

    Attributes:
        option: what named it to the user.
        path: as the user named it.
        target: where that leads.
        key: of the file that is there; None if there is none, or no plain one.
    """

    option: str
    path: Path
    target: Path
    key: Key | None


def check_files(
    files: Mapping[str, Path | None],
    *,
    folders: Mapping[str, OutputFolder | None] | None = None,
    models: Iterable[Path] = (),
    data: str | None = None,
    others: Mapping[str, Path | None] | None = None,
    stdout: bool = False,
    writable: bool = True,
) -> None:
    """Refuse outputs that are inputs of the same run, or each other, and those that cannot be written.

    Args:
        files: outputs by the option that named each; None where it was not given.
        folders: folders of outputs, likewise.
        models: ONNX files that are read; what they say of their weights' files is looked up.
        data: the data spec, or None.
        others: other inputs, by what they are.
        stdout: whether standard output is written to.
        writable: whether to find out if the files can be written, too.

    Raises:
        UsageError: an output is an input, lies in the folder of the data, or is another output.
        OutputError: a file cannot be written.
    """
    outputs = list(_outputs(files))
    inside = [(option, folder) for option, folder in (folders or {}).items() if folder is not None]
    entries = [entry for option, folder in inside for entry in _entries(option, folder)]
    places = [*outputs, *(place for option, folder in inside for place in _places(option, folder))]
    _check_data(data, [*outputs, *entries, *_redirected()], places)
    _check_inputs(models, others or {}, [*outputs, *entries, *_redirected()])
    _check_each_other(outputs, inside, entries)
    for option, folder in inside:
        for place in _places(option, folder):
            if place.path != folder.path:
                tidy(place.path)
    for output in outputs if writable else ():
        check_writable(output.path, output.option)
    if stdout:
        check_stdout()


def _outputs(files: Mapping[str, Path | None]) -> Iterator[_Output]:
    for option, path in files.items():
        status = None if path is None else _status(path)
        # A device or a pipe is written into, whatever else is written there.
        if path is not None and (status is None or stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            yield _Output(option, path, _target(path), _key(status))


def _entries(option: str, folder: OutputFolder) -> Iterator[_Output]:
    """Files in the folder that would be replaced, links that lead nowhere included."""
    for pattern in folder.names:
        for path in _matching(folder.path, pattern.split("/")):
            yield _Output(option, path, _target(path), _key(_status(path)))


def _places(option: str, folder: OutputFolder) -> Iterator[_Output]:
    """The folders that files are written into."""
    yield _Output(option, folder.path, _target(folder.path), None)
    for inner in dict.fromkeys(pattern.rpartition("/")[0] for pattern in folder.names):
        for path in _matching(folder.path, inner.split("/")) if inner else ():
            yield _Output(option, path, _target(path), None)


def _matching(folder: Path, patterns: list[str]) -> Iterator[Path]:
    """What lies in a folder by names that fit, each a step deeper."""
    for path in _listed(folder):
        if _fits(path.name, patterns[0]):
            if len(patterns) == 1:
                yield path
            else:
                yield from _matching(path, patterns[1:])


def _lies_in(target: Path, folder: OutputFolder) -> bool:
    """Whether a file has a name of one that is written into a folder."""
    for pattern in folder.names:
        patterns = pattern.split("/")
        above = (target, *target.parents)[len(patterns) : len(patterns) + 1]
        fits = all(_fits(name, part) for name, part in zip(target.parts[-len(patterns) :], patterns, strict=False))
        if fits and above and _is_folder(above[0], _target(folder.path)):
            return True
    return False


def _redirected() -> Iterator[_Output]:
    """The file that standard output goes to, if it is one."""
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return
    if stat.S_ISREG(status.st_mode):
        yield _Output("standard output", Path("standard output"), Path(), _key(status))


def _check_inputs(models: Iterable[Path], others: Mapping[str, Path | None], outputs: Iterable[_Output]) -> None:
    written = {output.key: output for output in outputs if output.key is not None}
    if not written:
        return
    for path, what in _inputs(models, others):
        key = _key(_status(path))
        found = None if key is None else written.get(key)
        if found is not None:
            raise _refusal(found, f"is {what}")


def _inputs(models: Iterable[Path], others: Mapping[str, Path | None]) -> Iterator[tuple[Path, str]]:
    """Files that are read, and what they are; those that take reading a file to be known come last."""
    yield from ((path, f"{what} itself") for what, path in others.items() if path is not None)
    models = tuple(models)
    yield from ((path, "the model itself") for path in models)
    from nmcheck.graph.external import external_files

    for model in models:
        yield from ((path, f"a file with the weights of {model}") for path in external_files(model))


def _check_data(spec: str | None, files: Iterable[_Output], places: Iterable[_Output]) -> None:
    files, places = list(files), list(places)
    if spec is None or not (files or places):
        return
    from nmcheck.data.read import path_of

    path = path_of(spec)
    status = _status(path)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        found = next((output for output in files if output.key == _key(status)), None)
        if found is not None:
            raise _refusal(found, "is the data itself")
        return
    read = dict.fromkeys(_key(one) for one in (status, *_folders_in(path)))
    for output in places:
        above = (_key(_status(folder)) for folder in (output.target, *output.target.parents))
        if any(key in read for key in above if key is not None):
            raise _refusal(output, f"lies in the folder of the data, {path}")
    written = {output.key: output for output in files if output.key is not None}
    if written:
        for key in _files_in(path):
            if key in written:
                raise _refusal(written[key], f"is a file of the data in {path}")


def _folders_in(folder: Path) -> Iterator[os.stat_result]:
    """The classes' folders of a folder of images, through links."""
    for path in _listed(folder):
        status = _status(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            yield status


def _files_in(folder: Path) -> Iterator[Key]:
    """The files of a folder and of the classes' folders in it, through links."""
    for path in _listed(folder):
        status = _status(path)
        if status is None:
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from (key for inner in _listed(path) if (key := _key(_status(inner))) is not None)
        elif (key := _key(status)) is not None:
            yield key


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _check_each_other(outputs: list[_Output], folders: list[tuple[str, OutputFolder]], entries: list[_Output]) -> None:
    for one, other in combinations([*outputs, *_redirected()], 2):
        if _same(one, other):
            raise UsageError(f"{one.option} and {other.option} would be the same file, {one.path}; {EACH}.")
    for output in outputs:
        for option, folder in folders:
            target = _target(folder.path)
            if output.target == target or output.target in target.parents:
                raise UsageError(
                    f"{output.option} {output.path} is to be a file, and {option} {folder.path} a folder there; {EACH}."
                )
            if _lies_in(output.target, folder) or any(
                _same(output, entry) for entry in entries if entry.option == option
            ):
                raise UsageError(
                    f"{output.option} {output.path} would be a file that {option} {folder.path} writes; {EACH}."
                )


def _same(one: _Output, other: _Output) -> bool:
    if one.key is not None and one.key == other.key:
        return True
    if one.target == other.target:
        return True
    return (
        _folded(one.target.name) == _folded(other.target.name)
        and _is_folder(one.target.parent, other.target.parent)
        and (one.target.name == other.target.name or _is_one_name(one.target, other.target.name))
    )


def _is_folder(one: Path, other: Path) -> bool:
    """Whether two names are of one folder."""
    key = _folder_key(one)
    return one == other or (key is not None and key == _folder_key(other))


def _is_one_name(path: Path, name: str) -> bool:
    """Whether the file system takes two names for one, as where capital letters do not count: it is asked."""
    try:
        temporary, descriptor = open_temporary(path.parent, path.name)
    except OSError:
        return False
    os.close(descriptor)
    try:
        return temporary.with_name(temporary.name.removesuffix(path.name) + name).exists()
    except OSError:
        return False
    finally:
        remove(temporary)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.casefold(), pattern.casefold())


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _key(status: os.stat_result | None) -> Key | None:
    """Of a plain file or a folder."""
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return status.st_dev, status.st_ino


def _folder_key(path: Path) -> Key | None:
    return _key(_status(path))


def _target(path: Path) -> Path:
    """Where a name leads, through links; the name itself where the current folder has been deleted."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def _refusal(output: _Output, why: str) -> UsageError:
    named = output.option if output.path == Path(output.option) else f"{output.option} {output.path}"
    return UsageError(f"{named} {why}, which is only read; choose another {output.option}.")
