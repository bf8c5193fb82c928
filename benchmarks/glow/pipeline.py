"""The input pipeline alone, beside the time of a model."""

import io
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from benchmarks.glow import models
from benchmarks.glow.models import SMALLEST, Case
from benchmarks.gpu.roofline import COUNTS, GPUS, load_counts
from benchmarks.harness.environment import THREADS, limit_tensorflow
from benchmarks.harness.images import image_folder, noise, photographs
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import Subject, workers
from reproductions.checkout import results_directory
from reproductions.reporting.benchmarks import Measurement, Ratio

CASE = Case(depth=4, levels=3, width=64, image_size=32, batch_size=16)
BATCH_SIZE = 128
# Of a call: about a second's worth, so that starting is a small part of it.
NUM_BATCHES = {
    "memory, 32x32, shifted": 300,
    "TFRecord, 64x64 PNG": 60,
    "files, 64x64 PNG": 30,
    "TFRecord, 256x256 PNG": 8,
    "files, 256x256 PNG": 8,
    "files, 256x256 JPEG": 8,
}
ROUNDS = 7
MODEL = "training"
# What takes the largest images, paper and experiment, and on how many devices.
LARGEST_MODEL, NUM_GPUS = ("glow", "celeba_hq"), 8

NOTES = (
    f"Training batches of {BATCH_SIZE} alone, from the three kinds of source: images in memory with random shifts (as CIFAR-10), "
    "PNG in TFRecord files, shuffled (as ImageNet 64x64; of 256x256 as CelebA-HQ), and files read one by one. Images of 256x256 "
    "are crops of photographs, the others noise. Each call starts the pipeline anew, which "
    "its speed includes. *Training* is the fastest of the models "
    f"here ({CASE}) on these two cores, in turn with the pipelines: what they have to keep up with. The ratio is the part of a "
    "training step that making its images would take.",
    f"*Computed* rows were not measured: {NUM_GPUS} GPUs on the largest Glow, CelebA-HQ 256, each with the published batch, take "
    "as many images a second as the roofline on paper lets them (`results/roofline.md`: more than any program reaches), and the "
    "pipelines need as many cores of the kind here to make them.",
)


def array_pipeline(num_batches: int) -> Subject:
    """Calls of `num_batches` batches of 50,000 32x32 images in memory."""
    limit_tensorflow()
    from tfflows.data.sources import ArraySource

    images = noise(50_000, 32, 32, 3)
    source = ArraySource(name="noise", split="train", num_images=len(images), image_shape=(32, 32, 3), images=images)
    return _task(source, "shift", num_batches)


def record_pipeline(directory: str, size: int, num_images: int, num_batches: int) -> Subject:
    """Batches of images as PNG in four TFRecord files, which are written first: noise of 64x64, or crops of photographs.

    Args:
      directory: An empty directory.
      size: Side of the images.
      num_images: Number of images.
      num_batches: Batches of a call.
    """
    limit_tensorflow()
    import tensorflow as tf

    from tfflows.data.sources import RecordFile, RecordSource

    files = []
    everything = noise(num_images, size, size, 3) if size <= 64 else photographs(num_images, size)
    for part, images in enumerate(np.split(everything, 4)):
        path = pathlib.Path(directory, f"{part}.tfrecord")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for image in images:
                encoded = io.BytesIO()
                Image.fromarray(image).save(encoded, "PNG")
                writer.write(encoded.getvalue())
        files.append(RecordFile(str(path), 0, len(images)))
    source = RecordSource(
        name="records",
        split="train",
        num_images=num_images,
        image_shape=(size, size, 3),
        files=files,
        decode=lambda record: (tf.io.decode_png(record, 3), tf.constant(0)),
    )
    return _task(source, "none", num_batches)


def file_pipeline(dataset: str, num_batches: int) -> Subject:
    """Calls of `num_batches` batches of a folder's files, read one at a time as if they did not fit into memory."""
    limit_tensorflow()
    from tfflows.data import folders, load_dataset

    folders.IN_MEMORY_BYTES = 0
    return _task(load_dataset(dataset, "train"), "none", num_batches)


def _task(source, augmentation, num_batches):
    from tfflows.data import training_batches

    def take():
        # From the start: between calls, a pipeline that goes on would fill its buffer while others are asked.
        batches = iter(training_batches(source, global_batch_size=BATCH_SIZE, seed=0, augmentation=augmentation))
        for _ in range(num_batches):
            next(batches)

    return {"batches": take}, {}


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    case, counts = findings.choose(CASE, SMALLEST), findings.choose(NUM_BATCHES, dict.fromkeys(NUM_BATCHES, 2))
    with (
        image_folder(64, num_images=1024) as dataset,
        image_folder(256, num_images=256, of_photographs=True) as large_png,
        image_folder(256, num_images=256, suffix="jpg", of_photographs=True) as large_jpeg,
        tempfile.TemporaryDirectory() as records,
        tempfile.TemporaryDirectory() as large_records,
    ):
        arguments = {
            "memory, 32x32, shifted": (array_pipeline,),
            "TFRecord, 64x64 PNG": (record_pipeline, records, 64, 4096),
            "files, 64x64 PNG": (file_pipeline, dataset),
            "TFRecord, 256x256 PNG": (record_pipeline, large_records, 256, 256),
            "files, 256x256 PNG": (file_pipeline, large_png),
            "files, 256x256 JPEG": (file_pipeline, large_jpeg),
        }
        makers = {name: (make, (*own, counts[name])) for name, (make, *own) in arguments.items()}
        makers[MODEL] = (models.tfflows_glow, (case,))
        images = {name: BATCH_SIZE * count for name, count in counts.items()}
        images[MODEL] = case.batch_size
        with workers(makers) as (started, _, _):
            patience = Patience([worker.process for worker in started.values()])
            calls = {
                name: worker.call(TRAINING_STEP if name == MODEL else "batches") for name, worker in started.items()
            }
            samples = findings.in_turn(calls, ROUNDS, 1, patience.watch)
    findings.measurements += needed_speeds({name: times.turns for name, times in samples.items()}, images)
    for name, times in samples.items():
        speeds = [images[name] / seconds for seconds in times.turns]
        findings.measurements.append(
            Measurement("on two cores", "speed", name, "images/s", **summary(speeds), first_call=times.first_call)
        )
        if "256" in name:
            a_core = [speed / THREADS for speed in speeds]
            findings.measurements.append(Measurement("a core", "speed", name, "images/s", **summary(a_core)))
        elif name != MODEL:
            parts = [
                (pipeline / images[name]) / (model / images[MODEL])
                for pipeline, model in zip(times.turns, samples[MODEL].turns, strict=True)
            ]
            findings.ratios.append(Ratio("on two cores", "seconds an image", name, MODEL, **summary(parts), goal=1.0))


def needed_speeds(turns: Mapping[str, Sequence[float]], images: Mapping[str, int]) -> list[Measurement]:
    """What training on GPUs takes of images of 256x256, by the roofline, and the cores that would make them at the speed here.

    Args:
      turns: `{pipeline: seconds of each call}`.
      images: `{pipeline: images of a call}`.

    Returns:
      Rows of computed values; only the speed of a pipeline in them was measured.
    """
    (step,) = (
        step for step in load_counts(results_directory() / COUNTS) if (step.paper, step.experiment) == LARGEST_MODEL
    )
    rows = []
    for gpu, precision in [(device, name) for device in GPUS for name in device.flops]:
        case = f"computed: {NUM_GPUS} x {gpu.name}, {precision}"
        seconds, _ = step.expected(gpu, precision)
        needed = NUM_GPUS * step.batch_size / seconds
        rows.append(Measurement(case, "speed", f"training, Glow {step.experiment}", "images/s", **summary([needed])))
        for name in turns:
            if "256" in name:
                cores = [needed * THREADS * taken / images[name] for taken in turns[name]]
                rows.append(Measurement(case, "cores", name, "cores", **summary(cores)))
    return rows


TOPIC = Topic("pipeline", "Input pipeline", NOTES, measure)
