"""Models saved as folders of weights, and found by name."""

import json
import shutil

import numpy as np
import pytest

import tfflows
from tests.golden.runs import GOLDEN, WORKDIRS
from tests.slow import slow_but
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.models import Model
from tfflows.tracing.variables import named_variables


def images_for(model):
    return np.random.default_rng(0).integers(90, 170, [2, *model.image_shape], dtype=np.uint8)


@pytest.mark.parametrize(
    "name",
    slow_but(("glow", "realnvp"), ("glow", "flowpp_averages", "macow", "vflow", "agave/vae", "agave", "realnvp")),
)
def test_a_saved_model_is_found_by_name(name, tmp_path):
    model = tfflows.load(WORKDIRS / name, data_dir=GOLDEN)
    model.save(tmp_path / "mine")
    (entry,) = tfflows.list_models(tmp_path)
    assert (
        entry.name == "mine" and entry.steps == 3 and str(entry).startswith(f"mine: {entry.paper} on {entry.dataset}")
    )
    assert entry.bits_per_dim == model.record["value"]
    again = tfflows.load("mine", models_dir=tmp_path)
    np.testing.assert_array_equal(again.bits_per_dim(images_for(model)), model.bits_per_dim(images_for(model)))
    assert again.step == 3 and again.record == model.record and again.description == model.description
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "experiment.json",
        "model.json",
        "record.json",
        "weights.safetensors",
    ]


def test_other_folders_are_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("keep")
    model = tfflows.load(WORKDIRS / "glow", data_dir=GOLDEN)
    with pytest.raises(FileExistsError, match="files of another kind"):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert Model(model.distribution).settings is None
    with pytest.raises(ValueError, match="belongs to no experiment"):
        Model(model.distribution).save(tmp_path / "new")


def test_weights_that_do_not_fit_are_refused(tmp_path):
    model = tfflows.load(WORKDIRS / "glow", data_dir=GOLDEN)
    model.save(tmp_path / "mine")
    settings = json.loads((tmp_path / "mine" / "experiment.json").read_text())
    (tmp_path / "mine" / "experiment.json").write_text(json.dumps({**settings, "width": 8}))
    name = next(name for name, variable in named_variables(model.distribution).items() if 4 in variable.shape)
    with pytest.raises(ValueError, match=f"does not fit the model: 'model/{name}"):
        tfflows.load(tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match=r"the models in .* are: mine"):
        tfflows.load("yours", models_dir=tmp_path)


def test_a_copied_folder_loads_anywhere(tmp_path):
    model = tfflows.load(WORKDIRS / "glow", data_dir=GOLDEN)
    shutil.copytree(model.save(tmp_path / "mine"), tmp_path / "elsewhere" / "it")
    copied = tfflows.load(tmp_path / "elsewhere" / "it")
    assert isinstance(copied.distribution, DequantizedFlow)
    np.testing.assert_array_equal(copied.sample(2, seed=1), model.sample(2, seed=1))
