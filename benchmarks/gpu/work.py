"""Arithmetic and memory traffic of the kernels that a traced function would launch on a GPU."""

import dataclasses
import math

import tensorflow as tf

from benchmarks.gpu.graphs import Operations
from benchmarks.gpu.kernels import is_on_host, launches

PRODUCTS = ("BatchMatMulV2", "Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "MatMul")
# Times that an update reads or writes what has the size of the gradient, besides the gradient: variables and slots.
_UPDATES = {
    "AssignAddVariableOp": 2,
    "ResourceApplyAdaMax": 6,
    "ResourceApplyAdam": 6,
    "ResourceApplyGradientDescent": 2,
}


@dataclasses.dataclass
class Work:
    """Sums over kernels.

    Attributes:
      kernels: Number of kernels.
      flops: Floating-point operations: 2 for each multiplication with its sum in products, else 1 for each number that a kernel
        takes or gives, whichever are more.
      bytes: Sizes of all tensors that the kernels take and give, as if each were read from memory and written to it.
    """

    kernels: int = 0
    flops: int = 0
    bytes: int = 0


def work_of(operations: Operations) -> dict[str, Work]:
    """Counts the work of convolutions and matrix products, and that of all other kernels.

    Raises:
      ValueError: If a shape is not known.

    Example:
      >>> import tensorflow as tf
      >>> from benchmarks.gpu.graphs import Operations
      >>> from benchmarks.gpu.work import work_of
      >>> function = tf.function(lambda a, b: 2 * tf.matmul(a, b)).get_concrete_function(tf.ones([5, 3]), tf.ones([3, 4]))
      >>> work_of(Operations(function))
      {'products': Work(kernels=1, flops=120, bytes=188), 'others': Work(kernels=1, flops=20, bytes=164)}
    """
    total = {"products": Work(), "others": Work()}
    for operation, times in operations:
        if launches(operation):
            work = total["products" if operation.type in PRODUCTS else "others"]
            work.kernels += times
            work.flops += times * _flops(operation)
            work.bytes += times * _bytes(operation)
    return total


def _flops(operation):
    kind, inputs, (output, *_) = operation.type, operation.inputs, [*operation.outputs, *operation.inputs]
    if kind == "Conv2D":
        return 2 * _size(output) * math.prod(inputs[1].shape[:3])
    if kind == "Conv2DBackpropInput":
        return 2 * _size(inputs[2]) * math.prod(inputs[1].shape[:3])
    if kind == "Conv2DBackpropFilter":
        return 2 * _size(inputs[2]) * math.prod(output.shape[:3])
    if kind in PRODUCTS:
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        return 2 * _size(output) * inputs[0].shape[-2 if transposed else -1]
    return max(map(_size, _on_device(operation)), default=0)


def _bytes(operation):
    moved = sum(_size(tensor) * tensor.dtype.size for tensor in _on_device(operation))
    if operation.type in _UPDATES:
        gradient = operation.inputs[-1]
        moved += _UPDATES[operation.type] * _size(gradient) * gradient.dtype.size
    return moved


def _on_device(operation):
    tensors = (*operation.inputs, *operation.outputs)
    return [tensor for tensor in tensors if tensor.dtype not in (tf.resource, tf.variant) and not is_on_host(tensor)]


def _size(tensor):
    size = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    if size is None:
        raise ValueError(f"The shape of {tensor.name}, from {tensor.op.type}, is not known: {tensor.shape}.")
    return size
