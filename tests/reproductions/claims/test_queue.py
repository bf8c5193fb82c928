"""The queue of the claims study: what it keeps, what it does not repeat, and how it goes on after what went wrong."""

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from reproductions.claims import estimates, outcomes, per_image, rates, run, unfinished
from reproductions.claims.arms import ArmRun
from reproductions.claims.study import RUNS, TRIALS
from reproductions.driver.evaluate import PER_IMAGE_FILE, TRAIN_PER_IMAGE_FILE
from reproductions.recipe import trial_name
from reproductions.reporting.records import Record, load_records, write_record

ARM = ArmRun("glow", "study_invertible_affine", 0)
GAP_ARM = ArmRun("flowpp", "study_gap_full", 1)


def leave_run(arm, workdir, value=5.0, overrides=None, hours=0.5):
    """What a finished run leaves in its workdir."""
    record = Record(
        paper=arm.paper,
        experiment=arm.experiment,
        dataset="cifar10_16",
        split="test",
        metric="bits_per_dim",
        value=value,
        standard_error=0.01,
        num_images=50,
        steps=4000,
        batch_size=32,
        scale="claims",
        seed=arm.seed,
        select="last",
        parameters=1,
        hardware={},
        hours=hours,
        versions={},
        commit=None,
        command="run",
        overrides={"learning_rate": 0.002} if overrides is None else overrides,
        date="2020-01-01T00:00:00+00:00",
        validation={"value": value, "standard_error": 0.01, "num_images": 10},
    )
    write_record(record, workdir / "results")
    np.save(workdir / PER_IMAGE_FILE, np.full([50], value))
    if "gap" in arm.experiment:
        np.save(workdir / TRAIN_PER_IMAGE_FILE, np.full([20], value - 1))
    leave_metrics(workdir, seconds=3600 * hours)


def leave_metrics(workdir, seconds):
    workdir.mkdir(parents=True, exist_ok=True)
    lines = [{"step": 50, "gradient_norm": 2.5, "seconds": seconds / 2}, {"step": 100, "test_bits_per_dim": 5.0}]
    lines.append({"step": 100, "gradient_norm": 1.5, "seconds": seconds})
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def leave_checkpoint(workdir, step):
    (workdir / "checkpoints").mkdir(parents=True, exist_ok=True)
    for suffix in ("index", "data-00000-of-00001"):
        (workdir / "checkpoints" / f"step-{step}.{suffix}").write_text(str(step))
    (workdir / "experiment.json").write_text("{}")


@pytest.mark.parametrize("arm", [ARM, GAP_ARM])
def test_what_a_run_left_is_kept_and_then_it_is_done(tmp_path, arm):
    results, workdir = tmp_path / "results", tmp_path / "workdir"
    leave_run(arm, workdir)
    assert not run.is_done(arm, results)
    outcomes.keep(arm, workdir, results)
    assert run.is_done(arm, results) and not run.is_done(dataclasses.replace(arm, seed=2), results)
    np.testing.assert_array_equal(per_image.load(arm, results), np.full([50], 5.0))
    assert per_image.path_of(arm, results, per_image.TRAIN).exists() == (arm is GAP_ARM)
    norms = np.load(results / outcomes.GRADIENT_NORMS / arm.paper / f"{arm.experiment}-seed{arm.seed}.npy")
    np.testing.assert_array_equal(norms, [[50, 2.5], [100, 1.5]])
    per_image.path_of(arm, results).unlink()
    assert not run.is_done(arm, results)


def test_a_trial_is_kept_apart_from_the_arms(tmp_path):
    leave_run(TRIALS[0], tmp_path / "workdir", overrides={})
    outcomes.keep(TRIALS[0], tmp_path / "workdir", tmp_path / "results")
    assert run.is_done(TRIALS[0], tmp_path / "results")
    assert not outcomes.records_of(tmp_path / "results")
    assert list(outcomes.records_of(tmp_path / "results", trials=True)) == [dataclasses.astuple(TRIALS[0])]


def test_records_of_other_settings_are_not_taken(tmp_path):
    leave_run(ARM, tmp_path / "workdir", overrides={"width": 4})
    outcomes.keep(ARM, tmp_path / "workdir", tmp_path / "results")
    assert not run.is_done(ARM, tmp_path / "results")


def test_commands_have_workdirs_of_their_own_and_the_chosen_rate(tmp_path):
    assert len({run.workdir_of(item, tmp_path) for item in RUNS}) == len(RUNS)
    command = run.command_of(ARM, tmp_path, "data", 0.002)
    assert {"--experiment=study_invertible_affine", "--seed=0", "--side_by_side=2", "--data_dir=data"} <= set(command)
    assert "--set=learning_rate=0.002" in command
    assert not any(part.startswith(("--set", "--data_dir")) for part in run.command_of(TRIALS[0], tmp_path))
    assert "--side_by_side=1" in run.command_of(ArmRun("agave", "study_lambda_2", 0), tmp_path)


def fake_runs(monkeypatch, outcome_of):
    """The queue with `outcome_of(run)` in the place of processes: text of its errors, or None if it ends well."""
    done = []

    def execute(command, errors):
        words = dict(word.lstrip("-").split("=", 1) for word in command if word.startswith("--"))
        arm = ArmRun(errors.parent.parent.name, words["experiment"], int(words["seed"]))
        done.append(arm)
        message = outcome_of(arm)
        errors.parent.mkdir(parents=True, exist_ok=True)
        errors.write_text(message or "")
        if message is not None:
            return 1, False
        value = {"0.001": 4.7, "0.002": 4.5, "0.004": 4.6}.get(arm.experiment.rpartition("_")[2], 4.0)
        chosen = words.get("set", "learning_rate=0.0").rpartition("=")[2]
        leave_run(arm, errors.parent, value, {} if arm in TRIALS else {"learning_rate": float(chosen)})
        return 0, False

    monkeypatch.setattr(run, "execute", execute)
    return done


@dataclasses.dataclass
class Arguments:
    results: object
    workdir: object
    data_dir: str = None


@pytest.fixture
def arguments(tmp_path):
    return Arguments(tmp_path / "results", tmp_path / "workdirs")


GLOW_RUNS = [item for item in RUNS if item.paper == "glow"]


def test_the_queue_tries_rates_chooses_one_and_goes_through(monkeypatch, arguments):
    done = fake_runs(monkeypatch, lambda arm: None)
    run.work(GLOW_RUNS, arguments)
    assert done == GLOW_RUNS
    assert rates.rate_of("glow", arguments.results) == 0.002
    kept = outcomes.records_of(arguments.results)
    assert {record.overrides["learning_rate"] for record in kept.values()} == {0.002}
    run.work(GLOW_RUNS, arguments)
    assert len(done) == len(GLOW_RUNS)  # nothing is repeated


def test_what_diverges_is_noted_and_the_queue_goes_on(monkeypatch, arguments, capsys):
    message = "TrainingDiverged: loss not finite at step 7."
    diverging = {TRIALS[1], GLOW_RUNS[4]}
    done = fake_runs(monkeypatch, lambda arm: f"warnings\n{message}\n" if arm in diverging else None)
    run.work(GLOW_RUNS, arguments)
    assert done == GLOW_RUNS
    assert rates.rate_of("glow", arguments.results) == 0.004
    noted = json.loads(outcomes.diverged_path(GLOW_RUNS[4], arguments.results).read_text())
    assert (noted["message"], noted["learning_rate"], noted["seed"]) == (message, 0.004, GLOW_RUNS[4].seed)
    assert json.loads(outcomes.diverged_path(TRIALS[1], arguments.results).read_text())["learning_rate"] == 0.002
    run.work(GLOW_RUNS, arguments)
    assert len(done) == len(GLOW_RUNS)
    capsys.readouterr()
    run.show(GLOW_RUNS, arguments)
    listed = capsys.readouterr().out
    assert f"diverged  glow {GLOW_RUNS[4].experiment}" in listed and "0 of 27 runs remain" in listed


def test_what_fails_otherwise_is_tried_again_and_three_in_a_row_stop_the_queue(monkeypatch, arguments):
    failing = {GLOW_RUNS[5]}
    done = fake_runs(monkeypatch, lambda arm: "OSError: no space" if arm in failing else None)
    run.work(GLOW_RUNS, arguments)
    assert done == GLOW_RUNS and not outcomes.has_diverged(GLOW_RUNS[5], arguments.results)
    failing.clear()
    run.work(GLOW_RUNS, arguments)
    assert done[len(GLOW_RUNS) :] == [GLOW_RUNS[5]]
    failing.update(RUNS)
    with pytest.raises(SystemExit, match="3 runs failed in a row"):
        run.work([item for item in RUNS if item.paper == "vflow"], arguments)
    assert len(done) == len(GLOW_RUNS) + 4


def test_without_a_rate_no_arm_runs(monkeypatch, arguments, capsys):
    done = fake_runs(monkeypatch, lambda arm: "TrainingDiverged: x not finite." if arm in TRIALS else None)
    run.work(GLOW_RUNS, arguments)
    assert done == GLOW_RUNS[:3]
    assert "glow has no learning rate yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ("a\nTrainingDiverged: loss not finite at step 3.\n", "TrainingDiverged: loss not finite at step 3."),
        ("ValueError: value must be a finite number, not nan\n", "ValueError: value must be a finite number, not nan"),
        ("ValueError: batch_size must be positive\n", None),
        ("Killed\n", None),
    ],
)
def test_only_what_is_not_finite_counts_as_diverged(errors, found):
    assert outcomes.not_finite(errors) == found


@pytest.mark.slow
def test_a_run_is_stopped_with_the_queue(tmp_path):
    child = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", child]
    program = (
        "import pathlib; from reproductions.claims.run import execute; "
        f"print(execute({command!r}, pathlib.Path({str(tmp_path / 'errors.txt')!r})), flush=True)"
    )
    queue = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=run.ROOT)
    assert queue.stdout.readline() == "up\n"
    queue.send_signal(signal.SIGTERM)
    assert queue.stdout.readline() == "(3, True)\n"
    assert queue.wait(timeout=60) == 0


def test_two_queues_do_not_share_a_folder(tmp_path):
    with run.lock(tmp_path), pytest.raises(SystemExit, match="Another queue is running"), run.lock(tmp_path):
        pass


def test_checkpoints_of_long_runs_are_kept_and_taken_back(tmp_path):
    workdir, results, other = tmp_path / "workdir", tmp_path / "results", tmp_path / "other"
    leave_metrics(workdir, seconds=7200)
    assert not unfinished.keep(ARM, workdir, results)  # no checkpoint yet
    leave_checkpoint(workdir, 500)
    leave_checkpoint(workdir, 1000)
    (workdir / "checkpoints" / "step-1500.data-00000-of-00001").write_text("half")
    assert unfinished.keep(ARM, workdir, results)
    leave_checkpoint(workdir, 2000)
    assert unfinished.keep(ARM, workdir, results)
    assert unfinished.take_back(ARM, other, results)
    files = sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    checkpoint = ["checkpoints/step-2000.data-00000-of-00001", "checkpoints/step-2000.index"]
    assert files == [*checkpoint, "experiment.json", "metrics.jsonl"]
    leave_checkpoint(other, 2500)
    assert not unfinished.take_back(ARM, other, results)  # it is further already
    unfinished.drop(ARM, results)
    assert not unfinished.take_back(ARM, tmp_path / "third", results)


def test_checkpoints_of_short_runs_are_not_kept(tmp_path):
    leave_metrics(tmp_path / "workdir", seconds=1800)
    leave_checkpoint(tmp_path / "workdir", 500)
    assert not unfinished.keep(ARM, tmp_path / "workdir", tmp_path / "results")


def test_hours_follow_from_the_runs_that_have_ended(tmp_path):
    assert estimates.hours_of(ARM, []) == pytest.approx(1.25 * 4000 * estimates.SECONDS_A_STEP["glow"] / 3600)
    leave_run(ARM, tmp_path, hours=2.0)
    (record,) = load_records(tmp_path / "results")
    assert estimates.hours_of(ARM, [record]) == pytest.approx(1.25 * 2.0)
    assert estimates.hours_of(ARM, [record], step=3000) == pytest.approx(1.25 * 0.5)
    trial = ArmRun("glow", trial_name(0.001), 0)
    assert estimates.hours_of(trial, [record]) == pytest.approx(1.25 * 1.0)
    other = ArmRun("vflow", "study_6_channels", 0)
    assert estimates.hours_of(other, [record]) == estimates.hours_of(other, [])


def test_the_whole_queue_is_listed(tmp_path, capsys):
    run.show(RUNS, Arguments(tmp_path, tmp_path))
    listed = capsys.readouterr().out.splitlines()
    assert listed[-1].startswith(f"{len(RUNS)} of {len(RUNS)} runs remain, about ")
    assert sum("study_" in line for line in listed) == len(RUNS)
