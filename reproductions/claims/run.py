"""The queue of the claims study: `python reproductions/claims/run.py --data_dir=DIR`. `--list` shows the remaining runs.

The queue does one run at a time, and can be stopped at any moment: the same command resumes it and loses only minutes. The
outcome of a finished run goes to `results/claims` (`runs`, `per_image`, `gradient_norms`), so that another machine with these
files does not repeat the run. A run that diverged is noted in `results/claims/diverged` and not repeated. A run that failed for
another reason is tried again at the next start. The queue also chooses the learning rates, see `rates`, and writes them to
`results/claims/rates.json`.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import tfflows
from reproductions.checkout import ROOT, in_checkout
from reproductions.claims import estimates, outcomes, unfinished
from reproductions.claims.arms import ArmRun
from reproductions.claims.rates import choose_rate, rate_of
from reproductions.claims.study import PAPERS, RUNS, TRIALS, is_trial, side_by_side
from reproductions.reporting.provenance import git_commit

# For models this small, one thread per kernel, side by side, is faster (0.20 instead of 0.23 s per step of Flow++).
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}
CHECKPOINT_EVERY = 500
# Nobody looks at the samples, and those of some models take long.
ONE_PICTURE = ("--samples=1", "--temperature=1")
ERRORS_FILE = "errors.txt"
# This many failures in a row have a common cause, such as missing data.
MOST_FAILURES = 3


def workdir_of(run: ArmRun, directory: str | os.PathLike) -> pathlib.Path:
    """Returns the workdir of a run."""
    return pathlib.Path(directory) / run.paper / f"{run.experiment}-seed{run.seed}"


def is_finished(run: ArmRun, directory: str | os.PathLike) -> bool:
    """Returns whether the workdir of a run has a result record."""
    return any((workdir_of(run, directory) / "results").glob("*/*.json"))


def command_of(
    run: ArmRun, directory: str | os.PathLike, data_dir: str | None = None, rate: float | None = None
) -> list[str]:
    """Returns the command line of a run, relative to the root of the repository.

    Args:
      run: The run.
      directory: Directory of the workdirs.
      data_dir: TFDS directory; None for the default.
      rate: Peak learning rate; None for that of the experiment.
    """
    command = [
        sys.executable,
        f"reproductions/{run.paper}/run.py",
        f"--experiment={run.experiment}",
        f"--seed={run.seed}",
        f"--side_by_side={side_by_side(run)}",
        f"--checkpoint_every={CHECKPOINT_EVERY}",
        *ONE_PICTURE,
        f"--workdir={workdir_of(run, directory)}",
    ]
    command += [] if rate is None else [f"--set=learning_rate={rate:g}"]
    return command if data_dir is None else [*command, f"--data_dir={data_dir}"]


def is_done(run: ArmRun, results: str | os.PathLike) -> bool:
    """Returns whether a run needs no more work: it is among the results, or it diverged."""
    return outcomes.has_diverged(run, results) or outcomes.is_kept(run, results)


def choose_rates(results: str | os.PathLike) -> dict[str, float | None]:
    """Chooses the rates of the papers whose trials have ended.

    Args:
      results: The results directory.

    Returns:
      Rates by paper; None for a paper whose rate cannot be chosen yet.
    """
    records = outcomes.records_of(results, trials=True)
    rates = {}
    for paper in PAPERS:
        own = {name: record for (of, name, _), record in records.items() if of == paper}
        diverged = {run.experiment for run in TRIALS if run.paper == paper and outcomes.has_diverged(run, results)}
        try:
            rates[paper] = choose_rate(paper, own, diverged, results)
        except ValueError as error:
            print(f"{paper}: {error}", flush=True)
            rates[paper] = None
    return rates


def execute(command: Sequence[str], errors: pathlib.Path) -> tuple[int, bool]:
    """Runs a command to its end. SIGTERM and SIGINT stop it, after it has saved a checkpoint.

    Args:
      command: Words of the command.
      errors: File for its standard error.

    Returns:
      The exit code, and whether the command was stopped.
    """
    stopped = []
    errors.parent.mkdir(parents=True, exist_ok=True)
    with open(errors, "wb") as file:
        child = subprocess.Popen(command, stderr=file, env=THREADS | {"PYTHONPATH": str(ROOT)} | _environment())

        def stop(number, frame):
            del frame
            stopped.append(number)
            child.terminate()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return child.wait(), bool(stopped)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _environment():
    """The environment of this process, except for the path, so that a run imports only the code of this repository."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def lock(directory: pathlib.Path) -> Iterator[None]:
    """Locks the directory of the queue; exits if another queue holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".queue.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Another queue is running in {directory}; stop it first, or give a different --workdir.")
        yield


def work(runs: Sequence[ArmRun], arguments: argparse.Namespace) -> None:
    """Does the remaining runs, one after the other."""
    results, directory = arguments.results, arguments.workdir
    commit = git_commit(pathlib.Path(tfflows.__file__).parent)
    failures = 0
    for number, run in enumerate(runs, start=1):
        if is_done(run, results):
            continue
        rate = None if is_trial(run) else choose_rates(results)[run.paper]
        title = f"{number}/{len(runs)} {run.paper} {run.experiment} seed {run.seed}"
        if rate is None and not is_trial(run):
            print(f"{title}: skipped, because {run.paper} has no learning rate yet.", flush=True)
            continue
        workdir = workdir_of(run, directory)
        if not is_finished(run, directory):
            unfinished.take_back(run, workdir, results)
            command = command_of(run, directory, arguments.data_dir, rate)
            print(f"{title}: {shlex.join(command[1:])}", flush=True)
            code, stopped = execute(command, workdir / ERRORS_FILE)
            if stopped:
                sys.exit(f"{title}: stopped. Run the same command again to continue.")
            errors = (workdir / ERRORS_FILE).read_text(errors="replace")
            if not is_finished(run, directory):
                message = outcomes.not_finite(errors) if code else None
                if message is not None:
                    print(f"{title}: diverged. {message}", flush=True)
                    outcomes.keep_diverged(run, message, rate or _own_rate(run), commit, results)
                    outcomes.forget_workdir(workdir)
                    failures = 0
                    continue
                failures += 1
                print(f"{title}: FAILED with exit code {code}; the end of its output:\n{errors[-2000:]}", flush=True)
                if failures == MOST_FAILURES:
                    sys.exit(f"{failures} runs failed in a row. Fix the cause, then run the same command again.")
                continue
        failures = 0
        outcomes.keep(run, workdir, results)
        outcomes.forget_workdir(workdir)
        unfinished.drop(run, results)
    choose_rates(results)


def _own_rate(run):
    """The learning rate of a trial."""
    return float(run.experiment.rpartition("_")[2])


def show(runs: Sequence[ArmRun], arguments: argparse.Namespace) -> None:
    """Prints the remaining runs with the estimated hours."""
    left = [run for run in runs if not is_done(run, arguments.results)]
    records = list(outcomes.records_of(arguments.results).values())
    records += outcomes.records_of(arguments.results, trials=True).values()
    total = 0.0
    for run in left:
        step = unfinished.newest_step(workdir_of(run, arguments.workdir))
        hours = estimates.hours_of(run, records, step or 0)
        total += hours
        begun = f", at step {step}" if step else ""
        print(f"{hours:6.2f} h  {run.paper} {run.experiment} seed {run.seed}{begun}")
    for run in runs:
        if outcomes.has_diverged(run, arguments.results):
            print(f"diverged  {run.paper} {run.experiment} seed {run.seed}")
    for paper in PAPERS:
        print(f"peak learning rate of {paper}: {rate_of(paper, arguments.results) or 'not chosen yet'}")
    print(f"{len(left)} of {len(runs)} runs remain, about {total:.1f} hours.")


def main() -> None:
    """Runs the queue, lists it, or copies the checkpoints of unfinished runs to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default=None, help="TFDS directory with cifar10 (default: $TFDS_DATA_DIR)")
    parser.add_argument(
        "--workdir", default=pathlib.Path("workdirs/claims"), type=pathlib.Path, help="directory of the runs"
    )
    parser.add_argument("--results", default=pathlib.Path("results"), type=pathlib.Path, help="results directory")
    parser.add_argument("--paper", default=None, choices=PAPERS, help="do only the runs of this paper")
    parser.add_argument("--list", action="store_true", help="print the remaining runs and how long they take, and exit")
    parser.add_argument(
        "--keep_unfinished",
        action="store_true",
        help="copy the newest checkpoints of unfinished runs that took over an hour to results/claims/unfinished, so that the "
        "queue on another machine can continue them, and exit",
    )
    arguments = parser.parse_args()
    if not in_checkout():
        parser.error("the queue needs a checkout of the repository, with its results; an installed package has none.")
    os.chdir(ROOT)
    runs = [run for run in RUNS if arguments.paper in (None, run.paper)]
    if arguments.list:
        show(runs, arguments)
    elif arguments.keep_unfinished:
        for run in runs:
            workdir = workdir_of(run, arguments.workdir)
            if not is_done(run, arguments.results) and unfinished.keep(run, workdir, arguments.results):
                print(unfinished.path_of(run, arguments.results))
    else:
        with lock(arguments.workdir):
            work(runs, arguments)


if __name__ == "__main__":
    main()
