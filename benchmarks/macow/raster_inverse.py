"""The inverse of a masked convolution pixel by pixel, for comparison with `tfflows.math.sequential_inverse`."""

from collections.abc import Callable

import tensorflow as tf

from tfflows.math.masked_convolution import MASKED, canonical_kernel, from_canonical, to_canonical


def raster_inverse(
    latents: tf.Tensor,
    kernel: tf.Tensor,
    kind: str,
    order: str,
    decode: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Solves `latents = encode(x, hidden(x))` for x: a loop over pixels, each of which sees a patch of the kernel's size.

    Args:
      latents: Shape `[B, H, W, C]`, H and W static.
      kernel: Shape `[height, width, C, filters]`, as for `masked_convolution.convolve`.
      kind: As for `masked_convolution.convolve`.
      order: As for `masked_convolution.convolve`.
      decode: The inverse at one pixel, `(latents [B, C], hidden [B, filters]) -> (x [B, C], log_det [B, C])`.

    Returns:
      `(x, log_det)`, shapes `[B, H, W, C]` and `[B]`.
    """
    kernel = canonical_kernel(kernel, kind, order)
    by_pixel = tf.transpose(to_canonical(latents, kind, order), [1, 2, 0, 3])
    height, width, batch, channels = by_pixel.shape
    rows, columns, _, filters = kernel.shape
    above = rows
    if kind == MASKED:
        rows = rows // 2 + 1  # the rows below the pixel's own are masked out
        above = rows - 1
    side = columns // 2
    matrix = tf.reshape(kernel[:rows], [-1, filters])

    def body(pixel, canvas, log_det):
        row, column = pixel // width, pixel % width
        patch = tf.slice(canvas, tf.stack([row, column, 0, 0]), [rows, columns, batch, channels])
        hidden = tf.matmul(tf.reshape(tf.transpose(patch, [2, 0, 1, 3]), [batch, -1]), matrix)
        x, own_log_det = decode(by_pixel[row, column], hidden)
        canvas = tf.tensor_scatter_nd_update(canvas, [[row + above, column + side]], x[tf.newaxis])
        return pixel + 1, canvas, log_det + tf.reduce_sum(own_log_det, axis=-1)

    # Zeros around the image, as in the pass from data to latent.
    canvas = tf.zeros([height + above, width + 2 * side, batch, channels], latents.dtype)
    start = (tf.constant(0), canvas, tf.zeros([batch], latents.dtype))
    _, canvas, log_det = tf.while_loop(lambda pixel, *_: pixel < height * width, body, start)
    x = tf.transpose(canvas[above:, side : side + width], [2, 0, 1, 3])
    return from_canonical(x, kind, order), log_det
