"""Comparisons of subjects that run in turn: workers on one of their tasks, or settings of the training command."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from benchmarks.harness.command import Run
from benchmarks.harness.machine import Patience
from benchmarks.harness.timing import milliseconds, ratio, summary
from benchmarks.harness.topic import Findings
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Measurement

# A model, the networks in it, and the same networks where each waits for the one before.
OURS, BARE, IN_TURN = "tfflows", "bare networks", "bare networks in turn"

STEP = "a step of the loop"
# For a quick run: enough for two calls at the largest number of steps per call.
_QUICK_STEPS = 24


def parts_notes(case: str, facts: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Says how many parts of a batch the subjects compute side by side, those whose facts have `side_by_side`.

    Args:
      case: Case of the rows.
      facts: `{subject: its facts}`.

    Example:
      >>> from benchmarks.harness.comparisons import parts_notes
      >>> parts_notes("batch 16", {"tfflows": {"side_by_side": 2}, "bare networks": {}})
      ['Parts of a batch side by side, batch 16: tfflows 2.']
    """
    parts = [f"{name} {known['side_by_side']}" for name, known in facts.items() if "side_by_side" in known]
    return [f"Parts of a batch side by side, {case}: {'; '.join(parts)}."] if parts else []


def compare_tasks(
    findings: Findings,
    case: str,
    quantity: str,
    makers: Mapping[str, tuple[Callable, Sequence]],
    rounds: int,
    pairs: Iterable[tuple[str, str, float | None]],
    headlines: Collection[tuple[str, str]] = (),
) -> None:
    """Adds times, parameters and memory of several subjects, and ratios of their times.

    Args:
      findings: Receives the rows.
      case: Case of the rows.
      quantity: Quantity of the rows, which is the name of the task.
      makers: As for `workers`; the facts must contain `parameters`.
      rounds: Turns of each subject, with one call each.
      pairs: `(numerator, denominator, goal)` of each ratio.
      headlines: `(numerator, denominator)` of the ratios that stand at the top of the page.
    """
    with workers(makers) as (started, facts, _):
        findings.notes += parts_notes(f"{quantity}, {case}", facts)
        patience = Patience([worker.process for worker in started.values()])
        calls = {name: worker.call(quantity) for name, worker in started.items()}
        samples = findings.in_turn(calls, rounds, 1, patience.watch)
        findings.measurements += [
            milliseconds(
                case,
                quantity,
                name,
                samples[name],
                parameters=facts[name]["parameters"],
                peak_memory_mib=worker.peak_memory_mib(),
            )
            for name, worker in started.items()
        ]
    turns = {name: times.turns for name, times in samples.items()}
    findings.ratios += [
        ratio(case, quantity, one, other, turns, goal=goal, headline=(one, other) in headlines)
        for one, other, goal in pairs
    ]


def compare_commands(
    findings: Findings,
    case: str,
    runs: Mapping[str, Callable[[int], Run]],
    num_steps: int,
    block: int,
    reference: str,
    rounds: int = 2,
) -> None:
    """Adds milliseconds per step of the loop for several settings, and their ratios to one of them.

    Args:
      findings: Receives the rows.
      case: Case of the rows.
      runs: `{subject: function}`, where the function takes a number of steps and returns a `Run`.
      num_steps: Steps of each run.
      block: Number of steps that a sample is the mean of, so that periodic work, such as logging, counts in full.
      reference: The subject that all others are compared with. Ratios are taken between the medians of the same round.
      rounds: Runs of each subject.
    """
    if findings.quick:
        num_steps, block, rounds = min(num_steps, _QUICK_STEPS), 1, 1
    samples, pairs, last = {name: [] for name in runs}, {name: [] for name in runs}, {}
    for number in range(rounds):
        for name in runs if number % 2 == 0 else reversed(runs):
            last[name] = runs[name](num_steps)
            seconds = last[name].block_seconds(block)
            samples[name] += seconds
            pairs[name].append(float(np.median(seconds)))
    findings.measurements += [
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
    findings.ratios += [ratio(case, STEP, name, reference, pairs) for name in runs if name != reference]
