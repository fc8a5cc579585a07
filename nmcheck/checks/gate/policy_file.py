"""Reading a policy: ``nmcheck.toml``, or ``[tool.nmcheck]`` in a ``pyproject.toml``."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from nmcheck.checks.gate.policy import KINDS, NOISY, NORMED, SHARES, Demand, Policy, Waiver
from nmcheck.checks.gate.toml_lines import TomlLines
from nmcheck.checks.gate.toml_table import TomlTable, nearest
from nmcheck.checks.options import ENGINES
from nmcheck.errors import UsageError

FILES = ("nmcheck.toml", "pyproject.toml")
"""Where a policy is looked for if none is named."""
_LEAST_ALPHA = 1e-9
"""Reports give confidences as numbers near 1, which tell alpha even if a thousand classes share this one."""
_INIT = "write one with: nmcheck gate --init MODEL --data SPEC -o nmcheck.toml"
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
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: the policy cannot be read ({error.strerror}); {_INIT}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the policy is not UTF-8 text; save it as UTF-8.") from error
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path}: the policy is not valid TOML ({str(error).rstrip('.')}); correct that line."
        ) from error
    prefix: tuple[str, ...] = ()
    if path.name == "pyproject.toml":
        prefix = ("tool", "nmcheck")
        whole = whole.get("tool", {}).get("nmcheck")
        if not isinstance(whole, dict):
            raise UsageError(f"{path}: there is no table [tool.nmcheck] in it; {_INIT}.")
    return _Reader(path, TomlLines(text.replace("\r\n", "\n")), prefix).policy(
        whole, hashlib.sha256(content).hexdigest()
    )


def _has_table(path: Path) -> bool:
    try:
        return "nmcheck" in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
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
            samples=top.whole("samples", least=1),
            seed=top.whole("seed", least=0),
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
        threshold = table.number(sense, least=0.0, most=1.0 if share else None)
        assert threshold is not None
        classes = entry.get("class")
        if (
            classes is not None
            and classes != "each"
            and (not isinstance(classes, int) or isinstance(classes, bool) or classes < 0)
        ):
            complain("class", f'must be a class index (0, 1, 2, ...) or "each", not {classes!r}')
        name = table.text("id") or _default_id(kind, entry)
        return Demand(
            id=name,
            kind=kind,
            sense=sense,
            threshold=threshold,
            classes=classes,
            about=table.choice("about", ("images", "population")) or "images",
            norm=table.choice("norm", ("l2", "linf")),
            box=table.pair("box"),
            epsilon=table.number("epsilon", above=0.0),
            method=table.text("method") or "lipschitz",
            sigma=table.number("sigma", above=0.0),
            budget=table.whole("budget", least=1) or 2000,
            percentile=table.number("percentile", least=0.0, most=100.0),
            engine=table.choice("engine", ENGINES) or "propagate",
            statistic=table.choice("statistic", ("mean", "variance")),
        )

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
        for number, waiver in enumerate(waivers):
            if waiver.id.removeprefix("baseline/").partition("/")[0] not in seen:
                hint = nearest(waiver.id, seen)
                self._complain("waiver", number, waiver.id, "id", f"no check has this id{hint}; see the checks' ids")
            if waiver.id in [other.id for other in waivers[:number]]:
                self._complain("waiver", number, waiver.id, "id", "another waiver is for the same check; keep one")

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
