"""Training that goes on from a loaded model."""

import dataclasses

import numpy as np
import pytest

from tests.golden.runs import GOLDEN, WORKDIRS
from tests.slow import slow_but
from tfflows.data import load_dataset
from tfflows.models import fitting, load
from tfflows.training import Trainer

CHANGES = {"batch_size": 4, "warmup_steps": 0, "learning_rate": 0.001}


def images():
    return load_dataset("folder:images", "train", data_dir=GOLDEN).images


@pytest.mark.parametrize(
    "name", slow_but(("glow",), ("glow", "flowpp_averages", "macow", "vflow", "agave/vae", "agave"))
)
def test_a_model_goes_on_in_a_new_workdir(name, tmp_path):
    model = load(WORKDIRS / name, data_dir=GOLDEN)
    before = np.mean(model.bits_per_dim(images()))
    trained = model.fit(images(), 4, workdir=tmp_path, **CHANGES)
    after = model.bits_per_dim(images())
    assert trained.step == model.step == 4 and np.mean(after) < before and model.path == tmp_path
    assert model.experiment.learning_rate == 0.001 and model.experiment.num_steps == 4
    again = load(tmp_path)  # the workdir says all
    np.testing.assert_allclose(again.bits_per_dim(images()), after, rtol=1e-6)
    assert again.settings["init_from"] == str(WORKDIRS / name)


@pytest.mark.slow
def test_the_same_call_goes_on(tmp_path):
    def begin():
        return load(WORKDIRS / "glow", data_dir=GOLDEN)

    whole = begin()
    whole.fit(images(), 4, workdir=tmp_path / "whole", **CHANGES)
    stopped = begin()
    stopped.fit(images(), 2, workdir=tmp_path / "stopped", **CHANGES)
    stopped.fit(images(), 4, workdir=tmp_path / "stopped", **CHANGES)  # in the same process
    anew = begin()
    anew.fit(images(), 4, workdir=tmp_path / "stopped", **CHANGES)  # nothing is left to do
    for one, other, third in zip(
        *(model.distribution.trainable_variables for model in (whole, stopped, anew)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


@pytest.mark.slow
def test_it_is_what_the_trainer_does():
    model, other = (load(WORKDIRS / "glow", data_dir=GOLDEN) for _ in range(2))
    model.fit(images(), 2, seed=3, **CHANGES)
    experiment = dataclasses.replace(other.experiment, num_steps=2, **CHANGES)
    optimizer = other.paper.build_optimizer(experiment, other.paper.schedule_of(experiment))
    options = {"augmentation": experiment.augmentation, "batch_size": 4, "init_batch_size": 0}
    Trainer(other.distribution, optimizer, seed=3).fit(images(), 2, **options)
    for one, another in zip(
        model.distribution.trainable_variables, other.distribution.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(one, another)


def test_a_schedule_that_is_longer_than_the_run_is_shortened():
    model = load(WORKDIRS / "glow", data_dir=GOLDEN)
    model.experiment = dataclasses.replace(model.experiment, num_steps=1000, warmup_steps=200, cooldown_steps=500)

    def schedule(num_steps, **changes):
        experiment, _ = fitting._experiment(model, None, num_steps, changes)
        return experiment.warmup_steps, experiment.cooldown_steps

    assert schedule(700) == (200, 500) and schedule(100) == (20, 50)
    assert schedule(100, warmup_steps=0) == (0, 50) and schedule(100, cooldown_steps=0) == (200, 0)
    with pytest.raises(ValueError, match="cooldown_steps must"):
        schedule(100, cooldown_steps=90)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_speed": 1.0}, "has no field 'learning_speed'"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"workdir": WORKDIRS / "glow"}, "holds a run with other settings"),
    ],
)
def test_refused(arguments, message):
    model = load(WORKDIRS / "glow", data_dir=GOLDEN)
    with pytest.raises(ValueError, match=message):
        model.fit(images(), 4, **{"batch_size": 4, **arguments})
