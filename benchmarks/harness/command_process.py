"""Runs the true training command in this process and records when its parts end.

    python -m benchmarks.harness.command_process PAPER STARTED STEPS RESULT FLAG ...

PAPER is the folder under `reproductions/`. STARTED is the time (`time.time()`) at which the command was given. STEPS is the step
after which it is stopped, so that no evaluation and no samples follow. RESULT is a JSON file that is rewritten at every event, so
that it shows how far a stopped process came. The flags are those of the paper's `run.py`.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Sequence

from benchmarks.harness.environment import ROOT, limit_tensorflow

# Set if a forward pass should be timed as well.
FORWARD_PASS = "BENCHMARK_FORWARD_PASS"


class Events:
    """Names and times of events in seconds since the command was given, kept up to date on disk."""

    def __init__(self, started: float, path: str):
        self._started, self._path = started, pathlib.Path(path)
        self._content = {"events": [], "steps": []}

    def mark(self, name: str) -> None:
        """Records that the part `name` has ended."""
        self._content["events"].append([name, time.time() - self._started])
        self._write()

    def step(self, number: int) -> None:
        """Records that the call that ends with step `number` has ended."""
        self._content["steps"].append([number, time.time() - self._started])
        # A step may take only a millisecond; of a stopped process only the first ones are needed.
        if len(self._content["steps"]) <= 3:
            self._write()

    def finish(self, **results: float) -> None:
        """Records that everything has ended, and further results."""
        self._content |= results
        self._write()

    def _write(self):
        # The largest resident set so far; on Linux in kilobytes.
        self._content["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self._path.write_text(json.dumps(self._content))


class Finished(BaseException):
    """The last requested step was taken. Not an `Exception`, so that no error handler catches it."""


def seconds_of_forward_pass(model: object, batch_size: int) -> float:
    """Seconds of one traced evaluation of the density of `batch_size` images: the arithmetic of a data-dependent init."""
    import tensorflow as tf

    from tfflows.distributions.dequantized_flow import DequantizedFlow

    shape = [batch_size, *model.image_shape]
    if isinstance(model, DequantizedFlow):
        log_prob, values = tf.function(model.flow.log_prob), tf.random.stateless_uniform(shape, [0, 0], -0.5, 0.5)
    else:
        from tfflows.math.random import row_keys

        log_prob, values = tf.function(lambda images: model.elbo(images, row_keys(0))), tf.zeros(shape, tf.uint8)
    log_prob(values).numpy()
    begin = time.time()
    log_prob(values).numpy()
    return time.time() - begin


def main(paper: str, started: float, num_steps: int, result: str, run_flags: Sequence[str]) -> None:
    """Runs the command and records when its parts end; the arguments are those of the module's command line."""
    events = Events(started, result)
    limit_tensorflow()
    sys.argv = [str(ROOT / "reproductions" / paper / "run.py"), *run_flags]

    reproduction = getattr(importlib.import_module(f"reproductions.{paper}.reproduction"), paper.upper())
    from reproductions.driver import main as command
    from tfflows.training import loop, trainer

    events.mark("imports")

    built = {}

    def build_model(*arguments, **keywords):
        events.mark("data")
        built["model"] = reproduction.build_model(*arguments, **keywords)
        events.mark("model")
        return built["model"]

    initialize_from_data = trainer.initialize_from_data

    def initialize(*arguments, **keywords):
        events.mark("optimizer")
        initialize_from_data(*arguments, **keywords)
        events.mark("initialization")
        built["init_batch_size"] = keywords["batch_size"]

    class StepsAlone(loop.Progress):
        """The progress of the training loop; other parts of the command show theirs too."""

        def update(self, step, **scalars):
            super().update(step, **scalars)
            events.step(step)
            if step >= num_steps:
                raise Finished

    trainer.initialize_from_data, loop.Progress = initialize, StepsAlone
    with contextlib.suppress(Finished):
        command.main(dataclasses.replace(reproduction, build_model=build_model))
    events.finish()  # before the forward pass, so that the peak memory is that of the command alone
    if FORWARD_PASS in os.environ:
        events.finish(forward_pass=seconds_of_forward_pass(built["model"], built["init_batch_size"]))
    os._exit(0)  # other workers may have ended already


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
