"""Stateless random numbers keyed by an image's place in the global batch.

A replica that holds rows `start ... start + n - 1` of a batch draws exactly the rows that one device holding the whole batch
would draw, so results do not depend on how a batch is split.
"""

import math
import zlib
from typing import NamedTuple

import tensorflow as tf

# Philox gives 128 bits for each increment of its counter.
_BYTES_PER_COUNT = 16
# For a floating-point type: that of the words it is made from, how many of a word's bits the mantissa has no room for, and a
# signed type for the others.
_UNIFORM = {tf.float32: (tf.uint32, 8, tf.int32), tf.float64: (tf.uint64, 11, tf.int64)}
_PHILOX = 1


class RowKeys(NamedTuple):
    """Key of the random rows of a batch.

    Attributes:
      seed: int64 `Tensor`, shape `[2]`.
      start: int64 scalar, place of the first row in the global batch.
    """

    seed: tf.Tensor
    start: tf.Tensor


def row_keys(seed, step=0, start=0):
    """`RowKeys` of a training step: `seed` and `step` any integers, `start` the first row's place in the global batch."""
    seed = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    return RowKeys(seed, tf.cast(start, tf.int64))


def fold_in(keys, salt):
    """Keys of an independent stream: `salt` is a string or an integer (Python or `Tensor`)."""
    if isinstance(salt, str):
        salt = zlib.crc32(salt.encode())
    # tf.random.fold_in leaves the generator to the device and compiler, so that it gives other seeds under XLA.
    mixed = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[1], **_key_and_counter(keys.seed, tf.constant(tf.uint64.max, tf.uint64)), alg=_PHILOX, dtype=tf.int64
    )
    return RowKeys(tf.stack([mixed[0], tf.cast(salt, tf.int64)]), keys.start)


def derive_seed(seed, *path):
    """A Python `int` in [0, 2**31) that depends on `seed` and every element of `path`; for initializers."""
    text = "/".join(str(part) for part in (seed, *path))
    return zlib.crc32(text.encode()) & 0x7FFFFFFF


def uniform_rows(keys, num_rows, row_shape, dtype=tf.float32):
    """Uniform numbers in [0, 1), shape `[num_rows, *row_shape]`; row i depends on `keys.seed` and `keys.start + i` alone.

    The same with XLA and without, bit for bit: they are made from the generator's words, because TensorFlow's own uniform
    numbers take other bits of a word under XLA.
    """
    words_dtype, unused_bits, signed_dtype = _UNIFORM[tf.as_dtype(dtype)]
    words = _rows(tf.raw_ops.StatelessRandomUniformFullIntV2, keys, num_rows, row_shape, words_dtype)
    mantissa = tf.bitwise.right_shift(words, tf.cast(unused_bits, words_dtype))
    return tf.cast(tf.cast(mantissa, signed_dtype), dtype) * 2.0 ** (unused_bits - 8 * words_dtype.size)


def kept_rows(keys, num_rows, row_shape, rate):
    """Booleans, True with probability `1 - rate`, shape `[num_rows, *row_shape]`; rows keyed as those of `uniform_rows`.

    The same with XLA and without; `rate` (Python `float` in [0, 1)) counts to 32 bits.
    """
    words = _rows(tf.raw_ops.StatelessRandomUniformFullIntV2, keys, num_rows, row_shape, tf.uint32)
    return words >= tf.constant(round(rate * 2**32), tf.uint32)


def normal_rows(keys, num_rows, row_shape, dtype=tf.float32):
    """Standard normal numbers, shape `[num_rows, *row_shape]`; row i depends on `keys.seed` and `keys.start + i` alone.

    With XLA the numbers are others than without it.
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, keys, num_rows, row_shape, tf.as_dtype(dtype))


def _key_and_counter(seed, count):
    """Philox' key and 128-bit counter: the first seed; `count` and the second seed.

    Philox needs no scrambled keys, and TensorFlow's op that scrambles them drops the upper 32 bits under XLA.
    """
    key, high = tf.unstack(tf.bitcast(seed, tf.uint64))
    return {"key": key[tf.newaxis], "counter": tf.stack([count, high])}


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
