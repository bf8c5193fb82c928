"""The queue of the claims study: `python reproductions/claims/run.py --data_dir=DIR`; `--list` says what is left of it.

One run at a time, each resumable: stopped at any moment, the same command goes on, and minutes are lost. What a finished
run leaves goes to `results/claims` (`runs`, `per_image`, `gradient_norms`), so that another machine that has it does not
repeat the run. A run that diverged is noted in `results/claims/diverged` and left; one that failed otherwise is tried again
at the next start. The rates are chosen on the way, see `rates`, and written to `results/claims/rates.json`.
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
from reproductions.claims import estimates, outcomes, unfinished
from reproductions.claims.arms import ArmRun
from reproductions.claims.rates import choose_rate, rate_of
from reproductions.claims.study import PAPERS, RUNS, TRIALS, is_trial, side_by_side
from reproductions.reporting.provenance import git_commit

ROOT = pathlib.Path(__file__).parents[2]

# The kernels of models this small are faster on one thread each, side by side (0.20 against 0.23 s a step of Flow++).
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}
CHECKPOINT_EVERY = 500
# Nobody looks at the samples; of some models they take long.
ONE_PICTURE = ("--samples=1", "--temperature=1")
ERRORS_FILE = "errors.txt"
# So many in a row have one cause, such as missing data.
MOST_FAILURES = 3


def workdir_of(run: ArmRun, directory: str | os.PathLike) -> pathlib.Path:
    """Where a run lives."""
    return pathlib.Path(directory) / run.paper / f"{run.experiment}-seed{run.seed}"


def is_finished(run: ArmRun, directory: str | os.PathLike) -> bool:
    """Whether its result record is there."""
    return any((workdir_of(run, directory) / "results").glob("*/*.json"))


def command_of(
    run: ArmRun, directory: str | os.PathLike, data_dir: str | None = None, rate: float | None = None
) -> list[str]:
    """The command line of a run, from the repository's root; rate: the peak learning rate, None for the experiment's own."""
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
    """Whether nothing is left to do: kept, or diverged."""
    return outcomes.has_diverged(run, results) or outcomes.is_kept(run, results)


def choose_rates(results: str | os.PathLike) -> dict[str, float | None]:
    """Chooses the rates of those papers whose trials have ended. Returns `{paper: rate}`, None where it cannot be chosen yet."""
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
    """Runs a command to its end; SIGTERM and SIGINT stop it, and it saves what it has.

    Args:
      command: List of words.
      errors: File that gets what it writes to standard error.

    Returns:
      `(exit code, whether it was stopped)`.
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
    """This process's, but the path: a run imports this repository's code and no other."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def lock(directory: pathlib.Path) -> Iterator[None]:
    """Holds the queue's folder; exits if another queue does."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".queue.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Another queue is at work in {directory}; stop it first, or give another --workdir.")
        yield


def work(runs: Sequence[ArmRun], arguments: argparse.Namespace) -> None:
    """Does the runs that are left, one after the other."""
    results, directory = arguments.results, arguments.workdir
    commit = git_commit(pathlib.Path(tfflows.__file__).parent)
    failures = 0
    for number, run in enumerate(runs, start=1):
        if is_done(run, results):
            continue
        rate = None if is_trial(run) else choose_rates(results)[run.paper]
        title = f"{number}/{len(runs)} {run.paper} {run.experiment} seed {run.seed}"
        if rate is None and not is_trial(run):
            print(f"{title}: left, {run.paper} has no rate.", flush=True)
            continue
        workdir = workdir_of(run, directory)
        if not is_finished(run, directory):
            unfinished.take_back(run, workdir, results)
            command = command_of(run, directory, arguments.data_dir, rate)
            print(f"{title}: {shlex.join(command[1:])}", flush=True)
            code, stopped = execute(command, workdir / ERRORS_FILE)
            if stopped:
                sys.exit(f"{title}: stopped; the same command goes on from here.")
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
                print(f"{title}: FAILED with exit code {code}; its end:\n{errors[-2000:]}", flush=True)
                if failures == MOST_FAILURES:
                    sys.exit(f"{failures} runs failed one after the other: mend the cause, then give the same command.")
                continue
        failures = 0
        outcomes.keep(run, workdir, results)
        outcomes.forget_workdir(workdir)
        unfinished.drop(run, results)
    choose_rates(results)


def _own_rate(run):
    """The rate that a trial tries."""
    return float(run.experiment.rpartition("_")[2])


def show(runs: Sequence[ArmRun], arguments: argparse.Namespace) -> None:
    """Prints what is left, with the hours that it will take."""
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
        print(f"peak rate of {paper}: {rate_of(paper, arguments.results) or 'not chosen yet'}")
    print(f"{len(left)} of {len(runs)} runs are left, about {total:.1f} hours.")


def main() -> None:
    """Runs the queue, or lists it, or keeps checkpoints of what it leaves unfinished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default=None, help="TFDS directory with cifar10; default: $TFDS_DATA_DIR")
    parser.add_argument("--workdir", default=pathlib.Path("workdirs/claims"), type=pathlib.Path, help="a folder a run")
    parser.add_argument("--results", default=pathlib.Path("results"), type=pathlib.Path, help="where results go")
    parser.add_argument("--paper", default=None, choices=PAPERS, help="only this paper's runs")
    parser.add_argument("--list", action="store_true", help="print what is left and how long it takes, and exit")
    parser.add_argument(
        "--keep_unfinished",
        action="store_true",
        help="copy the newest checkpoints of unfinished runs of over an hour to results/claims/unfinished, where the queue finds "
        "them on another machine, and exit",
    )
    arguments = parser.parse_args()
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
