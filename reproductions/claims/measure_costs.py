"""Measures the cost of a step for two arms in turn in one process: `python reproductions/claims/measure_costs.py`."""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

from reproductions.driver.start_up import start_up

start_up()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from reproductions.checkout import results_directory  # noqa: E402
from reproductions.claims import glow  # noqa: E402
from reproductions.glow import model as glow_model  # noqa: E402
from reproductions.glow.experiments import EXPERIMENTS, GlowExperiment  # noqa: E402
from reproductions.reporting.claims import Arm, measure_cost, write_claim  # noqa: E402
from reproductions.reporting.provenance import collect_provenance  # noqa: E402
from tfflows.devices.strategies import make_strategy  # noqa: E402
from tfflows.distributions.dequantized_flow import DequantizedFlow  # noqa: E402
from tfflows.tracing.variables import count_parameters, named_variables  # noqa: E402
from tfflows.training.parameters import build_flat  # noqa: E402
from tfflows.training.schedules import LinearWarmup  # noqa: E402
from tfflows.training.train_step import make_train_step  # noqa: E402

ROUNDS = 5


def make_step(
    strategy: tf.distribute.Strategy, experiment: GlowExperiment
) -> tuple[Callable[[], float], DequantizedFlow]:
    """Returns a function that runs one training step on random pixels (their values do not affect the time), and the model."""
    shape = [experiment.image_size, experiment.image_size, 3]
    with strategy.scope():
        model = glow_model.build(experiment, shape, 0, seed=0)
        variables = {name: v for name, v in named_variables(model).items() if v.trainable}
        schedule = LinearWarmup(experiment.learning_rate, experiment.warmup_steps)
        optimizer = glow_model.optimizer(experiment, schedule)
        flat = build_flat(optimizer, variables)
    count = experiment.batch_size
    step = make_train_step(strategy, model, optimizer, variables, global_batch_size=count, seed=0, flat_parameters=flat)
    pixels = np.random.default_rng(0).integers(0, 256, [count, *shape]).astype(np.uint8)
    batch = {
        "image": tf.constant(pixels),
        "label": tf.zeros([count], tf.int32),
        "index": tf.range(count, dtype=tf.int64),
        "step": tf.zeros([count], tf.int64),
    }
    return lambda: float(step(batch)["loss"]), model


def median_seconds(run: Callable[[], float], steps: int) -> float:
    """Returns the median seconds of `steps` calls."""
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def time_in_turn(runs: Sequence[Callable[[], float]], steps: int) -> list[dict[int, float]]:
    """Returns `{round: seconds}` for each function, measured in turn so that a drift of the machine affects all alike."""
    times = [{} for _ in runs]
    for run in runs:
        run()  # traces
    for number in range(ROUNDS):
        for run, seconds in zip(runs, times, strict=True):
            seconds[number] = median_seconds(run, steps)
    return times


def main() -> None:
    """Measures every cost and writes `results/claims/<paper>/*.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default=str(results_directory()), help="the results directory")
    parser.add_argument("--steps", type=int, default=20, help="number of steps per round")
    arguments = parser.parse_args()
    strategy = make_strategy()
    provenance = collect_provenance()
    for cost in glow.COSTS:
        sides = []
        for changes in (cost.changes, {**cost.changes, **cost.baseline_changes}):
            experiment = dataclasses.replace(EXPERIMENTS[cost.experiment], **changes)
            sides.append((experiment, *make_step(strategy, experiment)))
        times = time_in_turn([run for _, run, _ in sides], arguments.steps)
        arms = [
            Arm(f"{cost.experiment} {experiment.permutation}", {}, seconds, count_parameters(model))
            for (experiment, _, model), seconds in zip(sides, times, strict=True)
        ]
        claim = measure_cost(
            cost.paper,
            cost.name,
            cost.claim,
            *arms,
            paper_effect=cost.paper_effect,
            protocol=f"{ROUNDS} rounds in turn in one process, median of {arguments.steps} steps each, 2 cores",
            commit=provenance["commit"],
            date=provenance["date"],
        )
        write_claim(claim, pathlib.Path(arguments.results) / "claims", overwrite=True)
        print(f"{claim.difference:+.1f}% +- {claim.standard_error:.1f}%  {claim.claim}")


if __name__ == "__main__":
    main()
