"""The input pipeline alone, beside the time of a model."""

import io
import pathlib
import tempfile

import numpy as np
from PIL import Image

from benchmarks.glow import models
from benchmarks.glow.models import SMALLEST, Case
from benchmarks.harness.environment import limit_tensorflow
from benchmarks.harness.images import image_folder, noise
from benchmarks.harness.machine import Patience
from benchmarks.harness.tasks import TRAINING_STEP
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings, Topic
from benchmarks.harness.workers import Subject, workers
from reproductions.reporting.benchmarks import Measurement, Ratio

CASE = Case(depth=4, levels=3, width=64, image_size=32, batch_size=16)
BATCH_SIZE = 128
BATCHES = 20  # per call
ROUNDS = 7
MODEL = "training"

NOTES = (
    f"Training batches of {BATCH_SIZE} alone, from the three kinds of source: images in memory with random shifts (as CIFAR-10), "
    "PNG in TFRecord files, shuffled (as ImageNet 64x64), and PNG files read one by one. *Training* is the fastest of the models "
    f"here ({CASE}) on these two cores, in turn with the pipelines: what they have to keep up with. The ratio is the part of a "
    "training step that making its images would take.",
)


def array_pipeline() -> Subject:
    """Batches of 50,000 32x32 images in memory."""
    limit_tensorflow()
    from tfflows.data.sources import ArraySource

    images = noise(50_000, 32, 32, 3)
    source = ArraySource(name="noise", split="train", num_images=len(images), image_shape=(32, 32, 3), images=images)
    return _task(source, "shift")


def record_pipeline(directory: str) -> Subject:
    """Batches of 4,096 64x64 images as PNG in four TFRecord files, which are written first."""
    limit_tensorflow()
    import tensorflow as tf

    from tfflows.data.sources import RecordFile, RecordSource

    files = []
    for part, images in enumerate(np.split(noise(4096, 64, 64, 3), 4)):
        path = pathlib.Path(directory, f"{part}.tfrecord")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for image in images:
                encoded = io.BytesIO()
                Image.fromarray(image).save(encoded, "PNG")
                writer.write(encoded.getvalue())
        files.append(RecordFile(str(path), 0, len(images)))
    source = RecordSource(
        name="noise",
        split="train",
        num_images=4096,
        image_shape=(64, 64, 3),
        files=files,
        decode=lambda record: (tf.io.decode_png(record, 3), tf.constant(0)),
    )
    return _task(source, "none")


def file_pipeline(dataset: str) -> Subject:
    """Batches of a folder's PNG files, read one at a time as if they did not fit into memory."""
    limit_tensorflow()
    from tfflows.data import folders, load_dataset

    folders.IN_MEMORY_BYTES = 0
    return _task(load_dataset(dataset, "train"), "none")


def _task(source, augmentation):
    from tfflows.data import training_batches

    batches = iter(training_batches(source, global_batch_size=BATCH_SIZE, seed=0, augmentation=augmentation))

    def take():
        for _ in range(BATCHES):
            next(batches)

    return {"batches": take}, {}


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    case = findings.choose(CASE, SMALLEST)
    with image_folder(64, num_images=1024) as dataset, tempfile.TemporaryDirectory() as records:
        makers = {
            "memory, 32x32, shifted": (array_pipeline, ()),
            "TFRecord, 64x64 PNG": (record_pipeline, (records,)),
            "files, 64x64 PNG": (file_pipeline, (dataset,)),
            MODEL: (models.tfflows_glow, (case,)),
        }
        images = dict.fromkeys(makers, BATCH_SIZE * BATCHES) | {MODEL: case.batch_size}
        with workers(makers) as (started, _, _):
            patience = Patience([worker.process for worker in started.values()])
            calls = {
                name: worker.call(TRAINING_STEP if name == MODEL else "batches") for name, worker in started.items()
            }
            samples = findings.in_turn(calls, ROUNDS, 1, patience.watch)
    for name, times in samples.items():
        speeds = [images[name] / seconds for seconds in times.turns]
        findings.measurements.append(
            Measurement("on two cores", "speed", name, "images/s", **summary(speeds), first_call=times.first_call)
        )
        if name != MODEL:
            parts = [
                (pipeline / images[name]) / (model / images[MODEL])
                for pipeline, model in zip(times.turns, samples[MODEL].turns, strict=True)
            ]
            findings.ratios.append(Ratio("on two cores", "seconds an image", name, MODEL, **summary(parts), goal=1.0))


TOPIC = Topic("pipeline", "Input pipeline", NOTES, measure)
