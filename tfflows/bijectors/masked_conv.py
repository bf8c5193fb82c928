"""Masked-convolution flow: each pixel is scaled and shifted given those before it."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.bijectors.parts import flat_condition
from tfflows.choices import JACOBI
from tfflows.math import coupling
from tfflows.math.fixed_point import TOLERANCE, fixed_point
from tfflows.math.masked_convolution import convolve, pixel_network
from tfflows.math.sequential_inverse import sequential_inverse
from tfflows.math.shapes import flatten_batch, unflatten_batch
from tfflows.tracing.gradients import INVERSE
from tfflows.tracing.sampler import current_sampler
from tfflows.tracing.variables import variables_of_layers

if TYPE_CHECKING:
    import keras

# On a CPU a compiled loop runs on one thread, so a batch is cut into parts that run side by side. With fewer pixels per part than
# this, the fixed cost of a tick exceeds what another thread gains.
_PIXELS_A_PART = 4096


class MaskedConv(Bijector):
    """Data to latent: `inverse(y) = s * y + mu`, `(mu, r) = network(y)`, `s = sigmoid(r + 2)`; log-determinant `sum ln s`.

    For each pixel the network sees only the pixels before it, with all their channels, so the Jacobian is triangular. With
    `affine=False` the flow is additive: `y + mu`, log-determinant 0. The direction from latent to data runs one loop over the
    pixels, in which pixels that do not see each other are computed together: 2 (H - 1) + W ticks for a 3x3 mask, H (or W) for a
    shifted convolution. XLA compiles the loop, once for all flows of equal shapes. This inverse is exact, not iterative; within
    `tfflows.tracing.sampler_scope("jacobi")` it is iterative.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import MaskedConv
      >>> from tfflows.networks import MaskedNetwork
      >>> network = MaskedNetwork(filters=4, order="A")  # a shift and a scale per channel
      >>> network.build([None, 4, 4, 2])
      >>> flow = MaskedConv(network, jit_compile=False)  # no compilation for tiny images
      >>> images = tf.random.stateless_normal([3, 4, 4, 2], seed=[0, 0])
      >>> latent = flow.inverse(images)
      >>> print(float(tf.reduce_max(tf.abs(flow.forward(latent) - images))) < 1e-5)
      True

      A latent pixel depends on its own data and on that of the pixels before it in the order:

      >>> changed = images + tf.one_hot([2], 4)[0, :, tf.newaxis, tf.newaxis]  # row 2
      >>> print([bool(same) for same in tf.reduce_all(flow.inverse(changed) == latent, axis=[0, 2, 3])])
      [True, True, False, False]

    References:
      Ma et al. 2019, section 3.1, https://arxiv.org/abs/1902.04208; released code (XuezheMax/macow).
    """

    def __init__(
        self,
        network: keras.layers.Layer,
        affine: bool = True,
        conditional: bool = False,
        jit_compile: bool = True,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "masked_conv",
    ) -> None:
        """Creates the flow.

        Args:
          network: Network, built, with 2 C output channels (shifts, then raw scales), or C if not `affine`.
          affine: Whether pixels are scaled as well as shifted.
          conditional: Whether the network takes `condition=`.
          jit_compile: Whether XLA compiles the direction from latent to data. Compiling takes about a second, and the loop then
            takes a third of its time. Second derivatives of that direction run without XLA and cannot be compiled.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If the network has not been built, or gives an odd number of channels for shifts and scales.
        """
        parameters = dict(locals())
        self.network = network
        self._layer_variables = variables_of_layers(network)
        if affine and network.filters % 2:
            raise ValueError(
                f"The network of {name} gives {network.filters} channels; an affine flow needs an even number, shifts and scales."
            )
        self._affine = affine
        self._jit_compile = jit_compile
        self.takes_condition = conditional
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=not affine,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self) -> str:
        size = "x".join(str(side) for side in self.network.kernel_size)
        kind = f"{self.network.kind} {size} {self.network.order}"
        return f"MaskedConv({self.name!r}: {kind}, {self._num_parameters():,} parameters)"

    def _known_event_shape(self, direction):
        return self._known_channels(self.network.filters // (2 if self._affine else 1))

    def _flat_condition(self, x, condition):
        if not self.takes_condition:
            return None
        if condition is None:
            raise ValueError(f"{self.name} needs a condition; pass condition=.")
        return flat_condition(condition, x.shape.rank - 3)

    def _encode(self, y, parameters):
        if not self._affine:
            return y + parameters, broadcast_log_det(0.0, y, 3)
        shift, raw_scale = coupling.contiguous(parameters)
        log_scale = coupling.log_sigmoid_scale(raw_scale)
        return coupling.scale_then_shift(y, shift, log_scale), tf.reduce_sum(log_scale, axis=[-3, -2, -1])

    def _inverse_and_log_det(self, y, condition=None):
        parameters = self.network(flatten_batch(y), self._flat_condition(y, condition))
        return self._encode(y, unflatten_batch(parameters, y))

    def _forward_and_log_det(self, x, condition=None):
        if current_sampler() == JACOBI:
            y, raw_scale, _ = self.jacobi(x, condition)
            ys, raw_scales = [y], [raw_scale]
        else:
            ys, raw_scales = self._in_sequence(x, condition)
        y = unflatten_batch(_joined(ys), x)
        if not self._affine:
            return y, broadcast_log_det(0.0, y, 3)
        # Outside the loop, since sampling does not need it; per part, so that the sums run side by side as well.
        log_dets = [-tf.reduce_sum(coupling.log_sigmoid_scale(raw), axis=[-3, -2, -1]) for raw in raw_scales]
        return y, unflatten_batch(_joined(log_dets), x)

    def _in_sequence(self, x, condition):
        """Data and raw scales of the parts of a batch, flattened, each part by a loop of its own."""
        kind, order, kernel, pixel_parameters, *images = self._resolved(x, condition)
        decode = _decoder(kind, order, self._affine, self.network.compute_dtype, self._jit_compile)
        num_parts = _num_parts(images[0].shape) if self._jit_compile else 1
        parts = zip(*(tf.split(values, num_parts) for values in images), strict=True)
        return zip(*(decode(latents, features, kernel, pixel_parameters) for latents, *features in parts), strict=True)

    def jacobi(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Solves `inverse(y) = x` by passes over whole images, see `tfflows.tracing.sampler_scope`.

        Args:
          x: Latents `[..., H, W, C]`.
          condition: As for `forward`.

        Returns:
          `(y, raw_scales, num_rounds)`, the first two with all axes of the batch as one; raw scales have no channels if the flow
          is additive.
        """
        kind, order, kernel, pixel_parameters, latents, *features = self._resolved(x, condition)
        compute_dtype = self.network.compute_dtype
        kernel = tf.cast(kernel, compute_dtype)

        def update(y):
            hidden = convolve(tf.cast(y, compute_dtype), kernel, kind, order)
            return _decoded(latents, sum(features, hidden), pixel_parameters, self._affine)

        most = latents.shape[1] * latents.shape[2] + 1
        return fixed_point(update, latents, latents if self._affine else latents[..., :0], most, TOLERANCE)

    def _resolved(self, x, condition):
        """Kind, order, kernel, parameters of `pixel_network`, the flat batch, and features of the context if there is one."""
        network = self.network
        features = network.features(self._flat_condition(x, condition))
        kernel, pixel_parameters = network.masked.effective_kernel(), network.pixel_parameters()
        images = [flatten_batch(x)] if features is None else [flatten_batch(x), features]
        return network.kind, network.order, kernel, pixel_parameters, *images

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the network from a batch and returns the latent, in one call of the network."""
        y, condition = self._checked_input(INVERSE, y, condition)
        parameters = self.network.initialize(flatten_batch(y), self._flat_condition(y, condition))
        return self._encode(y, unflatten_batch(parameters, y))[0]


def _joined(parts):
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)


def _decoded(latents, hidden, pixel_parameters, affine):
    """Data whose masked convolution `hidden` is known, and their raw scales, without channels if not `affine`."""
    parameters = tf.cast(pixel_network(hidden, *pixel_parameters), latents.dtype)
    if not affine:
        return latents - parameters, parameters[..., :0]
    shift, raw_scale = coupling.contiguous(parameters)
    return coupling.inverse_scale_then_shift_of_sigmoid(latents, shift, raw_scale), raw_scale


@functools.cache
def _decoder(kind, order, affine, compute_dtype, jit_compile):
    """Makes `(latents, features, kernel, pixel parameters) -> (y, raw scales)`, shared by all flows with these settings."""

    def run(latents, features, kernel, pixel_parameters):
        def decode(pixels, hidden):
            return _decoded(pixels, hidden, pixel_parameters, affine)

        return sequential_inverse(latents, kernel, kind, order, decode, *features, compute_dtype=compute_dtype)

    return _compiled(run) if jit_compile else run


def _num_parts(shape):
    """Number of equal parts to cut a batch of images `[B, H, W, C]` into; 1 where nothing would run side by side."""
    batch, height, width, _ = shape
    if tf.executing_eagerly() or batch is None or _has_accelerator():
        return 1
    threads = tf.config.threading.get_inter_op_parallelism_threads() or os.cpu_count()
    most = min(threads, batch * height * width // _PIXELS_A_PART)
    return next((parts for parts in range(most, 1, -1) if batch % parts == 0), 1)


def _has_accelerator():
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def _compiled(run):
    """Compiles `run` and its gradient with XLA.

    The gradient runs `run` again, because tensors that a loop keeps for it cannot leave compiled code. Second derivatives are
    computed by TensorFlow's own loops, not compiled.
    """
    compiled = tf.function(run, jit_compile=True, autograph=False)

    def gradient(arguments, upstream):
        tensors = tf.nest.flatten(arguments)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            results = run(*arguments)
        return tape.gradient(results, tensors, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    compiled_gradient = tf.function(gradient, jit_compile=True, autograph=False)

    def call(*arguments):
        def packed(tensors):
            return tf.nest.pack_sequence_as(arguments, tensors)

        def stopped(tensors):
            # Otherwise a tape around it would ask the compiled function itself for its gradient.
            return [tf.stop_gradient(tensor) for tensor in tensors]

        @tf.custom_gradient
        def differentiable(*tensors):
            return compiled(*packed(stopped(tensors))), lambda *upstream: differentiable_gradient(*tensors, *upstream)

        @tf.custom_gradient
        def differentiable_gradient(*both):
            count = len(tf.nest.flatten(arguments))

            def second(*upstream):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(both)
                    products = gradient(packed(both[:count]), list(both[count:]))
                zero = tf.UnconnectedGradients.ZERO
                return tape.gradient(products, both, upstream, unconnected_gradients=zero)

            tensors, upstream = stopped(both[:count]), stopped(both[count:])
            return compiled_gradient(packed(tensors), upstream), second

        return differentiable(*tf.nest.flatten(arguments))

    return call
