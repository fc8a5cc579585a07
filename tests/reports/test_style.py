"""Colors of a page can be told from what is behind them, on light and dark screens and on paper (WCAG 2.1, AA)."""

import re
from importlib.resources import files

import pytest

STYLE = (files("nmcheck.reports.html") / "style.css").read_text()
SCHEMES = dict(zip(("light", "dark", "paper"), re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL), strict=True))
TEXT = ("ink", "quiet", "pass", "fail", "inconclusive", "waived")
GRAPHICS = ("one", "two", "three")


def luminance(rgb: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def color(text: str) -> tuple[float, ...]:
    digits = text if len(text) == 6 else "".join(digit * 2 for digit in text)
    return tuple(int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
def test_contrast(scheme):
    colors = {name: color(value) for name, value in re.findall(r"--(\w+): #(\w+)", SCHEMES[scheme])}
    for behind in ("page", "card"):
        assert min(contrast(colors[name], colors[behind]) for name in TEXT) >= 4.5
        assert min(contrast(colors[name], colors[behind]) for name in GRAPHICS) >= 3
    found = re.search(r"--heat: (\d+), (\d+), (\d+)", SCHEMES[scheme])
    assert found is not None
    # The darkest cell of a confusion matrix lets half of what is behind it through.
    heat = [int(value) / 255 for value in found.groups()]
    cell = tuple(0.5 * one + 0.5 * back for one, back in zip(heat, colors["page"], strict=True))
    assert contrast(colors["ink"], cell) >= 4.5
