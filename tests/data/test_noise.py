"""--noise: every form, in every layout, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from nmcheck.data import InputNoise, parse_noise, read_noise, to_model_layout
from nmcheck.errors import DataError, UsageError

LAYOUTS = {
    "grey": ((5, 6), (1, 1, 5, 6), 0),
    "grey-channel-last": ((5, 6, 1), (1, 5, 6, 1), 0),
    "grey-flat": ((5, 6), (1, 30), 0),
    "vectors-as-images": ((30,), (1, 1, 5, 6), 0),
    "nchw": ((3, 5, 6), (1, 3, 5, 6), 0),
    "nhwc-to-nchw": ((5, 6, 3), (1, 3, 5, 6), 0),
    "nchw-to-nhwc": ((3, 5, 6), (5, 6, 3), None),
    "nhwc-to-flat": ((5, 6, 3), (90,), None),
}
ALL = pytest.mark.parametrize("name", LAYOUTS)


def noise(text: str, name: str = "grey") -> InputNoise:
    return read_noise(parse_noise(text), *LAYOUTS[name])


def saved(folder: Path, array: np.ndarray, **more: np.ndarray) -> Path:
    path = folder / ("noise.npz" if more else "noise.npy")
    np.savez(path, scale=array, allow_pickle=False, **more) if more else np.save(path, array, allow_pickle=False)
    return path


def numbered(name: str) -> tuple[np.ndarray, np.ndarray]:
    """An image whose pixels are their own numbers plus 1, and where the model's input has each."""
    image, shape, axis = LAYOUTS[name]
    numbers = np.arange(1.0, 1 + np.prod(image)).reshape(image)
    return numbers, to_model_layout(numbers[None], shape, axis).reshape(-1)


@ALL
def test_a_window_is_where_the_pixels_are(name: str) -> None:
    numbers, moved = numbered(name)
    pixels = numbers.reshape(5, 6) if numbers.ndim == 1 else numbers
    channels_first = pixels.ndim == 3 and pixels.shape[0] == 3
    inside = (pixels[:, 1:4, 2:3] if channels_first else pixels[1:4, 2:3]).ravel()
    found = noise("window:1:4:2:3", name)
    assert found.scale is not None
    assert found.factor is None
    assert sorted(moved[found.scale == 1]) == sorted(inside)
    assert set(found.scale) == {0.0, 1.0}
    assert found.directions == len(inside)
    assert f"{len(inside)} of {pixels.size} values" in found.description


@ALL
def test_deviations_stand_at_their_pixels(name: str, tmp_path: Path) -> None:
    numbers, moved = numbered(name)
    found = noise(f"diagonal:{saved(tmp_path, numbers)}", name)
    assert found.scale is not None
    assert (found.scale == moved).all()
    # Of the input's own shape they are taken as they are.
    _, shape, axis = LAYOUTS[name]
    own = moved.reshape([length for position, length in enumerate(shape) if position != axis])
    found = noise(f"diagonal:{saved(tmp_path, own)}", name)
    assert found.scale is not None
    assert (found.scale == moved).all()
    assert found.directions == len(moved)


@ALL
def test_rows_of_a_factor_stand_at_their_pixels(name: str, tmp_path: Path) -> None:
    numbers, moved = numbered(name)
    found = noise(f"factor:{saved(tmp_path, np.stack([numbers, -2 * numbers]))}", name)
    assert found.factor is not None
    assert (found.factor == np.stack([moved, -2 * moved])).all()
    assert (found.scale, found.directions) == (None, 2)
    assert "2 directions" in found.description


@ALL
def test_flat_rows_are_taken_where_they_can_be_meant_in_one_order_only(name: str, tmp_path: Path) -> None:
    numbers, moved = numbered(name)
    path = saved(tmp_path, numbers.reshape(1, -1))
    _, shape, axis = LAYOUTS[name]
    flat_model = len(shape) - (axis is not None) == 1
    if (numbers.ravel() != moved).any() and not flat_model:
        with pytest.raises(DataError, match=r"needs a row of shape"):
            noise(f"factor:{path}", name)
    else:
        factor = noise(f"factor:{path}", name).factor
        assert factor is not None
        assert (factor == numbers.reshape(1, -1)).all()


def test_isotropic_is_no_structure() -> None:
    found = noise("isotropic")
    assert (found.kind, found.directions, found.scale, found.factor) == ("isotropic", 30, None, None)


def test_archives_hold_one_array_or_name_it(tmp_path: Path) -> None:
    scale = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)
    named = noise(f"diagonal:{saved(tmp_path, scale, other=np.ones(3))}").scale
    assert named is not None
    assert named == pytest.approx(scale.ravel())
    np.savez(tmp_path / "one.npz", mask=scale > 0.5)
    alone = noise(f"diagonal:{tmp_path / 'one.npz'}").scale
    assert alone is not None
    assert (alone == (scale.ravel() > 0.5)).all()
    np.savez(tmp_path / "two.npz", a=scale, b=scale)
    with pytest.raises(DataError, match=r"two.npz has the arrays a, b; save one, called scale"):
        noise(f"diagonal:{tmp_path / 'two.npz'}")


def test_a_path_may_have_colons(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    assert noise(f"diagonal:{saved(folder, np.ones((5, 6)))}").kind == "diagonal"


@pytest.mark.parametrize(
    "text",
    [
        "", "gaussian", "isotropic:", "isotropic:3", "window", "window:", "window:1:2:3", "window:1:2:3:4:5",
        "window:-1:2:0:1", "window:a:2:0:1", "window:1.5:2:0:1", "window:²:3:0:1", "diagonal:", "factor:",
        "diagonal", "Isotropic",
    ],
)  # fmt: skip
def test_nonsense(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--noise .*(choose from|try window)"):
        parse_noise(text)


@pytest.mark.parametrize("text", ["window:3:3:0:1", "window:0:1:5:2"])
def test_empty_windows(text: str) -> None:
    with pytest.raises(UsageError, match="the window is empty"):
        parse_noise(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("window:0:6:0:1", r"the images have 5 rows, so rows 0:6 reach beyond them"),
        ("window:0:1:6:7", r"the images have 6 columns, so columns 6:7 reach beyond them"),
    ],
)
def test_windows_beyond_the_image(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        noise(text)


@pytest.mark.parametrize("layout", [((30,), (1, 30), 0), ((7, 5, 6), (1, 7, 5, 6), 0)])
def test_windows_need_rows_and_columns(layout: tuple[tuple[int, ...], tuple[int, ...], int]) -> None:
    with pytest.raises(UsageError, match=r"have no rows and columns; give .* diagonal:FILE.npz"):
        read_noise(parse_noise("window:0:1:0:1"), *layout)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((6, 5)), r"shape \(6, 5\), but the images need \(5, 6\)"),
        (np.ones(29), r"shape \(29,\)"),
        (np.float64(1), r"shape \(\)"),
        (-np.eye(5, 6), r"least relative standard deviation is -1; none can be negative"),
        (np.zeros((5, 6)), r"all relative standard deviations are 0"),
        (np.full((5, 6), np.nan), r"infinite or NaN"),
        (np.full((5, 6), np.inf), r"infinite or NaN"),
        (np.ones((5, 6), complex), r"complex128; give real numbers"),
        (np.full((5, 6), "a"), r"give real numbers"),
        (np.ones((0, 6)), r"no numbers in it"),
    ],
)
def test_files_no_deviations_can_be_read_from(array: np.ndarray, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, array)
    with pytest.raises(DataError, match=rf"noise.npy: .*{message}"):
        noise(f"diagonal:{path}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 6, 5)), r"shape \(2, 6, 5\), but it needs a row of shape \(5, 6\)"),
        (np.ones(30), r"shape \(30,\)"),
        (np.zeros((3, 30)), r"the factor is 0 everywhere"),
        (np.full((1, 30), -np.inf), r"infinite or NaN"),
    ],
)
def test_files_no_factor_can_be_read_from(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        noise(f"factor:{saved(tmp_path, array)}")


def test_damaged_missing_and_pickled_files(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"\x93NUMPY\x01\x00rest")
    with pytest.raises(DataError, match=r"bad.npy: the header of the array is damaged"):
        noise(f"diagonal:{bad}")
    with pytest.raises(DataError, match=r"nowhere.npy: there is no such file"):
        noise(f"factor:{tmp_path / 'nowhere.npy'}")
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match=r"objects.npy: the array holds Python objects"):
        noise(f"diagonal:{tmp_path / 'objects.npy'}")
    np.savez(tmp_path / "whole.npz", scale=np.ones((5, 6)))
    cut = tmp_path / "cut.npz"
    cut.write_bytes((tmp_path / "whole.npz").read_bytes()[:150])
    with pytest.raises(DataError, match=r"cut.npz cannot be read"):
        noise(f"diagonal:{cut}")
