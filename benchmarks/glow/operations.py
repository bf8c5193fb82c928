"""Where the time of a training step goes, by kind of operation."""

import collections
import pathlib
import tempfile
from collections.abc import Callable, Mapping

from benchmarks.glow import models
from benchmarks.glow.models import SMALLEST, Case
from benchmarks.harness.comparisons import BARE, OURS
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import Subject, workers
from reproductions.reporting.benchmarks import Measurement

CASES = (
    Case(depth=4, levels=3, width=64, image_size=32, batch_size=16),
    Case(depth=2, levels=3, width=512, image_size=32, batch_size=16),
)
STEPS = 20
ROUNDS = 3

# Parts of the names of TensorFlow's kernels; the first match counts.
KINDS = {
    "convolutions": ("Conv2D",),
    "matrix products and transpositions": ("MatMul", "Transpose"),
    "updates of the parameters": ("ResourceApply", "AssignAdd", "L2Loss"),
    "determinants and inverses": ("Qr", "MatrixInverse", "Determinant"),
    "splits and joins": ("Split", "Concat", "Slice", "Pack", "Unpack", "Tile"),
    "sums": ("Sum", "AddN"),
    "random numbers": ("Random", "Shift", "Bitwise"),
    "elementwise": ("Add", "Mul", "Sub", "Relu", "Exp", "Softplus", "Sigmoid", "Neg", "Cast", "Square", "Pow", "Unary"),
}
# Kernels that run other kernels.
CALLS = ("PartitionedCall", "StatefulPartitionedCall")

NOTES = (
    "Time within TensorFlow's kernels by kind, summed over the threads, of a training step of our Glow and of the bare networks, "
    "from the profiler. *Wall time* is of the same steps, profiled. Our Glow computes two parts of the batch side by side, as by "
    "default, each kernel on one thread. The bare networks are independent of each other, so that their kernels run side by "
    "side; in a flow each network waits for the one before, and the small kernels between two of them run alone.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    rounds = findings.choose(ROUNDS, 1)
    for case in findings.choose(CASES, (SMALLEST,)):
        for name, make in {OURS: models.tfflows_glow, BARE: models.bare_networks}.items():
            # In a process of its own: numbers of threads are fixed once.
            with workers({name: (profiled, (make, case, rounds))}) as (_, facts, _):
                found = facts[name]["rounds"]
            for kind in ("wall time", *KINDS):
                values = [times.get(kind, 0.0) for times in found]
                findings.measurements.append(Measurement(str(case), kind, name, "ms", **summary(values)))


def profiled(make: Callable[[Case], Subject], case: Case, num_rounds: int) -> Subject:
    """Profiles the training step of a subject; the fact `rounds` holds `milliseconds_by_kind` of each round.

    Args:
      make: Makes the subject.
      case: Argument of `make`.
      num_rounds: Number of rounds, after one that is not counted.
    """
    step = make(case)[0][TRAINING_STEP]
    for _ in range(STEPS):
        step()
    return {}, {"rounds": [dict(milliseconds_by_kind(step)) for _ in range(num_rounds)]}


def milliseconds_by_kind(step: Callable[[], object]) -> Mapping[str, float]:
    """Means over `STEPS` calls, `{kind: milliseconds per step}`, and the `wall time`, also in milliseconds per step."""
    import time

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            begin = time.perf_counter()
            for _ in range(STEPS):
                step()
            wall = time.perf_counter() - begin
        (path,) = pathlib.Path(directory).glob("**/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    total = collections.Counter({"wall time": 1e3 * wall / STEPS})
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name, separator, kernel = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if name and separator and kernel.isidentifier() and not kernel.startswith(CALLS):
                total[kind_of(kernel)] += event.duration_ps / 1e9 / STEPS
    return total


def kind_of(kernel: str) -> str:
    """The kind of a kernel, from its name."""
    return next((kind for kind, parts in KINDS.items() if any(part in kernel for part in parts)), "others")


TOPIC = Topic("operations", "Where a training step's time goes", NOTES, measure)
