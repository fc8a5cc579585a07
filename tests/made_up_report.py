"""A made-up report of realistic size: ten classes, two noise levels, two engines, an LRN and a BatchNormalization."""

import random
from dataclasses import replace
from typing import Any

from nmcheck.results import (
    AccuracyPoint,
    AttackEntry,
    BoundsEntry,
    ClassChanges,
    ClassFlipEstimate,
    ClassFlips,
    ClassMoments,
    ConfusionRow,
    ConsistencyEntry,
    CutError,
    DataEntry,
    EstimatedFlips,
    FlipEntry,
    FloorEntry,
    ImageFlipEstimate,
    ImageFlips,
    IteratedStep,
    LayerAttack,
    LayerBounds,
    LayerGain,
    LevelError,
    LinearizedNode,
    ModelEntry,
    MomentEntry,
    NoiseEntry,
    NoiseGain,
    NormalizationEntry,
    OverallMoments,
    PropagationEntry,
    RadiusEntry,
    ReferenceEntry,
    Report,
    SampleBounds,
    SampledFlips,
    ToolEntry,
)

NO_COVARIANCE = "the published formulas give no covariance between logits"
NO_ATTACK = "no attack was run"
NOT_AN_ESTIMATE = "a formula shown for comparison"


ACCURACY = (
    AccuracyPoint(epsilon=0.1, certified=0.5, attacked=0.97),
    AccuracyPoint(epsilon=0.5, certified=0.0, attacked=0.31),
)


def propagation_entry() -> PropagationEntry:
    """Random directions through a network with one layer that has no rule."""
    return PropagationEntry(
        directions=512,
        random=True,
        samples=128,
        mean_correction_sd=0.012,
        variance_error=0.0123,
        direction_error_sd=0.0123,
        linearized=(LinearizedNode(node="node_LRN_7", what="a local response normalization"),),
        gains=(LayerGain(node="node_relu_15", gain=3.21),),
    )


def confusion(sigma: float, classes: int, seed: str) -> tuple[ConfusionRow, ...]:
    """Rows of probabilities that sum to 1, with a few classes never seen."""
    draw = random.Random(f"{sigma}{classes}{seed}")
    rows = []
    for number in range(classes):
        to = {str(other): 0.01 * sigma * draw.random() for other in range(0, classes, 2) if other != number}
        rows.append(ConfusionRow(class_=number, images=10, to={**to, str(number): 1.0 - sum(to.values())}))
    return tuple(rows)


def estimated_flips(sigma: float, classes: int = 10) -> EstimatedFlips:
    """What an engine says of 10 images a class."""
    rows = confusion(sigma, classes, "estimated")
    flips = {row.class_: sum(share for to, share in row.to.items() if to != str(row.class_)) for row in rows}
    return EstimatedFlips(
        per_class=tuple(ClassFlipEstimate(class_=c, images=10, analytic=flip) for c, flip in flips.items()),
        per_image=tuple(
            ImageFlipEstimate(index=17 * position, analytic=flips[position % classes])
            for position in range(10 * classes)
        ),
        confusion=rows,
    )


def sampled_flips(sigma: float, classes: int = 10) -> SampledFlips:
    """What the reference says of them."""
    rows = confusion(sigma, classes, "sampled")
    return SampledFlips(
        sigma_pixel=sigma,
        confidence=0.95,
        trials=500,
        per_class=tuple(
            ClassFlips(class_=row.class_, images=10, trials=5000, sampled=0.0004, low=0.00005, high=0.00144)
            for row in rows
        ),
        per_image=tuple(
            ImageFlips(
                index=17 * position,
                label=position % classes,
                predicted=position % classes,
                sampled=0.0,
                low=0.0,
                high=0.00735,
            )
            for position in range(10 * classes)
        ),
        confusion=rows,
    )


def moment_entry(sigma: float, engine: str, classes: int = 10) -> MomentEntry:
    """One engine at one noise level; numbers of the size measured on LeNet."""
    draw = random.Random(f"{sigma}{engine}")
    published = engine.startswith("published")
    baseline = published or engine == "diagonal"

    def measures() -> dict[str, Any]:
        return {
            "mean_er": 1.28 * sigma * draw.uniform(0.5, 2),
            "mean_er_se": 0.05 * sigma * draw.uniform(0.5, 2),
            "var_er": (0.81 if published else 0.0635) * draw.uniform(0.8, 1.2),
            "var_er_se": 0.0031 * draw.uniform(0.5, 2),
            "mean_bias_sd": 0.628 * draw.uniform(0.5, 1.5),
            "var_ratio": 0.42 if published else draw.uniform(0.92, 1.01),
        }

    return MomentEntry(
        sigma_pixel=sigma,
        sigma_model=(sigma,),
        engine=engine,
        baseline=NOT_AN_ESTIMATE if baseline else None,
        cut=None if engine in ("propagate", "diagonal") else "node_relu",
        cut_kind=None if engine in ("propagate", "diagonal") else "cut",
        linearizer=None if engine in ("propagate", "diagonal") else "taylor",
        propagation=propagation_entry() if engine == "propagate" else None,
        reference=ReferenceEntry(
            method="control-variate",
            n=1000,
            pilot=500,
            execution="onnxruntime 1.31.1",
            floor=FloorEntry(mean_er=0.00212, var_er=0.0211),
        ),
        per_class=tuple(
            ClassMoments(
                class_=number,
                images=100,
                **measures(),
                mean_z=draw.gauss(0, 12),
                var_z=-143.2 if published else draw.gauss(0, 2),
            )
            for number in range(classes)
        ),
        overall=OverallMoments(
            **measures(),
            flip=FlipEntry(
                analytic=None if baseline else 0.00031,
                analytic_reason=NO_COVARIANCE if baseline else None,
                sampled=0.00042,
                low=0.00026,
                high=0.00064,
                confidence=0.95,
                trials=50_000,
            ),
        ),
        flips=None if baseline else estimated_flips(sigma, classes),
        flips_reason=NO_COVARIANCE if baseline else None,
        seconds_per_input=0.0371,
        forward_passes_per_input=612.3,
    )


def cut_errors(sigmas: tuple[float, ...] = (0.05, 0.1)) -> tuple[CutError, ...]:
    """Three ReLUs that ``--cut best`` compared, one of them too large."""
    large = "node_relu has 802,816 units, so the matrix A takes 900 GiB in float64, more than the 2 GiB allowed"
    measured: tuple[tuple[str, int, float | None], ...] = (
        ("node_relu", 802_816, None),
        ("node_relu_1", 1568, 0.794),
        ("node_relu_2", 256, 0.79),
    )
    return tuple(
        CutError(
            node=node,
            kind="cut",
            units=units,
            within_budget=error is not None,
            chosen=node == "node_relu_2",
            error=error,
            error_reason=large if error is None else None,
            levels=tuple(
                LevelError(
                    sigma_pixel=sigma,
                    error=None if error is None else error + sigma / 10,
                    error_reason=large if error is None else None,
                )
                for sigma in sigmas
            ),
            images=8,
            draws=32,
        )
        for node, units, error in measured
    )


def layer(
    node: str, op: str, lipschitz: float, to_logits: float, published: float | None, *, sound: bool
) -> LayerBounds:
    """One layer."""
    return LayerBounds(
        node=node,
        index=int(node.rpartition("_")[2]) if node.rpartition("_")[2].isdigit() else 0,
        outputs=(node.removeprefix("node_"),),
        op=op,
        lipschitz=lipschitz,
        lipschitz_method="FFT of the kernel on a torus" if op == "Conv" else "singular values",
        lipschitz_to_logits=to_logits,
        kappa_published=published,
        kappa_published_reason=None if published is not None else "the thesis has no formula for this operator",
        kappa_certified=2.31 / to_logits,
        published_sound=sound,
        published_statement=(
            "Theorem 5.1 drops the cross terms of a square, so with overlapping windows it is not a bound."
            if op == "Conv"
            else "Theorem 3.6 is right."
            if sound
            else "Theorem 5.9 takes the largest of bounds of which only one need hold."
        ),
    )


def bounds_entry() -> BoundsEntry:
    """L2 without a box, with two methods."""
    return BoundsEntry(
        norm="l2",
        box=None,
        samples=100,
        certificate=(
            "Lower bounds for real arithmetic on the stored weights, in float64, less 1e-6 for rounding; "
            "the deployed kernel's own float32 rounding is not covered."
        ),
        layers=(
            layer("node_conv2d_1", "Conv", 2.8113, 66.57, 2.7e-5, sound=False),
            layer("node_max_pool2d_2", "MaxPool", 1.0, 23.68, 0.00051, sound=True),
            layer("node_LRN_7", "LRN", 1.9151, 23.68, 41.2, sound=False),
            layer("node_conv2d_8", "Conv", 3.402, 12.365, 0.0022, sound=False),
            layer("node_linear_14", "Gemm", 2.113, 3.6345, 0.61, sound=True),
            layer("node_relu_15", "Relu", 1.0, 1.7201, None, sound=False),
            layer("node_linear_16", "Gemm", 1.7201, 1.7201, 1.31, sound=True),
        ),
        radius={
            "published": RadiusEntry(
                mean=2.7e-5, median=2.6e-5, p5=1.1e-5, images=99, certified=False,
                theorem="Peck 2017, Algorithm 5.1", seconds_per_sample=8.1e-4,
            ),
            "lipschitz": RadiusEntry(
                mean=0.034712, median=0.03361, p5=0.009812, images=99, certified=True,
                theorem="product of the layers' Lipschitz constants, per pair of classes", seconds_per_sample=1.2e-4,
            ),
        },
        attack={},
        per_sample=tuple(
            SampleBounds(
                index=17 * position,
                label=position % 10,
                predicted=position % 10,
                correct=True,
                lower=0.03 + position * 1e-4,
                lower_method="lipschitz",
                upper=None,
                upper_reason=NO_ATTACK,
                upper_method=None,
            )
            for position in range(100)
        ),
    )  # fmt: skip


def normalization_entries() -> tuple[NormalizationEntry, ...]:
    """One LRN found as a pattern and one BatchNormalization."""
    return (
        NormalizationEntry(
            node="node_LRN_7",
            index=7,
            outputs=("div",),
            kind="LRN",
            recognized_from="pattern",
            lipschitz=1.9151,
            kappa_in=0.0976,
            kappa_out=0.1868,
            noise_gain=(
                NoiseGain(sigma_pixel=0.05, gain=0.4213, gain_se=0.0123, draws=32),
                NoiseGain(sigma_pixel=0.1, gain=0.4388, gain_se=0.0131, draws=32),
            ),
            removal="identity",
            radius_with=0.034712,
            radius_without=0.06612,
            accuracy_without=0.41,
        ),
        NormalizationEntry(
            node="node_batch_norm_3",
            index=3,
            outputs=("bn",),
            kind="BatchNormalization",
            recognized_from="op",
            lipschitz=4.031,
            kappa_in=0.0976,
            kappa_out=0.3933,
            noise_gain=(
                NoiseGain(sigma_pixel=0.05, gain=3.021, gain_se=0.012, draws=32),
                NoiseGain(
                    sigma_pixel=0.1,
                    gain=None,
                    gain_reason="the noise at the layer's input is zero",
                    gain_se=None,
                    gain_se_reason="there is no gain",
                    draws=32,
                ),
            ),
            removal="folded",
            radius_with=0.034712,
            radius_without=0.034712,
            accuracy_without=0.99,
        ),
    )


def report(
    sigmas: tuple[float, ...] = (0.05, 0.1), engines: tuple[str, ...] = ("two-stage", "published-theorem2")
) -> Report:
    """The whole report."""
    return Report(
        tool=ToolEntry(version="0.1.0"),
        seed=0,
        model=ModelEntry(
            path="sample_models/lenet_lrn1.onnx",
            fingerprint="3ba302235efdc3e7e4e84db9ce6a6d6cbc9dd1162d4e79dd0b6a606afc745423",
            opset=20,
            producer="pytorch 2.13.0",
            input_shape=(1, 1, 28, 28),
            classes=10,
        ),
        data=DataEntry(
            name="mnist",
            samples=100,
            available=10_000,
            selection="100 of 10,000 images, drawn with seed 0, each class in proportion to its size",
            sha256="8985578f4972fd4b4a3173d09a479484926160a0e517a344600fcf92b458db43",
            scale="unit",
            scale_source="metadata",
            labels="given",
            accuracy=0.99,
        ),
        consistency=ConsistencyEntry(
            images=100, max_difference=4.1e-7, precision="single", tolerance=1e-4, runtime="onnxruntime 1.31.1",
            provider="CPUExecutionProvider", device="cpu",
        ),
        noise=NoiseEntry(kind="isotropic", description="independent, of one strength everywhere", directions=784),
        moments=tuple(moment_entry(sigma, engine) for sigma in sigmas for engine in engines),
        cut_errors=cut_errors(sigmas),
        flips=tuple(sampled_flips(sigma) for sigma in sigmas),
        bounds=(bounds_entry(),),
        normalization=normalization_entries(),
        warnings=("Another common scale, byte, scores within 1 %; check --scale.",),
        notes=("A trailing Softmax was left out: it changes no class.",),
        seconds=41.3,
    )  # fmt: skip


def attack_entry() -> AttackEntry:
    """An attack that succeeded on all images."""
    changes = (
        ClassChanges(class_=3, images=12, to={"5": 8, "8": 4}),
        ClassChanges(class_=4, images=3, to={"9": 2}),
        ClassChanges(class_=7, images=1, to={}),
    )
    return AttackEntry(mean=1.23, median=1.19, success_rate=1.0, seconds_per_sample=0.015, class_changes=changes)


def attacked_entry() -> BoundsEntry:
    """L2 in the box [0, 1], with two attacks, one of which fails for one image, and the iterative perturbation."""
    entry = bounds_entry()
    found = [
        replace(sample, upper=1.1 + 0.01 * row, upper_reason=None, upper_method="ddn" if row % 5 else "fgs")
        for row, sample in enumerate(entry.per_sample)
    ]
    found[7] = replace(found[7], upper=None, upper_reason="none of the attacks run succeeded", upper_method=None)
    failed = AttackEntry(
        mean=None,
        mean_reason="it succeeded on none",
        median=None,
        median_reason="it succeeded on none",
        success_rate=0.0,
        seconds_per_sample=0.002,
    )
    steps = (
        IteratedStep(step=1, images=98, mean_norm=2.71, back=0.0),
        IteratedStep(step=2, images=96, mean_norm=0.045, back=1.0),
        IteratedStep(
            step=3, images=0, mean_norm=None, mean_norm_reason="none was found", back=None, back_reason="none was found"
        ),
    )
    layers = tuple(
        LayerAttack(
            node=row.node,
            images=97,
            kappa_attacked=1.9 + place,
            kappa_certified=row.kappa_certified,
            certified_above=0,
            kappa_published=row.kappa_published,
            kappa_published_reason=row.kappa_published_reason,
            published_above=31 if row.op == "LRN" else 0,
        )
        for place, row in enumerate(entry.layers)
    )
    attacks = {"fgs": replace(attack_entry(), mean=2.81, success_rate=0.98), "ddn": attack_entry(), "fgv": failed}
    return replace(
        entry, box=(0.0, 1.0), attack=attacks, per_sample=tuple(found), accuracy=ACCURACY, iterated=steps,
        layer_attacks=layers,
    )  # fmt: skip
