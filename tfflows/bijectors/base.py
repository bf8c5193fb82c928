"""The base class: value and log-determinant in one pass, for every bijector of the library."""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.bijectors.invert import _Invert

from tfflows.bijectors.cache import OnePassCache
from tfflows.bijectors.parts import map_condition
from tfflows.bijectors.recording import noting
from tfflows.choices import REVERSIBLE
from tfflows.math.shapes import shape_of
from tfflows.tracing.finite import NotFiniteError, check_finite
from tfflows.tracing.gradients import FORWARD, INVERSE, gradients_of, opposite
from tfflows.tracing.memory import memory_mode, reversible_value_and_log_det
from tfflows.tracing.variables import CopiedWithoutLayers, copied_by_attributes, share_variables

tfb = tfp.bijectors
copied_by_attributes(*vars(tfb).values(), *vars(tfp.distributions).values())


class Bijector(CopiedWithoutLayers, tfb.Bijector):
    """A TFP bijector whose primitive is the pair (value, log-determinant).

    A subclass implements `_forward_and_log_det(x)` and `_inverse_and_log_det(y)`, or, with `takes_condition = True`, the same
    with a second argument `condition`. All of TFP's methods follow from the pair. Their results share one cache entry, so
    `log_prob` of a `tfd.TransformedDistribution` runs each network once.

    Direction: `forward` maps latent to data (sampling), `inverse` maps data to latent (likelihood).

    The pair returns `(value, log_det)`. The log-determinant is in nats and has exactly the batch shape: the input's shape
    without its last `forward_min_event_ndims` (for the inverse, `inverse_min_event_ndims`) axes. A log-determinant of another
    shape raises an error, since TFP would broadcast it silently.

    In eager mode, a value or log-determinant that is not finite raises an error that names the bijector, if the input is finite.
    Graphs check nothing: `tfflows.tracing.finite.find_not_finite` finds the bijector by a second, eager run.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import Bijector
      >>> class Double(Bijector):
      ...     def __init__(self):
      ...         super().__init__(forward_min_event_ndims=1, dtype=tf.float32)
      ...
      ...     def _forward_and_log_det(self, x):
      ...         return 2 * x, tf.fill(x.shape[:-1], x.shape[-1] * tf.math.log(2.0))
      ...
      ...     def _inverse_and_log_det(self, y):
      ...         return y / 2, tf.fill(y.shape[:-1], -y.shape[-1] * tf.math.log(2.0))
      >>> y, log_det = Double().forward_and_log_det([[1.0, 2.0, 3.0]])
      >>> print(y.numpy(), log_det.numpy().round(4))  # 3 ln 2 nats
      [[2. 4. 6.]] [2.0794]
      >>> print(Double().inverse_log_det_jacobian(y).numpy().round(4))
      [-2.0794]
    """

    _cache = OnePassCache(forward_name="_forward_with_attributes", inverse_name="_inverse_with_attributes")

    # Whether the maths depends on the keyword `condition`.
    takes_condition = False

    # Whether it runs blocks of its own, each with its own trace and memory mode, instead of being one block.
    holds_blocks = False

    # Where the variables are held, for reversible backpropagation; found when first needed.
    _structure = None

    def __init__(
        self,
        *,
        forward_min_event_ndims: int,
        inverse_min_event_ndims: int | None = None,
        is_constant_jacobian: bool = False,
        validate_args: bool = False,
        dtype: tf.DType | str | None = None,
        parameters: dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Sets what TFP needs to know of a bijector.

        Args:
          forward_min_event_ndims: Number of axes of a latent event.
          inverse_min_event_ndims: Number of axes of a data event; None if it equals that of a latent event.
          is_constant_jacobian: Whether the Jacobian is the same for all inputs.
          validate_args: As in TFP.
          dtype: Dtype of the data and the latent; None if any will do.
          parameters: Arguments of the subclass's `__init__`, for TFP.
          name: As in TFP.
        """
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
    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._num_parameters():,} parameters)"

    def copy(self, **overrides: Any) -> "Bijector":
        """Makes a bijector with the same variables, as those of TFP do.

        Args:
          **overrides: Arguments of the class's `__init__` that shall differ, such as `name`.

        Returns:
          A bijector whose variables are those of this one.

        Raises:
          ValueError: If the arguments ask for variables of other shapes or dtypes.

        Example:
          >>> from tfflows.bijectors import ActNorm
          >>> actnorm = ActNorm([3])
          >>> copied = actnorm.copy(name="second")
          >>> copied.name, copied.bias is actnorm.bias
          ('second', True)
        """
        made = super().copy(**overrides)
        share_variables(self, made)
        return made

    def __copy__(self):
        return self.copy()

    def __getitem__(self, slices):
        raise ValueError(
            f"{self.name} ({type(self).__name__}) has no batch shape, so it cannot be sliced; slice its input or its output."
        )

    def _num_parameters(self):
        return sum(variable.shape.num_elements() for variable in self.trainable_variables)

    def forward_and_log_det(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes `(y, log |det dy/dx|)` in one pass, without TFP's cache.

        Args:
          x: Latent, shape `[..., latent event]`.
          condition: Structure of tensors that the map depends on, for bijectors that take one.

        Returns:
          `y`, shape `[..., data event]`, and the log-determinant in nats, shape `[...]`.

        Raises:
          ValueError: If a condition is missing, does not have the batch shape, or is given to a bijector that takes none; if `x`
            has another dtype, too few axes or an event shape that does not fit; or if a log-determinant does not have the batch
            shape.
          NotFiniteError: In eager mode, if the result is not finite and the input is.
        """
        return self._run(FORWARD, x, condition)

    def inverse_and_log_det(self, y: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes `(x, log |det dx/dy|)` in one pass, without TFP's cache.

        Args:
          y: Data, shape `[..., data event]`.
          condition: Structure of tensors that the map depends on, for bijectors that take one.

        Returns:
          `x`, shape `[..., latent event]`, and the log-determinant in nats, shape `[...]`.

        Raises:
          ValueError: As `forward_and_log_det`.
          NotFiniteError: As `forward_and_log_det`.
        """
        return self._run(INVERSE, y, condition)

    def inverse_event_shape(self, output_shape: Any) -> tf.TensorShape:
        """Static shape of the latent of data of the given shape; unknown for an unknown shape.

        Raises:
          ValueError: If there is no such data.
        """
        return self._event_shape_of(INVERSE, output_shape, super().inverse_event_shape)

    def forward_event_shape(self, input_shape: Any) -> tf.TensorShape:
        """Static shape of the data of a latent of the given shape; unknown for an unknown shape.

        Raises:
          ValueError: If there is no such latent.
        """
        return self._event_shape_of(FORWARD, input_shape, super().forward_event_shape)

    def _event_shape_of(self, direction, shape, function):
        shape = tf.TensorShape(shape)
        if shape.rank is None:
            return shape
        self._check_rank(direction, shape)
        self._check_known_event(direction, shape)
        return function(shape)

    def _run(self, direction, x, condition):
        return noting(self._run_pass, self, direction, x, self._event_ndims(direction), condition)

    def _run_pass(self, direction, x, condition):
        x, condition = self._checked_input(direction, x, condition)
        if x.shape.rank is None:
            return self._run_on_unknown_rank(direction, x, condition)
        run = self._value_and_log_det
        if memory_mode() == REVERSIBLE:
            run = functools.partial(reversible_value_and_log_det, self)
        try:
            pair = run(direction, x, condition)
        except NotFiniteError as error:
            error.locate(self)
            raise
        check_finite(self, pair, (x, condition), direction)
        return pair

    def _run_on_unknown_rank(self, direction, x, condition):
        """Folds the batch axes, however many there are, into one, since the maths counts on a known rank."""
        if any(map(tf.is_tensor, tf.nest.flatten(condition))):
            raise ValueError(
                f"{self._described()} got a condition and an input of unknown rank, so it cannot tell which of their axes are "
                "batch axes; give the input's shape, with None for unknown sizes."
            )
        event_ndims = self._event_ndims(direction)
        shape = _shape_of_rank_at_least(
            x, event_ndims, f"{self._described()} needs an input of at least {event_ndims} axes."
        )
        batch_shape, event_shape = shape[: tf.size(shape) - event_ndims], shape[tf.size(shape) - event_ndims :]
        flat = tf.reshape(x, tf.concat([[tf.reduce_prod(batch_shape)], event_shape], axis=0))
        value, log_det = self._run_pass(direction, tf.ensure_shape(flat, [None] * (1 + event_ndims)), condition)
        return tf.reshape(value, tf.concat([batch_shape, tf.shape(value)[1:]], axis=0)), tf.reshape(
            log_det, batch_shape
        )

    def _event_ndims(self, direction):
        return self.inverse_min_event_ndims if direction == INVERSE else self.forward_min_event_ndims

    def _described(self):
        return f"{type(self).__name__} {self.name!r}"

    def _checked_input(self, direction, x, condition):
        """Converts the input of a direction and the condition to tensors, and checks dtype and shapes."""
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        if self.dtype is not None and x.dtype != self.dtype:
            raise ValueError(
                f"{self._described()} takes {self.dtype.name}, got an input of {x.dtype.name}; cast the input, or build the "
                f"bijector with dtype={x.dtype.name!r}."
            )
        condition = self._condition_kwargs(condition).get("condition")
        if x.shape.rank is None:
            return x, condition
        self._check_rank(direction, x.shape)
        batch_ndims = x.shape.rank - self._event_ndims(direction)
        map_condition(condition, on_tensor=lambda tensor: self._check_condition(tensor, x.shape, batch_ndims))
        known = self._check_known_event(direction, x.shape)
        if any(size is None and fixed is not None for size, fixed in zip(x.shape[batch_ndims:], known, strict=True)):
            x = tf.ensure_shape(x, x.shape[:batch_ndims].concatenate(known))
        self._check_event(direction, x.shape[batch_ndims:])
        return x, condition

    def _check_rank(self, direction, shape):
        wanted = self._event_ndims(direction)
        if shape.rank < wanted:
            raise ValueError(
                f"{self._described()} needs {'data' if direction == INVERSE else 'a latent'} of at least {wanted} axes, got "
                f"{shape.rank}: shape {shape}."
            )

    def _check_condition(self, tensor, shape, batch_ndims):
        given = tensor.shape
        if (
            given.rank is None
            or given.rank < batch_ndims
            or not given[:batch_ndims].is_compatible_with(shape[:batch_ndims])
        ):
            raise ValueError(
                f"{self._described()} got a condition of shape {given} for an input of shape {shape}: it must have the input's "
                f"batch axes {shape[:batch_ndims]} in front."
            )

    def _check_known_event(self, direction, shape):
        """Checks the end of a shape against the event shape that the parameters fix, and returns that."""
        known = tf.TensorShape(self._known_event_shape(direction))
        event = shape[shape.rank - self._event_ndims(direction) :]
        if not known.is_compatible_with(event):
            raise ValueError(f"{self._described()} was built for events of shape {known}, got shape {shape}.")
        return known

    def _known_event_shape(self, direction):
        """The event shape of the input of a direction as far as the parameters fix it, with None for other sizes."""
        return [None] * self._event_ndims(direction)

    def _channels_of(self, x):
        """The number of channels of a tensor, which cutting them in parts needs."""
        if x.shape[-1] is None:
            raise ValueError(
                f"{self._described()} needs to know the number of channels; got an input of shape {x.shape}."
            )
        return x.shape[-1]

    def _halves_of(self, x):
        if self._channels_of(x) % 2:
            raise ValueError(
                f"{self._described()} splits the channels into two halves; got an input of shape {x.shape}."
            )
        return tf.split(x, 2, axis=-1)

    def _known_channels(self, channels):
        return [*[None] * (self.inverse_min_event_ndims - 1), channels]

    def _check_event(self, direction, shape):
        """Checks the static shape of an event, of which sizes may be unknown."""
        _ = self._inverse_event_shape(shape) if direction == INVERSE else self._forward_event_shape(shape)

    def _value_and_log_det(self, direction, x, condition):
        kwargs = {"condition": condition} if self.takes_condition else {}
        if direction == INVERSE:
            value, log_det = self._inverse_and_log_det(x, **kwargs)
            return value, self._checked_log_det(log_det, x, self.inverse_min_event_ndims)
        value, log_det = self._forward_and_log_det(x, **kwargs)
        return value, self._checked_log_det(log_det, x, self.forward_min_event_ndims)

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        """Rebuilds the input of a direction from its output, and computes the gradients of the pair there.

        Args:
          direction: `inverse` or `forward`, the one that gave `y`.
          y: Output of that direction.
          upstream: Gradients with respect to the output and the log-determinant.
          condition: Structure of tensors, or None.
          values: Tensors that stand in for the variables.

        Returns:
          `(x, d_x, d_condition, d_values)`. A gradient is None where the pair does not depend on the tensor.
        """
        # No gradient stops at x: that of this gradient goes on to y, from which x was rebuilt.
        x, _ = self._value_and_log_det(opposite(direction), y, condition)
        d_x, d_condition, d_values = gradients_of(
            lambda: self._value_and_log_det(direction, x, condition), (x, condition, values), upstream
        )
        return x, d_x, d_condition, d_values

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Sets the parameters that depend on data from one batch.

        Run it once, eagerly and outside `strategy.run`, so that every replica holds the same values. By default there is
        nothing to set.

        Args:
          y: Batch of data, shape `[..., data event]`.
          condition: Structure of tensors that the map depends on, for bijectors that take one.

        Returns:
          The latent of the batch, for the next bijector.
        """
        return self.inverse_and_log_det(y, condition)[0]

    def squeeze_condition(self, condition: Any, batch_ndims: int) -> Any:
        """Gives the condition that the next bijectors (towards the latent) see: the same one, unless this bijector squeezes.

        Args:
          condition: Structure of tensors of shape `[batch, ...]`, or None.
          batch_ndims: Number of batch axes.

        Returns:
          The condition in the same structure.
        """
        del batch_ndims
        return condition

    def _condition_kwargs(self, condition):
        if condition is not None and not self.takes_condition:
            raise ValueError(
                f"{self.name} ({type(self).__name__}) takes no condition, but one was given; leave out condition=."
            )
        if not self.takes_condition:
            return {}
        return {"condition": map_condition(condition, on_tensor=tf.convert_to_tensor)}

    def _checked_log_det(self, log_det, x, event_ndims):
        batch_shape = x.shape[: x.shape.rank - event_ndims]
        if not (log_det.shape.rank == batch_shape.rank and log_det.shape.is_compatible_with(batch_shape)):
            raise ValueError(
                f"{self.name} ({type(self).__name__}) gave a log-determinant of shape {log_det.shape} for an input of shape "
                f"{x.shape}. It must have the batch shape {batch_shape}: sum it over the last {event_ndims} axes, or broadcast "
                "it to the batch."
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
        raise TypeError(f"{type(self).__name__} does not implement forward, the direction from latent to data.")

    def _inverse_and_log_det(self, y, **kwargs):
        raise TypeError(f"{type(self).__name__} does not implement inverse, the direction from data to latent.")

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        # No parameter has batch axes.
        return {}


@tf.autograph.experimental.do_not_convert
def _shape_of_rank_at_least(x, rank, message):
    with tf.control_dependencies([tf.debugging.assert_rank_at_least(x, rank, message=message)]):
        return tf.shape(x)


def takes_condition(bijector: tfb.Bijector | None) -> bool:
    """Tells whether a bijector takes a condition: one of this library, bare or under `tfb.Invert`, may; one of TFP does not."""
    while isinstance(bijector, _Invert):
        bijector = bijector.bijector
    return isinstance(bijector, Bijector) and bijector.takes_condition


def inverse_and_log_det(
    bijector: tfb.Bijector, y: tf.Tensor, event_ndims: int, condition: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `(x, log |det dx/dy|)` with any TFP bijector.

    Args:
      bijector: Bijector of this library or of TFP.
      y: Data, whose last `event_ndims` axes are an event.
      event_ndims: Number of axes of an event, at least the bijector's own.
      condition: Structure of tensors for a bijector that takes a condition, or None.

    Returns:
      `x` and the log-determinant in nats, whose shape is the batch shape.
    """
    if isinstance(bijector, Bijector) and bijector.inverse_min_event_ndims == event_ndims:
        return bijector.inverse_and_log_det(y, condition)
    return _foreign_pair(bijector, INVERSE, y, event_ndims, condition)


def forward_and_log_det(
    bijector: tfb.Bijector, x: tf.Tensor, event_ndims: int, condition: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `(y, log |det dy/dx|)` with any TFP bijector; the arguments are as for `inverse_and_log_det`."""
    if isinstance(bijector, Bijector) and bijector.forward_min_event_ndims == event_ndims:
        return bijector.forward_and_log_det(x, condition)
    return _foreign_pair(bijector, FORWARD, x, event_ndims, condition)


def _foreign_pair(bijector, direction, x, event_ndims, condition):
    """The pair of a bijector whose primitive it is not: TFP's two methods, one after the other."""
    value_of = bijector.inverse if direction == INVERSE else bijector.forward
    log_det_of = bijector.inverse_log_det_jacobian if direction == INVERSE else bijector.forward_log_det_jacobian

    def run(direction, x, condition):
        kwargs = {} if condition is None else {"condition": condition}
        x = tf.identity(x)  # TFP's cache knows nothing of a new tensor
        log_det = log_det_of(x, event_ndims=event_ndims, **kwargs)
        pair = value_of(x, **kwargs), broadcast_log_det(log_det, x, event_ndims)
        check_finite(bijector, pair, (x, condition), direction)
        return pair

    return noting(run, bijector, direction, x, event_ndims, condition)


def value_and_log_det(
    bijector: tfb.Bijector, direction: str, x: tf.Tensor, event_ndims: int, condition: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the pair (value, log-determinant) of a direction, `inverse` or `forward`, with any TFP bijector."""
    run = inverse_and_log_det if direction == INVERSE else forward_and_log_det
    return run(bijector, x, event_ndims, condition)


def rebuild_and_gradient(
    bijector: tfb.Bijector,
    direction: str,
    y: tf.Tensor,
    event_ndims: int,
    upstream: Sequence[tf.Tensor],
    condition: Any,
    values: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, Any, Sequence[tf.Tensor | None]]:
    """Rebuilds the input of a direction from its output, and computes the gradients there, for any TFP bijector.

    Args:
      bijector: Bijector of this library or of TFP.
      direction: `inverse` or `forward`, the one that gave `y`.
      y: Output of that direction, whose last `event_ndims` axes are an event.
      event_ndims: Number of axes of an event of the output.
      upstream: Gradients with respect to the output and the log-determinant.
      condition: Structure of tensors, or None.
      values: Tensors that stand in for the variables.

    Returns:
      `(x, d_x, d_condition, d_values)`. A gradient is None where the pair does not depend on the tensor.
    """
    output_event_ndims = bijector.forward_min_event_ndims if direction == INVERSE else bijector.inverse_min_event_ndims
    if isinstance(bijector, Bijector) and output_event_ndims == event_ndims:
        return bijector._rebuild_and_gradient(direction, y, upstream, condition, values)
    change = bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
    input_event_ndims = event_ndims - change if direction == INVERSE else event_ndims + change
    there, back = inverse_and_log_det, forward_and_log_det
    if direction == FORWARD:
        there, back = back, there
    # TFP's cache would give y itself for a tensor that it knows, so x must be a new one.
    x = tf.identity(back(bijector, y, event_ndims, condition)[0])
    d_x, d_condition, d_values = gradients_of(
        lambda: there(bijector, x, input_event_ndims, condition), (x, condition, values), upstream
    )
    return x, d_x, d_condition, d_values


def broadcast_log_det(log_det: tf.Tensor | float, x: tf.Tensor, event_ndims: int) -> tf.Tensor:
    """Broadcasts `log_det` to the batch shape of `x`, for maps whose Jacobian does not depend on the data."""
    batch_ndims = x.shape.rank - event_ndims
    batch_shape = shape_of(x)[:batch_ndims]
    out = tf.broadcast_to(tf.cast(log_det, x.dtype), batch_shape)
    return tf.ensure_shape(out, x.shape[:batch_ndims])
