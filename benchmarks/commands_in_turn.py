"""Settings of the training command beside each other: each run several times, in turn."""

import numpy as np

from benchmarks.timing import ratio, summary
from reproductions.reporting.benchmarks import Measurement

STEP = "a step of the loop"


def compare_commands(case, runs, rounds, block, reference):
    """Seconds a step of the loop of several settings, and their ratios to one of them.

    Args:
      case: Of the rows.
      runs: `{subject: function without arguments -> benchmarks.command.Run}`.
      rounds: Runs of each.
      block: Steps that a sample is the mean over, so that what is done every so many steps counts in full.
      reference: The subject that all others are compared with.

    Returns:
      `(measurements, ratios)`; a round is a pair, represented by the median of its samples.
    """
    samples, pairs, last = {name: [] for name in runs}, {name: [] for name in runs}, {}
    for number in range(rounds):
        for name in runs if number % 2 == 0 else reversed(runs):
            last[name] = runs[name]()
            seconds = last[name].block_seconds(block)
            samples[name] += seconds
            pairs[name].append(float(np.median(seconds)))
    measurements = [
        Measurement(
            case,
            STEP,
            name,
            "ms",
            **summary([1000 * seconds for seconds in samples[name]]),
            first_call=last[name].first_step_seconds(),
            peak_memory_mib=last[name].peak_memory_mib,
        )
        for name in runs
    ]
    return measurements, [ratio(case, STEP, name, reference, pairs) for name in runs if name != reference]
