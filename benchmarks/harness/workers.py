"""Subjects in processes of their own, called in turn.

Two libraries in one process share its cores badly: their thread pools spin for a while after each call. A worker that waits on
its pipe takes no processor time, so subjects can be timed in turn, each as it runs in a program of its own.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from benchmarks.harness.environment import ROOT, VARIABLES
from benchmarks.harness.timing import timed

# Tasks, `{name: function without arguments that returns when its work is done}`, and facts about the subject.
Subject = tuple[Mapping[Hashable, Callable[[], object]], Mapping[str, object]]


class WorkerError(RuntimeError):
    """A worker failed; the message is its traceback."""


class MissingPackageError(WorkerError):
    """A worker needs a package that is not installed."""


class Worker:
    """A process that holds the tasks of one subject.

    Args:
      make: A module-level function that is called in the process as `make(*arguments)` and returns `(tasks, facts)`.
      arguments: Arguments of `make`; they must be picklable.
      python: Interpreter of another environment; None: this one.
    """

    def __init__(self, make: Callable[..., Subject], arguments: Sequence = (), python: pathlib.Path | None = None):
        self._pipe, theirs = multiprocessing.Pipe()
        command = [python or sys.executable, "-m", "benchmarks.harness.workers", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        self._pipe.send((make, tuple(arguments)))

    @property
    def process(self) -> int:
        """Id of the process."""
        return self._process.pid

    def facts(self) -> Mapping[str, object]:
        """Waits until the subject is built; returns the facts of `make`, and under `tasks` the names of the tasks."""
        return self._answer()

    def call(self, task: Hashable) -> Callable[[int], list[float]]:
        """A function that takes a number of calls, makes them in the process and returns their seconds; see `timing.timed`."""

        def call(times):
            self._pipe.send((task, times))
            return self._answer()

        return call

    def peak_memory_mib(self) -> float:
        """Largest resident set of the process so far, in MiB."""
        self._pipe.send((None, 0))
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def _answer(self):
        try:
            kind, answer = self._pipe.recv()
        except EOFError:
            raise WorkerError(f"A worker ended with status {self._process.wait()}; was it out of memory?") from None
        if kind == "missing":
            raise MissingPackageError(answer)
        if kind == "error":
            raise WorkerError(answer)
        return answer


@contextlib.contextmanager
def workers(
    makers: Mapping[str, tuple[Callable[..., Subject], Sequence]],
    pythons: Mapping[str, pathlib.Path] | None = None,
) -> Iterator[tuple[dict[str, Worker], dict[str, Mapping[str, object]], list[str]]]:
    """Starts a worker for each subject.

    A subject whose package is not installed is left out, and a message says so.

    Args:
      makers: `{subject: (make, arguments)}`, see `Worker`.
      pythons: `{subject: interpreter}` of those that run in another environment.

    Yields:
      `({subject: Worker}, {subject: facts}, messages)`.
    """
    os.environ.update(VARIABLES)  # spawned processes inherit them
    with contextlib.ExitStack() as stack:
        started, facts, messages = {}, {}, []
        for subject, (make, arguments) in makers.items():
            # One at a time, since building takes both cores.
            python = (pythons or {}).get(subject)
            if python is not None and not python.exists():
                messages.append(f"{subject} was not measured: there is no environment {python.parents[1].name}.")
                print(f"{messages[-1]} `make bench` makes it.", flush=True)
                continue
            worker = Worker(make, arguments, python)
            stack.callback(worker.close)
            try:
                facts[subject] = worker.facts()
                started[subject] = worker
            except MissingPackageError as error:
                messages.append(f"{subject} was not measured: {error}.")
                print(f"{messages[-1]} `make bench` installs it (pip install '.[bench]').", flush=True)
        yield started, facts, messages


def _serve(pipe):
    try:
        make, arguments = pipe.recv()
        tasks, facts = make(*arguments)
    except ModuleNotFoundError as error:
        pipe.send(("missing", f"the package {error.name!r} is not installed"))
        return
    except Exception:
        pipe.send(("error", traceback.format_exc()))
        return
    calls = {name: timed(task) for name, task in tasks.items()}
    pipe.send(("facts", {**facts, "tasks": tuple(tasks)}))
    while True:
        try:
            task, times = pipe.recv()
        except EOFError:
            return
        try:
            if task is None:
                # Kilobytes on Linux.
                answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            else:
                answer = calls[task](times)
        except Exception:
            pipe.send(("error", traceback.format_exc()))
            return
        pipe.send(("answer", answer))


if __name__ == "__main__":
    _serve(multiprocessing.connection.Connection(int(sys.argv[1])))
