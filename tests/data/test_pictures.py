import numpy as np
import pytest

from nmcheck.data.layout import to_model_layout, to_stored_layout
from nmcheck.data.pictures import picture, triples
from nmcheck.data.vnnlib import instances, robustness_property


@pytest.mark.parametrize(
    ("stored", "model", "axis"),
    [((6, 5), (1, 1, 6, 5), 0), ((6, 5, 3), (1, 3, 6, 5), 0), ((3, 6, 5), (1, 6, 5, 3), 0), ((6, 5, 3), (90,), None),
     ((6, 5), (1, 30), 0), ((30,), (1, 1, 6, 5), 0)],
)  # fmt: skip
def test_layouts_are_undone(stored, model, axis):
    images = np.random.default_rng(0).random((4, *stored))
    there = to_model_layout(images, model, axis)
    np.testing.assert_array_equal(to_stored_layout(there, stored, model, axis), images)


def test_pictures_show_grey_and_colour_images_and_nothing_else():
    grey = picture(np.array([[0.0, 1.0], [0.5, 2.0]]))
    assert grey is not None
    assert grey[..., 0].tolist() == [[0, 255], [128, 255]]
    assert (grey == grey[..., :1]).all()
    colours = np.random.default_rng(0).random((4, 5, 3))
    first, last = picture(np.moveaxis(colours, 2, 0)), picture(colours)
    assert first is not None
    assert last is not None
    assert (first == last).all()
    assert picture(np.zeros(7)) is None


def test_the_grid_shows_original_change_and_result():
    before = np.full((6, 3, 3), 0.2)
    after = before.copy()
    after[:, 1, 1] += 0.1
    after[:, 0, 0] -= 0.05
    grid = triples(before, after)
    assert grid is not None
    assert grid.shape == (2 * 3 + 2, 4 * 9 + 3 * 2, 3)
    tile = grid[:3, :9, 0]
    assert (tile[:, :3] == 51).all()
    # The largest element of the change is white, half of it the other way a quarter grey, none of it grey.
    assert tile[1, 4] == 255
    assert tile[0, 3] == 64
    assert tile[2, 5] == 128
    assert tile[1, 7] == round((0.2 + 0.1) * 255)
    assert triples(before[:0], after[:0]) is None


def test_numbers_of_a_question_have_no_exponent_and_read_back_exactly():
    values = np.array([1e-9, -1 / 3, 1e22, -0.0, 123456.789])
    text = robustness_property(values, values, 2, 1)
    lines = [line for line in text.splitlines() if ">= X_" in line]
    found = [float("".join(line.replace("(", " ").replace(")", " ").split()[3:])) for line in lines]
    assert found == values.tolist()
    assert "e" not in "".join(line.split("X_")[1] for line in lines)


def test_the_list_of_questions_is_plain_csv():
    assert instances([("a.onnx", "b, c.vnnlib", 5)]) == 'a.onnx,"b, c.vnnlib",5\n'
