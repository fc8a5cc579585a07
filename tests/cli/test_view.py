import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import made_up_report
import models
import pytest

import nmcheck
from nmcheck.cli.app import run
from nmcheck.cli.session import Session
from nmcheck.cli.viewers import GROUP
from nmcheck.errors import UsageError
from nmcheck.graph.load import load_graph
from nmcheck.reports.json import to_json

ROOT = Path(nmcheck.__file__).parents[1]
SHOWN = []


def show(model, overlay, *, port, open_browser):
    SHOWN.append((model, overlay, port, open_browser))


def refuse(model, overlay, *, port, open_browser):
    raise UsageError("Netron is not installed.")


def entry(name, value):
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def own(monkeypatch):
    """This module as an installed viewer."""
    monkeypatch.setitem(sys.modules, "made_up_viewer", sys.modules[__name__])
    SHOWN.clear()
    return (entry("netron", "made_up_viewer:show"),)


def view(viewers, *arguments, analyze=None):
    session = Session(viewers=lambda: viewers)
    if analyze is not None:
        session.analyze = analyze
    return run(["view", *map(str, arguments)], session)


@pytest.fixture
def model(tmp_path):
    return models.write(models.mlp(), tmp_path)


def write_report(folder, **of_model):
    document = json.loads(to_json(made_up_report.report()))
    document["model"].update(of_model)
    path = folder / "report.json"
    path.write_text(json.dumps(document))
    return path


def test_report_reaches_the_viewer(own, model, tmp_path):
    report = write_report(tmp_path, fingerprint=load_graph(model).model.fingerprint)
    assert view(own, model, "--report", report, "--port", "8123", "--no-browser") == 0
    shown, overlay, port, open_browser = SHOWN[0]
    assert (shown, port, open_browser) == (model, 8123, False)
    assert overlay.metrics[0].key == "kappa"


def test_an_entry_point_of_the_backport_is_one(own, model, tmp_path):
    """The packages importlib_metadata and importlib.metadata have a class each; either may have found the viewer."""
    backport = pytest.importorskip("importlib_metadata")
    found = (backport.EntryPoint("netron", "made_up_viewer:show", GROUP),)
    report = write_report(tmp_path, fingerprint=load_graph(model).model.fingerprint)
    assert view(found, model, "--report", report) == 0
    assert SHOWN[0][0] == model


def test_report_of_another_model_is_refused_unless_forced(own, model, tmp_path, capsys):
    report = write_report(tmp_path)
    assert view(own, model, "--report", report) == 2
    assert "is a report of another model" in capsys.readouterr().err
    assert not SHOWN
    assert view(own, model, "--report", report, "--force") == 0
    assert len(SHOWN) == 1


def test_a_change_of_one_weight_is_another_model(own, tmp_path, capsys):
    made = models.mlp()
    report = write_report(tmp_path, fingerprint=load_graph(models.write(made, tmp_path)).model.fingerprint)
    raw = bytearray(made.graph.initializer[0].raw_data)
    raw[0] ^= 1
    made.graph.initializer[0].raw_data = bytes(raw)
    assert view(own, models.write(made, tmp_path), "--report", report) == 2


def test_data_is_analysed_first_with_progress(own, model, capsys):
    asked = []

    def analyze(options, progress):
        asked.append(options)
        with progress.stage("Sampling", 1):
            return made_up_report.report()

    code = view(own, model, "--data", "mnist", "--samples", "20", "--sigma", "0.2", "--seed", "3", analyze=analyze)
    assert code == 0
    assert (asked[0].data, asked[0].samples, asked[0].sigmas, asked[0].seed) == ("mnist", 20, (0.2,), 3)
    captured = capsys.readouterr()
    assert "Sampling ..." in captured.err
    assert "Warning: Another common scale" in captured.err
    assert captured.out == ""
    assert SHOWN[0][1].metrics


def test_without_both_the_cuts_are_shown(own, model):
    assert view(own, model, "--quiet") == 0
    overlay = SHOWN[0][1]
    assert [layer.node for layer in overlay.layers if layer.cut == "cut"] == ["relu0", "relu1"]
    assert [metric.key for metric in overlay.metrics] == ["cut bytes"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"schema_version": 2}', '{"schema_version": 1}', '{"schema_version": 1, '
             '"model": {"path": "", "fingerprint": ""}, "bounds": 3}', "\xff\x00", "[" * 100_000],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_what_is_no_report_is_said_in_a_sentence(own, model, tmp_path, capsys, text):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    assert view(own, model, "--report", path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a JSON report of nmcheck" in error


def test_usage_errors_end_in_two(own, model, tmp_path, capsys):
    assert view(own, model, "--report", tmp_path / "none.json") == 2
    assert view(own, model, "--report", "a", "--data", "mnist") == 2
    assert view(own, model, "--port", "70000") == 2
    assert view(own, model, "--viewer", "other") == 2
    assert "no viewer 'other' that can be used; installed: netron" in capsys.readouterr().err
    assert view((entry("netron", "made_up_viewer:refuse"),), model, "-q") == 2
    assert "Netron is not installed." in capsys.readouterr().err


def test_a_missing_model_ends_in_three(own, tmp_path):
    assert view(own, tmp_path / "none.onnx", "-q") == 3


def test_a_viewer_that_fails_to_load_is_a_warning_with_its_name(own, model, capsys):
    broken = (entry("broken", "no_such_module:view"), entry("netron", "no_such_module:view"), *own)
    assert view(broken, model, "-q") == 0
    error = capsys.readouterr().err
    assert "Warning: the viewer 'netron' (no_such_module:view) could not be loaded: ModuleNotFoundError" in error
    assert "broken" not in error  # not asked for, so not loaded
    assert len(SHOWN) == 1
    assert view(broken, model, "--viewer", "broken", "-q") == 2
    assert "Warning: the viewer 'broken'" in capsys.readouterr().err


def test_interrupt_ends_it_and_leaves_nothing(model, tmp_path):
    if find_spec("netron") is None and not os.environ.get("CI"):
        pytest.skip("netron is not installed: pip install netron")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = (
        "import sys; from importlib.metadata import EntryPoint; from nmcheck.cli.app import run\n"
        "from nmcheck.cli.session import Session\n"
        "viewers = lambda: (EntryPoint('netron', 'nmcheck_netron.viewer:view', 'nmcheck.viewers'),)\n"
        "sys.exit(run(['view', sys.argv[1], '--no-browser', '-q'], Session(viewers=viewers)))"
    )
    folders = os.pathsep.join([str(ROOT), str(ROOT / "plugins" / "netron")])
    before = {path.name: path.stat().st_mtime_ns for path in model.parent.iterdir() if path.is_file()}
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", script, model],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": folders, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(url, timeout=10) as answer:
        assert answer.status == 200
        assert answer.url == url.partition("?")[0]
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 0
    assert (out, error.strip()) == ("", "Ctrl-C ends the viewer.")
    assert list(temporary.iterdir()) == []
    assert {path.name: path.stat().st_mtime_ns for path in model.parent.iterdir() if path.is_file()} == before
    with pytest.raises(OSError):  # noqa: PT011
        urllib.request.urlopen(url, timeout=2)
