"""Runs that begin with the weights of another one, and models measured on other images than their own."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tfflows.models
from tests.reproductions.driver.running import TINY, exit_message, record_of, run
from tfflows.evaluation.samples import write_png
from tfflows.tracing.variables import named_variables

# What two records of the same model differ in.
CHANGING = ("command", "curve", "date", "hours", "images_per_second", "seconds_per_step")
STEPS = ("--steps=2", "--log_every=1", "--checkpoint_every=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run with moving averages, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    arguments = (
        *TINY,
        *STEPS,
        "--set=ema_decay=0.5",
        "--set=learning_rate=0.01",
        "--set=warmup_steps=0",
        f"--workdir={workdir}",
    )
    run(*arguments)
    return workdir, arguments


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of grey 8x8 images."""
    root = tmp_path_factory.mktemp("folder")
    images = np.random.default_rng(0).integers(0, 256, [6, 8, 8, 1], dtype=np.uint8)
    for number, image in enumerate(images):
        write_png(root / ("train" if number < 2 else "test") / f"{number}.png", image)
    return root


def weights(workdir, **options):
    return {
        name: v.numpy() for name, v in named_variables(tfflows.models.load(workdir, **options).distribution).items()
    }


def test_the_workdir_says_what_the_model_takes(trained):
    workdir, _ = trained
    stored = json.loads((workdir / "model.json").read_text())
    assert stored["image_shape"] == [8, 8, 1] and stored["num_classes"] == 10 and stored["pixels"] == "uint8"
    assert stored["class_names"] == list("0123456789") and stored["num_bits"] == 8 and stored["version"]


def test_a_workdir_alone_says_what_was_trained(trained, capsys):
    """But for training, and within the paper."""
    workdir, _ = trained
    record = record_of(workdir)
    before = {path.name for path in (workdir / "pictures").iterdir()}
    run(f"--workdir={workdir}", "--mode=sample", "--samples=3", "--temperature=1", "--sample_seed=5")
    (written,) = {path.name for path in (workdir / "pictures").iterdir()} - before
    assert "seed_5_images_3" in written
    run(f"--workdir={workdir}", "--mode=evaluate")
    assert {**record_of(workdir), **dict.fromkeys(CHANGING)} == {**record, **dict.fromkeys(CHANGING)}
    assert record["overrides"]["width"] == 4
    assert "Give --dataset or --experiment" in exit_message(capsys, f"--workdir={workdir}")


@pytest.mark.parametrize("paper", ["vflow", None])
def test_a_workdir_of_nothing_that_is_known_says_nothing(trained, tmp_path, capsys, paper):
    if paper is not None:
        content = json.loads((trained[0] / "experiment.json").read_text())
        (tmp_path / "experiment.json").write_text(json.dumps({**content, "paper": paper}))
    expected = "nor any run. Train first" if paper is None else "Give --dataset or --experiment"
    assert expected in exit_message(capsys, f"--workdir={tmp_path}", "--mode=sample")


@pytest.mark.parametrize("raw", [False, True])
def test_a_run_begins_with_the_weights_of_another(trained, tmp_path, raw):
    workdir, _ = trained
    begun = [f"--init_from={workdir}", *(["--init_raw"] if raw else [])]
    run(*TINY, "--steps=1", "--set=learning_rate=1e-12", f"--workdir={tmp_path}", *begun)
    expected, found = weights(workdir, raw=raw), weights(tmp_path)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)
    other = weights(workdir, raw=not raw)
    assert any(np.abs(other[name] - value).max() > 1e-5 for name, value in expected.items())
    stored = json.loads((tmp_path / "experiment.json").read_text())
    assert stored["init_from"] == str(workdir) and stored.get("init_raw", False) == raw


def test_a_run_begins_with_a_checkpoint(trained, tmp_path):
    workdir, _ = trained
    checkpoint = workdir / "checkpoints" / "step-1"
    run(
        *TINY,
        "--steps=1",
        "--set=learning_rate=1e-12",
        f"--workdir={tmp_path}",
        f"--init_from={checkpoint}.index",
        "--init_raw",
    )
    reader, found = tf.train.load_checkpoint(str(checkpoint)), weights(tmp_path)
    for name, value in found.items():
        np.testing.assert_allclose(value, reader.get_tensor(f"model/{name}"), atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set=width=8", "--init_from={workdir}"), "belongs to another model"),
        (("--init_from={workdir}/checkpoints/step-7",), "No checkpoint of step 7"),
        (("--init_from={workdir}/metrics.jsonl", "--init_raw"), "--init_raw is for the weights of a run"),
    ],
)
def test_refused_beginnings(trained, tmp_path, capsys, arguments, message):
    given = [argument.format(workdir=trained[0]) for argument in arguments]
    assert message in exit_message(capsys, *TINY, "--steps=1", f"--workdir={tmp_path / 'new'}", *given)
    assert not (tmp_path / "new" / "experiment.json").exists()


def test_a_model_is_measured_on_other_images(trained, folder, capsys):
    workdir, arguments = trained
    before = record_of(workdir)
    for given in (arguments, ("--experiment=demo", f"--workdir={workdir}")):
        run(*given, "--mode=evaluate", f"--dataset=folder:{folder}")
    records = {path.name: json.loads(path.read_text()) for path in (workdir / "results").rglob("*.json")}
    (record,) = [record for record in records.values() if record["trained_on"] is not None]
    assert record["trained_on"] == "digits" and record["dataset"] == f"folder:{folder}" and record["num_images"] == 4
    assert record["curve"] is None and record["steps"] == 2
    assert record["preparation"] == {"image_size": 8, "resize": "none", "test_share": 0.1}
    images = np.stack([tf.io.decode_png(path.read_bytes()).numpy() for path in sorted((folder / "test").iterdir())])
    np.testing.assert_allclose(record["value"], np.mean(tfflows.models.load(workdir).bits_per_dim(images)), rtol=1e-5)
    assert before in records.values() and len(records) == 2
    assert len(np.load(workdir / "test_bits_per_dim.npy")) == before["num_images"]
    (per_image,) = workdir.glob("test_bits_per_dim-of-*.npy")
    np.testing.assert_allclose(np.load(per_image).mean(), record["value"], rtol=1e-6)


def test_other_images_are_brought_to_the_size_of_the_model(trained, tmp_path, capsys):
    """Also from a size that no model of the paper takes; each way of doing it has files of its own."""
    workdir, _ = trained
    images = np.random.default_rng(1).integers(0, 256, [5, 11, 13, 1], dtype=np.uint8)
    for number, image in enumerate(images):
        write_png(tmp_path / "odd" / f"{number}.png", image)
    given = (f"--workdir={workdir}", "--mode=evaluate", f"--dataset=folder:{tmp_path / 'odd'}")
    for more in ((), ("--resize=fit", "--test_share=0.7")):
        run(*given, *more)
    records = [json.loads(path.read_text()) for path in (workdir / "results").rglob("*of-*-size8-*.json")]
    found = {tuple(record["preparation"].values()): record for record in records if "odd" in record["dataset"]}
    assert set(found) == {(8, "crop", 0.1), (8, "fit", 0.7)}
    assert [record["num_images"] for record in found.values()] in ([1, 4], [4, 1])
    reports = [json.loads(path.read_text()) for path in workdir.glob("images-of-*odd-*-size8-*.json")]
    assert len(reports) == 2 and all(report["test"]["shape"] == [8, 8, 1] for report in reports)
    for more, message in (
        (("--resize=none",), "takes images of 8x8 pixels, and those of folder:.* give --resize=crop or --resize=fit"),
        (("--image_size=16",), "takes images of 8x8 pixels, not of 16: remove --image_size"),
    ):
        with pytest.raises(ValueError, match=message):
            run(*given, *more)
    with pytest.raises(ValueError, match="--resize and --test_share are for own images, and photographs"):
        run(*given[:2], "--dataset=photographs", "--resize=fit")
    write_png(tmp_path / "small" / "0.png", images[0, :6])
    write_png(tmp_path / "small" / "1.png", images[1, :6])
    with pytest.raises(ValueError, match=r"6x13 pixels are too few for 8.*takes images of 8x8 pixels, and no others"):
        run(*given[:2], f"--dataset=folder:{tmp_path / 'small'}")


def test_images_of_another_shape_are_refused(trained, capsys):
    _, arguments = trained
    message = exit_message(capsys, *arguments, "--mode=evaluate", "--dataset=photographs")
    assert "takes images of shape [8, 8, 1]" in message or "not defined at image size 8" in message
