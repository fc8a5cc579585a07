import pytest

from nmcheck.reports.palette import NO_VALUE, VIRIDIS, color_index, luminance, text_on


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("color", [*VIRIDIS, NO_VALUE])
def test_text_can_be_read_on_every_color(color):
    assert contrast(color, text_on(color)) >= 4.5  # WCAG 2, level AA


def test_lightness_alone_tells_the_colors_apart():
    lights = [luminance(color) for color in VIRIDIS]
    assert lights == sorted(lights)
    assert contrast(VIRIDIS[0], VIRIDIS[-1]) > 10


def test_the_worst_value_gets_the_last_color_whichever_end_it_is():
    values = [0.001, 0.01, 1.0]
    assert [color_index(v, values, worst="low", logarithmic=True) for v in values] == [15, 10, 0]
    assert [color_index(v, values, worst="high", logarithmic=True) for v in values] == [0, 5, 15]
    assert [color_index(v, values, worst="high", logarithmic=False) for v in values] == [0, 0, 15]


def test_equal_values_get_the_middle():
    assert color_index(2.0, [2.0, 2.0], worst="low", logarithmic=False) == 8
