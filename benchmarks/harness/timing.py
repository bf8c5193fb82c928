"""Samples in turn, and what is said of them: medians, quartiles, ratios pair by pair."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reproductions.reporting.benchmarks import Measurement, Ratio


@dataclasses.dataclass(frozen=True)
class Samples:
    """Times of one task.

    Attributes:
      first_call: Seconds of its first call, which traces and compiles.
      turns: A time a round: the median of the calls of a turn, in seconds.
    """

    first_call: float
    turns: tuple[float, ...]


def timed(task: Callable[[], object]) -> Callable[[int], list[float]]:
    """A function that calls `task` so many times and gives the seconds of each call; `task` returns when its work is done."""

    def call(times):
        seconds = []
        for _ in range(times):
            begin = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - begin)
        return seconds

    return call


def in_turn(
    tasks: Mapping[str, Callable[[int], list[float]]],
    rounds: int,
    calls: int,
    watch: Callable[[], Callable[[], bool]] = lambda: lambda: False,
) -> dict[str, Samples]:
    """Times tasks A, B, ... in the order A B B A A B ..., so that a drift of the machine meets all alike.

    Args:
      tasks: `{name: times -> seconds of each call}`, see `timed`.
      rounds: Turns of each task.
      calls: Calls of a turn that count; one more comes first, as caches belong to the task before.
      watch: Called before each turn, it gives a function that is called after it and says whether the turn is to be repeated:
        see `machine.Patience`.
    """
    first = {name: task(1)[0] for name, task in tasks.items()}
    turns = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            turns[name].append(_undisturbed_turn(tasks[name], calls, watch))
    return {name: Samples(first[name], tuple(turns[name])) for name in tasks}


def _undisturbed_turn(task, calls, watch):
    while True:
        disturbed = watch()
        seconds = float(np.median(task(calls + 1)[1:]))
        if not disturbed():
            return seconds


def summary(samples: Sequence[float]) -> dict[str, float | int]:
    """Median, quartiles and number of samples, by the names of `Measurement` and `Ratio`."""
    lower, median, upper = np.quantile(samples, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "lower_quartile": float(lower),
        "upper_quartile": float(upper),
        "count": len(samples),
    }


def milliseconds(case: str, quantity: str, subject: str, samples: Samples, **fields: object) -> Measurement:
    """The measurement of times, with what else is known of the subject."""
    values = [1000 * seconds for seconds in samples.turns]
    return Measurement(case, quantity, subject, "ms", **summary(values), first_call=samples.first_call, **fields)


def ratio(
    case: str,
    quantity: str,
    numerator: str,
    denominator: str,
    samples: Mapping[str, Sequence[float]],
    goal: float | None = None,
) -> Ratio:
    """How many times `numerator`'s samples are `denominator`'s, each with that of the same round.

    Raises:
      ValueError: if they have not equally many samples.
    """
    pairs = zip(samples[numerator], samples[denominator], strict=True)
    return Ratio(case, quantity, numerator, denominator, **summary([a / b for a, b in pairs]), goal=goal)
