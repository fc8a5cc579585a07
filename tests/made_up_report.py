"""A made-up report of realistic size: ten classes, two noise levels, two engines, an LRN and a BatchNormalization."""

from made_up_bounds import bounds_entry
from made_up_flips import sampled_flips
from made_up_moments import cut_errors, moment_entry

from nmcheck.results import (
    ConsistencyEntry,
    DataEntry,
    GraphNode,
    ModelEntry,
    NoiseEntry,
    NoiseGain,
    NormalizationEntry,
    Report,
    ToolEntry,
)


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


def graph_nodes() -> tuple[GraphNode, ...]:
    """The layers of the bounds in a row."""
    entries, value = [], "image"
    for entry in bounds_entry().layers:
        pattern = ("node_pow", "node_div") if entry.op == "LRN" else ()
        entries.append(
            GraphNode(node=entry.node, index=entry.index, op=entry.op, inputs=(value,), outputs=entry.outputs,
                      shape=(1, 10), members=pattern)
        )  # fmt: skip
        value = entry.outputs[0]
    return tuple(entries)


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
        graph=graph_nodes(),
        warnings=("Another common scale, byte, scores within 1 %; check --scale.",),
        notes=("A trailing Softmax was left out: it changes no class.",),
        seconds=41.3,
    )  # fmt: skip
