"""Made-up bounds of a network with an LRN, with and without attacks."""

from dataclasses import replace

from nmcheck.results import (
    AccuracyPoint,
    AttackEntry,
    BoundsEntry,
    ClassChanges,
    IteratedStep,
    LayerAttack,
    LayerBounds,
    RadiusEntry,
    SampleBounds,
)

NO_ATTACK = "no attack was run"
ACCURACY = (
    AccuracyPoint(epsilon=0.1, certified=0.5, attacked=0.97),
    AccuracyPoint(epsilon=0.5, certified=0.0, attacked=0.31),
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
