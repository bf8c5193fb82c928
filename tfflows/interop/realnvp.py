"""Weights by the variable names of the released RealNVP code."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import AffineCoupling, BatchNorm, Chain, CheckerboardAffineCoupling, MultiScale
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.interop.places import check_names, fitted
from tfflows.interop.sources import read_source
from tfflows.networks import ResidualConditioner, ShiftedBatchNorm, UnitNormConv2D
from tfflows.tracing.variables import as_variable

tfd = tfp.distributions

_SCOPE = "model"
# A number of steps that the released code counts beside each pair of running statistics, and uses for nothing.
_COUNTER = "/step"
# The fourth checkerboard coupling is the last scale's alone; the channel-wise ones are the others'.
_CHECKERBOARD, _CHANNEL = (0, 1, 2, 3), (4, 5, 6)


def load_weights(
    model: tfd.Distribution | tfp.bijectors.Bijector | DequantizedFlow, source: Mapping[str, Any] | str | os.PathLike
) -> None:
    """Sets the variables of a RealNVP, running statistics included, from weights by the authors' names.

    Args:
      model: A `DequantizedFlow`, a `tfd.TransformedDistribution` or a `MultiScale` (names begin with `model/`), or a single step,
        a `Chain` of a coupling and its batch norm (names begin with `coupling_0/`).
      source: A mapping by the authors' names (`model/scale_0/coupling_0/bn_in/beta`, ...), or the path of an `.npz` file (with
        these names, or with `var/<name>` beside other arrays) or of a TF1 checkpoint. The counters of steps beside running
        statistics, `.../step`, are not needed.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> import numpy as np
      >>> from tfflows.bijectors import BatchNorm, Chain, CheckerboardAffineCoupling
      >>> from tfflows.interop.realnvp import export_weights, load_weights
      >>> from tfflows.networks import ResidualConditioner
      >>> network = ResidualConditioner(width=4, filters=6, num_blocks=1, colour="even")
      >>> network.build([None, 8, 8, 3])
      >>> step = Chain([CheckerboardAffineCoupling(network), BatchNorm(3, part="odd")])
      >>> weights = export_weights(step)
      >>> weights["coupling_0/bn_out/mean"] = np.array([1.0, 2.0, 3.0])
      >>> load_weights(step, weights)
      >>> step.bijectors[1].mean.numpy()
      array([1., 2., 3.], dtype=float32)

    References:
      Released code of Dinh et al. 2017 (tensorflow/models, real_nvp).
    """
    variables = released_variables(model)
    num_numbers = sum(variable.shape.num_elements() for variable in variables.values())
    weights = read_source(source, num_numbers)
    weights = {name: value for name, value in weights.items() if not name.endswith(_COUNTER)}
    check_names(variables, weights)
    values = {
        name: fitted(name, weights[name], variable.shape, variable.dtype.as_numpy_dtype)
        for name, variable in variables.items()
    }
    for name, variable in variables.items():
        variable.assign(values[name])


def export_weights(model: tfd.Distribution | tfp.bijectors.Bijector | DequantizedFlow) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`.

    Returns:
      `{authors' name: array}`, without counters of steps.
    """
    return {name: variable.numpy() for name, variable in released_variables(model).items()}


def released_variables(
    model: tfd.Distribution | tfp.bijectors.Bijector | DequantizedFlow,
) -> dict[str, tf.Variable]:
    """Returns our variables by the authors' names.

    Args:
      model: As in `load_weights`.

    Raises:
      ValueError: If the model is not a RealNVP, or has parts that the released code does not have.
    """
    if isinstance(model, DequantizedFlow):
        model = model.flow
    if isinstance(model, tfd.Distribution):
        model = model.bijector
    if isinstance(model, MultiScale):
        names = {}
        for index, level in enumerate(model.levels):
            names.update(_scale(level, f"{_SCOPE}/scale_{index}"))
        return names
    if isinstance(model, Chain):
        return _step(model, "coupling_0")
    raise ValueError(f"Expected a RealNVP (MultiScale) or one of its steps (Chain), got {type(model).__name__}.")


def _scale(level, scope):
    if level.prior is not None:
        raise ValueError(
            f"The released RealNVP factors out under N(0, I), but a level of this model has {level.prior!r}."
        )
    steps = [bijector for bijector in level.flow.bijectors if isinstance(bijector, Chain)]
    numbers = {CheckerboardAffineCoupling: iter(_CHECKERBOARD), AffineCoupling: iter(_CHANNEL)}
    names = {}
    for step in steps:
        number = next(numbers.get(type(step.bijectors[0]), iter(())), None)
        if number is None:
            raise ValueError(f"The released RealNVP has no such step in {scope}: {step!r}.")
        names.update(_step(step, f"{scope}/coupling_{number}"))
    return names


def _step(step, scope):
    coupling, norm = (*step.bijectors, None, None)[:2]
    known = isinstance(coupling, AffineCoupling | CheckerboardAffineCoupling) and isinstance(norm, BatchNorm)
    if not known or not isinstance(coupling.network, ResidualConditioner) or not hasattr(coupling, "rescaling"):
        raise ValueError(
            "A step of the released RealNVP is a coupling of scale 'rescaled_tanh' with a ResidualConditioner, and its "
            f"BatchNorm; this one is {step!r}."
        )
    scale = "scale" if isinstance(coupling, AffineCoupling) else "rescaling_scale"
    return {
        **_conditioner(coupling.network, scope),
        f"{scope}/{scale}": coupling.rescaling,
        f"{scope}/bn_out/mean": norm.mean,
        f"{scope}/bn_out/var": norm.variance,
    }


def _conditioner(network, scope):
    names = _norm(network.input_norm, f"{scope}/bn_in")
    layers = {"h_in": network.first, "skip_in": network.first_skip}
    for index, (unit, skip) in enumerate(zip(network.units, network.skips, strict=True)):
        block = f"block_{index}"
        layers |= {f"{block}/bn_in": unit.first_norm, f"{block}/h_0": unit.first}
        layers |= {f"{block}/bn_0": unit.second_norm, f"{block}/out": unit.second, f"skip_{index}": skip}
    layers |= {"bn_pre_out": network.last_norm, "out": network.last}
    for name, layer in layers.items():
        names.update((_norm if isinstance(layer, ShiftedBatchNorm) else _convolution)(layer, f"{scope}/resnet/{name}"))
    return names


def _norm(layer, scope):
    return {
        f"{scope}/beta": as_variable(layer.shift),
        f"{scope}/mean": as_variable(layer.mean),
        f"{scope}/var": as_variable(layer.variance),
    }


def _convolution(layer: UnitNormConv2D, scope):
    names = {f"{scope}/weights": as_variable(layer.direction)}
    if layer.scaled:
        names[f"{scope}/magnitude"] = as_variable(layer.magnitude)
    if layer.biased:
        names[f"{scope}/biases"] = as_variable(layer.bias)
    return names
