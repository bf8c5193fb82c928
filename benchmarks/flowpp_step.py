"""Flow++ beside its bare networks, and its sampling beside the released inverse: `python -m benchmarks.flowpp_step`."""

from benchmarks import flowpps
from benchmarks.flowpps import Case
from benchmarks.machine import Patience
from benchmarks.subjects import SAMPLE, TRAINING_STEP
from benchmarks.timing import in_turn, milliseconds, ratio
from benchmarks.topic import Findings, main
from benchmarks.workers import workers

SIDE_BY_SIDE, ONE_THREAD = "tfflows, --side_by_side=2", "bare networks, one thread an operation"
OURS, BARE, IN_TURN = "tfflows", "bare networks", "bare networks in turn"
RELEASED = "bisection as released"

TRAINING = Case(num_blocks=10, batch_size=4)
SAMPLING = Case(num_blocks=10, batch_size=8)
STEP_GOAL = 1.15
STEP_ROUNDS, SAMPLE_ROUNDS = 9, 3

NOTES = [
    "The published CIFAR-10 model in full, float32, dropout 0.2. A *training step* is the noise of the dequantizer, the bound, "
    "gradients and an update by Adam with its clip. The *bare networks* are the same conditioners and context network, dropout "
    "included, on inputs of the same shapes with nothing of a flow around: forward, backward to weights and inputs, the same "
    "update. They depend on nothing, so TensorFlow runs several of them side by side, which no flow can do; *in turn*, each "
    "waits for the one before, in both directions. *--side_by_side=2* computes the halves of the batch side by side, each "
    "operation on one thread; beside it the bare networks of one thread an operation, which run two at a time and are then "
    "fastest too. Each subject runs in a process of its own, and takes two threads in all.",
    "*Sample*: 8 images from noise through the whole model, after a data-dependent init, the conditioners' last kernels times "
    "ten, so that mixtures differ as those of a trained model. *Bisection as released*: the same model with the released way "
    "to invert a coupling, see *Inverse of the mixture of logistics*. (The paper: 0.32 s for 8 images on a GTX 1080 Ti.)",
]


def measure():
    findings = Findings("Flow++: step and sampling", NOTES)
    step = {
        OURS: (flowpps.tfflows_flowpp, (TRAINING,)),
        BARE: (flowpps.bare_networks, (TRAINING,)),
        IN_TURN: (flowpps.bare_networks, (TRAINING, True)),
        SIDE_BY_SIDE: (flowpps.tfflows_flowpp, (TRAINING, False, False, 2)),
        ONE_THREAD: (flowpps.bare_networks, (TRAINING, False, 1)),
    }
    pairs = [(SIDE_BY_SIDE, ONE_THREAD, STEP_GOAL), (SIDE_BY_SIDE, BARE, STEP_GOAL), (SIDE_BY_SIDE, OURS, 1.0)]
    pairs += [(OURS, BARE, STEP_GOAL), (OURS, IN_TURN, None), (IN_TURN, BARE, None)]
    compare(findings, str(TRAINING), TRAINING_STEP, step, STEP_ROUNDS, pairs)
    sample = {
        OURS: (flowpps.sampler, (SAMPLING,)),
        RELEASED: (flowpps.sampler, (SAMPLING, False, True)),
    }
    compare(findings, str(SAMPLING), SAMPLE, sample, SAMPLE_ROUNDS, [(OURS, RELEASED, 1.0)])
    return findings


def compare(findings, case, quantity, makers, rounds, pairs):
    """Adds one quantity of several subjects, and ratios of pairs of them, `(numerator, denominator, goal or None)`."""
    with workers(makers) as (started, facts, _):
        patience = Patience([worker.process for worker in started.values()])
        samples = in_turn({name: worker.call(quantity) for name, worker in started.items()}, rounds, 1, patience.watch)
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
    findings.ratios += [ratio(case, quantity, one, other, turns, goal=goal) for one, other, goal in pairs]


if __name__ == "__main__":
    main("flowpp_step", measure)
