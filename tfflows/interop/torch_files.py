"""Reading weights from files of `torch.save`, without torch and without running any code that a file refers to."""

import functools
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from tfflows.interop import torch_pickles

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
# The entries of a checkpoint in which training code stores the weights, in the order of the search.
_ENTRIES = ("state_dict", "model", "params")
# The description of a model of a million layers is shorter; what is longer may unpack from a few bytes.
_LONGEST_DESCRIPTION = 2**28
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted or oddly compressed archives, deep nesting
    MemoryError,
)


def read_torch_file(
    path: str | os.PathLike, check_room: Callable[[str, Sequence[int]], None] = lambda name, shape: None
) -> dict[str, np.ndarray]:
    """Reads the state_dict in a file of `torch.save`, of torch >= 1.6 (a zip archive) or older.

    Args:
      path: Path of a file that holds a state_dict, or a dictionary with one as its `state_dict`, `model` or `params`.
      check_room: Called with the name and the shape of each tensor before any is read; may raise.

    Returns:
      Arrays by name (bfloat16 as `tf.bfloat16.as_numpy_dtype`); entries that are not tensors are left out.

    Raises:
      ValueError: If the file cannot be opened, is broken or of another kind, holds no state_dict, or refers to classes that are
        not read.
    """
    try:
        with open(path, "rb") as file:
            content, read = _read_archive(file) if file.read(2) == b"PK" else _read_legacy(file)
            tensors = _state_dict(content)
            for name, tensor in tensors.items():
                check_room(name, tensor.size)
            for key, total in {tensor.storage.key: tensor.storage.total for tensor in tensors.values()}.items():
                check_room(f"storage {key}", [total])
            return {name: _array(tensor, read) for name, tensor in tensors.items()}
    except _BROKEN as error:
        if "does not fit this model" in str(error):
            raise
        raise ValueError(
            f"{path!r} is not a readable state_dict of torch.save: {error}. Load it in the project that wrote it and give a "
            "file of torch.save(model.state_dict(), path)."
        ) from error


def _read_archive(file):
    """Returns the object in a file of torch >= 1.6 and a function from a storage's key to its bytes."""
    archive = zipfile.ZipFile(file)
    roots = [name.removesuffix("data.pkl") for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(roots) != 1:
        raise ValueError("the archive holds no data.pkl")
    if f"{roots[0]}byteorder" in archive.namelist() and archive.read(f"{roots[0]}byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")
    description = archive.getinfo(f"{roots[0]}data.pkl")
    if description.file_size > _LONGEST_DESCRIPTION:
        raise ValueError(f"its data.pkl has {description.file_size:,} bytes")
    content, _ = torch_pickles.load(io.BytesIO(archive.read(description)))

    @functools.cache
    def read(storage):
        entry = archive.getinfo(f"{roots[0]}data/{storage.key}")
        needed = storage.total * storage.dtype.itemsize
        if entry.file_size < needed:
            raise ValueError(f"storage {storage.key!r} has {entry.file_size} bytes in place of {needed}")
        with archive.open(entry) as numbers:
            return numbers.read(needed)

    return content, read


def _read_legacy(file):
    """Like `_read_archive`, for files of older torch: several pickles, then the numbers of each storage."""
    file.seek(0)
    stream = io.BytesIO(file.read())
    data = stream.getbuffer()
    header = [torch_pickles.load(stream)[0] for _ in range(2)]
    if header != [_MAGIC_NUMBER, _PROTOCOL_VERSION]:
        raise ValueError("it does not begin as files of torch.save do")
    torch_pickles.load(stream)  # the sizes of the writer's types
    content, storages = torch_pickles.load(stream)
    keys, _ = torch_pickles.load(stream)
    buffers = {}
    for key in keys:
        storage, total = storages[key], int.from_bytes(stream.read(8), "little")
        start = stream.tell()
        stop = start + total * storage.dtype.itemsize
        if total != storage.total or stop > len(data):
            raise ValueError(f"storage {key!r} is cut off or has {total} numbers in place of {storage.total}")
        buffers[key] = data[start:stop]
        stream.seek(stop)
    return content, lambda storage: buffers[storage.key]


def _state_dict(content):
    candidates = [content]
    if isinstance(content, dict):
        candidates = [*(content.get(entry) for entry in _ENTRIES), content]
    for candidate in candidates:
        if isinstance(candidate, dict):
            named = ((name, value) for name, value in candidate.items() if isinstance(name, str))
            tensors = {name: value for name, value in named if isinstance(value, torch_pickles.Tensor)}
            if tensors:
                return tensors
    entries = f" but {', '.join(map(repr, list(content)[:5]))}" if isinstance(content, dict) else ""
    raise ValueError(f"it holds no tensors by name{entries}, nor any below {', '.join(_ENTRIES)}")


def _array(tensor, read):
    storage, itemsize = tensor.storage, tensor.storage.dtype.itemsize
    buffer = read(storage)
    if 0 in tensor.size:
        return np.zeros(tensor.size, storage.dtype)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.strides, strict=True))
    if last >= storage.count:
        raise ValueError(f"a tensor reaches number {last} of a storage of {storage.count}")
    offset = (storage.first + tensor.offset) * itemsize
    strides = [stride * itemsize for stride in tensor.strides]
    return np.ndarray(tensor.size, storage.dtype, buffer, offset, strides).copy()
