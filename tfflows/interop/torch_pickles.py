"""Reading the pickles of `torch.save` as plain records: nothing that they refer to is imported or run."""

import io
import operator
import pickle
import pickletools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

_STORAGES = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(tf.bfloat16.as_numpy_dtype),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}


class Storage(NamedTuple):
    """A sequence of numbers that tensors are views of.

    Attributes:
      key: Key of the numbers in the file.
      dtype: Numpy dtype.
      total: How many numbers the file has under this key.
      first: Index of the first of them that belongs to the storage.
      count: How many of them belong to the storage.
    """

    key: str
    dtype: np.dtype
    total: int
    first: int
    count: int


class Tensor(NamedTuple):
    """A view of a `Storage`.

    Attributes:
      storage: The storage.
      offset: Index of the first number of the view.
      size: Shape of the tensor.
      strides: Strides in numbers, not bytes.
    """

    storage: Storage
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


def load(stream: io.BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Reads the object that a pickle describes, with records in place of torch's objects.

    Args:
      stream: Stream at the start of the pickle; afterwards it is at the pickle's end.

    Returns:
      The object, its tensors as `Tensor`s, its dictionaries as `dict`s and other objects without their contents; and the
      `Storage`s by their keys.

    Raises:
      pickle.UnpicklingError: If the pickle is broken or refers to anything but tensors and plain values. Broken pickles may also
        raise any of the other errors of `pickle.Unpickler`.
    """
    _check_memo(stream)
    unpickler = _Unpickler(stream, encoding="latin1")  # for the names in files of Python 2
    return unpickler.load(), unpickler.storages


def _check_memo(stream):
    """Checks the memo indices: the unpickler makes room up to any that it reads, so a broken number could fill the memory."""
    start, size = stream.tell(), stream.getbuffer().nbytes
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "LONG_BINPUT") and argument > size:
            raise pickle.UnpicklingError(f"memo index {argument} in a pickle of {size} bytes")
    stream.seek(start)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream, **options):
        super().__init__(stream, **options)
        self.storages = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns the record that stands for a name, and refuses all others."""
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is not run; only tensors and plain values are read"
            ) from None

    def persistent_load(self, identifier: tuple) -> Storage:
        """Returns the `Storage` that a persistent identifier describes."""
        _, kind, key, _, total, *view = identifier
        if kind not in _STORAGES or not isinstance(key, str):
            raise pickle.UnpicklingError(f"unknown storage {identifier!r}")
        # Files of torch before 0.4 may name a part of a storage.
        _, first, count = view[0] if view and view[0] else (None, 0, total)
        total, first, count = _natural([total, first, count])
        if first + count > total:
            raise pickle.UnpicklingError(
                f"storage {key!r} has {total} numbers, not those from {first} to {first + count}"
            )
        storage = Storage(key, _STORAGES[kind], total, first, count)
        if self.storages.setdefault(key, storage)[:3] != storage[:3]:
            raise pickle.UnpicklingError(f"storage {key!r} is described in two ways")
        return storage


def _natural(values):
    values = tuple(operator.index(value) for value in values)
    if any(value < 0 for value in values):
        raise pickle.UnpicklingError(f"expected natural numbers, got {values}")
    return values


class _Inert:
    """Placeholder for an object whose contents do not matter here.

    All allowed names stand for subclasses of it, because its `__setstate__` keeps a pickle from setting attributes.
    """

    __slots__ = ()

    def __new__(cls, *arguments):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


class _Dictionary(_Inert, dict):
    def __init__(self, *arguments):
        # Files of Python 2 give a list of pairs.
        super().__init__(*(argument for argument in arguments if isinstance(argument, list)))


class _RebuildTensor(_Inert):
    def __new__(cls, storage, offset, size, strides, requires_grad=False, hooks=None, metadata=None):
        if not isinstance(storage, Storage) or len(size) != len(strides):
            raise pickle.UnpicklingError("a tensor without storage or with strides that do not fit its size")
        if metadata:  # torch would conjugate or negate the numbers
            raise pickle.UnpicklingError(f"a tensor with metadata {metadata!r}")
        return Tensor(storage, *_natural([offset]), _natural(size), _natural(strides))


class _RebuildParameter(_Inert):
    def __new__(cls, tensor, *arguments):
        return tensor


_ALLOWED = {
    "collections.OrderedDict": _Dictionary,
    "collections.defaultdict": _Dictionary,
    "torch._utils._rebuild_tensor": _RebuildTensor,
    "torch._utils._rebuild_tensor_v2": _RebuildTensor,
    "torch._utils._rebuild_parameter": _RebuildParameter,
    "torch._utils._rebuild_parameter_with_state": _RebuildParameter,
    **{name: name for name in _STORAGES},
    # What training checkpoints contain beside the weights.
    "torch.Size": _Inert,
    "torch.device": _Inert,
    **{
        f"torch.{name}": _Inert
        for name in ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool")
    },
    "argparse.Namespace": _Inert,
    "numpy.core.multiarray.scalar": _Inert,
    "numpy._core.multiarray.scalar": _Inert,
    "numpy.core.multiarray._reconstruct": _Inert,
    "numpy._core.multiarray._reconstruct": _Inert,
    "numpy.ndarray": _Inert,
    "numpy.dtype": _Inert,
    "_codecs.encode": _Inert,
    "__builtin__.list": _Inert,
    "__builtin__.dict": _Inert,
    "__builtin__.int": _Inert,
    "__builtin__.float": _Inert,
    "builtins.list": _Inert,
    "builtins.dict": _Inert,
    "builtins.int": _Inert,
    "builtins.float": _Inert,
}
