"""One step of the real run for every experiment, at its own image size, its model as small as can be."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from reproductions.agave.experiments import EXPERIMENTS
from reproductions.agave.reproduction import AGAVE
from reproductions.driver import run_data, train
from tests.reproductions.distinct import distinct_experiments
from tests.reproductions.driver.running import record_of, run, small_source
from tfflows.evaluation.latent_terms import QUANTITIES
from tfflows.evaluation.samples import sample_path, write_png
from tfflows.training.workdir import WorkdirError

# What a graph depends on. Experiments that share it are one test by default.
FIELDS = ("image_size", "model", "conditional", "auxiliary", "auxiliary_size")
NUM_IMAGES = 8
SMALL = {
    "width": 2,
    "num_blocks": 1,
    "num_components": 1,
    "vae_width": 2,
    "latent_channels": 2,
    "vae_blocks": 1,
    "init_batch_size": NUM_IMAGES,
    "evaluation_batch_size": NUM_IMAGES,
}
BY_DEFAULT = ("cifar10_iaf_vae",)  # the other models are in `test_stages`
FEW = [
    case if case.values[0] in BY_DEFAULT else pytest.param(*case.values, marks=pytest.mark.slow)
    for case in distinct_experiments(EXPERIMENTS, FIELDS, "claims_no_auxiliary")
]


def arguments(name, workdir, **changes):
    return (
        f"--experiment={name}",
        f"--workdir={workdir}",
        "--steps=1",
        "--batch_size=2",
        *(f"--set={field}={value}" for field, value in {**SMALL, **changes}.items()),
        "--samples=1",
        "--temperature=1",
    )


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(run_data, "load_dataset", functools.partial(small_source, num_images=NUM_IMAGES))


def assert_has_terms(record, experiment):
    """The two parts of the bound make up its value."""
    if experiment.model != "agave":
        assert record["terms"] is None
        return
    assert tuple(record["terms"]) == QUANTITIES
    terms = {quantity: term["value"] for quantity, term in record["terms"].items()}
    kl_bits = terms["kl_nats"] / (math.log(2) * 3 * experiment.image_size**2)
    np.testing.assert_allclose(terms["pixel_bits_per_dim"] + kl_bits, record["value"], rtol=1e-5)


@pytest.mark.parametrize("name", FEW)
def test_one_step(name, tmp_path, capsys):
    experiment = EXPERIMENTS[name]
    run(*arguments(name, tmp_path, pretraining_steps=0), reproduction=AGAVE)
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == NUM_IMAGES and record["steps"] == 1
    assert (record["paper"], record["experiment"], record["dataset"]) == ("agave", name, experiment.dataset)
    assert_has_terms(record, experiment)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Even though the")
@pytest.mark.slow
def test_stages(tmp_path, capsys, monkeypatch, request):
    """Both halves are trained, then the whole, which begins with what they have."""
    sampled = []

    def write_samples(session, step):  # takes as long as all else
        sampled.append(session.stage)
        path = sample_path(session.workdir / train.PICTURES, 1.0, 0, session.flags.samples, step)
        return [write_png(path, np.zeros([1, 1, 1], np.uint8))]

    monkeypatch.setattr(train, "write_samples", write_samples)
    tf.config.run_functions_eagerly(True)  # nothing runs twice
    request.addfinalizer(lambda: tf.config.run_functions_eagerly(False))
    name, changes = "claims_guided", {"pretraining_steps": 1}
    with pytest.raises(FileNotFoundError, match=r"No checkpoint of the stage 'vae'.*--stage=vae"):
        run(*arguments(name, tmp_path, **changes), "--stage=joint", reproduction=AGAVE)
    assert not list(tmp_path.rglob("experiment.json"))  # nothing refuses the corrected command
    run(*arguments(name, tmp_path, **changes), "--stage=pixelcnn", reproduction=AGAVE)
    # Killed before the pictures: the stage is not finished.
    (picture,) = (tmp_path / "pixelcnn" / train.PICTURES).iterdir()
    picture.unlink()
    assert record_of(tmp_path / "pixelcnn")["experiment"] == f"{name}_pixelcnn"
    run(*arguments(name, tmp_path, **changes), "--stage=all", reproduction=AGAVE)
    assert sampled == ["pixelcnn", "vae", "pixelcnn", "joint"] and picture.exists()
    assert record_of(tmp_path / "vae")["experiment"] == f"{name}_vae"
    (tmp_path / "experiment.json").rename(tmp_path / "kept.json")
    (tmp_path / "checkpoints").rename(tmp_path / "kept")
    for other in ("--seed=1", "--set=learning_rate=0.5"):
        for stage in ("all", "joint"):
            with pytest.raises(WorkdirError, match=r"there, .* now"):
                run(*arguments(name, tmp_path, **changes), other, f"--stage={stage}", reproduction=AGAVE)
    with pytest.raises(ValueError, match="The stage 'vae' is at step 1 of 2"):
        run(*arguments(name, tmp_path, pretraining_steps=2), "--stage=joint", reproduction=AGAVE)
    (tmp_path / "kept").rename(tmp_path / "checkpoints")
    (tmp_path / "kept.json").rename(tmp_path / "experiment.json")
    assert record_of(tmp_path)["experiment"] == name
    assert_has_terms(record_of(tmp_path), EXPERIMENTS[name])
    capsys.readouterr()
    run(*arguments(name, tmp_path, **changes), "--stage=vae", "--mode=evaluate", reproduction=AGAVE)
    assert f"{name}_vae" in capsys.readouterr().out
    run(*arguments(name, tmp_path, **changes), "--stage=vae", "--mode=reconstruct", "--images=0,2", reproduction=AGAVE)
    pictures = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("reconstructions*.png"))
    # Training leaves those of the first two images.
    assert pictures == [
        "pictures/reconstructions_step_1_images_0_1_seed_0.png",
        "vae/pictures/reconstructions_step_1_images_0_1_seed_0.png",
        "vae/pictures/reconstructions_step_1_images_0_2_seed_0.png",
    ]
    with pytest.raises(
        ValueError, match="Unknown stage 'prior'; the stages of this experiment are: all, vae, pixelcnn, joint"
    ):
        run(*arguments(name, tmp_path, **changes), "--stage=prior", reproduction=AGAVE)
    with pytest.raises(ValueError, match="is not one; use --mode=sample"):
        run(*arguments(name, tmp_path, **changes), "--mode=interpolate", reproduction=AGAVE)
    with pytest.raises(ValueError, match="_pixelcnn has none"):
        run(*arguments(name, tmp_path, **changes), "--stage=pixelcnn", "--mode=reconstruct", reproduction=AGAVE)
