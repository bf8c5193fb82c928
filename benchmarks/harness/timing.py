"""Times of subjects measured in turn, and their medians, quartiles and pairwise ratios."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reproductions.reporting.benchmarks import Measurement, Ratio


@dataclasses.dataclass(frozen=True)
class Samples:
    """Times of one task.

    Attributes:
      first_call: Seconds of the first call, which traces and compiles.
      turns: One time per round: the median over the calls of a turn, in seconds.
    """

    first_call: float
    turns: tuple[float, ...]


def timed(task: Callable[[], object]) -> Callable[[int], list[float]]:
    """A function that takes a number of calls of `task` and returns their seconds; `task` must return when its work is done."""

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
    """Times tasks A, B, ... in the order A B B A A B ..., so that a drift of the machine affects all alike.

    Args:
      tasks: `{name: function}`, where the function takes a number of calls and returns their seconds; see `timed`.
      rounds: Turns of each task.
      calls: Calls per turn that count. One more comes first, because the caches still hold the previous task's data.
      watch: Called before each turn. It returns a function that is called after the turn and says whether to repeat it; see
        `machine.Patience`.
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
    """Median, quartiles and number of samples, under the names that `Measurement` and `Ratio` have for them.

    Example:
      >>> from benchmarks.harness.timing import summary
      >>> summary([1.0, 2.0, 4.0])
      {'median': 2.0, 'lower_quartile': 1.5, 'upper_quartile': 3.0, 'count': 3}
    """
    lower, median, upper = np.quantile(samples, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "lower_quartile": float(lower),
        "upper_quartile": float(upper),
        "count": len(samples),
    }


def milliseconds(case: str, quantity: str, subject: str, samples: Samples, **fields: object) -> Measurement:
    """The measurement of a subject's times, with further fields of `Measurement`."""
    values = [1000 * seconds for seconds in samples.turns]
    return Measurement(case, quantity, subject, "ms", **summary(values), first_call=samples.first_call, **fields)


def ratio(
    case: str,
    quantity: str,
    numerator: str,
    denominator: str,
    samples: Mapping[str, Sequence[float]],
    **fields: object,
) -> Ratio:
    """Quotients of the samples of `numerator` and `denominator`, each pair from the same round; with further fields of `Ratio`.

    Raises:
      ValueError: If the two do not have the same number of samples.
    """
    pairs = zip(samples[numerator], samples[denominator], strict=True)
    return Ratio(case, quantity, numerator, denominator, **summary([a / b for a, b in pairs]), **fields)
