"""Overrides of experiments, and what the Glow experiments refuse."""

import dataclasses
import json

import pytest

from reproductions.experiment import Experiment
from reproductions.fields import as_of_today, override
from reproductions.glow.experiments import EXPERIMENTS, GlowExperiment, small
from tests.reproductions.choices import own_choices

CHOICES = own_choices(GlowExperiment)
BASE = Experiment("name", "cifar10", 32, 8)


def test_override_reads_values_as_the_fields_types():
    changed = override(BASE, ["num_steps=12", "learning_rate=1", "conditional=True", "dataset=mnist", "note=a=b"])
    assert changed == dataclasses.replace(
        BASE, num_steps=12, learning_rate=1.0, conditional=True, dataset="mnist", note="a=b"
    )
    assert type(changed.learning_rate) is float and changed.conditional is True
    assert override(BASE, ["conditional=false"]).conditional is False
    assert override(BASE, []) == BASE


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("num_steps", "needs field=value, got 'num_steps'"),
        ("depht=3", "no field 'depht'.*batch_size.*num_steps"),
        ("name=other", "no field 'name'"),
        ("num_steps=many", "num_steps needs a value of type int, got 'many'"),
        ("num_steps=1.5", "num_steps needs a value of type int"),
        ("learning_rate=fast", "learning_rate needs a value of type float"),
        ("conditional=1", "conditional needs true or false, got '1'"),
    ],
)
def test_override_refuses(assignment, message):
    with pytest.raises(ValueError, match=message):
        override(BASE, [assignment])


def test_a_cooldown_has_to_fit_in_the_run():
    assert override(BASE, ["num_steps=12", "warmup_steps=4", "cooldown_steps=8"]).cooldown_steps == 8
    messages = {
        9: "with warmup_steps=4, be at most num_steps=12, got 9",
        -1: "cooldown_steps must be at least 0, got -1",
    }
    for steps, message in messages.items():
        with pytest.raises(ValueError, match=message):
            override(BASE, ["num_steps=12", "warmup_steps=4", f"cooldown_steps={steps}"])


def test_overridden_glow_experiments_are_checked_again():
    cifar10 = EXPERIMENTS["cifar10"]
    assert override(cifar10, ["depth=2", "coupling=additive"]).depth == 2
    for field in CHOICES:
        with pytest.raises(ValueError, match=f"{field} must be one of .*'wrong'"):
            override(cifar10, [f"{field}=wrong"])
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        override(cifar10, ["depth=0"])
    with pytest.raises(ValueError, match="image_size=32 cannot be halved levels=6 times"):
        override(cifar10, ["levels=6"])


def test_experiments_are_data():
    assert all(name == experiment.name for name, experiment in EXPERIMENTS.items())
    for experiment in EXPERIMENTS.values():
        fields = json.loads(json.dumps(dataclasses.asdict(experiment)))
        assert GlowExperiment(**fields) == experiment
        assert experiment.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXPERIMENTS["cifar10"].depth = 3


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_small_keeps_the_structure(name):
    experiment, reduced = EXPERIMENTS[name], small(EXPERIMENTS[name])
    for field in (*CHOICES, "levels", "image_size", "num_bits", "conditional", "dataset"):
        assert getattr(reduced, field) == getattr(experiment, field)
    assert reduced.depth <= 4 and reduced.width <= 64 and reduced.batch_size <= 32


# Section 4 of the specification's table: the released commands on 8 and on 40 GPUs.
@pytest.mark.parametrize(
    ("name", "size", "bits", "levels", "depth", "coupling", "batch", "init", "warmup", "steps_an_epoch"),
    [
        ("cifar10", 32, 8, 3, 32, "affine", 512, 256, 977, 98),
        ("imagenet32", 32, 8, 3, 48, "affine", 512, 256, 977, 98),
        ("imagenet64", 64, 8, 4, 48, "affine", 128, 64, 977, 98),
        ("lsun_bedroom", 64, 8, 3, 48, "affine", 128, 64, 977, 98),
        ("lsun_tower", 64, 8, 3, 48, "affine", 128, 64, 977, 98),
        ("lsun_church", 64, 8, 3, 48, "affine", 128, 64, 977, 98),
        ("celeba_hq", 256, 5, 6, 32, "additive", 40, 4, 196, 20),
        ("lsun_church_128", 128, 5, 5, 64, "additive", 160, 16, 196, 20),
        ("lsun_church_96", 96, 5, 5, 64, "additive", 280, 28, 196, 20),
        ("cifar10_conditional", 32, 5, 3, 32, "additive", 512, 256, 977, 98),
        ("imagenet32_conditional", 32, 5, 3, 48, "additive", 512, 256, 977, 98),
        ("ablation_shuffle_affine", 32, 8, 3, 32, "affine", 512, 256, 977, 98),
        ("ablation_reverse_additive", 32, 8, 3, 32, "additive", 512, 256, 977, 98),
    ],
)
def test_published_settings(name, size, bits, levels, depth, coupling, batch, init, warmup, steps_an_epoch):
    e = EXPERIMENTS[name]
    assert (e.image_size, e.num_bits, e.levels, e.depth, e.coupling) == (size, bits, levels, depth, coupling)
    assert (e.batch_size, e.init_batch_size, e.warmup_steps) == (batch, init, warmup)
    assert e.beta_2 == 1 - 1 / steps_an_epoch and e.learning_rate == 1e-3 and e.width == 512
    assert e.class_weight == (0.01 if e.conditional else 0.0) and e.optimizer == "adamax"
    assert e.augmentation == ("shift" if e.dataset == "cifar10" else "none")


def test_by_default_arithmetic_is_that_of_float32():
    assert BASE.precision == "float32" and BASE.tf32 is False
    # Runs of before these fields had the same.
    before = as_of_today(Experiment, {})
    assert before["precision"] == "float32" and before["tf32"] is False
    for experiment in EXPERIMENTS.values():
        assert experiment.precision == "float32" and experiment.tf32 is False
