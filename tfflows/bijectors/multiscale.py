"""The multi-scale architecture: after each level half of the channels is factored out."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.bijectors.parts import at_place, check_bijectors, common_dtype, map_condition
from tfflows.tracing import gradients
from tfflows.tracing.stateless import Derived, Structure

tfb = tfp.bijectors


class Level(NamedTuple):
    """One level of a multi-scale flow.

    Attributes:
      flow: Bijector of images, usually a `Chain` that begins with `Squeeze`.
      prior: Bijector that whitens the part that leaves after this level. Its condition is the half that goes on or, at the last
        level, the condition of the whole flow. None for a plain N(0, I).

    Example:
      >>> from tfflows.bijectors import Level, Squeeze
      >>> Level(flow=Squeeze()).prior is None
      True
    """

    flow: Bijector
    prior: Bijector | None = None


class MultiScale(Bijector):
    """Data to latent: images `[..., H, W, C]` to vectors `[..., H*W*C]` of whitened parts, level 0 ... top.

    At each level `z = flow_i(z)`. After each level but the last, the first half of the channels goes on and the second leaves
    as `(z2 - mean(z1)) / scale(z1)`; after the last level all of z leaves. The parts are flattened row-major and concatenated.

    A condition reaches the flows and the last prior if they take one, never the priors between levels. A condition of image
    shape is squeezed by the level's flow, but not split.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm, Chain, GaussianPrior, Level, MultiScale, Squeeze
      >>> prior = GaussianPrior(lambda kept: tf.zeros([*kept.shape[:-1], 4]))  # N(0, I), given the half that goes on
      >>> levels = [Level(Chain([Squeeze(), ActNorm([4])]), prior), Level(Chain([Squeeze(), ActNorm([8])]))]
      >>> flow = MultiScale(levels, image_shape=[4, 4, 1])
      >>> print([tuple(shape) for shape in flow.part_shapes])
      [(2, 2, 2), (1, 1, 8)]
      >>> images = tf.random.stateless_normal([3, 4, 4, 1], seed=[0, 0])
      >>> latent = flow.initialize(images)
      >>> print(latent.shape)
      (3, 16)
      >>> print(float(tf.reduce_max(tf.abs(flow.forward(latent) - images))) < 1e-5)
      True

    References:
      Dinh et al. 2017, section 3.6, https://arxiv.org/abs/1605.08803; Kingma & Dhariwal 2018, figure 2b,
      https://arxiv.org/abs/1807.03039.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        image_shape: Sequence[int] | tf.TensorShape,
        validate_args: bool = False,
        name: str = "multiscale",
    ) -> None:
        """Creates the flow.

        Args:
          levels: Levels in order from data to latent.
          image_shape: Shape `[H, W, C]` of an image.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          TypeError: If something in `levels` is no `Level` of bijectors.
          ValueError: If there is no level, a side is not a multiple of the factor of a level's squeeze, or parts have different
            dtypes.
        """
        parameters = dict(locals())
        levels = list(levels)
        if not levels:
            raise ValueError("MultiScale needs at least one level, got an empty list.")
        for level in levels:
            if not isinstance(level, Level):
                raise TypeError(
                    f"MultiScale needs levels, got {level!r}, a {type(level).__name__}; make it a Level(flow, prior)."
                )
            check_bijectors("A level", level.flow, *([] if level.prior is None else [level.prior]))
        self.levels = levels
        self._image_shape = tf.TensorShape(image_shape)
        self._part_shapes = self._shapes_of_parts()
        self._structures = _Structures(self.levels)
        self.takes_condition = any(level.flow.takes_condition for level in self.levels) or takes_condition(
            self.levels[-1].prior
        )
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=3,
            dtype=common_dtype(
                f"MultiScale {name!r}", [part for level in levels for part in level if part is not None]
            ),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self) -> str:
        """Describes each level: its flow, the part that leaves after it, and the prior of that part."""
        lines = [
            f"MultiScale({self.name!r}: {self._image_shape} to {self.num_dimensions} latents; "
            f"{self._num_parameters():,} parameters)"
        ]
        for index, (level, shape) in enumerate(zip(self.levels, self._part_shapes, strict=True)):
            prior = "N(0, I)" if level.prior is None else repr(level.prior)
            lines.append(f"  level {index}: {level.flow!r}; {shape} leaves under {prior}")
        return "\n".join(lines)

    @property
    def image_shape(self) -> tf.TensorShape:
        """Shape `[H, W, C]` of an image."""
        return self._image_shape

    @property
    def part_shapes(self) -> list[tf.TensorShape]:
        """Shapes `[h, w, c]` of the latent's parts, level 0 ... top."""
        return self._part_shapes

    @property
    def num_dimensions(self) -> int:
        """Number of dimensions of an image, `H * W * C`."""
        return self._image_shape.num_elements()

    def _shapes_of_parts(self):
        shapes, shape = [], self._image_shape
        for level in self.levels[:-1]:
            height, width, channels = level.flow.inverse_event_shape(shape)
            shape = tf.TensorShape([height, width, channels // 2])
            shapes.append(shape)
        return [*shapes, self.levels[-1].flow.inverse_event_shape(shape)]

    def split_latent(self, latent: tf.Tensor) -> list[tf.Tensor]:
        """Cuts `[..., H*W*C]` into its parts, a list of `[..., h, w, c]`, level 0 ... top."""
        parts = tf.split(latent, [shape.num_elements() for shape in self._part_shapes], axis=-1)
        batch = tf.shape(latent)[:-1]
        static = latent.shape[:-1]
        return [
            tf.ensure_shape(tf.reshape(part, tf.concat([batch, shape.as_list()], axis=0)), static + shape)
            for part, shape in zip(parts, self._part_shapes, strict=True)
        ]

    def join_latent(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Joins parts `[..., h, w, c]` to a latent `[..., H*W*C]`; the inverse of `split_latent`."""
        flat = []
        for part, shape in zip(parts, self._part_shapes, strict=True):
            size = tf.concat([tf.shape(part)[:-3], [shape.num_elements()]], axis=0)
            flat.append(tf.ensure_shape(tf.reshape(part, size), part.shape[:-3].concatenate([shape.num_elements()])))
        return tf.concat(flat, axis=-1)

    def _conditions(self, condition, batch_ndims):
        """Gives the condition as it enters each level, and as it leaves the last one."""
        conditions = [map_condition(condition, on_tensor=tf.convert_to_tensor)]
        for level in self.levels:
            before = conditions[-1]
            conditions.append(None if before is None else level.flow.squeeze_condition(before, batch_ndims))
        return conditions

    def _flow_condition(self, index, condition):
        return at_place(condition, index) if self.levels[index].flow.takes_condition else None

    def _prior_condition(self, index, kept, condition):
        if not takes_condition(self.levels[index].prior):
            return None
        return condition if index == len(self.levels) - 1 else kept

    def _walk_to_latent(self, y, condition, run_flow, run_prior):
        """Walks from data to latent, for the inverse and for initialization, which differ in what runs at each flow and prior."""
        parts, z, last = [], y, len(self.levels) - 1
        conditions = self._conditions(condition, y.shape.rank - self.inverse_min_event_ndims)
        for index, level in enumerate(self.levels):
            z = run_flow(level.flow, z, self._flow_condition(index, conditions[index]))
            kept, out = (None, z) if index == last else tf.split(z, 2, axis=-1)
            if level.prior is not None:
                out = run_prior(level.prior, out, self._prior_condition(index, kept, conditions[index + 1]))
            parts.append(out)
            z = kept
        return self.join_latent(parts)

    def _inverse_and_log_det(self, y, condition=None):
        log_dets = []

        def run(bijector, value, bijector_condition):
            value, log_det = bijector.inverse_and_log_det(value, bijector_condition)
            log_dets.append(log_det)
            return value

        latent = self._walk_to_latent(y, condition, run, run)
        return latent, tf.add_n(log_dets)

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes flows and priors, from data to latent, and returns the latent."""
        y, condition = self._checked_input(gradients.INVERSE, y, condition)

        def run(bijector, value, bijector_condition):
            return bijector.initialize(value, bijector_condition)

        return self._walk_to_latent(y, condition, run, run)

    def _forward_and_log_det(self, x, condition=None):
        parts = self.split_latent(x)
        conditions = self._conditions(condition, x.shape.rank - self.forward_min_event_ndims)
        log_dets, z = [], None
        for index in reversed(range(len(self.levels))):
            level, out = self.levels[index], parts[index]
            if level.prior is not None:
                prior_condition = self._prior_condition(index, z, conditions[index + 1])
                out, log_det = level.prior.forward_and_log_det(out, prior_condition)
                log_dets.append(log_det)
            z = out if z is None else tf.concat([z, out], axis=-1)
            z, log_det = level.flow.forward_and_log_det(z, self._flow_condition(index, conditions[index]))
            log_dets.append(log_det)
        return z, tf.add_n(log_dets)

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        inverse = direction == gradients.INVERSE
        sums = gradients.GradientSums(values)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            gradients.watch(tape, condition)
            batch_ndims = y.shape.rank - (self.forward_min_event_ndims if inverse else self.inverse_min_event_ndims)
            conditions = self._conditions(condition, batch_ndims)
        d_conditions = [None] * len(conditions)
        d_log_det = upstream[1]

        def flow(index, z, d_z):
            """Computes the input of a level's flow and its gradient from the output and its gradient."""
            bijector, structure = self.levels[index].flow, self._structures[index][0]
            given = self._flow_condition(index, conditions[index])
            own = structure.values()
            z, d_z, d_given, d_own = bijector._rebuild_and_gradient(direction, z, [d_z, d_log_det], given, own)
            sums.add(own, d_own)
            if given is not None:
                d_conditions[index] = gradients.add(d_conditions[index], d_given)
            return z, d_z

        def prior(index, out, d_out, kept, d_kept):
            """Does the same for a level's prior, with the gradient of the half that it is conditioned on."""
            bijector, structure = self.levels[index].prior, self._structures[index][1]
            if bijector is None:
                return out, d_out, d_kept
            given = self._prior_condition(index, kept, conditions[index + 1])
            own = structure.values()
            out, d_out, d_given, d_own = bijector._rebuild_and_gradient(direction, out, [d_out, d_log_det], given, own)
            sums.add(own, d_own)
            if kept is not None:
                d_kept = gradients.add(d_kept, d_given)
            elif given is not None:
                d_conditions[index + 1] = gradients.add(d_conditions[index + 1], d_given)
            return out, d_out, d_kept

        walk = self._rebuild_from_latent if inverse else self._rebuild_from_image
        x, d_x = walk(y, upstream[0], flow, prior)
        return x, d_x, gradients.pull_back(tape, conditions, d_conditions, condition), sums.result()

    def _rebuild_from_latent(self, latent, d_latent, flow, prior):
        parts, d_parts = self.split_latent(latent), self.split_latent(d_latent)
        z = d_z = None
        for index in reversed(range(len(self.levels))):
            out, d_out, d_z = prior(index, parts[index], d_parts[index], z, d_z)
            z = out if z is None else tf.concat([z, out], axis=-1)
            d_z = d_out if d_z is None else tf.concat([d_z, d_out], axis=-1)
            z, d_z = flow(index, z, d_z)
        return z, d_z

    def _rebuild_from_image(self, image, d_image, flow, prior):
        parts, d_parts, last = [], [], len(self.levels) - 1
        z, d_z = image, d_image
        for index in range(len(self.levels)):
            z, d_z = flow(index, z, d_z)
            kept, out = (None, z) if index == last else tf.split(z, 2, axis=-1)
            d_kept, d_out = (None, d_z) if index == last else tf.split(d_z, 2, axis=-1)
            out, d_out, d_kept = prior(index, out, d_out, kept, d_kept)
            parts.append(out)
            d_parts.append(d_out)
            z, d_z = kept, d_kept
        return self.join_latent(parts), self.join_latent(d_parts)

    def _known_event_shape(self, direction):
        return self._image_shape if direction == gradients.INVERSE else [self.num_dimensions]

    def _inverse_event_shape(self, shape):
        return shape[:-3].concatenate([self.num_dimensions])

    def _forward_event_shape(self, shape):
        return shape[:-1] + self._image_shape

    def _inverse_event_shape_tensor(self, shape):
        return tf.concat([shape[:-3], [self.num_dimensions]], axis=0)

    def _forward_event_shape_tensor(self, shape):
        return tf.concat([shape[:-1], self._image_shape.as_list()], axis=0)


class _Structures(Derived):
    """Where the variables of each level's flow and prior are held; found when first needed."""

    def __init__(self, levels):
        self._levels = levels

    @functools.cached_property
    def _pairs(self):
        return [tuple(None if part is None else Structure(part) for part in level) for level in self._levels]

    def find_variables(self) -> None:
        """Finds the variables before tensors stand in for them; see `SharedBlocks`."""
        _ = self._pairs

    def __getitem__(self, index: int) -> tuple[Structure | None, ...]:
        return self._pairs[index]
