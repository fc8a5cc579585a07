"""Named data sets, readers of common formats, and the way from their pixels to a model's input."""

from nmcheck.data.dataset import Dataset, check_labels
from nmcheck.data.digest import digest
from nmcheck.data.layout import channel_axis, to_model_layout, to_stored_layout
from nmcheck.data.noise import InputNoise, parse_noise, read_noise
from nmcheck.data.read import read_data
from nmcheck.data.scale import InputScale, input_scale, parse_scale
from nmcheck.data.selection import describe_selection, select

__all__ = [
    "Dataset",
    "InputNoise",
    "InputScale",
    "channel_axis",
    "check_labels",
    "describe_selection",
    "digest",
    "input_scale",
    "parse_noise",
    "parse_scale",
    "read_data",
    "read_noise",
    "select",
    "to_model_layout",
    "to_stored_layout",
]
