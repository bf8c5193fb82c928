"""Files of weights that are damaged or made to do harm: one sentence, and no more memory than the model needs."""

import io
import os
import resource
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tests.interop.test_sources import Storage, Tensor, pickled
from tfflows.interop import torch_files
from tfflows.interop.sources import SPARE_NUMBERS, read_source

WEIGHTS = {"layer/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "layer/bias": np.ones([5], np.float32)}
NUM_NEEDED = 17


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of two shards, in a directory whose name would be a pattern."""
    (tmp_path / "model [1]").mkdir()
    prefix = tmp_path / "model [1]" / "model.ckpt"
    parts = []
    for number, (name, value) in enumerate(WEIGHTS.items()):
        parts.append(str(tmp_path / f"part-{number}"))
        tf.raw_ops.SaveV2(prefix=parts[-1], tensor_names=[name], shape_and_slices=[""], tensors=[value])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(prefix))
    return prefix


def test_any_path_and_several_shards(checkpoint):
    for path in (checkpoint, os.path.relpath(checkpoint)):
        weights = read_source(path, NUM_NEEDED)
        assert weights.keys() == WEIGHTS.keys()
        np.testing.assert_array_equal(weights["layer/kernel"], WEIGHTS["layer/kernel"])
    (checkpoint.parent / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert read_source(checkpoint.parent, NUM_NEEDED).keys() == WEIGHTS.keys()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


SHARD, INDEX = ".data-00001-of-00002", ".index"
HARMS = {
    "missing shard": (SHARD, os.remove),
    "empty shard": (SHARD, lambda path: path.write_bytes(b"")),
    "truncated shard": (SHARD, lambda path: path.write_bytes(path.read_bytes()[:-3])),
    "flipped byte": (SHARD, flip),
    "shard is a pipe": (SHARD, make_pipe),
    "empty index": (INDEX, lambda path: path.write_bytes(b"")),
    "truncated index": (INDEX, lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "garbage index": (INDEX, lambda path: path.write_bytes(b"a text" * 99)),
    "index is a pipe": (INDEX, make_pipe),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_is_refused(checkpoint, harm):
    suffix, change = HARMS[harm]
    change(checkpoint.with_name(checkpoint.name + suffix))
    with pytest.raises(ValueError, match=r"model\.ckpt.* is (a damaged TF1 checkpoint|not a readable)") as caught:
        read_source(checkpoint, NUM_NEEDED)
    assert "\n" not in str(caught.value)


def test_a_flipped_byte_of_the_index_never_gives_other_values(checkpoint):
    index = checkpoint.with_name(checkpoint.name + INDEX)
    whole, refused = index.read_bytes(), 0
    for position in range(0, len(whole), 9):
        index.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        try:
            weights = read_source(checkpoint, NUM_NEEDED)
        except (ValueError, FileNotFoundError):
            refused += 1
            continue
        for name, value in weights.items():
            np.testing.assert_array_equal(value, WEIGHTS[name])
    assert refused > 5


def test_a_garbled_state_file_is_refused(checkpoint):
    (checkpoint.parent / "checkpoint").write_bytes(b"\xff{{{")
    with pytest.raises((ValueError, FileNotFoundError), match="prefix of"):
        read_source(checkpoint.parent)


def npy(shape, content=b"", dtype="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def zipped(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def bomb(name, head, size):
    """A small archive with an entry of `size` zeros after `head`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, head + bytes(size))
    return file.getvalue()


MANY = 2**25
HOSTILE = {
    "absurd shape": ("x.npz", lambda: zipped({"a.npy": npy((2**31, 2**31))})),
    "negative shape": ("x.npz", lambda: zipped({"a.npy": npy((-1, 5))})),
    "overflowing shape": ("x.npz", lambda: zipped({"a.npy": npy((2**63, 2**63))})),
    "cut array": ("x.npz", lambda: zipped({"a.npy": npy((9,), bytes(8))})),
    "objects": ("x.npz", lambda: zipped({"a.npy": npy((1,), b"cos\nsystem\n", "|O")})),
    "nested header": ("x.npz", lambda: zipped({"a.npy": b"\x93NUMPY\1\0" + b"\xff\xff" + b"(" * 65535})),
    "zip bomb": ("x.npz", lambda: bomb("a.npy", npy((MANY,)), 4 * MANY)),
    "zip bomb of bytes": ("x.npz", lambda: bomb("a.npy", npy((4 * MANY,), dtype="|u1"), 4 * MANY)),
    "stride 0": ("x.pt", lambda: torch_file(Tensor(Storage(np.zeros(4, np.float32)), 0, (MANY,), (0,)))),
    "stride 0 in two axes": (
        "x.pt",
        lambda: torch_file(Tensor(Storage(np.zeros(4, np.float32)), 0, (2**40, 2**40), (0, 0))),
    ),
    "storage bomb": ("x.pt", lambda: torch_bomb(MANY)),
    "description bomb": ("x.pt", lambda: bomb("x/data.pkl", b"\x80\x02", 2**27)),
    "text": ("x.safetensors", lambda: b"a text"),
    "absurd tensor": (
        "x.safetensors",
        lambda: safetensors(b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}'),
    ),
    "nested tensor": ("x.safetensors", lambda: safetensors(b"[" * 100_000)),
    "long header": ("x.safetensors", lambda: (2**62).to_bytes(8, "little") + b"{}"),
}


def torch_file(tensor, entries=()):
    description, storages = pickled({"weight": tensor})
    content = {"x/data.pkl": description, **{f"x/data/{key}": s.values.tobytes() for key, s in storages.items()}}
    return zipped({**content, **dict(entries)})


def torch_bomb(size):
    """A tensor of four numbers that are the first ones of a large storage."""
    description, _ = pickled({"weight": Tensor(Storage(np.zeros(4, np.float32), count=size), 0, (4,), (1,))})
    content = io.BytesIO(bomb("x/data/0", b"", 4 * size))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("x/data.pkl", description)
    return content.getvalue()


def safetensors(header):
    return len(header).to_bytes(8, "little") + header + bytes(4)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_within_memory(tmp_path, case, monkeypatch):
    monkeypatch.setattr(torch_files, "_LONGEST_DESCRIPTION", 2**20)
    name, make = HOSTILE[case]
    (tmp_path / name).write_bytes(make())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"x\.\w+' (is not a readable|does not fit this model)") as caught:
        read_source(tmp_path / name, NUM_NEEDED)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kilobytes


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".pth", ".bin", ".safetensors"])
def test_a_pipe_is_refused(tmp_path, suffix):
    os.mkfifo(tmp_path / f"x{suffix}")
    with pytest.raises(ValueError, match="a pipe or a device"):
        read_source(tmp_path / f"x{suffix}")


def test_many_small_arrays_are_too_many(tmp_path):
    array = npy((2**19,), bytes(2**21))
    (tmp_path / "x.npz").write_bytes(zipped({f"a{number}.npy": array for number in range(4)}))
    with pytest.raises(ValueError, match="it has more than"):
        read_source(tmp_path / "x.npz", NUM_NEEDED)
    assert len(read_source(tmp_path / "x.npz", 2**21 - SPARE_NUMBERS)) == 4
