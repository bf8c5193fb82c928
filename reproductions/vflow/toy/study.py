"""The queue of the study, which trains and evaluates each cell that has no record yet."""

import math
import os
import pathlib
import time
from collections.abc import Sequence

import tensorflow as tf

from reproductions.reporting.provenance import collect_provenance
from reproductions.vflow.toy.bound import count_parameters
from reproductions.vflow.toy.cells import BATCH_SIZE, IMPORTANCE_SAMPLES, TEST_POINTS, Cell
from reproductions.vflow.toy.evaluation import evaluate
from reproductions.vflow.toy.log_likelihoods import LogLikelihoodRecord, file_name, path_of, write_log_likelihoods
from reproductions.vflow.toy.progress import Progress
from reproductions.vflow.toy.training import BLOCK, build_run
from tfflows.progress import Task
from tfflows.training.workdir import WorkdirError, lock_workdir

PAPER, DATASET = "vflow", "checkerboard"
# Iterations between two checkpoints, and seconds between two progress lines.
_CHECKPOINT_EVERY = 10 * BLOCK
_SECONDS_A_LINE = 30


def record_path(cell: Cell, iterations: int, num_seeds: int, results_dir: str | os.PathLike) -> pathlib.Path:
    """Returns the path of the record of a cell."""
    return path_of(results_dir, PAPER, DATASET, _name(cell, iterations, num_seeds))


def cell_directory(cell: Cell, iterations: int, num_seeds: int, workdir: str | os.PathLike) -> pathlib.Path:
    """Returns the directory of the training of a cell."""
    return pathlib.Path(workdir) / _name(cell, iterations, num_seeds)


def run_cells(
    cells: Sequence[Cell], iterations: int, num_seeds: int, workdir: str | os.PathLike, results_dir: str | os.PathLike
) -> list[str]:
    """Runs the cells without a record, one after the other, except those that another process is running.

    Args:
      cells: Cells to run.
      iterations: Number of training iterations.
      num_seeds: Number of seeds.
      workdir: Directory of the training states.
      results_dir: Directory of the records.

    Returns:
      Names of the cells whose training diverged.
    """
    rest = [cell for cell in cells if not record_path(cell, iterations, num_seeds, results_dir).exists()]
    print(f"{len(cells) - len(rest)} of {len(cells)} cells already have a record.", flush=True)
    diverged = []
    pace = _Pace(rest, iterations)
    for cell in rest:
        directory = cell_directory(cell, iterations, num_seeds, workdir)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with lock_workdir(directory):
                if record_path(cell, iterations, num_seeds, results_dir).exists():
                    continue  # the other process has finished it
                record = run_cell(cell, iterations, num_seeds, directory, pace)
        except WorkdirError:
            print(f"{cell.name}: another process is running it.", flush=True)
            continue
        except ArithmeticError as error:
            print(f"{cell.name}: {error}", flush=True)
            diverged.append(cell.name)
            continue
        path = write_log_likelihoods(record, results_dir)
        deviation = f" ± {record.standard_deviation:.4f}" if len(record.seeds) > 1 else ""
        print(f"{cell.name}: {record.mean:.4f}{deviation} nats, {path}", flush=True)
    return diverged


def run_cell(
    cell: Cell, iterations: int, num_seeds: int, directory: str | os.PathLike, pace: "_Pace | None" = None
) -> LogLikelihoodRecord:
    """Trains a cell, resuming from its directory, and evaluates it.

    Args:
      cell: The cell.
      iterations: Number of training iterations.
      num_seeds: Number of seeds.
      directory: Directory of the training.
      pace: Estimate of the remaining time, for progress lines; None prints none.

    Raises:
      ArithmeticError: If the loss is not finite.
      ValueError: If the directory belongs to a different training.
    """
    seeds = range(num_seeds)
    progress = train_cell(cell, iterations, seeds, directory, pace)
    found = evaluate(cell, progress.state.parameters, seeds, TEST_POINTS, IMPORTANCE_SAMPLES)
    values = found.importance_weighted
    provenance = collect_provenance()
    return LogLikelihoodRecord(
        paper=PAPER,
        dataset=DATASET,
        model=cell.model,
        variant=cell.variant,
        steps=cell.steps,
        dimensions=cell.dimensions,
        iterations=iterations,
        batch_size=BATCH_SIZE,
        seeds=tuple(seeds),
        test_points=TEST_POINTS,
        importance_samples=IMPORTANCE_SAMPLES if cell.latent_dimensions else None,
        log_likelihoods=values.mean(axis=1).tolist(),
        standard_errors=(values.std(axis=1, ddof=1) / math.sqrt(TEST_POINTS)).tolist(),
        elbos=found.elbo.mean(axis=1).tolist(),
        parameters=count_parameters(cell),
        training_curve=progress.curve(),
        seconds=progress.seconds,
        **provenance,
    )


def train_cell(
    cell: Cell, iterations: int, seeds: Sequence[int], directory: str | os.PathLike, pace: "_Pace | None" = None
) -> Progress:
    """Trains a cell up to `iterations` iterations, resuming from its directory; arguments as in `run_cell`."""
    progress = Progress(cell, seeds, iterations, directory)
    run = build_run(cell, seeds, iterations, BLOCK)
    said, is_first = time.monotonic(), True
    while progress.iteration < iterations:
        begin, start = time.monotonic(), progress.iteration
        count = min(BLOCK, iterations - start)
        # Compiling is shown as a task; the iterations have lines of their own, see below.
        with Task(f"{cell.name}: first iterations", count, compiles=is_first) as task:
            state, losses = run(progress.state, tf.constant(start, tf.int64), tf.constant(count, tf.int64))
            losses = losses.numpy()
            if is_first:
                task.update(count)
        is_first = False
        end = time.monotonic()
        progress.advance(state, count, losses, end - begin)
        if progress.iteration % _CHECKPOINT_EVERY == 0 or progress.iteration == iterations:
            progress.save()
        if pace is not None and end - said > _SECONDS_A_LINE:
            said = end
            milliseconds = 1000 * (end - begin) / count
            print(
                f"{cell.name}: iteration {progress.iteration:,} of {iterations:,}, training bound {-losses.mean():.3f} nats, "
                f"{milliseconds:.2f} ms per iteration, {pace.left(cell, progress.iteration, milliseconds)} left",
                flush=True,
            )
    return progress


def _name(cell, iterations, num_seeds):
    return file_name(cell.steps, cell.dimensions, iterations, num_seeds, cell.variant)


class _Pace:
    """Estimate of the remaining time: an iteration takes time proportional to the cell's steps, and twice as much for D = 10."""

    def __init__(self, cells, iterations):
        self._cells = cells
        self._iterations = iterations

    def left(self, cell, iteration, milliseconds):
        later = self._cells[self._cells.index(cell) + 1 :]
        share = sum(map(self._cost, later)) / self._cost(cell)
        seconds = milliseconds / 1000 * (self._iterations - iteration + share * self._iterations)
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes:02d} min"

    @staticmethod
    def _cost(cell):
        return cell.steps * (1 + (cell.dimensions - 2) / 8)
