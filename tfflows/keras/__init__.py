"""For those who train with Keras: `FlowModel`, a `keras.Model`, and `FlowLayer`, for the functional API."""

from tfflows.keras.flow_layer import FlowLayer
from tfflows.keras.flow_model import FlowModel

__all__ = ["FlowLayer", "FlowModel"]
