"""The small trained models: how they are trained, and what is in `results/models/`."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfflows
from reproductions import shipped
from reproductions.fields import override
from tests.golden.runs import WORKDIRS
from tests.slow import slow_but
from tfflows.data import array_source
from tfflows.models import ModelDescription
from tfflows.papers import load_paper
from tfflows.tracing.variables import count_parameters

LARGEST = 750_000


def experiment_of(name):
    model = shipped.MODELS[name]
    reproduction = load_paper(model.paper)
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in model.arguments if "--set=" not in argument)
    settings = [argument.removeprefix("--set=") for argument in model.arguments if argument.startswith("--set=")]
    small = reproduction.small(reproduction.named_experiment(flags["experiment"]))
    return reproduction, override(small, [*settings, f"num_steps={flags['steps']}", f"dataset={flags['dataset']}"])


@pytest.mark.parametrize("name", slow_but(("pixelcnn_cifar10",), shipped.MODELS))
def test_recipes(name):
    reproduction, experiment = experiment_of(name)
    with tf.Graph().as_default():
        shape = [experiment.image_size, experiment.image_size, 3]
        model = reproduction.build_model(experiment, shape, 10, 0)
        assert count_parameters(model) <= LARGEST
    assert experiment.cooldown_steps >= experiment.num_steps // 4 > 0


def test_models_that_are_there():
    """Each has a recipe and a record of all test images; its files are small."""
    for entry in tfflows.list_models():
        assert entry.name in shipped.MODELS and entry.parameters <= LARGEST
        record = json.loads((entry.path / "record.json").read_text())
        assert record["commit"] and record["evaluation_images"] is None
        assert record["paper"] == shipped.MODELS[entry.name].paper
        assert sum(path.stat().st_size for path in pathlib.Path(entry.path).iterdir()) < 4e6


def test_publishing_and_showing(tmp_path, monkeypatch, capsys):
    """A model is published if it measures less than the one that is there; samples of it are shown."""
    name = "glow_cifar10"
    monkeypatch.chdir(tmp_path)
    assert shipped.show(directory=tmp_path / "models") is None
    shutil.copytree(WORKDIRS / "glow", shipped.WORKDIRS / name)
    ModelDescription((16, 16, 3)).write(shipped.WORKDIRS / name)
    assert shipped.publish(name, tmp_path / "models") and not shipped.publish(name, tmp_path / "models")
    path = shipped.show(directory=tmp_path / "models")
    assert path.exists() and f"{name}: glow on" in capsys.readouterr().out
    (record,) = (shipped.WORKDIRS / name / "results").rglob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "evaluation_images": 5}))
    with pytest.raises(ValueError, match="no record of step 3 on all test images"):
        shipped.publish(name, tmp_path / "models")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workdir", "name", "kind"),
    [("glow", "glow_cifar10", "interpolation"), ("agave", "agave_cifar10", "reconstructions")],
)
def test_pictures_of_a_model(tmp_path, monkeypatch, workdir, name, kind):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(WORKDIRS / workdir, shipped.WORKDIRS / name)
    ModelDescription((16, 16, 3)).write(shipped.WORKDIRS / name)
    shipped.publish(name, tmp_path / "models")
    images = np.random.default_rng(0).integers(0, 256, [14, 16, 16, 3], np.uint8)
    monkeypatch.setattr(shipped.data, "load_dataset", lambda *arguments, **options: array_source(images))
    paths = shipped.pictures(name, models=tmp_path / "models", directory=tmp_path / "pictures")
    assert [path.name for path in paths] == [f"{name}_samples.png", f"{name}_{kind}.png"]
    assert all(min(tf.io.decode_png(path.read_bytes()).shape[:2]) > 100 for path in paths)
