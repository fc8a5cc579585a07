import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import drawn_networks
import models
import onnx
import pytest
import shown_page
from shown_page import DARKEST, rgb, shown

from nmcheck.checks.analyze import analyze
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.reports.overlay import overlay_of
from nmcheck.reports.palette import FAILED, NO_VALUE
from nmcheck.results.overlay import Verdict


def expect(locator):
    from playwright.sync_api import expect as expectation

    return expectation(locator)


def metric(overlay, key):
    return next(entry for entry in overlay.metrics if entry.key == key)


def everything(view, overlay, names, cut=None):
    """Colors and badges of `names`, the worst layer's page, another metric, a new drawing and Netron's export."""
    kappa, lipschitz = metric(overlay, "kappa"), metric(overlay, "L")
    view.open()
    view.state(f"ready:{len({*(entry.node for entry in kappa.values), *([cut] if cut else [])})}")
    view.shows_metric(kappa, names, cut=cut)
    # The worst layer stands first; it leads to its node and to Netron's own page about it.
    worst = min(kappa.values, key=lambda entry: entry.value)
    row = view.page.locator(".nmcheck-worst button").first
    expect(row).to_contain_text(worst.node)
    row.click()
    expect(view.node(worst.node)).to_be_in_viewport()
    for entry in (worst, next(entry for entry in lipschitz.values if entry.node == worst.node)):
        expect(view.page.locator("#sidebar-content").get_by_text(entry.text, exact=True).first).to_be_visible()
    view.choose(lipschitz)
    view.shows_metric(lipschitz, names, cut=cut)
    view.choose(kappa)
    # The direction changed: Netron draws everything anew, and badges stand elsewhere.
    rect = view.node(names[0], "> .nmc-badge > rect")
    before = rect.get_attribute("y")
    view.page.keyboard.press("Control+k")
    expect(rect).not_to_have_attribute("y", before)
    view.shows_metric(kappa, names, cut=cut)
    view.state(f"ready:{len(kappa.values)}")
    with view.page.expect_download() as download:
        view.page.keyboard.press("Control+Alt+e")
    picture = Path(download.value.path()).read_text()
    colors = {rgb(color) for color in shown_page.colors(kappa).values()}
    assert colors <= set(re.findall(r"fill: (rgb\([^)]*\))", picture))
    assert all(f">{entry.text}<" in picture for entry in kappa.values if entry.node != cut)
    assert cut is None or "✂ " in picture
    view.shows_metric(kappa, names, cut=cut)
    view.sound()


@pytest.mark.parametrize("name", ["lenet_lrn3.onnx", "lenet_bn.onnx"])
def test_an_analysis_is_shown_on_the_drawing(browser, sample_models, name):
    path = sample_models / name
    report = analyze(
        AnalyzeOptions(path, data="mnist", samples=2, sigmas=(0.1,), engines=("two-stage",), reference_samples=500)
    )
    overlay = overlay_of(report)
    with shown(browser, path, overlay) as view:
        everything(view, overlay, [entry.node for entry in metric(overlay, "kappa").values], cut="node_relu")
        # A layer that is decomposed into several nodes carries its numbers at the last of them.
        gain = metric(overlay, "norm gain 0.1")
        view.choose(gain)
        view.shows_metric(gain, [entry.node for entry in gain.values])
        expect(view.node("node_conv2d", "> .node-item-type > path")).to_have_css("fill", rgb(NO_VALUE))
        view.sound()


def test_a_residual_network(browser, tmp_path):
    made = models.residual()
    overlay = drawn_networks.overlay_on(made, cut="r0")
    with shown(browser, models.write(made, tmp_path), overlay) as view:
        everything(view, overlay, [node.name for node in made.graph.node], cut="r0")


def test_a_thousand_nodes(browser, tmp_path):
    made = drawn_networks.large()
    overlay = drawn_networks.overlay_on(made)
    with shown(browser, models.write(made, tmp_path), overlay) as view:
        everything(view, overlay, ["conv_0", "relu_124", "add_249"])
        expect(view.page.locator(".nmc-badge")).to_have_count(1000)
        expect(view.page.locator(".nmcheck-worst li")).to_have_count(41)
        view.sound()


def test_cuts_names_and_a_folded_panel(browser, tmp_path):
    made = models.residual()
    overlay = drawn_networks.overlay_on(made, cut="r0")
    kappa, lipschitz = overlay.metrics
    names = [entry.node for entry in kappa.values]
    with shown(browser, models.write(made, tmp_path), overlay) as view:
        view.open()
        view.state("ready:7")
        expect(view.node("r0", "> .node-border")).to_have_css("stroke-dasharray", "5px, 3px")
        expect(view.node("r1", "> .node-border")).to_have_css("stroke-dasharray", "none")
        panel = view.page.locator("#nmcheck-panel").bounding_box()
        assert panel["width"] < 280
        assert all(view.node(name).bounding_box()["x"] > panel["x"] + panel["width"] for name in names)
        view.page.locator("#nmcheck-panel > button").click()  # folded away
        expect(view.page.locator(".nmcheck-worst")).to_be_hidden()
        # Names shown: everything is drawn anew.
        view.page.keyboard.press("Control+u")
        expect(view.node("add").get_by_text("add", exact=True)).to_be_visible()
        view.shows_metric(kappa, names, cut="r0")
        view.page.locator("#nmcheck-panel > button").click()
        view.choose(lipschitz)
        view.shows_metric(lipschitz, names, cut="r0")
        view.sound()


def test_threshold_scale_and_keyboard(browser, tmp_path):
    made = models.residual()
    overlay = drawn_networks.overlay_on(made)
    statements = ("radius: <b>0.01</b> is below 0.1",)
    overlay = replace(overlay, verdict=Verdict(verdict="fail", statements=statements))
    kappa = overlay.metrics[0]
    with shown(browser, models.write(made, tmp_path), overlay, color_scheme="dark") as view:
        view.open()
        view.state("ready:7")
        expect(view.page.locator("#nmcheck-panel")).to_have_css("color", "rgb(228, 228, 228)")
        expect(view.page.locator(".nmcheck-verdict summary")).to_have_text("✗ gate: FAIL")
        view.page.locator(".nmcheck-verdict summary").press("Enter")
        expect(view.page.get_by_text(statements[0], exact=True)).to_be_visible()
        # Everything by keyboard from here on; Netron does not get what is typed.
        view.page.get_by_label("Threshold").press_sequentially("0.00126")
        view.shows("r0", shown_page.colors(kappa)["r0"], "k1 !")
        expect(view.node("r0", "> .node-border")).to_have_css("stroke", rgb(FAILED))
        view.shows("g1", shown_page.colors(kappa)["g1"], "k2")
        expect(view.page.locator(".nmcheck-beyond")).to_have_count(2)
        view.page.get_by_label("Scale").select_option("linear")
        expect(view.page.locator(".nmcheck-legend")).to_have_attribute("aria-label", re.compile("linear; low values"))
        view.shows("g2", DARKEST, "k6")
        row = view.page.locator(".nmcheck-worst button").nth(2)
        row.focus()
        row.press("Enter")
        expect(view.page.locator("#sidebar-content").get_by_text("k2", exact=True)).to_be_visible()
        view.sound()


def test_odd_names_are_names_and_nothing_else(browser, tmp_path):
    made = drawn_networks.chain(list(drawn_networks.ODD_NAMES))
    overlay = drawn_networks.overlay_on(made)
    with shown(browser, models.write(made, tmp_path, "it's <b>&amp; größe.onnx"), overlay) as view:
        view.open()
        view.state(f"ready:{len(drawn_networks.ODD_NAMES)}")
        for position, name in enumerate(drawn_networks.ODD_NAMES):
            expect(view.node(name, "> .nmc-badge > text")).to_have_text(f"k{position}")
            expect(view.page.locator(".nmcheck-worst button").nth(position).locator(".nmcheck-name")).to_have_text(name)
        expect(view.page.locator("#nmcheck-panel img, #nmcheck-panel b, #nmcheck-panel script")).to_have_count(0)
        view.sound()


def test_it_still_works_long_after_netrons_release(browser, tmp_path):
    made = models.residual()
    with shown(browser, models.write(made, tmp_path), drawn_networks.overlay_on(made)) as view:
        view.page.clock.set_fixed_time(dt.datetime.now() + dt.timedelta(days=200))
        view.open()
        view.state("ready:7")
        view.sound()


def test_an_overlay_of_another_model_says_so(browser, tmp_path):
    made = models.residual()
    other = drawn_networks.overlay_on(drawn_networks.chain(["one", "two"]))
    other = replace(other, layers=tuple(replace(layer, outputs=()) for layer in other.layers))
    with shown(browser, models.write(made, tmp_path), other) as view:
        view.open()
        view.state("error:0 of 2 layers found")
        expect(view.page.get_by_text("2 of the report's layers are not in this file")).to_be_visible()
        view.sound()


def test_weights_are_not_sent(browser, tmp_path):
    path = models.write(made := models.residual(), tmp_path)
    folder = tmp_path / "external"
    folder.mkdir()
    onnx.save(onnx.load(path), folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (folder / "m.data").unlink()
    with shown(browser, folder / "m.onnx", drawn_networks.overlay_on(made)) as view:
        view.open()
        view.state("ready:7")
        view.page.locator(".nmcheck-worst button").first.click()
        expect(view.page.locator("#sidebar-content").get_by_text("k0", exact=True)).to_be_visible()
        assert not [url for url in view.requests if "m.data" in url]
        view.sound()
