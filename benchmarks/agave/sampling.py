"""Cached sampling of AGAVE beside a call of the whole network for each pixel."""

from benchmarks.agave import models
from benchmarks.agave.models import IMAGE_SHAPE, NAIVE, PLAIN, XLA, Case
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import SAMPLE
from benchmarks.harness.timing import ratio, summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import workers
from reproductions.reporting.benchmarks import Measurement

CASE = Case(num_blocks=5, vae_blocks=20, batch_size=16)
NUM_PIXELS = 2
ROUNDS = 2
GOAL = 60.0  # seconds
FASTER = 200

# Of the PixelCNN++ by itself under XLA: units per resolution, width, and batch sizes.
COMPILED = (2, 160, (1, 16))
COMPILED_ROUNDS = 5

NOTES = (
    "The published CIFAR-10 model in full, 144,586,609 parameters, float32. *Sample*: 16 images from noise: latents of the "
    "prior, f(z), the feature stream, then the pixels, each activation of the PixelCNN++ computed once. *Pixels by the whole "
    f"network*: the features given, the first {NUM_PIXELS} pixels of 16 images by a call of the whole PixelCNN++ for each, "
    "extrapolated to the 1,024 of an image. The first call traces.",
    f"*XLA* beside *plain*: the PixelCNN++ of CIFAR-10 by itself, without features, width {COMPILED[1]}, {COMPILED[0]} units a "
    "resolution where 5 are published, gains scattered, in one process: the loop over pixels by TensorFlow and as `--jit` "
    "compiles it, from the same uniform numbers. The first call traces, and with XLA compiles. *Values that differ* is the share "
    "of values more than one grey level apart: sums round differently, and a pixel drawn otherwise changes those after it.",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    _measure_cache(findings)
    _measure_compiled(findings)


def _measure_cache(findings):
    case = findings.choose(CASE, Case(num_blocks=1, vae_blocks=1, batch_size=1))
    with workers({str(case): (models.sampler, (case, NUM_PIXELS))}) as (started, facts, _):
        (worker,), (known,) = started.values(), facts.values()
        patience = Patience([worker.process])
        samples = findings.in_turn({name: worker.call(name) for name in (SAMPLE, NAIVE)}, ROUNDS, 1, patience.watch)
        memory = worker.peak_memory_mib()
    all_pixels = IMAGE_SHAPE[0] * IMAGE_SHAPE[1] / NUM_PIXELS
    turns = {SAMPLE: samples[SAMPLE].turns, NAIVE: [all_pixels * seconds for seconds in samples[NAIVE].turns]}
    for name, goal in ((SAMPLE, GOAL), (NAIVE, None)):
        extra = {"parameters": known["parameters"], "peak_memory_mib": memory} if name == SAMPLE else {}
        first_call = samples[name].first_call
        findings.measurements.append(
            Measurement(
                str(case), "16 images", name, "s", **summary(turns[name]), first_call=first_call, goal=goal, **extra
            )
        )
    findings.ratios.append(ratio(str(case), "16 images", SAMPLE, NAIVE, turns, goal=1 / FASTER, headline=True))


def _measure_compiled(findings):
    num_blocks, width, batch_sizes = findings.choose(COMPILED, (1, 4, (1,)))
    for batch_size in batch_sizes:
        case = f"PixelCNN++, width {width}, R={num_blocks}, 32x32x3, batch {batch_size}"
        with workers({case: (models.pixelcnn_samplers, (batch_size, num_blocks, width))}) as (started, facts, _):
            (worker,), (known,) = started.values(), facts.values()
            patience = Patience([worker.process])
            calls = {name: worker.call(name) for name in (PLAIN, XLA)}
            samples = findings.in_turn(calls, COMPILED_ROUNDS, 1, patience.watch)
        turns = {name: times.turns for name, times in samples.items()}
        findings.measurements += [
            Measurement(case, SAMPLE, name, "s", **summary(times), first_call=known["first_calls"][name])
            for name, times in turns.items()
        ]
        findings.measurements.append(Measurement(case, "values that differ", XLA, "", **summary([known["differing"]])))
        findings.ratios.append(ratio(case, SAMPLE, XLA, PLAIN, turns))


TOPIC = Topic("agave_sampling", "AGAVE: sampling", NOTES, measure)
