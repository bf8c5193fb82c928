"""The class-conditional PixelCNN++: labels count, are needed and checked, are trained, and have the authors' names."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from reproductions.agave import model as agave
from reproductions.agave.experiments import EXPERIMENTS, stages
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.evaluation.latents import is_conditional, num_classes_of
from tfflows.interop.agave import export_weights, load_weights
from tfflows.math.random import row_keys
from tfflows.networks import GatedResidual, PixelCNN
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.variables import named_variables
from tfflows.training import Trainer
from tfflows.training.optimizers import PixelCNNAdam

NUM_CLASSES, NUM_UNITS, WIDTH = 3, 4, 4
KEYS = row_keys(0)


def images():
    values = tf.random.stateless_uniform([2, 4, 4, 3], [0, 5], 0, 256, tf.int32)
    return tf.cast(values, tf.uint8)


def make(num_classes=NUM_CLASSES, num_blocks=0, **options):
    network = PixelCNN(WIDTH, 10, num_blocks, num_classes=num_classes, seed=1, **options)
    return PixelCNNImages(network, 1, [4, 4, 3])


@functools.cache
def initialized():
    model = make()
    model.initialize(images(), tf.constant([0, 1]), KEYS)
    return model


def class_weights(model):
    return {name: variable for name, variable in named_variables(model).items() if "class_weights" in name}


def test_bits_depend_on_the_label_alone_of_an_image():
    model = initialized()
    assert is_conditional(model) and num_classes_of(model) == NUM_CLASSES
    first, second = (model.elbo(images(), KEYS, tf.constant(labels)).numpy() for labels in ([0, 1], [2, 1]))
    assert abs(first[0] - second[0]) > 1e-2 and first[1] == second[1]
    # Equal weights of all classes leave nothing of the label.
    other = make()
    for variable in class_weights(other).values():
        variable.assign(tf.repeat(variable[:1], NUM_CLASSES, axis=0))
    np.testing.assert_array_equal(*(other.log_prob(images(), labels=labels) for labels in ([0, 1], [2, 2])))


def test_the_term_of_the_class_is_added_before_the_gate():
    unit = GatedResidual(WIDTH, (2, 3), "down", num_classes=NUM_CLASSES)
    x = tf.random.stateless_normal([2, 4, 4, WIDTH], [0, 3])
    for layer in (unit.first, unit.second):
        layer.gain.assign(tf.zeros_like(layer.gain))
    p, q = np.split(unit.class_weights.numpy()[[2, 0]], 2, axis=-1)
    expected = x + (p / (1 + np.exp(-q)))[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(unit(x, classes=tf.one_hot([2, 0], NUM_CLASSES)), expected, atol=1e-6)
    assert abs(np.std(GatedResidual(64, 1, num_classes=10).class_weights) - 0.05) < 5e-3


def test_labels_are_needed_and_in_range():
    model, unconditional = initialized(), make(num_classes=0)
    with pytest.raises(ValueError, match="needs labels, 0 to 2; got none"):
        model.log_prob(images())
    with pytest.raises(ValueError, match="needs labels, 0 to 2; got none"):
        model.sample(2, KEYS)
    with pytest.raises(ValueError, match="Labels must be 0 to 2, got -1, 3"):
        model.elbo(images(), KEYS, tf.constant([3, -1]))
    with pytest.raises(ValueError, match="needs no labels, because its num_classes is 0"):
        unconditional.log_prob(images(), labels=[0, 1])
    assert not is_conditional(unconditional) and num_classes_of(unconditional) == 0
    with pytest.raises(ValueError, match="Classes enter at the gate, which a plain unit lacks"):
        GatedResidual(WIDTH, 3, kind="plain", num_classes=2)
    # Where a graph does not know them, a wrong label makes the bits of its image NaN.
    bits = tf.function(model.elbo, autograph=False)(images(), KEYS, tf.constant([3, 1]))
    assert np.isnan(bits[0]) and np.isfinite(bits[1])


def test_weights_go_out_and_in_by_the_names_of_the_released_code():
    model, other = initialized(), make()
    weights = export_weights(model)
    names = {name for name in weights if name.endswith("hw")}
    assert names == {f"conditional_weights_{number}/hw" for number in range(NUM_UNITS)}
    assert weights.keys() - names == export_weights(make(num_classes=0)).keys()
    # Units of the vertical stream have even numbers, in the order of the positions.
    vertical, horizontal = model.network.positions[1]
    np.testing.assert_array_equal(weights["conditional_weights_2/hw"], vertical.class_weights)
    np.testing.assert_array_equal(weights["conditional_weights_3/hw"], horizontal.class_weights)
    load_weights(other, {f"model/{name}": value for name, value in weights.items()})
    labels = tf.constant([2, 1])
    np.testing.assert_array_equal(other.log_prob(images(), labels=labels), model.log_prob(images(), labels=labels))
    with pytest.raises(ValueError, match="conditional_weights_0/hw"):
        load_weights(make(num_classes=0), weights)
    with pytest.raises(ValueError, match="conditional_weights_0/hw"):
        load_weights(make(), export_weights(make(num_classes=0)))


@pytest.mark.slow
def test_training_moves_the_weights_of_the_classes_it_sees():
    model = make(num_blocks=1, dropout_rate=0.5)
    before = {name: variable.numpy() for name, variable in class_weights(model).items()}
    assert len(before) == 2 * 8
    Trainer(model, PixelCNNAdam(1e-3)).fit((images().numpy(), np.array([0, 1])), 2, batch_size=2, init_batch_size=2)
    for name, variable in class_weights(model).items():
        moved = np.abs(variable - before[name]).max(axis=1)
        assert moved[:2].min() > 1e-4 and moved[2] == 0, name


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["plain", "recompute"])
def test_gradients_in_a_graph_are_those_of_eager_calls(mode):
    model = initialized()
    variables = list(class_weights(model).values())

    def gradients():
        with tf.GradientTape() as tape:
            loss, _ = model.training_loss(images(), tf.constant([0, 2]), KEYS)
        return tape.gradient(loss, variables)

    expected = gradients()
    with memory_scope(mode):
        found = tf.function(gradients, autograph=False)()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
        assert np.abs(other[0]).min() > 0 and np.abs(other[2]).min() > 0 and not np.any(other[1])


def test_other_variables_are_those_of_the_unconditional_network():
    plain, conditional = (named_variables(make(num_classes)) for num_classes in (0, NUM_CLASSES))
    assert [name for name in conditional if "class_weights" not in name] == list(plain)
    for name, variable in plain.items():
        np.testing.assert_array_equal(variable, conditional[name])


def test_only_the_pixelcnn_on_its_own_is_conditional():
    experiment = EXPERIMENTS["cifar10_pixelcnn_conditional"]
    assert stages(experiment) == {"joint": experiment} and experiment.conditional
    assert (
        dataclasses.replace(experiment, conditional=False, **naming(EXPERIMENTS["cifar10_pixelcnn"]))
        == (EXPERIMENTS["cifar10_pixelcnn"])
    )
    for name in ("cifar10", "cifar10_iaf_vae"):
        with pytest.raises(ValueError, match="no AGAVE or IAF-VAE is, only a PixelCNN"):
            agave.build(dataclasses.replace(EXPERIMENTS[name], conditional=True), [32, 32, 3], 10, seed=0)
    with pytest.raises(ValueError, match="needs labels: num_classes must be positive, got 0"):
        agave.build(experiment, [32, 32, 3], 0, seed=0)


def naming(experiment):
    return {name: getattr(experiment, name) for name in ("name", "source", "note")}
