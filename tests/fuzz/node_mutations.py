"""Damage to a model's nodes and how they hang together.

Each changes the message in place and says whether it found anything to change.
"""

from __future__ import annotations

import numpy as np
import onnx
from fuzz.tensor_mutations import LENGTHS, Mutation, pick
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
DOMAINS = (
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview.training",
    "com.microsoft",
    "local",
    "\x1b[31m",
)


def _values(model: ModelProto) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in node.output]
    return ["", "nothing", *(value.name for value in graph.input), *(t.name for t in graph.initializer), *made]


def dangling_input(model: ModelProto, random: np.random.Generator) -> bool:
    """A node reads another value: one of the graph, an empty name, or none that exists."""
    node = _node(model, random, reading=True)
    if node is None:
        return False
    node.input[int(random.integers(0, len(node.input)))] = pick(random, _values(model))
    return True


def cycle(model: ModelProto, random: np.random.Generator) -> bool:
    node = _node(model, random, reading=True)
    if node is None:
        return False
    later = [name for other in model.graph.node for name in other.output] or ["y"]
    node.input[int(random.integers(0, len(node.input)))] = pick(random, later)
    return True


def operand_count(model: ModelProto, random: np.random.Generator) -> bool:
    """An input or output more or less."""
    node = _node(model, random)
    if node is None:
        return False
    values = node.input if random.integers(0, 2) else node.output
    if values and random.integers(0, 2):
        del values[int(random.integers(0, len(values)))]
    else:
        values.extend([pick(random, _values(model))] * int(pick(random, (1, 2, 50))))
    return True


def names(model: ModelProto, random: np.random.Generator) -> bool:
    """Empty, repeated, very long or unprintable names."""
    name = pick(random, ("", "x", "y", "a" * 5000, "line\nbreak", "\x1b[2J\x07", "\u202eevil", "[bold]", "{0}%s", " "))
    graph = model.graph
    spots = [*graph.node, *graph.input, *graph.output, *graph.initializer]
    spot = pick(random, spots)
    if isinstance(spot, NodeProto) and spot.output and random.integers(0, 2):
        old = pick(random, spot.output)
        for node in graph.node:
            for values in (node.input, node.output):
                for position, value in enumerate(values):
                    if value == old:
                        values[position] = name
    else:
        spot.name = name
    return True


def duplicated_node(model: ModelProto, random: np.random.Generator) -> bool:
    node = _node(model, random)
    if node is None:
        return False
    again = model.graph.node.add()
    again.CopyFrom(node)
    if random.integers(0, 2):
        for position, value in enumerate(again.output):
            again.output[position] = f"{value}'"
    return True


def removed_node(model: ModelProto, random: np.random.Generator) -> bool:
    if not model.graph.node:
        return False
    del model.graph.node[int(random.integers(0, len(model.graph.node)))]
    return True


def shuffled_nodes(model: ModelProto, random: np.random.Generator) -> bool:
    """Not damage at all: the order of the nodes means nothing."""
    order = [model.graph.node[int(index)] for index in random.permutation(len(model.graph.node))]
    kept = [node.SerializeToString() for node in order]
    del model.graph.node[:]
    model.graph.node.extend(NodeProto.FromString(node) for node in kept)
    return True


def operator(model: ModelProto, random: np.random.Generator) -> bool:
    """Another operator, of ONNX or of nobody."""
    node = _node(model, random)
    if node is None:
        return False
    node.op_type = pick(random, ("", "Nonsense", "relu", pick(random, OPERATORS), pick(random, OPERATORS)))
    if random.integers(0, 2):
        del node.attribute[:]
    return True


def domain(model: ModelProto, random: np.random.Generator) -> bool:
    node = _node(model, random)
    if node is None:
        return False
    node.domain = pick(random, DOMAINS)
    if random.integers(0, 2):
        model.opset_import.add(domain=node.domain, version=int(pick(random, (1, 2, 17, 2**40))))
    return True


def attribute_value(model: ModelProto, random: np.random.Generator) -> bool:
    """Other numbers in an attribute, of the right type."""
    found = [(node, attribute) for node in model.graph.node for attribute in node.attribute]
    if not found:
        return False
    _, attribute = pick(random, found)
    if attribute.ints:
        change = int(random.integers(0, 4))
        if change == 0:
            attribute.ints.append(pick(random, LENGTHS))
        elif change == 1:
            del attribute.ints[0]
        else:
            attribute.ints[int(random.integers(0, len(attribute.ints)))] = pick(random, LENGTHS)
    elif attribute.type == AttributeProto.INT:
        attribute.i = pick(random, LENGTHS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = pick(random, (float("nan"), float("inf"), -1.0, 0.0, 3e38, 1e-45))
    elif attribute.type == AttributeProto.STRING:
        attribute.s = pick(random, (b"", b"SAME", b"\xff\xfe", b"VALID", b"linear", b"cubic", b"reflect", b"a" * 3000))
    else:
        return False
    return True


def attribute_kind(model: ModelProto, random: np.random.Generator) -> bool:
    """An attribute of the wrong type, under another name, twice, none or one too many."""
    node = _node(model, random)
    if node is None:
        return False
    change = int(random.integers(0, 5))
    if change == 0 or not node.attribute:
        names = (
            "axis",
            "axes",
            "kernel_shape",
            "strides",
            "pads",
            "group",
            "to",
            "value",
            "alpha",
            "mode",
            "dilations",
        )
        values = (
            pick(random, LENGTHS),
            [pick(random, LENGTHS)] * 2,
            1.5,
            "text",
            [0.5, 2.0],
            helper.make_tensor("t", 1, [1], [1.0]),
        )
        node.attribute.append(helper.make_attribute(pick(random, names), pick(random, values)))
        return True
    attribute = pick(random, node.attribute)
    if change == 1:
        attribute.type = pick(random, range(16))
    elif change == 2:
        attribute.name = pick(random, ("", "other", "axis", "\n"))
    elif change == 3:
        again = node.attribute.add()
        again.CopyFrom(attribute)
    else:
        node.attribute.remove(attribute)
    return True


def opset(model: ModelProto, random: np.random.Generator) -> bool:
    """Other operator sets, or another version of the format."""
    version = int(pick(random, (*range(30), -1, 2**31, 2**62)))
    change = int(random.integers(0, 5))
    if change == 0:
        del model.opset_import[:]
    elif change == 1:
        model.opset_import.add(domain=pick(random, DOMAINS), version=version)
    elif change == 2:
        model.ir_version = pick(random, (0, 1, 2, 3, 4, 7, 10, 13, 14, 99, -1, 2**40))
    elif model.opset_import:
        model.opset_import[0].version = version
    else:
        model.opset_import.add(version=version)
    return True


def inputs_and_outputs(model: ModelProto, random: np.random.Generator) -> bool:
    """An input or output of the graph more, less, or that is something else."""
    graph = model.graph
    change = int(random.integers(0, 6))
    if change == 0 and graph.input:
        del graph.input[int(random.integers(0, len(graph.input)))]
    elif change == 1:
        del graph.output[int(random.integers(0, len(graph.output))) :]
    elif change == 2:
        graph.input.append(helper.make_tensor_value_info(pick(random, _values(model)), TensorProto.FLOAT, [1, 2]))
    elif change == 3:
        graph.output.append(helper.make_tensor_value_info(pick(random, _values(model)), TensorProto.FLOAT, None))
    elif change == 4:
        graph.output[0].name = pick(random, _values(model))
    else:
        graph.input[0].name = pick(random, _values(model))
    return True


def metadata(model: ModelProto, random: np.random.Generator) -> bool:
    """What the file says about itself, nmcheck's own entry included."""
    scales = (
        "",
        "byte",
        "unit",
        "mean=nan:std=0",
        "mean=0:std=1,2,3,4,5",
        "mean=1e400:std=1",
        "x" * 3000,
        "mean=::std",
    )
    model.metadata_props.add(key=pick(random, ("nmcheck.scale", "", "other")), value=pick(random, scales))
    model.producer_name = pick(random, ("", "\x1b]0;title\x07", "a" * 4000, "tests"))
    return True


def _node(model: ModelProto, random: np.random.Generator, *, reading: bool = False) -> NodeProto | None:
    found = [node for node in model.graph.node if node.input or not reading]
    return pick(random, found) if found else None


NODE_MUTATIONS: dict[str, Mutation] = {
    "dangling input": dangling_input,
    "cycle": cycle,
    "operand count": operand_count,
    "names": names,
    "duplicated node": duplicated_node,
    "removed node": removed_node,
    "shuffled nodes": shuffled_nodes,
    "operator": operator,
    "domain": domain,
    "attribute value": attribute_value,
    "attribute kind": attribute_kind,
    "operator set": opset,
    "inputs and outputs": inputs_and_outputs,
    "metadata": metadata,
}
