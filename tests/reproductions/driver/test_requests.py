"""What cannot be done is refused before anything is computed or written; what fails leaves what is needed to go on."""

import json
import os
import pathlib
import shutil
import types

import numpy as np
import pytest
from absl import flags

from reproductions.driver import checks, main, pictures, train
from reproductions.driver.session import Session
from reproductions.experiment import read_rate_factors
from reproductions.glow.reproduction import GLOW
from tests.reproductions.driver.running import TINY, exit_message, parsed, record_of, run
from tfflows.evaluation import samples
from tfflows.evaluation.samples import sample_path, write_png
from tfflows.training.logs import read_metrics
from tfflows.training.workdir import WorkdirError, lock_workdir


@pytest.fixture(autouse=True, scope="module")
def quick_pictures():
    """Samples are no matter here, only that there are any."""

    def write(model, directory, num_samples, temperatures, seed, *arguments, step, **keywords):
        paths = [sample_path(directory, temperature, seed, num_samples, step) for temperature in temperatures]
        return [write_png(path, np.zeros([1, 1, 1], np.uint8)) for path in paths]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(samples, "write_samples", write)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a run of four steps, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    arguments = (*TINY, "--set=warmup_steps=0", "--log_every=1", "--checkpoint_every=2", f"--workdir={workdir}")
    run(*arguments, "--steps=4")
    return workdir, arguments


def state(workdir):
    return {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


REFUSED = {
    "--temperature=abc": ["--temperature needs numbers", "'abc'"],
    "--temperature=nan": ["--temperature needs numbers of at least 0"],
    "--images=x": ["--images needs numbers"],
    "--strength=nan": ["--strength must be finite"],
    "--label=1": ["--label=1 needs a conditional model"],
    "--attribute=Smiling": ["There is no --attribute=Smiling of digits; valid: 0, 1, 2,"],
    "--attribute=10": ["There is no --attribute=10 of digits"],
    "--attributes=list_attr_celeba.txt": ["is for celeba_hq, not for"],
    "--samples=1000000000000": ["--samples=1000000000000 needs", "GiB", "give fewer, or --samples_as=npy"],
    "--results_dir=/dev/null/results": ["Cannot write to --results_dir=/dev/null/results"],
    "--set=scale=y": ["--set cannot change scale", "--scale"],
    "--set=scale=paper": ["--set cannot change scale"],
    "--set=learning_rate=-1": ["learning_rate must be above 0"],
    "--set=learning_rate=0": ["learning_rate must be above 0"],
    "--set=learning_rate=nan": ["learning_rate must be a finite number"],
    "--set=learning_rate=1e309": ["learning_rate must be a finite number"],
    "--set=evaluate_every=-1": ["evaluate_every must be at least 0"],
    "--set=rate_factors=10:0": ["rate_factors needs increasing steps with positive factors", "'10:0'"],
}


@pytest.mark.parametrize("mode", ["train", "sample"])
@pytest.mark.parametrize("argument", REFUSED)
def test_refused_before_anything_is_built(capsys, tmp_path, monkeypatch, argument, mode):
    monkeypatch.delattr(Session, "model")
    message = exit_message(capsys, *TINY, f"--workdir={tmp_path / 'workdir'}", f"--mode={mode}", argument)
    for part in REFUSED[argument]:
        assert part in message
    assert not (tmp_path / "workdir").exists()


@pytest.mark.parametrize(
    ("arguments", "memory", "disk"),
    [
        # 4,096 images of 8x8 are enlarged twice, to 1,024 by 1,024 pixels; one is enlarged 75 times.
        (("--samples=4096",), 6 * 1024**2, 2 * 1024**2),
        (("--samples=1",), 6 * 600**2, 2 * 600**2),
        # A batch has 64 images, a label four bytes, a file at least a block.
        (("--samples=4096", "--samples_as=npy"), 6 * 64 * 64 + 8 * 4096, 2 * (64 + 4) * 4096),
        (("--samples=10", "--samples_as=files"), 6 * 10 * 64 + 8 * 10, 2 * (4096 + 4) * 10),
        (("--mode=interpolate", "--images=0,1", "--frames=10"), 6 * 8 * 8 * 10 * 64, 8 * 8 * 10 * 64),
        (("--mode=manipulate", "--images=0,1", "--frames=5"), 6 * 15**2 * 10 * 64, 15**2 * 10 * 64),
        (("--mode=reconstruct", "--images=0,1"), 6 * 25**2 * 6 * 64, 25**2 * 6 * 64),
        (("--mode=evaluate", "--samples=4096"), 0, 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_pictures_need(capsys, tmp_path, monkeypatch, arguments, memory, disk):
    """What is free is just enough, or a byte less than that."""

    def check(free_memory, free_disk):
        monkeypatch.setattr(checks, "available_memory", lambda: free_memory)
        monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=free_disk))
        options = (*TINY, "--mode=sample", *arguments, "--temperature=0.5,1", f"--workdir={tmp_path}")
        with parsed(options):
            checks.check_pictures_fit(Session(GLOW, flags.FLAGS))

    check(memory, disk)
    if memory:
        with pytest.raises(ValueError, match="GiB of memory"):
            check(memory - 1, disk)
        with pytest.raises(ValueError, match="GiB of disk"):
            check(memory, disk - 1)


NO_PICTURE_IN_THE_MIDDLE = "needs an odd number of --frames and a --strength above 0"
REFUSED_OF_PICTURES = {
    ("manipulate", "--images=360"): "--images got 360, but test images are numbered 0 to 359",
    ("interpolate", "--images=0,360"): "--images got 360, but test images are numbered 0 to 359",
    ("manipulate", "--frames=4"): NO_PICTURE_IN_THE_MIDDLE,
    ("manipulate", "--strength=0"): NO_PICTURE_IN_THE_MIDDLE,
    (
        "manipulate",
        "--dataset=celeba_hq",
    ): "neither attributes nor classes to manipulate images along; give --attributes=",
}


@pytest.mark.parametrize(("mode", "argument"), REFUSED_OF_PICTURES)
def test_pictures_are_refused_before_a_checkpoint_is_read(capsys, tmp_path, monkeypatch, mode, argument):
    monkeypatch.delattr(pictures, "restore")
    arguments = [*TINY, f"--workdir={tmp_path / 'workdir'}", f"--mode={mode}", argument]
    assert REFUSED_OF_PICTURES[mode, argument] in exit_message(capsys, *arguments)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [("Smile", "There is no --attribute=Smile of celeba_hq; valid: Young0, Young1"), ("Young3", None)],
)
def test_attributes_are_those_of_the_file(capsys, tmp_path, monkeypatch, attribute, message):
    file = tmp_path / "list_attr_celeba.txt"
    file.write_text("1\n" + " ".join(f"Young{number}" for number in range(40)) + "\n")
    monkeypatch.delattr(pictures, "restore")
    arguments = [*TINY, "--dataset=celeba_hq", f"--data_dir={tmp_path}", "--mode=manipulate", f"--attributes={file}"]
    found = exit_message(capsys, *arguments, f"--attribute={attribute}")
    # What is missing next are the images.
    assert (message or "DatasetNotFoundError") in found


@pytest.mark.parametrize("mode", ["train", "evaluate", "sample"])
def test_fewer_steps_than_are_done_are_refused(capsys, copied, mode):
    workdir, arguments = copied
    before = state(workdir)
    message = exit_message(capsys, *arguments, f"--mode={mode}", "--steps=3")
    assert "is at step 4, beyond the 3 asked for. Give --steps=4 or more" in message
    assert state(workdir) == before


@pytest.mark.slow
def test_a_workdir_whose_path_is_a_pattern(copied, capsys):
    """TensorFlow takes brackets, braces and backslashes in the paths of checkpoints for patterns."""
    workdir, arguments = copied
    moved = workdir.with_name("run [1]\\d{a,b}*?") / "workdir"
    shutil.copytree(workdir, moved)
    own = (*arguments, f"--workdir={moved}")
    run(*own, "--steps=5")
    trained = [line["step"] for line in read_metrics(moved / "metrics.jsonl") if "loss" in line]
    assert trained == [1, 2, 3, 4, 5]
    assert (moved / "checkpoints" / "step-5.index").exists()
    capsys.readouterr()
    run(*own, "--steps=5", "--mode=evaluate")
    assert "verdict" in capsys.readouterr().out


def test_another_process_changes_nothing_of_a_run_that_is_going_on(copied):
    workdir, arguments = copied
    with lock_workdir(workdir):
        before = state(workdir)
        with pytest.raises(WorkdirError, match="Another process is training"):
            run(*arguments, "--steps=9")
        run(*arguments, "--steps=9", "--mode=sample", "--samples=1")
        assert (workdir / "experiment.json").read_bytes() == before[workdir / "experiment.json"]


@pytest.mark.parametrize("argument", ["--init_from=nowhere.npz"])
def test_a_run_that_fails_before_its_first_checkpoint_leaves_the_workdir_free(capsys, tmp_path, argument):
    exit_message(capsys, *TINY, "--steps=1", f"--workdir={tmp_path}", argument)
    assert not (tmp_path / "experiment.json").exists()
    run(*TINY, "--steps=1", f"--workdir={tmp_path}", "--seed=1")
    assert record_of(tmp_path)["seed"] == 1


def test_a_workdir_that_cannot_be_written_to(copied, capsys, monkeypatch, tmp_path):
    """Root may write anywhere, so the check itself is replaced."""
    workdir, arguments = copied
    before = state(workdir)

    def check_writable(directory):
        if pathlib.Path(directory) == workdir:
            raise OSError(30, "Read-only file system")
        os.makedirs(directory, exist_ok=True)

    monkeypatch.setattr(checks, "check_writable", check_writable)
    results = tmp_path / "results"
    run(*arguments, "--steps=4", "--mode=evaluate", f"--results_dir={results}")
    assert "verdict" in capsys.readouterr().out
    assert len(list(results.glob("*/*.json"))) == 1
    for flag in ("--mode=sample", "--importance_samples=2"):
        modes = () if "mode" in flag else ("--mode=evaluate",)
        assert "Read-only file system" in exit_message(capsys, *arguments, "--steps=4", flag, *modes)
    assert state(workdir) == before


@pytest.mark.parametrize("phase", ["evaluate_and_record", "write_samples"])
def test_interrupted_after_training(copied, capsys, monkeypatch, phase):
    workdir, arguments = copied
    picture = sample_path(workdir / "pictures", 1.0, seed=0, num_samples=2, step=4)
    picture.unlink()

    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, parsed([*arguments, "--steps=4"]) as rest:
        patched.setattr(train, phase, interrupt)
        with pytest.raises(SystemExit) as caught:
            main._run(GLOW, rest)
    message = capsys.readouterr().err
    assert caught.value.code == 130 and "Traceback" not in message
    assert message.splitlines()[-1] == "Interrupted. The same command goes on from what is saved."
    run(*arguments, "--steps=4")
    assert picture.exists()


def test_a_stage_with_samples_that_are_younger_than_its_checkpoint_is_finished(copied):
    workdir, arguments = copied
    own = sample_path(workdir / "pictures", 1.0, seed=0, num_samples=2, step=4)
    former = own.with_name("samples_temperature_1.00.png")
    other = sample_path(workdir / "pictures", 1.0, seed=3, num_samples=9, step=4, form="files")

    def is_finished(*more):
        with parsed([*arguments, "--steps=4", *more]):
            return train.is_finished(Session(GLOW, flags.FLAGS))

    assert is_finished() and not is_finished("--temperature=0.7,1")
    own.rename(former)
    assert is_finished()
    os.utime(former, (0, 0))
    assert not is_finished()
    other.mkdir()
    assert is_finished()


def test_a_run_goes_on_at_another_rate(copied, capsys):
    workdir, arguments = copied
    run(*arguments, "--steps=6", "--set=rate_factors=4:0.5")
    rates = [line["learning_rate"] for line in read_metrics(workdir / "metrics.jsonl") if "loss" in line]
    np.testing.assert_allclose(rates[4:], [0.5 * rates[3]] * 2)
    (record,) = [path for path in (workdir / "results" / "glow").glob("*.json") if "rate_factors" in path.name]
    assert json.loads(record.read_text())["overrides"]["rate_factors"] == "4:0.5"
    for changed in ("", "--set=rate_factors=4:0.25", "--set=rate_factors=2:0.5,4:0.5"):
        message = exit_message(capsys, *arguments, "--steps=6", *([changed] if changed else []))
        assert "is at step 6, and its learning rate until then cannot change" in message
    run(*arguments, "--steps=7", "--set=rate_factors=4:0.5,6:2")


@pytest.mark.parametrize("text", ["4", "4:", "4:x", "4:-1", "4:inf", "-1:1", "4:1, 4:2", "5:1, 4:1"])
def test_rate_factors_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="rate_factors needs increasing steps"):
        read_rate_factors(text)
