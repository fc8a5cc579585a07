"""What a gate's report says of each image's distance to another label."""

import json

import gate_case
import pytest

from nmcheck.cli.app import run

POLICY = '[[check]]\nid = "proof"\nkind = "certified-accuracy"\nnorm = "l2"\nepsilon = 0.2\nmin = 0.5\n'


@pytest.mark.parametrize(("change", "shown"), [("", True), ("box = [0, 1]\n", False)])
def test_layers_are_shown_whatever_certified_the_radii(tmp_path, capsys, change, shown):
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    (tmp_path / "nmcheck.toml").write_text(POLICY + 'method = "crown-ibp"\n' + change)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(tmp_path / "nmcheck.toml"), "-q"]
    assert run([*arguments, "--json", "-"], gate_case.session(attacked=False)) == 0
    layers = json.loads(capsys.readouterr().out)["bounds"][0]["layers"]
    assert [one["node"] for one in layers] == (["inner", "middle", "outer"] if shown else [])


@pytest.mark.parametrize("attacked", [True, False])
def test_ends_and_their_reasons(tmp_path, capsys, attacked):
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path, distance=0.3, wrong=2)
    (tmp_path / "nmcheck.toml").write_text(POLICY)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(tmp_path / "nmcheck.toml"), "-q"]
    assert run([*arguments, "--json", "-"], gate_case.session(attacked=attacked)) == 0
    section = json.loads(capsys.readouterr().out)["bounds"][0]
    assert section["radius"]["lipschitz"]["images"] == 18
    for image in section["per_sample"]:
        assert image["lower"] == pytest.approx(0.3, rel=1e-4)
        assert image["lower_method"] == "lipschitz"
        if attacked and image["correct"]:
            assert image["upper"] == pytest.approx(0.3, abs=1e-5)
            assert image["upper_method"] == "exact"
        else:
            assert image["upper"] is None
            assert image["upper_reason"] == (
                "the image is not classified as labelled, so it was not attacked"
                if attacked
                else "no attack was run, so no adversarial example is known"
            )
