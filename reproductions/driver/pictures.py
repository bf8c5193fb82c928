"""`--mode=sample`, `interpolate`, `manipulate` and `reconstruct`: files in the `pictures/` folder of the workdir.

The name of a file says all that it depends on: the same command replaces its own picture, and another one never does.
"""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from reproductions.driver.checks import attribute_names, check_images, check_pictures_can_be_written, check_request
from reproductions.driver.flags import image_numbers
from reproductions.driver.session import Session
from reproductions.driver.train import PICTURES, caption_of, write_samples
from reproductions.driver.workdirs import restore
from tfflows.data import evaluation_batches, is_own
from tfflows.data.sources import reading
from tfflows.devices.agreement import source_fingerprint
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.evaluation.directions import attribute_directions, cached_directions, class_directions
from tfflows.evaluation.interpolation import write_interpolation
from tfflows.evaluation.latents import DEFAULT_BATCH_SIZE, LatentCodec, is_conditional
from tfflows.evaluation.manipulation import write_manipulation
from tfflows.evaluation.reconstructions import write_reconstructions
from tfflows.evaluation.samples import numbered_name

_LONGEST = 60  # letters of a list of numbers in a file's name


def run_sample(session: Session) -> None:
    """Writes samples from the checkpoint selected by --select, for each temperature."""
    check_request(session)
    step = restore(session)
    check_pictures_can_be_written(session)
    _announce(session, write_samples(session, step))


def run_interpolate(session: Session) -> None:
    """Writes an interpolation between each pair of the test images given by --images.

    Raises:
      ValueError: If the model is not a flow, or --images does not hold pairs of existing test images.
    """
    check_request(session)
    _check_is_flow(session, "interpolate")
    numbers = image_numbers()
    if len(numbers) % 2:
        raise ValueError(f"--images needs pairs of test images, got {len(numbers)} numbers; give an even number.")
    check_images(session, numbers)
    step = restore(session)
    check_pictures_can_be_written(session)
    images, labels = _test_images(session, numbers)
    path = _path(session, "interpolation", step, f"images_{numbers_in_name(numbers)}", f"frames_{session.flags.frames}")
    conditional = is_conditional(session.model)
    write_interpolation(
        session.model,
        path,
        images[0::2],
        images[1::2],
        num_steps=session.flags.frames,
        seed=session.flags.sample_seed,
        labels=(labels[0::2], labels[1::2]) if conditional else None,
        jit_compile=session.flags.jit,
        caption=caption_of(session, step, "between the latents of test images"),
        row_names=[f"images {a} and {b}" for a, b in zip(numbers[0::2], numbers[1::2], strict=True)],
    )
    _announce(session, [path])


def run_manipulate(session: Session) -> None:
    """Writes the test images given by --images, moved along the direction of --attribute (or of every attribute).

    Raises:
      ValueError: If the model is not a flow, or a test image or an attribute does not exist.
    """
    check_request(session)
    _check_is_flow(session, "manipulate")
    numbers = image_numbers()
    check_images(session, numbers)
    step = restore(session)
    check_pictures_can_be_written(session)
    directions, num_directed = _directions(session, step)
    names = dict(zip(attribute_names(session), directions.names, strict=True))
    positions = {name: position for position, name in enumerate(names)}
    if session.flags.attribute is not None:
        chosen = session.flags.attribute
        if session.flags.attributes is None:
            chosen = list(names)[session.data.class_number(chosen)]
        names = {chosen: names[chosen]}
    images, labels = _test_images(session, numbers)
    strength = session.flags.strength
    batch_size = min(DEFAULT_BATCH_SIZE, len(images) * session.flags.frames)
    codec = LatentCodec(session.model, batch_size, session.flags.jit)
    paths = []
    for name, own in names.items():
        shown = f"class {name}" if name.isdecimal() else name
        path = _path(
            session,
            "manipulation",
            step,
            f"attribute_{numbered_name(positions[name], name)}",
            f"images_{numbers_in_name(numbers)}",
            f"strength_{number_in_name(strength)}",
            f"frames_{session.flags.frames}",
            f"directions_from_{num_directed}",
        )
        write_manipulation(
            codec,
            path,
            images,
            directions.direction(own),
            alphas=np.linspace(-strength, strength, session.flags.frames),
            seed=session.flags.sample_seed,
            labels=labels if codec.conditional else None,
            caption=caption_of(session, step, f"test images moved by alpha times the direction of {shown}"),
            row_names=[f"image {number}" for number in numbers],
        )
        paths.append(path)
    _announce(session, paths)


def run_reconstruct(session: Session) -> None:
    """Writes the test images given by --images, each beside what the model decodes from its latents.

    Raises:
      ValueError: If the model has no encoder, or a test image does not exist.
    """
    if not session.model.has_encoder:
        raise ValueError(
            f"--mode=reconstruct needs a model with an encoder, and {session.experiment.name} has none. A flow reconstructs "
            "every image exactly."
        )
    check_request(session)
    numbers = image_numbers()
    check_images(session, numbers)
    step = restore(session)
    check_pictures_can_be_written(session)
    _announce(session, [reconstructions_of(session, numbers, step)])


def reconstructions_of(session: Session, numbers: Sequence[int], step: int) -> pathlib.Path:
    """Writes test images, each beside what a model with an encoder decodes from its latents, and returns the path.

    Args:
      session: The session.
      numbers: Numbers of the images.
      step: Training step of the parameters.
    """
    images, _ = _test_images(session, numbers)
    path = _path(session, "reconstructions", step, f"images_{numbers_in_name(numbers)}")
    return write_reconstructions(
        session.model,
        path,
        images,
        seed=session.flags.sample_seed,
        caption=caption_of(session, step, "reconstructions of test images"),
        row_names=[f"image {number}" for number in numbers],
    )


MODES = {
    "sample": run_sample,
    "interpolate": run_interpolate,
    "manipulate": run_manipulate,
    "reconstruct": run_reconstruct,
}


def numbers_in_name(numbers: Sequence[int]) -> str:
    """Returns a list of numbers as part of a file's name: all of them, or the first ones and a hash of the list.

    Args:
      numbers: The numbers.
    """
    text = "_".join(map(str, numbers))
    if len(text) <= _LONGEST:
        return text
    start = text[: _LONGEST // 2].rpartition("_")[0]
    return f"{start}_to_{numbers[-1]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def number_in_name(value: float) -> str:
    """Returns a number as part of a file's name: without needless decimals, but distinct for each number.

    Args:
      value: The number.
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _path(session, kind, step, *parts):
    """Path of a picture; all of them depend on the step and on --sample_seed."""
    name = "_".join([kind, f"step_{step}", *parts, f"seed_{session.flags.sample_seed}"])
    return session.workdir / PICTURES / f"{name}.png"


def _check_is_flow(session, mode):
    if not isinstance(session.model, DequantizedFlow):
        raise ValueError(f"--mode={mode} needs a flow, and {session.experiment.name} is not one; use --mode=sample.")


def _directions(session, step):
    """Directions of the attributes of the data set or of its classes, cached in the workdir, and of how many images they are."""
    flags = session.flags
    source = session.data.load("train", max_images=flags.direction_images)
    made_from = {
        "dataset": session.experiment.dataset,
        "images": source.num_images,
        "step": step,
        "select": flags.select,
        "attributes": flags.attributes,
        "seed": flags.sample_seed,
    }
    if is_own(source.name):  # other data sets are what their name says
        made_from["fingerprint"] = source_fingerprint(source)
    compute = class_directions if source.attributes is None else attribute_directions
    directions = cached_directions(
        session.workdir / PICTURES / "directions.npz",
        made_from,
        lambda: compute(session.model, source, seed=flags.sample_seed, jit_compile=flags.jit),
    )
    return directions, source.num_images


def _test_images(session, numbers):
    """Returns uint8 images and labels of the test split, by position."""
    source = session.data.numbered_source
    found = {}
    for batch in reading(source, evaluation_batches(source, global_batch_size=256)):
        positions = batch["index"].numpy()
        for number in set(numbers) & set(positions.tolist()):
            row = number - positions[0]
            found[number] = (batch["image"][row].numpy(), int(batch["label"][row]))
        if len(found) == len(set(numbers)):
            break
    images, labels = zip(*(found[number] for number in numbers), strict=True)
    return np.stack(images), np.asarray(labels, np.int32)


def _announce(session, paths):
    if session.chief:
        for path in paths:
            print(path, flush=True)
