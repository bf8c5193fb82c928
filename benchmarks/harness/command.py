"""The training command as a measured process: `reproductions/PAPER/run.py FLAGS`, cut off after some steps."""

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
    """The command failed; the message ends as its standard error does."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of the command showed.

    Attributes:
      events: `{part: seconds}` from the command to the part's end, in their order.
      steps: `(step, seconds)`, seconds from the command to the end of the call that the step ended with.
      peak_memory_mib: Largest resident set.
      finished: Whether it came to its last step before `limit`.
      forward_pass: Seconds of a traced forward pass of the init batch, if that was asked for.
    """

    events: dict[str, float]
    steps: tuple[tuple[int, float], ...]
    peak_memory_mib: float
    finished: bool
    forward_pass: float | None = None

    def seconds_per_step(self, after: int) -> float:
        """Median seconds a step over the calls that end later than step `after`."""
        times = [
            (seconds - before) / (step - previous)
            for (previous, before), (step, seconds) in zip(self.steps, self.steps[1:], strict=False)
            if previous >= after
        ]
        return float(np.median(times))

    def block_seconds(self, block: int) -> list[float]:
        """Means of seconds a step over consecutive stretches of at least `block` steps, without the first call."""
        means, (last, last_seconds) = [], self.steps[0]
        for step, seconds in self.steps[1:]:
            if step - last >= block:
                means.append((seconds - last_seconds) / (step - last))
                last, last_seconds = step, seconds
        return means

    def first_step_seconds(self) -> float:
        """Seconds from the data-dependent init to the end of the first call: tracing, compiling and running it."""
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
      flags: Those of run.py, but for `--workdir` and `--steps`.
      num_steps: Step after which it is cut off.
      paper: Folder under `reproductions/`.
      limit: Seconds after which it is stopped.
      environment: Variables beside those of every benchmark.
      forward_pass: Whether to time a forward pass of the init batch at the end.

    Raises:
      CommandError: if it fails.
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
) -> Iterator[Callable[[float], Run]]:
    """Starts the command and gives the function that waits for its `Run`; for several at once."""
    with tempfile.TemporaryDirectory() as directory:
        result, errors = pathlib.Path(directory, "result.json"), pathlib.Path(directory, "errors")
        command = [sys.executable, "-m", "benchmarks.harness.command_process", paper, repr(time.time()), str(num_steps)]
        # Steps beyond those wanted, so that the last one wanted is a step like any other.
        command += [str(result), *flags, f"--workdir={directory}/workdir", f"--steps={num_steps + 1}"]
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
