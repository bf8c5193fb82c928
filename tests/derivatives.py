"""First and second derivatives against finite differences in float64."""

import contextlib

import numpy as np
import tensorflow as tf

STEP = 1e-5


def assert_derivatives(run, inputs, variables, names=("value",), tolerance=1e-6, second=True):
    """Checks the derivatives of each result, weighted at random, along random directions of inputs and of parameters.

    Args:
      run: Function of the inputs that returns a sequence of float64 tensors, and reads the variables.
      inputs: float64 tensors, may be empty.
      variables: float64 `tf.Variable`s, may be empty; they keep their values.
      names: Names of the results, for messages.
      tolerance: Relative and absolute.
      second: Whether the second derivatives are checked too.
    """
    inputs, variables = list(inputs), list(variables)
    places = [*inputs, *(tf.convert_to_tensor(variable) for variable in variables)]
    generator = np.random.default_rng(0)

    def normal_like(tensors):
        return [tf.constant(generator.standard_normal(tensor.shape)) for tensor in tensors]

    weights = normal_like(run(*inputs))
    changes, count = normal_like(places), len(inputs)
    zeros = [tf.zeros_like(place) for place in places]
    directions = {"input": [*changes[:count], *zeros[count:]], "parameters": [*zeros[:count], *changes[count:]]}
    directions = {source: along for source, along in directions.items() if (inputs if source == "input" else variables)}

    def first(x):
        """The weighted sums, and their gradients by inputs and parameters."""
        with tf.GradientTape(persistent=len(names) > 1) as tape:
            tape.watch(x)
            sums = [tf.reduce_sum(weight * result) for weight, result in zip(weights, run(*x), strict=True)]
        zero = tf.UnconnectedGradients.ZERO
        return sums, [tape.gradient(total, [*x, *variables], unconnected_gradients=zero) for total in sums]

    def first_at(along, step):
        moved = [place + step * change for place, change in zip(places, along, strict=True)]
        for variable, value in zip(variables, moved[count:], strict=True):
            variable.assign(value)
        sums, gradients = first(moved[:count])
        return [total.numpy() for total in sums], [[g.numpy() for g in gradient] for gradient in gradients]

    x = [tf.identity(value) for value in inputs]
    tape = tf.GradientTape(persistent=True)
    with tape if second else contextlib.nullcontext():
        tape.watch(x)
        _, gradients = first(x)
        products = {
            source: [
                tf.add_n([tf.reduce_sum(g * a) for g, a in zip(gradient, along, strict=True)]) for gradient in gradients
            ]
            for source, along in directions.items()
        }
    for source, along in directions.items():
        (sums_above, above), (sums_below, below) = first_at(along, STEP), first_at(along, -STEP)
        for number, name in enumerate(names):
            what = f"{name} by {source}"
            slope = (sums_above[number] - sums_below[number]) / (2 * STEP)
            np.testing.assert_allclose(products[source][number], slope, rtol=tolerance, atol=tolerance, err_msg=what)
            if not second:
                continue
            again = tape.gradient(
                products[source][number], [*x, *variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            differences = [(a - b) / (2 * STEP) for a, b in zip(above[number], below[number], strict=True)]
            scale = 1 + max(np.abs(difference).max() for difference in differences)
            for place, (obtained, expected) in enumerate(zip(again, differences, strict=True)):
                by = f"input {place}" if place < count else variables[place - count].name
                np.testing.assert_allclose(
                    obtained, expected, rtol=tolerance, atol=tolerance * scale, err_msg=f"{what}, again by {by}"
                )
    for variable, value in zip(variables, places[count:], strict=True):
        variable.assign(value)
