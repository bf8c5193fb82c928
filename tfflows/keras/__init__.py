"""For those who train with Keras: `FlowModel`, a `keras.Model`, and `FlowLayer`, for the functional API."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.keras.flow_layer import FlowLayer
    from tfflows.keras.flow_model import FlowModel
    from tfflows.keras.losses import DensityLoss, ImageLoss, first_rows
    from tfflows.keras.variables import HoldsVariables, keras_variables, strategy_of

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "flow_layer": ["FlowLayer"],
        "flow_model": ["FlowModel"],
        "losses": ["DensityLoss", "ImageLoss", "first_rows"],
        "variables": ["HoldsVariables", "keras_variables", "strategy_of"],
    },
)
