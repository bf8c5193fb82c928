"""The multi-scale architecture: after each level half of the channels is factored out."""

import functools
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.bijectors.conditions import at_place, map_condition
from tfflows.tracing import gradients
from tfflows.tracing.stateless import Derived, Structure

tfb = tfp.bijectors


class Level(NamedTuple):
    """One level of a multi-scale flow.

    Attributes:
      flow: Bijector of images, usually a `Chain` that begins with `Squeeze`.
      prior: Bijector that whitens what leaves the flow after this level: given the kept half as condition, or, at the last
        level, given the condition of the whole; None for a plain N(0, I).
    """

    flow: Bijector
    prior: Bijector | None = None


class MultiScale(Bijector):
    """Data to latent: images `[..., H, W, C]` to vectors `[..., H*W*C]` of whitened parts, level 0 ... top.

    Level by level: `z = flow_i(z)`; unless it is the last, the first half of the channels goes on and the second leaves as
    `(z2 - mean(z1)) / scale(z1)`; at the last level all of z leaves. The parts are flattened row-major and concatenated.

    A condition reaches the flows and the last prior if they take one, never the priors between levels. One of image shape
    goes on as the level's flow squeezes it; splits leave it.

    #### References

    Dinh et al. 2017, section 3.6; Kingma & Dhariwal 2018, figure 2b.
    """

    def __init__(self, levels, image_shape, validate_args=False, name="multiscale"):
        """Creates the flow.

        Args:
          levels: Sequence of `Level`, from data to latent.
          image_shape: Integers `[H, W, C]`.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if there is no level, or a side is no multiple of 2 at a level's squeeze.
        """
        parameters = dict(locals())
        self.levels = list(levels)
        if not self.levels:
            raise ValueError("MultiScale needs at least one level.")
        self._image_shape = tf.TensorShape(image_shape)
        self._part_shapes = self._shapes_of_parts()
        self._structures = _Structures(self.levels)
        self.takes_condition = any(level.flow.takes_condition for level in self.levels) or takes_condition(
            self.levels[-1].prior
        )
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=3,
            dtype=self.levels[0].flow.dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self):
        """The levels: what each flow is, what leaves after it, and under which prior."""
        lines = [
            f"MultiScale({self.name!r}: {self._image_shape} to {self.num_dimensions} latents; "
            f"{self._num_parameters():,} parameters)"
        ]
        for index, (level, shape) in enumerate(zip(self.levels, self._part_shapes, strict=True)):
            prior = "N(0, I)" if level.prior is None else repr(level.prior)
            lines.append(f"  level {index}: {level.flow!r}; {shape} leaves under {prior}")
        return "\n".join(lines)

    @property
    def image_shape(self):
        """Static shape `[H, W, C]` of the data."""
        return self._image_shape

    @property
    def part_shapes(self):
        """Static shapes `[h, w, c]` of the latent's parts, level 0 ... top."""
        return self._part_shapes

    @property
    def num_dimensions(self):
        """Python `int`, `H * W * C`."""
        return self._image_shape.num_elements()

    def _shapes_of_parts(self):
        shapes, shape = [], self._image_shape
        for level in self.levels[:-1]:
            height, width, channels = level.flow.inverse_event_shape(shape)
            shape = tf.TensorShape([height, width, channels // 2])
            shapes.append(shape)
        return [*shapes, self.levels[-1].flow.inverse_event_shape(shape)]

    def split_latent(self, latent):
        """Cuts `[..., H*W*C]` into its parts, a list of `[..., h, w, c]`, level 0 ... top."""
        parts = tf.split(latent, [shape.num_elements() for shape in self._part_shapes], axis=-1)
        batch = tf.shape(latent)[:-1]
        static = latent.shape[:-1]
        return [
            tf.ensure_shape(tf.reshape(part, tf.concat([batch, shape.as_list()], axis=0)), static + shape)
            for part, shape in zip(parts, self._part_shapes, strict=True)
        ]

    def join_latent(self, parts):
        """Inverse of `split_latent`."""
        flat = []
        for part, shape in zip(parts, self._part_shapes, strict=True):
            size = tf.concat([tf.shape(part)[:-3], [shape.num_elements()]], axis=0)
            flat.append(tf.ensure_shape(tf.reshape(part, size), part.shape[:-3] + [shape.num_elements()]))
        return tf.concat(flat, axis=-1)

    def _conditions(self, condition, batch_ndims):
        """The condition as it enters each level, and as it leaves the last one."""
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
        """Shared by the inverse and by init: both differ only in what they do with a level's flow and prior."""
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

    def initialize(self, y, condition=None):
        """Initializes flows and priors from data to latent; returns the latent."""
        condition = self._condition_kwargs(condition).get("condition")

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
            """Of a level's flow: the input and its gradient, from the output and its gradient."""
            bijector, structure = self.levels[index].flow, self._structures[index][0]
            given = self._flow_condition(index, conditions[index])
            own = structure.values()
            z, d_z, d_given, d_own = bijector._rebuild_and_gradient(direction, z, [d_z, d_log_det], given, own)
            sums.add(own, d_own)
            if given is not None:
                d_conditions[index] = gradients.add(d_conditions[index], d_given)
            return z, d_z

        def prior(index, out, d_out, kept, d_kept):
            """Of a level's prior: as `flow`, and the gradient of the kept half that it is conditioned on."""
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

    def _inverse_event_shape(self, shape):
        self._image_shape.assert_is_compatible_with(shape[-3:])
        return shape[:-3] + [self.num_dimensions]

    def _forward_event_shape(self, shape):
        tf.TensorShape([self.num_dimensions]).assert_is_compatible_with(shape[-1:])
        return shape[:-1] + self._image_shape

    def _inverse_event_shape_tensor(self, shape):
        return tf.concat([shape[:-3], [self.num_dimensions]], axis=0)

    def _forward_event_shape_tensor(self, shape):
        return tf.concat([shape[:-1], self._image_shape.as_list()], axis=0)


class _Structures(Derived):
    """Of each level: where the variables of its flow and of its prior lie; found when first asked for."""

    def __init__(self, levels):
        self._levels = levels

    @functools.cached_property
    def _pairs(self):
        return [tuple(None if part is None else Structure(part) for part in level) for level in self._levels]

    def find_variables(self):
        """As in `SharedBlocks`."""
        return self._pairs

    def __getitem__(self, index):
        return self._pairs[index]
