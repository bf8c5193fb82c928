"""The inverse of a masked convolution: one loop over ticks, each a small product for all images and slots together."""

from collections.abc import Callable

import tensorflow as tf

from tfflows.math.masked_convolution import canonical_kernel, canonical_size, from_canonical, to_canonical
from tfflows.math.wavefront import wavefront


def sequential_inverse(
    latents: tf.Tensor,
    kernel: tf.Tensor,
    kind: str,
    order: str,
    decode: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    features: tf.Tensor | None = None,
    compute_dtype: tf.DType | str | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Solves `latents = encode(x, hidden(x))` for x, where `hidden` is a masked convolution of x.

    The arithmetic is about that of one pass in the other direction: each pixel is convolved once, when what it sees is known. The
    graph does not grow with the image; gradients flow through, under XLA too.

    Args:
      latents: `[B, H, W, C]`, H and W static.
      kernel: `[height, width, C, filters]`, as for `masked_convolution.convolve`.
      kind: As for `masked_convolution.convolve`.
      order: As for `masked_convolution.convolve`.
      decode: `(latents [..., C], hidden [..., filters]) -> (x [..., C], kept [..., K])`: decodes one pixel, and keeps what the
        log-determinant is computed from later, when all pixels are known; K may be 0.
      features: `[B, H, W, filters]`, added to the output of the convolution, or None.
      compute_dtype: Dtype of the convolution; default: that of the kernel.

    Returns:
      `(x, kept)`: for each pixel what `decode` finds and what it keeps, `[B, H, W, C]` and `[B, H, W, K]`.

    Raises:
      ValueError: If the size of the image is not static.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.masked_convolution import causal_mask, convolve
      >>> from tfflows.math.sequential_inverse import sequential_inverse
      >>> x = tf.reshape(tf.range(9.0), [1, 3, 3, 1])
      >>> kernel = tf.constant(0.1 * causal_mask((3, 3), "A"), tf.float32)
      >>> latents = x - convolve(x, kernel, "masked", "A")  # encode(x, hidden) = x - hidden
      >>> found, _ = sequential_inverse(latents, kernel, "masked", "A", lambda own, hidden: (own + hidden, own[..., :0]))
      >>> print(np.allclose(found, x, atol=1e-5))
      True
    """
    latents = to_canonical(latents, kind, order)
    _, height, width, channels = latents.shape
    if height is None or width is None:
        raise ValueError(f"The inverse of a masked convolution needs a static image size, got {latents.shape}.")
    front = wavefront(kind, canonical_size(kernel.shape[:2].as_list(), order), height, width)
    kernel = canonical_kernel(kernel, kind, order)
    compute_dtype = compute_dtype or kernel.dtype
    matrix = tf.concat([kernel[tap.row, tap.column] for tap in front.taps], axis=0)  # [taps * C, filters]
    by_tick = _by_tick(latents, front)
    features_by_tick = None if features is None else _by_tick(to_canonical(features, kind, order), front)
    live = None
    if not front.is_dense:
        live = tf.constant((front.pixels < height * width)[:, :, None, None])

    nothing = tf.ensure_shape(tf.zeros_like(by_tick[0]), [front.num_slots, latents.shape[0], channels])
    # The last ticks as seen from each offset, the newest first.
    history = {offset: [nothing] * lag for offset, lag in front.longest_lag.items()}

    def run(phase, history):
        """Takes the ticks of a phase: the history after them, and what they find and keep."""
        has_all = phase.last - phase.first == front.num_slots
        ticks, slots = slice(phase.start, phase.stop), slice(phase.first, phase.last)
        own_latents, own_live = by_tick[ticks, slots], None if live is None else live[ticks, slots]
        own_features = None if features_by_tick is None else features_by_tick[ticks, slots]
        history = tf.nest.map_structure(lambda earlier: earlier[slots], history)

        def body(tick, history, found, kept):
            seen = tf.concat([history[tap.offset][tap.lag - 1] for tap in front.taps], axis=-1)
            hidden = _product(tf.cast(seen, compute_dtype), tf.cast(matrix, compute_dtype))
            if own_features is not None:
                hidden += tf.cast(own_features[tick], compute_dtype)
            x, own = decode(own_latents[tick], hidden)
            if own_live is not None:
                # What is decoded outside of the image may be infinite.
                x = tf.where(own_live[tick], x, tf.zeros([], x.dtype))
            now = _neighbours(x, history, front.cyclic and has_all)
            history = {offset: [now[offset], *earlier[:-1]] for offset, earlier in history.items()}
            return tick + 1, history, found.write(tick, x), kept.write(tick, own)

        num_ticks, shape = phase.stop - phase.start, own_latents.shape[1:]
        found = tf.TensorArray(latents.dtype, num_ticks, element_shape=shape)
        kept = tf.TensorArray(latents.dtype, num_ticks, element_shape=[*shape[:-1], None])
        _, history, found, kept = tf.while_loop(
            lambda tick, *_: tick < num_ticks,
            body,
            (tf.constant(0), history, found, kept),
            maximum_iterations=num_ticks,
        )
        around = [phase.first, front.num_slots - phase.last]
        history = tf.nest.map_structure(lambda earlier: tf.pad(earlier, [around, [0, 0], [0, 0]]), history)
        return history, [tf.pad(values.stack(), [[0, 0], around, [0, 0], [0, 0]]) for values in (found, kept)]

    results = []
    for phase in front.phases:
        history, result = run(phase, history)
        results.append(result)
    ticks = [values[0] if len(values) == 1 else tf.concat(values, axis=0) for values in zip(*results, strict=True)]
    images = (_from_ticks(values, front, latents.shape) for values in ticks)
    return tuple(from_canonical(values, kind, order) for values in images)


def _by_tick(x, front):
    """Turns `[B, H, W, C]` into `[num_ticks, num_slots, B, C]`; zeros where a slot holds no pixel."""
    by_pixel = tf.transpose(x, [1, 2, 0, 3])
    if front.is_dense:
        return by_pixel
    _, height, width, channels = x.shape
    flat = tf.reshape(by_pixel, tf.stack([height * width, tf.shape(x)[0], channels]))
    flat = tf.concat([flat, tf.zeros_like(flat[:1])], axis=0)
    return tf.ensure_shape(tf.gather(flat, front.pixels), [front.num_ticks, front.num_slots, x.shape[0], channels])


def _from_ticks(found, front, shape):
    """Inverse of `_by_tick`, to images of shape `[B, H, W, ...]`."""
    batch, height, width, _ = shape
    channels = found.shape[-1]
    if not front.is_dense:
        num_places = front.num_ticks * front.num_slots
        flat = tf.reshape(found, tf.stack([num_places, tf.shape(found)[2], channels]))
        found = tf.reshape(tf.gather(flat, front.places), tf.stack([height, width, tf.shape(found)[2], channels]))
    return tf.ensure_shape(tf.transpose(found, [2, 0, 1, 3]), [batch, height, width, channels])


def _product(x, matrix):
    """`x @ matrix` over the last axis, as one product of two matrices."""
    rows = tf.matmul(tf.reshape(x, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [matrix.shape[1]]], axis=0))


def _neighbours(x, offsets, cyclic):
    """`{offset: x moved by that many slots}`; zeros beyond the ends, unless `cyclic`."""
    if cyclic:
        return {offset: tf.concat([x[offset:], x[:offset]], axis=0) if offset else x for offset in offsets}
    most = max(abs(offset) for offset in offsets)
    padded = tf.pad(x, [[most, most], [0, 0], [0, 0]]) if most else x
    return {offset: padded[most + offset : most + offset + x.shape[0]] for offset in offsets}
