"""What a traced function would do on a GPU, as far as TensorFlow's registered kernels tell without one.

TensorFlow's wheel for Linux is built with CUDA, and registers its kernels for GPUs also where there is no GPU. What its graph
optimizer would fold or fuse on a GPU is counted as it stands in the graph.
"""

import collections
import dataclasses
import functools
from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

from benchmarks.gpu.graphs import BRANCHES, CALLS, LOOPS, Operations, graph_of

# Operations that launch no kernel of their own: they name, read or shape what is there, or run other functions.
LAUNCH_NOTHING = {
    *CALLS,
    *LOOPS,
    *BRANCHES,
    "AssignVariableOp",
    "Bitcast",
    "Const",
    "EnsureShape",
    "ExpandDims",
    "Identity",
    "IdentityN",
    "NoOp",
    "Placeholder",
    "PlaceholderWithDefault",
    "PreventGradient",
    "ReadVariableOp",
    "Reshape",
    "Squeeze",
    "StopGradient",
    "VarHandleOp",
}
# Decompositions are done only when the device has told the host that they succeeded.
WAIT_FOR_DEVICE = {"LogMatrixDeterminant", "MatrixDeterminant", "MatrixInverse", "MatrixSolve"}


@dataclasses.dataclass
class GpuReport:
    """What the operations of a function would do on a GPU, each counted as often as it runs.

    Attributes:
      kernels: Operations that launch a kernel on the device, by type.
      without_kernel: Operations that have no kernel for their types on a GPU, by type and dtype: those run on the CPU.
      on_host: Operations whose kernel for GPUs computes in the host's memory, by type and dtype; shapes, mostly.
      float64: Kernels on the device that take or give float64, by type.
      to_host: Tensors that an operation takes in the host's memory and another gives in the device's, `producer -> consumer`:
        the host waits for each of them.
      waits: Operations on the device that are done only when the host has heard from it, by type.
    """

    kernels: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    without_kernel: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    on_host: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    float64: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    to_host: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    waits: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def num_kernels(self) -> int:
        """How many kernels are launched."""
        return self.kernels.total()

    @property
    def num_synchronizations(self) -> int:
        """How often the host waits for the device."""
        return self.to_host.total() + self.waits.total()


def report_of(operations: Operations) -> GpuReport:
    """Counts what operations would do on a GPU.

    Example:
      >>> import tensorflow as tf
      >>> from benchmarks.gpu.graphs import Operations
      >>> from benchmarks.gpu.kernels import report_of
      >>> function = tf.function(lambda x: tf.linalg.qr(2 * x).r)
      >>> report = report_of(Operations(function.get_concrete_function(tf.eye(3))))
      >>> print(dict(report.kernels), dict(report.to_host))  # TensorFlow computes a QR decomposition on the host
      {'Mul': 1} {'Mul -> Qr': 1}
    """
    report = GpuReport()
    for operation, times in operations:
        kind, placed = operation.type, placement(operation)
        for tensor, on_host in zip(operation.inputs, placed.host_inputs, strict=True):
            if on_host and tensor.dtype not in (tf.resource, tf.variant) and not is_on_host(tensor):
                report.to_host[f"{tensor.op.type} -> {kind}"] += times
        if kind in LOOPS:
            (goes_on,) = graph_of(operation, "cond").outputs
            while goes_on.op.type == "Identity":  # TensorFlow's graph optimizer takes them out
                (goes_on,) = goes_on.op.inputs
            if not is_on_host(goes_on):
                report.to_host[f"{goes_on.op.type} -> {kind}"] += times * operations.trip_count
        if not placed.has_kernel:
            report.without_kernel[_with_dtype(operation)] += times
        elif launches(operation):
            report.kernels[kind] += times
            report.waits[kind] += times * (kind in WAIT_FOR_DEVICE)
            report.float64[kind] += times * (
                tf.float64 in [tensor.dtype for tensor in (*operation.inputs, *operation.outputs)]
            )
        elif kind not in LAUNCH_NOTHING:
            report.on_host[_with_dtype(operation)] += times
    for field in dataclasses.fields(report):
        setattr(report, field.name, +getattr(report, field.name))
    return report


class Placement(NamedTuple):
    """Where TensorFlow would run an operation, and which of its inputs and outputs would lie in the host's memory.

    Attributes:
      has_kernel: Whether it has a kernel for GPUs.
      host_inputs: One truth value an input.
      host_outputs: One an output.
    """

    has_kernel: bool
    host_inputs: list[bool]
    host_outputs: list[bool]


@functools.cache
def placement(operation: tf.Operation) -> Placement:
    """Looks an operation's kernel up."""
    outputs = operation.outputs
    if operation.type == "Placeholder" or operation.type in (*CALLS, *LOOPS):  # what functions take and give
        return Placement(True, [False] * len(operation.inputs), [tensor.dtype == tf.int32 for tensor in outputs])
    node = operation.node_def
    definition = op_def_registry.get(operation.type)
    kernel = _kernel(node, definition)
    if kernel is None:
        return Placement(False, [True] * len(operation.inputs), [True] * len(outputs))
    in_host_memory = set(kernel.host_memory_arg)

    def flags(arguments):
        return [argument.name in in_host_memory for argument in arguments for _ in range(_length(node, argument))]

    return Placement(True, flags(definition.input_arg), flags(definition.output_arg))


def is_on_host(tensor: tf.Tensor) -> bool:
    """Tells whether a tensor would lie in the host's memory."""
    return placement(tensor.op).host_outputs[tensor.value_index]


def launches(operation: tf.Operation) -> bool:
    """Tells whether an operation would launch a kernel on the device."""
    placed = placement(operation)
    computes_on_host = bool(operation.outputs) and all(placed.host_outputs)
    return placed.has_kernel and operation.type not in LAUNCH_NOTHING and not computes_on_host


def _length(node, argument):
    """Number of tensors of an argument."""
    if argument.number_attr:
        return node.attr[argument.number_attr].i
    return len(node.attr[argument.type_list_attr].list.type) if argument.type_list_attr else 1


def _kernel(node, definition):
    defaults = {attribute.name: attribute.default_value for attribute in definition.attr}

    def fits(kernel):
        for constraint in kernel.constraint:
            value = node.attr[constraint.name] if constraint.name in node.attr else defaults[constraint.name]
            if not set(value.list.type or [value.type]) <= set(constraint.allowed_values.list.type):
                return False
        return True

    return next(filter(fits, _kernels_on_devices(node.op)), None)


@functools.cache
def _kernels_on_devices(kind):
    """The kernels of an operation for GPUs, before those for any device."""
    registered = kernels.get_registered_kernels_for_op(kind).kernel
    return [kernel for device in ("GPU", "DEFAULT") for kernel in registered if kernel.device_type == device]


def _with_dtype(operation):
    tensors = [*operation.outputs, *operation.inputs]
    return f"{operation.type} {tensors[0].dtype.base_dtype.name}" if tensors else operation.type
