"""Scaled dot-product attention over all positions of an image."""

import math

import tensorflow as tf

from tfflows.math.shapes import sizes_of


def self_attention(x: tf.Tensor, num_heads: int) -> tf.Tensor:
    """Lets every position of an image attend to every other: `softmax(q k^T / sqrt(d)) v` per head, with `d = C / num_heads`.

    Args:
      x: Float `[B, H, W, 3 C]`: q, k and v one after the other on the channels, each with head h at `h d ... (h + 1) d - 1`.
      num_heads: Number of heads; divides C.

    Returns:
      `[B, H, W, C]` in the dtype of `x`; the softmax is taken in float32 at least.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.attention import self_attention
      >>> query, key = tf.zeros([1, 2, 2, 1]), tf.zeros([1, 2, 2, 1])  # all logits are equal
      >>> value = tf.reshape([1.0, 2.0, 3.0, 6.0], [1, 2, 2, 1])
      >>> out = self_attention(tf.concat([query, key, value], axis=-1), num_heads=1)
      >>> out.numpy().ravel().tolist()  # so each position sees the mean of the values
      [3.0, 3.0, 3.0, 3.0]

    References:
      Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Ho et al. 2019, section 3.2.2, https://arxiv.org/abs/1902.00275.
    """
    batch, height, width, channels = sizes_of(x)
    head_size = channels // 3 // num_heads
    parts = tf.reshape(x, [batch, height * width, 3, num_heads, head_size])
    query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))  # [B, heads, positions, head_size]
    out = tf.transpose(attention(query * (1 / math.sqrt(head_size)), key, value), [0, 2, 1, 3])
    return tf.ensure_shape(tf.reshape(out, [batch, height, width, channels // 3]), [*x.shape[:-1], channels // 3])


@tf.autograph.experimental.do_not_convert
@tf.custom_gradient
def attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`softmax(q k^T) v`: `[..., M, d]`, `[..., N, d]`, `[..., N, D]` to `[..., M, D]`; the softmax in float32 at least.

    With `W = softmax(q k^T)`, `O = W v` and `dO` the gradient of O, the gradient of `q k^T` is `W * (dO v^T - sum(dO * O))`. The
    sum runs over D: what the softmax sums over N numbers is known from the output. So of the large M x N arrays only one product
    remains.

    References:
      Dao et al. 2022, appendix B.2, https://arxiv.org/abs/2205.14135.
    """
    logits = tf.matmul(query, key, transpose_b=True)
    weights = tf.nn.softmax(tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits)
    rounded = tf.cast(weights, value.dtype)
    out = tf.matmul(rounded, value)

    def gradient(d_out):
        correction = tf.reduce_sum(d_out * out, axis=-1, keepdims=True)
        # One column more subtracts the correction within the product.
        ones = tf.ones_like(value[..., :1])
        d_weights = tf.matmul(
            tf.concat([d_out, -correction], axis=-1), tf.concat([value, ones], axis=-1), transpose_b=True
        )
        d_logits = tf.cast(weights * tf.cast(d_weights, weights.dtype), query.dtype)
        d_query, d_key = tf.matmul(d_logits, key), tf.matmul(d_logits, query, transpose_a=True)
        return d_query, d_key, tf.matmul(rounded, d_out, transpose_a=True)

    return out, gradient
