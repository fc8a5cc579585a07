import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import nmcheck_netron
from nmcheck.cli.viewers import GROUP, load_viewer
from nmcheck.errors import UsageError
from nmcheck.reports.palette import VIRIDIS
from nmcheck_netron.colors import color_rules
from nmcheck_netron.web_files import NetronFiles

PAGE = '<meta name="version" content="9"><script src="index.js"></script>'


def test_pages_made_otherwise_are_refused_with_the_way_out(tmp_path):
    files = NetronFiles(tmp_path)
    with pytest.raises(UsageError, match="nmcheck annotate"):
        files.check()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "grapher.css").write_text(".node path {}")
    files.check()
    (tmp_path / "index.html").write_text(PAGE.replace("index.js", "bundle.js"))
    with pytest.raises(UsageError, match="version nmcheck cannot draw with"):
        files.check()


@pytest.mark.usefixtures("netron")
def test_the_installed_netron_fits():
    assert "/view.js" in NetronFiles.installed().paths
    assert not [address for address in NetronFiles.installed().paths if address.endswith(".py")]


def test_colors_are_literal_because_netrons_export_knows_nothing_else():
    rules = color_rules()
    assert "var(" not in rules
    assert "!important" not in rules
    assert "@media" not in rules
    assert set(re.findall(r"\.nmc-(\d+) > \.node-item-type > path \{ fill: (#\w+)", rules)) == {
        (str(index), color) for index, color in enumerate(VIRIDIS)
    }


def test_script_and_palette_agree_on_the_rounding():
    script = (Path(nmcheck_netron.__file__).parent / "static" / "scale.js").read_text()
    assert "* (this.colors - 1) + 0.5)" in script


def test_scripts_never_make_markup_of_text():
    for path in (Path(nmcheck_netron.__file__).parent / "static").glob("*.js"):
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|__view__", text), path.name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
        assert "https://" not in text, path.name


@pytest.fixture
def registered():
    """The entry point of the project file."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert any(requirement.startswith("netron") for requirement in project["optional-dependencies"]["view"])
    return EntryPoint("netron", project["entry-points"][GROUP]["netron"], GROUP)


@pytest.mark.usefixtures("netron")
def test_the_project_registers_it(registered):
    assert callable(load_viewer("netron", [registered]))


def test_without_netron_it_does_not_even_load(registered, monkeypatch):
    """So nobody waits for an analysis that could not be shown."""
    monkeypatch.setitem(sys.modules, "netron", None)
    monkeypatch.delitem(sys.modules, registered.module, raising=False)
    with pytest.raises(UsageError, match=re.escape("pip install 'nmcheck[view]'")):
        load_viewer("netron", [registered])
