"""The base class: value and log-determinant in one pass, for every bijector of the library."""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.bijectors.invert import _Invert
from tensorflow_probability.python.internal import cache_util

from tfflows.math.shapes import shape_of
from tfflows.tracing.gradients import FORWARD, INVERSE, gradients_of, opposite
from tfflows.tracing.memory import REVERSIBLE, memory_mode, reversible_value_and_log_det

tfb = tfp.bijectors


class Bijector(tfb.Bijector):
    """A TFP bijector whose primitive is the pair (value, log-determinant).

    A subclass implements `_forward_and_log_det(x)` and `_inverse_and_log_det(y)`, or, with `takes_condition = True`, the same
    with a second argument `condition`. All of TFP's methods follow from the pair. Their results share one cache entry, so
    `log_prob` of a `tfd.TransformedDistribution` runs each network once.

    Direction: `forward` maps latent to data (sampling), `inverse` maps data to latent (likelihood).

    The pair returns `(value, log_det)` with `log_det` in nats, of exactly the batch shape: the input's shape without its last
    `forward_min_event_ndims` (for the inverse, `inverse_min_event_ndims`) axes. A log-determinant of another shape raises,
    since TFP would broadcast it silently.
    """

    _cache = cache_util.BijectorCacheWithGreedyAttrs(
        forward_name="_forward_with_attributes", inverse_name="_inverse_with_attributes"
    )

    # Whether the maths depends on the keyword `condition`.
    takes_condition = False

    # Whether it runs blocks of its own, each with a trace and a memory mode, instead of being one.
    holds_blocks = False

    # Where the variables lie, for reversible backpropagation; found when first asked for.
    _structure = None

    def __init__(
        self,
        *,
        forward_min_event_ndims,
        inverse_min_event_ndims=None,
        is_constant_jacobian=False,
        validate_args=False,
        dtype=None,
        parameters=None,
        name=None,
    ):
        if inverse_min_event_ndims is None:
            inverse_min_event_ndims = forward_min_event_ndims
        super().__init__(
            forward_min_event_ndims=forward_min_event_ndims,
            inverse_min_event_ndims=inverse_min_event_ndims,
            is_constant_jacobian=is_constant_jacobian,
            validate_args=validate_args,
            dtype=None if dtype is None else tf.as_dtype(dtype),
            parameters=parameters,
            name=name,
        )

    # TFP compares bijectors by their parameters: two of equal configuration, each with its own variables, would share
    # cached outputs.
    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, {self._num_parameters():,} parameters)"

    def _num_parameters(self):
        return sum(variable.shape.num_elements() for variable in self.trainable_variables)

    def forward_and_log_det(self, x, condition=None):
        """`(y, log |det dy/dx|)` in one pass, without TFP's cache.

        Args:
          x: `Tensor`, shape `[..., latent event]`.
          condition: `Tensor` that the map depends on, for bijectors that take one.

        Returns:
          `y` and the log-determinant in nats, shape `[...]`.

        Raises:
          ValueError: if a condition is missing or not taken, `x` has another dtype, or a log-determinant has another shape
            than the batch.
        """
        return self._run(FORWARD, x, condition)

    def inverse_and_log_det(self, y, condition=None):
        """`(x, log |det dx/dy|)` in one pass, without TFP's cache; arguments as in `forward_and_log_det`."""
        return self._run(INVERSE, y, condition)

    def _run(self, direction, x, condition):
        x = tf.convert_to_tensor(x, self.dtype)
        condition = self._condition_kwargs(condition).get("condition")
        if memory_mode() == REVERSIBLE:
            return reversible_value_and_log_det(self, direction, x, condition)
        return self._value_and_log_det(direction, x, condition)

    def _value_and_log_det(self, direction, x, condition):
        kwargs = {"condition": condition} if self.takes_condition else {}
        if direction == INVERSE:
            value, log_det = self._inverse_and_log_det(x, **kwargs)
            return value, self._checked_log_det(log_det, x, self.inverse_min_event_ndims)
        value, log_det = self._forward_and_log_det(x, **kwargs)
        return value, self._checked_log_det(log_det, x, self.forward_min_event_ndims)

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        """The input of a direction, rebuilt from its output, and the gradients of the pair there.

        Args:
          direction: `inverse` or `forward`, the one that gave `y`.
          y: Output of that direction.
          upstream: Gradients with respect to the output and the log-determinant.
          condition: Structure of tensors, or None.
          values: List of tensors in the places of the variables.

        Returns:
          `(x, d_x, d_condition, d_values)`; gradients are None where nothing depends.
        """
        x, _ = self._value_and_log_det(opposite(direction), y, condition)
        x = tf.stop_gradient(x)
        d_x, d_condition, d_values = gradients_of(
            lambda: self._value_and_log_det(direction, x, condition), (x, condition, values), upstream
        )
        return x, d_x, d_condition, d_values

    def initialize(self, y, condition=None):
        """Sets what depends on data from one batch `y`, and returns its latent, for the next bijector.

        To be run once, eagerly and outside `strategy.run`, so that every replica holds the same values. The default has
        nothing to set.
        """
        return self.inverse_and_log_det(y, condition)[0]

    def squeeze_condition(self, condition, batch_ndims):
        """The condition as bijectors behind this one (on the latent's side) see it: as it is, unless this one squeezes.

        Args:
          condition: `Tensor`, shape `[batch, ...]`.
          batch_ndims: Python `int`, how many batch axes it has.
        """
        del batch_ndims
        return condition

    def _condition_kwargs(self, condition):
        if condition is not None and not self.takes_condition:
            raise ValueError(f"{self.name} ({type(self).__name__}) takes no condition, but one was given.")
        if not self.takes_condition:
            return {}
        return {"condition": None if condition is None else tf.nest.map_structure(tf.convert_to_tensor, condition)}

    def _checked_log_det(self, log_det, x, event_ndims):
        batch_shape = x.shape[: x.shape.rank - event_ndims]
        if not (log_det.shape.rank == batch_shape.rank and log_det.shape.is_compatible_with(batch_shape)):
            raise ValueError(
                f"{self.name} ({type(self).__name__}) gave a log-determinant of shape {log_det.shape} for an input of shape "
                f"{x.shape}; it must be the batch shape {batch_shape}: reduce over (or broadcast to) the last {event_ndims} "
                "axes."
            )
        return log_det

    def _forward_with_attributes(self, x, condition=None):
        y, fldj = self.forward_and_log_det(x, condition)
        return y, {"ildj": -fldj, "fldj": fldj}

    def _inverse_with_attributes(self, y, condition=None):
        x, ildj = self.inverse_and_log_det(y, condition)
        return x, {"ildj": ildj, "fldj": -ildj}

    def _forward(self, x, **kwargs):
        return self._forward_with_attributes(x, **kwargs)[0]

    def _inverse(self, y, **kwargs):
        return self._inverse_with_attributes(y, **kwargs)[0]

    def _forward_log_det_jacobian(self, x, **kwargs):
        attributes = self._cache.forward_attributes(x, **kwargs)
        if "fldj" not in attributes:
            self._cache.forward(x, **kwargs)
        return attributes["fldj"]

    def _inverse_log_det_jacobian(self, y, **kwargs):
        attributes = self._cache.inverse_attributes(y, **kwargs)
        if "ildj" not in attributes:
            self._cache.inverse(y, **kwargs)
        return attributes["ildj"]

    def _forward_and_log_det(self, x, **kwargs):
        raise TypeError(f"{type(self).__name__} does not implement the direction latent to data.")

    def _inverse_and_log_det(self, y, **kwargs):
        raise TypeError(f"{type(self).__name__} does not implement the direction data to latent.")

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        # No parameter carries batch axes.
        return {}


def takes_condition(bijector):
    """Whether a bijector of the library, alone or under `tfb.Invert`, takes a condition."""
    while isinstance(bijector, _Invert):
        bijector = bijector.bijector
    return isinstance(bijector, Bijector) and bijector.takes_condition


def inverse_and_log_det(bijector, y, event_ndims, condition=None):
    """`(x, log |det dx/dy|)` of any TFP bijector for events of `event_ndims` axes; see `Bijector.inverse_and_log_det`."""
    if isinstance(bijector, Bijector) and bijector.inverse_min_event_ndims == event_ndims:
        return bijector.inverse_and_log_det(y, condition)
    kwargs = {} if condition is None else {"condition": condition}
    log_det = bijector.inverse_log_det_jacobian(y, event_ndims=event_ndims, **kwargs)
    return bijector.inverse(y, **kwargs), broadcast_log_det(log_det, y, event_ndims)


def forward_and_log_det(bijector, x, event_ndims, condition=None):
    """`(y, log |det dy/dx|)` of any TFP bijector for events of `event_ndims` axes; see `Bijector.forward_and_log_det`."""
    if isinstance(bijector, Bijector) and bijector.forward_min_event_ndims == event_ndims:
        return bijector.forward_and_log_det(x, condition)
    kwargs = {} if condition is None else {"condition": condition}
    log_det = bijector.forward_log_det_jacobian(x, event_ndims=event_ndims, **kwargs)
    return bijector.forward(x, **kwargs), broadcast_log_det(log_det, x, event_ndims)


def value_and_log_det(bijector, direction, x, event_ndims, condition=None):
    """The pair of a direction, `inverse` or `forward`, of any TFP bijector for events of `event_ndims` axes."""
    run = inverse_and_log_det if direction == INVERSE else forward_and_log_det
    return run(bijector, x, event_ndims, condition)


def rebuild_and_gradient(bijector, direction, y, event_ndims, upstream, condition, values):
    """`Bijector._rebuild_and_gradient` of any TFP bijector for events of `event_ndims` axes of its output."""
    output_event_ndims = bijector.forward_min_event_ndims if direction == INVERSE else bijector.inverse_min_event_ndims
    if isinstance(bijector, Bijector) and output_event_ndims == event_ndims:
        return bijector._rebuild_and_gradient(direction, y, upstream, condition, values)
    change = bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
    input_event_ndims = event_ndims - change if direction == INVERSE else event_ndims + change
    there, back = inverse_and_log_det, forward_and_log_det
    if direction == FORWARD:
        there, back = back, there
    x = tf.stop_gradient(back(bijector, y, event_ndims, condition)[0])
    d_x, d_condition, d_values = gradients_of(
        lambda: there(bijector, x, input_event_ndims, condition), (x, condition, values), upstream
    )
    return x, d_x, d_condition, d_values


def broadcast_log_det(log_det, x, event_ndims):
    """`log_det` broadcast to the batch shape of `x`, for maps whose Jacobian does not depend on the data."""
    batch_ndims = x.shape.rank - event_ndims
    batch_shape = shape_of(x)[:batch_ndims]
    out = tf.broadcast_to(tf.cast(log_det, x.dtype), batch_shape)
    return tf.ensure_shape(out, x.shape[:batch_ndims])
