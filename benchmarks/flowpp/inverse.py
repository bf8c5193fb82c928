"""Three ways to invert the CDF of a logistic mixture, on the same parameters."""

from benchmarks.harness.environment import limit_tensorflow
from benchmarks.harness.machine import Patience
from benchmarks.harness.timing import milliseconds, ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import Subject, workers
from reproductions.reporting.benchmarks import Measurement, Ratio

# One coupling of the CIFAR-10 model on 8 images.
COMPONENTS, ELEMENTS = 32, 8 * 32 * 16 * 3
# Standard deviation of logits, means and log-scales (the latter around -1, at least -7): mild, and as wild as networks get.
SPREADS = {"mild": 0.5, "wild": 1.5}
OURS, CHANDRUPATLA, RELEASED = "tfflows", "bracket, Chandrupatla", "bisection as released"
METHODS = (OURS, CHANDRUPATLA, RELEASED)
EVALUATIONS, ERROR, TIME = "evaluations", "largest error", "inverse"
ROUNDS, CALLS = 5, 3
# For the mild case.
ERROR_GOAL = 4e-6

NOTES = (
    f"All {ELEMENTS:,} elements of a coupling of the CIFAR-10 model on 8 images, {COMPONENTS} components, float32, targets from "
    "N(0, 3^2). *Evaluations* of the mixture's function over all elements until the last one is done; *largest error* of x "
    "against the root of the same float32 parameters found in float64. *Bisection as released*: on the CDF itself, from 0 within "
    "+-200 sums of scales, until no element moves by more than 1e-12. *Bracket, Chandrupatla*: "
    "`tfp.math.find_root_chandrupatla` on the logit within `min_k` and `max_k` of `mu_k + exp(l_k) y`. Ours: Newton's method in "
    "that bracket.",
)


def make(spread: float, jit_compile: bool) -> Subject:
    """Builds the three methods as tasks, with their numbers of evaluations and their errors as facts."""
    limit_tensorflow()
    import numpy as np
    import tensorflow as tf

    from benchmarks.flowpp.released_inverse import bisect, chandrupatla
    from tfflows.math.logistic_mixture import MIN_LOG_SCALE, solve

    def normal(seed, *shape):
        return tf.random.stateless_normal([*shape, ELEMENTS], [seed, 0])

    logits, means = spread * normal(1, COMPONENTS), spread * normal(2, COMPONENTS)
    log_scales = tf.maximum(spread * normal(3, COMPONENTS) - 1.0, MIN_LOG_SCALE)
    arguments = (3.0 * normal(4), logits, means, log_scales)
    exact, _ = solve(*(tf.cast(value, tf.float64) for value in arguments))
    methods = dict(zip(METHODS, (solve, chandrupatla, bisect), strict=True))
    functions = {name: tf.function(method, jit_compile=jit_compile) for name, method in methods.items()}
    facts = {}
    for name, function in functions.items():
        x, count = function(*arguments)
        facts[name] = {EVALUATIONS: int(count), ERROR: float(np.max(np.abs(x.numpy() - exact.numpy())))}
    return {name: lambda f=function: f(*arguments)[0].numpy() for name, function in functions.items()}, facts


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    for spread_name, spread in findings.choose(SPREADS, {"mild": SPREADS["mild"]}).items():
        for jit_compile in (False, True):
            case = f"{spread_name}, {'XLA' if jit_compile else 'plain'}"
            with workers({case: (make, (spread, jit_compile))}) as (started, facts, _):
                (worker,) = started.values()
                _add(findings, case, worker, facts[case])


def _add(findings, case, worker, facts):
    """Adds what one process found, and its times."""
    samples = findings.in_turn(
        {name: worker.call(name) for name in METHODS}, ROUNDS, CALLS, Patience([worker.process]).watch
    )
    for quantity, unit in ((EVALUATIONS, "times"), (ERROR, "in x")):
        values = {name: facts[name][quantity] for name in METHODS}
        limit = ERROR_GOAL if quantity == ERROR and case.startswith("mild") else None
        findings.measurements += [
            Measurement(case, quantity, name, unit, **summary([value]), goal=limit if name == OURS else None)
            for name, value in values.items()
        ]
        for name in METHODS[1:]:
            # Errors of about 1e-6 are rounding, and either method's may be larger.
            goal = None if quantity == ERROR and name == CHANDRUPATLA else 1.0
            part = summary([values[OURS] / values[name]])
            findings.ratios.append(Ratio(case, quantity, OURS, name, **part, goal=goal))
    findings.measurements += [milliseconds(case, TIME, name, samples[name]) for name in METHODS]
    turns = {name: times.turns for name, times in samples.items()}
    findings.ratios += [ratio(case, TIME, OURS, name, turns, goal=1.0) for name in METHODS[1:]]


TOPIC = Topic("flowpp_inverse", "Inverse of the mixture of logistics", NOTES, measure)
