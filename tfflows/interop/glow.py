"""Weights by the variable names of the released Glow code."""

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
from tfflows.tracing.walk import as_variable

tfd = tfp.distributions


def load_weights(model, source, scope=None):
    """Sets the variables of a Glow from weights by the authors' names.

    Args:
      model: A `DequantizedFlow`, a `tfd.TransformedDistribution` or a `MultiScale` (whose names begin with `model/`), or a
        single flow step, a `Chain` of actnorm, mixing and coupling.
      source: A mapping by the authors' names (`model/0/3/actnorm_center/b`, ...), the path of an `.npz` file (of such names,
        or of `var/<name>` beside other arrays), or of a TF1 checkpoint.
      scope: Python `str` that the names begin with; default `model`, for a step `step/0`.

    Raises:
      ValueError: if a name is missing, extra, of another shape, or not finite; nothing is changed then.
      FileNotFoundError: if there is nothing at the path.
    """
    variables = released_variables(model, scope)
    weights = read_source(source)
    check_names(variables, weights)
    values = {
        name: fitted(name, weights[name], variable.shape, variable.dtype.as_numpy_dtype)
        for name, variable in variables.items()
    }
    for name, variable in variables.items():
        variable.assign(values[name])


def export_weights(model, scope=None):
    """The inverse of `load_weights`: `{authors' name: array}`; vectors lack the authors' leading axes of size 1."""
    return {name: variable.numpy() for name, variable in released_variables(model, scope).items()}


def released_variables(model, scope=None):
    """Our variables by the authors' names; arguments and errors as for `load_weights`."""
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
            raise ValueError("The released weights fit actnorm in its released form, shift_then_scale.")
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
    if isinstance(bijector, (AdditiveCoupling, AffineCoupling)):
        return _coupling_network(bijector.network, f"{scope}/f1")
    if isinstance(bijector, Reverse):
        return {}
    raise ValueError(f"The released Glow has no {type(bijector).__name__}.")


def _lu(bijector, scope):
    if bijector.diagonal_form != "sign_log":
        raise ValueError("The released weights fit the LU form with diagonal='sign_log'.")
    return {
        f"{scope}/P": bijector.permutation,
        f"{scope}/L": bijector.lower,
        f"{scope}/U": bijector.upper,
        f"{scope}/sign_S": bijector.sign,
        f"{scope}/log_S": bijector.log_abs_diagonal,
    }


def _coupling_network(network, scope):
    if not isinstance(network, CouplingNetwork):
        raise ValueError(f"The released Glow's couplings have a CouplingNetwork, this one a {type(network).__name__}.")
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
