"""The CDF of a mixture of logistics on the logit scale, elementwise; its log-derivative and its inverse."""

import numpy as np
import tensorflow as tf

_LEAST_LOG_SCALE = -7.0


def released_channel_order(channels, num_components):
    """Where our channels lie among those of the released code, which holds (s, t, logits, means, log-scales) of each channel."""
    return np.arange(channels * (2 + 3 * num_components)).reshape([channels, -1]).T.reshape([-1])


def _columns(x):
    """`[..., C] -> [C, P]` and back: elementwise work and sums over components go fastest along long rows."""
    return tf.transpose(tf.reshape(x, [-1, x.shape[-1]]))


def _rows(x, like):
    out = tf.reshape(tf.transpose(x), tf.shape(like))
    return tf.ensure_shape(out, like.shape)


def _split(parameters, k):
    n = parameters.shape[-1]
    p = tf.reshape(_columns(parameters), [2 + 3 * k, -1])
    s, t, a, m, l = tf.split(p, [1, 1, k, k, k], axis=0)
    return tf.tanh(s), t, a, m, tf.maximum(l, tf.cast(_LEAST_LOG_SCALE, l.dtype))


@tf.custom_gradient
def logit_and_log_det(x, logits, means, log_scales):
    inverse_scales = tf.exp(-log_scales)
    z = (x - means) * inverse_scales
    log_pi = logits - tf.reduce_logsumexp(logits, axis=0, keepdims=True)
    e = tf.exp(-tf.abs(z))
    softplus = tf.math.log1p(e)
    log_below = tf.minimum(z, 0) - softplus
    log_above = tf.minimum(-z, 0) - softplus
    a, b = log_pi + log_below, log_pi + log_above
    log_cdf, below_weights = _normalized(a)
    log_survival, above_weights = _normalized(b)
    lower = log_cdf <= log_survival
    u = tf.where(lower, a - log_cdf + log_above, b - log_survival + log_below) - log_scales
    log_sum, density_weights = _normalized(u)
    log_det = log_sum - tf.where(lower, log_survival, log_cdf)

    def gradient(d_y, d_log_det):
        small = e / (1 + e)
        positive = z >= 0
        below, above = tf.where(positive, 1 - small, small), tf.where(positive, small, 1 - small)
        d_z = d_y * (below_weights * above + above_weights * below) + d_log_det * (
            (density_weights - below_weights) * above + (above_weights - density_weights) * below
        )
        d_logits = d_y * (below_weights - above_weights) + d_log_det * (
            density_weights - below_weights - above_weights + tf.exp(log_pi)
        )
        d_means = -d_z * inverse_scales
        d_log_scales = -d_z * z - d_log_det * density_weights
        return -tf.reduce_sum(d_means, axis=0, keepdims=True), d_logits, d_means, d_log_scales

    return (log_cdf - log_survival, log_det), gradient


def _normalized(x):
    top = tf.reduce_max(x, axis=0, keepdims=True)
    e = tf.exp(x - top)
    total = tf.reduce_sum(e, axis=0, keepdims=True)
    return top + tf.math.log(total), e / total


def encode(x, parameters, num_components):
    s, t, *mixture = _split(parameters, num_components)
    y, log_det = logit_and_log_det(tf.reshape(_columns(x), [1, -1]), *mixture)
    shape = [x.shape[-1], -1]
    return _rows(tf.reshape(y * tf.exp(s) + t, shape), x), _rows(tf.reshape(log_det + s, shape), x)


def decode(y, parameters, num_components):
    s, t, *mixture = _split(parameters, num_components)
    target = (tf.reshape(_columns(y), [1, -1]) - t) * tf.exp(-s)
    r = mixture[1] + tf.exp(mixture[2]) * target
    lo, hi = tf.reduce_min(r, 0, keepdims=True), tf.reduce_max(r, 0, keepdims=True)
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        big = logit_and_log_det(mid, *mixture)[0] > target
        lo, hi = tf.where(big, lo, mid), tf.where(big, mid, hi)
    x = 0.5 * (lo + hi)
    shape = [y.shape[-1], -1]
    return _rows(tf.reshape(x, shape), y), _rows(tf.reshape(-logit_and_log_det(x, *mixture)[1] - s, shape), y)
