"""The CDF of a mixture of logistics on the logit scale, elementwise: value, log-derivative and inverse.

With `z_k = (x - mu_k) exp(-l_k)`, `F = sum_k pi_k sigmoid(z_k)` and `S = 1 - F = sum_k pi_k sigmoid(-z_k)`:
`y = logit(F) = ln F - ln S`. Neither F nor S is formed, only their logarithms, so that nothing saturates in the tails.

Parameters have the components on their first axis and otherwise the shape of x: sums over components then run along rows.

References:
  Ho et al. 2019, section 3.2, https://arxiv.org/abs/1902.00275.
"""

from collections.abc import Callable

import tensorflow as tf

from tfflows.math.bounded_logit import bounded_logit, bounded_logit_inverse
from tfflows.math.shapes import sizes_of

# Lower bound of the log-scales in the released Flow++.
MIN_LOG_SCALE = -7.0

# A last Newton step of this fraction of the smallest scale leaves an error of about its square.
_LAST_STEP = {tf.float32: 3e-4, tf.float64: 3e-9}
_MAX_EVALUATIONS = 100


@tf.custom_gradient
def mixture_logit(
    x: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`y = ln F(x) - ln S(x)` and `ln dy/dx`, elementwise.

    The gradient is written out, from the weights of the components in F, S and the density; it can be differentiated again.

    Args:
      x: Float `[...]`.
      logits: Logits of the weights `pi_k`, `[K, ...]`.
      means: `mu_k`, `[K, ...]`.
      log_scales: `l_k`, `[K, ...]`.

    Returns:
      `(y, log_derivative)`, each `[...]`, in nats.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.logistic_mixture import mixture_logit, mixture_logit_inverse
      >>> one = tf.constant([0.0]), tf.constant([1.0]), tf.constant([np.log(2.0)], tf.float32)  # mean 1, scale 2
      >>> y, log_derivative = mixture_logit(tf.constant(4.0), *one)
      >>> print(round(float(y), 4), round(float(log_derivative), 4))  # (4 - 1) / 2 and ln(1/2)
      1.5 -0.6931
      >>> two = tf.zeros([2]), tf.constant([-1.0, 1.0]), tf.zeros([2])
      >>> y, log_derivative = mixture_logit(tf.constant(0.5), *two)
      >>> x, log_inverse = mixture_logit_inverse(y, *two)
      >>> print(round(float(x), 4), round(float(log_derivative), 4), round(float(log_inverse), 4))
      0.5 -0.2248 0.2248
    """
    log_total, pi = _normalized(logits)
    log_pi = logits - log_total
    inverse_scales = tf.exp(-log_scales)
    z, small, log_below, log_above = _logistics(x, means, inverse_scales)
    below, above = log_pi + log_below, log_pi + log_above
    log_cdf, below_weights = _normalized(below)
    log_survival, above_weights = _normalized(above)
    # ln f - ln F - ln S, but each term ln f_k without the larger part of what is taken away: in the tails both are huge.
    lower = log_cdf <= log_survival
    log_density = tf.where(lower, below - log_cdf + log_above, above - log_survival + log_below) - log_scales
    log_sum, density_weights = _normalized(log_density)
    y = (log_cdf - log_survival)[0]
    log_derivative = (log_sum - tf.where(lower, log_survival, log_cdf))[0]

    def gradient(d_y, d_log_derivative):
        cdf, survival = _sigmoids(z, small)
        # With respect to z_k, then by the chain rule.
        d_z = d_y * (below_weights * survival + above_weights * cdf) + d_log_derivative * (
            (density_weights - below_weights) * survival + (above_weights - density_weights) * cdf
        )
        d_logits = d_y * (below_weights - above_weights) + d_log_derivative * (
            density_weights - below_weights - above_weights + pi
        )
        d_shifts = d_z * inverse_scales
        # A component without weight may have a z that overflows.
        d_log_scales = tf.math.multiply_no_nan(z, -d_z) - d_log_derivative * density_weights
        return tf.reduce_sum(d_shifts, axis=0), d_logits, -d_shifts, d_log_scales

    return (y, log_derivative), gradient


@tf.custom_gradient
def mixture_logit_inverse(
    y: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The `x` for which `mixture_logit(x) = y`, and `ln dx/dy`, elementwise; the arguments are those of `mixture_logit`.

    The root is bracketed by `min_k` and `max_k` of `mu_k + exp(l_k) y`, where each component alone would have it. Gradients are
    those of the implicit function, `dx = (dy - dy/dtheta dtheta) / (dy/dx)`.

    Returns:
      `(x, log_derivative)`, each `[...]`, the latter in nats.
    """
    # Otherwise an enclosing tape would record the loop, whose gradient XLA cannot compile.
    x, _ = solve(*map(tf.stop_gradient, (y, logits, means, log_scales)))
    _, log_derivative = mixture_logit(x, logits, means, log_scales)

    def gradient(d_x, d_log_derivative):
        return _implicit_gradient(
            _root(x, y, logits, means, log_scales), (logits, means, log_scales), d_x, d_log_derivative
        )

    return (x, -log_derivative), gradient


def _root(x, y, *mixture):
    """The root `x` that was found, as a function of y and the mixture: what a gradient that is differentiated again sees."""

    @tf.custom_gradient
    def implicit(y, *mixture):
        return tf.identity(x), lambda d_x: _implicit_gradient(_root(x, y, *mixture), mixture, d_x)

    return implicit(y, *mixture)


def _implicit_gradient(x, mixture, d_x, d_log_derivative=None):
    """Gradients with respect to y and the mixture, given those of the root x and of `ln dx/dy` there."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch([x, *mixture])
        value, slope = mixture_logit(x, *mixture)
    # Where y hardly grows x moves far, but not farther than numbers go.
    inverse_slope = tf.exp(tf.minimum(-slope, 80.0))
    if d_log_derivative is None:
        d_y = inverse_slope * d_x
        return d_y, *tape.gradient(value, mixture, output_gradients=-d_y)
    d_y = inverse_slope * (d_x - tape.gradient(slope, x, output_gradients=d_log_derivative))
    return d_y, *tape.gradient([value, slope], mixture, output_gradients=[-d_y, -d_log_derivative])


def solve(y: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The root of `mixture_logit(x) = y`, without a gradient.

    Newton's method within the bracket, and bisection where it leaves the bracket or does not halve its steps. It stops when every
    element has its root up to rounding.

    Returns:
      `(x, num_evaluations)`: `[...]`, and how often the function was evaluated, int32 scalar.
    """
    log_total, pi = _normalized(logits)
    log_pi, inverse_scales = logits - log_total, tf.exp(-log_scales)
    scales = tf.exp(log_scales)
    points = means + scales * y
    low, high = tf.reduce_min(points, axis=0), tf.reduce_max(points, axis=0)
    last_step = _LAST_STEP[y.dtype] * tf.reduce_min(scales, axis=0)
    epsilon = y.dtype.as_numpy_dtype(2 * tf.experimental.numpy.finfo(y.dtype.as_numpy_dtype).eps)
    start = tf.clip_by_value(tf.reduce_sum(pi * points, axis=0), low, high)

    def goes_on(count, x, low, high, step, done):
        del x, low, high, step
        return (count < _MAX_EVALUATIONS) & ~tf.reduce_all(done)

    def improve(count, x, low, high, step, done):
        z = (x - means) * inverse_scales
        # sigmoid(z) = exp(min(z, 0)) sigmoid(|z|): the first factor is scaled together with pi_k, so neither needs a logarithm.
        larger = tf.sigmoid(tf.abs(z))
        top_below, below = _scaled(log_pi + tf.minimum(z, 0), larger)
        top_above, above = _scaled(log_pi - tf.maximum(z, 0), larger)
        cdf, survival = tf.reduce_sum(below, axis=0), tf.reduce_sum(above, axis=0)
        excess = (top_below + tf.math.log(cdf)) - (top_above + tf.math.log(survival)) - y
        slopes = below * (tf.sigmoid(-z) / cdf) + above * (tf.sigmoid(z) / survival)
        slope = tf.reduce_sum(slopes * inverse_scales, axis=0)
        low, high = tf.where(excess < 0, x, low), tf.where(excess > 0, x, high)
        newton = tf.math.divide_no_nan(excess, slope)
        target = x - newton
        close = tf.abs(newton) <= tf.maximum(epsilon * tf.abs(x), last_step)
        last = (close & (slope > 0)) | (tf.abs(excess) <= epsilon * (1 + tf.abs(y)))
        slow = 2 * tf.abs(excess) > tf.abs(step * slope)
        bisect = ~last & ((target <= low) | (target >= high) | slow)
        new = tf.where(bisect, 0.5 * low + 0.5 * high, tf.clip_by_value(target, low, high))
        new = tf.where(done, x, new)
        new_step = new - x
        stuck = bisect & (tf.abs(new_step) <= epsilon * tf.abs(x))
        return count + 1, new, low, high, new_step, done | last | stuck

    state = (tf.constant(0), start, low, high, high - low, high <= low)
    count, x, *_ = tf.while_loop(goes_on, improve, state)
    return x, count


def _logistics(x, means, inverse_scales):
    """`z`, `exp(-|z|)`, `ln sigmoid(z)` and `ln sigmoid(-z)`."""
    z = (x - means) * inverse_scales
    return z, *_log_sigmoids(z)


@tf.custom_gradient
def _log_sigmoids(z):
    """`exp(-|z|)`, `ln sigmoid(z)` and `ln sigmoid(-z)`; the logarithms are smooth at 0, where the absolute value is not.

    The first is for `_sigmoids`, which answers for its part of the gradient.
    """
    small = tf.exp(-tf.abs(z))
    softplus = tf.math.log1p(small)

    def gradient(_, d_log_below, d_log_above):
        return d_log_below * tf.sigmoid(-z) - d_log_above * tf.sigmoid(z)

    return (small, tf.minimum(z, 0) - softplus, -tf.maximum(z, 0) - softplus), gradient


@tf.custom_gradient
def _sigmoids(z, small):
    """`sigmoid(z)` and `sigmoid(-z)` from `small = exp(-|z|)`, each to its own precision."""
    large = 1 / (1 + small)
    tail = small * large
    positive = z >= 0

    def gradient(d_below, d_above):
        return (d_below - d_above) * tf.sigmoid(z) * tf.sigmoid(-z), None

    return (tf.where(positive, large, tail), tf.where(positive, tail, large)), gradient


def _scaled(terms, factors):
    """`m = max_k terms_k`, and `factors_k exp(terms_k - m)`."""
    top = tf.reduce_max(terms, axis=0)
    return top, factors * tf.exp(terms - top)


def _normalized(terms):
    """`ln sum_k exp(terms_k)`, `[1, ...]`, and the softmax of the terms."""
    top = tf.reduce_max(terms, axis=0, keepdims=True)
    exponentials = tf.exp(terms - top)
    total = tf.reduce_sum(exponentials, axis=0, keepdims=True)
    return top + tf.math.log(total), exponentials / total


def encode(
    x: tf.Tensor,
    parameters: tf.Tensor,
    num_components: int,
    log_scale_of: Callable[[tf.Tensor], tf.Tensor] = tf.tanh,
    min_log_scale: float | None = MIN_LOG_SCALE,
    margin: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The coupling's elementwise map, from data to latents: `y = mixture_logit(x) exp(s) + t` and `ln dy/dx`.

    With a margin m the logit is that of `(1 - 2 m) F + m` instead of F; see `tfflows.math.bounded_logit`.

    Args:
      x: Float `[..., C]`.
      parameters: `[..., (2 + 3 K) C]`, the output of a network; on the channels, C each of r, t, K logits, K means, K log-scales.
      num_components: Number of components K.
      log_scale_of: Maps r to s.
      min_log_scale: Lower bound of the mixture's log-scales; None for none.
      margin: The margin m in [0, 1/2).

    Returns:
      `(y, log_derivative)`, each of the shape of `x`; the latter in nats.

    Raises:
      ValueError: If the last axis of `parameters` is no multiple of `2 + 3 K`.
    """
    log_scale, shift, mixture = _columns_of(parameters, num_components, log_scale_of, min_log_scale)
    y, log_derivative = mixture_logit(_to_column(x), *mixture)
    if margin:
        y, log_bounded = bounded_logit(y, margin)
        log_derivative += log_bounded
    return _from_column(y * tf.exp(log_scale) + shift, x), _from_column(log_derivative + log_scale, x)


def decode(
    y: tf.Tensor,
    parameters: tf.Tensor,
    num_components: int,
    log_scale_of: Callable[[tf.Tensor], tf.Tensor] = tf.tanh,
    min_log_scale: float | None = MIN_LOG_SCALE,
    margin: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The inverse of `encode`: `(x, ln dx/dy)`; the other arguments are those of `encode`.

    With a margin not every y is a value of `encode`; for the others x is the mixture's quantile 1e-5 or 1 - 1e-5, and the
    logarithm is that of the released code, see `tfflows.math.bounded_logit.bounded_logit_inverse`.
    """
    log_scale, shift, mixture = _columns_of(parameters, num_components, log_scale_of, min_log_scale)
    logit, log_bounded = (_to_column(y) - shift) * tf.exp(-log_scale), 0.0
    if margin:
        logit, log_bounded = bounded_logit_inverse(logit, margin)
    x, log_derivative = mixture_logit_inverse(logit, *mixture)
    log_derivative += log_bounded
    return _from_column(x, y), _from_column(log_derivative - log_scale, y)


def _to_column(x):
    """`[..., C] -> [C P]`, channel by channel: a transposition now saves many strided sums."""
    return tf.reshape(tf.transpose(tf.reshape(x, [-1, x.shape[-1]])), [-1])


def _from_column(column, like):
    rows = tf.transpose(tf.reshape(column, [like.shape[-1], -1]))
    return tf.ensure_shape(tf.reshape(rows, sizes_of(like)), like.shape)


def _columns_of(parameters, num_components, log_scale_of, min_log_scale):
    """`s`, `t`, both `[C P]`, and the three parameters of the mixture, each `[K, C P]`."""
    kinds = 2 + 3 * num_components
    channels = parameters.shape[-1] // kinds
    if parameters.shape[-1] != kinds * channels:
        raise ValueError(
            f"{num_components} components need a multiple of {kinds} parameters, got a tensor of shape {parameters.shape}."
        )
    rows = tf.reshape(tf.transpose(tf.reshape(parameters, [-1, kinds * channels])), [kinds, -1])
    sizes = [1, 1, num_components, num_components, num_components]
    raw_log_scale, shift, logits, means, log_scales = tf.split(rows, sizes, axis=0)
    if min_log_scale is not None:
        log_scales = tf.maximum(log_scales, tf.cast(min_log_scale, log_scales.dtype))
    return log_scale_of(raw_log_scale[0]), shift[0], (logits, means, log_scales)
