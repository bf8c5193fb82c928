"""`tfflows.keras`: what Keras trains, saves and measures is what `Trainer` and `Evaluator` do."""

import functools

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.distributions import small_models
from tfflows.bijectors import ActNorm, AffineCoupling, BatchNorm, Chain, InvertibleConv
from tfflows.data import array_source, training_batches
from tfflows.devices.strategies import make_strategy
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.bits_per_dim import Evaluator
from tfflows.keras import FlowLayer, FlowModel
from tfflows.networks import CouplingNetwork
from tfflows.tracing.variables import named_variables
from tfflows.training import LoopSettings, Trainer
from tfflows.training.optimizers import Adam

tfb, tfd = tfp.bijectors, tfp.distributions

SHAPE = [4, 4, 3]
ROW, COLUMN, NUMBER = np.meshgrid(np.arange(4), np.arange(4), np.arange(12), indexing="ij")
RAMPS = [20 * NUMBER + 3 * ROW, 250 - 20 * NUMBER - 2 * COLUMN, 40 + 5 * NUMBER + 9 * COLUMN]
IMAGES = np.stack(RAMPS, axis=-1).transpose(2, 0, 1, 3).astype(np.uint8)
LABELS = np.arange(12) % small_models.NUM_CLASSES
FLOATS = np.random.default_rng(0).normal(3.0, 2.0, [8, *SHAPE]).astype(np.float32)


def glow_step(seed=0):
    """Actnorm, 1x1 convolution, coupling."""
    network = CouplingNetwork(width=2, filters=2)
    network.build([None, 4, 4, 2])
    return [ActNorm([3]), InvertibleConv(3, seed=seed), AffineCoupling(network, transformed_channels=1)]


def density(num_steps=1):
    base = tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE)
    return tfd.TransformedDistribution(base, Chain([part for seed in range(num_steps) for part in glow_step(seed)]))


def glow(num_steps=1):
    return DequantizedFlow(density(num_steps))


def values_of(model):
    return {name: variable.numpy() for name, variable in named_variables(model).items()}


def assign(model, values):
    for name, variable in named_variables(model).items():
        variable.assign(values[name])


def adapted(distribution=None, optimizer=None, **options):
    model = FlowModel(distribution or glow())
    model.adapt(IMAGES, LABELS)
    model.compile(optimizer or keras.optimizers.Adam(0.01), **options)
    return model


def batches(batch_size, num_steps, seed=0):
    """Those of `Trainer`."""
    source = array_source(IMAGES, LABELS)
    steps = training_batches(source, global_batch_size=batch_size, seed=seed).take(num_steps)
    return steps.map(lambda batch: (batch["image"], batch["label"]))


@pytest.fixture(scope="module")
def trained():
    """A model after two epochs, and the values before them."""
    model = adapted()
    before = values_of(model.distribution)
    model.fit(IMAGES, batch_size=5, epochs=2, shuffle=False, verbose=0)
    return model, before


# ----------------------------------------------------------------------------------------------------------- variables


def test_every_variable_is_tracked_and_trained(trained):
    model, before = trained
    after = values_of(model.distribution)
    assert len(before) == 12 == len(model.trainable_variables) == len(model.variables)
    assert [name for name in before if np.array_equal(before[name], after[name])] == []
    assert model.count_params() == sum(value.size for value in after.values())
    lines = []
    model.summary(print_fn=lines.append)
    assert "flow/bijector/bijectors/1/weight" in lines[0] and f"{model.count_params():,}" in lines[0]


def test_weights_are_saved_by_their_paths_and_loaded_with_the_optimizer(trained, tmp_path):
    model, _ = trained
    path = str(tmp_path / "flow.weights.h5")
    model.save_weights(path)
    expected = values_of(model.distribution)
    with h5py.File(path) as file:
        assert sorted(file["vars"]) == sorted(name.replace("/", ".") for name in expected)
    loaded = FlowModel(glow())
    loaded.compile(keras.optimizers.Adam(0.5))
    loaded.load_weights(path)
    found = values_of(loaded.distribution)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 6
    loaded.make_train_function()  # needs no adapt


def test_weights_of_another_model_are_refused_before_anything_changes(tmp_path):
    path = str(tmp_path / "deeper.weights.h5")
    FlowModel(glow(num_steps=2)).save_weights(path)
    model = FlowModel(glow())
    before = values_of(model.distribution)
    with pytest.raises(ValueError, match=r"another model .* flow\.bijector\.bijectors\.3\.bias is only in the file"):
        model.load_weights(path)
    after = values_of(model.distribution)
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def test_whole_models_are_refused_before_an_epoch_of_work(tmp_path):
    model = adapted()
    with pytest.raises(TypeError, match="use save_weights"):
        model.save(str(tmp_path / "model.keras"))
    whole = keras.callbacks.ModelCheckpoint(str(tmp_path / "model.keras"))
    with pytest.raises(TypeError, match="save_weights_only=True"):
        model.fit(IMAGES, callbacks=[whole])
    assert int(model.optimizer.iterations) == 0


def test_frozen_layers_stay_as_they_are_and_regularizers_count():
    network = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(10.0))
    network.build([None, 4, 4, 2])
    bijector = Chain([ActNorm([3]), AffineCoupling(network, transformed_channels=1)])
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE), bijector)
    model = adapted(DequantizedFlow(flow))
    network.trainable = False
    assert len(model.trainable_variables) == 2 and model.losses == []
    network.trainable = True
    kernel = network.kernel.numpy()
    network.bias.trainable = False
    model.compile(keras.optimizers.Adam(0.01))
    logs = model.train_on_batch(IMAGES, return_dict=True)
    assert logs["loss"] - logs["bits_per_dim"] == pytest.approx(10.0 * np.sum(kernel**2), rel=1e-5)
    assert np.all(network.bias.numpy() == 0.0) and np.any(network.kernel.numpy() != kernel)


@pytest.mark.slow
def test_variables_that_are_made_later_are_refused():
    network = keras.layers.Dense(2)

    def shift_and_log_scale(x, units, **kwargs):
        return tf.split(network(x), 2, axis=-1)

    bijector = tfb.Chain(
        [tfb.RealNVP(1, shift_and_log_scale_fn=shift_and_log_scale), tfb.Shift(tf.Variable([0.0, 0.0]))]
    )
    model = FlowModel(tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2]), bijector))
    model.compile("sgd")
    with pytest.raises(ValueError, match="reads 2 variables that the distribution did not hold"):
        model.train_on_batch(np.ones([4, 2], np.float32))


# ----------------------------------------------------------------------------------------------- what the library measures


def compare_with_trainer(build, batch_size=6, num_steps=3, strategy=None, optimizer=lambda: Adam(0.01), seed=3):
    """Losses of each step, parameters and bits/dim after them."""
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        others, own = build(), build()
        assign(own, values_of(others))
        first, second = optimizer(), optimizer()
        model = FlowModel(own, seed=seed)
    logged = []
    trainer = Trainer(
        others,
        first,
        seed=seed,
        strategy=strategy,
        settings=LoopSettings(log_every=1),
        callbacks=[lambda step, scalars: logged.append(scalars["loss"])],
    )
    trainer.fit((IMAGES, LABELS), num_steps, batch_size=batch_size)
    model.adapt(IMAGES, LABELS)
    model.compile(second)
    # An epoch a step, whose loss is then that of its one batch.
    data = batches(batch_size, num_steps, seed)
    history = model.fit(data, steps_per_epoch=1, epochs=num_steps, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], logged, rtol=1e-5)
    expected = values_of(others)
    for name, value in values_of(own).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)
    result = trainer.evaluate((IMAGES, LABELS))
    measured = model.evaluate(IMAGES, LABELS, batch_size=5, return_dict=True, verbose=0)
    assert measured["loss"] == measured["bits_per_dim"] == pytest.approx(result.mean, rel=1e-5)
    per_image = model.predict([IMAGES, LABELS], batch_size=5, verbose=0)
    np.testing.assert_allclose(per_image, result.per_image, rtol=1e-5)
    return sorted(history)


def test_fit_is_that_of_the_trainer():
    assert compare_with_trainer(glow) == ["bits_per_dim", "loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [lambda: Adam(0.01), lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.5)],
    ids=["ours, flat in the Trainer", "of Keras, clipping"],
)
def test_fit_on_two_devices_is_that_of_the_trainer(optimizer):
    compare_with_trainer(glow, strategy=make_strategy("mirrored", 2), optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        small_models.classifying_flow,
        small_models.variational_flow,
        small_models.dequantized_augmented_flow,
        small_models.iaf_vae,
        functools.partial(small_models.pixelcnn, num_blocks=1, num_classes=small_models.NUM_CLASSES),
        functools.partial(small_models.agave, num_blocks=1),
    ],
    ids=["classifying", "variational", "augmented", "vae", "pixelcnn", "agave"],
)
def test_fit_of_other_models_is_that_of_the_trainer(build):
    assert set(build().metric_names) < set(compare_with_trainer(build))


@pytest.mark.slow
def test_two_devices_are_one_with_batches_that_do_not_divide():
    results, start = [], values_of(glow())
    for strategy in (tf.distribute.get_strategy(), make_strategy("mirrored", 2)):
        with strategy.scope():
            model = FlowModel(glow())
            optimizer = keras.optimizers.Adam(0.01)
        assign(model.distribution, start)
        model.adapt(IMAGES)
        model.compile(optimizer)
        history = model.fit(IMAGES, batch_size=7, epochs=2, shuffle=False, verbose=0).history
        results.append([*history["loss"], *model.predict(IMAGES, batch_size=5, verbose=0)])
        if strategy.num_replicas_in_sync > 1:
            with pytest.raises(ValueError, match="the whole batch to each replica: use fit"):
                model.train_on_batch(IMAGES)
            with pytest.raises(ValueError, match="not made for the model's strategy"):
                model.compile(keras.optimizers.Adam(0.01))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


@pytest.mark.slow
def test_evaluations_do_not_depend_on_batches_or_on_what_ran_before(trained):
    model, _ = trained
    source = array_source(IMAGES)
    expected = Evaluator(tf.distribute.get_strategy(), model.distribution, source, batch_size=12).evaluate()
    for batch_size in (12, 5):
        assert model.evaluate(IMAGES, batch_size=batch_size, verbose=0)[1] == pytest.approx(expected.mean, rel=1e-6)
        np.testing.assert_allclose(
            model.predict(IMAGES, batch_size=batch_size, verbose=0), expected.per_image, rtol=1e-6
        )
    np.testing.assert_allclose(model(IMAGES), expected.per_image, rtol=1e-6)


@pytest.mark.slow
def test_callbacks(tmp_path):
    model = adapted(optimizer=keras.optimizers.SGD(-0.1))  # it gets worse
    best = str(tmp_path / "best.weights.h5")
    history = model.fit(
        IMAGES,
        batch_size=12,
        epochs=5,
        validation_data=IMAGES[:4],
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(best, save_weights_only=True, save_best_only=True),
            keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True),
        ],
    ).history
    assert sorted(history) == ["bits_per_dim", "loss", "val_bits_per_dim", "val_loss"]
    assert len(history["loss"]) == 2 and history["val_loss"][0] < history["val_loss"][1]
    restored = values_of(model.distribution)
    assert model.evaluate(IMAGES[:4], verbose=0)[0] == pytest.approx(history["val_loss"][0], rel=1e-6)
    model.load_weights(best)
    assert all(np.array_equal(value, restored[name]) for name, value in values_of(model.distribution).items())


@pytest.mark.slow
@pytest.mark.parametrize("option", ["none", "run_eagerly", "jit_compile", "steps_per_execution"])
def test_interrupted_runs_go_on(option, tmp_path):
    """Noise is a function of the optimizer's steps, so a run that was saved and loaded ends as one that was not."""
    options = {} if option == "none" else {option: 2 if option == "steps_per_execution" else True}
    losses, values = [], None
    for interrupted in (False, True):
        model = adapted(**options)
        values = values or values_of(model.distribution)
        assign(model.distribution, values)
        for _ in range(2):
            logs = model.fit(IMAGES, batch_size=6, shuffle=False, verbose=0).history
            if interrupted:
                path = str(tmp_path / "run.weights.h5")
                model.save_weights(path)
                model = FlowModel(glow())
                model.compile(keras.optimizers.Adam(0.01), **options)
                model.load_weights(path)
        losses.append(logs["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------- inputs


def test_adapt_takes_arrays_and_data_sets_or_nothing():
    distribution = glow()
    model, start = FlowModel(distribution), values_of(distribution)
    model.adapt(IMAGES, batch_size=0)
    assert all(np.array_equal(value, start[name]) for name, value in values_of(distribution).items())
    model.adapt(IMAGES[:7])
    expected = values_of(distribution)
    assert np.any(expected["flow/bijector/bijectors/0/bias"] != start["flow/bijector/bijectors/0/bias"])
    assign(distribution, start)
    model.adapt(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5), batch_size=7)
    for name, value in values_of(distribution).items():
        np.testing.assert_array_equal(value, expected[name], name)


def test_a_density_is_trained_on_floats():
    distribution = density()
    model = FlowModel(distribution)
    model.compile("adam")
    with pytest.raises(RuntimeError, match="adapt"):
        model.fit(FLOATS, verbose=0)
    model.adapt(FLOATS)
    before = -np.mean(distribution.log_prob(FLOATS))
    assert model.fit(FLOATS, verbose=0).history == {"loss": [pytest.approx(before, rel=1e-6)]}
    with pytest.raises(ValueError, match=r"takes batches of floats \(4, 4, 3\), got a batch of uint8"):
        model.train_on_batch(IMAGES)


def test_labels_reach_a_conditional_model():
    model = adapted(small_models.scattered(small_models.classifying_flow()))
    right = model.predict([IMAGES, LABELS], verbose=0)
    wrong = model.predict([IMAGES, (LABELS + 1) % 3], verbose=0)
    assert np.all(right != wrong)
    np.testing.assert_array_equal(model.predict([IMAGES, LABELS[:, None]], verbose=0), right)
    for labels, message in [(None, "give labels"), (np.eye(3)[LABELS], r"must be integers \[B\]")]:
        with pytest.raises(ValueError, match=message):
            model.test_on_batch(IMAGES, labels)
    with pytest.raises(ValueError, match=r"call adapt\(images, labels\)"):
        model.adapt(IMAGES)


@pytest.fixture(scope="module")
def untouched():
    return adapted()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda model: model.fit(IMAGES / 255.0, verbose=0), ValueError, "uint8 images .* got a batch of float"),
        (lambda model: model.fit(IMAGES[:, :2], verbose=0), ValueError, "got a batch of uint8 of shape"),
        (lambda model: model.adapt(IMAGES / 255.0), ValueError, "must be a uint8 array"),
        (lambda model: model.adapt(IMAGES[:, :2]), ValueError, r"takes images of shape \[4, 4, 3\], got \[2, 4, 3\]"),
        (lambda model: model.adapt(IMAGES, batch_size=-1), ValueError, "at least 0, got -1"),
        (lambda model: model.compile("adam", loss="mse"), TypeError, "loss and metrics of its own"),
        (lambda model: model.predict([IMAGES, LABELS, LABELS], verbose=0), ValueError, "got 3 inputs"),
        (lambda model: FlowModel(model.distribution, seed=-1), ValueError, r"seed must lie in \[0, 2\*\*31\), got -1"),
        (lambda model: FlowModel(model.distribution.flow.bijector), TypeError, "needs an ImageModel or a tfd.Dist"),
        (lambda model: FlowModel(tfd.Normal(0.0, 1.0)), ValueError, "has no variables to train"),
        (lambda model: FlowModel(tfd.Normal(tf.Variable([0.0, 0.0]), 1.0)), ValueError, r"got a batch \(2,\) of them"),
    ],
)
def test_errors(untouched, call, error, message):
    before = values_of(untouched.distribution)
    with pytest.raises(error, match=message):
        call(untouched)
    after = values_of(untouched.distribution)
    assert all(np.array_equal(after[name], value) for name, value in before.items())


# -------------------------------------------------------------------------------------------------------------- layer


def test_a_flow_layer_and_its_inverse_share_variables(tmp_path):
    def build():
        bijector = Chain(glow_step())
        inputs, encoder = keras.Input(SHAPE), FlowLayer(bijector)
        latent, log_det = encoder(inputs)
        decoded, opposite = FlowLayer(bijector, "forward")(latent)
        return bijector, encoder, keras.Model(inputs, [latent, log_det, decoded, opposite])

    bijector, encoder, model = build()
    encoder.adapt(FLOATS)
    latent, log_det, decoded, opposite = model.predict(FLOATS, verbose=0)
    np.testing.assert_allclose(latent, bijector.inverse(FLOATS), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_det, bijector.inverse_log_det_jacobian(FLOATS), rtol=1e-5)
    np.testing.assert_allclose(decoded, FLOATS, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(opposite, -log_det, rtol=1e-4)
    assert abs(np.mean(latent)) < 0.3 and 0.7 < np.std(latent) < 1.3
    assert [output.shape for output in model.outputs] == [(None, *SHAPE), (None,), (None, *SHAPE), (None,)]
    assert model.count_params() == sum(value.size for value in values_of(bijector).values())

    path = str(tmp_path / "layers.weights.h5")
    model.save_weights(path)
    others, _, other = build()
    other.load_weights(path)
    expected = values_of(bijector)
    for name, value in values_of(others).items():
        np.testing.assert_array_equal(value, expected[name], name)
    with pytest.raises(TypeError, match="cannot make its bijector again: use save_weights"):
        model.save(str(tmp_path / "model.keras"))


@pytest.mark.slow
def test_a_flow_layer_trains_all_its_variables():
    bijector = Chain(glow_step())
    inputs, layer = keras.Input(SHAPE), FlowLayer(bijector)
    latent, log_det = layer(inputs)
    model = keras.Model(inputs, log_det - keras.ops.sum(0.5 * latent**2, axis=[1, 2, 3]))
    model.compile(keras.optimizers.Adam(0.01), loss=lambda _, log_prob: -log_prob)
    layer.adapt(FLOATS)
    before = values_of(bijector)
    model.fit(FLOATS, np.zeros([8]), batch_size=4, epochs=2, verbose=0)
    after = values_of(bijector)
    assert len(model.trainable_variables) == 12
    assert [name for name in before if np.array_equal(before[name], after[name])] == []


def test_errors_of_a_flow_layer():
    with pytest.raises(ValueError, match="direction must be 'inverse' or 'forward', got 'back'"):
        FlowLayer(tfb.Exp(), "back")
    with pytest.raises(TypeError, match="FlowLayer needs bijectors"):
        FlowLayer(keras.layers.Dense(2))


def test_batch_norm_is_trained_with_the_statistics_of_the_batch():
    norm = BatchNorm(2, event_ndims=1)
    base = tfd.Sample(tfd.Normal(0.0, 1.0), 2)
    model = FlowModel(tfd.TransformedDistribution(base, Chain([norm, ActNorm([2], event_ndims=1)])))
    x = np.random.default_rng(0).normal([1.0, 5.0], [2.0, 3.0], [32, 2]).astype(np.float32)
    model.adapt(x)
    np.testing.assert_array_equal(norm.mean, 0)
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(x, batch_size=32, epochs=1, verbose=0)
    np.testing.assert_allclose(norm.mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.variance, 0.9 + 0.1 * x.var(0), rtol=1e-5)
    before = norm.mean.numpy()
    alone = [model.evaluate(x[row : row + 1], verbose=0, return_dict=True)["loss"] for row in (0, 1)]
    together = model.evaluate(x[:2], verbose=0, return_dict=True)["loss"]
    assert np.mean(alone) == pytest.approx(together, rel=1e-5)
    np.testing.assert_array_equal(norm.mean, before)
