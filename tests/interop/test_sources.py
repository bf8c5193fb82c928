"""Files of PyTorch projects, written here by hand as torch writes them, and the prefixes of .npz files."""

import argparse
import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import as_strided
from safetensors.numpy import save_file

from tfflows.interop.sources import read_source

BFLOAT16 = tf.bfloat16.as_numpy_dtype
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def _stand_in(module, name):
    return type(name, (), {"__module__": module})


CLASSES = {name: _stand_in("torch", name) for name in [*STORAGES, "device", "Size"]}
REBUILD = {
    name: _stand_in("torch._utils", name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
}
MODULE = _stand_in("torch.nn.modules.conv", "Conv2d")


def _torch_modules():
    """What pickle looks at to write the names of torch."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils", "torch.nn.modules.conv")}
    modules["torch"].__dict__.update(CLASSES)
    modules["torch._utils"].__dict__.update(REBUILD)
    modules["torch.nn.modules.conv"].Conv2d = MODULE
    return modules


class Storage:
    def __init__(self, values, key="0", count=None, view=None):
        self.values, self.key, self.view = np.asarray(values), key, view
        self.count = self.values.size if count is None else count

    def identifier(self, legacy):
        name = next(name for name, dtype in STORAGES.items() if self.values.dtype == dtype)
        return ("storage", CLASSES[name], self.key, "cpu", self.count, *([self.view] if legacy else []))


class Tensor:
    def __init__(
        self, storage, offset, size, strides, rebuild="_rebuild_tensor_v2", more=(False, collections.OrderedDict())
    ):
        self.arguments, self.rebuild = (storage, offset, size, strides, *more), REBUILD[rebuild]

    def __reduce__(self):
        return self.rebuild, self.arguments


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def tensor(values, key="0"):
    values = np.asarray(values)
    strides = tuple(stride // values.itemsize for stride in values.strides)
    return Tensor(Storage(values.reshape(-1), key), 0, values.shape, strides)


def pickled(content, legacy=False):
    """The pickle of a content and its storages by their keys."""
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            storages[value.key] = value
            return value.identifier(legacy)

    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, _torch_modules()):
        Pickler(stream, protocol=2).dump(content)
    return stream.getvalue(), storages


def archive(description, storages, byteorder=b"little"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("weights/data.pkl", description)
        file.writestr("weights/byteorder", byteorder)
        for key, storage in storages.items():
            file.writestr(f"weights/data/{key}", storage.values.tobytes())
        file.writestr("weights/version", b"3\n")
    return stream.getvalue()


def zipped(content):
    return archive(*pickled(content))


def legacy(content, magic_number=0x1950A86A20F9469CFC6C):
    description, storages = pickled(content, legacy=True)
    head = [magic_number, 1001, {"protocol_version": 1001, "little_endian": True}]
    data = (
        b"".join(pickle.dumps(value, protocol=2) for value in head)
        + description
        + pickle.dumps(list(storages), protocol=2)
    )
    return data + b"".join(struct.pack("<q", storage.count) + storage.values.tobytes() for storage in storages.values())


def read(directory, data, name="weights.pt"):
    (directory / name).write_bytes(data)
    return read_source(directory / name)


def assert_weights(weights, expected):
    assert list(weights) == list(expected)
    for name, value in expected.items():
        assert weights[name].dtype == value.dtype
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


both_formats = pytest.mark.parametrize("saved", [zipped, legacy])
KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)
BIAS = np.array([0.5, -1.5], np.float32)


def state_dict(prefix=""):
    weights = collections.OrderedDict({f"{prefix}kernel": tensor(KERNEL, "0"), f"{prefix}bias": tensor(BIAS, "1")})
    weights._metadata = collections.OrderedDict({"": {"version": 1}})  # torch puts the versions of the layers here
    return weights


@both_formats
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_state_dict(tmp_path, saved, suffix):
    assert_weights(read(tmp_path, saved(state_dict()), f"weights{suffix}"), {"kernel": KERNEL, "bias": BIAS})


@both_formats
@pytest.mark.parametrize("dtype", STORAGES.values(), ids=STORAGES)
def test_dtypes(tmp_path, saved, dtype):
    values = np.array([[0, 1], [3, 100]]).astype(dtype)
    expected = values.astype(np.float32) if dtype in (np.float16, BFLOAT16) else values
    assert_weights(read(tmp_path, saved({"values": tensor(values)})), {"values": expected})


@both_formats
def test_views_of_one_storage(tmp_path, saved):
    storage = Storage(np.arange(24, dtype=np.float32))
    views = {  # offset, size and strides
        "whole": (0, (2, 3, 4), (12, 4, 1)),
        "transposed": (0, (4, 6), (1, 4)),
        "every second": (1, (3, 2), (8, 2)),
        "last": (23, (), ()),
        "expanded": (5, (3, 2), (0, 1)),
        "empty": (24, (0, 4), (4, 1)),
    }
    numbers = storage.values
    expected = {
        name: as_strided(numbers[offset:], size, [4 * stride for stride in strides])
        for name, (offset, size, strides) in views.items()
    }
    weights = read(tmp_path, saved({name: Tensor(storage, *view) for name, view in views.items()}))
    assert_weights(weights, expected)
    weights["whole"][...] = 0
    np.testing.assert_array_equal(weights["transposed"], expected["transposed"])  # none shares its memory


@both_formats
def test_parameters_and_tensors_of_old_torch(tmp_path, saved):
    parameter = Calls(REBUILD["_rebuild_parameter"], tensor(KERNEL), True, collections.OrderedDict())
    old = Tensor(Storage(BIAS, "1"), 0, (2,), (1,), "_rebuild_tensor", more=())
    assert_weights(read(tmp_path, saved({"parameter": parameter, "old": old})), {"parameter": KERNEL, "old": BIAS})


def test_storage_that_is_part_of_another(tmp_path):
    storage = Storage(np.arange(6, dtype=np.float32), view=("1", 2, 3))
    data = {"part": Tensor(storage, 1, (2,), (1,))}
    assert_weights(read(tmp_path, legacy(data)), {"part": np.array([3, 4], np.float32)})
    with pytest.raises(ValueError, match="reaches number 3 of a storage of 3"):
        read(tmp_path, legacy({"part": Tensor(storage, 1, (3,), (1,))}))


@both_formats
@pytest.mark.parametrize("entry", ["state_dict", "model", "params"])
def test_weights_inside_a_training_checkpoint(tmp_path, saved, entry):
    checkpoint = {
        "epoch": 3,
        "loss": tensor(np.array(0.25), "2"),
        entry: state_dict(),
        "optimizer": {"state": {0: {"exp_avg": tensor(KERNEL, "3")}}, "param_groups": [{"lr": 1e-3}]},
        "best": np.float64(0.5),
        "history": np.arange(3.0),
        "log": collections.defaultdict(list, train=[1.0]),
        "arguments": argparse.Namespace(width=4, device=Calls(CLASSES["device"], "cpu")),
        "size": Calls(CLASSES["Size"], (3, 4)),
        "storage type": CLASSES["FloatStorage"],
    }
    assert_weights(read(tmp_path, saved(checkpoint)), {"kernel": KERNEL, "bias": BIAS})


@both_formats
def test_prefix_of_data_parallel(tmp_path, saved):
    assert_weights(read(tmp_path, saved(state_dict("module."))), {"kernel": KERNEL, "bias": BIAS})
    mixed = {"module.kernel": tensor(KERNEL, "0"), "bias": tensor(BIAS, "1")}
    assert_weights(read(tmp_path, saved(mixed)), {"module.kernel": KERNEL, "bias": BIAS})


@both_formats
@pytest.mark.parametrize("function", [os.system, os.popen, eval, exec, getattr, __import__, pickle.loads])
def test_code_in_a_file_is_refused(tmp_path, saved, function):
    argument = f"touch {tmp_path}/ran" if function.__module__ in ("os", "posix") else f"open('{tmp_path}/ran', 'w')"
    content = {"kernel": tensor(KERNEL), "more": Calls(function, argument)}
    with pytest.raises(ValueError, match=rf"asks for \w+\.{function.__name__}, which is not run"):
        read(tmp_path, saved(content))
    assert not (tmp_path / "ran").exists()


@both_formats
def test_whole_modules_are_refused(tmp_path, saved):
    with pytest.raises(
        ValueError, match=r"asks for torch\.nn\.modules\.conv\.Conv2d.*torch\.save\(model\.state_dict\(\)"
    ):
        read(tmp_path, saved(MODULE()))


# What stands for a name is told to change one of its attributes.
@pytest.mark.parametrize(
    "name", ["argparse\nNamespace", "collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2"]
)
@pytest.mark.parametrize(
    "state", [b"}X\x01\x00\x00\x00aK\x01s", b"N}X\x01\x00\x00\x00aK\x01s\x86"], ids=["dict", "slots"]
)
def test_a_pickle_changes_no_class(tmp_path, name, state):
    with pytest.raises(ValueError, match="__setstate__"):
        read(tmp_path, archive(b"\x80\x02c" + name.encode() + b"\n" + state + b"b.", {}))


@both_formats
def test_truncated_files(tmp_path, saved):
    whole = saved(state_dict())
    assert len(read(tmp_path, whole)) == 2
    for length in range(0, len(whole), 7):
        with pytest.raises(ValueError, match=r"weights\.pt' is no readable state_dict of torch\.save"):
            read(tmp_path, whole[:length])


VALUES = Storage(np.arange(6, dtype=np.float32))
OUTSIDE = {
    "size": (Tensor(VALUES, 0, (7,), (1,)), "reaches number 6 of a storage of 6"),
    "offset": (Tensor(VALUES, 6, (1,), (1,)), "reaches number 6"),
    "strides": (Tensor(VALUES, 0, (2, 3), (4, 1)), "reaches number 6"),
    "scalar": (Tensor(VALUES, 6, (), ()), "reaches number 6"),
    "huge": (Tensor(VALUES, 0, (2, 2), (2**80, 1)), "reaches number"),
    "huge size": (Tensor(VALUES, 0, (2**40, 2**40), (0, 0)), "no readable"),
    "negative offset": (Tensor(VALUES, -1, (2,), (1,)), "natural numbers"),
    "negative size": (Tensor(VALUES, 0, (-1,), (1,)), "natural numbers"),
    "negative strides": (Tensor(VALUES, 5, (6,), (-1,)), "natural numbers"),
    "fewer strides": (Tensor(VALUES, 0, (2, 3), (3,)), "strides that do not fit"),
    "text": (Tensor(VALUES, 0, ("2",), (1,)), "no readable"),
    "no storage": (Tensor("0", 0, (6,), (1,)), "without storage"),
    "metadata": (Tensor(VALUES, 0, (6,), (1,), more=(False, {}, {"neg": True})), "with metadata"),
    "longer storage": (Tensor(Storage(VALUES.values, count=9), 0, (9,), (1,)), "24 bytes in place of 36|cut off"),
    "negative storage": (Tensor(Storage(VALUES.values, count=-1), 0, (1,), (1,)), "natural numbers"),
}


@both_formats
@pytest.mark.parametrize("case", OUTSIDE)
def test_tensors_outside_their_storage(tmp_path, saved, case):
    value, message = OUTSIDE[case]
    with pytest.raises(ValueError, match=message):
        read(tmp_path, saved({"weight": value}))


def test_storage_parts_outside_the_whole(tmp_path):
    storage = Storage(np.arange(6, dtype=np.float32), view=("1", 4, 3))
    with pytest.raises(ValueError, match="has 6 numbers, not those from 4 to 7"):
        read(tmp_path, legacy({"part": Tensor(storage, 0, (3,), (1,))}))


def test_storage_described_in_two_ways(tmp_path):
    content = {"one": Tensor(VALUES, 0, (6,), (1,)), "other": Tensor(Storage(np.zeros(6)), 0, (6,), (1,))}
    with pytest.raises(ValueError, match="'0' is described in two ways"):
        read(tmp_path, zipped(content))


@both_formats
@pytest.mark.parametrize("content", [{}, [1, 2], 5, {"epoch": 3, "model": {"note": "none"}}, {0: tensor(KERNEL)}])
def test_files_without_a_state_dict(tmp_path, saved, content):
    with pytest.raises(ValueError, match="holds no tensors by name"):
        read(tmp_path, saved(content))


def foreign_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("word/document.xml", "text")
    return stream.getvalue()


FOREIGN = {
    "empty": (b"", "no readable"),
    "text": (b"kernel: 1, 2, 3\n", "no readable"),
    "pickle": (pickle.dumps({"kernel": [1.0]}), "no readable"),
    "other number": (legacy(state_dict(), magic_number=5), "does not begin as files of torch.save do"),
    "memo": (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "memo index 2147483647 in a pickle of 10 bytes"),
    "zip": (foreign_zip(), "the archive holds no data.pkl"),
    "big-endian": (archive(*pickled(state_dict()), byteorder=b"big"), "not little-endian"),
    "missing storage": (archive(pickled(state_dict())[0], {}), "weights/data/0"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_files_that_torch_did_not_write(tmp_path, case):
    data, message = FOREIGN[case]
    with pytest.raises(ValueError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
def test_missing_files_and_directories(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match="No weights at"):
        read_source(tmp_path / f"weights{suffix}")
    (tmp_path / f"weights{suffix}").mkdir()
    with pytest.raises(ValueError, match="is no readable"):
        read_source(tmp_path / f"weights{suffix}")


def saved_safetensors(directory, weights):
    save_file(weights, directory / "weights.safetensors")
    return read_source(directory / "weights.safetensors")


def test_safetensors(tmp_path):
    weights = {"kernel": KERNEL, "bias": BIAS.astype(np.float64), "steps": np.array(3), "mask": np.array([True, False])}
    assert_weights(dict(sorted(saved_safetensors(tmp_path, weights).items())), dict(sorted(weights.items())))
    parallel = saved_safetensors(tmp_path, {f"module.{name}": value for name, value in weights.items()})
    assert set(parallel) == set(weights)


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16])
def test_half_precision_in_safetensors(tmp_path, dtype):
    assert_weights(saved_safetensors(tmp_path, {"kernel": KERNEL.astype(dtype)}), {"kernel": KERNEL})


def test_broken_safetensors(tmp_path):
    saved_safetensors(tmp_path, {"kernel": KERNEL})
    whole = (tmp_path / "weights.safetensors").read_bytes()
    for data in (b"", b"text in place of tensors", whole[:6], whole[:20], whole[:-1], whole + b"more"):
        with pytest.raises(ValueError, match=r"weights\.safetensors' is no readable \.safetensors file"):
            read(tmp_path, data, "weights.safetensors")


@pytest.mark.parametrize("prefix", ["var/", "param/"])
def test_prefixes_in_npz_files(tmp_path, prefix):
    np.savez(
        tmp_path / "fixture.npz", **{f"{prefix}layer/kernel": KERNEL, f"{prefix}bias": BIAS, "inputs": np.zeros(3)}
    )
    assert_weights(read_source(tmp_path / "fixture.npz"), {"layer/kernel": KERNEL, "bias": BIAS})


def test_names_in_npz_files_without_prefix(tmp_path):
    np.savez(tmp_path / "weights.npz", **{"parameters/kernel": KERNEL, "variance": BIAS})
    assert_weights(read_source(tmp_path / "weights.npz"), {"parameters/kernel": KERNEL, "variance": BIAS})
