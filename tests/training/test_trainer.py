"""Training from Python: what `Trainer` adds to the loop, whose interruptions `test_loop` tries."""

import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import EXPERIMENT, assert_equal, build_model
from tfflows.data import array_source
from tfflows.devices import agreement
from tfflows.devices.agreement import differences, settings_of_optimizer
from tfflows.devices.strategies import make_strategy
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.tracing.variables import named_variables
from tfflows.training import Execution, LoopSettings, Trainer, trainer
from tfflows.training.loop import Loop, TrainingDiverged
from tfflows.training.optimizers import Adam
from tfflows.training.schedules import LinearWarmup
from tfflows.training.workdir import WorkdirError

# Smooth images, so that there is something to learn.
ROW, COLUMN, NUMBER = np.meshgrid(np.arange(8), np.arange(8), np.arange(24), indexing="ij")
IMAGES = ((9 * NUMBER + 3 * ROW * (NUMBER % 3) + 2 * COLUMN) % 256).transpose(2, 0, 1)[..., None].astype(np.uint8)
LABELS = np.arange(24) % 10


def make_trainer(strategy=None, optimizer=None, **arguments):
    strategy = strategy or make_strategy("one_device")
    model = build_model(strategy)
    with strategy.scope():
        optimizer = Adam(LinearWarmup(0.01, 4)) if optimizer is None else optimizer()
    return Trainer(model, optimizer, strategy=strategy, **arguments)


def values_of(trainer):
    return {name: variable.numpy() for name, variable in trainer.parameters.variables.items()}


@pytest.mark.slow
def test_calls_one_after_the_other_and_new_trainers_end_as_one_call(tmp_path):
    arguments = {"batch_size": 8, "labels": LABELS}
    settings = LoopSettings(log_every=2)
    whole = make_trainer(ema_decay=0.9, settings=settings)
    initial = values_of(whole)
    summary = whole.fit(IMAGES, 6, **arguments)
    assert summary.step == 6 and summary.seconds > 0
    assert set(summary.metrics) == {
        "loss",
        "bits_per_dim",
        "gradient_norm",
        "learning_rate",
        "seconds",
        "images_per_second",
    }
    expected = values_of(whole)
    assert any(np.any(expected[name] != initial[name]) for name in initial if name.startswith("model/"))
    assert any(
        np.any(expected[name] != expected[f"average/{name}"]) for name in expected if f"average/{name}" in expected
    )

    parts = make_trainer(ema_decay=0.9, settings=settings)
    assert parts.fit(IMAGES, 4, **arguments).step == 4
    assert parts.fit((IMAGES, LABELS), 6, batch_size=8).metrics["loss"] == summary.metrics["loss"]
    assert_equal(values_of(parts), expected)

    for num_steps in (4, 6):
        resumed = make_trainer(ema_decay=0.9, settings=settings, workdir=tmp_path)
        assert resumed.fit(IMAGES, num_steps, **arguments).step == num_steps
    assert_equal(values_of(resumed), expected)
    assert resumed.fit(IMAGES, 6, **arguments).metrics == {}  # done already
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]

    restored = make_trainer(ema_decay=0.9, workdir=tmp_path)
    assert restored.restore() == 6
    np.testing.assert_array_equal(restored.evaluate(IMAGES).per_image, whole.evaluate(IMAGES).per_image)
    assert restored.fit(IMAGES, 5, **arguments).step == 6  # no step is undone
    assert_equal(values_of(restored), expected)
    with pytest.raises(WorkdirError, match="batch_size: 8 there, 4 now"):
        restored.fit(IMAGES, 7, batch_size=4)


def test_averages_are_evaluated_in_place_of_the_parameters():
    averaged = make_trainer(ema_decay=0.9)
    untrained = averaged.evaluate(IMAGES).mean
    averaged.fit(IMAGES, 5, batch_size=8)
    before = values_of(averaged)
    by_averages = averaged.evaluate(IMAGES)
    source = array_source(IMAGES)
    by_parameters = averaged.evaluator(source).evaluate()
    with averaged.averages():
        name = next(name for name in averaged.parameters.trained)
        np.testing.assert_array_equal(averaged.parameters.trained[name], before[f"average/{name}"])
        again = averaged.evaluator(source).evaluate()
    np.testing.assert_array_equal(again.per_image, by_averages.per_image)
    assert len({untrained, by_averages.mean, by_parameters.mean}) == 3
    assert_equal(values_of(averaged), before)


def test_weights_assigned_before_the_first_fit_are_kept_by_an_evaluation():
    averaged = make_trainer(ema_decay=0.9)
    variable = next(iter(averaged.parameters.trained.values()))
    variable.assign(tf.zeros_like(variable))
    averaged.evaluate(IMAGES)
    np.testing.assert_array_equal(variable, np.zeros(variable.shape))


def test_without_a_workdir_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = LoopSettings(checkpoint_every=1, log_every=1, evaluate_every=1, keep_best=True)
    make_trainer(settings=settings).fit(IMAGES, 2, batch_size=8, validation=IMAGES[:4])
    assert not list(tmp_path.iterdir())


def test_callbacks_and_validation_and_the_best(tmp_path):
    seen = []
    settings = LoopSettings(log_every=2, evaluate_every=3, keep_best=True)
    trained = make_trainer(
        workdir=tmp_path, settings=settings, callbacks=[lambda step, scalars: seen.append((step, scalars))]
    )
    trained.fit(IMAGES, 6, batch_size=8, validation=(IMAGES[:5], LABELS[:5]))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{"step": step, **scalars} for step, scalars in seen] == lines
    measured = {
        step: scalars["validation_bits_per_dim"] for step, scalars in seen if "validation_bits_per_dim" in scalars
    }
    assert list(measured) == [3, 6]
    assert measured[6] == trained.evaluate(IMAGES[:5]).mean
    best = min(measured, key=measured.get)
    other = make_trainer(workdir=tmp_path)
    assert other.restore(best=True) == best
    assert other.evaluate(IMAGES[:5]).mean == measured[best]


def test_initialize_comes_before_the_data_and_once():
    calls = []

    def load():
        calls.append(len(calls))
        for variable in trained.parameters.trained.values():
            variable.assign_add(tf.fill(variable.shape, 0.01))

    def parameters():
        return {name: variable.numpy() for name, variable in trained.parameters.trained.items()}

    trained = make_trainer(initialize=load, optimizer=lambda: keras.optimizers.SGD(0.0))
    expected = {name: value + np.float32(0.01) for name, value in parameters().items()}
    trained.fit(IMAGES, 1, batch_size=8, init_batch_size=0)
    assert_equal(parameters(), expected)
    trained.fit(IMAGES, 2, batch_size=8, init_batch_size=0)
    assert calls == [0]

    trained = make_trainer(initialize=load, optimizer=lambda: keras.optimizers.SGD(0.0))
    trained.fit(IMAGES, 1, batch_size=8)
    changed = {name for name, value in parameters().items() if np.any(value != expected[name])}
    assert changed and changed != set(expected)  # actnorms of the data, all else as loaded


def test_averages_begin_at_the_parameters_as_they_were_initialized():
    parameters = make_trainer(ema_decay=0.9).parameters
    for variable in parameters.trained.values():
        variable.assign_add(tf.ones_like(variable))
    parameters.assigned()
    parameters.restart_average()
    values = {name: variable.numpy() for name, variable in parameters.variables.items()}
    averages = [name for name in values if f"average/{name}" in values]
    assert averages
    for name in averages:
        np.testing.assert_array_equal(values[f"average/{name}"], values[name])


def test_keras_own_optimizer_and_its_rate_in_the_log():
    trained = make_trainer(optimizer=lambda: keras.optimizers.Adam(0.25), settings=LoopSettings(log_every=1))
    assert trained.fit(IMAGES, 1, batch_size=8).metrics["learning_rate"] == 0.25


def test_sigterm_ends_a_call_and_the_next_one_goes_on():
    def stop(step, scalars):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    settings = LoopSettings(log_every=1)
    trained = make_trainer(settings=settings, callbacks=[stop])
    stopped = trained.fit(IMAGES, 4, batch_size=8)
    assert stopped.step == 2 and stopped.metrics["learning_rate"] == pytest.approx(0.0025)  # of step 1
    assert trained.fit(IMAGES, 4, batch_size=8).step == 4
    whole = make_trainer(settings=settings)
    whole.fit(IMAGES, 4, batch_size=8)
    assert_equal(values_of(trained), values_of(whole))


def test_after_an_error_only_a_checkpoint_is_gone_on_from(tmp_path):
    settings = LoopSettings(checkpoint_every=2)
    for workdir in (None, tmp_path):
        trained = make_trainer(workdir=workdir, settings=settings)
        trained.fit(IMAGES, 2, batch_size=8)
        before = values_of(trained)

        def diverging(batch):
            return dict.fromkeys(["loss", "gradient_norm", "bits_per_dim"], tf.constant(np.nan))

        loop = trained._loops[8]
        names = ["loss", "gradient_norm", "bits_per_dim"]
        trained._loops[8] = Loop(trained.strategy, diverging, names, lambda step: 0.0, settings)
        with pytest.raises(TrainingDiverged, match="not finite at step 3"):
            trained.fit(IMAGES, 4, batch_size=8)
        trained._loops[8] = loop
        if workdir is None:
            with pytest.raises(RuntimeError, match="make model, optimizer and Trainer anew"):
                trained.fit(IMAGES, 4, batch_size=8)
        else:
            assert trained.fit(IMAGES, 2, batch_size=8).step == 2
            assert_equal(values_of(trained), before)


@pytest.mark.parametrize("strategy", ["one_device", pytest.param("mirrored", marks=pytest.mark.slow)])
def test_keras_own_optimizers_leave_the_layer_to_be_found(strategy):
    trained = make_trainer(make_strategy(strategy), lambda: keras.optimizers.Adam(0.01))
    trained.fit(IMAGES, 1, batch_size=8)
    name, variable = next((name, value) for name, value in trained.parameters.trained.items() if "bias" in name)
    variable.assign(tf.fill(variable.shape, np.nan))
    before, layer = values_of(trained), name.removeprefix("model/").rpartition("/")[0]
    with pytest.raises(TrainingDiverged, match=rf"The first output that is not finite is that of .*\({layer}\)"):
        trained.fit(IMAGES, 3, batch_size=8)
    assert_equal(values_of(trained), before)


def test_initialization_names_a_layer_that_cannot_be_initialized():
    trained = make_trainer()
    name, weight = next(
        (name, value) for name, value in named_variables(trained.model).items() if name.endswith("bijectors/1/weight")
    )
    weight.assign(tf.zeros_like(weight))
    with pytest.raises(ValueError, match=rf"^The weight of InvertibleConv .*{name.removesuffix('/weight')} of .*\.$"):
        trained.fit(IMAGES, 1, batch_size=8)


@pytest.mark.slow
def test_two_replicas_train_as_one():
    results = []
    for replicas in (1, 2):
        trained = make_trainer(make_strategy("mirrored", replicas), execution=Execution(accumulate=2))
        trained.fit(IMAGES, 2, batch_size=8)
        results.append(trained.evaluate(IMAGES).per_image)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, r"must be a uint8 array .* got float32 \[24, 8, 8, 1\]"),
        ({"images": IMAGES[:0]}, r"not empty, got uint8 \[0, 8, 8, 1\]"),
        ({"images": IMAGES[..., 0]}, r"got uint8 \[24, 8, 8\]"),
        ({"images": IMAGES[:, :4]}, r"takes images of shape \[8, 8, 1\], got \[4, 8, 1\]"),
        ({"labels": LABELS[:3]}, "Labels must be 24 integers"),
        ({"labels": LABELS - 1}, "of at least 0"),
        ({"labels": LABELS / 2}, "integers"),
        ({"images": array_source(IMAGES), "labels": LABELS}, "Labels are given twice"),
        ({"validation": IMAGES[:, :4]}, r"got \[4, 8, 1\]"),
        ({"batch_size": 9}, "A batch of 9 does not divide over 1 replicas times 2"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"init_batch_size": -1}, "init_batch_size at least 0"),
        ({"augmentation": "turn"}, "turn"),
    ],
)
def test_errors_before_anything_is_done(arguments, message, untouched, tmp_path):
    untouched.workdir = tmp_path / "workdir"
    before = values_of(untouched)
    with pytest.raises(ValueError, match=message):
        untouched.fit(**{"images": IMAGES, "num_steps": 2, "batch_size": 8, **arguments})
    assert not untouched.workdir.exists()
    assert_equal(values_of(untouched), before)


@pytest.fixture(scope="module")
def untouched():
    return make_trainer(execution=Execution(accumulate=2))


def test_evaluations_on_the_way_need_images():
    with pytest.raises(ValueError, match="need images to measure"):
        make_trainer(settings=LoopSettings(evaluate_every=1)).fit(IMAGES, 1, batch_size=8)


def test_arguments_of_the_trainer(untouched):
    model = untouched.model
    with pytest.raises(TypeError, match="must be an ImageModel, got Dense"):
        Trainer(keras.layers.Dense(1), Adam(0.1))
    with pytest.raises(TypeError, match="must be one of Keras 3, got str"):
        Trainer(model, "adam")
    with pytest.raises(ValueError, match="built for other variables already"):
        Trainer(model, untouched.parameters.optimizer)
    with pytest.raises(ValueError, match=r"seed must lie in \[0, 2\*\*31\), got -1"):
        Trainer(model, Adam(0.1), seed=-1)
    with pytest.raises(ValueError, match="decay of a moving average"):
        Trainer(model, Adam(0.1), ema_decay=1.0)
    with pytest.raises(ValueError, match="The model was not made for this strategy"):
        Trainer(model, Adam(0.1), strategy=make_strategy("mirrored", 2))
    with pytest.raises(ValueError, match="without a workdir"):
        Trainer(model, Adam(0.1)).restore()


def test_the_model_says_its_strategy():
    strategy = make_strategy("mirrored", 1)
    model = build_model(strategy, EXPERIMENT)
    with strategy.scope():
        optimizer = Adam(0.01)
    assert Trainer(model, optimizer).strategy is strategy


def test_bits_per_dim_of_each_image():
    result = make_trainer().evaluate(IMAGES[:3])
    assert isinstance(result, BitsPerDim) and result.per_image.shape == (3,) and np.all(np.isfinite(result.per_image))


# ------------------------------------------------------------------------------------------------------ several workers


def settings_of_worker(images=IMAGES, *, batch_size=8, num_steps=6, **arguments):
    """What `fit` compares, in its order."""
    maker = make_trainer(**arguments)
    asked = {"num_steps": num_steps, "batch_size": batch_size}
    return maker._settings_of_worker(asked, array_source(images), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed is 0 on worker 0 and 3 on worker 1"),
        ({"num_steps": 9}, "num_steps is 6 on worker 0 and 9 on worker 1"),
        ({"batch_size": 16}, "batch_size is 8 on worker 0 and 16 on worker 1"),
        ({"ema_decay": 0.5}, "ema_decay is 0.0 on worker 0 and 0.5 on worker 1"),
        ({"settings": LoopSettings(evaluate_every=2)}, "evaluate_every is 0 on worker 0 and 2 on worker 1"),
        ({"execution": Execution(accumulate=2)}, "accumulate is 1 on worker 0 and 2 on worker 1"),
        (
            {"optimizer": lambda: Adam(LinearWarmup(0.01, 8))},
            'optimizer.learning_rate is {"class": "LinearWarmup", "peak": 0.01, "warmup_steps": 4} on worker 0 and {"class": '
            '"LinearWarmup", "peak": 0.01, "warmup_steps": 8} on worker 1',
        ),
        ({"images": IMAGES[::-1]}, "the training images is "),
        ({}, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_workers_differ_in_is_named(changes, message):
    found = differences([json.loads(json.dumps(settings_of_worker(**own))) for own in ({}, changes)])
    assert found.startswith(message) and found.count(";") == 0 and bool(found) == bool(changes)


def test_functions_in_an_optimizer_are_the_same_in_every_process():
    def one_of(number):
        return keras.optimizers.SGD(lambda: 0.1 * number)

    assert settings_of_optimizer(one_of(1)) == settings_of_optimizer(one_of(2))


def test_workers_of_another_model_are_refused_before_anything_is_written(monkeypatch, tmp_path):
    chief = make_trainer(workdir=tmp_path / "run")

    def texts_of_two(strategy, text):
        other = {
            name: "float64 (1,)" if name.startswith("the variable") else value
            for name, value in json.loads(text).items()
        }
        return [text, json.dumps(other)]

    monkeypatch.setattr(trainer, "num_workers", lambda strategy: 2)
    monkeypatch.setattr(agreement, "gather_texts", texts_of_two)
    with pytest.raises(
        agreement.WorkersDisagree, match=r"the variable model/.* on worker 1; .*; and \d+ more\. All workers must"
    ):
        chief.fit(IMAGES, 6, batch_size=8, labels=LABELS)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(
        agreement, "gather_texts", lambda strategy, text: [text, text.replace("{}", '{"step-5": "1a"}')]
    )
    with pytest.raises(agreement.WorkersDisagree, match="must share the workdir"):
        chief.fit(IMAGES, 6, batch_size=8, labels=LABELS)
