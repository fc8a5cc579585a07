"""Graphs within graphs gone wrong, and small files that ask for a lot of work or memory.

Each changes the message in place and says whether it found anything to change.
"""

from __future__ import annotations

import numpy as np
from fuzz.tensor_mutations import Mutation, pick
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper


def nested_if(model: ModelProto, random: np.random.Generator) -> bool:
    """A node moves into a branch of an If; or several Ifs deep; or the If is incomplete or its condition live."""
    found = [position for position, node in enumerate(model.graph.node) if node.output and node.op_type != "If"]
    if not found:
        return False
    node = model.graph.node[pick(random, found)]
    inside = NodeProto()
    inside.CopyFrom(node)
    model.graph.initializer.append(numpy_helper.from_array(np.array(bool(random.integers(0, 2))), "condition"))
    outputs = list(node.output)
    for _ in range(int(pick(random, (1, 1, 2, 5, 12, 25)))):
        branches = {name: _graph([inside], outputs) for name in ("then_branch", "else_branch")}
        damage = int(random.integers(0, 12))
        if damage == 0:
            del branches["else_branch"]
        elif damage == 1:
            del branches["then_branch"].output[:]
        elif damage == 2:
            branches["then_branch"].node.add().CopyFrom(inside)
        elif damage == 3:
            branches["else_branch"].input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, None))
        elif damage == 4:
            branches["then_branch"].output[0].name = "nothing"
        condition = "condition" if damage != 5 else pick(random, ("", "x", "nothing", outputs[0]))
        # Only the branch that is taken holds the rest, or the file would double with every level.
        other = pick(random, sorted(branches))
        inside = helper.make_node("If", [condition], outputs, name=pick(random, ("", "same")))
        inside.attribute.extend(helper.make_attribute(name, branch) for name, branch in branches.items())
        for attribute in inside.attribute:
            if attribute.name != other and len(branches) == 2:
                del attribute.g.node[:]
                attribute.g.node.add(op_type="Identity", input=["condition"], output=outputs[:1])
    node.CopyFrom(inside)
    return True


def _graph(nodes: list[NodeProto], outputs: list[str]) -> GraphProto:
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(nodes, "branch", [], declared)


def control_flow(model: ModelProto, random: np.random.Generator) -> bool:
    """A Loop or Scan over constants, to be folded, that runs for a very long time or never ends."""
    trips = int(pick(random, (0, 1, 10, 10**6, 2**62)))
    model.graph.initializer.append(numpy_helper.from_array(np.array(trips, dtype=np.int64), "trips"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1), dtype=np.float32), "state"))
    step = pick(random, ("Identity", "Concat"))
    new = helper.make_node(step, ["s"] if step == "Identity" else ["s", "s"], ["s'"])
    if step == "Concat":
        new.attribute.append(helper.make_attribute("axis", 0))
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c'"]), new],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c'", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s'", TensorProto.FLOAT, None),
        ],
    )
    node = helper.make_node("Loop", ["trips", "go", "state"], ["looped"], body=body)
    model.graph.node.insert(0, node)
    return _used(model, "looped", random)


def functions(model: ModelProto, random: np.random.Generator) -> bool:
    """A node becomes a call of a function: one of itself, of one twice as long, and so on, or of none."""
    found = [node for node in model.graph.node if node.output and node.input]
    if not found:
        return False
    node = pick(random, found)
    kind = int(random.integers(0, 6))
    inside = NodeProto()
    inside.CopyFrom(node)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    made = [helper.make_function("f", "F0", list(inside.input), list(inside.output), [inside], imports)]
    if kind == 0:
        made[0].node[0].op_type, made[0].node[0].domain = "F0", "f"
    elif kind == 1:
        # Each function calls the one before it twice: 2^40 nodes when expanded.
        made = [helper.make_function("f", "F0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], imports)]
        for level in range(1, int(pick(random, (3, 12, 25, 40)))):
            calls = [
                helper.make_node(f"F{level - 1}", [value], [result], domain="f")
                for value, result in (("a", "m"), ("m", "b"))
            ]
            made.append(helper.make_function("f", f"F{level}", ["a"], ["b"], calls, imports))
        del node.input[1:], node.output[1:]
    elif kind == 2:
        del made[0].opset_import[:]
    elif kind == 3:
        made[0].node.add().CopyFrom(made[0].node[0])
    elif kind == 4:
        made[0].input.append("missing")
        made[0].attribute.append("also")
        made[0].node[0].attribute.add(name="axis", ref_attr_name="also", type=2)
    else:
        made.append(made[0])
    model.functions.extend(made)
    node.op_type, node.domain = made[-1].name, "f"
    if kind != 0 or random.integers(0, 2):
        model.opset_import.add(domain="f", version=1)
    if random.integers(0, 2):
        del node.attribute[:]
    return True


def growth(model: ModelProto, random: np.random.Generator) -> bool:
    """Constants or live values that double with every node, or are large by themselves and many."""
    kind, count = int(random.integers(0, 4)), int(pick(random, (3, 8, 27, 40)))
    graph = model.graph
    last = "seed"
    nodes = []
    if kind == 0 and graph.input:
        last = graph.input[0].name
    else:
        shape = np.array([int(pick(random, (1, 2**20, 2**24, 2**26, 2**27)))], dtype=np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, "length"))
        nodes.append(helper.make_node("ConstantOfShape", ["length"], [last]))
    if kind == 3:
        # Large by themselves, and all alive until the last.
        parts = []
        for index in range(count):
            nodes.append(helper.make_node("ConstantOfShape", ["length"], [f"part{index}"]))
            parts.append(f"part{index}")
        nodes.append(helper.make_node("Sum", parts, ["total"]))
        last = "total"
    else:
        for index in range(count):
            nodes.append(helper.make_node("Concat", [last, last], [f"grown{index}"], axis=0 if kind else -1))
            last = f"grown{index}"
    for node in reversed(nodes):
        graph.node.insert(0, node)
    return _used(model, last, random)


def many_nodes(model: ModelProto, random: np.random.Generator) -> bool:
    """A long chain of nodes in front of the model, in whatever order.

    Not longer: bounds take time with the square of the number of layers, about 10 s for 800.
    """
    graph = model.graph
    if not graph.input:
        return False
    count, constant = int(pick(random, (20, 100, 300))), bool(random.integers(0, 2))
    source = graph.input[0].name
    if constant:
        source = "start"
        graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), source))
    values = [source, *(f"link{index}" for index in range(count))]
    op = pick(random, ("Identity", "Relu", "Neg"))
    chain = [helper.make_node(op, [values[index]], [values[index + 1]]) for index in range(count)]
    order = int(random.integers(0, 3))
    if order == 1:
        chain.reverse()
    elif order == 2:
        chain = [chain[int(index)] for index in random.permutation(count)]
    graph.node.extend(chain)
    return _used(model, values[-1], random)


def wide_layers(model: ModelProto, random: np.random.Generator) -> bool:
    """Layers that make large values of small ones: paddings, resizings, repetitions, one-hot codes."""
    if not model.graph.input:
        return False
    source, rank = model.graph.input[0].name, max(1, len(model.graph.input[0].type.tensor_type.shape.dim))
    big = int(pick(random, (2**10, 2**16, 2**20, 2**24, 2**26, 2**31, 2**40)))
    ones = np.ones(rank, dtype=np.int64)
    ones[-1] = big
    kind = int(random.integers(0, 6))
    add = model.graph.initializer.append
    if kind == 0:
        add(numpy_helper.from_array(np.concatenate([0 * ones, ones]), "wide"))
        node = helper.make_node("Pad", [source, "wide"], ["widened"])
    elif kind == 1:
        add(numpy_helper.from_array(ones.astype(np.float32), "wide"))
        node = helper.make_node("Resize", [source, "", "wide"], ["widened"], mode="nearest")
    elif kind == 2:
        add(numpy_helper.from_array(ones, "wide"))
        node = helper.make_node("Tile", [source, "wide"], ["widened"])
    elif kind == 3:
        add(numpy_helper.from_array(np.zeros(min(big, 2**20), dtype=np.int64), "wide"))
        node = helper.make_node("Gather", [source, "wide"], ["widened"], axis=int(pick(random, (0, -1))))
    elif kind == 4:
        add(numpy_helper.from_array(np.ones((1, 1, 1, 1), dtype=np.float32), "wide"))
        node = helper.make_node("ConvTranspose", [source, "wide"], ["widened"], strides=[1, big])
    else:
        add(numpy_helper.from_array(np.array(big, dtype=np.int64), "wide"))
        add(numpy_helper.from_array(np.array([0, 1], dtype=np.float32), "off_on"))
        add(numpy_helper.from_array(np.zeros((3,), dtype=np.int64), "indices"))
        node = helper.make_node("OneHot", ["indices", "wide", "off_on"], ["widened"])
    model.graph.node.insert(0, node)
    return _used(model, "widened", random)


def outer_product(model: ModelProto, random: np.random.Generator) -> bool:
    """Broadcasting two vectors, or multiplying two thin matrices, makes one large matrix."""
    length = int(pick(random, (2**8, 2**12, 2**13, 2**15, 2**17, 2**20)))
    row = np.zeros((1, length), dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(row, "row"))
    model.graph.initializer.append(numpy_helper.from_array(row.T.copy(), "column"))
    op = pick(random, ("MatMul", "Add", "Gemm", "Max", "Where", "Less", "Einsum"))
    if op == "Where":
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "which"))
        node = helper.make_node("Where", ["which", "column", "row"], ["outer"])
    elif op == "Einsum":
        node = helper.make_node("Einsum", ["column", "row"], ["outer"], equation="ab,bc->ac")
    else:
        node = helper.make_node(op, ["column", "row"], ["outer"])
    model.graph.node.insert(0, node)
    return _used(model, "outer", random)


def _used(model: ModelProto, value: str, random: np.random.Generator) -> bool:
    """Make the output depend on a value: its sum is added to the output, or an operand is replaced by it."""
    if random.integers(0, 2):
        readers = [node for node in model.graph.node if node.input and value not in node.output]
        if not readers:
            return False
        reader = pick(random, readers)
        reader.input[int(random.integers(0, len(reader.input)))] = value
        return True
    if not model.graph.output:
        return False
    output = model.graph.output[0]
    model.graph.node.append(helper.make_node("ReduceMean", [value], ["mean of it"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", [output.name, "mean of it"], ["with it"]))
    output.name = "with it"
    return True


NESTING_MUTATIONS: dict[str, Mutation] = {
    "nested If": nested_if,
    "Loop": control_flow,
    "functions": functions,
    "growing values": growth,
    "many nodes": many_nodes,
    "wide layers": wide_layers,
    "outer product": outer_product,
}
