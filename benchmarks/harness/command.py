"""The training command as a measured process: `reproductions/PAPER/run.py FLAGS`, stopped after some steps."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.harness.environment import ROOT, VARIABLES


class CommandError(RuntimeError):
    """The command failed; the message ends with the last lines of its standard error."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of the command showed.

    Attributes:
      events: `{part: seconds}` from the start of the command to the end of the part, in order.
      steps: Pairs `(step, seconds)`: seconds from the start of the command to the end of the call that ended with this step.
      peak_memory_mib: Largest resident set in MiB.
      finished: Whether it reached its last step before `limit`.
      forward_pass: Seconds of a traced forward pass of the init batch, if requested.
    """

    events: dict[str, float]
    steps: tuple[tuple[int, float], ...]
    peak_memory_mib: float
    finished: bool
    forward_pass: float | None = None

    def seconds_per_step(self, after: int) -> float:
        """Median seconds per step over the calls that start at step `after` or later."""
        times = [
            (seconds - before) / (step - previous)
            for (previous, before), (step, seconds) in zip(self.steps, self.steps[1:], strict=False)
            if previous >= after
        ]
        return float(np.median(times))

    def block_seconds(self, block: int) -> list[float]:
        """Mean seconds per step over consecutive stretches of at least `block` steps, without the first call."""
        means, (last, last_seconds) = [], self.steps[0]
        for step, seconds in self.steps[1:]:
            if step - last >= block:
                means.append((seconds - last_seconds) / (step - last))
                last, last_seconds = step, seconds
        return means

    def first_step_seconds(self) -> float:
        """Seconds from the end of the data-dependent init to the end of the first call, which traces, compiles and runs."""
        return self.steps[0][1] - self.events["initialization"]


def run_command(
    flags: Sequence[str],
    num_steps: int,
    *,
    paper: str = "glow",
    limit: float = 300,
    environment: Mapping[str, str] | None = None,
    forward_pass: bool = False,
) -> Run:
    """Runs the command to step `num_steps`, in a workdir of its own.

    Args:
      flags: Flags of run.py other than `--workdir` and `--steps`.
      num_steps: Step after which it is stopped.
      paper: Folder under `reproductions/`.
      limit: Seconds after which it is stopped.
      environment: Environment variables in addition to those of every benchmark.
      forward_pass: Whether to time a forward pass of the init batch at the end.

    Raises:
      CommandError: If the command fails.
    """
    with started(flags, num_steps, paper=paper, environment=environment, forward_pass=forward_pass) as wait:
        return wait(limit)


@contextlib.contextmanager
def started(
    flags: Sequence[str],
    num_steps: int,
    *,
    paper: str = "glow",
    environment: Mapping[str, str] | None = None,
    forward_pass: bool = False,
    workdir: str | os.PathLike | None = None,
) -> Iterator[Callable[[float], Run]]:
    """Starts the command, so that several can run at once.

    Args:
      flags: As for `run_command`.
      num_steps: As for `run_command`.
      paper: As for `run_command`.
      environment: As for `run_command`.
      forward_pass: As for `run_command`.
      workdir: The working directory, which workers that train together share; None: one of its own.

    Yields:
      A function `limit -> Run` that waits for the command, at most `limit` seconds. It raises `CommandError` if that fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        result, errors = pathlib.Path(directory, "result.json"), pathlib.Path(directory, "errors")
        command = [sys.executable, "-m", "benchmarks.harness.command_process", paper, repr(time.time()), str(num_steps)]
        # One step more than requested, so that the last requested one is like any other.
        # The whole batch at a time, unless the flags say otherwise: as what it is compared with, and on any number of cores.
        command += [
            str(result),
            "--side_by_side=1",
            *flags,
            f"--workdir={workdir or pathlib.Path(directory, 'workdir')}",
            f"--steps={num_steps + 1}",
        ]
        options = {"BENCHMARK_FORWARD_PASS": "1"} if forward_pass else {}
        variables = os.environ | VARIABLES | options | (environment or {})
        with open(errors, "w") as stream:
            process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=stream, stderr=stream)

        def wait(limit):
            finished = True
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                finished = False
            if finished and process.returncode:
                tail = "\n".join(errors.read_text().strip().splitlines()[-4:])
                raise CommandError(f"reproductions/{paper}/run.py {' '.join(flags)} failed:\n{tail}")
            content = json.loads(result.read_text()) if result.exists() else {"events": [], "steps": []}
            return Run(
                dict(content["events"]),
                tuple(map(tuple, content["steps"])),
                content.get("peak_memory_mib", float("nan")),
                finished,
                content.get("forward_pass"),
            )

        try:
            yield wait
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
