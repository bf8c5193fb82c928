"""Sampling of a `PixelCNN`: pixel by pixel, each activation of the network computed once.

A unit at a coarse resolution changes only in every second or fourth row and column, and the vertical stream once per row. So
rows come in groups of four, and the columns within a row in groups of as many fine pixels as a pixel of its coarsest active
resolution has: which levels are active is known when the graph is made. What a row leaves for the next one, and a pixel for its
right neighbour, is carried in the loops.

References:
  Ramachandran et al. 2017, https://arxiv.org/abs/1704.06001.
"""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfflows.math.discretized_logistic_mixture import sample
from tfflows.math.gating import concat_elu
from tfflows.math.shapes import sizes_of
from tfflows.networks.pixelcnn.kernels import Kernels, by_column
from tfflows.networks.pixelcnn.network import PixelCNN
from tfflows.tracing.reports import reporting


def cached_sample(
    network: PixelCNN,
    num_components: int,
    component_uniforms: tf.Tensor,
    uniforms: tf.Tensor,
    features: Sequence[tf.Tensor] | None = None,
    temperature: float | tf.Tensor = 1.0,
    rounded: bool = False,
    labels: tf.Tensor | None = None,
    jit_compile: bool = False,
) -> tf.Tensor:
    """Samples images from given uniform numbers; each activation of the network is computed once.

    The images are those of `naive_sample`. Outside of a `tf.function` each call traces its loops anew.

    Args:
      network: Network for images of C channels, 3 or 1; pixels are computed in float32 whatever its policy.
      num_components: Number of mixture components K.
      component_uniforms: `[B, H, W, K]` in (0, 1), with static H and W that are multiples of 4.
      uniforms: `[B, H, W, C]` in (0, 1).
      features: The features that the network takes, or None.
      temperature: Factor of all noise.
      rounded: Whether each colour is rounded to a level before the next one sees it.
      labels: The labels that the network takes, int32 `[B]`, or None.
      jit_compile: Whether XLA compiles the loops. It fuses the small operations of a pixel, and takes a minute and more over deep
        networks. Compiled loops do not tell how far they are. Sums round differently, so that rarely a pixel has another level,
        and with it those after it.

    Returns:
      Float32 images `[B, H, W, C]` in [-1, 1].

    References:
      Ramachandran et al. 2017, https://arxiv.org/abs/1704.06001.
    """
    classes = network.classes_of(labels)

    def draw(component_uniforms, uniforms, features, classes):
        sampler = _Sampler(network, num_components, features, classes, temperature, rounded, reports=not jit_compile)
        return sampler.run(component_uniforms, uniforms)

    if jit_compile or tf.executing_eagerly():
        # Rows and pixels are loops of a graph: which levels are active in them is known when it is made.
        draw = tf.function(draw, jit_compile=jit_compile or None, autograph=False)
    return draw(component_uniforms, uniforms, features, classes)


def naive_sample(
    network: PixelCNN,
    num_components: int,
    component_uniforms: tf.Tensor,
    uniforms: tf.Tensor,
    features: Sequence[tf.Tensor] | None = None,
    num_pixels: int | None = None,
    labels: tf.Tensor | None = None,
    **options: Any,
) -> tf.Tensor:
    """Like `cached_sample`, but calls the whole network for each pixel.

    Args:
      network: As in `cached_sample`.
      num_components: As in `cached_sample`.
      component_uniforms: As in `cached_sample`.
      uniforms: As in `cached_sample`.
      features: As in `cached_sample`.
      num_pixels: If given, only the first `num_pixels` pixels in raster order are sampled; the others are 0.
      labels: As in `cached_sample`.
      **options: `temperature` and `rounded` as in `cached_sample`.

    Returns:
      Float32 images `[B, H, W, C]` in [-1, 1].
    """
    batch, height, width = component_uniforms.shape[:3]
    by_pixel = [_by_pixel(tensor) for tensor in (component_uniforms, uniforms)]

    def body(number, images):
        out = tf.reshape(network(images, features, None, labels), [batch, height * width, network.filters])
        drawn = sample(out[:, number], num_components, by_pixel[0][number], by_pixel[1][number], **options)
        here = tf.reshape(tf.one_hot(number, height * width), [1, height, width, 1])
        return number + 1, images + here * tf.reshape(drawn, [batch, 1, 1, network.channels])

    count = height * width if num_pixels is None else num_pixels
    start = (tf.constant(0), tf.zeros([batch, height, width, network.channels]))
    return tf.while_loop(lambda number, _: number < count, body, start, maximum_iterations=count)[1]


def _by_pixel(x):
    """`[B, H, W, C]` to `[H W, B, C]`."""
    return tf.transpose(tf.reshape(x, [x.shape[0], -1, x.shape[-1]]), [1, 0, 2])


def _with_shape_of(tensor, like):
    return tensor if tensor.shape == like.shape else tf.ensure_shape(tensor, like.shape)


class _Sampler:
    """State of one call: the folded kernels, and each unit's terms of features and class, which no pixel changes."""

    def __init__(self, network, num_components, features, classes, temperature, rounded, reports):
        self._network = network
        self._kernels = Kernels(network)
        self._num_components = num_components
        self._options = {"temperature": temperature, "rounded": rounded}
        self._features = [self._feature_terms(number, features) for number in range(len(network.positions))]
        self._classes = [
            [None if classes is None else tf.cast(unit.class_term(classes), tf.float32) for unit in units]
            for units in network.positions
        ]
        self._num_levels = len(self._kernels.levels)
        self._reports = reports

    def _feature_terms(self, number, features):
        """Feature terms of the two units of a position, `[H, B, W, F]` and `[H, W, B, F]`, or None."""
        vertical, horizontal = self._network.positions[number]
        if features is None:
            return None, None
        seen = concat_elu(features[number])
        first = None
        if vertical.feature is not None:
            first = tf.transpose(tf.cast(vertical.feature(seen), tf.float32), [1, 0, 2, 3])
        return first, tf.transpose(tf.cast(horizontal.feature(seen), tf.float32), [1, 2, 0, 3])

    def run(self, component_uniforms: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Returns the images `[B, H, W, C]`."""
        self._batch, height, width, _ = sizes_of(component_uniforms)
        self._static_batch, self._size = component_uniforms.shape[0], (height, width)
        self._uniforms = [tf.transpose(tensor, [1, 2, 0, 3]) for tensor in (component_uniforms, uniforms)]
        group = 2 ** (self._num_levels - 1)

        # Rows in which the same levels are active are traced once.
        row_of = {
            active: tf.function(functools.partial(self._row, active), autograph=False)
            for active in range(self._num_levels)
        }

        def body(number, carried, rows):
            for phase in range(group):
                index = number * group + phase
                active = next(level for level in reversed(range(self._num_levels)) if phase % 2**level == 0)
                row, carried = row_of[active](index, carried)
                # Where the batch is unknown, stacked rows have forgotten their width.
                pairs = zip(tf.nest.flatten(carried), tf.nest.flatten(start[1]), strict=True)
                carried = tf.nest.pack_sequence_as(start[1], [_with_shape_of(tensor, like) for tensor, like in pairs])
                rows = rows.write(index, row)
                if self._reports:
                    reporting(row, index, height, self._batch)
            return number + 1, carried, rows

        rows = tf.TensorArray(tf.float32, height, element_shape=[width, self._static_batch, self._network.channels])
        start = (tf.constant(0), self._empty(), rows)
        _, _, rows = tf.while_loop(
            lambda number, *_: number < height // group, body, start, maximum_iterations=height // group
        )
        return tf.transpose(rows.stack(), [2, 0, 1, 3])

    def _empty(self):
        """What is carried from row to row, as it is before the first row."""
        batch, (_, width) = self._batch, self._size
        channels = self._network.width

        def levels(make):
            return [make(width // 2**level) for level in range(self._num_levels)]

        def units(make):
            # For each unit, what its two convolutions saw in the row before.
            return [
                [make(width // 2**number) for _ in (*level.first, *level.second)]
                for number, level in enumerate(self._kernels.levels)
            ]

        return {
            "image": [tf.zeros([batch, 1, width, self._network.channels + 1]) for _ in range(2)],
            "vertical": units(lambda size: [tf.zeros([batch, 1, size, 2 * channels]) for _ in range(2)]),
            "horizontal": units(lambda size: tf.zeros([size, batch, 4 * channels])),
            # The last row of the first half at each level, which the next coarse row sees.
            "vertical_half": levels(lambda size: tf.zeros([batch, 1, size, channels])),
            "horizontal_half": levels(lambda size: tf.zeros([size, batch, channels])),
            # What coarse rows contribute to the second of their fine rows.
            "vertical_doubled": levels(lambda size: tf.zeros([batch, 1, size, channels])),
            "horizontal_doubled": levels(lambda size: tf.zeros([size, batch, channels])),
        }

    def _row(self, active, index, carried):
        """Computes a row of the image, `[W, B, C]`, and the new state; `active` is the coarsest level that changes."""
        carried = tf.nest.map_structure(lambda tensor: tensor, carried)  # a copy, to be changed
        exists = tf.cast(index > 0, tf.float32)
        second_last, last = carried["image"]
        terms = {}
        start = self._kernels.first_layers.vertical(second_last, last, exists)
        self._vertical_row(0, active, index, start, carried, terms)
        terms["image"] = self._kernels.first_layers.row_terms(last, exists)
        terms["left_above"] = by_column(last)
        terms["uniforms"] = [tf.gather(tensor, index) for tensor in self._uniforms]
        row = self._pixels(index, active, carried, terms)
        with_ones = tf.concat([row, tf.ones_like(row[..., :1])], axis=-1)
        carried["image"] = [last, tf.transpose(with_ones, [1, 0, 2])[:, tf.newaxis]]
        return row, carried

    def _vertical_row(self, level, active, index, x, carried, terms):
        """Computes the vertical stream in a row and the terms of the horizontal units there; levels up to `active` change."""
        kernels, units = self._kernels, self._kernels.levels[level]
        row = index // 2**level
        before = carried["vertical"][level]
        kept = [x]

        def run(place, unit, x, skip):
            vertical, horizontal, number = unit
            vertical_feature, horizontal_feature = self._features[number]
            vertical_class, horizontal_class = self._classes[number]
            at_row = None if vertical_feature is None else tf.gather(vertical_feature, row)[:, tf.newaxis]
            x, before[place] = vertical(x, before[place], skip, at_row, vertical_class)
            terms[number] = horizontal.row_terms(
                carried["horizontal"][level][place],
                by_column(x),
                None if horizontal_feature is None else tf.gather(horizontal_feature, row),
                horizontal_class,
            )
            return x

        for place, unit in enumerate(units.first):
            x = run(place, unit, x, None)
            kept.append(x)
        if level == self._num_levels - 1:
            x = kept.pop()
        else:
            half = x
            if level < active:
                coarse = kernels.halvings[level].vertical(carried["vertical_half"][level], half)
                coarse = self._vertical_row(level + 1, active, index, coarse, carried, terms)
                x, carried["vertical_doubled"][level] = kernels.doublings[level].vertical(coarse)
                terms["half", level] = kernels.halvings[level].row_terms(carried["horizontal_half"][level])
            else:
                x = carried["vertical_doubled"][level]
            carried["vertical_half"][level] = half
        for place, unit in enumerate(units.second, len(units.first)):
            x = run(place, unit, x, kept.pop())
        return x

    def _pixels(self, index, active, carried, terms):
        """Computes the pixels of a row from left to right, `[W, B, C]`; what the next row needs is put into `carried`."""
        batch, (_, width) = self._batch, self._size
        channels = self._network.width
        group = 2**active
        levels = range(active + 1)
        num_units = [len(self._kernels.levels[level].first + self._kernels.levels[level].second) for level in levels]

        def arrays(size, depth):
            return tf.TensorArray(tf.float32, size, element_shape=[self._static_batch, depth])

        # What the left neighbour leaves, and what the row gathers.
        left = {
            "image": tf.zeros([batch, self._network.channels + 1]),
            "units": [[tf.zeros([batch, 4 * channels])] * num_units[level] for level in levels],
            "half": [tf.zeros([batch, channels]) for _ in levels],
        }
        gathered = {
            "image": arrays(width, self._network.channels),
            "units": [[arrays(width // 2**level, 4 * channels) for _ in range(num_units[level])] for level in levels],
            "half": [arrays(width // 2**level, channels) for level in levels],
            "coarse": [arrays(width // 2 ** (level + 1), channels) for level in range(active)],
        }

        def body(number, left, gathered):
            left, gathered = (tf.nest.map_structure(lambda value: value, each) for each in (left, gathered))
            doubled = [None] * self._num_levels  # for the second of two fine pixels
            for phase in range(group):
                column = number * group + phase
                image = self._pixel(index, column, phase, active, left, gathered, doubled, carried, terms)
                gathered["image"] = gathered["image"].write(column, image)
                left["image"] = tf.concat([image, tf.ones_like(image[:, :1])], axis=-1)
            return number + 1, left, gathered

        _, _, gathered = tf.while_loop(
            lambda number, *_: number < width // group,
            body,
            (tf.constant(0), left, gathered),
            maximum_iterations=width // group,
        )
        for level in levels:
            carried["horizontal"][level] = [array.stack() for array in gathered["units"][level]]
            if level < self._num_levels - 1:  # at the coarsest level nothing is halved
                carried["horizontal_half"][level] = gathered["half"][level].stack()
            if level < active:
                coarse = gathered["coarse"][level].stack()
                carried["horizontal_doubled"][level] = self._kernels.doublings[level].second_row(coarse)
        return gathered["image"].stack()

    def _pixel(self, index, column, phase, active, left, gathered, doubled, carried, terms):
        """Computes a pixel `[B, C]`; what later pixels need is put into `left`, `gathered` and `doubled`."""
        exists = tf.cast(column > 0, tf.float32)
        left_above = tf.gather(terms["left_above"], tf.maximum(column - 1, 0))
        x = tf.gather(terms["image"], column) + self._kernels.first_layers(left_above, left["image"], exists)
        x = self._horizontal(0, column, phase, active, x, left, gathered, doubled, carried, terms)
        component_uniforms, uniforms = (tf.gather(tensor, column) for tensor in terms["uniforms"])
        return sample(self._kernels.last(x), self._num_components, component_uniforms, uniforms, **self._options)

    def _horizontal(self, level, column, phase, active, x, left, gathered, doubled, carried, terms):
        """Computes the horizontal stream at a pixel of a level; `phase` is the column within its group, a Python `int`."""
        kernels, units = self._kernels, self._kernels.levels[level]
        kept = [x]

        def run(place, unit, x, skip):
            _, horizontal, number = unit
            at_pixel = tf.gather(terms[number], column)
            x, seen = horizontal(x, left["units"][level][place], at_pixel, skip)
            left["units"][level][place] = seen
            gathered["units"][level][place] = gathered["units"][level][place].write(column, seen)
            return x

        for place, unit in enumerate(units.first):
            x = run(place, unit, x, None)
            kept.append(x)
        if level == self._num_levels - 1:
            x = kept.pop()
        else:
            half = x
            if level == active:
                x = tf.gather(carried["horizontal_doubled"][level], column)
            elif phase % 2 == 0:
                coarse = kernels.halvings[level](
                    left["half"][level], half, tf.gather(terms["half", level], column // 2)
                )
                coarse = self._horizontal(
                    level + 1, column // 2, phase // 2, active, coarse, left, gathered, doubled, carried, terms
                )
                gathered["coarse"][level] = gathered["coarse"][level].write(column // 2, coarse)
                x, doubled[level] = kernels.doublings[level].first_row(coarse)
            else:
                x = doubled[level]
            left["half"][level] = half
            gathered["half"][level] = gathered["half"][level].write(column, half)
        for place, unit in enumerate(units.second, len(units.first)):
            x = run(place, unit, x, kept.pop())
        return x
