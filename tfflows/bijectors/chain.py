"""Composition with one condition threaded through."""

import itertools

from tfflows.bijectors.base import Bijector, forward_and_log_det, inverse_and_log_det, takes_condition


class Chain(Bijector):
    """`forward(x) = b[0](b[1](... b[-1](x)))`, so the list reads from data to latent: `inverse` applies `b[0]` first.

    As `tfb.Chain`, but `condition=` reaches every bijector that takes one (`Squeeze` squeezes a condition of image shape on
    its way), equal bijectors do not share conditions, and a condition that none takes raises. Bijectors from TFP may stand
    in the list.

    #### Examples

    ```python
    step = Chain([ActNorm([12]), InvertibleConv(12), AffineCoupling(network)])
    latent = step.inverse(images)
    ```
    """

    def __init__(self, bijectors, validate_args=False, name="chain"):
        """Creates the composition.

        Args:
          bijectors: Sequence of bijectors, from data to latent.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if the list is empty.
        """
        parameters = dict(locals())
        self.bijectors = list(bijectors)
        if not self.bijectors:
            raise ValueError("Chain needs at least one bijector.")
        self.takes_condition = any(takes_condition(bijector) for bijector in self.bijectors)
        inverse_event_ndims = max_event_ndims = self._minimal_event_ndims()
        for bijector in self.bijectors:
            max_event_ndims += bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
        super().__init__(
            forward_min_event_ndims=max_event_ndims,
            inverse_min_event_ndims=inverse_event_ndims,
            is_constant_jacobian=all(b.is_constant_jacobian for b in self.bijectors),
            dtype=next((b.dtype for b in self.bijectors if b.dtype is not None), None),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self):
        kinds = [type(bijector).__name__ for bijector in self.bijectors]
        runs = [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]
        listed = ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in runs)
        return f"Chain({self.name!r}: {listed}; {self._num_parameters():,} parameters)"

    def _minimal_event_ndims(self):
        """Axes of a data event such that each bijector on the way gets at least its own minimum."""
        needed, change = 0, 0
        for bijector in self.bijectors:
            needed = max(needed, bijector.inverse_min_event_ndims - change)
            change += bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
        return needed

    def squeeze_condition(self, condition, batch_ndims):
        """The condition as the bijectors behind this one see it: through every `Squeeze` in the list."""
        for bijector in self.bijectors:
            if isinstance(bijector, Bijector):
                condition = bijector.squeeze_condition(condition, batch_ndims)
        return condition

    def _conditions(self, condition, batch_ndims):
        """The condition that each bijector gets (None for those that take none)."""
        conditions = []
        for bijector in self.bijectors:
            conditions.append(condition if takes_condition(bijector) else None)
            if isinstance(bijector, Bijector) and condition is not None:
                condition = bijector.squeeze_condition(condition, batch_ndims)
        return conditions

    def _inverse_and_log_det(self, y, condition=None):
        x, event_ndims, total = y, self.inverse_min_event_ndims, None
        conditions = self._conditions(condition, y.shape.rank - event_ndims)
        for bijector, bijector_condition in zip(self.bijectors, conditions, strict=True):
            x, log_det = inverse_and_log_det(bijector, x, event_ndims, bijector_condition)
            event_ndims += bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
            total = log_det if total is None else total + log_det
        return x, total

    def _forward_and_log_det(self, x, condition=None):
        y, event_ndims, total = x, self.forward_min_event_ndims, None
        conditions = self._conditions(condition, x.shape.rank - event_ndims)
        for bijector, bijector_condition in zip(self.bijectors[::-1], conditions[::-1], strict=True):
            y, log_det = forward_and_log_det(bijector, y, event_ndims, bijector_condition)
            event_ndims += bijector.inverse_min_event_ndims - bijector.forward_min_event_ndims
            total = log_det if total is None else total + log_det
        return y, total

    def initialize(self, y, condition=None):
        """Initializes each bijector on the output of the ones before it (data to latent); returns the latent."""
        condition = self._condition_kwargs(condition).get("condition")
        conditions = self._conditions(condition, y.shape.rank - self.inverse_min_event_ndims)
        for bijector, bijector_condition in zip(self.bijectors, conditions, strict=True):
            if isinstance(bijector, Bijector):
                y = bijector.initialize(y, bijector_condition)
            else:
                y = inverse_and_log_det(bijector, y, bijector.inverse_min_event_ndims, bijector_condition)[0]
        return y

    def _inverse_event_shape(self, shape):
        for bijector in self.bijectors:
            shape = bijector.inverse_event_shape(shape)
        return shape

    def _forward_event_shape(self, shape):
        for bijector in self.bijectors[::-1]:
            shape = bijector.forward_event_shape(shape)
        return shape

    def _inverse_event_shape_tensor(self, shape):
        for bijector in self.bijectors:
            shape = bijector.inverse_event_shape_tensor(shape)
        return shape

    def _forward_event_shape_tensor(self, shape):
        for bijector in self.bijectors[::-1]:
            shape = bijector.forward_event_shape_tensor(shape)
        return shape
