"""Weights by the variable names of the released Glow code."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    GaussianPrior,
    InvertibleConv,
    InvertibleConvLU,
    MultiScale,
    Permutation,
    Reverse,
    Squeeze,
)
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.classifying_flow import ClassifyingFlow
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.interop.places import check_names, fitted
from tfflows.interop.sources import read_source
from tfflows.networks import CouplingNetwork, TopPrior, ZeroConv2D, ZeroDense
from tfflows.tracing.variables import as_variable

tfd = tfp.distributions


def load_weights(
    model: tfp.distributions.Distribution | tfp.bijectors.Bijector,
    source: Mapping[str, Any] | str | os.PathLike,
    scope: str | None = None,
) -> None:
    """Sets the variables of a Glow from weights by the authors' names.

    Args:
      model: A `DequantizedFlow`, a `tfd.TransformedDistribution` or a `MultiScale` (whose names begin with `model/`), or a
        single flow step, a `Chain` of actnorm, mixing and coupling.
      source: A mapping by the authors' names (`model/0/3/actnorm_center/b`, ...), or the path of an `.npz` file (with these
        names, or with `var/<name>` beside other arrays) or of a TF1 checkpoint.
      scope: Beginning of the names; by default `model`, and `step/0` for a step.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.
      FileNotFoundError: If there is nothing at the path.

    Example:
      >>> import numpy as np
      >>> from tfflows.bijectors import ActNorm, Chain
      >>> from tfflows.interop.glow import export_weights, load_weights
      >>> step = Chain([ActNorm([2])])
      >>> weights = {
      ...     "step/0/actnorm_center/b": np.array([1.0, 2.0]),
      ...     "step/0/actnorm_scale/logs": np.zeros([1, 2]),  # leading axes of size 1 are dropped
      ... }
      >>> load_weights(step, weights)
      >>> export_weights(step)["step/0/actnorm_center/b"]
      array([1., 2.], dtype=float32)

    References:
      Released code of Kingma & Dhariwal 2018 (openai/glow).
    """
    variables = released_variables(model, scope)
    weights = read_source(source, sum(variable.shape.num_elements() for variable in variables.values()))
    check_names(variables, weights)
    values = {
        name: fitted(name, weights[name], variable.shape, variable.dtype.as_numpy_dtype)
        for name, variable in variables.items()
    }
    for name, variable in variables.items():
        variable.assign(values[name])


def export_weights(
    model: tfp.distributions.Distribution | tfp.bijectors.Bijector, scope: str | None = None
) -> dict[str, np.ndarray]:
    """Inverse of `load_weights`.

    Returns:
      `{authors' name: array}`. Vectors lack the authors' leading axes of size 1.
    """
    return {name: variable.numpy() for name, variable in released_variables(model, scope).items()}


def released_variables(
    model: tfp.distributions.Distribution | tfp.bijectors.Bijector, scope: str | None = None
) -> dict[str, tf.Variable]:
    """Returns our variables by the authors' names.

    Args:
      model: As in `load_weights`.
      scope: As in `load_weights`.

    Raises:
      ValueError: If the model is not a Glow, or has parts that the released code does not have.
    """
    classifier = model.classifier if isinstance(model, ClassifyingFlow) else None
    if isinstance(model, DequantizedFlow):
        model = model.flow
    if isinstance(model, AugmentedFlow | tfd.Distribution):
        model = model.bijector
    if isinstance(model, MultiScale):
        scope = "model" if scope is None else scope
        names = _multiscale(model, scope)
        if classifier is not None:
            names.update(_dense(classifier, f"{scope}/classifier"))
        return names
    if isinstance(model, Chain):
        return _step(model, "step/0" if scope is None else scope)
    raise ValueError(f"Expected a Glow (MultiScale) or one of its steps (Chain), got {type(model).__name__}.")


def _multiscale(multiscale, scope):
    names = {}
    for index, level in enumerate(multiscale.levels):
        steps = [bijector for bijector in level.flow.bijectors if not isinstance(bijector, Squeeze)]
        for number, step in enumerate(steps):
            names.update(_step(step, f"{scope}/{index}/{number}"))
        if isinstance(level.prior, GaussianPrior):
            last = index == len(multiscale.levels) - 1
            names.update(_prior(level.prior.network, scope, index, last))
    return names


def _prior(network, scope, index, last):
    if not last:
        return _zero_convolution(network, f"{scope}/pool{index}/conv")
    names = {}
    if network.learn:
        names.update(_zero_convolution(network, f"{scope}/prior/p"))
    if network.num_classes:
        names.update(_dense(network.label_embedding, f"{scope}/prior/y_emb"))
    return names


def _step(step, scope):
    names = {}
    for bijector in step.bijectors:
        names.update(_step_part(bijector, scope))
    return names


def _step_part(bijector, scope):
    if isinstance(bijector, ActNorm):
        if bijector.form != "shift_then_scale":
            raise ValueError(
                f"The released weights fit only actnorm in its released form, shift_then_scale; this one has {bijector.form}."
            )
        return {f"{scope}/actnorm_center/b": bijector.bias, f"{scope}/actnorm_scale/logs": bijector.log_scale}
    if isinstance(bijector, InvertibleConv):
        return {f"{scope}/invconv/W": bijector.weight}
    if isinstance(bijector, InvertibleConvLU):
        return _lu(bijector, f"{scope}/invconv")
    if isinstance(bijector, Permutation):
        return {
            f"{scope}/shuffle/indices": bijector.indices,
            f"{scope}/shuffle/indices_inverse": bijector.inverse_indices,
        }
    if isinstance(bijector, AdditiveCoupling | AffineCoupling):
        return _coupling_network(bijector.network, f"{scope}/f1")
    if isinstance(bijector, Reverse):
        return {}
    raise ValueError(f"The released Glow has no {type(bijector).__name__}; its weights do not fit a model with one.")


def _lu(bijector, scope):
    if bijector.diagonal_form != "sign_log":
        raise ValueError(
            f"The released weights fit only the LU form with diagonal='sign_log'; this one has {bijector.diagonal_form!r}."
        )
    return {
        f"{scope}/P": bijector.permutation,
        f"{scope}/L": bijector.lower,
        f"{scope}/U": bijector.upper,
        f"{scope}/sign_S": bijector.sign,
        f"{scope}/log_S": bijector.log_abs_diagonal,
    }


def _coupling_network(network, scope):
    if not isinstance(network, CouplingNetwork):
        raise ValueError(
            f"The released Glow's couplings have a CouplingNetwork; this one has a {type(network).__name__}."
        )
    names = {}
    for layer, name in ((network.hidden1, "l_1"), (network.hidden2, "l_2")):
        names[f"{scope}/{name}/W"] = as_variable(layer.kernel)
        names[f"{scope}/{name}/actnorm_center/b"] = as_variable(layer.bias)
        names[f"{scope}/{name}/actnorm_scale/logs"] = as_variable(layer.log_scale)
    return {**names, **_zero_convolution(network.last, f"{scope}/l_last")}


def _zero_convolution(layer: ZeroConv2D | TopPrior, scope):
    return {
        f"{scope}/W": as_variable(layer.kernel),
        f"{scope}/b": as_variable(layer.bias),
        f"{scope}/logs": as_variable(layer.log_scale),
    }


def _dense(layer: ZeroDense, scope):
    return _zero_convolution(layer, scope)
