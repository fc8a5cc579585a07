import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcheck.data import input_scale, parse_scale
from nmcheck.errors import ModelError, UsageError

NCHW = ((1, 3, 4, 5), 0)
NHWC = ((1, 4, 5, 3), 0)
NAMED = {"unit": (1.0, 0.0), "byte": (255.0, 0.0)}


@pytest.mark.parametrize("name", list(NAMED))
def test_named_scales(name):
    gain, offset = NAMED[name]
    assert parse_scale(name) == ((gain,), (offset,))


@given(st.floats(-10, 10), st.floats(0.01, 10), st.floats(0, 1))
def test_mean_and_std(mean, std, pixel):
    scale = input_scale(f"mean={mean}:std={std}", {}, (1, 1, 2, 2), 0)
    model = scale.gain * pixel + scale.offset
    assert np.allclose(model, (pixel - mean) / std, atol=1e-9)


@pytest.mark.parametrize(("shape", "axis"), [(NCHW, 1), (NHWC, 3)])
def test_channels_stand_along_the_channel_axis(shape, axis):
    scale = input_scale("mean=.1,.2,.3:std=.5", {}, *shape)
    assert scale.gain.shape[axis] == 3
    assert scale.gains == (2.0, 2.0, 2.0)
    pixels = np.ones(shape[0])
    model = np.moveaxis(scale.gain * pixels + scale.offset, axis, 0).reshape(3, -1)
    assert np.allclose(model, np.array([[1.8], [1.6], [1.4]]))


def test_one_value_has_the_rank_of_the_input():
    scale = input_scale("byte", {}, (784,), None)
    assert (scale.gain.shape, scale.gains, scale.name) == ((1,), (255.0,), "byte")


def test_where_it_came_from():
    stated = {"nmcheck.scale": "byte"}
    assert (input_scale("unit", stated, *NCHW).name, input_scale("unit", stated, *NCHW).source) == ("unit", "option")
    assert (input_scale(None, stated, *NCHW).name, input_scale(None, stated, *NCHW).source) == ("byte", "metadata")
    assert (input_scale(None, {}, *NCHW).name, input_scale(None, {}, *NCHW).source) == ("unit", "default")


@pytest.mark.parametrize(
    "text",
    [
        "", "units", "mean=1", "std=1", "mean=1:std=0", "mean=1:std=-1", "mean=1:std=nan", "mean=inf:std=1",
        "mean=:std=", "mean=a:std=1", "mean=1,2:std=1,2,3", "mean=1:std=1:std=2", "std=1:mean=1", "mean=1:std=1e-320",
        "mean=.1,.2:std=1",
    ],
)  # fmt: skip
def test_nonsense(text):
    with pytest.raises(UsageError):
        input_scale(text, {}, *NCHW)
    with pytest.raises(ModelError, match=r"metadata entry nmcheck.scale .* Pass --scale"):
        input_scale(None, {"nmcheck.scale": text}, *NCHW)


@pytest.mark.parametrize("shape", [((1, 1, 4, 5), 0), ((1, 60), 0)])
def test_channels_the_model_does_not_have(shape):
    with pytest.raises(UsageError, match=r"3 channels, but .* has 1; give one mean and one standard deviation$|has 1"):
        input_scale("mean=.1,.2,.3:std=.5", {}, *shape)
