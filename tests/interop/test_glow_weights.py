"""Weights by the authors' names: sources, round trips, and every way in which they may not fit."""

import dataclasses
import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import EXPERIMENTS
from tfflows.bijectors import ActNorm, Chain
from tfflows.interop.glow import export_weights, load_weights, released_variables
from tfflows.interop.sources import read_source

DATA = pathlib.Path(__file__).parents[1] / "data" / "glow"
TINY = dataclasses.replace(EXPERIMENTS["cifar10"], image_size=8, levels=2, depth=1, width=4)


def build(seed=0, **changes):
    return glow.build(dataclasses.replace(TINY, **changes), [8, 8, 1], num_classes=3, seed=seed)


@functools.cache
def weights():
    """Random weights of the tiny model, vectors with the authors' leading axes."""
    rng = np.random.default_rng(0)
    values = {}
    for name, value in export_weights(build()).items():
        shape = value.shape if value.ndim > 1 else (1, value.size) if name.endswith("logs") else (1, 1, 1, value.size)
        values[name] = rng.normal(size=shape).astype(np.float32)
    return values


def assert_loaded(model, values):
    for name, variable in released_variables(model).items():
        np.testing.assert_array_equal(variable, values[name].reshape(variable.shape), err_msg=name)


def written_checkpoint(directory, values, with_training_state=True):
    """A checkpoint as TF1 code writes it, here with what the released training and tf.train.AdamOptimizer leave in it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in values.items():
            tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
        if with_training_state:
            for name, value in list(values.items())[:3]:
                for slot in ("ExponentialMovingAverage", "Adam", "Adam_1", "ExponentialMovingAverage/biased"):
                    tf.compat.v1.get_variable(f"{name}/{slot}", initializer=value, use_resource=False)
            for name in ("global_step", "beta1_power", "beta2_power"):
                tf.compat.v1.get_variable(name, initializer=np.float32(1), use_resource=False)
            for _ in range(3):  # Variable, Variable_1, Variable_2: slots without names
                tf.compat.v1.Variable(np.zeros(4, np.float32), use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(directory / "model_best_loss.ckpt"))


def written(kind, directory):
    if kind == "mapping":
        return weights()
    if kind == "npz":
        np.savez(directory / "weights.npz", **weights())
        return directory / "weights.npz"
    if kind == "npz_among_others":
        np.savez(directory / "all.npz", x=np.zeros(3), **{f"var/{name}": value for name, value in weights().items()})
        return str(directory / "all.npz")
    prefix = written_checkpoint(directory, weights())
    return directory if kind == "checkpoint_directory" else prefix


@pytest.mark.parametrize("kind", ["mapping", "npz", "npz_among_others", "checkpoint", "checkpoint_directory"])
def test_sources(kind, tmp_path):
    model = build(seed=1)
    load_weights(model, written(kind, tmp_path))
    assert_loaded(model, weights())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"permutation": "reverse", "coupling": "additive"},
        {"permutation": "shuffle"},
        {"permutation": "invertible_lu"},
        {"top_prior": "standard", "split_prior": "standard"},
        {"conditional": True, "class_weight": 0.01},
        {"conditional": True, "top_prior": "standard"},
    ],
    ids=lambda changes: "_".join(map(str, changes.values())) or "default",
)
def test_export_then_load(changes):
    source, target = build(seed=1, **changes), build(seed=2, **changes)
    for index, variable in enumerate(source.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, [index, 0]))
    exported = export_weights(source)
    load_weights(target, exported)
    for name, value in export_weights(target).items():
        np.testing.assert_array_equal(value, exported[name])
    # All there is, is exported.
    assert len(exported) == len(source.variables)
    # What loads into the model loads into its flow and its bijector, unless a classifier belongs to it.
    if "class_weight" not in changes:
        load_weights(build(seed=3, **changes).flow, exported)
        load_weights(build(seed=3, **changes).flow.bijector, exported)


def test_names_are_the_authors():
    names = set(released_variables(build(conditional=True, class_weight=0.01)))
    assert {
        "model/0/0/actnorm_center/b",
        "model/0/0/actnorm_scale/logs",
        "model/0/0/invconv/W",
        "model/1/0/f1/l_1/W",
        "model/1/0/f1/l_2/actnorm_scale/logs",
        "model/1/0/f1/l_last/logs",
        "model/pool0/conv/W",
        "model/prior/p/b",
        "model/prior/y_emb/logs",
        "model/classifier/W",
    } <= names
    with np.load(DATA / "model_affine_8bit.npz") as file:
        fixture = {key.removeprefix("var/") for key in file.files if key.startswith("var/")}
    experiment = dataclasses.replace(EXPERIMENTS["cifar10"], depth=2, width=16)
    assert set(released_variables(glow.build(experiment, [32, 32, 3], 0, 0))) == fixture


def changed(**changes):
    values = {**weights(), **{name.replace("__", "/"): value for name, value in changes.items()}}
    return {name: value for name, value in values.items() if value is not None}


def with_nan(name):
    value = weights()[name].copy()
    value.flat[-1] = np.nan
    return value


BAD = {
    "missing": (changed(model__0__0__invconv__W=None), "missing: model/0/0/invconv/W"),
    "extra": (changed(model__0__7__invconv__W=np.eye(4)), "extra: model/0/7/invconv/W"),
    "both": (
        changed(model__0__0__invconv__W=None, model__other=np.eye(4)),
        "missing: model/0/0/invconv/W; extra: model/other",
    ),
    "matrix": (changed(model__0__0__invconv__W=np.eye(5)), r"model/0/0/invconv/W has shape \(5, 5\).*needs \(4, 4\)"),
    "same_size": (
        changed(model__0__0__invconv__W=np.zeros([2, 8], np.float32)),
        r"model/0/0/invconv/W has shape \(2, 8\).*needs \(4, 4\)",
    ),
    "vector_of_same_size": (
        changed(model__0__0__actnorm_center__b=np.zeros([2, 2], np.float32)),
        r"model/0/0/actnorm_center/b has shape \(2, 2\).*needs \(4,\)",
    ),
    "scalar": (changed(model__0__0__invconv__W=np.float32(1)), r"model/0/0/invconv/W has shape \(\)"),
    "nan": (
        changed(model__pool0__conv__W=with_nan("model/pool0/conv/W")),
        "model/pool0/conv/W holds values that are not",
    ),
    "infinity": (changed(model__prior__p__b=np.full(16, np.inf)), "model/prior/p/b holds values that are not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named_and_changes_nothing(name):
    source, message = BAD[name]
    model = build(seed=1)
    before = export_weights(model)
    with pytest.raises(ValueError, match=message):
        load_weights(model, source)
    assert_loaded(model, before)


def test_many_missing_names_are_counted():
    with pytest.raises(ValueError, match=r"missing: .* and \d+ more"):
        load_weights(build(), {})


def test_sources_that_are_none(tmp_path):
    for path in ("none.npz", "none", "."):
        with pytest.raises(FileNotFoundError, match="No weights at"):
            read_source(tmp_path / path)
    np.savez(tmp_path / "whole.npz", **weights())
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    contents = {
        "text.npz": b"no zip",
        "empty.npz": b"",
        "truncated.npz": whole[: len(whole) // 2],
        "array.npz": (tmp_path / "one.npy").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.*is not a readable .npz file"):
            read_source(tmp_path / name)
    np.savez(tmp_path / "objects.npz", thing=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"is not a readable \.npz file of plain arrays"):
        read_source(tmp_path / "objects.npz")


def test_training_state_of_a_checkpoint_is_left_out(tmp_path):
    assert set(read_source(written_checkpoint(tmp_path, weights()))) == set(weights())


@pytest.mark.parametrize(
    "changes", [{"actnorm_form": "scale_then_shift"}, {"permutation": "invertible_lu_paper"}], ids=["actnorm", "lu"]
)
def test_forms_that_the_authors_weights_do_not_fit(changes):
    with pytest.raises(ValueError, match="released weights fit"):
        export_weights(build(**changes))


def test_models_that_are_no_glow():
    with pytest.raises(ValueError, match=r"Expected a Glow.*got ActNorm"):
        released_variables(ActNorm([3]))
    with pytest.raises(ValueError, match="has no Chain"):
        released_variables(Chain([Chain([ActNorm([3])])]))
