"""Flow++ beside its bare networks, and its sampling beside the released inverse."""

from benchmarks.flowpp import models
from benchmarks.flowpp.models import Case
from benchmarks.harness.comparisons import BARE, IN_TURN, OURS, compare_tasks
from benchmarks.harness.tasks import SAMPLE, TRAINING_STEP
from benchmarks.harness.topic import Findings, Topic

WHOLE = "tfflows, --side_by_side=1"
ONE_THREAD = "bare networks, one thread an operation"
RELEASED = "bisection as released"

TRAINING = Case(num_blocks=10, batch_size=4)
SAMPLING = Case(num_blocks=10, batch_size=8)
SMALLEST = Case(num_blocks=1, batch_size=2)
# Times the bare networks on TensorFlow's own threads; and beside those of one thread an operation, or in one part.
DEFAULT_GOAL, STEP_GOAL = 1.1, 1.15
STEP_ROUNDS, SAMPLE_ROUNDS = 9, 3

NOTES = (
    "The published CIFAR-10 model in full, float32, dropout 0.2. A *training step* is the noise of the dequantizer, the bound, "
    "gradients and an update by Adam with its clip. The *bare networks* are the same conditioners and context network, dropout "
    "included, on inputs of the same shapes with nothing of a flow around: forward, backward to weights and inputs, the same "
    "update. They depend on nothing, so TensorFlow runs several of them side by side, which no flow can do; *in turn*, each "
    "waits for the one before, in both directions. *tfflows* runs as by default, with `--side_by_side=auto`: on two cores, the "
    "halves of the batch side by side, each operation on one thread; beside it the bare networks of one thread an operation, "
    "which run two at a time and are then fastest too. Each subject runs in a process of its own, and takes two threads in all.",
    "*Sample*: 8 images from noise through the whole model, after a data-dependent init, the conditioners' last kernels times "
    "ten, so that mixtures differ as those of a trained model. *Bisection as released*: the same model with the released way "
    "to invert a coupling, see *Inverse of the mixture of logistics*. (The paper: 0.32 s for 8 images on a GTX 1080 Ti.)",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    training, sampling = findings.choose((TRAINING, SAMPLING), (SMALLEST, SMALLEST))
    step = {
        OURS: (models.tfflows_flowpp, (training,)),
        WHOLE: (models.tfflows_flowpp, (training, False, False, 1)),
        BARE: (models.bare_networks, (training,)),
        IN_TURN: (models.bare_networks, (training, True)),
        ONE_THREAD: (models.bare_networks, (training, False, 1)),
    }
    pairs = [(OURS, BARE, DEFAULT_GOAL), (OURS, ONE_THREAD, STEP_GOAL), (OURS, WHOLE, 1.0)]
    pairs += [(WHOLE, BARE, STEP_GOAL), (WHOLE, IN_TURN, None), (IN_TURN, BARE, None)]
    compare_tasks(findings, str(training), TRAINING_STEP, step, STEP_ROUNDS, pairs, headlines=[(OURS, BARE)])
    sample = {
        OURS: (models.sampler, (sampling,)),
        RELEASED: (models.sampler, (sampling, False, True)),
    }
    compare_tasks(findings, str(sampling), SAMPLE, sample, SAMPLE_ROUNDS, [(OURS, RELEASED, 1.0)])


TOPIC = Topic("flowpp_step", "Flow++: step and sampling", NOTES, measure)
