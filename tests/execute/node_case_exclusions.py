"""ONNX's node-test cases of operators in the table that nmcheck does not pass, and why."""

from __future__ import annotations

from collections.abc import Mapping

TRAINING = "training mode: the output is random or depends on the other samples"
WHOLE = "its second output is a position, a whole number that nothing in a classifier may depend on"
TEXT = "text does not depend on a sample of real numbers"
SEQUENCE = "sequences and optional values are not tensors"
CUBIC = "of Resize's modes the issue asks for nearest, and linear is there beside it; cubic weights are negative"
ANTIALIAS = "antialiasing widens the filter with the scale; of Resize's modes the issue asks for nearest"
CROP = "it crops by a region of interest; of Resize's modes the issue asks for nearest"
FRACTION = (
    "linear, with corners aligned and a scale that gives no whole length: the case takes the fractional length where "
    "onnxruntime takes the output's own, and nmcheck, measured by onnxruntime, does as that"
)

REASONS = frozenset({TRAINING, WHOLE, TEXT, SEQUENCE, CUBIC, ANTIALIAS, CROP, FRACTION})

EXCLUSIONS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "test_batchnorm_example_training_mode",
            "test_batchnorm_epsilon_training_mode",
            "test_training_dropout",
            "test_training_dropout_default",
            "test_training_dropout_default_mask",
            "test_training_dropout_mask",
        ),
        TRAINING,
    ),
    **dict.fromkeys(
        ("test_maxpool_with_argmax_2d_precomputed_pads", "test_maxpool_with_argmax_2d_precomputed_strides"), WHOLE
    ),
    **dict.fromkeys(("test_equal_string", "test_equal_string_broadcast"), TEXT),
    **dict.fromkeys(("test_identity_sequence", "test_identity_opt"), SEQUENCE),
    **dict.fromkeys(
        (
            "test_resize_downsample_scales_cubic",
            "test_resize_downsample_scales_cubic_A_n0p5_exclude_outside",
            "test_resize_downsample_scales_cubic_align_corners",
            "test_resize_downsample_scales_cubic_antialias",
            "test_resize_downsample_sizes_cubic",
            "test_resize_downsample_sizes_cubic_antialias",
            "test_resize_upsample_scales_cubic",
            "test_resize_upsample_scales_cubic_A_n0p5_exclude_outside",
            "test_resize_upsample_scales_cubic_align_corners",
            "test_resize_upsample_scales_cubic_asymmetric",
            "test_resize_upsample_sizes_cubic",
        ),
        CUBIC,
    ),
    **dict.fromkeys(
        ("test_resize_downsample_scales_linear_antialias", "test_resize_downsample_sizes_linear_antialias"), ANTIALIAS
    ),
    **dict.fromkeys(
        (
            "test_resize_tf_crop_and_resize",
            "test_resize_tf_crop_and_resize_axes_2_3",
            "test_resize_tf_crop_and_resize_axes_3_2",
            "test_resize_tf_crop_and_resize_extrapolation_value",
        ),
        CROP,
    ),
    "test_resize_downsample_scales_linear_align_corners": FRACTION,
}
"""Why a case does not pass, by its name."""

DIFFERENT = frozenset({"test_resize_downsample_scales_linear_align_corners"})
"""Excluded cases that nmcheck executes otherwise than the case says; all others are refused."""
