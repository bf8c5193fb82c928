"""A bijector as a layer of Keras' functional API."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, forward_and_log_det, inverse_and_log_det
from tfflows.bijectors.parts import check_bijectors
from tfflows.keras.variables import HoldsVariables, strategy_of
from tfflows.tracing.gradients import FORWARD, INVERSE
from tfflows.training.parameters import equalize_replicas


class FlowLayer(HoldsVariables, keras.layers.Layer):
    """A bijector as a Keras layer: a tensor becomes `(value, log_det)`, the value and the log-determinant of each row.

    The log-determinant is an output, and not a loss that is added, because its sign and scale depend on what is made of it: for
    maximum likelihood the loss of a row is minus `log_prob(value) + log_det`. Keras trains, counts and saves all variables of the
    bijector. It must hold them when the layer is made.

    Example:
      A density, trained by its own log-probability.

      >>> import keras
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.keras import FlowLayer
      >>> bijector = tfp.bijectors.Shift(tf.Variable([0.0, 0.0]))(tfp.bijectors.Scale(tf.Variable([1.0, 1.0])))
      >>> inputs = keras.Input([2])
      >>> z, log_det = FlowLayer(bijector)(inputs)
      >>> log_prob = log_det - keras.ops.sum(0.5 * z**2 + 0.5 * np.log(2 * np.pi), axis=-1)
      >>> model = keras.Model(inputs, log_prob)
      >>> model.count_params()
      4
      >>> model.compile(keras.optimizers.Adam(0.1), loss=lambda _, log_prob: -log_prob)
      >>> x = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], [256, 2]).astype(np.float32)
      >>> losses = model.fit(x, np.zeros([256]), epochs=20, verbose=0).history["loss"]
      >>> losses[-1] < losses[0] - 2
      True
    """

    _what = "bijector"

    def __init__(self, bijector: tfp.bijectors.Bijector, direction: str = INVERSE, name: str | None = None) -> None:
        """Creates the layer.

        Args:
          bijector: Bijector of this library or of TFP, with all of its variables.
          direction: `'inverse'`, from data to latent, or `'forward'`, from latent to data.
          name: Name of the layer.

        Raises:
          TypeError: If `bijector` is none.
          ValueError: If the direction is unknown.
        """
        check_bijectors(type(self).__name__, bijector)
        if direction not in (INVERSE, FORWARD):
            raise ValueError(f"direction must be {INVERSE!r} or {FORWARD!r}, got {direction!r}.")
        super().__init__(name=name, dtype="float32", autocast=False)
        self.bijector = bijector
        self.direction = direction
        self._hold(bijector)
        self.built = True

    def adapt(self, data: np.ndarray | tf.Tensor, condition: Any = None) -> None:
        """Sets what depends on data (actnorms) from one batch, eagerly; bijectors of TFP have nothing to set.

        Args:
          data: Data of the bijector, which an inverse layer takes and a forward one makes.
          condition: As in `call`.
        """
        if isinstance(self.bijector, Bijector):
            self.bijector.initialize(self._converted(data), condition)
            equalize_replicas(strategy_of(self.bijector), self.bijector.variables)

    def call(self, inputs: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The value and the log-determinant of its Jacobian.

        Args:
          inputs: `[B, event]`.
          condition: Passed to a bijector that takes one.

        Returns:
          `(value, log_det)`: `[B, other event]`, and nats `[B]`.
        """
        # TFP's cache knows nothing of a new tensor.
        x = tf.identity(self._converted(inputs))
        compute = inverse_and_log_det if self.direction == INVERSE else forward_and_log_det
        return compute(self.bijector, x, x.shape.rank - 1, condition)

    def compute_output_spec(
        self, inputs: keras.KerasTensor, condition: Any = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Shapes and dtypes of the outputs, without tracing the bijector."""
        del condition
        bijector = self.bijector
        shape_of = bijector.inverse_event_shape if self.direction == INVERSE else bijector.forward_event_shape
        batch_size, *event = inputs.shape
        dtype = bijector.dtype.name if isinstance(bijector.dtype, tf.DType) else inputs.dtype
        value = keras.KerasTensor((batch_size, *shape_of(tf.TensorShape(event)).as_list()), dtype)
        return value, keras.KerasTensor((batch_size,), dtype)

    def _converted(self, x):
        x = tf.convert_to_tensor(x)
        return tf.cast(x, self.bijector.dtype) if isinstance(self.bijector.dtype, tf.DType) else x
