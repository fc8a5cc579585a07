"""Reading a policy: ``nmcheck.toml``, or ``[tool.nmcheck]`` in a ``pyproject.toml``."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from nmcheck.checks.gate.policy import KINDS, NOISY, NORMED, SHARES, Demand, Policy, Waiver
from nmcheck.checks.gate.toml_lines import TomlLines
from nmcheck.checks.gate.toml_table import TomlTable, nearest
from nmcheck.errors import UsageError
from nmcheck.outside_text import brief
from nmcheck.results.moments import ENGINES

FILES = ("nmcheck.toml", "pyproject.toml")
"""Where a policy is looked for if none is named."""
_LEAST_ALPHA = 1e-9
"""Reports give confidences as numbers near 1, which tell alpha even if a thousand classes share this one."""
_INIT = "write one with: nmcheck gate --init MODEL --data SPEC -o nmcheck.toml"
_MOST_BYTES = 2**20
"""Of a policy file; some thousand checks."""
_MOST_PARTS = 32
"""Of a dotted key: reading one takes time with the square of its parts."""
_DOTTED = re.compile(rf"""(?<![\w-])(?:(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+){{{_MOST_PARTS}}}""")
_NESTED = re.compile(r"(?:[\[{][^\[{\n]*+){100}")
_MANY_DIGITS = re.compile(r"[0-9_]{4000}")
_SMALLEST, _LARGEST = 1e-12, 1e6
"""Of noise levels and changes, and the latter of thresholds, too; the pixels' range is 1. Squares of smaller ones are
lost to the rounding of what they are added to."""
_MOST_SAMPLES, _MOST_BUDGET, _MOST_SEED = 2**31 - 1, 10**9, 2**63 - 1
_KINDS_OF_KEY: Mapping[str, tuple[str, ...]] = {
    "id": KINDS,
    "kind": KINDS,
    "min": (*SHARES, "radius"),
    "max": NOISY,
    "class": KINDS,
    "about": SHARES,
    "norm": NORMED,
    "box": NORMED,
    "epsilon": ("certified-accuracy", "attacked-accuracy"),
    "method": NORMED,
    "sigma": NOISY,
    "budget": ("flip",),
    "percentile": ("radius",),
    "engine": ("moment-tightness",),
    "statistic": ("moment-tightness",),
}
_REQUIRED = {
    "accuracy": ("min",),
    "certified-accuracy": ("min", "norm", "epsilon"),
    "attacked-accuracy": ("min", "norm", "epsilon"),
    "radius": ("min", "norm", "percentile"),
    "flip": ("max", "sigma"),
    "moment-tightness": ("max", "sigma", "statistic"),
}


def find_policy(folder: Path) -> Path:
    """The policy of a folder.

    Raises:
        UsageError: there is none.
    """
    for name in FILES:
        path = folder / name
        if path.is_file() and (name != "pyproject.toml" or _has_table(path)):
            return path
    raise UsageError(f"There is no policy here (nmcheck.toml, or [tool.nmcheck] in pyproject.toml); {_INIT}.")


def read_policy(path: Path) -> Policy:
    """Read and check a policy.

    Raises:
        UsageError: it cannot be read, or demands something that cannot be; the sentence names file, line and key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(f"{path}: the policy has more than {_MOST_BYTES:,} bytes; is it the right file?")
        # The mark of the byte order that some editors put in front is no part of the text.
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: the policy cannot be read ({error.strerror}); {_INIT}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the policy is not UTF-8 text; save it as UTF-8.") from error
    whole: object = _parsed(path, text)
    prefix: tuple[str, ...] = ()
    if path.name == "pyproject.toml":
        prefix = ("tool", "nmcheck")
        whole = _table_of(whole)
        if not isinstance(whole, dict):
            raise UsageError(f"{path}: there is no table [tool.nmcheck] in it; {_INIT}.")
    assert isinstance(whole, dict)
    return _Reader(path, TomlLines(text.replace("\r\n", "\n")), prefix).policy(
        whole, hashlib.sha256(content).hexdigest()
    )


def _parsed(path: Path, text: str) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        UsageError: it is none, or one that would take too long or too much to read.
    """
    if where := _at(_DOTTED, text):
        raise UsageError(f"{path}{where}: a key of more than {_MOST_PARTS} parts; no key of a policy has as many.")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path}: the policy is not valid TOML ({str(error).rstrip('.')}); correct that line."
        ) from error
    except RecursionError as error:
        raise UsageError(f"{path}{_at(_NESTED, text)}: values are nested too deeply; correct that line.") from error
    except ValueError as error:
        # Python's own limit for the digits of a number, which tells no place.
        raise UsageError(
            f"{path}{_at(_MANY_DIGITS, text)}: a number has too many digits; correct that line."
        ) from error


def _at(pattern: re.Pattern[str], text: str) -> str:
    """Where it is found first, as words of a sentence."""
    found = pattern.search(text)
    return "" if found is None else f", line {text.count(chr(10), 0, found.start()) + 1}"


def _table_of(whole: object) -> object:
    """What stands under ``[tool.nmcheck]``, or None."""
    tool = whole.get("tool") if isinstance(whole, dict) else None
    return tool.get("nmcheck") if isinstance(tool, dict) else None


def _has_table(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _table_of(_parsed(path, file.read(_MOST_BYTES).decode("utf-8-sig"))) is not None
    except (OSError, ValueError, UsageError):
        return False


class _Reader:
    """One file's values on their way to a policy; knows the lines for its complaints."""

    def __init__(self, path: Path, lines: TomlLines, prefix: tuple[str, ...]) -> None:
        self._path, self._lines, self._prefix = path, lines, prefix

    def policy(self, whole: Mapping[str, Any], sha256: str) -> Policy:
        known = ("samples", "seed", "scale", "noise", "alpha", "check", "waiver")
        top = TomlTable(whole, self._complain_at_top)
        top.only(known)
        demands = tuple(self._demand(number, entry) for number, entry in enumerate(self._tables(whole, "check")))
        if not demands:
            self._complain_at_top("check", "has none, so the gate would pass whatever the model does; add a [[check]]")
        waivers = tuple(self._waiver(number, entry) for number, entry in enumerate(self._tables(whole, "waiver")))
        self._check_ids(demands, waivers)
        return Policy(
            name=str(self._path),
            sha256=sha256,
            samples=top.whole("samples", least=1, most=_MOST_SAMPLES),
            seed=top.whole("seed", least=0, most=_MOST_SEED),
            scale=top.text("scale"),
            noise=top.text("noise") or "isotropic",
            alpha=top.number("alpha", least=_LEAST_ALPHA, below=0.5) or 0.01,
            demands=demands,
            waivers=waivers,
        )

    def _tables(self, whole: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        found = whole.get(name, [])
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            self._complain_at_top(name, f"must be tables; write [[{'.'.join((*self._prefix, name))}]]")
        return found

    def _demand(self, number: int, entry: Mapping[str, Any]) -> Demand:
        def complain(key: str | None, what: str) -> NoReturn:
            self._complain("check", number, entry.get("id"), key, what)

        table = TomlTable(entry, complain)
        table.only(_KINDS_OF_KEY)
        kind = table.choice("kind", KINDS)
        if kind is None:
            complain(None, f"kind is missing; choose from {', '.join(KINDS)}")
        for key in entry:
            if kind not in _KINDS_OF_KEY[key]:
                complain(
                    key,
                    f"means nothing for kind '{kind}'; leave it out, or use it with {', '.join(_KINDS_OF_KEY[key])}",
                )
        for key in _REQUIRED[kind]:
            if key not in entry:
                complain(None, f"kind '{kind}' needs {key}, which is missing; add {key} = ...")
        sense = "max" if kind in NOISY else "min"
        share = kind in SHARES or kind == "flip"
        threshold = table.number(sense, least=0.0, most=1.0 if share else _LARGEST)
        assert threshold is not None
        classes = entry.get("class")
        if (
            classes is not None
            and classes != "each"
            and (not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes <= _MOST_SAMPLES)
        ):
            complain("class", f'must be a class index (0, 1, 2, ...) or "each", not {brief(classes)}')
        name = table.text("id")
        found = Demand(
            id=name or "",
            kind=kind,
            sense=sense,
            threshold=threshold,
            classes=classes,
            about=table.choice("about", ("images", "population")) or "images",
            norm=table.choice("norm", ("l2", "linf")),
            box=table.pair("box", most=_LARGEST),
            epsilon=table.number("epsilon", least=_SMALLEST, most=_LARGEST),
            method=table.text("method") or "lipschitz",
            sigma=table.number("sigma", least=_SMALLEST, most=_LARGEST),
            budget=table.whole("budget", least=1, most=_MOST_BUDGET) or 2000,
            percentile=table.number("percentile", least=0.0, most=100.0),
            engine=table.choice("engine", ENGINES) or "propagate",
            statistic=table.choice("statistic", ("mean", "variance")),
        )
        # Made of values that have been checked by now.
        return found if name else replace(found, id=_default_id(kind, entry))

    def _waiver(self, number: int, entry: Mapping[str, Any]) -> Waiver:
        def complain(key: str | None, what: str) -> NoReturn:
            self._complain("waiver", number, entry.get("id"), key, what)

        table = TomlTable(entry, complain)
        table.only(("id", "reason", "expires"))
        for key in ("id", "reason", "expires"):
            if key not in entry:
                complain(None, f"{key} is missing; a waiver says which check, why, and until when")
        name, reason = table.text("id"), table.text("reason")
        assert name is not None
        assert reason is not None
        return Waiver(id=name, reason=reason, expires=table.date("expires"))

    def _check_ids(self, demands: tuple[Demand, ...], waivers: tuple[Waiver, ...]) -> None:
        seen: set[str] = set()
        for number, demand in enumerate(demands):
            if demand.id in seen:
                self._complain("check", number, demand.id, "id", "another check has this id; give each its own")
            if "/" in demand.id:
                self._complain(
                    "check", number, demand.id, "id", "holds a '/', which stands before classes; use another sign"
                )
            seen.add(demand.id)
        waived: set[str] = set()
        for number, waiver in enumerate(waivers):
            if waiver.id.removeprefix("baseline/").partition("/")[0] not in seen:
                hint = nearest(waiver.id, seen)
                self._complain("waiver", number, waiver.id, "id", f"no check has this id{hint}; see the checks' ids")
            if waiver.id in waived:
                self._complain("waiver", number, waiver.id, "id", "another waiver is for the same check; keep one")
            waived.add(waiver.id)

    def _complain_at_top(self, key: str | None, what: str) -> NoReturn:
        name = ".".join(self._prefix)
        line = self._lines.line((name, None, key), (name, 0, key), (name, None, None)) or 1
        raise UsageError(f"{self._path}, line {line}: {key} {what}.")

    def _complain(self, table: str, number: int, name: object, key: str | None, what: str) -> NoReturn:
        line = self._lines.of(self._prefix, table, number, key) or 1
        called = f" '{name}'" if isinstance(name, str) else ""
        shown = f"{key} " if key else ""
        raise UsageError(f"{self._path}, line {line}: [[{table}]]{called}: {shown}{what}.")


def _default_id(kind: str, entry: Mapping[str, Any]) -> str:
    parts = [
        kind,
        *(str(entry[key]) for key in ("norm", "epsilon", "sigma", "percentile", "statistic") if key in entry),
    ]
    return "-".join([*parts, *([f"class-{entry['class']}"] if "class" in entry else [])])
