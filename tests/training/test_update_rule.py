"""What all update rules share: slots, clipping, replicas, and how little is traced for a variable."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.devices.strategies import make_strategy
from tfflows.training.optimizers import Adam, GlowAdamax, IAFAdamax, PixelCNNAdam, optimizer_variables
from tfflows.training.schedules import LinearWarmup

RULES = {"adam": Adam, "glow_adamax": GlowAdamax}
SLOTS = {"adam": ("momentums", "velocities"), "glow_adamax": ("momentums", "norms")}
SHAPES = ([4], [2, 3], [])


def arrays(step):
    generator = np.random.default_rng(step)
    return [generator.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def make(rule, strategy=None, dtypes=("float32",) * 3, **options):
    """An optimizer and its variables."""
    with (strategy or tf.distribute.get_strategy()).scope():
        variables = [tf.Variable(array, dtype=dtype) for array, dtype in zip(arrays(0), dtypes, strict=True)]
        optimizer = RULES[rule](0.1, **options)
        optimizer.build(variables)
    return optimizer, variables


def updated(rule, steps=3, **options):
    """Values after some steps on one device."""
    optimizer, variables = make(rule, **options)
    for step in range(1, steps + 1):
        optimizer.apply([tf.constant(array) for array in arrays(step)], variables)
    return [variable.numpy() for variable in variables]


def test_adam_is_that_of_keras():
    optimizers = [kind(LinearWarmup(0.1, 4), beta_2=0.99, epsilon=1e-8) for kind in (Adam, keras.optimizers.Adam)]
    copies = [[tf.Variable(array) for array in arrays(0)] for _ in optimizers]
    for step in range(1, 9):
        for optimizer, variables in zip(optimizers, copies, strict=True):
            optimizer.apply([tf.constant(array) for array in arrays(step)], variables)
    names = [list(optimizer_variables(optimizer, ["a", "b", "c"])) for optimizer in optimizers]
    assert names[0] == names[1]
    for values, expected in zip(*copies, strict=True):
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rule", RULES)
def test_slots_are_zero_and_named_after_the_variables(rule):
    optimizer, variables = make(rule)
    slots = optimizer_variables(optimizer, ["a", "b", "c"])
    expected = {f"optimizer/{slot}/{name}" for slot in SLOTS[rule] for name in "abc"}
    assert set(slots) == expected | {"optimizer/iterations", "optimizer/learning_rate"}
    for name in expected:
        np.testing.assert_array_equal(slots[name], np.zeros(SHAPES["abc".index(name[-1])], np.float32))
    # Slots of one shape are apart, although they start as one tensor.
    optimizer.apply([tf.constant(array) for array in arrays(1)], variables)
    first, second = (slots[f"optimizer/{slot}/a"].numpy() for slot in SLOTS[rule])
    assert np.all(first != 0) and np.all(first != second)


@pytest.mark.parametrize("rule", RULES)
def test_few_operations_are_traced_for_a_variable(rule):
    def operations(number):
        variables = [tf.Variable([1.0, 2.0]) for _ in range(number)]
        optimizer = RULES[rule](LinearWarmup(0.1, 4))
        optimizer.build(variables)
        function = tf.function(lambda gradients: optimizer.apply(gradients, variables))
        graph = function.get_concrete_function([tf.TensorSpec([2])] * number).graph
        return len([o for o in graph.get_operations() if o.type != "Placeholder"])

    assert operations(12) - operations(2) == 10  # one kernel each


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("options", [{}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}])
@pytest.mark.parametrize("where", ["in_replicas", "in_replicas_of_sums", "in_scope", "outside"])
def test_replicas_agree_with_one_device(rule, options, where):
    strategy = make_strategy("mirrored", 2)
    optimizer, variables = make(rule, strategy, **options)

    @tf.function
    def step_in_replicas(parts):
        strategy.run(lambda own: optimizer.apply(own, variables), args=(parts,))

    @tf.function
    def step_in_replicas_of_sums(sums):
        strategy.run(lambda: optimizer.apply_sums(sums, variables))

    for step in range(1, 4):
        sums = [tf.constant(array) for array in arrays(step)]
        if where == "in_replicas":
            values = [
                strategy.experimental_distribute_values_from_function(
                    lambda context, total=total: (0.25, 0.75)[context.replica_id_in_sync_group] * total
                )
                for total in sums
            ]
            step_in_replicas(values)
        elif where == "in_replicas_of_sums":
            step_in_replicas_of_sums(sums)
        elif where == "in_scope":
            with strategy.scope():
                optimizer.apply(sums, variables)
        else:
            optimizer.apply(sums, variables)
    for copy in strategy.experimental_local_results(optimizer.iterations.value):
        assert int(copy) == 3
    for variable, expected in zip(variables, updated(rule, **options), strict=True):
        for copy in strategy.experimental_local_results(variable):
            np.testing.assert_allclose(copy, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_dtypes_may_be_mixed(rule):
    optimizer, variables = make(rule, dtypes=("float64", "float32", "float64"))
    for step in range(1, 4):
        optimizer.apply([tf.constant(array) for array in arrays(step)], variables)
    for variable, expected in zip(variables, updated(rule), strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)
    assert [variable.dtype.name for variable in variables] == ["float64", "float32", "float64"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_variable_without_gradient_stays(rule):
    optimizer, variables = make(rule)
    first, _, last = (tf.constant(array) for array in arrays(1))
    optimizer.apply([first, None, last], variables)
    expected = updated(rule, steps=1)
    np.testing.assert_array_equal(variables[1], arrays(0)[1])
    for index in (0, 2):
        np.testing.assert_array_equal(variables[index], expected[index])


@pytest.mark.parametrize(
    "options",
    [{"weight_decay": 0.1}, {"use_ema": True}, {"loss_scale_factor": 2.0}, {"gradient_accumulation_steps": 2}],
)
@pytest.mark.parametrize("kind", [Adam, GlowAdamax])
def test_other_options_of_keras_are_refused(kind, options):
    with pytest.raises(ValueError, match=f"{kind.__name__} does not take {next(iter(options))}"):
        kind(0.1, **options)


@pytest.mark.parametrize("rule", RULES)
def test_config_round_trip(rule):
    optimizer = RULES[rule](0.01, beta_1=0.8, beta_2=0.7, epsilon=1e-3, global_clipnorm=2.0)
    copy = RULES[rule].from_config(optimizer.get_config())
    assert (copy.beta_1, copy.beta_2, copy.epsilon, copy.global_clipnorm) == (0.8, 0.7, 1e-3, 2.0)
    np.testing.assert_allclose(copy.learning_rate, 0.01)


def first_step(rule, gradient, epsilon, rate=0.1):
    """By how much the rule moves a variable in its first step, as its paper's code does."""
    size = np.abs(gradient)
    if rule is PixelCNNAdam:
        return -rate * gradient / np.sqrt(gradient**2 + epsilon)
    if rule is IAFAdamax:
        return -rate * 0.1 * gradient / np.maximum(epsilon, size)
    beta_2 = 0.999
    if rule is GlowAdamax:
        return -rate * np.sqrt(1 - beta_2) * gradient / (size + epsilon)
    return -rate * np.sqrt(1 - beta_2) * gradient / (np.sqrt(1 - beta_2) * size + epsilon)


@pytest.mark.parametrize("rule", [Adam, GlowAdamax, IAFAdamax, PixelCNNAdam])
@pytest.mark.parametrize(("epsilon", "options"), [(1e-8, {}), (1e-3, {"epsilon": 1e-3})])
def test_epsilon_stands_where_the_rule_has_it(rule, epsilon, options):
    """Gradients of its own size; the default is 1e-8."""
    root = np.sqrt(epsilon) if rule is PixelCNNAdam else epsilon
    gradient = root * np.array([-30.0, -1.0, 0.1, 0.5, 1.0, 2.0, 1e3])
    variable = tf.Variable(np.zeros(7))
    optimizer = rule(0.1, **options)
    optimizer.build([variable])
    optimizer.apply([tf.constant(gradient)], [variable])
    np.testing.assert_allclose(variable, first_step(rule, gradient, epsilon), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "defaults"),
    [
        (Adam, (1e-3, 0.9, 0.999, 1e-8)),
        (PixelCNNAdam, (1e-3, 0.95, 0.9995, 1e-8)),
        (GlowAdamax, (1e-3, 0.9, 0.999, 1e-8)),
        (IAFAdamax, (2e-3, 0.9, 0.999, 1e-8)),
    ],
)
def test_defaults_are_those_of_the_authors(make, defaults):
    def updated(optimizer):
        variable = tf.Variable([1.0, -2.0])
        for gradient in ([0.5, -1e-7], [1e-3, 2.0], [0.25, 1e-7]):
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        return variable.numpy()

    rate, beta_1, beta_2, epsilon = defaults
    expected = updated(make(rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon))
    np.testing.assert_array_equal(updated(make()), expected)
    for changed in ({"beta_1": 0.8}, {"beta_2": 0.9}, {"epsilon": 1e-4}, {"learning_rate": 0.1}):
        assert np.any(updated(make(**changed)) != expected), changed
