"""Stateless random numbers keyed by an image's place in the global batch.

A replica that holds rows `start ... start + n - 1` of a batch draws exactly the rows that one device holding the whole batch
would draw, so results do not depend on how a batch is split.
"""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

# Philox gives 128 bits for each increment of its counter.
_BYTES_PER_COUNT = 16
# For each floating-point type: the type of the words it is made from, how many of a word's bits do not fit the mantissa, and a
# signed type for those that do.
_UNIFORM = {tf.float32: (tf.uint32, 8, tf.int32), tf.float64: (tf.uint64, 11, tf.int64)}
_PHILOX = 1


class RowKeys(NamedTuple):
    """Keys of the random rows of a batch.

    Attributes:
      seed: int64 `[2]`.
      start: int64 scalar, the place of the first row in the global batch.
    """

    seed: tf.Tensor
    start: tf.Tensor


def row_keys(seed: int | tf.Tensor, step: int | tf.Tensor = 0, start: int | tf.Tensor = 0) -> RowKeys:
    """`RowKeys` of a training step.

    Args:
      seed: Any integer.
      step: Any integer.
      start: Place of the first row in the global batch.

    Example:
      >>> import numpy as np
      >>> from tfflows.math.random import row_keys, uniform_rows
      >>> whole = uniform_rows(row_keys(seed=0, step=7), 4, [3])
      >>> half = uniform_rows(row_keys(seed=0, step=7, start=2), 2, [3])
      >>> np.array_equal(whole[2:], half)  # rows do not depend on how the batch is split
      True
    """
    seed = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    return RowKeys(seed, tf.cast(start, tf.int64))


def fold_in(keys: RowKeys, salt: str | int | tf.Tensor) -> RowKeys:
    """Keys of an independent stream.

    Args:
      keys: Keys to derive it from; the rows keep their places.
      salt: Name or number of the stream.

    Example:
      >>> from tfflows.math.random import fold_in, row_keys
      >>> keys = row_keys(0)
      >>> bool((fold_in(keys, "dropout").seed.numpy() == fold_in(keys, "prior").seed.numpy()).all())
      False
    """
    if isinstance(salt, str):
        salt = zlib.crc32(salt.encode())
    # tf.random.fold_in leaves the generator to the device and compiler, so that it gives other seeds under XLA.
    mixed = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[1], **_key_and_counter(keys.seed, tf.constant(tf.uint64.max, tf.uint64)), alg=_PHILOX, dtype=tf.int64
    )
    return RowKeys(tf.stack([mixed[0], tf.cast(salt, tf.int64)]), keys.start)


def derive_seed(seed: int, *path: object) -> int:
    """An integer in [0, 2**31) that depends on `seed` and on every element of `path`; for initializers."""
    text = "/".join(str(part) for part in (seed, *path))
    return zlib.crc32(text.encode()) & 0x7FFFFFFF


def uniform_rows(
    keys: RowKeys, num_rows: int | tf.Tensor, row_shape: Sequence[int], dtype: tf.DType | str = tf.float32
) -> tf.Tensor:
    """Uniform numbers in [0, 1), `[num_rows, *row_shape]`; row i depends only on `keys.seed` and `keys.start + i`.

    They are the same with XLA and without, bit for bit: they are made from the generator's words, because TensorFlow's own
    uniform numbers take other bits of a word under XLA.
    """
    words_dtype, unused_bits, signed_dtype = _UNIFORM[tf.as_dtype(dtype)]
    words = _rows(tf.raw_ops.StatelessRandomUniformFullIntV2, keys, num_rows, row_shape, words_dtype)
    mantissa = tf.bitwise.right_shift(words, tf.cast(unused_bits, words_dtype))
    return tf.cast(tf.cast(mantissa, signed_dtype), dtype) * 2.0 ** (unused_bits - 8 * words_dtype.size)


def kept_rows(keys: RowKeys, num_rows: int | tf.Tensor, row_shape: Sequence[int], rate: float) -> tf.Tensor:
    """Booleans `[num_rows, *row_shape]`, True with probability `1 - rate`; rows are keyed as those of `uniform_rows`.

    They are the same with XLA and without; `rate`, in [0, 1), counts to 32 bits.
    """
    words = _rows(tf.raw_ops.StatelessRandomUniformFullIntV2, keys, num_rows, row_shape, tf.uint32)
    return words >= tf.constant(round(rate * 2**32), tf.uint32)


def normal_rows(
    keys: RowKeys, num_rows: int | tf.Tensor, row_shape: Sequence[int], dtype: tf.DType | str = tf.float32
) -> tf.Tensor:
    """Standard normal numbers, `[num_rows, *row_shape]`; row i depends only on `keys.seed` and `keys.start + i`.

    The numbers under XLA differ from those without it.
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, keys, num_rows, row_shape, tf.as_dtype(dtype))


def _key_and_counter(seed, count):
    """Philox' key, which is the first seed, and its 128-bit counter, made of `count` and the second seed.

    Philox needs no scrambled keys, and TensorFlow's op that scrambles them drops the upper 32 bits under XLA.
    """
    words = tf.bitcast(seed, tf.uint64)  # sliced, since TensorFlow cannot unstack these on a GPU
    return {"key": words[:1], "counter": tf.stack([count, words[1]])}


def _rows(generator, keys, num_rows, row_shape, dtype):
    row_size = math.prod(row_shape)
    words = _BYTES_PER_COUNT // dtype.size
    counts_per_row = -(-row_size // words)
    # One axis: under XLA the order of normal numbers in more axes depends on their sizes.
    padded = generator(
        shape=[num_rows * counts_per_row * words],
        **_key_and_counter(keys.seed, tf.bitcast(keys.start * counts_per_row, tf.uint64)),
        alg=_PHILOX,
        dtype=dtype,
    )
    if row_size % words:
        padded = tf.reshape(padded, [num_rows, counts_per_row * words])[:, :row_size]
    return tf.reshape(padded, [num_rows, *row_shape])
