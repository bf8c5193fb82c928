"""`tfflows import` and `export`: weights under the authors' names become a workdir like that of a run, and a SavedModel."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import tfflows
from reproductions import export_model, import_weights
from reproductions.fields import override
from reproductions.glow.reproduction import GLOW
from reproductions.macow.released import fields_of
from reproductions.macow.reproduction import MACOW
from reproductions.realnvp.reproduction import REALNVP
from tests.reproductions.driver.running import record_of, run
from tests.slow import slow_but
from tfflows.interop import glow, macow, realnvp
from tfflows.tracing.variables import named_variables

TINY = {
    "glow": (GLOW, glow, "demo", ("levels=1", "depth=1", "width=4", "dataset=digits", "image_size=8")),
    "macow": (
        MACOW,
        macow,
        "cifar10_fine_grained_release",
        ("steps=1, 1", "widths=4, 4", "factors=", "dataset=photographs", "ema_decay=0.9"),
    ),
    "realnvp": (REALNVP, realnvp, "cifar10", ("width=2", "num_blocks=1", "dataset=digits", "image_size=8")),
}
SHAPES = {"glow": [8, 8, 1], "macow": [32, 32, 3], "realnvp": [8, 8, 1]}


def tiny_model(paper):
    reproduction, _, name, settings = TINY[paper]
    experiment = override(reproduction.named_experiment(name), settings)
    return reproduction.build_model(experiment, SHAPES[paper], 10, 7)


def stored(paper, path, model):
    """Writes a model's weights under the authors' names; returns the flags that import them."""
    _, interop, name, settings = TINY[paper]
    np.savez(path, **interop.export_weights(model))
    return [str(path), f"--paper={paper}", f"--experiment={name}", *(f"--set={setting}" for setting in settings)]


@pytest.mark.parametrize("paper", slow_but(["glow"], TINY))
def test_an_imported_model_is_like_a_run(paper, tmp_path, capsys):
    model = tiny_model(paper)
    workdir, images = tmp_path / "imported", np.full([2, *SHAPES[paper]], 100, np.uint8)
    assert import_weights.main([*stored(paper, tmp_path / "weights.npz", model), f"--workdir={workdir}"]) == 0
    assert f"--workdir={workdir} --mode=evaluate" in capsys.readouterr().out
    loaded = tfflows.load(workdir)
    for name, variable in named_variables(loaded.distribution).items():
        np.testing.assert_array_equal(variable, named_variables(model)[name], err_msg=name)
    assert loaded.step == 0
    bits = loaded.bits_per_dim(images)
    run(f"--workdir={workdir}", "--mode=evaluate", "--evaluation_images=5", reproduction=TINY[paper][0])
    assert record_of(workdir)["steps"] == 0 and record_of(workdir)["num_images"] == 5
    assert export_model.main([str(workdir), str(tmp_path / "saved")]) == 0
    exported = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(exported.bits_per_dim(images, tf.constant(0, tf.int64))["bits_per_dim"], bits, atol=1e-5)
    # It goes on, without initializing from data.
    assert json.loads((workdir / "experiment.json").read_text())["init_from"] is None
    loaded.fit(np.repeat(images, 4, axis=0), 1, workdir=tmp_path / "further", batch_size=2, warmup_steps=1000)


@pytest.mark.slow
def test_an_imported_run_goes_on_by_the_same_command(tmp_path):
    model, workdir = tiny_model("glow"), tmp_path / "imported"
    flags = stored("glow", tmp_path / "weights.npz", model)
    settings = (
        "batch_size=8",
        "warmup_steps=1000",
        "evaluate_every=0",
        "init_batch_size=8",
        "evaluation_batch_size=180",
    )
    assert import_weights.main([*flags, *(f"--set={each}" for each in settings), f"--workdir={workdir}"]) == 0
    own = [flag for flag in flags[2:] if not flag.startswith("--workdir")]
    run(*own, *(f"--set={each}" for each in settings), f"--workdir={workdir}", "--steps=1", "--samples=2")
    after = named_variables(tfflows.load(workdir).distribution)
    for name, variable in named_variables(model).items():
        np.testing.assert_allclose(variable, after[name], atol=1e-4, err_msg=name)


def test_hyper_parameters_are_read_from_the_authors_own_file(tmp_path, capsys):
    model = tiny_model("glow")
    weights = tmp_path / "weights.npz"
    stored("glow", weights, model)
    hps = {
        "n_levels": 1,
        "depth": 1,
        "width": 4,
        "flow_permutation": 2,
        "flow_coupling": 1,
        "learntop": True,
        "n_bits_x": 8,
    }
    (tmp_path / "train.txt").write_text(json.dumps(hps) + "\n" + json.dumps({"epoch": 1}) + "\n")
    own = [str(weights), "--paper=glow", "--experiment=cifar10", "--set=dataset=digits", "--set=image_size=8"]
    assert import_weights.main([*own, f"--workdir={tmp_path / 'imported'}"]) == 0
    assert "levels=1" in capsys.readouterr().out
    (tmp_path / "train.txt").write_text("epoch 1\n")
    assert import_weights.main([*own, f"--workdir={tmp_path / 'other'}"]) == 1
    assert "does not begin with the hyper-parameters" in capsys.readouterr().err


def test_configurations_of_the_released_macow():
    flow = {
        "num_steps": [4, [24, 24], 2],
        "factors": [4],
        "kernel_size": [2, 5],
        "scale": False,
        "hidden_channels": [24, 256, 512],
    }
    inner = {"num_steps": [2, [4], 4], "factors": [2], "kernel_size": [2, 3], "hidden_channels": [24, 256, 256]}
    fields = fields_of({"flow": flow, "dequant": inner})
    experiment = dataclasses.replace(MACOW.named_experiment("celeba_hq_var_release"), **fields)
    assert experiment.steps == ((4,), (24, 24), (2,)) and experiment.coupling == "additive"
    assert experiment.prior_coupling == "affine" and (experiment.kernel_height, experiment.kernel_width) == (2, 5)
    assert experiment.dequantization_steps == ((2,), (4,), (4,)) and experiment.dequantization_factors == (2,)
    with pytest.raises(ValueError, match="'self_attn' are not built"):
        fields_of({"flow": {**flow, "coupling_type": "self_attn"}})


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set=width=8"], "model/0/0/f1/"),
        (["--set=depth=2"], "model/0/1/"),
        (["--experiment=no_such"], "Unknown experiment 'no_such'"),
    ],
)
def test_refused(tmp_path, capsys, extra, message):
    flags = stored("glow", tmp_path / "weights.npz", tiny_model("glow"))
    assert import_weights.main([*flags, f"--workdir={tmp_path / 'imported'}", *extra]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()


def test_a_file_that_is_not_there_is_refused_before_a_model_is_built(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_weights, "_experiment", None)
    flags = ["--paper=glow", "--experiment=cifar10", f"--workdir={tmp_path / 'imported'}"]
    assert import_weights.main([str(tmp_path / "weights[1].npz"), *flags]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_a_workdir_that_holds_anything_is_kept(tmp_path, capsys):
    flags = stored("glow", tmp_path / "weights.npz", tiny_model("glow"))
    assert import_weights.main([*flags, f"--workdir={tmp_path}"]) == 1
    assert "is not empty" in capsys.readouterr().err
