"""Every situation a pipeline meets, with its exit code and the sentence it is told. docs/gate.md shows this table."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gate_case
import pytest
from models import model as tiny
from models import node, write

from nmcheck.cli.app import run

HEAD = "samples = 20\n"
ACCURACY = '[[check]]\nid = "right"\nkind = "accuracy"\nmin = {}\n'
CERTIFIED = '[[check]]\nid = "proof"\nkind = "certified-accuracy"\nnorm = "l2"\nepsilon = {}\nmin = 0.9\n'
ATTACKED = '[[check]]\nid = "attack"\nkind = "attacked-accuracy"\nnorm = "l2"\nepsilon = {}\nmin = 0.9\n'
RADIUS = '[[check]]\nid = "p5"\nkind = "radius"\nnorm = "l2"\npercentile = 5\nmin = {}\n'
FLIP = '[[check]]\nid = "flip"\nkind = "flip"\nsigma = {}\nmax = {}\nbudget = {}\n'
TIGHT = '[[check]]\nid = "tight"\nkind = "moment-tightness"\nsigma = 0.1\nstatistic = "variance"\nmax = {}\n'
WAIVER = '[[waiver]]\nid = "{}"\nreason = "known, fixed in 2.1"\nexpires = {}\n'


@dataclass(frozen=True)
class Situation:
    """What is run and what must come of it."""

    name: str
    policy: str
    code: int
    says: str
    arguments: tuple[str, ...] = ()
    wrong: int = 0
    attacked: bool = True
    verdict: str | None = None


SITUATIONS = [
    Situation("pass", ACCURACY.format(0.9), 0, "Gate: pass (the check passed)"),
    Situation("accuracy too low", ACCURACY.format(0.9), 1, "Gate: fail (1 check of 1 failed: right)", wrong=4),
    Situation(
        "accuracy of a class too low",
        ACCURACY.format(0.9) + 'class = "each"\n',
        1,
        "right/class-1: accuracy in class 1 at least 90 %: 9 of 11",
        wrong=3,
    ),
    Situation(
        "accuracy in the population open", ACCURACY.format(0.9) + 'about = "population"\n', 1, "Gate: inconclusive"
    ),
    Situation(
        "certified", CERTIFIED.format(0.29), 0, "proof: accuracy certified against changes of L2 norm up to 0.29"
    ),
    Situation("certified fails by examples", CERTIFIED.format(0.31), 1, "exact changed 20 of them within L2 norm 0.31"),
    Situation(
        "certified open counts as a failure",
        CERTIFIED.format(0.31),
        1,
        "Gate: inconclusive (1 check inconclusive: proof",
        attacked=False,
    ),
    Situation(
        "certified open counts as a pass",
        CERTIFIED.format(0.31),
        0,
        "which counts as a pass (--on-inconclusive)",
        ("--on-inconclusive", "pass"),
        attacked=False,
    ),
    Situation(
        "attacked passes by certificate", ATTACKED.format(0.29), 0, "all that are left are certified", attacked=False
    ),
    Situation("attacked fails", ATTACKED.format(0.31), 1, "exact changed 20 of them"),
    Situation("attacked open without attack", ATTACKED.format(0.31), 1, "no attack was run", attacked=False),
    Situation("radius", RADIUS.format(0.29), 0, "certified by lipschitz: 0.3"),
    Situation("radius too small", RADIUS.format(0.31), 1, "adversarial examples: 0.3, over 20 images"),
    Situation("radius open", RADIUS.format(0.31), 1, "nothing shows that it is not larger", attacked=False),
    Situation("flips rare", FLIP.format(0.1, 0.05, 2000), 0, "flip: probability that noise of sigma 0.1 changes"),
    Situation("flips frequent", FLIP.format(0.3, 0.05, 2000), 1, "Gate: fail (1 check of 1 failed: flip)"),
    Situation("flips open", FLIP.format(0.3, 0.158, 20), 1, "the budget is spent, raise it"),
    Situation(
        "flips open counts as a pass",
        FLIP.format(0.3, 0.158, 20),
        0,
        "Gate: inconclusive",
        ("--on-inconclusive", "pass"),
    ),
    Situation("moments tight", TIGHT.format(0.5), 0, "E_r is"),
    Situation(
        "moments not tight",
        TIGHT.format(0.01) + 'engine = "published-theorem2"\n',
        1,
        "Gate: fail (1 check of 1 failed: tight)",
    ),
    Situation(
        "waived",
        ACCURACY.format(0.9) + WAIVER.format("right", "2030-06-15"),
        0,
        "Waived until 2030-06-15: known, fixed in 2.1",
        wrong=4,
    ),
    Situation(
        "waiver expired",
        ACCURACY.format(0.9) + WAIVER.format("right", "2030-06-14"),
        1,
        "The waiver of right expired on 2030-06-14, so the check counts again",
        wrong=4,
    ),
    Situation(
        "waived by day of the option",
        ACCURACY.format(0.9) + WAIVER.format("right", "2030-06-14"),
        0,
        "1 waived",
        ("--today", "2030-06-14"),
        wrong=4,
    ),
    Situation(
        "waiver of a check that does not exist",
        ACCURACY.format(0.9) + WAIVER.format("rihgt", "2030-06-15"),
        2,
        "line 7: [[waiver]] 'rihgt': id no check has this id (did you mean 'right'?)",
    ),
    Situation("policy is no TOML", "[[check]\n", 2, "the policy is not valid TOML"),
    Situation("policy without checks", "seed = 1\n", 2, "the gate would pass whatever the model does"),
    Situation(
        "policy asks for an unknown key",
        ACCURACY.format(0.9) + "bound = 1\n",
        2,
        "line 6: [[check]] 'right': bound",
    ),
    Situation(
        "policy threshold out of range", ACCURACY.format(95), 2, "line 5: [[check]] 'right': min must be a number"
    ),
    Situation(
        "policy about a class the model lacks", ACCURACY.format(0.9) + "class = 7\n", 2, "has 2 classes (0 to 1)"
    ),
    Situation("method unknown", CERTIFIED.format(0.1) + 'method = "magic"\n', 2, "choose from lipschitz"),
]


def gate(folder: Path, situation: Situation, capsys, *more: str) -> tuple[int, str, str]:
    policy = folder / "nmcheck.toml"
    policy.write_text(HEAD + situation.policy)
    model, data = gate_case.network(folder), gate_case.data(folder, wrong=situation.wrong)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(policy), "-q", *situation.arguments, *more]
    code = run(arguments, gate_case.session(attacked=situation.attacked))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_there_are_many_and_the_page_shows_them():
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text()
    assert len(SITUATIONS) >= 20
    for one in SITUATIONS:
        assert f"| {one.name} | {one.code} |" in page


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name.replace(" ", "-"))
def test_situation(tmp_path, capsys, situation):
    code, out, err = gate(tmp_path, situation, capsys)
    assert code == situation.code
    said = " ".join((out + err).split())
    assert situation.says in said
    if code == 2:
        assert out == ""
        assert err.count("\n") == 1
        assert str(tmp_path) in err
    else:
        assert f"exit code {code}" in said


def result(folder, situation, capsys, *more):
    file = folder / "report.json"
    code, _, _ = gate(folder, situation, capsys, "--json", str(file), *more)
    return code, json.loads(file.read_text())


def test_examples_behind_a_failure_are_saved_and_are_adversarial(tmp_path, capsys):
    import numpy as np
    import onnxruntime

    code, report = result(tmp_path, SITUATIONS[5], capsys, "--examples", str(tmp_path / "proof"))
    assert code == 1
    named = report["gate"]["checks"][0]["examples"]
    assert len(named) == 10
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    clean = np.load(tmp_path / "data.npz")["x"]
    for one in named:
        changed = np.load(tmp_path / "proof" / one["file"])
        assert np.linalg.norm(changed.reshape(6, 6) - clean[one["index"]]) == pytest.approx(one["distance"])
        assert one["distance"] <= 0.31
        logits = session.run(None, {"x": changed.reshape(1, 6, 6).astype(np.float32)})[0]
        assert int(np.argmax(np.asarray(logits))) == one["predicted"] != one["label"]


def test_unlabelled_data_tell_nothing_of_accuracy(tmp_path, capsys):
    (tmp_path / "nmcheck.toml").write_text(HEAD + ACCURACY.format(0.5))
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path, labels=False)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(tmp_path / "nmcheck.toml"), "-q"]
    assert run(arguments, gate_case.session()) == 1
    assert "the data has no labels" in capsys.readouterr().out


def baseline(folder, capsys, policy, *more):
    """A report to compare with, of a model as good as can be."""
    code, _ = result(folder, Situation("", policy, 0, ""), capsys, *more)
    assert code == 0
    return (folder / "report.json").rename(folder / "baseline.json")


@pytest.mark.parametrize(
    ("drop", "code", "says"),
    [
        ("0", 1, "it was 100 % and is 90 %."),
        ("5%", 1, "no more than 5 percentage points worse than the baseline"),
        ("0.1", 0, "Gate: pass (all 2 checks passed)"),
        ("15%", 0, "Gate: pass (all 2 checks passed)"),
        ("much", 2, "--max-drop must be a number"),
        ("1.5", 2, "--max-drop must be at least 0 and below 1"),
    ],
)
def test_baseline_drop(tmp_path, capsys, drop, code, says):
    policy = ACCURACY.format(0.5)
    file = baseline(tmp_path, capsys, policy)
    worse = tmp_path / "worse"
    worse.mkdir()
    document = json.loads(file.read_text())
    # The same images with other labels are other data; here only the model's answers may differ.
    (worse / "nmcheck.toml").write_text(HEAD + policy)
    data = gate_case.data(worse, wrong=2)
    model = gate_case.network(worse)
    probe = worse / "probe.json"
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(worse / "nmcheck.toml"), "-q"]
    assert run([*arguments, "--json", str(probe)], gate_case.session()) == 0
    document["data"]["sha256"] = json.loads(probe.read_text())["data"]["sha256"]
    file.write_text(json.dumps(document))
    capsys.readouterr()
    found = run([*arguments, "--baseline", str(file), "--max-drop", drop], gate_case.session())
    captured = capsys.readouterr()
    assert found == code
    assert says in " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        ("data (sha256", lambda d: d["data"].update(sha256="0" * 64)),
        ("input scale", lambda d: d["data"].update(scale="byte")),
        ("norm of check 'proof'", lambda d: d["gate"]["checks"][0].update(norm="linf")),
        ("epsilon of check 'proof'", lambda d: d["gate"]["checks"][0].update(epsilon=0.2)),
        ("method of check 'proof'", lambda d: d["gate"]["checks"][0].update(method="crown")),
        ("noise", lambda d: d["noise"].update(description="other")),
        ("no bounds in norm l2", lambda d: d.update(bounds=[])),
        ("not whole", lambda d: d["bounds"][0].pop("per_sample")),
        ("no nmcheck report", lambda d: d.update(schema_version=7)),
    ],
)
def test_baseline_of_something_else_is_refused(tmp_path, capsys, what, edit):
    policy = CERTIFIED.format(0.29)
    file = baseline(tmp_path, capsys, policy)
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))
    code, out, err = gate(tmp_path, Situation("", policy, 2, ""), capsys, "--baseline", str(file))
    assert (code, out) == (2, "")
    assert what in err
    assert err.count("\n") == 1


def test_an_analysis_is_a_baseline_too(tmp_path, capsys):
    policy = ACCURACY.format(0.5) + CERTIFIED.format(0.29) + RADIUS.format(0.1) + FLIP.format(0.1, 0.05, 2000)
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    file = tmp_path / "analysis.json"
    assert run(["analyze", str(model), "--data", str(data), "--samples", "20", "--sigma", "0.1", "--reference-samples",
                "500", "--engine", "propagate", "--format", "json", "-o", str(file), "-q"]) == 0  # fmt: skip
    code, out, _ = gate(tmp_path, Situation("", policy, 0, ""), capsys, "--baseline", str(file), "--max-drop", "5%")
    assert code == 0
    assert "baseline/proof" in out


def test_the_same_model_does_not_fall_below_itself(tmp_path, capsys):
    policy = ACCURACY.format(0.5) + CERTIFIED.format(0.29) + ATTACKED.format(0.2) + RADIUS.format(0.1)
    file = baseline(tmp_path, capsys, policy)
    code, report = result(tmp_path, Situation("", policy, 0, ""), capsys, "--baseline", str(file))
    compared = [one for one in report["gate"]["checks"] if one["against"] == "baseline"]
    assert {one["id"]: one["verdict"] for one in compared} == {
        f"baseline/{name}": "pass" for name in ("right", "proof", "attack", "p5")
    }
    assert code == 0


POPULATION = 'about = "population"\n'


@pytest.mark.parametrize(
    ("samples", "policy"),
    [
        (20, ACCURACY.format(0.5) + POPULATION),
        (20, CERTIFIED.format(0.29).replace("0.9", "0.5") + POPULATION),
        (20, FLIP.format(0.3, 0.3, 2000)),
        (5, TIGHT.format(0.5).replace("0.1", "0.3")),
    ],
    ids=["accuracy", "certified", "flips", "moments"],
)
def test_the_same_model_does_not_fall_below_itself_where_chance_has_a_part(tmp_path, capsys, samples, policy):
    more = ("--samples", str(samples))
    file = baseline(tmp_path, capsys, policy, *more)
    code, report = result(tmp_path, Situation("", policy, 0, ""), capsys, "--baseline", str(file), *more)
    check, against = report["gate"]["checks"]
    assert check["confidence"] is not None
    assert check["low"] < check["high"]
    assert (code, against["verdict"]) == (0, "pass")


def test_confidences_are_those_of_both_ends(tmp_path, capsys):
    policy = "alpha = 0.02\n" + FLIP.format(0.3, 0.3, 2000) + FLIP.format(0.1, 0.3, 50).replace("flip", "by", 1)
    policy += 'class = "each"\n' + ACCURACY.format(0.5) + POPULATION
    _, report = result(tmp_path, Situation("", policy, 0, ""), capsys)
    found = {one["id"]: one["confidence"] for one in report["gate"]["checks"]}
    # A flip verdict spends alpha on its one end, so both ends hold with 1 - 2 alpha; classes share alpha.
    assert found == {
        name: pytest.approx(confidence)
        for name, confidence in {
            "flip": 0.96, "by/class-0": 0.98, "by/class-1": 0.98, "right": 0.98
        }.items()
    }  # fmt: skip
    flip = report["gate"]["checks"][0]
    assert "; 96 % interval, valid at every look:" in flip["reason"]
    assert any("1 - 2 alpha" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        ("operator", 3, "Det"),
        ("data", 3, "data.npz"),
        ("model", 3, "model.onnx"),
        ("disk", 3, "No space left on device"),
        ("folder", 3, "No such file or directory"),
        ("twice", 2, "--json and --sarif would be the same file"),
        ("policy", 2, "the policy cannot be read"),
    ],
)
def test_what_cannot_be_decided_is_no_pass(tmp_path, capsys, break_it, code, says):
    policy = tmp_path / "nmcheck.toml"
    policy.write_text(HEAD + ACCURACY.format(0.5))
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    good = tmp_path / "good.json"
    good.write_text("an older report")
    more = ["--json", str(good)]
    if break_it == "operator":
        nodes = [node("Flatten", ["x"], ["f"]), node("Det", ["f"], ["y"], name="odd")]
        model = write(tiny(nodes, (1, 6, 6)), tmp_path, "odd.onnx")
    elif break_it == "data":
        data.write_bytes(data.read_bytes()[:-100])
    elif break_it == "model":
        model.write_bytes(model.read_bytes()[:40])
    elif break_it == "disk":
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        more += ["--junit", "/dev/full"]
    elif break_it == "folder":
        more += ["--sarif", str(tmp_path / "nowhere" / "r.sarif")]
    elif break_it == "twice":
        more += ["--sarif", str(good)]
    else:
        policy.unlink()
    found = run(["gate", str(model), "--data", str(data), "--policy", str(policy), "-q", *more], gate_case.session())
    captured = capsys.readouterr()
    assert found == code
    assert says in captured.err
    assert captured.out == ""
    assert good.read_text() == "an older report"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".nmcheck-")]


KILLED = """
import sys, time
from pathlib import Path
import gate_case
from nmcheck.cli.app import run
from nmcheck.cli.session import Session

def slow(options, progress):
    print("running", flush=True)
    time.sleep(60)

sys.exit(run(sys.argv[1:], Session(gate=slow)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_killed_half_way_leaves_no_report(tmp_path, sign, code):
    policy = tmp_path / "nmcheck.toml"
    policy.write_text(HEAD + ACCURACY.format(0.5))
    report = tmp_path / "report.json"
    arguments = ["gate", "m.onnx", "--data", "mnist", "--policy", str(policy), "--json", str(report), "-q"]
    tests = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.send_signal(sign)
    assert process.wait(timeout=30) == code
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["nmcheck.toml"]
