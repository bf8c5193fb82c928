"""The study's command: cells, records, what is left to do, and going on after an interruption."""

import numpy as np
import pytest

from reproductions.vflow.toy import progress, study, training
from reproductions.vflow.toy.cells import DIMENSIONS, GRID, PAPER_CELLS, STEPS, Cell, parse_cells
from reproductions.vflow.toy.log_likelihoods import load_log_likelihoods
from reproductions.vflow.toy.run import main
from tfflows.training.workdir import lock_workdir

CELL = Cell(1, 2)


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of four iterations, each followed by a checkpoint."""
    monkeypatch.setattr(study, "BLOCK", 4)
    monkeypatch.setattr(progress, "BLOCK", 4)
    monkeypatch.setattr(study, "_CHECKPOINT_EVERY", 4)
    compiled = {}  # what is compiled does not depend on where training is cut

    def build_run(cell, seeds, iterations, block):
        return compiled.setdefault((cell, seeds), training.build_run(cell, seeds, iterations, block))

    monkeypatch.setattr(study, "build_run", build_run)


def test_grid_is_the_papers_with_the_printed_cells_first():
    assert len(GRID) == len(set(GRID)) == 35
    assert {(cell.steps, cell.dimensions) for cell in GRID} == {(steps, size) for steps in STEPS for size in DIMENSIONS}
    assert GRID[:3] == PAPER_CELLS == parse_cells(["3x10", "3x2", "20x2"])
    assert [cell.model for cell in PAPER_CELLS] == ["VFlow", "Glow", "Glow"]


@pytest.mark.parametrize(
    ("name", "prior_steps", "posterior_steps"),
    [("20x2", 20, 0), ("3x10", 2, 1), ("2x4", 1, 1), ("2x3", 2, 0), ("2x3-gaussian_step", 1, 1), ("3x10-normal", 3, 0)],
)
def test_a_step_in_the_posterior_counts_among_the_steps(name, prior_steps, posterior_steps):
    (cell,) = parse_cells([name])
    assert (cell.prior_steps, cell.posterior_steps) == (prior_steps, posterior_steps)


@pytest.mark.parametrize(
    "name",
    ["3", "x3", "3x", "ax2", "3x1", "1x4", "-1x2", "3x2-normal", "3x10-flow", "2x4-gaussian_step", "1x3-gaussian_step"],
)
def test_what_is_no_cell_is_named(name):
    with pytest.raises(ValueError, match="cell"):
        parse_cells([name])


@pytest.mark.slow
def test_command_writes_a_record_once_and_goes_on_where_it_was(short_blocks, tmp_path, capsys, monkeypatch):
    whole, cut = (["run.py", "--cells=1x2", "--iterations=10", "--seeds=2", f"--workdir={tmp_path / name}",
                   f"--results_dir={tmp_path / name / 'obtained'}"] for name in ("whole", "cut"))  # fmt: skip
    assert main(whole) == 0
    (record,) = load_log_likelihoods(tmp_path / "whole/obtained")["vflow", "checkerboard"]
    assert (record.model, record.steps, record.dimensions, record.iterations) == ("Glow", 1, 2, 10)
    assert record.importance_samples is None and record.elbos == record.log_likelihoods
    assert record.parameters == 2 + 2 + 4 + (50 + 50) + (2500 + 50) + (100 + 2)
    assert [step for step, _ in record.training_curve] == [4, 8, 10]
    assert -7.2 < record.mean < -3.4657  # the first is of N(0, I)

    with monkeypatch.context() as patch:
        save = progress.Progress.save

        def save_and_stop(self):
            save(self)
            raise KeyboardInterrupt

        patch.setattr(progress.Progress, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            main(cut)
    assert main(cut) == 0
    (resumed,) = load_log_likelihoods(tmp_path / "cut/obtained")["vflow", "checkerboard"]
    assert resumed.log_likelihoods == record.log_likelihoods
    assert resumed.training_curve == record.training_curve

    capsys.readouterr()
    monkeypatch.setattr(study, "run_cell", None)  # calling it would fail
    assert main(whole) == 0
    assert "1 of 1 cells already have a record" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_with_a_normal_posterior_has_a_record_of_its_own(tmp_path):
    def run(cells):
        return main(["run.py", f"--cells={cells}", "--iterations=2", "--seeds=2", f"--workdir={tmp_path / 'work'}",
                     f"--results_dir={tmp_path / 'obtained'}"])  # fmt: skip

    assert run("2x4,2x4-normal") == 0
    own, normal = load_log_likelihoods(tmp_path / "obtained")["vflow", "checkerboard"]
    assert (own.variant, normal.variant) == ("", "normal")
    assert normal.name == f"{own.name}-normal" and normal.importance_samples == 100
    assert len(list((tmp_path / "work").iterdir())) == 2
    assert parse_cells(["2x4-normal"]) == (Cell(2, 4, normal_posterior=True),)


def test_a_cell_of_another_process_is_left_to_it(tmp_path, capsys):
    directory = study.cell_directory(CELL, 10, 2, tmp_path)
    directory.mkdir(parents=True)
    with lock_workdir(directory):
        assert study.run_cells([CELL], 10, 2, tmp_path, tmp_path / "obtained") == []
    assert "another process" in capsys.readouterr().out
    assert load_log_likelihoods(tmp_path / "obtained") == {}


def test_a_diverged_cell_is_named_and_the_others_run(tmp_path, capsys, monkeypatch):
    ran = []

    def run_cell(cell, *_):
        ran.append(cell)
        raise ArithmeticError("not finite")

    monkeypatch.setattr(study, "run_cell", run_cell)
    assert study.run_cells([CELL, Cell(2, 2)], 10, 2, tmp_path, tmp_path / "obtained") == ["1x2", "2x2"]
    assert ran == [CELL, Cell(2, 2)] and "1x2: not finite" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_is_not_taken_over(tmp_path):
    state = progress.Progress(CELL, [0, 1], 10, tmp_path)
    before = state.state
    with pytest.raises(ArithmeticError, match="not finite"):
        state.advance(before, 4, np.array([1.0, np.nan]), 1.0)
    assert state.iteration == 0


def test_a_directory_of_other_seeds_is_refused(tmp_path):
    progress.Progress(CELL, [0, 1], 10, tmp_path).save()
    with pytest.raises(ValueError, match="workdir"):
        progress.Progress(CELL, [0, 1, 2], 10, tmp_path)


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--cells=3", "STEPSxDIMENSIONS"), ("--iterations=0", "iterations"), ("more", "Unknown arguments")],
)
def test_wrong_arguments_are_named(argument, message, capsys):
    assert main(["run.py", argument]) == 1
    assert message in capsys.readouterr().err
