"""Runs of the command: what they leave, what they refuse."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from reproductions.driver.evaluate import cautions
from reproductions.reporting.records import evaluation_curve, load_records
from tests.reproductions.driver.running import TINY, exit_message, record_of, run
from tfflows.data import load_dataset
from tfflows.evaluation.image_files import file_bits_per_dim
from tfflows.training.logs import read_metrics
from tfflows.training.workdir import WorkdirError

DATA = pathlib.Path(__file__).parents[2] / "data"
STEPS = ("--steps=6", "--log_every=2", "--checkpoint_every=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run of six steps, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    arguments = (*TINY, *STEPS, f"--workdir={workdir}", "--set=evaluate_every=2", "--select=best_test")
    run(*arguments)
    return workdir, arguments


def test_what_a_run_leaves(trained):
    workdir, _ = trained
    lines = read_metrics(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6]
    assert {"bits_per_dim", "gradient_norm", "learning_rate", "seconds", "images_per_second"} <= set(lines[0])
    assert len(list((workdir / "tensorboard").iterdir())) == 2  # of the training and of its end
    steps = sorted(path.stem for path in (workdir / "checkpoints").glob("*.index"))
    assert steps == ["step-3", "step-6"]
    assert [path.name for path in (workdir / "pictures").iterdir()] == [
        f"samples_step_{record_of(workdir)['steps']}_temperature_1.00_seed_0_images_2.png"
    ]
    stored = json.loads((workdir / "experiment.json").read_text())
    assert stored["paper"] == "glow" and stored["seed"] == 0 and stored["width"] == 4 and stored["dataset"] == "digits"


def test_the_best_of_the_test_evaluations_is_reported(trained):
    workdir, _ = trained
    lines = read_metrics(workdir / "metrics.jsonl")
    tests = {line["step"]: line["test_bits_per_dim"] for line in lines if "test_bits_per_dim" in line}
    assert list(tests) == [2, 4, 6]
    record = record_of(workdir)
    best = min(tests, key=tests.get)
    assert record["select"] == "best_test" and record["steps"] == best
    np.testing.assert_allclose(record["value"], tests[best], rtol=1e-6)
    per_image = np.load(workdir / "test_bits_per_dim.npy")
    assert per_image.shape == (360,) and record["num_images"] == 360
    np.testing.assert_allclose(record["value"], per_image.mean(), rtol=1e-9)
    np.testing.assert_allclose(record["standard_error"], per_image.std(ddof=1) / np.sqrt(360), rtol=1e-6)
    assert record["overrides"]["dataset"] == "digits" and record["overrides"]["width"] == 4
    assert record["seed"] == 0 and record["batch_size"] == 8 and record["scale"] == "small"


def test_the_final_evaluation_is_in_the_metrics_and_not_in_the_curve(trained):
    workdir, _ = trained
    record, lines = record_of(workdir), read_metrics(workdir / "metrics.jsonl")
    best = {} if record["steps"] == 6 else {"final_step": record["steps"]}
    names = ("final_test_bits_per_dim", "final_test_bits_per_dim_standard_error")
    assert lines[-1] == {
        "step": 6,
        **dict(zip(names, (record["value"], record["standard_error"]), strict=True)),
        **best,
    }
    assert [step for step, _ in evaluation_curve(lines)] == [2, 4, 6]


def test_what_tensorboard_shows(trained):
    workdir, _ = trained
    shown = EventAccumulator(str(workdir / "tensorboard"), size_guidance={"tensors": 0})
    shown.Reload()
    plugins = {name: shown.PluginTagToContent(name) for name in ("scalars", "histograms", "images", "hparams")}
    assert {"bits_per_dim", "test_bits_per_dim", "final_test_bits_per_dim"} <= set(plugins["scalars"])
    (final,) = shown.Tensors("final_test_bits_per_dim")
    np.testing.assert_allclose(tf.make_ndarray(final.tensor_proto), record_of(workdir)["value"], rtol=1e-6)
    assert set(plugins["images"]) == {"pictures/samples_temperature_1.00_seed_0_images_2"}
    (picture,) = shown.Tensors("pictures/samples_temperature_1.00_seed_0_images_2")
    (png,) = (workdir / "pictures").glob("samples*.png")
    assert picture.tensor_proto.string_val[2] == png.read_bytes() and picture.step == 6
    (scales,) = plugins["histograms"]
    assert scales.startswith("actnorm_log_scale/") and [event.step for event in shown.Tensors(scales)] == [3, 6]
    assert set(plugins["hparams"]) == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    data = plugin_data_pb2.HParamsPluginData.FromString(plugins["hparams"]["_hparams_/session_start_info"])
    given = data.session_start_info.hparams
    assert given["paper"].string_value == "glow" and given["width"].number_value == 4
    assert given["conditional"].WhichOneof("kind") == "bool_value" and "evaluate_every" not in given


def test_the_same_command_again_reports_the_same(copied, capsys):
    workdir, arguments = copied
    before, logged = record_of(workdir), read_metrics(workdir / "metrics.jsonl")
    run(*arguments)
    assert record_of(workdir)["value"] == before["value"]
    assert "verdict" in capsys.readouterr().out
    assert read_metrics(workdir / "metrics.jsonl") == logged


def test_evaluate_prints_the_comparison_and_writes_the_record(copied, capsys, tmp_path):
    workdir, arguments = copied
    expected = [line for line in read_metrics(workdir / "metrics.jsonl") if "test_bits_per_dim" in line][-1]
    results = tmp_path / "obtained"
    run(*arguments, "--mode=evaluate", "--select=last", f"--results_dir={results}", "--set=evaluation_batch_size=90")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bits_per_dim of demo on digits, test split, 360 images")
    assert [line.split()[0] for line in lines[1:5]] == ["obtained", "verdict", "Warning:", "record:"]
    (record,) = load_records(results)
    assert record.steps == 6 and record.select == "last" and record.hours > 0
    np.testing.assert_allclose(record.value, expected["test_bits_per_dim"], rtol=1e-5)
    assert f"{record.value:.4f}" in lines[1]
    assert len(list((workdir / "results" / "glow").glob("*.json"))) == 2


def test_samples_interpolations_and_manipulations(copied, capsys):
    workdir, arguments = copied
    run(*arguments, "--mode=sample", "--temperature=0,0.5", "--samples=3", "--sample_seed=4")
    run(*arguments, "--mode=interpolate", "--images=0,3", "--frames=3")
    run(*arguments, "--mode=manipulate", "--attribute=3", "--images=1", "--frames=3", "--direction_images=60")
    printed = [pathlib.Path(line) for line in capsys.readouterr().out.splitlines()]
    of_step = f"step_{record_of(workdir)['steps']}"
    assert [path.name for path in printed] == [
        f"samples_{of_step}_temperature_0.00_seed_4_images_3.png",
        f"samples_{of_step}_temperature_0.50_seed_4_images_3.png",
        f"interpolation_{of_step}_images_0_3_frames_3_seed_0.png",
        f"manipulation_{of_step}_attribute_3_images_1_strength_1_frames_3_directions_from_60_seed_0.png",
    ]
    assert all(path.parent == workdir / "pictures" and path.stat().st_size > 100 for path in printed)


def test_samples_for_other_programs(copied, capsys):
    _, arguments = copied
    for form in ("npy", "files"):
        run(*arguments, "--mode=sample", "--samples=3", f"--samples_as={form}")
    array, folder = (pathlib.Path(line) for line in capsys.readouterr().out.splitlines())
    images = np.load(array)
    assert images.shape == (3, 8, 8, 1) and images.dtype == np.uint8
    for number, image in enumerate(images):
        with Image.open(folder / f"{number:05}.png") as stored:
            np.testing.assert_array_equal(np.asarray(stored), image[..., 0])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set=width=5"], ["width: 4 there, 5 now", "--workdir"]),
        (["--seed=1"], ["seed: 0 there, 1 now"]),
        (["--batch_size=16"], ["batch_size: 8 there, 16 now"]),
        (["--set=learning_rate=0.5"], ["learning_rate: 0.001 there, 0.5 now"]),
        (["--dataset=photographs"], ['dataset: "digits" there, "photographs" now', "image_size: 8 there, 32 now"]),
        (["--experiment=cifar10", "--scale=small"], ['name: "demo" there, "cifar10" now']),
        (["--set=width=5", "--mode=evaluate"], ["width: 4 there, 5 now"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else "",
)
def test_a_workdir_of_other_settings_is_refused(trained, capsys, arguments, parts):
    workdir, given = trained
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    message = exit_message(capsys, *given, *arguments)
    assert "WorkdirError" in message and "holds a run with other settings" in message
    for part in parts:
        assert part in message
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--batch_size=7", "--virtual_devices=2"], ["batch of 7 does not divide over 2 replicas", "6 and 8"]),
        (["--accumulate=3"], ["batch of 8 does not divide", "accumulate may be 1, 2, 4, 8"]),
        (["--select=best_test"], ["--select=best_test needs evaluations", "evaluate_every=N"]),
        (["--side_by_side=2", "--jit"], ["--side_by_side cannot be with --jit"]),
        (["--mode=evaluate"], ["No checkpoint in", "--init_from"]),
        (["--mode=sample", "--select=best_test"], ["No best checkpoint in"]),
        (["--init_from=nowhere.npz"], ["nowhere.npz"]),
        ([f"--init_from={DATA / 'glow' / 'model_affine_8bit.npz'}"], ["weights"]),
        (["--set=conditional=true", "--set=class_weight=0.1", "--label=10"], ["label", "10"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_runs_that_cannot_be_are_refused_with_a_message(capsys, tmp_path, arguments, parts):
    message = exit_message(capsys, *TINY, "--steps=1", f"--workdir={tmp_path / 'workdir'}", *arguments)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("mode", ["evaluate", "sample", "interpolate", "manipulate"])
def test_a_workdir_without_a_checkpoint_is_not_made(capsys, tmp_path, mode):
    workdir = tmp_path / "wrong"
    message = exit_message(capsys, *TINY, f"--mode={mode}", f"--workdir={workdir}")
    assert f"No checkpoint in {workdir}" in message
    workdir.mkdir()
    assert "No checkpoint in" in exit_message(capsys, *TINY, f"--mode={mode}", f"--workdir={workdir}")
    assert not list(workdir.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of a run on one device."""
    workdir = tmp_path_factory.mktemp("whole")
    run(*TINY, "--strategy=one_device", "--seed=3", "--steps=3", f"--workdir={workdir}")
    return record_of(workdir)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--strategy=mirrored", "--virtual_devices=2", "--accumulate=2"), marks=pytest.mark.slow),
        pytest.param(("--jit",), marks=pytest.mark.slow),
        ("--memory=reversible",),
        pytest.param(("--side_by_side=3",), marks=pytest.mark.slow),
    ],
)
def test_the_result_depends_neither_on_devices_nor_on_the_compiler(whole, tmp_path, arguments):
    run(*TINY, "--seed=3", "--steps=3", f"--workdir={tmp_path}", *arguments)
    record = record_of(tmp_path)
    assert record["parameters"] == whole["parameters"] and record["seed"] == 3
    np.testing.assert_allclose(record["value"], whole["value"], rtol=1e-5)


@pytest.mark.slow
def test_other_arithmetic_is_recorded_and_told_apart(whole, tmp_path, capsys):
    """Run as a user would, with bfloat16 and with TF32, which the CPU does not have."""
    arguments = (*TINY, "--strategy=one_device", "--seed=3", "--steps=3")
    defaults = {
        "replicas": 1,
        "precision": "float32",
        "tf32": False,
        "jit": False,
        "memory": "plain",
        "accumulate": 1,
        "side_by_side": 1,
        "steps_per_execution": 1,
    }
    assert whole["execution"] == defaults and not {"precision", "tf32"} & set(whole["overrides"])
    half, rounded = tmp_path / "half", tmp_path / "rounded"
    run(*arguments, "--precision=mixed_bfloat16", "--steps_per_execution=2", f"--workdir={half}")
    record = record_of(half)
    assert record["overrides"]["precision"] == "mixed_bfloat16"
    assert record["execution"] == {**defaults, "precision": "mixed_bfloat16", "steps_per_execution": 2}
    assert 0 < abs(record["value"] - whole["value"]) < 0.05
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    run(*arguments, "--tf32", f"--workdir={rounded}")
    assert tf.config.experimental.tensor_float_32_execution_enabled()
    record = record_of(rounded)
    assert record["overrides"]["tf32"] is True and record["execution"]["tf32"] is True
    capsys.readouterr()
    for workdir, given in ((half, "precision"), (rounded, "tf32")):
        message = exit_message(capsys, *arguments, "--mode=evaluate", f"--workdir={workdir}")
        assert f"{given}: " in message and "holds a run with other settings" in message
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    names = {next((directory / "results" / "glow").iterdir()).stem for directory in (half, rounded)}
    assert len(names) == 2 and all("precision=" in name or "tf32=" in name for name in names)


def test_a_workdir_of_before_these_fields_goes_on(copied):
    workdir, arguments = copied
    file = workdir / "experiment.json"
    stored = json.loads(file.read_text())
    for name in ("precision", "tf32"):
        del stored[name]
    file.write_text(json.dumps(stored))
    run(*arguments, "--mode=sample", "--samples=1")


def test_a_conditional_model_trains_and_samples_one_class_or_a_row_a_class(tmp_path):
    conditional = ("--set=conditional=true", "--set=class_weight=0.1", "--steps=2", f"--workdir={tmp_path}")
    run(*TINY, *conditional, "--label=3", "--log_every=1")
    assert "classification_error" in read_metrics(tmp_path / "metrics.jsonl")[0]
    (one_class,) = (tmp_path / "pictures").iterdir()
    assert "_label_3.png" in one_class.name and Image.open(one_class).width > 600
    run(*TINY, *conditional, "--mode=sample", "--samples=10")
    (rows,) = set((tmp_path / "pictures").iterdir()) - {one_class}
    width, height = Image.open(rows).size
    assert height > 1000 and width < 500


def test_classes_go_by_their_names(tmp_path):
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name, level in (("cat", 60), ("ship", 180)):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = (level + generator.integers(0, 40, [8, 8])).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{number}.png")
    arguments = (*TINY, f"--dataset=folder:{tmp_path / 'images'}", "--set=conditional=true", "--set=init_batch_size=12")
    arguments += ("--set=class_weight=0.1", "--set=learning_rate=0.1", "--set=warmup_steps=1", "--steps=3")
    arguments += (f"--workdir={tmp_path / 'run'}",)
    pictures = tmp_path / "run" / "pictures"
    run(*arguments, "--label=ship")
    (ship,) = pictures.iterdir()
    assert ship.name == "samples_step_3_temperature_1.00_seed_0_images_2_label_1_ship.png"
    by_name = ship.read_bytes()
    ship.unlink()
    run(*arguments, "--mode=sample", "--label=cat")
    (cat,) = pictures.iterdir()
    assert cat.name == ship.name.replace("1_ship", "0_cat") and cat.read_bytes() != by_name
    run(*arguments, "--mode=sample", "--label=1")
    assert ship.read_bytes() == by_name
    run(*arguments, "--mode=manipulate", "--attribute=ship", "--frames=3", "--images=0")
    (moved,) = pictures.glob("manipulation*")
    one = moved.read_bytes()
    run(*arguments, "--mode=manipulate", "--frames=3", "--images=0")
    assert set(pictures.glob("manipulation*")) == {moved, moved.with_name(moved.name.replace("1_ship", "0_cat"))}
    assert moved.read_bytes() == one
    run(*arguments, "--mode=manipulate", "--frames=3", "--images=0", "--attribute=1")
    assert moved.read_bytes() == one
    with pytest.raises(ValueError, match="--label must be 0 to 1, or a name: cat, ship; got 'dog'"):
        run(*arguments, "--mode=sample", "--label=dog")


def test_a_quick_trial_evaluates_few_images(tmp_path):
    arguments = (*TINY, "--steps=2", "--set=evaluate_every=1", f"--workdir={tmp_path}", "--evaluation_images=20")
    run(*arguments)
    record = record_of(tmp_path)
    assert (record["num_images"], record["evaluation_images"], record["curve"]) == (20, 20, None)
    assert len(np.load(tmp_path / "test_bits_per_dim-images20.npy")) == 20
    with pytest.raises(ValueError, match="--select=best_test chooses by all test images"):
        run(*arguments, "--select=best_test")
    run(*arguments, "--mode=evaluate")
    assert record_of(tmp_path)["value"] == record["value"]


def test_weights_of_the_authors_are_evaluated(tmp_path, capsys):
    run(
        "--experiment=demo",
        "--dataset=photographs",
        "--set=depth=2",
        "--set=width=16",
        "--mode=evaluate",
        f"--init_from={DATA / 'glow' / 'model_affine_8bit.npz'}",
        f"--workdir={tmp_path}",
    )
    record = record_of(tmp_path)
    assert record["steps"] == 0 and 4 < record["value"] < 12
    assert "verdict" in capsys.readouterr().out


def test_a_run_with_a_cooldown_ends_at_rate_zero_and_keeps_its_length(tmp_path):
    """The schedule is the same whatever the paper; prolonged, it would be another one all along."""
    lengths = ("--set=num_steps=6", "--set=warmup_steps=2", "--set=cooldown_steps=3", "--set=learning_rate=0.003")
    arguments = (*TINY, *lengths, "--log_every=1", f"--workdir={tmp_path}")
    run(*arguments)
    rates = [line["learning_rate"] for line in read_metrics(tmp_path / "metrics.jsonl") if "learning_rate" in line]
    np.testing.assert_allclose(rates, [0.0, 0.0015, 0.003, 0.003, 0.002, 0.001], rtol=1e-6)
    with pytest.raises(WorkdirError, match="num_steps: 6 there, 7 now"):
        run(*arguments, "--set=num_steps=7")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, []),
        ({"num_images": 1, "standard_error": 0.0}, ["One image"]),
        ({"steps": 99}, ["99 of 100 steps"]),
        ({"importance": {"samples": 64, "effective_samples": 1.5}}, ["64 samples per image"]),
        ({"importance": {"samples": 64, "effective_samples": 3.2}}, []),
    ],
)
def test_what_would_mislead_is_said(make_record, changes, parts):
    importance = {
        "noise_standard_error": 0.01,
        "elbo": 3.4,
        "elbo_standard_error": 0.1,
        **changes.pop("importance", {}),
    }
    record = make_record(**changes, importance=importance if "samples" in importance else None)
    found = cautions(record, warmup_steps=100)
    assert len(found) == len(parts) and all(part in text for part, text in zip(parts, found, strict=True))


def test_the_end_of_a_run_says_where_things_are_and_what_files_would_take(tmp_path, capsys):
    run(*TINY, "--steps=1", "--evaluation_images=20", "--image_files", f"--workdir={tmp_path}")
    out = capsys.readouterr().out
    images = load_dataset("digits", "test", max_images=20).images
    for kind in ("png", "webp"):
        assert f"{kind}: {file_bits_per_dim(images, kind).mean():.4f} (each test image" in out
    (record,) = (tmp_path / "results").glob("*/*.json")
    assert f"record: {record}" in out and f"tfflows.load({str(tmp_path)!r})" in out and "Warning" in out
    with pytest.raises(ValueError, match="--image_files compares images of 8 bits, and demo models 5"):
        run(*TINY, "--set=num_bits=5", "--image_files", f"--workdir={tmp_path / 'other'}")
