"""A model, its files, its data and its policy whose every name is an attack, through every command and format.

What goes to a terminal, a log or a file holds no escape sequence, no injected line and no markup, and nothing ends in
an internal error.
"""

import json
import os
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import gate_case
import models
import numpy as np
import onnx
import pytest
from hostile_text import ALL, ATTACKS, Tags, check_json, check_visible

from nmcheck.cli.app import run
from nmcheck.cli.session import Session
from nmcheck.cli.viewers import GROUP

FORMATS = ["table", "json", "csv", "markdown", "html"]
# As long as a name of a file may be, and without what it cannot hold.
FILE = "\x1b]0;INJECTED\x07\n::error::INJECTED [bold]x |`<b>\u202e##vso[x]&\u2028%0A,:"
NO_TEXT = f"{FILE}\udce9"
"""A name with a byte that is no UTF-8."""
TEXT = ALL.encode(errors="ignore").decode().replace("/", "|").replace("\x00", "")


def network(folder: Path) -> Path:
    """The network of ``gate_case`` with names that are attacks."""
    made = onnx.load(gate_case.network(folder))
    renamed = {name: f"{name} {TEXT}" for node in made.graph.node for name in (*node.input, *node.output)}
    for node in made.graph.node:
        node.name = f"{node.name} {TEXT}"
        node.doc_string = TEXT
        node.metadata_props.add(key=TEXT, value=TEXT)
        for names in (node.input, node.output):
            names[:] = [renamed[name] for name in names]
    for value in (*made.graph.initializer, *made.graph.input, *made.graph.output):
        value.name = renamed[value.name]
    made.graph.name = made.doc_string = made.producer_name = made.producer_version = made.domain = TEXT
    made.metadata_props.add(key=TEXT, value=TEXT)
    path = folder / f"{FILE}.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def quoted(text: str) -> str:
    """As TOML writes it."""
    return '"' + "".join(x if x.isalnum() or x == " " else f"\\U{ord(x):08x}" for x in text) + '"'


POLICY = f"""samples = 20
[[check]]
id = {quoted("right " + TEXT)}
kind = "accuracy"
min = 0.99
[[check]]
id = {quoted("noise " + TEXT)}
kind = "flip"
sigma = 0.2
max = 0.0001
budget = 8
[[waiver]]
id = {quoted("noise " + TEXT)}
reason = {quoted(TEXT)}
expires = 2031-01-01
"""


@pytest.fixture(autouse=True)
def nobodys_pipeline(monkeypatch):
    """What a CI system tells of itself is not there."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, a model, data and a policy of hostile names, and what each analysis found."""
    folder = tmp_path_factory.mktemp("hostile") / FILE
    folder.mkdir()
    data = gate_case.data(folder, wrong=4).rename(folder / f"{NO_TEXT}.npz")
    (folder / f"{NO_TEXT}.toml").write_text(POLICY, encoding="utf-8")
    session = once(gate_case.session())
    policy = folder / f"{NO_TEXT}.toml"
    return SimpleNamespace(folder=folder, model=network(folder), data=data, policy=policy, session=session)


def once(session: Session) -> Session:
    """A session that makes each analysis once, however often it is shown."""
    for name in ("analyze", "bounds", "compare", "inspect"):
        setattr(session, name, remembered(getattr(session, name)))
    return session


def remembered(function):
    found = []

    def call(*arguments):
        if not found:
            found.append(function(*arguments))
        return found[0]

    return call


COMMANDS = {
    "inspect": ["inspect", "MODEL"],
    "analyze": ["analyze", "MODEL", "--data", "DATA", "--samples", "4", "--sigma", "0.1", "--reference-samples", "500",
                "--engine", "propagate", "--engine", "two-stage"],
    "bounds": ["bounds", "MODEL", "--data", "DATA", "--samples", "4", "--attack", "fgs"],
    "compare": ["compare", "MODEL", "MODEL", "--data", "DATA", "--samples", "4", "--attack", "none", "--sigma", "0.1"],
    "gate": ["gate", "MODEL", "--data", "DATA", "--policy", "POLICY"],
}  # fmt: skip


def words(place, command):
    named = {"MODEL": place.model, "DATA": place.data, "POLICY": place.policy}
    return [str(named.get(word, word)) for word in command]


def check_shown(kind: str, text: str) -> None:
    if kind == "json":
        check_json(text)
    elif kind == "html":
        check_visible(text)
        found = Tags(text).found
        assert not {tag.split()[0] for tag in found} & {"script", "link", "iframe", "a", "b"}
    else:
        check_visible(text)


OURS = re.compile(r"(Error|Warning|Gate): |[A-Z][\w, .-]* \.\.\.$|/|cut at |skip at |[\d.]+ m?s a point")


def check_said(text: str) -> None:
    """Of standard error: every line is one of ours."""
    check_visible(text)
    assert all(OURS.match(line) for line in text.splitlines()), text


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_reports(place, command, kind, tmp_path, capsys):
    arguments = words(place, COMMANDS[command])
    code = 1 if command == "gate" else 0
    assert run([*arguments, "--format", kind], place.session) == code
    captured = capsys.readouterr()
    check_shown(kind, captured.out)
    check_said(captured.err)
    assert "INJECTED" in captured.out
    output = tmp_path / f"{NO_TEXT}.{kind}"
    assert run([*arguments, "--format", kind, "-o", str(output)], place.session) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    check_said(captured.err)
    check_shown(kind, output.read_text(encoding="utf-8"))


def test_json_names_the_true_nodes(place, capsys):
    assert run([*words(place, COMMANDS["analyze"]), "--format", "json", "-q"], place.session) == 0
    document = json.loads(capsys.readouterr().out)
    assert [node["node"] for node in document["graph"]] == [f"{name} {TEXT}" for name in
                                                            ("flatten", "inner", "middle", "outer")]  # fmt: skip


def test_the_gate_in_a_pipeline(place, tmp_path, capsys, monkeypatch):
    summary = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    files = {kind: tmp_path / f"r.{kind}" for kind in ("json", "junit", "sarif", "markdown", "html")}
    outputs = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    assert run([*words(place, COMMANDS["gate"]), *outputs], place.session) == 1
    captured = capsys.readouterr()
    check_visible(captured.out)
    commands = [line for line in captured.err.splitlines() if line.startswith("::")]
    others = "\n".join(line for line in captured.err.splitlines() if not line.startswith("::"))
    check_said(others)
    # One for the check that fails; the other is waived.
    assert len(commands) == 1
    assert re.fullmatch(r"::error file=[^:,]*,title=nmcheck right[^:,]*::.*", commands[0])
    for path in (*files.values(), summary):
        content = path.read_bytes()
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", content), path
        assert not re.search(r"[\u0080-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069]", content.decode()), path
    assert summary.read_text() == files["markdown"].read_text()
    check_json(files["sarif"].read_text())


def test_a_policy_that_is_written(place, tmp_path, capsys):
    import tomllib

    policy = tmp_path / f"{NO_TEXT}.toml"
    arguments = ["gate", "--init", str(place.model), "--data", str(place.data), "--samples", "10", "-o", str(policy)]
    assert run(arguments, Session()) == 0
    captured = capsys.readouterr()
    check_said(captured.err)
    text = policy.read_text(encoding="utf-8")
    check_visible(text)
    assert "INJECTED" in text
    assert {check["id"] for check in tomllib.loads(text)["check"]} <= {
        "accuracy", "flip-0.1", "certified", "attacked", "radius-p5", "tightness",
    }  # fmt: skip


def test_banks(place, tmp_path, capsys):
    bank = tmp_path / "bank.h5"
    assert run(["bank", "build", str(place.model), "--data", str(place.data), "-k", "2", "-o", str(bank)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    check_said(captured.err)
    for command in (["info", str(bank)], ["verify", str(bank), str(place.model)]):
        for kind in FORMATS:
            assert run(["bank", *command, "--format", kind]) == 0
            captured = capsys.readouterr()
            check_shown(kind, captured.out)
            assert captured.err == ""


@pytest.fixture(scope="module")
def report(place):
    path = place.folder / f"{NO_TEXT}.json"
    assert run([*words(place, COMMANDS["analyze"]), "--format", "json", "-q", "-o", str(path)], place.session) == 0
    return path


def test_annotations(place, report, tmp_path, capsys):
    for target in ("onnx", "netron", "model-explorer"):
        output = tmp_path / target
        arguments = ["annotate", str(place.model), "--report", str(report), "--to", target, "-o", str(output)]
        assert run(arguments) == 0
        if target != "onnx":
            check_json(output.read_text())
    notes = [entry for node in onnx.load(tmp_path / "onnx").graph.node for entry in node.metadata_props]
    ours = [entry for entry in notes if entry.key.startswith("nm.")]
    assert len(ours) > 4
    assert all(text.isprintable() for entry in ours for text in (entry.key, entry.value))
    assert capsys.readouterr().out == ""


def test_the_viewer_is_told_what_to_show(place, report, monkeypatch):
    pytest.importorskip("netron")
    import sys

    from nmcheck_netron.site import site

    shown = []
    monkeypatch.setitem(sys.modules, "made_up_viewer", SimpleNamespace(show=lambda *args, **_: shown.append(args)))
    session = Session(viewers=lambda: (EntryPoint("netron", "made_up_viewer:show", GROUP),))
    assert run(["view", str(place.model), "--report", str(report)], session) == 0
    made = site(*shown[0])
    told = check_json(made.overlay.decode())
    assert {name for name, _ in told["labels"]} >= {f"{name} {TEXT}" for name in ("inner", "middle", "outer")}
    assert all(label.isprintable() for _, label in told["labels"])
    page = made.answers["/"][1]().decode()
    check_visible(page)
    assert '<meta name="name" content="\\x1b]0;INJECTED\\x07 ::error' in page


ATTACK = ATTACKS["command on a line of its own"] + FILE
BAD = {
    "no such model": (["inspect", f"{ATTACK}.onnx"], 3),
    "no such data": (["analyze", "MODEL", "--data", f"{ATTACK}.npz"], 3),
    "no data set": (["analyze", "MODEL", "--data", ATTACK], 3),
    "no such node": (["analyze", "MODEL", "--data", "DATA", "--samples", "4", "--cut", ATTACK], 2),
    "no engine": (["analyze", "MODEL", "--data", "DATA", "--engine", ATTACK], 2),
    "no scale": (["analyze", "MODEL", "--data", "DATA", "--scale", ATTACK], 2),
    "no noise": (["analyze", "MODEL", "--data", "DATA", "--noise", ATTACK], 2),
    "no range": (["analyze", "MODEL", "--data", "DATA", "--range", ATTACK], 2),
    "no number": (["analyze", "MODEL", "--data", "DATA", "--samples", ATTACK], 2),
    "no attack": (["bounds", "MODEL", "--data", "DATA", "--attack", ATTACK], 2),
    "no option": (["inspect", "MODEL", f"--{ATTACK}"], 2),
    "no command": ([ATTACK], 2),
    "too many arguments": (["inspect", "MODEL", ATTACK], 2),
    "no such folder": (["inspect", "MODEL", "-o", f"{ATTACK}/x/y"], 3),
    "no such policy": (["gate", "MODEL", "--data", "DATA", "--policy", ATTACK], 2),
    "no share": (["gate", "MODEL", "--data", "DATA", "--policy", "POLICY", "--max-drop", ATTACK], 2),
    "no day": (["gate", "MODEL", "--data", "DATA", "--policy", "POLICY", "--today", ATTACK], 2),
    "no such baseline": (["gate", "MODEL", "--data", "DATA", "--policy", "POLICY", "--baseline", ATTACK], 2),
    "no such report": (["annotate", "MODEL", "--report", ATTACK, "--to", "netron", "-o", "OUT"], 2),
    "no metric": (
        ["annotate", "MODEL", "--report", "REPORT", "--to", "model-explorer", "-o", "OUT", "--metric", ATTACK], 2,
    ),
    "no viewer": (["view", "MODEL", "--viewer", ATTACK], 2),
    "no such bank": (["bank", "info", ATTACK], 3),
    "no store": (["bank", "build", "MODEL", "--data", "DATA", "-k", "2", "--store", ATTACK, "-o", "OUT"], 2),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors_are_one_line(place, report, name, tmp_path, capsys):
    command, code = BAD[name]
    named = {"REPORT": str(report), "OUT": str(tmp_path / "out")}
    arguments = [named.get(word, word) for word in words(place, command)]
    assert run(arguments, gate_case.session()) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    check_visible(captured.err)
    *progress, last = captured.err.splitlines()
    assert last.startswith("Error: ")
    assert all(re.fullmatch(r"[A-Z][\w, .-]* \.\.\.", line) for line in progress)
    # With the traceback there are more lines, but no other letters.
    assert run(["--debug", *arguments], gate_case.session()) == code
    check_visible(capsys.readouterr().err)


def test_a_model_of_a_name_that_onnxruntime_cannot_take_is_refused_by_that_reason(place, capsys):
    odd = place.folder / f"{NO_TEXT}.onnx"
    odd.write_bytes(place.model.read_bytes())
    assert run(["inspect", str(odd), "-q"]) == 0
    check_visible(capsys.readouterr().out)
    assert run(["analyze", str(odd), "--data", str(place.data), "-q"]) == 3
    error = capsys.readouterr().err
    assert "holds a byte that is no UTF-8" in error
    assert "\\udce9" in error


def test_files_of_bounds(place, tmp_path, capsys):
    questions = tmp_path / "questions"
    arguments = ["bounds", str(place.model), "--data", str(place.data), "--norm", "inf", "--samples", "3", "-q"]
    arguments += ["--attack", "none", "--epsilon", "0.4", "--vnnlib", str(questions)]
    assert run(arguments) == 0
    check_visible(capsys.readouterr().out)
    written = list(questions.rglob("*.vnnlib"))
    assert written
    for path in written:
        text = path.read_text(encoding="utf-8")
        check_visible(text)
        assert all(line.startswith((";", "(", "    (", ")")) for line in text.splitlines())
    # The verifier gets the file's true name.
    assert os.fsencode(place.model.name) in next(questions.rglob("instances.csv")).read_bytes()


def test_a_class_folder_and_a_picture_of_hostile_names(tmp_path, capsys):
    pytest.importorskip("PIL")
    from PIL import Image

    model = models.write(models.mlp(), tmp_path)
    for name in ("0" + FILE, "1" + FILE):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / f"{FILE}.png")
    (tmp_path / "images" / ("0" + FILE) / f"broken{FILE}.png").write_bytes(b"no picture")
    assert run(["analyze", str(model), "--data", str(tmp_path / "images"), "-q"]) in (2, 3)
    error = capsys.readouterr().err
    check_visible(error)
    assert error.count("\n") == 1
