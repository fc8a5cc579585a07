"""Damage to what a model says about its tensors: shapes, types, values, and where they are stored.

Each changes the message in place and says whether it found anything to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

Mutation = Callable[[ModelProto, np.random.Generator], bool]

LENGTHS = (
    0,
    -1,
    1,
    2,
    3,
    7,
    2**12,
    2**20,
    2**24,
    2**27,
    2**31 - 1,
    2**31,
    2**32 + 1,
    2**62,
    2**63 - 1,
    -(2**31),
    -(2**63),
)
"""What a length or an index may be told to be."""


def pick(random: np.random.Generator, values: Iterable[Any]) -> Any:
    """One of several; the caller has made sure that there is one."""
    listed = list(values)
    return listed[int(random.integers(0, len(listed)))]


def tensors(model: ModelProto) -> list[TensorProto]:
    """Initializers and the values of Constant nodes."""
    inside = [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    return [*model.graph.initializer, *inside]


def _declared(model: ModelProto, random: np.random.Generator, values: Iterable[ValueInfoProto]) -> bool:
    chosen = list(values)
    if not chosen:
        return False
    tensor = pick(random, chosen).type.tensor_type
    dims = tensor.shape.dim
    change = int(random.integers(0, 6))
    if change == 0 and len(dims) > 1:
        first, second = (int(axis) for axis in random.permutation(len(dims))[:2])
        one, two = dims[first].SerializeToString(), dims[second].SerializeToString()
        dims[first].ParseFromString(two)
        dims[second].ParseFromString(one)
    elif change == 1 and dims:
        del dims[int(random.integers(0, len(dims)))]
    elif change == 2:
        dims.add(dim_value=pick(random, LENGTHS))
    elif change == 3 and dims:
        pick(random, dims).dim_param = pick(random, ("", "N", "height"))
    elif change == 4:
        tensor.ClearField("shape")
    elif dims:
        pick(random, dims).dim_value = pick(random, LENGTHS)
    else:
        tensor.shape.dim.add(dim_value=pick(random, LENGTHS))
    return True


def input_shape(model: ModelProto, random: np.random.Generator) -> bool:
    return _declared(model, random, model.graph.input)


def output_shape(model: ModelProto, random: np.random.Generator) -> bool:
    return _declared(model, random, [*model.graph.output, *model.graph.value_info])


def weight_dims(model: ModelProto, random: np.random.Generator) -> bool:
    """Dimensions that no longer fit the data."""
    found = [tensor for tensor in tensors(model) if tensor.dims]
    if not found:
        return False
    dims = pick(random, found).dims
    for _ in range(int(random.integers(1, 3))):
        dims[int(random.integers(0, len(dims)))] = pick(random, LENGTHS)
    return True


def weight_shape(model: ModelProto, random: np.random.Generator) -> bool:
    """Another shape that does fit the data."""
    found = [tensor for tensor in tensors(model) if tensor.dims]
    if not found:
        return False
    dims = pick(random, found).dims
    changed = [
        list(dims)[::-1],
        [*dims, 1],
        [1, *dims],
        [int(np.prod(list(dims)))],
        [0, *dims],
        [int(d) for d in random.permutation(dims)],
    ]
    new = pick(random, changed)
    del dims[:]
    dims.extend(new)
    return True


def no_data_but_huge_dims(model: ModelProto, random: np.random.Generator) -> bool:
    """Weights without any bytes, said to be large."""
    if not model.graph.initializer:
        return False
    tensor = pick(random, model.graph.initializer)
    for name in ("raw_data", "float_data", "int64_data", "int32_data"):
        tensor.ClearField(name)
    new = [pick(random, LENGTHS) for _ in range(len(tensor.dims))] + [pick(random, (0, 1))]
    del tensor.dims[:]
    tensor.dims.extend(new)
    return True


def integer_constants(model: ModelProto, random: np.random.Generator) -> bool:
    """Other numbers in what is a shape, an axis, a padding or a size."""
    found = [t for t in tensors(model) if t.data_type in (TensorProto.INT64, TensorProto.INT32) and _is_filled(t)]
    if not found:
        return False
    tensor = pick(random, found)
    try:
        array = numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError):
        return False
    value = pick(random, LENGTHS)
    bounds = np.iinfo(array.dtype)
    array.reshape(-1)[int(random.integers(0, array.size))] = min(max(value, bounds.min), bounds.max)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def special_values(model: ModelProto, random: np.random.Generator) -> bool:
    """NaN, infinities and the ends of the range among the weights."""
    found = [tensor for tensor in tensors(model) if tensor.data_type == TensorProto.FLOAT and _is_filled(tensor)]
    if not found:
        return False
    tensor = pick(random, found)
    try:
        array = numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError):
        return False
    chosen = random.random(array.shape) < pick(random, (0.01, 0.5, 1.0))
    chosen.reshape(-1)[:1] = True
    array[chosen] = pick(random, (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -1.0))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def data_types(model: ModelProto, random: np.random.Generator) -> bool:
    """Another element type of a weight, an input or an output."""
    kind = int(random.integers(-1, 30))
    values = [*model.graph.input, *model.graph.output]
    chosen = pick(random, [*tensors(model), *values])
    if isinstance(chosen, TensorProto):
        chosen.data_type = kind
    elif random.integers(0, 4):
        chosen.type.tensor_type.elem_type = kind
    else:
        chosen.type.sequence_type.elem_type.tensor_type.elem_type = 1
    return True


def cast_weights(model: ModelProto, random: np.random.Generator) -> bool:
    """A weight of another type, its data converted with it."""
    if not model.graph.initializer:
        return False
    tensor = pick(random, model.graph.initializer)
    if not _is_filled(tensor):
        return False
    kind = pick(random, (np.float64, np.float16, np.int64, np.int8, np.bool_, np.uint8, np.complex64, np.str_))
    try:
        array = numpy_helper.to_array(tensor)
        with np.errstate(all="ignore"):
            new = numpy_helper.from_array(array.astype(object) if kind is np.str_ else array.astype(kind), tensor.name)
    except (ValueError, TypeError, NotImplementedError, AttributeError):
        return False
    tensor.CopyFrom(new)
    return True


def external_data(model: ModelProto, random: np.random.Generator) -> bool:
    """Weights said to be stored nowhere, outside the folder, or far behind the end of a file."""
    if not model.graph.initializer:
        return False
    tensor = pick(random, tensors(model) if random.integers(0, 2) else model.graph.initializer)
    if random.integers(0, 4):
        tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    places = (
        "",
        ".",
        "..",
        "nowhere.bin",
        "../../etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        "weights.bin",
        "a\0b",
        "~",
        "*",
    )
    tensor.external_data.add(key="location", value=pick(random, places))
    for key in ("offset", "length"):
        if random.integers(0, 2):
            numbers = ("0", "4", "-1", str(2**31), str(2**40), str(2**62), str(2**70), "many", "", "1e3", "nan")
            tensor.external_data.add(key=key, value=pick(random, numbers))
    if random.integers(0, 3) == 0 and tensor.dims:
        tensor.dims[0] = pick(random, LENGTHS)
    return True


def sparse_weights(model: ModelProto, random: np.random.Generator) -> bool:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("at", TensorProto.INT64, [1], [pick(random, LENGTHS)]))
    sparse.dims.extend([pick(random, LENGTHS), pick(random, LENGTHS)])
    return True


def _is_filled(tensor: TensorProto) -> bool:
    """Whether there are values in the file, not too many."""
    return tensor.data_location != TensorProto.EXTERNAL and 0 < int(np.prod([float(d) for d in tensor.dims])) < 2**22


TENSOR_MUTATIONS: dict[str, Mutation] = {
    "input shape": input_shape,
    "output shape": output_shape,
    "weight dims": weight_dims,
    "weight shape": weight_shape,
    "huge dims without data": no_data_but_huge_dims,
    "integer constants": integer_constants,
    "special values": special_values,
    "data types": data_types,
    "cast weights": cast_weights,
    "external data": external_data,
    "sparse weights": sparse_weights,
}
