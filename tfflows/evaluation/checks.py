"""Whether a model in hand is sound: inverses, log-determinants, conditions, ranges, and values that are not finite."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.bijectors import ActNorm, InvertibleConv, InvertibleConvLU
from tfflows.bijectors.base import value_and_log_det
from tfflows.bijectors.parts import map_condition
from tfflows.bijectors.recording import Call, recorded_calls
from tfflows.distributions.agave import AGAVE
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.distributions.image_model import ImageModel
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.evaluation.jacobians import estimated_log_abs_det, log_abs_det
from tfflows.math.discretized_logistic_mixture import num_parameters
from tfflows.math.invertible_conv import lu_compose
from tfflows.math.random import row_keys
from tfflows.tracing.finite import NotFiniteError
from tfflows.tracing.gradients import opposite
from tfflows.tracing.variables import named_variables, own_children, walk

# An event of at most this many values has its whole Jacobian computed.
MAX_VALUES = 256

# Relative to the greatest value: float32 has 1e-7, and a layer may lose all but three digits of it.
MAX_INVERSION_ERROR = 1e-3
# Grey levels: a number that is off by a tenth of a level falls into another bin once in ten times, and then into the next.
MAX_GREY_LEVELS = 0.1
# Nats per value: a tenth of a thousandth. Rounding in a float32 Jacobian stays far below, and bits/dim have two digits.
MAX_LOG_DET_ERROR = 1e-4
# What Lanczos' quadrature may be off by, nats per value, beside six standard errors of the directions.
MAX_QUADRATURE_ERROR = 1e-3
NUM_STANDARD_ERRORS = 6
# Inverting loses as many digits as the condition has: with four of float32's seven gone, three are left.
MAX_CONDITION = 1e4
# A scale beyond this, either way, leaves two of float32's seven digits when it is undone.
MAX_SCALE = 1e5
# Probabilities of the 256 levels of a colour, summed in float32.
MAX_PROBABILITY_ERROR = 1e-3

_ADVICE = {
    "inversion error": "Compare the layer's forward with its inverse; if its formulas agree, bound its scales.",
    "grey levels": "Look at the layers with the greatest inversion errors; samples and reconstructions are off by so much.",
    "log-det error": "The log-determinant is not that of the map: bits/dim are wrong. Correct it in the layer's code.",
    "condition": "The matrix is nearly singular: go back to an earlier checkpoint, lower the learning rate, or use the LU form.",
    "largest scale": "A channel was almost constant at initialization, or training ran away: initialize on more varied images.",
    "not finite": "Go back to a checkpoint before this, then lower the learning rate or clip gradients.",
    "probability error": "The levels' probabilities do not sum to 1: bits/dim are wrong. Check the bins of the mixture.",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One measure of one part of a model.

    Attributes:
      layer: Path of the part or the variable, as in `named_variables`.
      measure: What was measured, such as `log-det error`.
      value: The measure.
      bound: The most that is sound.
      ok: Whether the value is finite and at most the bound.
      advice: What to do; empty if `ok`.
      detail: How it was measured.
    """

    layer: str
    measure: str
    value: float
    bound: float
    ok: bool
    advice: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What `check_model` found.

    Attributes:
      findings: A list of `Finding`s.

    Example:
      >>> from tfflows.evaluation.checks import CheckReport, Finding
      >>> report = CheckReport([Finding("flow/conv", "condition", 2e5, 1e4, False, "Train again.")])
      >>> report.ok
      False
      >>> print(report)
      layer      measure    worst  bound
      flow/conv  condition  2e+05  1e+04  NOT OK: Train again.
    """

    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether all findings are."""
        return all(finding.ok for finding in self.findings)

    @property
    def failures(self) -> list[Finding]:
        """The findings that are not ok."""
        return [finding for finding in self.findings if not finding.ok]

    def __str__(self) -> str:
        """A table of all that is not ok, and of the worst part in each other measure."""
        worst = {}
        for finding in self.findings:
            if finding.ok and _ratio(finding) >= _ratio(worst.get(finding.measure, finding)):
                worst[finding.measure] = finding
        rows = [("layer", "measure", "worst", "bound", "")]
        for finding in [*self.failures, *worst.values()]:
            verdict = "ok" if finding.ok else f"NOT OK: {finding.advice}"
            detail = f" ({finding.detail})" if finding.detail else ""
            rows.append(
                (finding.layer, finding.measure, f"{finding.value:.3g}", f"{finding.bound:.3g}", verdict + detail)
            )
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]])
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in lines)


def check_model(model: ImageModel, images: Any, *, labels: Any = None, seed: int = 0) -> CheckReport:
    """Measures whether a model is sound, on images, eagerly and in the dtype it runs in.

    - Variables: values that are not finite; conditions of the 1x1 convolutions; scales of actnorms and of all variables named
      `log_scale`, and their inverses.
    - Each bijector that runs in `elbo`, those of dequantizers, augmenters and posteriors included, on what reaches it:
      `max |x - inverse(forward(x))|` relative to `max(1, max |x|)`, and its log-determinant against automatic differentiation.
    - Flows: the error of the whole round trip in grey levels.
    - PixelCNN++ and AGAVE: whether the 256 levels of each colour have probabilities that sum to 1, in the first image's pixels.

    Log-determinants are compared on the first image. A layer that admits it gets the corner of an event with at most 256 values;
    there the whole Jacobian is computed, and an error of 1e-4 nats a value is seen. Other layers, such as those with attention,
    get the whole event and 8 random directions (`estimated_log_abs_det`): there an error is seen if it exceeds six standard
    errors and 1e-3 nats a value. That is little where the Jacobian is almost diagonal. Where a layer mixes much it can be 0.07
    nats a value, and smaller errors pass. The bound of each layer is in the report. No
    comparison sees an error that is zero on these images.

    Args:
      model: Any image model.
      images: uint8 `[B, H, W, C]`; a few suffice.
      labels: int32 `[B]`, for a model that takes them.
      seed: Seed of the noise and the directions.

    Returns:
      The report.

    Raises:
      ValueError: If the images do not fit the model, or it takes labels and none are given.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.evaluation.checks import check_model
      >>> tfd = tfp.distributions
      >>> flow = Chain([ActNorm([3]), InvertibleConv(3)])
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [4, 4, 3])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, flow))
      >>> images = tf.zeros([2, 4, 4, 3], tf.uint8)
      >>> check_model(model, images).ok
      True
      >>> _ = flow.bijectors[0].log_scale.assign([0.0, -7.0, 0.0])  # exp(3 * -7)
      >>> check_model(model, images).failures[0].layer, check_model(model, images).failures[0].measure
      ('flow/bijector/bijectors/0', 'largest scale')
    """
    images = tf.convert_to_tensor(images)
    condition = _condition(model, labels, images.shape[0])
    keys = row_keys(seed)
    findings = _check_variables(model)
    paths = _paths(model)
    with recorded_calls() as calls:
        try:
            bound = model.elbo(images, keys, condition)
            findings.append(_finding("model", "not finite", _num_not_finite(bound), 0.0, "log-probabilities"))
        except NotFiniteError as error:
            findings.append(_not_finite(paths.get(id(error.part), "model"), error))
    seen = set()
    for call in calls:
        if (id(call.bijector), call.direction) not in seen:
            seen.add((id(call.bijector), call.direction))
            findings += _check_call(call, paths.get(id(call.bijector), call.bijector.name), seed)
    # Beyond a value that is not finite nothing else can be measured on the whole.
    if any(finding.measure == "not finite" and not finding.ok for finding in findings):
        return CheckReport(findings)
    if isinstance(model, DequantizedFlow):
        findings.append(_check_round_trip(model, images, keys, condition, paths))
    if isinstance(model, PixelCNNImages | AGAVE):
        findings += _check_pixels(model, images[:1], keys)
    return CheckReport(findings)


def _ratio(finding):
    return finding.value / finding.bound if finding.bound else finding.value


def _finding(layer, measure, value, bound, detail=""):
    value = float(value)
    ok = math.isfinite(value) and value <= bound
    return Finding(layer, measure, value, bound, ok, "" if ok else _ADVICE[measure], detail)


def _not_finite(layer, error):
    return Finding(layer, "not finite", math.inf, 0.0, False, f"{error} {_ADVICE['not finite']}")


def _num_not_finite(tensor):
    return np.sum(~np.isfinite(np.asarray(tensor)))


def _condition(model, labels, num_images):
    if labels is not None:
        return model.condition_of(tf.cast(labels, tf.int32))
    if model.condition_of(tf.zeros([num_images], tf.int32)) is not None:
        raise ValueError("The model is conditional on labels, but none were given; pass labels=, one for each image.")
    return None


def _parts(module):
    """All values below a module that were not met before, with their paths."""
    parts = []

    def visit(value, path, place, number):
        del place
        if number is None:
            parts.append((value, "/".join(str(name).removeprefix("_") for name in path)))
        return True

    walk(module, own_children, visit)
    return parts


def _paths(module):
    return {id(value): path for value, path in _parts(module)}


def _check_variables(model):
    findings = []
    for name, variable in named_variables(model).items():
        if not variable.dtype.is_floating:
            continue
        findings.append(_finding(name, "not finite", _num_not_finite(variable), 0.0, "values of the variable"))
    for part, path in _parts(model):
        if isinstance(part, InvertibleConv | InvertibleConvLU):
            findings.append(_finding(path, "condition", _condition_number(_matrix(part)), MAX_CONDITION))
        elif isinstance(part, ActNorm):
            findings.append(_scale_finding(path, part._effective_log_scale()))
        elif isinstance(part, tf.Variable) and path.endswith("/log_scale") and part.dtype.is_floating:
            findings.append(_scale_finding(path, part))
    return findings


def _scale_finding(path, log_scale):
    """The largest scale, or the largest inverse of one, whichever is greater."""
    largest = np.max(np.abs(np.asarray(log_scale, np.float64)))
    with np.errstate(over="ignore"):
        return _finding(path, "largest scale", np.exp(largest), MAX_SCALE, "or its inverse")


def _matrix(conv):
    if isinstance(conv, InvertibleConv):
        return conv.weight.numpy()
    diagonal, _ = conv._diagonal_and_log_abs_det()
    return lu_compose(conv.permutation, conv.lower, conv.upper, diagonal).numpy()


def _condition_number(matrix):
    return np.linalg.cond(matrix.astype(np.float64)) if np.all(np.isfinite(matrix)) else math.inf


def _check_call(call, path, seed):
    try:
        return [_check_inverse(call, path), _check_log_det(call, path, seed)]
    except NotFiniteError as error:
        return [_not_finite(path, error)]


def _check_inverse(call, path):
    change = call.value.shape.rank - call.x.shape.rank
    back, _ = value_and_log_det(
        call.bijector, opposite(call.direction), tf.identity(call.value), call.event_ndims + change, call.condition
    )
    x = call.x.numpy()
    error = np.max(np.abs(back.numpy() - x)) / max(1.0, np.max(np.abs(x)))
    return _finding(path, "inversion error", error, MAX_INVERSION_ERROR, type(call.bijector).__name__)


def _check_log_det(call, path, seed):
    for corner in _corners(call):
        try:
            log_det, expected = _on_corner(corner)
        except NotFiniteError:
            raise
        except (ValueError, tf.errors.InvalidArgumentError):
            continue  # the layer takes events of its own size alone
        size = corner.x.shape.num_elements()
        return _finding(
            path, "log-det error", abs(log_det - expected) / size, MAX_LOG_DET_ERROR, f"Jacobian of {size} values"
        )
    call = _first_event(call)
    estimate, error = estimated_log_abs_det(lambda x: _run(call, x)[0], call.x, seed=seed)
    size = call.x.shape.num_elements()
    difference = abs(float(_run(call, call.x)[1][0]) - estimate) / size
    bound = MAX_QUADRATURE_ERROR + NUM_STANDARD_ERRORS * error / size
    return _finding(path, "log-det error", difference, bound, f"8 directions of {size} values")


def _on_corner(call):
    """The log-determinant of the layer, and that of its Jacobian."""
    _, log_det = _run(call, call.x)
    return float(log_det[0]), log_abs_det(lambda x: _run(call, x)[0], call.x)


def _run(call, x):
    """Runs the recorded direction on copies of one event."""
    condition = map_condition(call.condition, on_tensor=lambda tensor: tf.repeat(tensor, x.shape[0], axis=0))
    return value_and_log_det(call.bijector, call.direction, x, call.event_ndims, condition)


def _first_event(call):
    batch_ndims = call.x.shape.rank - call.event_ndims
    condition = map_condition(call.condition, on_tensor=lambda tensor: tensor[:1])
    if batch_ndims != 1:
        raise ValueError(f"Expected one batch axis, got an input of shape {call.x.shape}.")
    return call._replace(x=call.x[:1], condition=condition)


def _corners(call):
    """The call on one event, cut to at most `MAX_VALUES` values: the largest corner first."""
    call = _first_event(call)
    if call.x.shape.num_elements() <= MAX_VALUES:
        return [call]
    if call.event_ndims != 3:
        return []
    _, height, width, channels = call.x.shape
    side = min(height, width, math.isqrt(MAX_VALUES // channels))
    sides = [side - side % 2, 1] if side >= 2 else [1] * (side == 1)
    return [corner for side in sides if (corner := _cut(call, side, height, width)) is not None]


def _cut(call, side, height, width) -> Call | None:
    fits = True

    def cut(tensor):
        nonlocal fits
        if tensor.shape.rank == 4:
            fits &= tensor.shape[1:3] == [height, width]
            return tensor[:, :side, :side]
        return tensor

    corner = call._replace(x=cut(call.x), condition=map_condition(call.condition, on_tensor=cut))
    return corner if fits else None


def _check_round_trip(model, images, keys, condition, paths):
    try:
        v = model.dequantize(images, keys)
        latents = tf.identity(model.encode(images, keys, condition))
        error = tf.reduce_max(tf.abs(model.decode_values(latents, condition) - v)) * 2.0**model.num_bits
    except NotFiniteError as error:
        return _not_finite(paths.get(id(error.part), "model"), error)
    return _finding("model", "grey levels", error, MAX_GREY_LEVELS, "decode(encode(images))")


def _check_pixels(model, images, keys):
    pixels, features = model, None
    if isinstance(model, AGAVE):
        pixels, features = model.pixels, model.features(model.vae.posterior(images, keys)[0])
    parameters = tf.cast(pixels.network(pixels.seen(images), features, None), tf.float32)[0]
    parameters = tf.reshape(parameters, [-1, 1, parameters.shape[-1]])[:16]
    sums = [_sum_of_levels(parameters, pixels.num_components, colour) for colour in range(pixels.image_shape[-1])]
    path = "pixels" if isinstance(model, AGAVE) else "model"
    return [
        _finding(path, "probability error", np.max(np.abs(total - 1)), MAX_PROBABILITY_ERROR, f"colour {colour}")
        for colour, total in enumerate(sums)
    ]


def _sum_of_levels(parameters, num_components, colour):
    """Sum over one colour's levels, `[pixels, 1]`, with the other two certain to have level 0."""
    if parameters.shape[-1] == num_parameters(num_components, 1):
        levels = np.broadcast_to(
            np.arange(256, dtype=np.uint8).reshape([256, 1, 1, 1]), [256, *parameters.shape[:2], 1]
        )
        return _sum_of_probabilities(parameters, num_components, levels)
    logits, rest = tf.split(parameters, [num_components, 9 * num_components], axis=-1)
    means, log_scales, coefficients = np.moveaxis(rest.numpy().reshape([-1, 1, 3, 3, num_components]), -2, 0)
    others = [other for other in range(3) if other != colour]
    means[:, :, others], log_scales[:, :, others] = -1e3, 0.0
    blocks = np.stack([means, log_scales, coefficients], axis=-2).reshape(rest.shape)
    levels = np.zeros([256, 1, 1, 3], np.uint8)
    levels[:, 0, 0, colour] = np.arange(256)
    levels = np.broadcast_to(levels, [256, *parameters.shape[:2], 3])
    return _sum_of_probabilities(tf.concat([logits, blocks], axis=-1), num_components, levels)


def _sum_of_probabilities(parameters, num_components, levels):
    pixels = DiscretizedLogisticMixture(parameters, num_components)
    return np.sum(np.exp(pixels.log_prob(levels).numpy().astype(np.float64)), axis=0)
